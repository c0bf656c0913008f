"""One set of class maps from several sizes of an image and its mirror images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from wsscli.errors import WssError

MapsOf = Callable[[torch.Tensor], torch.Tensor]


def input_size(size: tuple[int, int], scale: float, stride: int) -> tuple[int, int]:
    """The size a net sees an image at: the next multiple of the stride, and one.

    At such sizes the first and the last step of the feature map lie on the first and the last pixel, whatever the
    net's padding, and the mirror image has the mirrored features.

    Args:
        size: (H, W) of the image.
        scale: factor, > 0.
        stride: the net's output stride.
    """
    return (_input_side(size[0], scale, stride), _input_side(size[1], scale, stride))


def _input_side(length: int, scale: float, stride: int) -> int:
    return max(1, round(length * scale / stride)) * stride + 1


def grid_size(size: tuple[int, int], scale: float, stride: int) -> tuple[int, int]:
    """The grid of the fused maps: two cells for each step of the feature map at the largest scale, at most H x W."""
    return (_grid_side(size[0], scale, stride), _grid_side(size[1], scale, stride))


def _grid_side(length: int, scale: float, stride: int) -> int:
    return min(length, max(1, round(2 * length * scale / stride)))


def multiscale(
    maps_of: MapsOf,
    image: npt.NDArray[np.uint8],
    *,
    scales: Sequence[float],
    flip: bool,
    stride: int,
    device: torch.device | str = "cpu",
) -> npt.NDArray[np.float32]:
    """Positive part of the sum of a net's maps over sizes of an image, and over its mirror images.

    Maps may be negative: what one size holds against a class counts against what another one finds, and only the sum
    is rectified. (Rectifying each size first gave less precise seeds at the same coverage.)

    Args:
        maps_of: uint8 RGB (N, 3, h, w) -> maps (N, K, h', w').
        image: (H, W, 3) uint8 RGB.
        scales: factors of the image's size; the result does not depend on their order.
        flip: add the mirror image at each scale.
        stride: the net's output stride.
        device: where the net is.

    Returns:
        (K, h, w) float32 >= 0 on `grid_size` of the largest scale; a cell's centre is that of the pixels it covers, so
        that a resize with half-pixel centres to (H, W) puts everything in its place.

    Raises:
        WssError: no scale, or one out of range.
    """
    check_scales(scales)
    size = (image.shape[0], image.shape[1])
    grid = grid_size(size, max(scales), stride)
    total: torch.Tensor | None = None
    for scale in sorted(set(scales), reverse=True):
        seen_size = input_size(size, scale, stride)
        seen = _resize(image, seen_size)
        batch = torch.from_numpy(seen).permute(2, 0, 1)[None]  # (1, 3, h, w)
        if flip:
            batch = torch.cat([batch, batch.flip(3)])
        maps = maps_of(batch.to(device)).float()
        if flip:
            maps = maps[:1] + maps[1:].flip(3)
        placed = _place(maps, size, grid, seen_size, stride)
        total = placed if total is None else total + placed
    assert total is not None
    return np.asarray(total[0].relu().cpu().numpy(), dtype=np.float32)


def check_scales(scales: Sequence[float]) -> None:
    """Refuse scales that no image is seen at.

    Raises:
        WssError: no scale, or one outside 0.05 to 8.
    """
    wrong = [scale for scale in scales if not 0.05 <= scale <= 8]
    if wrong or not scales:
        found = f"{wrong[0]:g}" if wrong else "none"
        raise WssError(f"scales: {found}; give one or more factors of the image's size from 0.05 to 8")


def _resize(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    smaller = size[0] < image.shape[0] and size[1] < image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method), dtype=np.uint8)


def _place(
    maps: torch.Tensor, size: tuple[int, int], grid: tuple[int, int], seen: tuple[int, int], stride: int
) -> torch.Tensor:
    """Bilinear values of a net's maps at the centres of the cells of a grid over the image."""
    rows, columns = (_centres(*sides, stride).to(maps) for sides in zip(size, grid, seen, maps.shape[-2:], strict=True))
    points = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], -1)  # (h, w, 2), x first
    return F.grid_sample(maps, points[None], mode="bilinear", padding_mode="border", align_corners=True)


def _centres(pixels: int, cells: int, seen: int, samples: int, stride: int) -> torch.Tensor:
    """Centres of the cells that divide a side of the image, -1 on the first sample of the map and 1 on the last.

    Args:
        pixels: length of the side.
        cells: of the grid.
        seen: length at which the net saw the side.
        samples: of the net's map along it. Where they lie a stride apart from border to border, the first is on the
            image's first pixel and the last on its last. Nets that cut the image into patches (ConvNeXt) have one
            fewer: there each sample is the centre of its share of the side.
        stride: of the net.
    """
    order = torch.arange(cells, dtype=torch.float64) + 0.5
    if (samples - 1) * stride == seen - 1:
        return torch.zeros(cells) if pixels == 1 else (order * pixels / cells - 0.5) / (pixels - 1) * 2 - 1
    return torch.zeros(cells) if samples == 1 else (order * samples / cells - 0.5) / (samples - 1) * 2 - 1
