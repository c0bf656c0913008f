"""Docs that say what the code does are held to the code."""

from pathlib import Path

import pytest

from wsscli.cli.reference import reference
from wsscli.methods import METHODS, resolve

ROOT = Path(__file__).parents[1]


def test_cli_reference_is_that_of_the_command_line():
    assert (ROOT / "docs" / "cli.md").read_text() == reference(), "run `make docs`"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_function_its_test_and_its_section(name):
    row = METHODS[name]
    assert callable(resolve(name))
    module = row.target.split(":")[0].split(".")
    assert (ROOT / "tests" / module[1] / f"test_{module[2]}.py").exists()
    assert f"## {name}\n" in (ROOT / "docs" / "methods.md").read_text()
    assert row.summary.endswith(".") and row.source


def test_unknown_methods_are_refused():
    from wsscli.errors import UsageError

    with pytest.raises(UsageError, match="unknown method 'magic'; there are: cam, "):
        resolve("magic")
