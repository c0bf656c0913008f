"""`wss eval --instances`: masks of single objects against true ones."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.errors import WssError
from wsscli.steps._data import Data
from wsscli.steps._eval_objects import ObjectEvaluation, ObjectRow, open_case, refuse_strangers
from wsscli.steps._run import Run

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset
    from wsscli.data.instances import TrueInstances
    from wsscli.evaluate.instances import Instance
    from wsscli.maskdir.detections import DetectionDir

log = logging.getLogger("wsscli")
OVERLAPS = {"ap50": 0.5, "ap70": 0.7, "ap75": 0.75}
_PROTOCOLS = {
    "sds": "protocol sds (more than the overlap, the best object that none has hit before, area under the curve)",
    "fcis": "protocol fcis (the overlap or more, the best object, eleven points)",
}


def evaluate_instances(
    directories: Sequence[Path],
    *,
    protocol: Literal["sds", "fcis"],
    boxes: Path | None,
    classes: Sequence[str] | None,
    missing: str,
    data: Data,
    run: Run,
) -> ObjectEvaluation | None:
    """Average precision of the instances that `wss detect --instances` cut out; AP^r.

    Args:
        protocol: see `evaluate.instances.average_precision`.
        directories, boxes, classes, missing, data, run: see `open_case`.

    Returns:
        The numbers; None under `dry_run`.

    Raises:
        WssError: see `open_case`; nothing in the truth can be judged; the file of instances is lacking or damaged.
    """
    from wsscli.data.instances import true_instances

    case = open_case(directories, boxes=boxes, classes=classes, missing=missing, data=data, run=run)
    dataset, names = case.dataset, case.names
    if run.dry_run:
        shown = ", ".join(map(str, directories))
        log.info("would judge the instances of %s on %d images of %s", shown, len(names), dataset.root)
        return None
    truth = {name: true_instances(dataset, name) for name in names}
    there = {int(label) for found in truth.values() for label in found.labels}
    chosen = [c for c in case.wanted if c in there]
    if not chosen:
        raise WssError(
            f"{dataset.root}: no object to judge in {len(names)} images of split {dataset.split}; without "
            "SegmentationObject only an object that is alone of its class in its image can be"
        )
    rows = [
        ObjectRow.of(side, _per_class(side, truth, dataset, chosen, protocol), absent)
        for side, absent in zip(case.sides, case.lacking, strict=True)
    ]
    rule = f"AP50, AP70, AP75: AP^r, {_PROTOCOLS[protocol]}; COCO: mean over overlaps 0.5 to 0.95"
    if any(len(found.judged) < len(dataset.classes) - 1 for found in truth.values()):
        rule += (
            "; single objects of all images are not known: a class is judged in images with exactly one object of it, "
            "elsewhere what is found of it counts for nothing"
        )
    return ObjectEvaluation(
        "instances", dataset.split, str(dataset.root), len(names), case.skipped, bool(classes), rule, "AP^r at 0.5",
        rows, protocol,
    )  # fmt: skip


def read_instances(path: Path) -> list[Instance]:
    """The entries of a file in COCO's results form, masks run-length coded.

    Raises:
        WssError: not readable, not of that form, or a mask that cannot be decoded.
    """
    from wsscli.data.rle import decode_rle
    from wsscli.evaluate.instances import Instance, encode
    from wsscli.maskdir.detections import read_entries

    found = []
    content = read_entries(path, "instances", "run `wss detect --instances` again")
    for number, entry in enumerate(content, start=1):
        try:
            rle = encode(decode_rle(entry["segmentation"]))
            item = Instance(str(entry["image_id"]), int(entry["category_id"]), rle, float(entry["score"]))
            if not math.isfinite(item.score):
                raise ValueError(f"the score {item.score}")
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise WssError(
                f"{path}: instance {number} lacks or garbles image_id, category_id, segmentation or score ({error!r}); "
                "mend it"
            ) from error
        found.append(item)
    return found


def _per_class(
    side: DetectionDir,
    truth: Mapping[str, TrueInstances],
    dataset: Dataset,
    chosen: Sequence[int],
    protocol: Literal["sds", "fcis"],
) -> dict[str, dict[str, float]]:
    from wsscli.evaluate.instances import Instance, average_precision, coco_ap, encode
    from wsscli.maskdir.detections import INSTANCES

    path = side.path if side.manifest is None else side.path / INSTANCES
    every, table = read_instances(path), dataset.classes
    refuse_strangers(side, (item.image for item in every), dataset)
    strange = next((item.label for item in every if not 1 <= item.label < len(table)), None)
    if strange is not None:
        raise WssError(
            f"{path}: an instance has the category {strange}, but the class table ends at {len(table) - 1}; judge it "
            "with the classes of its data set"
        )
    found = _judged(every, truth, path)
    true = [
        Instance(name, int(label), encode(mask))
        for name, there in truth.items()
        for label, mask in zip(there.labels, there.masks, strict=True)
    ]
    per_class = {}
    for c in chosen:
        mine, theirs = ([item for item in items if item.label == c] for items in (found, true))
        values = {key: average_precision(mine, theirs, overlap, protocol) for key, overlap in OVERLAPS.items()}
        coco = coco_ap(mine, theirs, [c])
        per_class[table.names[c]] = {
            **values, "ap_coco": coco["AP"], "ap50_coco": coco["AP50"], "ap75_coco": coco["AP75"],
            "objects": float(len(theirs)),
        }  # fmt: skip
    return per_class


def _judged(found: Sequence[Instance], truth: Mapping[str, TrueInstances], path: Path) -> list[Instance]:
    """Those of images and classes whose truth is known, without void pixels; what is void wholly is left out."""
    from wsscli.evaluate.instances import decode, encode

    kept = []
    for item in found:
        there = truth.get(item.image)
        if there is None or item.label not in there.judged:
            continue
        if list(item.rle["size"]) != list(there.void.shape):
            raise WssError(
                f"{path}: an instance of '{item.image}' is {item.rle['size'][0]} x {item.rle['size'][1]} (height x "
                f"width), but the truth is {there.void.shape[0]} x {there.void.shape[1]}; make it again from this photo"
            )
        mask = decode(item.rle)
        if not there.void.any() or not mask.any():
            kept.append(item)
        elif (mask & ~there.void).any():
            kept.append(item._replace(rle=encode(mask & ~there.void)))
    return kept
