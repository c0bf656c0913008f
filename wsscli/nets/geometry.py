"""Image sizes for nets, and how their maps lie on the image.

With sides of stride * k + 1 pixels every layer with symmetric padding puts its samples at 0, stride, 2 stride,
..., so the first and the last sample sit on the border pixels ("aligned corners") and a mirrored image gives the
mirrored map. Files of scores have the other convention (half-pixel centres, as OpenCV resizes).
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def grid_size(height: int, width: int, longer: float, stride: int) -> tuple[int, int]:
    """The size near (H, W) scaled to this longer side whose sides are stride * k + 1, k >= 1."""
    scale = longer / max(height, width)
    return _side(height * scale, stride), _side(width * scale, stride)


def _side(length: float, stride: int) -> int:
    return max(1, round((length - 1) / stride)) * stride + 1


def on_grid(maps: torch.Size, size: tuple[int, int], stride: int) -> bool:
    """Whether maps (..., h, w) of an image of this size have their corner samples on its corner pixels."""
    return all(length == (cells - 1) * stride + 1 for length, cells in zip(size, maps[-2:], strict=True))


def upsample(maps: torch.Tensor, size: tuple[int, int], stride: int) -> torch.Tensor:
    """(N,K,h,w) -> (N,K,H,W), bilinear, in the geometry in which the net made them."""
    return F.interpolate(maps, size, mode="bilinear", align_corners=on_grid(maps.shape, size, stride))


def half_pixel(maps: torch.Tensor, size: tuple[int, int], stride: int) -> torch.Tensor:
    """(N,K,h,w) with aligned corners -> (N,K,h,w) with half-pixel centres, as score files have them.

    Args:
        maps: of the net.
        size: (H, W) of the image that went into the net.
        stride: of the net.
    """
    if not on_grid(maps.shape, size, stride):
        return maps
    h, w = maps.shape[-2:]
    # Target cell j has its centre at pixel (j + 0.5) H/h - 0.5, of 0 .. H-1; grid_sample counts from -1 to 1.
    rows = _centres(size[0], h, maps)
    columns = _centres(size[1], w, maps)
    grid = torch.stack(torch.broadcast_tensors(columns[None, :], rows[:, None]), -1)  # (h,w,2) as x, y
    return F.grid_sample(maps, grid.expand(len(maps), -1, -1, -1), align_corners=True, padding_mode="border")


def _centres(length: int, cells: int, like: torch.Tensor) -> torch.Tensor:
    places = (torch.arange(cells, dtype=like.dtype, device=like.device) + 0.5) * (length / cells) - 0.5
    return places / (length - 1) * 2 - 1
