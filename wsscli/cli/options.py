"""A subcommand from a step's signature: defaults, types and help live once, in the step.

Positional parameters become arguments, keyword-only ones options; the `Args:` section of the docstring is their
help. Parameters whose type is a dataclass (`Run`, `Data`) become one option a field, but for a field that the step
has as a parameter of its own. `out` is `-o/--out`. Where a directory is read, `-` takes its path from stdin.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from wsscli.errors import PartialError, UsageError
from wsscli.launch import launched

ENVIRONMENT = {"data": "WSS_DATA", "split": "WSS_SPLIT"}
PANELS = {
    "Data": "Data set", "Run": "Every step", "Training": "Training", "Predicting": "Prediction", "Cutting": "GrabCut",
    "Cluster": "Every step",
}  # fmt: skip


def command(step: Callable[..., Any], *, finish: Callable[..., None] | None = None) -> Callable[..., None]:
    """Build the function that Typer turns into a command.

    Args:
        step: the step; see the module's words.
        finish: what to do with the step's result; prints it (the directory's path) when None. Its keyword-only
            parameters become options too (`--json`).
    """
    plans = [_expand(step)]
    if finish is not None:
        plans.append(_expand(finish, skip_first=True))
    parameters: list[inspect.Parameter] = [p for plan in plans for p in plan.parameters]

    def main(**given: Any) -> None:
        from wsscli.cli.output import install

        install()
        arguments = plans[0].collect(given)
        try:
            result = step(**arguments)
        except PartialError as partial:
            _print_result(partial.made or arguments["out"])
            raise
        if finish is None:
            _print_result(result)
        else:
            finish(result, **plans[1].collect(given))

    main.__doc__ = _summary(step)
    main.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    main.__annotations__ = {p.name: p.annotation for p in parameters}
    return main


def _print_result(result: object) -> None:
    launch = launched()
    if launch is not None and launch.rank:
        return  # the first process says it for all
    sys.stdout.write(f"{result}\n")
    sys.stdout.flush()


def read_stdin_path() -> Path:
    """The directory that the command before in the pipe has written.

    Raises:
        UsageError: nothing, or more than one path, came.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'-' reads a directory's path from stdin, but nothing is piped in")
    lines = [line.strip() for line in sys.stdin.read().splitlines() if line.strip()]
    if not lines:
        raise UsageError("'-': no directory came through the pipe; the command before it failed")
    if len(lines) > 1:
        raise UsageError(
            f"'-': {len(lines)} lines came through the pipe, but one directory is read; use xargs for several"
        )
    return Path(lines[0])


