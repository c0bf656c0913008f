"""Is a difference between two directories more than the luck of these images?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from wsscli.errors import UsageError
from wsscli.evaluate.confusion import Counts, iou, mean

_CELLS = 1 << 22  # numbers held at once per table while drawing


class PerImage:
    """Counts of every image of a set, kept sparse: an image has few of the classes.

    Memory is 8 bytes a number that is not 0, not images x classes x classes.
    """

    def __init__(self, n_classes: int) -> None:
        self._n = n_classes
        self._columns: list[NDArray[np.int32]] = []
        self._values: list[NDArray[np.int32]] = []

    def add(self, counts: Counts) -> None:
        """Append one image; both sides of a comparison must be added in the same order of images."""
        row = np.concatenate(counts)  # (3 * n_classes)
        columns = np.flatnonzero(row)
        self._columns.append(columns.astype(np.int32))
        self._values.append(row[columns].astype(np.int32))

    def __len__(self) -> int:
        return len(self._columns)

    def table(self) -> sparse.csr_matrix:
        """(images, 3 * n_classes) float64, exact for sums below 2**53: hits, true, predicted pixels."""
        ends = np.cumsum([0, *map(len, self._columns)])
        values = np.concatenate(self._values).astype(np.float64)
        return sparse.csr_matrix((values, np.concatenate(self._columns), ends), (len(self), 3 * self._n))

    def split(self, sums: NDArray[np.float64]) -> Counts:
        """Rows of summed numbers (draws, 3 * n_classes) as counts (draws, n_classes)."""
        whole = np.rint(sums).astype(np.int64)
        return Counts(whole[:, : self._n], whole[:, self._n : 2 * self._n], whole[:, 2 * self._n :])


@dataclass(frozen=True)
class Interval:
    """The mIoU difference `second - first` over the same images, with a percentile interval."""

    difference: float
    low: float
    high: float
    draws: int
    level: float

    @property
    def resolved(self) -> bool:
        """Whether the interval leaves out 0; an effect inside it is not resolved by these images."""
        return self.low > 0 or self.high < 0


def paired_interval(
    first: PerImage,
    second: PerImage,
    *,
    classes: list[int] | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Draw the images again and again with replacement, the same ones for both sides.

    Every draw sums the counts of its images and takes the mIoU of the sums, as the table does for the set.

    Args:
        first: counts of the reference, one entry an image.
        second: counts of the other directory, same images in the same order.
        classes: ids that the mean runs over; all by default.
        draws: number of resampled sets.
        level: probability mass of the interval.
        seed: of the draws; the same seed gives the same interval.

    Raises:
        UsageError: for fewer than 2 draws, or when there are no images, or not equally many on both sides.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).
    """
    n = len(first)
    if n == 0 or n != len(second):
        raise UsageError(
            f"bootstrap: {n} images on one side, {len(second)} on the other; it compares the same images, so "
            "both directories need all of them"
        )
    tables = [(side, side.table()) for side in (first, second)]

    def difference(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b = (np.array([mean(row, classes) for row in iou(side.split(weights @ table))]) for side, table in tables)
        out: NDArray[np.float64] = b - a
        return out

    return resample(difference, n, draws=draws, level=level, seed=seed)


def resample(
    difference: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    n: int,
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The percentile interval of a difference over resampled sets of n images.

    Args:
        difference: how often each image is in each drawn set, (sets, n), -> the difference of each set, (sets,).
        n: number of images.
        draws: number of resampled sets.
        level: probability mass of the interval.
        seed: of the draws.

    Raises:
        UsageError: for fewer than 2 draws.
    """
    if draws < 2:
        raise UsageError(f"--draws {draws}: an interval needs at least 2 draws; 1000 is usual")
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS // n)
    drawn: list[NDArray[np.float64]] = []
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        picks = rng.integers(0, n, (rows, n))
        # (rows, n): how often each image is in each draw
        weights = np.stack([np.bincount(p, minlength=n) for p in picks]).astype(np.float64)
        drawn.append(difference(weights))
    tail = (1 - level) / 2
    low, high = np.nanquantile(np.concatenate(drawn), [tail, 1 - tail])
    return Interval(float(difference(np.ones((1, n)))[0]), float(low), float(high), draws, level)
