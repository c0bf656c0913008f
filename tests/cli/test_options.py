import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from wsscli.cli.options import command, help_texts, read_stdin_path
from wsscli.errors import PartialError, UsageError


@dataclass(frozen=True)
class Group:
    """Some options.

    Attributes:
        data: The data.
        deep: How deep.
    """

    data: Path | None = None
    deep: int = 2


def step(
    source: Path,
    out: Path,
    *,
    needed: float,
    engine: Literal["fast", "slow"] = "fast",
    scales: tuple[float, ...] = (0.5, 1.0),
    names: tuple[str, ...] | None = None,
    flip: bool = True,
    quiet: bool = False,
    group: Group = Group(),
) -> str:
    """Do a thing.

    It is done well.

    Args:
        source: Where from.
        out: Where to.
        needed: A number
            of two lines.
        engine: Which engine.
        scales: Sizes.
        names: Names.
        flip: Mirror.
        quiet: Less.
        group: Common.

    Returns:
        Something.
    """
    if source.name == "partial":
        raise PartialError("some failed")
    if source.name == "within":
        raise PartialError("some failed", out / "last")
    return repr((source, out, needed, engine, scales, names, flip, quiet, group))


def run(*words, finish=None, stdin=None):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command(step, finish=finish))
    return CliRunner().invoke(app, list(words), input=stdin)


def test_defaults_and_help_come_from_the_step():
    plain = run("--help").output.replace("│", " ")
    for words in ("Do a thing.", "It is done well.", "A number of two lines.", "--flip", "--no-flip", "--quiet", "--deep",
                  "WSS_DATA", "fast|slow", "default: 0.5,1", "default: 2", "-o"):  # fmt: skip
        assert words in " ".join(plain.split()), words
    assert "--no-quiet" not in plain and "Something" not in plain


def test_values_arrive_with_their_types():
    words = [
        "a/b",
        "-o",
        "c",
        "--needed",
        "2.5",
        "--scales",
        "1,1.5",
        "--names",
        "x, y",
        "--no-flip",
        "--deep",
        "7",
        "--engine",
        "slow",
    ]
    assert eval(run(*words).stdout.replace("PosixPath", "Path")) == (
        Path("a/b"), Path("c"), 2.5, "slow", (1.0, 1.5), ("x", "y"), False, False, Group(None, 7),
    )  # fmt: skip


def test_options_of_several_values_may_be_repeated():
    words = ["a", "-o", "c", "--needed", "1", "--scales", "1,1.5", "--scales", "2"]
    assert eval(run(*words).stdout.replace("PosixPath", "Path"))[4] == (1.0, 1.5, 2.0)


def test_defaults_arrive_untouched():
    result = run("a", "-o", "c", "--needed", "1")
    assert eval(result.stdout.replace("PosixPath", "Path"))[3:] == ("fast", (0.5, 1.0), None, True, False, Group())


def test_the_environment_names_the_data(monkeypatch):
    monkeypatch.setenv("WSS_DATA", "/voc")
    assert "Group(data=PosixPath('/voc')" in run("a", "-o", "c", "--needed", "1").stdout


def test_a_dash_reads_the_pipe():
    assert run("-", "-o", "c", "--needed", "1", stdin="runs/seeds\n").stdout.startswith("(PosixPath('runs/seeds')")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no directory came through the pipe; the command before it failed"),
        ("a\nb\n", "2 lines came through the pipe"),
    ],
)
def test_a_pipe_without_a_directory(monkeypatch, text, message):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(UsageError, match=message):
        read_stdin_path()


def test_a_dash_without_a_pipe(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(UsageError, match="'-' reads a directory's path from stdin, but nothing is piped in"):
        read_stdin_path()


def test_wrong_elements_of_a_list():
    result = run("a", "-o", "c", "--needed", "1", "--scales", "1,big")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "--scales 1,big: give float values separated by commas"


def test_wrong_choices_and_missing_options_are_usage_errors():
    assert run("a", "-o", "c", "--needed", "1", "--engine", "steam").exit_code == 2
    assert run("a", "-o", "c").exit_code == 2


def test_some_failed_still_prints_the_directory():
    result = run("partial", "-o", "c", "--needed", "1")
    assert result.stdout == "c\n" and isinstance(result.exception, PartialError)
    result = run("within", "-o", "c", "--needed", "1")  # the last of several rounds
    assert result.stdout == "c/last\n" and isinstance(result.exception, PartialError)


def test_finish_gets_the_result_and_its_own_options():
    def finish(result: str, *, json: bool = False) -> None:
        """Print.

        Args:
            json: As JSON.
        """
        sys.stdout.write(f"{'J' if json else 'T'} {len(result) > 5}\n")

    assert run("a", "-o", "c", "--needed", "1", "--json", finish=finish).stdout == "J True\n"
    assert run("a", "-o", "c", "--needed", "1", finish=finish).stdout == "T True\n"


def test_help_texts_reads_several_names_at_once():
    def function():
        """X.

        Args:
            a, b: Both
                of them.
            c: One.
        """

    assert help_texts(function) == {"a": "Both of them.", "b": "Both of them.", "c": "One."}


def test_an_option_of_the_step_s_own_stands_for_a_field_of_the_same_name():
    def narrow(source: Path, out: Path, *, deep: Path, group: Group = Group()) -> str:
        """Do it.

        Args:
            source: Where from.
            out: Where to.
            deep: A file of depths.
            group: Common.
        """
        return repr((source, out, deep, group))

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command(narrow))
    assert "A file of depths." in CliRunner().invoke(app, ["--help"]).output
    assert "How deep" not in CliRunner().invoke(app, ["--help"]).output
    result = CliRunner().invoke(app, ["a", "-o", "b", "--deep", "c", "--data", "d"])
    assert eval(result.stdout.replace("PosixPath", "Path"))[2:] == (Path("c"), Group(Path("d"), 2))
    assert CliRunner().invoke(app, ["a", "-o", "b"]).exit_code == 2
