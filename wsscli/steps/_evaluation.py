"""What every kind of evaluation has in common: how its numbers are asked for, whatever was judged."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

FORMAT = "wss-eval"
VERSION = 1


class Measured(NamedTuple):
    """The number of a directory that counts.

    Attributes:
        directory: as it was given.
        name: of the number, `mIoU`.
        value: in 0..1; NaN where there was nothing to judge.
        of: what the value is of beside the directory, in words that begin with a blank; mostly nothing.
    """

    directory: str
    name: str
    value: float
    of: str = ""


@dataclass(frozen=True)
class Grid:
    """A table to look at.

    Attributes:
        title: above it.
        header: of its columns; "\\n" where a line may end.
        rows: the cells.
        texts: how many columns, from the left, are words; the others are numbers.
        best: the row that stands out.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    texts: int = 1
    best: int | None = None


class Judged(Protocol):
    """What an evaluation found; each kind has one of its own in a module `_eval_*`."""

    @property
    def kind(self) -> str:
        """What was judged: masks, proposals, boxes or instances."""
        ...

    @property
    def split(self) -> str:
        """Of the truth."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain data; None in place of NaN, which JSON does not have."""
        ...

    def to_table(self, *, per_class: bool = False) -> list[list[str]]:
        """Header and rows for CSV; numbers in full, empty in place of NaN, lists joined by blanks."""
        ...

    def grids(self, *, per_class: bool = False) -> list[Grid]:
        """What is shown."""
        ...

    def notes(self) -> list[str]:
        """What the numbers mean: images, rules, classes, ledger."""
        ...

    def measured(self) -> list[Measured]:
        """What `--fail-under` looks at, of each directory."""
        ...


def csv_text(table: list[list[str]]) -> str:
    """Lines of cells as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(table)
    return buffer.getvalue()


def finite(value: Any) -> Any:
    """None in place of NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(value: float) -> str:
    """A share as tables have it."""
    return "-" if math.isnan(value) else f"{value:.4f}"


def counted(number: int, one: str, several: str) -> str:
    """A number and what it counts."""
    return f"{number} {one if number == 1 else several}"
