"""Otsu's threshold of a class map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import WssError

BINS = 256


def otsu_threshold(scores: NDArray[Any]) -> float | None:
    """The value that best parts a map's values into low and high ones: where their classes' variance is the largest.

    The values are counted in 256 bins between the map's minimum and maximum; the threshold is the middle of a bin.
    What exceeds it is high.

    Args:
        scores: float (H, W) or of any other shape, finite.

    Returns:
        The threshold, equal to scikit-image's `threshold_otsu` of the map in float64. None: the map is flat (one
        value, or values so near that no bins fit between them, or none at all) and nothing parts it.

    Raises:
        WssError: a value is not finite.

    Source: Otsu, "A threshold selection method from gray-level histograms", 1979, by scikit-image.
    """
    from skimage.filters import threshold_otsu

    values = np.asarray(scores, np.float64)  # in float32, numpy cannot part a narrow range into 256 bins
    if not np.isfinite(values).all():
        raise WssError("Otsu: the map holds NaN or infinity; make the scores again")
    if not values.size:
        return None
    low, high = values.min(), values.max()
    if (high - low) / BINS <= np.spacing(max(abs(low), abs(high))):
        return None
    return float(threshold_otsu(values, nbins=BINS))  # type: ignore[no-untyped-call]
