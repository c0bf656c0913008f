"""A foreground without a class, and the one label of its image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import BACKGROUND
from wsscli.errors import WssError
from wsscli.seeds.otsu import otsu_threshold

FLAT = 1e-3  # a map that varies by less has nothing that stands out


class Labelled(NamedTuple):
    """What came of an image's foreground."""

    labels: NDArray[np.uint8]
    """(H,W): the label where there is foreground, else 0."""
    reason: str | None
    """Why the labels say nothing, None when they do."""
    threshold: float | None
    """Above which there is foreground; None in a flat map."""


def foreground_labels(soft: NDArray[np.float32], label: int, threshold: float | None = None) -> Labelled:
    """Give the foreground of an image the image's label; all else is background.

    Args:
        soft: float32 (H,W) in [0, 1], how likely each pixel is foreground.
        label: a class id, or 255 where nobody knows which of several classes it is.
        threshold: pixels above it are foreground; None takes Otsu's of the map.

    Returns:
        The labels, and a reason where they are all alike: a flat map, no foreground, or nothing else. They are what
        the threshold says even then (a flat map has no foreground under Otsu's).

    Raises:
        WssError: the map holds NaN or a value outside [0, 1].

    Source: Jing et al., Coarse-to-fine, sections III-B and III-D: the category label of an image is that of all pixels
        of its foreground.
    """
    if not bool(((soft >= 0) & (soft <= 1)).all()):  # also false for NaN
        raise WssError("foreground labels: the soft mask holds NaN or a value outside 0 to 1; make the scores again")
    labels = np.full(soft.shape, BACKGROUND, np.uint8)
    if threshold is None:
        threshold = own_threshold(soft)
        if threshold is None:
            return Labelled(labels, "flat map, no foreground", None)
    found = soft > threshold
    labels[found] = label
    if not found.any():
        return Labelled(labels, "no foreground", threshold)
    return Labelled(labels, "the foreground is the whole image" if found.all() else None, threshold)


def centred(soft: NDArray[np.float32], threshold: float | None) -> NDArray[np.float32]:
    """A map with its threshold moved to one half: [0, t] stretched to [0, 1/2], [t, 1] to [1/2, 1].

    So a map in which little exceeds one half, though it tells foreground from background, becomes a probability.

    Args:
        soft: float32 in [0, 1], NaN stays.
        threshold: in [0, 1); None leaves the map alone.
    """
    if threshold is None:
        return soft
    above = 0.5 + 0.5 * (soft - threshold) / (1 - threshold)
    below = 0.5 * soft / threshold if threshold > 0 else soft
    return np.where(soft > threshold, above, below).clip(0, 1).astype(np.float32)


def own_threshold(soft: NDArray[np.float32]) -> float | None:
    """Otsu's threshold of a map; None for a flat one."""
    return otsu_threshold(soft) if np.ptp(soft) >= FLAT else None
