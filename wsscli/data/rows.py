"""Reading a table of images: rows, and the names in a labels cell."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from wsscli.classes import ClassTable
from wsscli.data.base import Labels
from wsscli.errors import WssError

_COLUMNS = {"image": "image", "labels": "labels", "label": "labels", "split": "split", "mask": "mask"}
_STRONG = re.compile(r"[;|]")


class Row(NamedTuple):
    """One line: `labels` is None where the file has no such column."""

    line: int
    image: str
    labels: str | None
    split: str
    mask: str


def read_rows(table: Path) -> list[Row]:
    """All rows of a table.

    Raises:
        WssError: not readable, no header with a column `image`, an unknown column twice, rows of another length.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            return list(_rows(table, stream))
    except FileNotFoundError as error:
        raise WssError(f"{table}: no such file; check the path") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WssError(f"{table}: cannot be read as CSV ({error}); save it with commas, as UTF-8") from error


def _rows(table: Path, stream: TextIO) -> Iterator[Row]:
    reader = csv.reader(stream, strict=True)
    header = [cell.strip().lower() for cell in next(reader, [])]
    columns = {_COLUMNS[cell]: index for index, cell in enumerate(header) if cell in _COLUMNS}
    if "image" not in columns:
        shown = ", ".join(header) or "nothing"
        raise WssError(f"{table}: the first line must name a column 'image' (it names: {shown}); write image,labels")
    if len(columns) < sum(cell in _COLUMNS for cell in header):
        raise WssError(f"{table}: the first line names a column twice ({', '.join(header)}); keep one of them")
    empty = True
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise WssError(
                f"{table}, line {reader.line_num}: {len(cells)} cells, the header has {len(header)}; quote cells that "
                "hold commas"
            )
        empty = False
        values = {name: cells[index].strip() for name, index in columns.items()}
        image = values["image"].removeprefix("./")
        yield Row(reader.line_num, image, values.get("labels"), values.get("split", ""), values.get("mask", ""))
    if empty:
        raise WssError(f"{table}: no rows; write one image a line")


class CellReader:
    """Splits a labels cell into names; which characters separate is settled once, over the whole file."""

    def __init__(self, rows: Sequence[Row], table: ClassTable | None) -> None:
        self.strong = any(_STRONG.search(row.labels or "") for row in rows)
        self.known = frozenset(table.foreground if table else ())

    def __call__(self, cell: str | None) -> list[str]:
        text = (cell or "").strip()
        if text in self.known:
            return [text]
        parts = _STRONG.split(text) if self.strong else text.split()
        return [part.strip() for part in parts if part.strip()]


def label_ids(table: Path, row: Row, names: CellReader, classes: ClassTable) -> Labels | None:
    """The class ids of a row's labels, ascending, each once; None where the table has no labels column.

    Raises:
        WssError: a name that is not in the class table, with near names.
    """
    if row.labels is None:
        return None
    try:
        return tuple(sorted({classes.id(name) for name in names(row.labels)}))
    except WssError as error:
        raise WssError(f"{table}, line {row.line}: {error}") from error
