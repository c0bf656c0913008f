"""Features of boxes out of one shared feature map."""

from __future__ import annotations

import torch

GRID = 7  # cells a side of a box's grid of features, as in VGG's last pooling
SAMPLES = 2  # bilinear samples a cell and axis

Size = tuple[int, int]


def region_grids(features: torch.Tensor, boxes: torch.Tensor, size: Size, stride: int) -> torch.Tensor:
    """A grid of features for every box: RoIAlign.

    Args:
        features: float (N,C,h,w) of images of one size.
        boxes: float (N,M,4): x0, y0, x1, y1 in pixels of those images, x1 and y1 exclusive.
        size: (H,W) of the images.
        stride: of the net that made the map.

    Returns:
        (N,M,C,7,7): each cell the mean of 2 x 2 bilinear samples.

    Source: He et al., Mask R-CNN, section 3.
    Differs: a box lies where the net's samples lie on the image (see `nets.geometry`), not half a step off.
    """
    from torchvision.ops import roi_align

    found = on_map(boxes, size, (features.shape[2], features.shape[3]), stride).flatten(0, 1)  # (N M,4)
    image = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
    rows = torch.cat([image[:, None].to(found), found + 0.5], 1).to(features)  # aligned: cell i at i + 0.5
    pooled: torch.Tensor = roi_align(features, rows, GRID, 1.0, SAMPLES, aligned=True)
    return pooled.unflatten(0, boxes.shape[:2])


def region_means(features: torch.Tensor, boxes: torch.Tensor, size: Size, stride: int) -> torch.Tensor:
    """The mean of `region_grids` over each box's cells, (N,M,C).

    All samples of a box lie on lines and columns, so their mean is one weight a line times one weight a column: a
    matrix product, some twenty times as fast as the grids for a thousand boxes.
    """
    height, width = features.shape[2:]
    places = on_map(boxes, size, (height, width), stride)  # (N,M,4)
    rows = _weights(places[..., 1], places[..., 3], height)  # (N,M,h)
    columns = _weights(places[..., 0], places[..., 2], width)  # (N,M,w)
    weights = (rows[..., :, None] * columns[..., None, :]).flatten(2)  # (N,M,h w)
    return weights.to(features) @ features.flatten(2).transpose(1, 2)


def on_map(boxes: torch.Tensor, size: Size, cells: Size, stride: int) -> torch.Tensor:
    """Boxes in pixels -> in steps of the feature map, 0 = the middle of its first cell.

    Args:
        boxes: (...,4), edges x0, y0, x1, y1 in pixels.
        size: (H,W) of the image.
        cells: (h,w) of the map.
        stride: of the net.
    """
    # the first and last cell on the border pixels, or cells that share the image out (see nets.geometry)
    if all(length - 1 == (count - 1) * stride for length, count in zip(size, cells, strict=True)):
        return (boxes - 0.5) / stride
    shares = [count / length for length, count in zip(size, cells, strict=True)]
    return boxes * boxes.new_tensor([shares[1], shares[0]] * 2) - 0.5


def _weights(low: torch.Tensor, high: torch.Tensor, cells: int) -> torch.Tensor:
    """The share of every cell of an axis in the mean of all samples between two places: (N,M) -> (N,M,cells)."""
    count = GRID * SAMPLES
    steps = (torch.arange(count, device=low.device) + 0.5) / count
    samples = low[..., None] + (high - low)[..., None] * steps  # (N,M,14)
    clipped = samples.clamp(0, cells - 1)
    apart = clipped[..., None] - torch.arange(cells, device=low.device)  # (N,M,14,cells)
    inside = (samples >= -1) & (samples <= cells)  # RoIAlign: further out counts as 0
    return ((1 - apart.abs()).clamp(min=0) * inside[..., None]).mean(2)