class _Expanded:
    """A function's parameters as Typer's, and the way back from given options to arguments."""

    def __init__(self) -> None:
        self.parameters: list[inspect.Parameter] = []
        self.groups: dict[str, type] = {}  # parameter of the function -> its dataclass
        self.owner: dict[str, str] = {}  # field -> the parameter whose dataclass has it
        self.lists: dict[str, type] = {}  # options of several values -> type of the elements
        self.lacking: dict[str, Any] = {}  # what they are when they are not given
        self.inputs: set[str] = set()

    def collect(self, given: dict[str, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        grouped: dict[str, dict[str, Any]] = {name: {} for name in self.groups}
        for parameter in self.parameters:
            name = parameter.name
            value = self._value(name, given[name])
            if name in self.owner:
                grouped[self.owner[name]][name] = value
            else:
                arguments[name] = value
        for name, kind in self.groups.items():
            arguments[name] = kind(**grouped[name])
        return arguments

    def _value(self, name: str, value: Any) -> Any:
        if name in self.inputs:
            if isinstance(value, list):
                return [read_stdin_path() if str(v) == "-" else v for v in value]
            if str(value) == "-":
                return read_stdin_path()
        if name in self.lists:
            found = [part for text in value or () for part in _split(text, self.lists[name], name)]
            return tuple(found) if found else self.lacking[name]
        return value


def _split(text: str, kind: type, name: str) -> list[Any]:
    try:
        return [kind(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(
            f"--{name.replace('_', '-')} {text}: give {kind.__name__} values separated by commas"
        ) from error


def _expand(function: Callable[..., Any], *, skip_first: bool = False) -> _Expanded:
    out = _Expanded()
    hints = get_type_hints(function)
    texts = help_texts(function)
    parameters = list(inspect.signature(function).parameters.values())[1 if skip_first else 0 :]
    own = {parameter.name for parameter in parameters if not is_dataclass(hints[parameter.name])}
    for parameter in parameters:
        kind = hints[parameter.name]
        if is_dataclass(kind) and isinstance(kind, type):
            out.groups[parameter.name] = kind
            field_hints, field_texts = get_type_hints(kind), help_texts(kind)
            for item in fields(kind):
                if item.name in own:
                    continue  # the step's own option of this name says more; the field keeps its default
                default = item.default if item.default is not MISSING else inspect.Parameter.empty
                out.owner[item.name] = parameter.name
                text = field_texts.get(item.name, "")
                _add(out, item.name, field_hints[item.name], default, text, panel=PANELS.get(kind.__name__))
        else:
            positional = parameter.kind is not inspect.Parameter.KEYWORD_ONLY and parameter.name != "out"
            text = texts.get(parameter.name, "")
            _add(out, parameter.name, kind, parameter.default, text, positional=positional)
    return out


def _add(
    out: _Expanded, name: str, kind: Any, default: Any, text: str, *, positional: bool = False, panel: str | None = None
) -> None:
    empty = inspect.Parameter.empty
    kind, optional = _plain_kind(kind)
    element = _element(kind)
    if element is not None and not positional:
        out.lists[name] = element
        kind = list[str]  # may be repeated, and each time hold several values between commas
        out.lacking[name] = default
        if default is not empty:
            joined = ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in default or ())
            default = [joined] if joined else None
        optional = default is None
    if positional and kind in (Path, list[Path]):
        out.inputs.add(name)
    if optional:
        kind = kind | None if not get_origin(kind) else Union[kind, None]  # noqa: UP007
    flag = name.replace("_", "-")
    info: Any
    if positional:
        info = typer.Argument(help=text, metavar=name.upper(), show_default=default not in (None, empty))
    else:
        flags = ["-o", "--out"] if name == "out" else [f"--{flag}"]
        if kind is bool or (optional and _plain_kind(kind)[0] is bool):
            flags = [f"--{flag}/--no-{flag}"] if default is not False else [f"--{flag}"]
        shown = default is not None and default is not False and default not in ("", empty)  # 0 is a default to show
        info = typer.Option(
            *flags, help=text, envvar=ENVIRONMENT.get(name), show_default=shown, rich_help_panel=panel,
            metavar="A,B,..." if element is not None else None,
        )  # fmt: skip
    annotation = Annotated[kind, info]
    out.parameters.append(
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    )


def _plain_kind(kind: Any) -> tuple[Any, bool]:
    """The type without None (and `Path | str` as Path), and whether None was among its alternatives."""
    if get_origin(kind) in (Union, types.UnionType):
        members = [m for m in get_args(kind) if m is not type(None)]
        optional = len(members) < len(get_args(kind))
        if set(members) == {Path, str}:
            members = [Path]
        if len(members) != 1:
            raise TypeError(f"an option of type {kind} has no form on the command line")
        return members[0], optional
    return kind, False


def _element(kind: Any) -> type | None:
    origin = get_origin(kind)
    if origin is None or origin is Literal or not isinstance(origin, type) or not issubclass(origin, (tuple, list)):
        return None
    found: type = get_args(kind)[0]
    return found


def _summary(step: Callable[..., Any]) -> str:
    """The docstring up to its first section: what `--help` says of the command, a line a paragraph."""
    sections = r"\n\s*(?:Args|Attributes|Returns|Raises|Source|Differs|Yields):"
    words = re.split(sections, inspect.getdoc(step) or "")[0].strip()
    return re.sub(r"(?<!\n)\n(?!\n)", " ", words)  # the terminal wraps: the docstring's own lines would break it twice


def help_texts(owner: Any) -> dict[str, str]:
    """The words about each entry in the `Args:` or `Attributes:` section of a docstring."""
    doc = inspect.getdoc(owner) or ""
    match = re.search(r"^(?:Args|Attributes):\n(.*?)(?=^\S|\Z)", doc, re.MULTILINE | re.DOTALL)
    texts: dict[str, str] = {}
    current = ""
    for line in (match.group(1) if match else "").splitlines():
        entry = re.match(r"^ {4}((?:\w+(?:, )?)+): (.*)$", line)
        if entry:
            current = entry.group(1)
            for name in current.split(", "):
                texts[name] = entry.group(2).strip()
        elif line.strip() and current:
            for name in current.split(", "):
                texts[name] += " " + line.strip()
    return texts
