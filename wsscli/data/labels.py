"""Image-level labels from a file of their own: `cls_labels.npy` or a CSV."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsscli.classes import ClassTable
from wsscli.data.base import LabelList, Labels
from wsscli.data.ids import split_suffix
from wsscli.data.images import SUFFIXES
from wsscli.data.restricted import read_pickle
from wsscli.data.rows import CellReader, label_ids, read_rows
from wsscli.errors import WssError

_VOC_ID = re.compile(r"(\d{4})_(\d{6})")


@dataclass(frozen=True)
class VectorLabels:
    """The dictionary of a `cls_labels.npy`: id -> vector of zeros and ones, one entry a foreground class.

    Keys are ids (psa) or integers (irn: 2007000032 for 2007_000032, and 30 for COCO's 000000000030).
    """

    path: Path
    vectors: dict[Any, Any]
    classes: ClassTable

    def labels(self, name: str) -> Labels | None:
        vector = self.vectors.get(name)
        if vector is None:
            number = _as_number(name)
            vector = self.vectors.get(number) if number is not None else None
        if vector is None:
            return None
        values = np.asarray(vector)
        if values.ndim != 1 or len(values) != len(self.classes) - 1:
            raise WssError(
                f"{self.path}: the labels of '{name}' have the shape {values.shape}, but the data set has "
                f"{len(self.classes) - 1} foreground classes; use the label file of these classes"
            )
        if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise WssError(
                f"{self.path}: the labels of '{name}' are not zeros and ones; write 1 where the class is there"
            )
        return tuple(int(index) + 1 for index in np.flatnonzero(values))


def _as_number(name: str) -> int | None:
    match = _VOC_ID.fullmatch(name)
    if match:
        return int(match[1] + match[2])
    return int(name) if name.isascii() and name.isdigit() else None


@dataclass(frozen=True)
class NamedLabels:
    """Labels of a CSV file: id -> class ids."""

    path: Path
    found: dict[str, Labels]

    def labels(self, name: str) -> Labels | None:
        return self.found.get(name)


def open_labels(path: Path, classes: ClassTable) -> LabelList:
    """Open a file of image-level labels.

    Args:
        path: `.npy` (or `.pkl`) with a pickled dictionary id -> vector, or `.csv` with the columns image and
            labels, where the image is an id, with or without its suffix.
        classes: the class table the labels speak of.

    Raises:
        WssError: no such file, not a dictionary, anything else pickled in it, an image twice, an unknown class.
    """
    if path.suffix.lower() == ".csv":
        return _open_csv(path, classes)
    content = read_pickle(path)
    if not isinstance(content, dict) or not content:
        raise WssError(
            f"{path}: holds a {type(content).__name__}, but image-level labels are a dictionary id -> vector "
            "(cls_labels.npy) or a CSV image,labels"
        )
    return VectorLabels(path, content, classes)


def _open_csv(path: Path, classes: ClassTable) -> NamedLabels:
    rows = read_rows(path)
    names = CellReader(rows, classes)
    found: dict[str, Labels] = {}
    for row in rows:
        name, suffix = split_suffix(row.image)
        name = name if suffix.lower() in SUFFIXES else row.image
        labels = label_ids(path, row, names, classes)
        if labels is None:
            raise WssError(f"{path}: no column 'labels'; write image,labels")
        if name in found:
            raise WssError(f"{path}, line {row.line}: the id '{name}' stands twice; list every image once")
        found[name] = labels
    return NamedLabels(path, found)
