"""Attention: feature maps kept inside the boxes of one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch

from wsscli.errors import UsageError

Cells = Literal["touched", "paper"]


def attend(maps: Sequence[torch.Tensor], boxes: torch.Tensor, cells: Cells = "touched") -> list[torch.Tensor]:
    """Class-specific features: each map as it is inside the boxes, 0 outside. Gradients pass inside the boxes.

    Args:
        maps: of one batch, each float (N,C,h,w), h and w its own.
        boxes: (N,M,4) x0, y0, x1, y1 of one class in each image, as shares of the image's width and height. A row
            without area is no box: it fills up images with fewer boxes than M.
        cells: which steps of a map are inside; see `inside_boxes`.

    Returns:
        The maps at their sizes; all zeros for an image without a box.

    Raises:
        UsageError: no rule of that name.

    Source: DASNet, section 3.3, equation 1.
    """
    return [
        values * inside_boxes(boxes, (values.shape[-2], values.shape[-1]), cells).any(1)[:, None].to(values.dtype)
        for values in maps
    ]


def inside_boxes(boxes: torch.Tensor, size: tuple[int, int], cells: Cells = "touched") -> torch.Tensor:
    """Which steps of a grid lie in each box.

    Args:
        boxes: (N,M,4) x0, y0, x1, y1 as shares of width and height; nothing lies in a row without area.
        size: (h, w) of the grid.
        cells: `touched`: step x stands for [x, x + 1) and is inside where it shares some of that with the box, so every
            box has at least one step at every resolution. `paper`: x in [w x0, w x1], to the letter.

    Returns:
        bool (N,M,h,w).

    Raises:
        UsageError: no rule of that name.

    Source: DASNet, equation 1.
    Differs: `touched`. To the letter a box keeps nothing of a map on which no whole number lies between its sides: of a
        map of one step all is lost unless the box begins at 0, and of the finest map half a step along every side.
    """
    if cells not in get_args(Cells):
        raise UsageError(f"attention '{cells}': give {' or '.join(get_args(Cells))}")
    boxes = boxes.float()
    x0, y0, x1, y1 = boxes.unbind(2)  # (N,M)
    rows = _between(y0, y1, size[0], cells)  # (N,M,h)
    columns = _between(x0, x1, size[1], cells)  # (N,M,w)
    there = (x1 > x0) & (y1 > y0)
    return rows[..., :, None] & columns[..., None, :] & there[..., None, None]


def _between(low: torch.Tensor, high: torch.Tensor, steps: int, cells: Cells) -> torch.Tensor:
    """(N,M), (N,M) -> bool (N,M,steps)."""
    low, high = low[..., None] * steps, high[..., None] * steps
    at = torch.arange(steps, device=low.device, dtype=low.dtype)
    return (at >= low) & (at <= high) if cells == "paper" else (at + 1 > low) & (at < high)
