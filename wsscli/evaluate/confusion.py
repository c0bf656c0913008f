"""Counting pixels: one integer confusion matrix over a whole set, with a column for unlabelled predictions."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE
from wsscli.errors import UsageError, WssError

Unlabelled = Literal["miss", "background", "skip"]

_VALUES = 256
_EXACT = 1 << 24  # calcHist counts in float32, which holds every integer up to here: larger images go in blocks
_RUN = 12  # mean length of a run from which counting runs is faster


def confusion(
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    n_classes: int,
    *,
    names: tuple[str, str] = ("truth", "prediction"),
) -> NDArray[np.int64]:
    """How many pixels of true class i were predicted as class j.

    Matrices of several images add up to the matrix of the set.

    Args:
        truth: (H, W) class ids below `n_classes`; 255 = no truth, such pixels are dropped.
        prediction: (H, W) class ids below `n_classes`; 255 = unlabelled, counted in the last column.
        n_classes: number of classes with the background, 1..255.
        names: what the two arrays are called in an error, usually their files.

    Returns:
        (n_classes, n_classes + 1): rows are the truth; column `n_classes` the unlabelled predictions.

    Raises:
        WssError: when the sizes differ, or when either array holds a value that is neither a class nor 255
            (also where the other array is 255: a wrong value is never dropped silently).

    Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2015, section 4.3.
    Differs: the column of unlabelled predictions, which the challenge's complete predictions do not have.
    """
    for array, name in zip((truth, prediction), names, strict=True):
        if array.ndim != 2 or array.dtype != np.uint8:
            raise WssError(f"{name}: shape {array.shape}, type {array.dtype}; a mask must be (height, width) of uint8")
    if truth.shape != prediction.shape:
        raise WssError(
            f"{names[1]}: {prediction.shape[0]} x {prediction.shape[1]} pixels (height x width), but "
            f"{names[0]} has {truth.shape[0]} x {truth.shape[1]}; a mask must have its image's size"
        )
    joint = _joint(truth.ravel(), prediction.ravel(), n_classes)
    if joint[n_classes + 1].any() or joint[:, n_classes + 1].any():
        for array, name, side in ((truth, names[0], "truth"), (prediction, names[1], "prediction")):
            strange = [int(v) for v in np.unique(array) if n_classes <= v < IGNORE]
            if strange:
                values = ", ".join(map(str, strange[:5])) + (", ..." if len(strange) > 5 else "")
                raise WssError(
                    f"{name}: value {values} in the {side}, but the class table ends at {n_classes - 1} (255 = "
                    "unlabelled); was it made with another class table?"
                )
    return joint[:n_classes, : n_classes + 1]


@cache
def _codes(n: int) -> NDArray[np.intp]:
    """(256,): classes as they are, 255 as n, every other value as n + 1, so that nothing spills into a class."""
    codes = np.full(_VALUES, n + 1, np.intp)
    codes[:n], codes[IGNORE] = np.arange(n), n
    return codes


def _joint(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], n: int) -> NDArray[np.int64]:
    """Pixels of every pair of codes, (n + 2, n + 2), of two masks as flat arrays."""
    if truth.size == 0:
        return np.zeros((n + 2, n + 2), np.int64)
    # Masks are long runs of equal pairs: counting runs takes half the time of a histogram of pixels.
    last = np.empty(truth.size, np.bool_)  # is this pixel the last of its run?
    np.not_equal(truth[1:], truth[:-1], out=last[:-1])
    last[:-1] |= prediction[1:] != prediction[:-1]
    last[-1] = True
    if np.count_nonzero(last) * _RUN > truth.size:
        return _by_pixels(truth, prediction, n)
    return _by_runs(truth, prediction, n, last.nonzero()[0])


def _by_runs(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], n: int, ends: NDArray[np.intp]
) -> NDArray[np.int64]:
    """`ends`: the index of each run's last pixel."""
    codes = _codes(n)
    # take() and in-place steps: a third off the whole, on arrays as short as these
    pairs = codes.take(truth.take(ends))
    pairs *= n + 2
    pairs += codes.take(prediction.take(ends))
    lengths = np.empty(len(ends))  # float64 weights are exact below 2**53 pixels
    lengths[0] = ends[0] + 1
    np.subtract(ends[1:], ends[:-1], out=lengths[1:])
    return np.bincount(pairs, lengths, (n + 2) ** 2).astype(np.int64).reshape(n + 2, n + 2)


def _by_pixels(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], n: int) -> NDArray[np.int64]:
    joint = np.zeros((n + 2, n + 2), np.int64)
    places = (slice(n), slice(n)), (n, IGNORE)  # (code, value): classes, unlabelled
    for start in range(0, truth.size, _EXACT):
        block = [mask[start : start + _EXACT] for mask in (truth, prediction)]
        pairs = cv2.calcHist(block, [0, 1], None, [_VALUES, _VALUES], [0, _VALUES, 0, _VALUES])
        for row, row_value in places:
            for column, column_value in places:
                joint[row, column] += pairs[row_value, column_value].astype(np.int64)
    joint[n + 1, n + 1] = truth.size - joint.sum()  # whatever is neither a class nor 255
    return joint


class Counts(NamedTuple):
    """What an IoU needs, per class, int64 (..., n_classes): sums over images stay exact."""

    hit: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]


def counts(matrix: NDArray[np.int64], unlabelled: Unlabelled = "miss") -> Counts:
    """Hits, true pixels and predicted pixels per class, under a rule for unlabelled predictions.

    Args:
        matrix: (n, n + 1) from `confusion`.
        unlabelled: `miss`: a true pixel of its class that no class hit; `background`: as if predicted
            background; `skip`: as if the pixel had no truth.

    Raises:
        UsageError: for another rule.
    """
    n = matrix.shape[0]
    cells, bare = matrix[:, :n], matrix[:, n]
    hit = np.diagonal(cells).copy()
    truth, predicted = cells.sum(axis=1), cells.sum(axis=0)
    if unlabelled == "miss":
        truth = truth + bare
    elif unlabelled == "background":
        hit[0] += bare[0]
        predicted[0] += bare.sum()
        truth = truth + bare
    elif unlabelled != "skip":
        raise UsageError(f"--unlabelled {unlabelled}: unknown rule; one of {', '.join(get_args(Unlabelled))}")
    return Counts(hit, truth, predicted)


def ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """`part / whole`, NaN where the whole is 0 (nothing to judge, not a zero)."""
    out = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def mean(values: NDArray[np.float64], classes: list[int] | None = None) -> float:
    """Mean over the classes (all of them by default) whose value is not NaN; NaN when there is none."""
    chosen = values if classes is None else values[classes]
    chosen = chosen[~np.isnan(chosen)]
    return float(chosen.mean()) if chosen.size else float("nan")


def iou(c: Counts) -> NDArray[np.float64]:
    """Intersection over union per class; NaN for a class in neither truth nor prediction.

    Source: Everingham et al., IJCV 2015, section 4.3: TP / (TP + FP + FN).
    """
    return ratio(c.hit, c.truth + c.predicted - c.hit)
