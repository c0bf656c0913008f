"""Average precision of instance masks (AP^r), by the rules of the papers that report it, and COCO's."""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import UsageError

Protocol = Literal["sds", "fcis"]
Rle = Mapping[str, Any]
_POINTS = 11


class Instance(NamedTuple):
    """One object of one image, found or true.

    Attributes:
        image: its id.
        label: class id.
        rle: the mask as pycocotools has it: `size` [H, W] and `counts` (bytes).
        score: of a found one; of a true one it means nothing.
    """

    image: str
    label: int
    rle: Rle
    score: float = 1.0


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (H,W) run-length encoded."""
    from pycocotools import mask as masks

    found: dict[str, Any] = masks.encode(np.asfortranarray(mask, np.uint8))
    return found


def decode(rle: Rle) -> NDArray[np.bool_]:
    """The mask (H,W) of a run-length code."""
    from pycocotools import mask as masks

    return np.asarray(masks.decode(dict(rle)), np.bool_)


def average_precision(
    found: Iterable[Instance], truth: Iterable[Instance], threshold: float, protocol: Protocol = "sds"
) -> float:
    """AP^r of one class at one overlap, over a whole set of images.

    Found instances are taken by falling score (equal ones in the order given); each hits or misses.

    Args:
        found: of one class.
        truth: of the same class.
        threshold: of the intersection over union of masks.
        protocol: `sds`: a hit overlaps by MORE than the threshold the best truth of its image that no earlier one has
            hit; the area under the precision envelope. `fcis`: the best truth of its image must be overlapped by the
            threshold or more, and not have been hit before; the mean precision at recalls 0, 0.1, ..., 1.

    Returns:
        In 0..1; NaN where there is no truth.

    Raises:
        UsageError: no rule of that name, or a threshold outside 0..1.

    Source: METHODS section 6; Hariharan et al., Simultaneous Detection and Segmentation, ECCV 2014, section 6, and its
        code; Li et al., FCIS, CVPR 2017, and its code.
    """
    if protocol not in get_args(Protocol):
        raise UsageError(f"protocol '{protocol}': give {' or '.join(get_args(Protocol))}")
    if not 0 <= threshold <= 1:
        raise UsageError(f"overlap {threshold:g}: give a number from 0 to 1")
    by_image: dict[str, list[Rle]] = defaultdict(list)
    for item in truth:
        by_image[item.image].append(item.rle)
    number = sum(map(len, by_image.values()))
    if not number:
        return float("nan")
    ordered = sorted(found, key=lambda item: -item.score)  # stable
    hits = _hits(ordered, by_image, threshold, protocol)
    right = np.cumsum(hits)
    recall = right / number
    precision = right / np.arange(1, len(hits) + 1)
    return area(recall, precision) if protocol == "sds" else eleven_points(recall, precision)


def _hits(ordered: Sequence[Instance], truth: Mapping[str, list[Rle]], threshold: float, protocol: str) -> list[bool]:
    overlaps = _overlaps(ordered, truth)
    covered: dict[str, set[int]] = defaultdict(set)
    hits = []
    for item, row in zip(ordered, overlaps, strict=True):
        gone = covered[item.image]
        candidates = [k for k in range(len(row)) if protocol == "fcis" or k not in gone]
        best = max(candidates, key=lambda k: row[k], default=None)
        hit = best is not None and (
            row[best] > threshold if protocol == "sds" else row[best] >= threshold and best not in gone
        )
        if hit and best is not None:
            gone.add(best)
        hits.append(bool(hit))
    return hits


def _overlaps(ordered: Sequence[Instance], truth: Mapping[str, list[Rle]]) -> list[NDArray[np.float64]]:
    """Of each found instance with the true ones of its image: intersection over union, (truths,)."""
    from pycocotools import mask as masks

    found: list[NDArray[np.float64]] = []
    for item in ordered:
        there = truth.get(item.image, [])
        none = np.zeros(0)
        found.append(np.asarray(masks.iou([item.rle], there, [0] * len(there)))[0] if there else none)
    return found


def area(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The area under the precision envelope (VOC from 2010 on); both by rank."""
    r = np.concatenate([[0.0], recall])
    p = np.maximum.accumulate(precision[::-1])[::-1]  # the best precision at this recall or a higher one
    return float((np.diff(r) * p).sum())


def eleven_points(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """The mean over recalls 0, 0.1, ..., 1 of the best precision at that recall or a higher one (VOC 2007)."""
    # hits / number and k / 10 may differ in the last digit where they are meant to be equal
    points = (precision[recall >= k / (_POINTS - 1) - 1e-9].max(initial=0.0) for k in range(_POINTS))
    return float(sum(points)) / _POINTS


def coco_ap(found: Sequence[Instance], truth: Sequence[Instance], classes: Sequence[int]) -> dict[str, float]:
    """COCO's mask AP, by pycocotools: `AP` (mean over overlaps 0.5, 0.55, ..., 0.95), `AP50` and `AP75`.

    Args:
        found: of all classes; those of images without truth count against them.
        truth: of all classes.
        classes: that the mean runs over; those without truth are left out.

    Returns:
        Each in 0..1; NaN without any truth.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not truth:
        return dict.fromkeys(("AP", "AP50", "AP75"), float("nan"))
    sizes = {item.image: item.rle["size"] for item in (*found, *truth)}
    numbers = {name: k + 1 for k, name in enumerate(sorted(sizes))}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        reference = COCO()
        reference.dataset = {
            "images": [{"id": k, "height": sizes[name][0], "width": sizes[name][1]} for name, k in numbers.items()],
            "categories": [{"id": c} for c in classes],
            "annotations": [
                {**_entry(item, numbers), "id": k + 1, "iscrowd": 0}
                for k, item in enumerate(truth)
                if item.label in classes
            ],
        }
        reference.createIndex()
        mine = COCO()
        mine.dataset = {
            **reference.dataset,
            "annotations": [
                {**_entry(item, numbers), "id": k + 1, "score": item.score, "iscrowd": 0}
                for k, item in enumerate(found)
                if item.label in classes
            ],
        }
        mine.createIndex()
        judge = COCOeval(reference, mine, "segm")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][..., 0, -1]  # (overlaps, recalls, classes): all sizes, 100 an image
    return {name: _valid_mean(precision[part]) for name, part in (("AP", slice(None)), ("AP50", 0), ("AP75", 5))}


def _entry(item: Instance, numbers: Mapping[str, int]) -> dict[str, Any]:
    from pycocotools import mask as masks

    return {
        "image_id": numbers[item.image], "category_id": item.label, "segmentation": dict(item.rle),
        "area": float(masks.area(dict(item.rle))),
    }  # fmt: skip


def _valid_mean(values: NDArray[np.float64]) -> float:
    there = values[values > -1]  # -1: a class without truth
    return float(there.mean()) if there.size else float("nan")
