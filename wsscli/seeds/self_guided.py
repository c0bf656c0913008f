"""From localization maps to whole labels, guided by the photo itself.

Source: Ke and Hsu, "Generating self-guided dense annotations for weakly supervised semantic segmentation", 2018,
sections 3.3 and 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import BACKGROUND
from wsscli.errors import WssError
from wsscli.refine.guided_filter import Guide, check_options
from wsscli.seeds.otsu import otsu_threshold

FLAT = 1e-4  # a map that varies by less, in shares of its maximum, is flat: what varies is rounding

Stage = Literal["A", "R", "G"]


class Labelled(NamedTuple):
    """What came of an image's maps."""

    labels: NDArray[np.uint8]
    """(H,W) class ids, 0 where no class is above its threshold; no 255."""
    maps: NDArray[np.float32]
    """(K,H,W) >= 0, the maps that the labels were taken from."""
    flat: list[int]
    """Classes whose map is flat: they have no threshold and label nothing."""


def self_guided_labels(
    maps: NDArray[np.float32],
    classes: Sequence[int],
    image: NDArray[np.uint8],
    *,
    guided: bool = True,
    iterations: int = 15,
    window: int = 35,
    eps: float = 1e-6,
    rebinarise: bool = False,
) -> Labelled:
    """Label every pixel of an image by its class maps.

    Each map is brought to the photo's size and cut at its own Otsu threshold. With `guided` the binary map B is
    filtered with the photo as the guide, again and again, each result the next input, and cut at its Otsu threshold
    in the end. A pixel's label is the class with the largest value among those above their thresholds.

    Args:
        maps: (K,h,w) float32 >= 0: localization maps A, or R after the random walk.
        classes: (K,) class ids, all different.
        image: uint8 (H,W,3).
        guided: False stops before the filter; maps of different classes are then compared in shares of their maxima.
        iterations: times the filter is applied, 1 or more.
        window: side of the filter's square, pixels, odd.
        eps: its regularisation, for colours in [0, 1].
        rebinarise: cut at Otsu's threshold after every application, not only before the first.

    Raises:
        WssError: a map holds NaN, infinity or a negative value.

    Source: Ke and Hsu 2018, equations 6 to 8 and 11.
    """
    check_options(window=window, eps=eps, iterations=iterations)
    if not bool((np.isfinite(maps) & (maps >= 0)).all()):
        raise WssError("self-guided labels: a map holds NaN, infinity or a negative value; rectify the maps first")
    height, width = image.shape[:2]
    full = np.zeros((len(maps), height, width), np.float32)
    for row, m in zip(full, maps, strict=True):
        row[:] = _share(_resize(m, height, width))
    if guided and len(full):
        guide = Guide.of(image, window=window, eps=eps)
        once = 1 if rebinarise else iterations
        for _ in range(iterations // once):
            full = np.stack([guide.filter(binary, once) for binary in _above(full)]).astype(np.float32)
    thresholds = [_cut(m) for m in full]
    labels = np.full((height, width), BACKGROUND, np.uint8)
    best = np.zeros((height, width), np.float32)
    for m, c, threshold in zip(full, classes, thresholds, strict=True):
        if threshold is not None:
            wins = (m > threshold) & (m > best)
            labels[wins], best[wins] = c, m[wins]
    # the filter overshoots a little on both sides
    return Labelled(labels, full.clip(0, None), [int(c) for c, t in zip(classes, thresholds, strict=True) if t is None])


def _above(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 above each map's Otsu threshold, else 0; a flat map gives 0."""
    return np.stack([m > (np.inf if (t := _cut(m)) is None else t) for m in maps]).astype(np.float32)


def _cut(m: NDArray[np.float32]) -> float | None:
    """Otsu's threshold of a map; None for a flat one."""
    return None if np.ptp(m) <= FLAT * m.max() else otsu_threshold(m)


def _share(m: NDArray[np.float32]) -> NDArray[np.float32]:
    top = float(m.max())
    return m / np.float32(top) if top > 0 else m


def _resize(m: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if m.shape == (height, width):
        return m
    return np.asarray(cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
