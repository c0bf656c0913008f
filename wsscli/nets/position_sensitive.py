"""Position-sensitive score maps, and how a box's own two maps are assembled from them."""

from __future__ import annotations

import torch

from wsscli.errors import WssError
from wsscli.nets.attention import inside_boxes

CELLS = 7  # k: a box is divided into k x k cells
GROUPS = 2  # inside, outside


def assemble(maps: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Copy and paste: within a box, cell (i, j) of k x k comes from the i k + j-th map, from the same place.

    A step of the maps belongs to the cell that holds its centre.

    Args:
        maps: float (N, 2 k^2, h, w): k^2 maps of "inside the instance", row of cells by row, then k^2 of "outside".
        boxes: (N,R,4) x0, y0, x1, y1 as shares of the image's width and height.

    Returns:
        Scores (N,R,2,h,w), inside and outside, 0 where the step lies in no part of the box; and bool (N,R,h,w), which
        steps do (`attention.inside_boxes`, touched). All False for a box without area. Gradients go to the maps.

    Raises:
        WssError: the number of maps is not twice a square.

    Source: DASNet, section 3.4.2, first and second modification; Li et al., Fully Convolutional Instance-aware
        Semantic Segmentation, CVPR 2017, section 2.2.
    """
    n, channels, h, w = maps.shape
    k = round((channels / GROUPS) ** 0.5)
    if channels != GROUPS * k * k:
        raise WssError(
            f"position-sensitive maps: {channels} of them, but 2 k^2 are needed; {GROUPS * k * k} for k = {k}"
        )
    region = inside_boxes(boxes, (h, w))  # (N,R,h,w)
    x0, y0, x1, y1 = boxes.float().unbind(2)  # (N,R)
    row = _cell(y0, y1, h, k)  # (N,R,h)
    column = _cell(x0, x1, w, k)  # (N,R,w)
    which = row[..., :, None] * k + column[..., None, :]  # (N,R,h,w)
    place = torch.arange(h * w, device=maps.device).view(h, w)
    # one gather from maps laid end to end: a gather along the maps' own dimension would copy them for every box
    index = (which * (h * w) + place).flatten(1)  # (N, R h w)
    flat = maps.reshape(n, GROUPS, k * k * h * w)
    picked = flat.gather(2, index[:, None].expand(-1, GROUPS, -1))  # (N,2,R h w)
    scores = picked.view(n, GROUPS, -1, h, w).transpose(1, 2)  # (N,R,2,h,w)
    return scores.masked_fill(~region[:, :, None], 0), region


def _cell(low: torch.Tensor, high: torch.Tensor, steps: int, k: int) -> torch.Tensor:
    """Which of a side's k cells the centres of the steps lie in: (N,R) -> int64 (N,R,steps), 0..k-1."""
    centres = (torch.arange(steps, device=low.device, dtype=low.dtype) + 0.5) / steps
    share = (centres - low[..., None]) / (high - low)[..., None].clamp_min(1e-6)
    return (share * k).floor().clamp(0, k - 1).long()  # a step on the border may have its centre outside
