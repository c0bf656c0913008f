"""What a command's parameters are, in every Typer that wss runs with.

Up to 0.28 Typer's parameters are click's and have a `type`; later ones have a `type_descriptor` instead.
"""

from __future__ import annotations

from typing import Any

_KINDS = {"text": "TEXT", "str": "TEXT", "path": "PATH", "integer": "INT", "int": "INT", "float": "FLOAT"}


def choices(parameter: Any) -> tuple[str, ...]:
    """The values that an option takes; empty when it takes any."""
    descriptor = getattr(parameter, "type_descriptor", None)
    found = getattr(parameter.type, "choices", None) if descriptor is None else descriptor.choices
    return tuple(str(value) for value in found or ())


def kind(parameter: Any) -> str:
    """TEXT, PATH, INT or FLOAT; `A,B,...` for several values."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if getattr(parameter, "multiple", False):
        return "A,B,..."
    name = parameter.type.name if descriptor is None else getattr(descriptor.annotation, "__name__", "text")
    return _KINDS.get(name.lower(), name.upper())
