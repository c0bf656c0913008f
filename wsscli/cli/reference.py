"""docs/cli.md, made from the command line itself: `python -m wsscli.cli.reference docs/cli.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wsscli.cli.app import COMMANDS, Table, load
from wsscli.cli.parameters import choices, kind

HEAD = """# The command line

Made from the commands themselves (`make docs`); a test holds it to `--help`.

- stdout carries only the result: the path of the directory written, or the numbers with `--json`. Notes, tables and
  progress go to stderr.
- `-` in place of a directory reads its path from stdin, so steps chain with `|`.
- Exit codes: 0 done; 1 an error, in one line on stderr; 2 the call itself is off; 3 done, but some images failed
  (`--keep-going`); 4 `eval --fail-under` missed.
- Run again with the same options, a complete output is left alone and an incomplete one goes on where it stopped;
  with other options it is an error that shows the option; `--overwrite` replaces.
- `--data` and `--split` may come from WSS_DATA and WSS_SPLIT; steps behind another one take them from its manifest.
"""


def reference() -> str:
    """The whole page."""
    parts = [HEAD]
    for words, command in _leaves(COMMANDS):
        parts.append(_section(words, command))
    return "\n".join(parts)


def _leaves(table: Table, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, (target, _) in table.items():
        if isinstance(target, dict):
            yield from _leaves(target, (*prefix, name))
        else:
            yield (*prefix, name), load(name, table)


def _section(words: tuple[str, ...], command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join(["wss", *words, *(_argument(a) for a in arguments), "[OPTIONS]"])
    lines = [f"## wss {' '.join(words)}", "", inspect.cleandoc(command.help or ""), "", f"    {usage}", ""]
    lines += [f"- `{a.name.upper()}`: {a.help}" for a in arguments]
    if arguments:
        lines.append("")
    lines += ["| option | default | meaning |", "| --- | --- | --- |"]
    lines += [f"| {_names(o)} | {_default(o)} | {_meaning(o)} |" for o in options]
    return "\n".join(lines) + "\n"


def _argument(argument: Any) -> str:
    name = argument.name.upper()
    name = f"{name}..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(f"`{n}`" for n in option.opts)
    if option.secondary_opts:
        names += " / " + ", ".join(f"`{n}`" for n in option.secondary_opts)
    values = choices(option)
    if values:
        return names + " " + " \\| ".join(values)
    return names if option.is_flag else f"{names} {kind(option)}"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.default is None or option.default is False or option.default in ("", ()):
        return ""
    if option.default is True:
        return "on"
    value = ",".join(option.default) if option.multiple else str(option.default)
    return value.replace("|", "\\|")


def _meaning(option: Any) -> str:
    text = (option.help or "").replace("|", "\\|")
    return f"{text} (also {option.envvar})" if option.envvar else text


if __name__ == "__main__":
    page = reference()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)
