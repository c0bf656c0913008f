"""Boxes around objects: those of a data set, checked against their photo, and those of a list file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.files import is_image_name
from wsscli.data.ids import check_id, read_lines, split_suffix
from wsscli.errors import WssError

_GROUP = 5  # x1 y1 x2 y2 class


@dataclass(frozen=True)
class Boxes:
    """The boxes of one photo.

    Attributes:
        boxes: float32 (n,4), x0, y0, x1, y1 in pixels from the photo's left upper corner; x1 and y1 are ends: the box
            of the first pixel is 0, 0, 1, 1. Within the photo, and never empty.
        labels: int64 (n,), class ids.
        difficult: bool (n,), VOC's mark of objects that detectors are not judged by.
        crowd: bool (n,), COCO's mark of boxes around many objects.
        clipped: how many boxes reached beyond the photo and were cut to it.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    clipped: int = 0

    def __len__(self) -> int:
        return len(self.labels)


class RawBox(NamedTuple):
    """A box as a format's reader found it, ends exclusive; `where` and `text` are its place and its words there."""

    label: int
    corners: tuple[float, float, float, float]
    where: str
    text: str
    difficult: bool = False
    crowd: bool = False


def check_boxes(raw: Sequence[RawBox], size: tuple[int, int]) -> Boxes:
    """The boxes of a photo, cut to it.

    Args:
        raw: as they were read.
        size: (H,W) of the photo.

    Raises:
        WssError: a box has a corner that is no number, no area, or lies wholly outside the photo.
    """
    height, width = size
    corners = np.zeros((len(raw), 4), np.float32)
    clipped = 0
    for row, box in zip(corners, raw, strict=True):
        if not all(map(math.isfinite, box.corners)):
            raise WssError(f"{box.where} has the box {box.text}, which is not of numbers; mend or delete it")
        x0, y0, x1, y1 = box.corners
        if x1 <= x0 or y1 <= y0:
            raise WssError(f"{box.where} has the box {box.text}, which holds no pixel; mend or delete it")
        inside = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        row[:] = inside
        if row[2] <= row[0] or row[3] <= row[1]:
            raise WssError(
                f"{box.where} has the box {box.text}, outside its photo of {width}x{height} (width x height); mend or "
                "delete it"
            )
        clipped += inside != box.corners
    return Boxes(
        corners,
        np.array([box.label for box in raw], np.int64),
        np.array([box.difficult for box in raw], np.bool_),
        np.array([box.crowd for box in raw], np.bool_),
        clipped,
    )


@dataclass(frozen=True)
class BoxList:
    """Boxes from a text file of their own.

    Attributes:
        path: the file.
        lines: id -> the words behind its file name, and the number of its line.
        classes: the class table.
    """

    path: Path
    lines: dict[str, tuple[int, tuple[str, ...]]]
    classes: ClassTable

    def boxes(self, name: str) -> list[RawBox] | None:
        """The boxes of an image; None when the file does not list it."""
        if name not in self.lines:
            return None
        number, words = self.lines[name]
        return [self._box(number, i // _GROUP + 1, words[i : i + _GROUP]) for i in range(0, len(words), _GROUP)]

    def _box(self, line: int, count: int, words: Sequence[str]) -> RawBox:
        where, text = f"{self.path}, line {line}: object {count}", " ".join(words)
        try:
            xmin, ymin, xmax, ymax = map(float, words[:4])
            label = int(words[4])
        except ValueError as error:
            raise WssError(f"{where} is '{text}'; give x1 y1 x2 y2 and the class's number") from error
        if not 0 <= label < len(self.classes) - 1:
            raise WssError(
                f"{where} is of class {label}, but there are {len(self.classes) - 1} classes and the first is 0; mend "
                "the list"
            )
        return RawBox(label + 1, (xmin - 1, ymin - 1, xmax, ymax), where, text)


def _file_and_words(line: str) -> tuple[str, list[str]]:
    """A line's file name, which may hold blanks where it ends as an image's does, and the words behind it."""
    for end in re.finditer(r"\S(?=\s|$)", line):
        if is_image_name(line[: end.end()]):
            return line[: end.end()].strip(), line[end.end() :].split()
    file, *words = line.split()
    return file, words


def open_box_list(path: Path, classes: ClassTable) -> BoxList:
    """Open a list of boxes, one image a line: its file's name, then x1 y1 x2 y2 class for every object.

    A name with blanks needs its suffix.

    Corners are VOC's, pixels counted from 1 and both inside; classes count from 0 without the background.

    Args:
        path: the file.
        classes: the data set's table.

    Raises:
        WssError: no such file, a line that does not hold groups of five, an image twice. Numbers are read when an
            image's boxes are asked for.
    """
    lines: dict[str, tuple[int, tuple[str, ...]]] = {}
    for number, line in read_lines(path):
        file, words = _file_and_words(line)
        name, _ = split_suffix(file)
        check_id(name, f"{path}, line {number}")
        if len(words) % _GROUP:
            raise WssError(
                f"{path}, line {number}: {len(words)} numbers behind '{file}', not groups of five; give "
                "x1 y1 x2 y2 class for every object"
            )
        if name in lines:
            raise WssError(
                f"{path}, line {number}: the image '{name}' stands already in line {lines[name][0]}; list every "
                "image once"
            )
        lines[name] = number, tuple(words)
    return BoxList(path, lines, classes)
