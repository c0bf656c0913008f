"""Masks of single objects: VOC's own, or what boxes and class masks together say of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.data.base import Dataset
from wsscli.data.boxes import Boxes

Mask = NDArray[np.uint8]
_SAME = 0.5  # overlap of a box with an object's own box, from which on they are one


class TrueInstances(NamedTuple):
    """What can be judged of an image.

    Attributes:
        labels: int64 (n,), class ids of its objects.
        masks: bool (n,H,W).
        judged: the classes whose objects are all known here; of the others found objects are neither right nor wrong.
        void: bool (H,W), pixels that count for nothing.
    """

    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    judged: frozenset[int]
    void: NDArray[np.bool_]


def instances_in(boxes: Boxes, mask: Mask, objects: Mask | None) -> Mask:
    """The object of every box, as far as it is known.

    With an instance map: the object of the box's class whose own box overlaps it most, by half or more. Else, and where
    none does: the box's class inside the box, but where another box of the class overlaps it, nobody knows whose the
    pixels are; nor beyond the box, where the class may be this object or another.

    Args:
        boxes: of one photo.
        mask: its classes, uint8 (H,W), 255 = unlabelled.
        objects: its instance map, see `Dataset.instances`; None where there is none.

    Returns:
        uint8 (n,H,W): 1 on the box's object, 0 elsewhere, 255 unknown.
    """
    out = np.zeros((len(boxes), *mask.shape), np.uint8)
    own = [] if objects is None else _own_boxes(objects, mask)
    for k, (box, label) in enumerate(zip(boxes.boxes, boxes.labels, strict=True)):
        same = [
            (overlap, number) for number, c, other in own if c == label and (overlap := _overlap(box, other)) >= _SAME
        ]
        if objects is not None and same:
            out[k] = objects == max(same)[1]
            out[k][objects == IGNORE] = IGNORE
            continue
        of_class = mask == label
        others = np.zeros(mask.shape, bool)
        for j, other in enumerate(boxes.boxes):
            if j != k and boxes.labels[j] == label:
                others[_pixels(other)] = True
        inside = np.zeros(mask.shape, bool)
        inside[_pixels(box)] = True
        out[k] = of_class & inside & ~others
        out[k][(of_class & (others | ~inside)) | (mask == IGNORE)] = IGNORE
    return out


def true_instances(dataset: Dataset, name: str) -> TrueInstances:
    """The objects of an image that found ones are judged by.

    With VOC's SegmentationObject all objects, and every class is judged. Without it the classes of which the image has
    exactly one box: the class's pixels inside that box (METHODS section 7); an object without such a pixel is left out.

    Raises:
        WssError: there is no true mask, the instance map is not of the photo's size, or nothing is known of the boxes.
    """
    from wsscli.data.base import require_boxes

    mask = dataset.truth(name)
    objects = dataset.instances(name)
    if objects is not None:
        found = _own_boxes(objects, mask)
        labels = np.array([label for _, label, _ in found], np.int64)
        masks = np.array([objects == number for number, _, _ in found], bool).reshape(-1, *mask.shape)
        judged = frozenset(range(1, len(dataset.classes)))
        return TrueInstances(labels, masks, judged, objects == IGNORE)
    boxes = require_boxes(dataset, [name])[name]
    single, masks_ = [], []
    for label in np.unique(boxes.labels):
        if (boxes.labels == label).sum() != 1 or boxes.crowd[boxes.labels == label].any():
            continue
        inside = np.zeros(mask.shape, bool)
        inside[_pixels(boxes.boxes[boxes.labels == label][0])] = True
        inside &= mask == label
        if inside.any():
            single.append(int(label))
            masks_.append(inside)
    stacked = np.array(masks_, bool).reshape(-1, *mask.shape)
    return TrueInstances(np.array(single, np.int64), stacked, frozenset(single), mask == IGNORE)


def object_classes(objects: Mask, mask: Mask) -> dict[int, int]:
    """The class of every object of an instance map: the one that most of its pixels have, 0 where none has any.

    Args:
        objects: uint8 (H,W): 0 no object, 1..254 one each, 255 void.
        mask: uint8 (H,W), class ids.
    """
    found = {}
    for number in np.unique(objects):
        if number in (BACKGROUND, IGNORE):
            continue
        counts = np.bincount(mask[objects == number], minlength=256)
        counts[[BACKGROUND, IGNORE]] = 0
        found[int(number)] = int(counts.argmax())
    return found


def _own_boxes(objects: Mask, mask: Mask) -> list[tuple[int, int, NDArray[np.float32]]]:
    """(number, class, box) of every object that has a class."""
    found = []
    for number, label in object_classes(objects, mask).items():
        if label == BACKGROUND:
            continue
        there = objects == number
        rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
        found.append((number, label, np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)))
    return found


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    shared = float(sides.prod())
    return shared / (float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared)


def _pixels(box: NDArray[np.float32]) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box touches."""
    x0, y0, x1, y1 = box
    return slice(int(np.floor(y0)), int(np.ceil(y1))), slice(int(np.floor(x0)), int(np.ceil(x1)))
