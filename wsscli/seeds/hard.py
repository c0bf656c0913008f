"""Hard seeds: the few pixels of an image whose class is taken as known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.errors import WssError

FgRule = Literal["max-fraction", "quantile"]
Maps = npt.NDArray[np.float32]


def hard_seeds(
    cams: Maps,
    classes: Sequence[int] | npt.NDArray[np.int64],
    size: tuple[int, int],
    saliency: npt.NDArray[np.float32] | None = None,
    *,
    fg_rule: FgRule = "max-fraction",
    fg_threshold: float = 0.2,
    bg_threshold: float = 0.06,
    bg_heat: float = 1.0,
) -> npt.NDArray[np.uint8]:
    """The seed mask of one image.

    Args:
        cams: (K, h, w) float32 >= 0, a heatmap a class; any resolution, resized bilinearly (half-pixel centres).
        classes: (K,) class ids 1..254, all different.
        size: (H, W) of the image.
        saliency: (H, W) float32 in [0, 1], or None for no background seeds.
        fg_rule: `max-fraction` takes the pixels of at least `fg_threshold` x the heatmap's maximum, `quantile` the
            share `fg_threshold` of the image's pixels with the highest values (ties at its end are all taken).
        fg_threshold: in (0, 1].
        bg_threshold: pixels of smaller saliency are background seeds,
        bg_heat: where no heatmap reaches this share of its maximum; in (0, 1], 1 asks nothing of the heatmaps. Where
            `fg_threshold` is strict, a lower share keeps background seeds off what may be foreground.

    Returns:
        (H, W) uint8: a class id, 0 for background seeds, 255 for the rest. A pixel of value 0 in a heatmap is never a
        seed of it, so an all-zero heatmap seeds nothing. Where classes overlap the one with fewer seed pixels wins (on
        a tie the smaller id); foreground goes over background.

    Raises:
        WssError: a threshold or the saliency's size is off, or a heatmap holds a negative value or NaN.

    Source: DSRG (Huang et al., CVPR 2018), sections 3.1 and 4.1; overlaps as in SEC (Kolesnikov and Lampert, ECCV
        2016), section 3.1.
    Differs: `bg_heat`. In the paper the foreground seeds are all pixels above 0.2 of the maximum, so no background
        seed is among those; a stricter `fg_threshold` needs it said.
    """
    if not 0 < fg_threshold <= 1:
        raise WssError(f"hard seeds: the foreground threshold is {fg_threshold}; give one above 0 and at most 1")
    if not 0 <= bg_threshold <= 1:
        raise WssError(f"hard seeds: the background threshold is {bg_threshold}; give one between 0 and 1")
    if not 0 < bg_heat <= 1:
        raise WssError(f"hard seeds: the background's share of heat is {bg_heat}; give one above 0 and at most 1")
    if saliency is not None and saliency.shape != size:
        raise WssError(f"hard seeds: the saliency map is {saliency.shape} pixels, the image {size}; they must agree")
    if not bool((cams >= 0).all()):  # also false for NaN
        raise WssError("hard seeds: a heatmap holds a negative value or NaN; rectify the maps first")
    seeds = np.full(size, IGNORE, dtype=np.uint8)
    maps = [_resize(cam, size) for cam in cams]
    if saliency is not None:
        cold = saliency < bg_threshold
        if bg_heat < 1:
            for cam in maps:
                cold &= (cam < np.float32(bg_heat) * cam.max()) | (cam == 0)
        seeds[cold] = BACKGROUND
    chosen = [_foreground(cam, fg_rule, fg_threshold) for cam in maps]
    # Painted from the largest to the smallest, so that the smaller one stays on top.
    order = sorted(range(len(chosen)), key=lambda k: (-int(chosen[k].sum()), -int(classes[k])))
    for k in order:
        seeds[chosen[k]] = classes[k]
    return seeds


def _foreground(cam: Maps, rule: FgRule, threshold: float) -> npt.NDArray[np.bool_]:
    top = float(cam.max())
    if top == 0:
        return np.zeros(cam.shape, dtype=np.bool_)
    if rule == "max-fraction":
        least = np.float32(threshold) * np.float32(top)
    else:
        taken = max(1, round(threshold * cam.size))
        least = np.partition(cam.ravel(), cam.size - taken)[cam.size - taken]
    return np.asarray((cam >= least) & (cam > 0))


def _resize(cam: Maps, size: tuple[int, int]) -> Maps:
    if cam.shape == size:
        return cam
    return np.asarray(cv2.resize(cam, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
