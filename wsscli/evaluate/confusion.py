"""Counting pixels: one integer confusion matrix over a whole set, with a column for unlabelled predictions."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE
from wsscli.errors import UsageError, WssError

Unlabelled = Literal["miss", "background", "skip"]

_VALUES = 256
_EXACT = 1 << 24  # float32 holds every integer up to here; a larger image is counted strip by strip


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
            raise WssError(
                f"{name}: shape {array.shape}, type {array.dtype}; a mask must be (height, width) of uint8"
            )
    if truth.shape != prediction.shape:
        raise WssError(
            f"{names[1]}: {prediction.shape[0]} x {prediction.shape[1]} pixels (height x width), but "
            f"{names[0]} has {truth.shape[0]} x {truth.shape[1]}; a mask must have its image's size"
        )
    matrix = np.zeros((n_classes, n_classes + 1), np.int64)
    rows = max(1, _EXACT // max(1, truth.shape[1]))
    for top in range(0, truth.shape[0], rows):
        # (256, 256) float32: every pair of values has a cell of its own, so nothing falls out or spills over
        pairs = cv2.calcHist(
            [truth[top : top + rows], prediction[top : top + rows]],
            [0, 1],
            None,
            [_VALUES, _VALUES],
            [0, _VALUES, 0, _VALUES],
        )
        matrix[:, :n_classes] += pairs[:n_classes, :n_classes].astype(np.int64)
        matrix[:, n_classes] += pairs[:n_classes, IGNORE].astype(np.int64)
        for side, name, strangers in (
            (0, names[0], pairs[n_classes:IGNORE]),
            (1, names[1], pairs[:, n_classes:IGNORE].T),
        ):
            if strangers.any():
                values = n_classes + np.flatnonzero(strangers.any(axis=1))
                listed = ", ".join(str(v) for v in values[:5]) + (", ..." if len(values) > 5 else "")
                raise WssError(
                    f"{name}: value {listed} in the {'prediction' if side else 'truth'}, but the class table "
                    f"ends at {n_classes - 1} (255 = unlabelled); was it made with another class table?"
                )
    return matrix


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
