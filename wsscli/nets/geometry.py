"""How a net's maps lie on the image.

With sides of stride * k + 1 pixels every layer with symmetric padding puts its samples at 0, stride, 2 stride,
..., so the first and the last sample sit on the border pixels ("aligned corners") and a mirrored image gives the
mirrored map. Other sizes have no such order, and half-pixel centres are the better guess.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def upsample(maps: torch.Tensor, size: tuple[int, int], stride: int, *, step: int = 1) -> torch.Tensor:
    """(N,K,h,w) -> (N,K,H,W), bilinear, in the geometry in which a net of this output stride made them.

    Args:
        maps: of the net.
        size: (H,W) of the image, or of every `step`-th of its rows and columns.
        stride: of the net.
        step: distance in pixels between the points that the result stands for.
    """
    aligned = all(
        (length - 1) * step == (cells - 1) * stride for length, cells in zip(size, maps.shape[-2:], strict=True)
    )
    return F.interpolate(maps, size, mode="bilinear", align_corners=aligned)
