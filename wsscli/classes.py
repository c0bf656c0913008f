"""The class table: which id stands for which name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from wsscli.errors import WssError

BACKGROUND = 0
IGNORE = 255  # unlabelled: never a class
MAX_FOREGROUND = 254  # ids 1..254 fit between background and 255 in 8 bits


@dataclass(frozen=True)
class ClassTable:
    """Class names in the order of their ids; `names[0]` is the background.

    Raises:
        WssError: when a name is empty or stands twice, when the first is not `background`, or when there are
            more than 254 foreground classes.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names or self.names[0] != "background":
            first = self.names[0] if self.names else ""
            raise WssError(f"class table: id 0 must be named 'background', not '{first}'")
        if len(self.names) - 1 > MAX_FOREGROUND:
            raise WssError(
                f"class table: {len(self.names) - 1} foreground classes, but 8-bit masks hold at most "
                f"{MAX_FOREGROUND}; merge or drop classes"
            )
        seen: set[str] = set()
        for name in self.names:
            if not name.strip():
                raise WssError("class table: a class name is empty; give every class a name")
            if name in seen:
                raise WssError(f"class table: the name '{name}' stands twice; names must differ")
            seen.add(name)

    @classmethod
    def of(cls, foreground: Iterable[str]) -> ClassTable:
        """The table of these foreground names, in this order, behind the background."""
        return cls(("background", *foreground))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def foreground(self) -> tuple[str, ...]:
        return self.names[1:]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def id(self, name: str) -> int:
        """The id of a name.

        Raises:
            WssError: when the table has no such name; the message lists near names.
        """
        found = self._ids.get(name)
        if found is None:
            near = get_close_matches(name, self.names, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known: {_short(self.names)}"
            raise WssError(f"unknown class '{name}'; {hint}")
        return found


FOREGROUND = ClassTable.of(["foreground"])
"""The table of class-free masks: 1 is some object. It may stand beside a data set of any classes."""


def _short(names: tuple[str, ...], most: int = 25) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)} in all)"
