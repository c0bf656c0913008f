"""What a detector is trained on: photos with boxes, varied as SSD varies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from wsscli.data.boxes import Boxes
from wsscli.nets.ssd import SSD, Found
from wsscli.train.augment import Image, Rng, jitter, resize, sample_rng

Corners = NDArray[np.float32]
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # 1 leaves the photo as it is
_TRIALS = 40
_RATIO = 2.0  # a crop's sides are as 1:2 to 2:1, in shares of the photo's
_LEAST = 1.0  # pixels of the square that a box must have left, both ways


@dataclass(frozen=True)
class BoxAugment:
    """How photos with boxes are varied.

    Attributes:
        size: side of the square that a photo is warped to.
        expand: every other photo is put on a canvas of up to this many times its sides; 1 = none is.
        scale: least and largest share of each side that a crop keeps; None = no crop.
        flip: mirror every other photo.
        jitter: strength of the colour changes, 0 = none.
        fill: RGB around the photo.
    """

    size: int
    expand: float = 4.0
    scale: tuple[float, float] | None = (0.3, 1.0)
    flip: bool = True
    jitter: float = 0.4
    fill: tuple[int, ...] = (128, 128, 128)


class Window(NamedTuple):
    """A part of the plane that a photo lies in, in the photo's pixels; it may reach beyond the photo."""

    left: float
    top: float
    right: float
    bottom: float


