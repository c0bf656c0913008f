from types import SimpleNamespace

import pytest

from wsscli.cli.app import load
from wsscli.cli.parameters import choices, kind


@pytest.mark.parametrize(
    ("command", "name", "wanted"),
    [
        ("crf", "out", "PATH"),
        ("crf", "iterations", "INT"),
        ("grow", "theta_fg", "FLOAT"),
        ("predict", "device", "TEXT"),
    ],
)
def test_kinds_in_the_typer_that_is_here(command, name, wanted):
    found = next(p for p in load(command).params if p.name == name)
    assert kind(found) == wanted and choices(found) == ()


def test_choices_in_the_typer_that_is_here():
    assert choices(next(p for p in load("crf").params if p.name == "engine")) == ("lattice", "pydensecrf")


def test_parameters_of_a_typer_that_is_click():
    assert kind(SimpleNamespace(type=SimpleNamespace(name="integer"))) == "INT"
    engine = SimpleNamespace(type=SimpleNamespace(name="choice", choices=["a", "b"]))
    assert choices(engine) == ("a", "b")
