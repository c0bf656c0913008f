"""Photos, the boxes of one class in them, and what is the class inside the boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE
from wsscli.data.boxes import Boxes
from wsscli.train.augment import Image, Rng, jitter, resize, resize_mask, sample_rng

Corners = NDArray[np.float32]
MOST_BOXES = 16  # of one class that a sample may hold
POSITIVES, NEGATIVES = 2, 4  # boxes drawn around an instance: p and n
MATCH = 0.5
_TRIES = 40
_VISIBLE = 0.25  # share of a box that must be in the window


@dataclass(frozen=True)
class Window:
    """How samples are varied.

    Attributes:
        side: of the square that goes into the net.
        zoom: least and largest side of the window that is cut out, as a share of the photo's; above 1 it reaches beyond
            the photo. None warps the whole photo.
        aspect: the window's width over its height, against the photo's, is at most this much larger or smaller.
        flip: mirror every other photo.
        jitter: strength of the colour changes.
        box_jitter: each side of a box moves by up to this share of the box's width or height.
        fill: RGB beyond the photo's border.
    """

    side: int
    zoom: tuple[float, float] | None = (0.4, 1.6)
    aspect: float = 1.33
    flip: bool = True
    jitter: float = 0.0
    box_jitter: float = 0.0
    fill: tuple[int, ...] = (128, 128, 128)


class ClassSamples:
    """One class of one photo a sample: image uint8 (S,S,3), boxes float32 (16,4), mask uint8 (S,S).

    A random number of the class's boxes is kept; the rest of the rows are zeros. Inside the boxes kept the mask is 1 on
    the class, 0 elsewhere, 255 where the photo's mask has it; outside of them it is 255.

    With instances three more: boxes float32 (6,4) drawn around one of those kept, bool (6,) which of them match it, and
    uint8 (S,S), 1 on that instance.

    Args:
        ids: the images.
        read: a photo.
        read_mask: its mask, class ids, 255 = unlabelled.
        boxes: of every image.
        window: how samples are varied.
        seed: of the training.
        read_instances: with it there are instances: image and mask -> uint8 (n,H,W), one of its boxes each, 1 on the
            box's object, 255 where nobody knows.

    Source: DASNet, sections 3.5 and 4.1.
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        read_mask: Callable[[str], Image],
        boxes: Mapping[str, Boxes],
        window: Window,
        seed: int,
        read_instances: Callable[[str, Image], Image] | None = None,
    ) -> None:
        self.read, self.read_mask, self.boxes = read, read_mask, boxes
        self.window, self.seed, self.read_instances = window, seed, read_instances
        self.pairs = [(name, int(label)) for name in ids for label in np.unique(boxes[name].labels[~boxes[name].crowd])]

    def __len__(self) -> int:
        return len(self.pairs)

    def __call__(self, epoch: int, index: int) -> tuple[NDArray[Any], ...]:
        name, label = self.pairs[index]
        how, rng = self.window, sample_rng(self.seed, epoch, index)
        image, mask = self.read(name), self.read_mask(name)
        layers = [np.where(mask == IGNORE, mask, mask == label).astype(np.uint8)]
        mine = (self.boxes[name].labels == label) & ~self.boxes[name].crowd
        boxes = self.boxes[name].boxes[mine]
        if self.read_instances is not None:
            layers += list(self.read_instances(name, mask)[mine])
        top, left, height, width = window_of(image.shape[:2], boxes, how, rng)
        visible = in_window(boxes, top, left, height, width)
        there = np.flatnonzero(visible[:, 2] > visible[:, 0])
        kept = rng.permutation(there)[: min(MOST_BOXES, int(rng.integers(1, len(there) + 1)))]
        corners = visible[kept]
        if how.box_jitter:
            corners = moved(corners, how.box_jitter, rng)
        image = cut(image, top, left, height, width, how.fill, how.side)
        maps = [cut(layers[0], top, left, height, width, (IGNORE,), how.side)]
        chosen = int(kept[0])
        if self.read_instances is not None:
            maps.append(cut(layers[1 + chosen], top, left, height, width, (IGNORE,), how.side))
        if how.flip and rng.random() < 0.5:
            image, maps = image[:, ::-1], [part[:, ::-1] for part in maps]
            corners, visible = mirrored(corners), mirrored(visible)
        if how.jitter:
            image = jitter(np.ascontiguousarray(image), how.jitter, rng)
        rows = np.zeros((MOST_BOXES, 4), np.float32)
        rows[: len(corners)] = corners
        target = np.where(_inside(corners, how.side), maps[0], np.uint8(IGNORE))
        if self.read_instances is None:
            return image, rows, target
        drawn, positive = around(visible[chosen], visible[there], rng)
        return image, rows, target, drawn, positive, maps[1]


