"""Masks of any classes as class-free ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.maskdir.png import Mask


def class_free(mask: Mask) -> Mask:
    """uint8 (H, W): 1 where `mask` holds any class, 0 where background; 255 stays 255."""
    found: Mask = (mask != BACKGROUND).astype(np.uint8)
    found[mask == IGNORE] = IGNORE
    return found


def black_and_white(masks: Iterable[Mask]) -> bool:
    """Whether 0 and 255 are the only values of these masks, and 255 occurs: white objects, as other tools draw them.

    Ends at the first mask with another value, so masks of class ids cost one or two readings.
    """
    white = False
    for mask in masks:
        if (mask + np.uint8(1) > 1).any():  # 255 wraps to 0
            return False
        white = white or bool(mask.any())
    return white
