"""Groups of options as a step sees them: which were given, and what they are called on the command line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def changed(group: Any) -> list[str]:
    """Names of the fields of an option group (a dataclass) that are not at their default."""
    return [field.name for field in fields(group) if getattr(group, field.name) != field.default]


def flag(name: str) -> str:
    """The option of a parameter: theta_fg -> --theta-fg."""
    return "--" + name.replace("_", "-")
