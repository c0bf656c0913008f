"""A table of images: `image,labels[,split][,mask]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.base import Dataset, LabelList, Labels, WithoutObjects
from wsscli.data.classlist import read_class_list
from wsscli.data.files import missing_files
from wsscli.data.ids import check_id, first_few, split_suffix
from wsscli.data.labels import open_labels
from wsscli.data.rows import CellReader, Row, label_ids, read_rows
from wsscli.data.splits import choose_split
from wsscli.errors import WssError


@dataclass(frozen=True)
class CsvSource(WithoutObjects):
    """The rows of one split: {id: (image's suffix, labels, mask's path or '')}, paths relative to `root`."""

    table: Path
    rows: dict[str, tuple[str, Labels | None, str]]

    def _row(self, name: str) -> tuple[str, Labels | None, str]:
        if name not in self.rows:
            raise WssError(f"{self.table}: no row for an image with the id '{name}' in this split; check the id list")
        return self.rows[name]

    def image_path(self, name: str) -> Path:
        return self.table.parent / f"{name}{self._row(name)[0]}"

    def labels(self, name: str) -> Labels | None:
        return self._row(name)[1]

    def truth(self, name: str) -> NDArray[np.uint8] | None:
        from wsscli.maskdir.png import read_mask

        mask = self._row(name)[2]
        return read_mask(self.table.parent / mask) if mask else None

    def truth_missing(self, name: str) -> str | None:
        return None if self._row(name)[2] else f"a mask in its row of {self.table}"


def looks_like_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv" if path.is_file() else len(_tables(path)) == 1


def _tables(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            if "image" in [cell.strip() for cell in stream.readline(4096).split(",")]:
                found.append(path)
    return found


def open_csv(path: Path, split: str | None, labels: Path | None, classes: ClassTable | None) -> Dataset:
    """Open a table of images, or the folder that holds one.

    Images (and masks) are paths relative to the table's folder, which is the image root. Several labels stand in
    one cell, between `;` or `|`; where no cell of the file uses those, blanks separate. An empty cell says that
    the image has none of the classes.

    Class names are those of `classes`, else of classes.txt beside the table, else all names of the table (every
    split), sorted.

    Raises:
        WssError: no header, no rows, unsafe or missing images, an image twice, an unknown class, no such split.
    """
    table = path
    if path.is_dir():
        tables = _tables(path)
        if len(tables) != 1:
            what = (
                f"several tables ({', '.join(t.name for t in tables)})" if tables else "no table with a column 'image'"
            )
            raise WssError(f"{path}: {what}; give the .csv file itself")
        table = tables[0]
    rows = read_rows(table)
    splits = sorted({row.split for row in rows})
    if "" in splits and len(splits) > 1:
        line = next(row.line for row in rows if not row.split)
        raise WssError(f"{table}, line {line}: no split in this row, others have one; fill the column")
    chosen = choose_split(path, splits if splits != [""] else ["all"], split)
    given = classes or read_class_list(table.parent)
    names = CellReader(rows, given)
    found = given or ClassTable.of(sorted({name for row in rows for name in names(row.labels)}))
    kept: dict[str, tuple[str, Labels | None, str]] = {}
    for row, name, suffix in _named(table, rows):
        if row.split in (chosen, ""):
            kept[name] = (suffix, label_ids(table, row, names, found), row.mask)
    _check_files(table, kept)
    label_list: LabelList | None = open_labels(labels, found) if labels else None
    has_truth = any(mask for _, _, mask in kept.values())
    return Dataset(path, "csv", chosen, found, tuple(kept), CsvSource(table, kept), label_list, has_truth)


def _named(table: Path, rows: Sequence[Row]) -> Iterator[tuple[Row, str, str]]:
    """Every row with its id and suffix, checked over all splits."""
    seen: dict[str, int] = {}
    for row in rows:
        where = f"{table}, line {row.line}"
        name, suffix = split_suffix(row.image)
        check_id(name, where)
        if not suffix:
            raise WssError(f"{where}: the image '{row.image}' has no suffix; write the file's whole name")
        if row.mask:
            check_id(row.mask, where)
        if name in seen:
            raise WssError(f"{where}: the id '{name}' stands already in line {seen[name]}; list every image once")
        seen[name] = row.line
        yield row, name, suffix


def _check_files(table: Path, kept: dict[str, tuple[str, Labels | None, str]]) -> None:
    wanted = [f"{name}{suffix}" for name, (suffix, _, _) in kept.items()]
    missing = missing_files(table.parent, wanted + [mask for _, _, mask in kept.values() if mask])
    if missing:
        raise WssError(
            f"{table}: {len(missing)} files of the table are not in {table.parent}: {first_few(missing)}; paths are "
            "relative to the table's folder: add the files or take the rows out"
        )
