"""Average precision of boxes: PASCAL VOC's of 2007 and of 2012, and COCO's."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from wsscli.evaluate.instances import area, eleven_points

Floats = NDArray[np.float64]


class Guesses(Protocol):
    """What was found in an image: corners (n,4), ends exclusive, class ids (n,), scores (n,)."""

    @property
    def boxes(self) -> NDArray[Any]: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...

    @property
    def scores(self) -> Floats: ...


class Objects(Protocol):
    """What is in an image: corners (n,4), ends exclusive, class ids (n,), difficult (n,), crowd (n,)."""

    @property
    def boxes(self) -> NDArray[Any]: ...

    @property
    def labels(self) -> NDArray[np.int64]: ...

    @property
    def difficult(self) -> NDArray[np.bool_]: ...

    @property
    def crowd(self) -> NDArray[np.bool_]: ...


class VocAp(NamedTuple):
    """Of one class: AP of VOC 2007 (eleven points), of VOC 2012 (area), and how many objects there are to find.

    Both are NaN where there is none.
    """

    voc07: float
    voc12: float
    objects: int


def voc_ap(found: Mapping[str, Guesses], truth: Mapping[str, Objects], label: int, *, threshold: float = 0.5) -> VocAp:
    """AP of one class over a set of images.

    Boxes are taken by falling score (equal ones in the order of the image ids, then as given). Each goes to the
    true box of its class and image that it overlaps most, whether that was found before or not: a hit where the overlap
    reaches the threshold and the true box is still free, a second hit is a miss. Difficult objects and crowds are
    neither to be found nor a miss to find.

    Args:
        found: image id -> boxes; images without any may be left out.
        truth: image id -> objects, of every image that is judged; others in `found` do not count.
        label: the class.
        threshold: of the intersection over union.

    Source: Everingham et al., The PASCAL Visual Object Classes Challenge: A Retrospective, IJCV 2015, section 3.2;
        VOC2007's and VOC2012's development kits.
    """
    number, rows, scores = 0, [], []
    for name in sorted(truth):
        there = truth[name]
        mine = there.labels == label
        passed = (there.difficult | there.crowd)[mine]
        number += int((~passed).sum())
        if name in found:
            chosen = found[name].labels == label
            overlaps = iou(found[name].boxes[chosen], there.boxes[mine])
            # -1 where there is nothing to overlap
            best = overlaps.argmax(1) if overlaps.shape[1] else np.zeros(len(overlaps), np.int64)
            most = overlaps.max(1, initial=-1.0)
            rows += [
                (name, int(k), float(most_), bool(passed[k]) if len(passed) else False)
                for k, most_ in zip(best, most, strict=True)
            ]
            scores.append(found[name].scores[chosen])
    if not number:
        return VocAp(float("nan"), float("nan"), 0)
    order = np.argsort(-np.concatenate([*scores, np.zeros(0)]), kind="stable")
    taken: set[tuple[str, int]] = set()
    hits: list[bool] = []
    for index in order:
        name, k, overlap, ignored = rows[index]
        if overlap >= threshold and ignored:
            continue
        hit = overlap >= threshold and (name, k) not in taken
        if hit:
            taken.add((name, k))
        hits.append(hit)
    right = np.cumsum(np.array(hits, np.float64))
    recall, precision = right / number, right / np.arange(1, len(hits) + 1)
    return VocAp(eleven_points(recall, precision), area(recall, precision), number)


def iou(boxes: NDArray[Any], others: NDArray[Any]) -> Floats:
    """Intersection over union of each of (n,4) with each of (m,4), ends exclusive: float64 (n,m)."""
    a, b = np.asarray(boxes, np.float64)[:, None], np.asarray(others, np.float64)[None]  # (n,1,4), (1,m,4)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = sides.prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return np.asarray(shared / (areas - shared))


def coco_ap(
    found: Mapping[str, Guesses], truth: Mapping[str, Objects], classes: Sequence[int]
) -> dict[int, tuple[float, float, float]]:
    """COCO's AP of every class, by pycocotools: mean over overlaps 0.5, 0.55, ..., 0.95; at 0.5; at 0.75.

    Crowds are neither to be found nor a miss to find; COCO has no difficult objects, here they are objects as others.

    Args:
        found: image id -> boxes; the best hundred of an image and class count.
        truth: image id -> objects, of every image that is judged; others in `found` do not count.
        classes: the classes.

    Returns:
        Class -> AP, AP50, AP75; NaN where there is nothing to find.

    Source: Lin et al., Microsoft COCO, ECCV 2014; pycocotools.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    wanted = frozenset(classes)
    numbers = {name: k for k, name in enumerate(sorted(truth), start=1)}
    true = [
        _entry(numbers[name], box, label, {"iscrowd": int(crowd)})
        for name in numbers
        for box, label, crowd in zip(truth[name].boxes, truth[name].labels, truth[name].crowd, strict=True)
        if int(label) in wanted
    ]
    mine = [
        _entry(numbers[name], box, label, {"score": float(score), "iscrowd": 0})
        for name in numbers
        if name in found
        for box, label, score in zip(found[name].boxes, found[name].labels, found[name].scores, strict=True)
        if int(label) in wanted
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        sets = []
        for entries in (true, mine):
            one = COCO()
            one.dataset = {
                "images": [{"id": k} for k in numbers.values()],
                "categories": [{"id": c} for c in classes],
                "annotations": [{**entry, "id": k} for k, entry in enumerate(entries, start=1)],
            }
            one.createIndex()
            sets.append(one)
        judge = COCOeval(*sets, "bbox")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][..., 0, -1]  # (overlaps, recalls, classes): all sizes, 100 an image
    columns = {c: precision[..., k] for k, c in enumerate(sorted(wanted))}
    return {c: tuple(_mean(columns[c][part]) for part in (slice(None), 0, 5)) for c in classes}  # type: ignore[misc]


def _entry(image: int, box: NDArray[Any], label: Any, more: dict[str, Any]) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(side) for side in box)
    sides = [x0, y0, x1 - x0, y1 - y0]
    return {"image_id": image, "category_id": int(label), "bbox": sides, "area": sides[2] * sides[3], **more}


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if (values > -1).all() else float("nan")  # -1: nothing to find