class BoxSamples:
    """Photos and boxes: (uint8 (S,S,3), float32 (M,4) corners in the square's pixels, int64 (M,) ids, 0 = no box).

    M is the largest number of boxes of any photo. Boxes around crowds are left out; difficult ones are taken.

    Args:
        ids: the images.
        read: a photo.
        boxes: of each image.
        augment: how samples are varied.
        seed: of the training.
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        boxes: Mapping[str, Boxes],
        augment: BoxAugment,
        seed: int,
    ) -> None:
        self.ids, self.read, self.augment, self.seed = ids, read, augment, seed
        single = {name: ~boxes[name].crowd for name in ids}
        self.boxes = {name: (boxes[name].boxes[single[name]], boxes[name].labels[single[name]]) for name in ids}
        self.most = max((len(labels) for _, labels in self.boxes.values()), default=0)

    def __len__(self) -> int:
        return len(self.ids)

    def __call__(self, epoch: int, index: int) -> tuple[NDArray[Any], ...]:
        name = self.ids[index]
        image, found, labels = varied(
            self.read(name), *self.boxes[name], self.augment, sample_rng(self.seed, epoch, index)
        )
        corners, ids = np.zeros((self.most, 4), np.float32), np.zeros(self.most, np.int64)
        corners[: len(labels)], ids[: len(labels)] = found, labels
        return image, corners, ids


def varied(
    image: Image, corners: Corners, labels: NDArray[np.int64], how: BoxAugment, rng: Rng
) -> tuple[Image, Corners, NDArray[np.int64]]:
    """A photo and its boxes as training sees them.

    Expanding and cropping choose one window, and the photo is resampled once.

    Args:
        image: uint8 (H,W,3).
        corners: float32 (n,4) in the photo's pixels, ends exclusive.
        labels: int64 (n,), class ids.
        how: what is done.
        rng: random numbers.

    Returns:
        The square, uint8 (S,S,3); corners in its pixels and class ids of the boxes that are left: those whose centre
        lies in the window, cut to it.

    Source: Liu et al., SSD, section 2.2 (data augmentation) and 3.6 (expanding), with torchvision's numbers.
    Differs: torchvision's transforms draw from the process's one generator, which the threads that prepare samples
        share; here a sample is drawn from its own. Colours change as in `augment.jitter`: no hue, no swapped channels.
    """
    height, width = image.shape[:2]
    window = Window(0.0, 0.0, float(width), float(height))
    if how.expand > 1 and rng.random() < 0.5:
        window = _expanded(window, rng.uniform(1, how.expand), rng)
    if how.scale is not None:
        window = iou_crop(window, corners, how.scale, rng)
    square, corners, labels = _cut(image, corners, labels, window, how)
    if how.flip and rng.random() < 0.5:
        square = square[:, ::-1]
        corners = np.stack([how.size - corners[:, 2], corners[:, 1], how.size - corners[:, 0], corners[:, 3]], 1)
    if how.jitter:
        square = jitter(np.ascontiguousarray(square), how.jitter, rng)
    return square, corners, labels


def _expanded(window: Window, ratio: float, rng: Rng) -> Window:
    """A window of `ratio` times the sides, the old one somewhere in it."""
    width, height = window.right - window.left, window.bottom - window.top
    left = window.left - rng.uniform(0, 1) * (ratio - 1) * width
    top = window.top - rng.uniform(0, 1) * (ratio - 1) * height
    return Window(left, top, left + ratio * width, top + ratio * height)


def iou_crop(window: Window, corners: Corners, scale: tuple[float, float], rng: Rng) -> Window:
    """A part of a window in which some box lies with its centre, and which overlaps such a box by a drawn IoU.

    Args:
        window: what is cropped.
        corners: float32 (n,4) of the boxes.
        scale: least and largest share of each side.
        rng: random numbers.

    Source: Liu et al., SSD, section 2.2; torchvision's `RandomIoUCrop`.
    """
    width, height = window.right - window.left, window.bottom - window.top
    while True:
        overlap = OVERLAPS[int(rng.integers(len(OVERLAPS)))]
        if overlap >= 1:
            return window
        for _ in range(_TRIALS):
            w, h = (share * side for share, side in zip(rng.uniform(*scale, 2), (width, height), strict=True))
            if not 1 / _RATIO <= (w / width) / (h / height) <= _RATIO:
                continue
            left = window.left + rng.uniform(0, width - w)
            top = window.top + rng.uniform(0, height - h)
            part = Window(left, top, left + w, top + h)
            inside = corners[_centred(corners, part)]
            if len(inside) and _overlap(inside, part).max() >= overlap:
                return part


def _centred(corners: Corners, part: Window) -> NDArray[np.bool_]:
    x, y = (corners[:, 0] + corners[:, 2]) / 2, (corners[:, 1] + corners[:, 3]) / 2
    return np.asarray((part.left < x) & (x < part.right) & (part.top < y) & (y < part.bottom))


def _overlap(corners: Corners, part: Window) -> NDArray[np.float64]:
    """IoU of each box with the window, (n,)."""
    low = np.maximum(corners[:, :2], part[:2])
    high = np.minimum(corners[:, 2:], part[2:])
    shared = np.prod(np.clip(high - low, 0, None), 1)
    areas = np.prod(corners[:, 2:] - corners[:, :2], 1) + (part.right - part.left) * (part.bottom - part.top)
    return np.asarray(shared / (areas - shared))


def _cut(
    image: Image, corners: Corners, labels: NDArray[np.int64], window: Window, how: BoxAugment
) -> tuple[Image, Corners, NDArray[np.int64]]:
    """The window's pixels as a square, `fill` where there is no photo, and the boxes in it."""
    height, width = image.shape[:2]
    left, top, right, bottom = (round(side) for side in window)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    across, down = how.size / (right - left), how.size / (bottom - top)
    x0, x1, y0, y1 = max(0, left), min(width, right), max(0, top), min(height, bottom)
    out = np.empty((how.size, how.size, 3), np.uint8)
    out[:] = how.fill
    columns = slice(round((x0 - left) * across), round((x1 - left) * across))
    rows = slice(round((y0 - top) * down), round((y1 - top) * down))
    if x0 < x1 and y0 < y1 and rows.stop > rows.start and columns.stop > columns.start:
        out[rows, columns] = resize(image[y0:y1, x0:x1], rows.stop - rows.start, columns.stop - columns.start)
    part = Window(left, top, right, bottom)
    kept = _centred(corners, part) if part != (0, 0, width, height) else np.ones(len(corners), np.bool_)
    origin, factor = np.array([left, top] * 2, np.float32), np.array([across, down] * 2, np.float32)
    placed = (corners[kept] - origin) * factor
    placed = np.clip(placed, 0, how.size).astype(np.float32)
    large = ((placed[:, 2:] - placed[:, :2]) >= _LEAST).all(1)
    return out, placed[large], labels[kept][large]


@dataclass(frozen=True)
class BoxLoss:
    """SSD's loss (images, corners float32 (N,M,4), ids int64 (N,M)); see `SSD.loss`.

    Attributes:
        net: the detector.
    """

    net: SSD

    def __call__(self, found: Found, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.net.loss(found, batch[1], batch[2])

    def divisor(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the loss of this batch is divided by: parts of a batch have one divisor, that of all of them."""
        return self.net.matches(batch[1], batch[2])
