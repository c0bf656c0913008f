"""What a round of recursive training keeps of a predicted mask, and which images it leaves out.

Source: Jing et al., "Coarse-to-fine Semantic Segmentation from Image-level Labels", section IV-D-2, strategies a and b.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.errors import UsageError


def own_classes(mask: NDArray[np.uint8], labels: Iterable[int]) -> NDArray[np.uint8]:
    """Keep the pixels of an image's own classes; all others become background.

    Args:
        mask: uint8 (H, W). 255 is no class of the image: it becomes background, too.
        labels: the image's classes, ids from 1.

    Returns:
        uint8 (H, W), a new array.

    Source: section IV-D-2, strategy b.
    Differs: an image may have several labels (the paper's have one).
    """
    kept = np.zeros(256, np.uint8)
    for c in labels:
        kept[c] = c
    kept[[BACKGROUND, IGNORE]] = BACKGROUND
    return kept[mask]


def left_out(mask: NDArray[np.uint8], *, least: float = 0.01, most: float = 0.8) -> str | None:
    """Why an image does not take part in the next training: too little or too much foreground.

    Args:
        mask: uint8 (H, W), of an image's own classes. 255 counts as a pixel, not as foreground.
        least: share of foreground from which an image takes part, in [0, 1].
        most: share up to which it does, at least `least`.

    Returns:
        The share in words, or None when the image takes part.

    Raises:
        UsageError: the limits are out of range.

    Source: section IV-D-2, strategy a: below 1% or above 80% of the pixels.
    """
    check_limits(least, most)
    foreground = int(np.count_nonzero((mask != BACKGROUND) & (mask != IGNORE)))
    share = foreground / max(1, mask.size)
    if share < least:
        return f"foreground is {100 * share:.2f}% of the image, below {100 * least:g}%"
    if share > most:
        return f"foreground is {100 * share:.2f}% of the image, above {100 * most:g}%"
    return None


def check_limits(least: float, most: float) -> None:
    """Raises UsageError for limits of the foreground's share that are out of range."""
    if not 0 <= least <= most <= 1:
        raise UsageError(
            f"--min-foreground {least:g} --max-foreground {most:g}: give shares of an image, 0 <= least <= most <= 1"
        )
