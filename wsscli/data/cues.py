"""Seed files of SEC and DSRG: a pickled dictionary of cues, and the list that numbers its images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.ids import check_id, read_lines, split_suffix
from wsscli.data.images import SUFFIXES
from wsscli.data.restricted import read_pickle
from wsscli.errors import WssError

Cues = NDArray[np.int64]
_NUMBER = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class CueFile:
    """The cues of many images.

    Attributes:
        path: the pickle.
        entries: `<n>_cues` -> integers (3, N); other entries (`<n>_labels`, the image-level labels) are not read.
    """

    path: Path
    entries: dict[Any, Any]

    def fault(self, number: int | None) -> str | None:
        """Why there are no cues of an image, None when there are some.

        Args:
            number: the image's number in the list, None when it is not listed.
        """
        if number is None:
            return "not in the list of the cues' images"
        cues = self.entries.get(f"{number}_cues")
        if cues is None:
            return "no cues in the file"
        return "no cue in its entry" if isinstance(cues, np.ndarray) and cues.size == 0 else None

    def read(self, number: int, classes: ClassTable, grid: int) -> Cues:
        """The cues of one image, int64 (3, N): class id (0 background), row, column.

        Args:
            number: the image's number; it has an entry.
            classes: the table that the class ids must be of.
            grid: rows and columns of the grid.

        Raises:
            WssError: an entry of another kind, an unknown class, or a row or column outside the grid.
        """
        key = f"{number}_cues"
        cues = self.entries[key]
        if not isinstance(cues, np.ndarray) or cues.dtype.kind not in "iu" or cues.ndim != 2 or len(cues) != 3:
            what = f"{cues.dtype} of shape {cues.shape}" if isinstance(cues, np.ndarray) else type(cues).__name__
            raise WssError(
                f"{self.path}: '{key}' is a {what}, but cues are integers of shape (3, N): class, row, column"
            )
        low, high = cues.min(axis=1).tolist(), cues.max(axis=1).tolist()
        end = len(classes) - 1
        if low[0] < 0 or high[0] > end:
            raise WssError(
                f"{self.path}: '{key}' holds the class {low[0] if low[0] < 0 else high[0]}, but the class table goes "
                f"from 0 to {end} ({classes.names[-1]}); name the data set (or --class-names) that the cues are of"
            )
        for axis, name in ((1, "row"), (2, "column")):
            if low[axis] < 0 or high[axis] >= grid:
                raise WssError(
                    f"{self.path}: '{key}' holds the {name} {low[axis] if low[axis] < 0 else high[axis]}, but the grid "
                    f"goes from 0 to {grid - 1}; give the cues' rows and columns with --grid"
                )
        return cues.astype(np.int64)


def open_cues(path: Path) -> CueFile:
    """Read a file of cues: a pickled dictionary (python 2 or 3), gzip or not.

    Raises:
        WssError: not readable, not a dictionary, without any `<n>_cues`, or naming what a pickle may not.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise WssError(
            f"{path}: holds a {type(content).__name__}, but cues are a dictionary '<n>_cues' -> integers (3, N)"
        )
    if not any(isinstance(key, str) and key.endswith("_cues") for key in content):
        first = f", the first is {next(iter(content))!r}" if content else ""
        raise WssError(f"{path}: none of its {len(content)} entries is called '<n>_cues'{first}; give SEC's seed file")
    return CueFile(path, content)


def read_numbers(path: Path) -> dict[str, int]:
    """The list that numbers the images of a cue file: `2008_007028.jpg 0`, a line an image.

    Returns:
        Image id -> number.

    Raises:
        WssError: not readable, a line without a number, an unsafe id, or an image or number that stands twice.
    """
    numbers: dict[str, int] = {}
    lines: dict[int, int] = {}
    for at, line in read_lines(path):
        words = line.rsplit(None, 1)
        if len(words) != 2 or not _NUMBER.fullmatch(words[1]):
            raise WssError(
                f"{path}, line {at}: '{line.strip()}' has no number behind the image's name; a line is "
                "'2008_007028.jpg 0', the number is that of '0_cues' in the cue file"
            )
        name, suffix = split_suffix(words[0].strip())
        name = check_id(name if suffix.lower() in SUFFIXES else words[0].strip(), f"{path}, line {at}")
        number = int(words[1])
        if name in numbers:
            raise WssError(f"{path}, line {at}: the image '{name}' stands twice; list every image once")
        if number in lines:
            raise WssError(f"{path}, line {at}: the number {number} stands already in line {lines[number]}")
        numbers[name], lines[number] = number, at
    if not numbers:
        raise WssError(f"{path}: no image in this list; write '2008_007028.jpg 0', a line an image")
    return numbers
