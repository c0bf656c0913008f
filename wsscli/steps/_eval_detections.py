"""`wss eval --detections`: boxes against true boxes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import WssError
from wsscli.steps._data import Data
from wsscli.steps._eval_objects import ObjectEvaluation, ObjectRow, open_case, refuse_strangers
from wsscli.steps._run import Run

if TYPE_CHECKING:
    from wsscli.data.boxes import Boxes
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.detections import DetectionDir

log = logging.getLogger("wsscli")
_RULE = (
    "AP50: overlap 0.5, VOC 2012's area under the curve (VOC07: at eleven points), difficult objects and crowds passed "
    "over; COCO: mean over overlaps 0.5 to 0.95, crowds passed over"
)


def evaluate_detections(
    directories: Sequence[Path],
    *,
    boxes: Path | None,
    classes: Sequence[str] | None,
    missing: str,
    data: Data,
    run: Run,
) -> ObjectEvaluation | None:
    """Average precision of the boxes in directories of `wss detect`, or in files of COCO results.

    Args:
        directories, boxes, classes, missing, data, run: see `open_case`.

    Returns:
        The numbers; None under `dry_run`.

    Raises:
        WssError: see `open_case`; no boxes are known of an image; no object of the classes is there.
    """
    from wsscli.steps.train_det import read_boxes

    case = open_case(directories, boxes=boxes, classes=classes, missing=missing, data=data, run=run)
    dataset, names = case.dataset, case.names
    where = str(dataset.root if boxes is None else boxes)
    if run.dry_run:
        shown = ", ".join(map(str, directories))
        log.info("would judge %s on %d images against the boxes of %s", shown, len(names), where)
        return None
    truth, _ = read_boxes(dataset, names)
    there = {int(c) for found in truth.values() for c in found.labels[~(found.difficult | found.crowd)]}
    chosen = [c for c in case.wanted if c in there]
    if not chosen:
        raise WssError(f"{where}: no object of the classes to judge in {len(names)} images of split {dataset.split}")
    rows = [
        ObjectRow.of(side, _per_class(side, truth, dataset, chosen), absent)
        for side, absent in zip(case.sides, case.lacking, strict=True)
    ]
    return ObjectEvaluation(
        "boxes", dataset.split, where, len(names), case.skipped, bool(classes), _RULE, "AP50", rows
    )  # fmt: skip


def _per_class(
    side: DetectionDir, truth: Mapping[str, Boxes], dataset: Dataset, chosen: Sequence[int]
) -> dict[str, dict[str, float]]:
    from wsscli.evaluate.detections import coco_ap, voc_ap

    table = dataset.classes
    found = side.boxes(len(table))
    refuse_strangers(side, found, dataset)
    coco = coco_ap(found, truth, chosen)
    per_class = {}
    for c in chosen:
        voc = voc_ap(found, truth, c)
        per_class[table.names[c]] = {
            "ap50": voc.voc12, "ap50_voc07": voc.voc07, "ap_coco": coco[c][0], "ap50_coco": coco[c][1],
            "ap75_coco": coco[c][2], "objects": float(voc.objects),
        }  # fmt: skip
    return per_class
