"""How well an image classifier ranks images: average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import WssError

Scores = NDArray[np.floating]


def average_precision(truth: NDArray[np.generic], scores: Scores) -> float:
    """Area under precision over recall as a step function, without interpolation.

    Args:
        truth: (N,), true or 1 where the image holds the class.
        scores: (N,), higher = more likely; images with equal scores enter together.

    Returns:
        sum over thresholds of (R_n - R_(n-1)) P_n, in [0, 1]; NaN when no image holds the class.

    Raises:
        WssError: shapes differ, or a score is not a number.
    """
    if truth.shape != scores.shape or truth.ndim != 1:
        raise WssError(f"average precision needs two vectors of one length, got {truth.shape} and {scores.shape}")
    if np.isnan(scores).any():
        raise WssError("average precision: a score is not a number; the net has diverged, train it with a smaller --lr")
    order = np.argsort(-scores, kind="stable")
    hits, ranked = truth.astype(bool)[order], scores[order]
    found = np.cumsum(hits)
    if not len(found) or found[-1] == 0:
        return float("nan")
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))  # the last image of each run of equal scores
    precision = found[ends] / (ends + 1)
    recall = found[ends] / found[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def mean_average_precision(truth: NDArray[np.generic], scores: Scores) -> float:
    """Mean of `average_precision` over the classes that any image holds.

    Args:
        truth: (N,K).
        scores: (N,K).

    Returns:
        In [0, 1]; NaN when no image holds any class.
    """
    found = [average_precision(truth[:, k], scores[:, k]) for k in range(truth.shape[1])]
    known = [value for value in found if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