def window_of(size: tuple[int, int], boxes: Corners, how: Window, rng: Rng) -> tuple[int, int, int, int]:
    """A random window (top, left, height, width) that holds enough of one of the boxes; the photo, if none is found.

    Args:
        size: (H,W) of the photo.
        boxes: (n,4) of the class, in pixels, n >= 1.
        how: the range.
        rng: random numbers.
    """
    h, w = size
    if how.zoom is None:
        return 0, 0, h, w
    for _ in range(10):
        zoom = float(np.exp(rng.uniform(*np.log(how.zoom))))
        ratio = float(np.exp(rng.uniform(-0.5, 0.5) * np.log(how.aspect)))
        height, width = max(2, round(h * zoom / ratio)), max(2, round(w * zoom * ratio))
        # it slides so that it holds as much of the photo as it can
        top = int(rng.integers(min(0, h - height), max(0, h - height) + 1))
        left = int(rng.integers(min(0, w - width), max(0, w - width) + 1))
        found = in_window(boxes, top, left, height, width)
        if (found[:, 2] > found[:, 0]).any():
            return top, left, height, width
    return 0, 0, h, w


def in_window(boxes: Corners, top: int, left: int, height: int, width: int) -> Corners:
    """Boxes in pixels as shares of a window's sides, cut to it; zeros for those of which too little is in it."""
    frame = np.array([left, top, left, top], np.float32)
    scale = np.array([width, height, width, height], np.float32)
    cut_ = np.clip((boxes - frame) / scale, 0, 1).astype(np.float32)
    left_over = _areas(cut_) / np.maximum(_areas((boxes - frame) / scale), np.finfo(np.float32).tiny)
    return np.where((left_over >= _VISIBLE)[:, None], cut_, np.float32(0))


def cut(image: Image, top: int, left: int, height: int, width: int, fill: tuple[int, ...], side: int) -> Image:
    """A window of an image (H,W,3), or of a map of labels (H,W), warped to (side, side); `fill` beyond the border."""
    h, w = image.shape[:2]
    inside = (slice(max(0, top), min(h, top + height)), slice(max(0, left), min(w, left + width)))
    if (inside[0].stop - inside[0].start, inside[1].stop - inside[1].start) == (height, width):
        out = image[inside]
    else:
        out = np.empty((height, width, *image.shape[2:]), np.uint8)
        out[:] = fill if image.ndim == 3 else fill[0]
        out[inside[0].start - top : inside[0].stop - top, inside[1].start - left : inside[1].stop - left] = image[
            inside
        ]
    return (resize if image.ndim == 3 else resize_mask)(np.ascontiguousarray(out), side, side)


def mirrored(boxes: Corners) -> Corners:
    """Boxes of the mirror image; rows of zeros stay."""
    found = boxes.copy()
    there = boxes[:, 2] > boxes[:, 0]
    found[there, 0], found[there, 2] = 1 - boxes[there, 2], 1 - boxes[there, 0]
    return found


def moved(boxes: Corners, strength: float, rng: Rng) -> Corners:
    """Each side moved by up to `strength` of the box's width or height, within the square."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    found: Corners = np.clip(boxes + rng.uniform(-strength, strength, boxes.shape) * sides, 0, 1).astype(np.float32)
    return found


def around(box: Corners, boxes: Corners, rng: Rng) -> tuple[Corners, NDArray[np.bool_]]:
    """Boxes drawn around one: first positives, which overlap it by more than 0.5, then negatives, which match none.

    Half of the negatives are near it, where only the order of its parts tells them apart.

    Args:
        box: (4,), the instance's.
        boxes: (n,4), of the class, that no negative may match.
        rng: random numbers.

    Returns:
        (6,4), and bool (6,). A row for which nothing was found is the box itself (positive) or zeros (negative).
    """
    drawn = np.zeros((POSITIVES + NEGATIVES, 4), np.float32)
    drawn[:POSITIVES] = box
    for row in range(len(drawn)):
        wanted = row < POSITIVES
        for _ in range(_TRIES):
            near = wanted or row % 2 == 0
            tried = moved(box[None], 0.3 if wanted else 1.0, rng)[0] if near else _anywhere(rng)
            if tried[2] <= tried[0] or tried[3] <= tried[1]:
                continue
            if overlaps(tried, box[None])[0] > MATCH if wanted else overlaps(tried, boxes).max() <= MATCH:
                drawn[row] = tried
                break
    return drawn, np.arange(len(drawn)) < POSITIVES


def overlaps(box: Corners, boxes: Corners) -> NDArray[np.float32]:
    """Intersection over union of one box (4,) with others (n,4)."""
    common = np.concatenate([np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])], 1)
    shared = _areas(common)
    found: NDArray[np.float32] = shared / np.maximum(_areas(box[None]) + _areas(boxes) - shared, 1e-9)
    return found


def _anywhere(rng: Rng) -> Corners:
    corners = np.sort(rng.random((2, 2)), 0)
    return corners.astype(np.float32).ravel()


def _areas(boxes: Corners) -> NDArray[np.float32]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    found: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return found


def _inside(boxes: Corners, side: int) -> NDArray[np.bool_]:
    """The pixels of the square that boxes touch."""
    found = np.zeros((side, side), bool)
    for x0, y0, x1, y1 in boxes * side:
        found[int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))] = True
    return found
