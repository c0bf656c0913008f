"""Foreground segmentation: the Jaccard index of every image, averaged per class, then over the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsscli.evaluate.bootstrap import Interval, resample
from wsscli.evaluate.confusion import Counts, mean

FOREGROUND_ROW = 1  # of the counts: 0 background, 1 foreground


class Groups(NamedTuple):
    """Which images count for which class.

    Attributes:
        names: (C,) of the classes.
        member: bool (images, C); an image may be of several.
    """

    names: tuple[str, ...]
    member: NDArray[np.bool_]


def jaccards(images: Sequence[Counts], objects: Sequence[int]) -> NDArray[np.float64]:
    """Intersection over union of the foreground, (images,), in 0..1; NaN where there is nothing to judge.

    That is where the truth holds no foreground, and, under the rule `skip`, where all of it is unlabelled in the
    prediction, which finds none elsewhere.

    Args:
        images: counts of background and foreground of every image, under the rule for unlabelled pixels.
        objects: pixels of the true foreground of every image, whatever the prediction says of them.

    Source: METHODS section 6; Rubinstein et al., Unsupervised Joint Object Discovery, CVPR 2013, section 5.
    """
    hits, true, predicted = (
        np.array([part[FOREGROUND_ROW] for part in parts], np.float64) for parts in zip(*images, strict=True)
    )
    union = true + predicted - hits
    there = (np.asarray(objects) > 0) & (union > 0)
    out: NDArray[np.float64] = np.divide(hits, union, out=np.full(len(union), np.nan), where=there)
    return out


def class_means(values: NDArray[np.float64], member: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean of each class over its images, (C,); NaN for a class without a value.

    Args:
        values: (images,); NaN is left out.
        member: bool (images, C).
    """
    out: NDArray[np.float64] = _weighted(np.ones((1, len(values))), values, member)[0]
    return out


def _weighted(
    weights: NDArray[np.float64], values: NDArray[np.float64], member: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(draws, images) weights -> (draws, C) means."""
    there = np.isfinite(values)
    sums = weights @ np.where(member & there[:, None], np.nan_to_num(values)[:, None], 0.0)
    numbers = weights @ (member & there[:, None]).astype(np.float64)
    out: NDArray[np.float64] = np.divide(sums, numbers, out=np.full(sums.shape, np.nan), where=numbers > 0)
    return out


def paired_jaccards(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    member: NDArray[np.bool_],
    *,
    classes: list[int] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """The interval of the difference `second - first` of the mean over classes, images drawn with replacement.

    Args:
        first: Jaccard of every image (images,) of the reference, NaN where it does not count.
        second: of the other directory, the same images in the same order.
        member: bool (images, C).
        classes: columns that the mean runs over; all by default.
        draws: number of resampled sets.
        seed: of the draws.

    Raises:
        UsageError: for fewer than 2 draws.
    """

    def difference(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b = (
            np.array([mean(row, classes) for row in _weighted(weights, values, member)]) for values in (first, second)
        )
        out: NDArray[np.float64] = b - a
        return out

    return resample(difference, len(first), draws=draws, seed=seed)
