"""Masks of any classes as class-free ones."""

from __future__ import annotations

import numpy as np

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.maskdir.png import Mask


def class_free(mask: Mask) -> Mask:
    """uint8 (H, W): 1 where `mask` holds any class, 0 where background; 255 stays 255."""
    found: Mask = (mask != BACKGROUND).astype(np.uint8)
    found[mask == IGNORE] = IGNORE
    return found
