"""All background thresholds of a score map in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE
from wsscli.errors import UsageError, WssError


def parse_range(text: str) -> list[float]:
    """`start:stop:step` or a comma list as thresholds, both ends included.

    Args:
        text: as `0.05:0.95:0.05` or `0.1,0.2,0.3`.

    Returns:
        Increasing thresholds in (0, 1), rounded to 6 places.

    Raises:
        UsageError: when it is neither form, or a threshold is not inside (0, 1).
    """
    form = f"--sweep {text}: write start:stop:step (0.05:0.95:0.05) or a list (0.1,0.2,0.3)"
    parts = text.split(":")
    try:
        numbers = [float(x) for x in (parts if len(parts) == 3 else text.split(","))]
    except ValueError:
        raise UsageError(form) from None
    if len(parts) == 3:
        start, stop, step = numbers
        if not step > 0 or not stop >= start or (stop - start) / step > 1000:
            raise UsageError(form)
        numbers = [start + i * step for i in range(int((stop - start) / step + 1e-6) + 1)]
    thresholds = sorted({round(x, 6) for x in numbers})
    for x in thresholds:
        if not 0 < x < 1:
            raise UsageError(f"--sweep {text}: threshold {x:g} is not between 0 and 1")
    return thresholds


def best_class(
    scores: NDArray[np.float32], classes: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The strongest foreground class of each pixel and its strength, each map first divided by its maximum.

    Against a constant background T the argmax is this class where its strength is above T, else background.

    Args:
        scores: (K, H, W) >= 0, foreground only; K may be 0.
        classes: (K,) class ids.

    Returns:
        (H, W) class ids, and (H, W) strengths in [0, 1]. A map without any positive value stays 0.
    """
    if scores.shape[0] == 0:
        return np.zeros(scores.shape[1:], np.uint8), np.zeros(scores.shape[1:], np.float32)
    top = scores.max(axis=(1, 2), keepdims=True)
    normal = scores / np.where(top > 0, top, 1)
    winner = normal.argmax(axis=0)
    strength = np.take_along_axis(normal, winner[None], axis=0)[0]
    return classes.astype(np.uint8)[winner], strength.astype(np.float32)


def sweep_confusion(
    truth: NDArray[np.uint8],
    winner: NDArray[np.uint8],
    strength: NDArray[np.float32],
    thresholds: list[float],
    n_classes: int,
    *,
    names: tuple[str, str] = ("truth", "scores"),
) -> NDArray[np.int64]:
    """The confusion matrices of every background threshold, from one joint count.

    Args:
        truth: (H, W) class ids; 255 is dropped.
        winner: (H, W) strongest foreground class.
        strength: (H, W) float32 its strength; foreground where it is above the threshold (as float32).
        thresholds: increasing.
        n_classes: number of classes with the background.
        names: what truth and scores are called in an error.

    Returns:
        (len(thresholds), n_classes, n_classes + 1) int64; the last column, unlabelled, stays empty.

    Raises:
        WssError: when the sizes differ or a value is no class.
    """
    if truth.shape != winner.shape:
        raise WssError(
            f"{names[1]}: {winner.shape[0]} x {winner.shape[1]} pixels (height x width), but {names[0]} has "
            f"{truth.shape[0]} x {truth.shape[1]}; scores must be those of the image"
        )
    known = truth != IGNORE
    t, w = truth[known].astype(np.int64), winner[known].astype(np.int64)
    for values, name in ((t, names[0]), (w, names[1])):
        if values.size and values.max() >= n_classes:
            raise WssError(
                f"{name}: class {values.max()}, but the class table ends at {n_classes - 1}; was it made with "
                "another class table?"
            )
    # Level b: the pixel is foreground at the first b thresholds.
    level = np.searchsorted(np.asarray(thresholds, np.float32), strength[known], side="left")
    m = len(thresholds) + 1
    joint = np.bincount((t * n_classes + w) * m + level, minlength=n_classes * n_classes * m)
    joint = joint.reshape(n_classes, n_classes, m)
    # foreground[..., i] = pixels with level > i, the others are background
    above = joint[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    below = joint.sum(axis=-1, keepdims=True) - above
    out = np.zeros((len(thresholds), n_classes, n_classes + 1), np.int64)
    out[:, :, :n_classes] = above.transpose(2, 0, 1)
    out[:, :, 0] += below.sum(axis=1).T
    return out
