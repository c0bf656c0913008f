"""Mask enhancement by GrabCut, class by class.

Source: "Coarse-to-fine semantic segmentation from image-level labels", section III-C; Rother, Kolmogorov and Blake,
"GrabCut", 2004, by OpenCV.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.errors import UsageError, WssError

Init = Literal["box", "mask"]


def grabcut(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    *,
    iterations: int = 5,
    init: Init = "box",
    scale: float = 1.0,
    seed: int = 0,
) -> tuple[NDArray[np.uint8], str | None]:
    """Cut every class of a mask out of the image anew.

    For each foreground class of the mask, one at a time: the smallest box around its pixels, GrabCut from that box
    (inside: probably foreground, outside: background). A pixel that several classes claim goes to the class that the
    input has there, else to the claiming class whose input pixels are nearest (of equal ones the smallest id). What no
    class claims is background.

    A class is passed on as it stands in the input, with a reason, when GrabCut has nothing to work on: a single pixel,
    a box that is the whole image (no background is left to learn from; with `init="mask"`: every pixel), or GrabCut
    leaves nothing of it. A mask without foreground is passed on whole.

    Args:
        image: uint8 (H, W, 3), RGB.
        mask: uint8 (H, W). 255 is no class: it widens no box, with `init="mask"` it starts as probable background,
            and it becomes a class or background in the result (it stays only where the whole mask is passed on).
        iterations: GrabCut's, >= 1.
        init: `box`, or `mask`: start from the mask's own pixels as probable foreground, all others as probable
            background, so that the cut may also leave the box.
        scale: size of the working copy, in (0, 1]; 0.5 is about ten times faster and gives other masks.
        seed: of OpenCV's generator (k-means of the colour models); set in this thread for each class.

    Returns:
        The new mask, uint8 (H, W), and why classes or the whole mask were passed on (None: all were cut).

    Raises:
        WssError: when image and mask do not fit.
        UsageError: when an option is out of range.

    Source: coarse-to-fine, section III-C and algorithm 1, step 2.
    Differs: several classes (the paper has one an image); an emptied class is passed on.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise WssError(f"grabcut: the image is {image.dtype} {image.shape}; it must be uint8 (H, W, 3)")
    if mask.shape != image.shape[:2] or mask.dtype != np.uint8:
        raise WssError(
            f"grabcut: the mask is {mask.dtype} {mask.shape} on an image of {image.shape[0]} x {image.shape[1]}; "
            "it must be uint8 of the image's size"
        )
    check_options(iterations=iterations, init=init, scale=scale)

    classes = [int(c) for c in np.unique(mask) if c not in (BACKGROUND, IGNORE)]
    if not classes:
        return mask.copy(), "no foreground in the mask"
    work = np.ascontiguousarray(image)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in mask.shape)
        work = np.asarray(cv2.resize(work, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    claims: dict[int, NDArray[np.bool_]] = {}
    reasons = []
    for c in classes:
        claim = mask == c
        cut, reason = _cut(work, claim, iterations, init, seed)
        if reason is not None:
            reasons.append(f"class {c}: {reason}")
        claims[c] = claim if cut is None else cut
    if len(reasons) == len(classes):
        return mask.copy(), "; ".join(reasons)
    return _merge(mask, claims), "; ".join(reasons) or None


def check_options(*, iterations: int, init: str, scale: float) -> None:
    """Say what is wrong with the options of `grabcut` before any image is read.

    Raises:
        UsageError: an option is out of range.
    """
    if iterations < 1:
        raise UsageError(f"grabcut: {iterations} iterations; take 1 or more (5 is usual)")
    if not 0 < scale <= 1:
        raise UsageError(f"grabcut: a scale of {scale} is not in (0, 1]; 1 works at full size")
    if init not in ("box", "mask"):
        raise UsageError(f"grabcut: no init '{init}'; take box or mask")


def _cut(
    image: NDArray[np.uint8], region: NDArray[np.bool_], iterations: int, init: str, seed: int
) -> tuple[NDArray[np.bool_] | None, str | None]:
    """GrabCut of one region at the image's size: the cut at the region's size, or the reason why there is none."""
    height, width = image.shape[:2]
    small = region
    if region.shape != (height, width):
        small = cv2.resize(region.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
    if small.sum() <= 1:
        return None, "a single pixel" if region.sum() == 1 else "too small at this --scale"
    x, y, w, h = cv2.boundingRect(small.view(np.uint8))
    if small.all() or (init == "box" and (w, h) == (width, height)):
        return None, "its box is the whole image" if init == "box" else "it is the whole image"

    if init == "box":
        state = np.full((height, width), cv2.GC_BGD, np.uint8)
        state[y : y + h, x : x + w] = cv2.GC_PR_FGD
    else:
        state = np.where(small, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    # OpenCV keeps one generator for each thread: seeding here makes the cut independent of what ran before in it
    cv2.setRNGSeed(seed)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, state, (x, y, w, h), *models, iterations, cv2.GC_INIT_WITH_MASK)
    cut = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    if not cut.any():
        return None, "GrabCut left nothing of it"
    if cut.shape != region.shape:
        size = region.shape[1], region.shape[0]
        cut = cv2.resize(cut.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)
    return cut, None


def _merge(mask: NDArray[np.uint8], claims: dict[int, NDArray[np.bool_]]) -> NDArray[np.uint8]:
    out = np.zeros_like(mask)
    for c in sorted(claims, reverse=True):
        out[claims[c]] = c  # the smallest id last, so that it stands where distances are equal below
    contested = np.sum(list(claims.values()), axis=0) > 1
    if not contested.any():
        return out
    nearest = np.full(mask.shape, np.inf, np.float32)
    for c in sorted(claims):
        elsewhere = (mask != c).view(np.uint8)
        away = cv2.distanceTransform(elsewhere, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)  # 0 where the input has c
        closer = contested & claims[c] & (away < nearest)
        out[closer] = c
        nearest[closer] = away[closer]
    return out
