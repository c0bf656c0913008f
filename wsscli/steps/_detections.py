"""`wss eval --detections`: boxes against true boxes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import WssError
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._evaluation import Evaluation, Row
from wsscli.steps._run import Run
from wsscli.steps._sources import check_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsscli.data.boxes import Boxes
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.detections import DetectionDir

log = logging.getLogger("wsscli")


def judge_boxes(
    directories: Sequence[Path],
    *,
    boxes: Path | None,
    classes: Sequence[str] | None,
    missing: str,
    data: Data,
    part: Run,
) -> Evaluation | None:
    """Average precision of the boxes in directories of `wss detect`, or in files of COCO results.

    Args:
        directories: what is judged.
        boxes: true boxes from this list instead of the data set's own.
        classes: names that the means run over; None for all that occur in the truth. `background` is passed over.
        missing: what an image is that the detector dropped: `error`, `background` (nothing was found in it), or `skip`.
        data, part: the data set and which of its images; see `evaluate`.

    Returns:
        The numbers; None under `dry_run`.

    Raises:
        WssError: a directory is of other images, split or classes than the truth; no boxes are known of an image; a
            class that the data set does not have, or none of whose objects is there.
    """
    from wsscli.maskdir.detections import open_detections
    from wsscli.steps.train_det import read_boxes, with_boxes

    sides = [open_detections(path) for path in directories]
    dataset = with_boxes(dataset_of(sides, data), boxes)
    table = dataset.classes
    wanted = [table.id(name) for name in classes if name != "background"] if classes else list(range(1, len(table)))
    for side in sides:
        if side.manifest is not None:
            check_table(side.manifest.classes, side.path, table, dataset.root)
    names, lacking = images_of(sides, dataset, missing, part)
    where = str(dataset.root if boxes is None else boxes)
    if part.dry_run:
        shown = ", ".join(map(str, directories))
        log.info("would judge %s on %d images against the boxes of %s", shown, len(names), where)
        return None
    truth, _ = read_boxes(dataset, names)
    there = {int(c) for found in truth.values() for c in found.labels[~(found.difficult | found.crowd)]}
    chosen = [c for c in wanted if c in there]
    if not chosen:
        raise WssError(f"{where}: no object of the classes to judge in {len(names)} images of split {dataset.split}")
    rows = [_row(side, truth, dataset, chosen, absent) for side, absent in zip(sides, lacking, strict=True)]
    skipped = len(part.select(dataset.ids)) - len(names)
    return Evaluation(
        dataset.split, where, len(names), skipped, "", missing, bool(classes), table, rows, [], objects="boxes"
    )  # fmt: skip


def dataset_of(sides: Sequence[DetectionDir], data: Data) -> Dataset:
    """The data set that all directories speak of."""
    manifests = [side.manifest for side in sides if side.manifest is not None]
    split = data.split
    for side in sides:
        found = side.manifest.split if side.manifest is not None else None
        if found is not None and split is not None and found != split:
            raise WssError(
                f"{side.path}: is of split '{found}', the others or --split say '{split}'; splits are never mixed, "
                "judge each by itself"
            )
        split = split or found
    return dataset_for(replace(data, split=split), manifests[0] if manifests else None)


def images_of(sides: Sequence[DetectionDir], dataset: Dataset, missing: str, part: Run) -> tuple[list[str], list[int]]:
    """The images to judge, and how many of them each directory has dropped."""
    from wsscli.maskdir.manifest import ids_digest

    names = part.select(dataset.ids)
    known = {ids_digest(names), ids_digest(dataset.ids)}
    dropped: list[set[str]] = []
    for side in sides:
        manifest = side.manifest
        if manifest is not None and manifest.ids_digest not in known:
            raise WssError(
                f"{side.path}: is about {manifest.images} images, which are neither the {len(dataset)} of split "
                f"{dataset.split} nor the {len(names)} to judge; name them with --ids"
            )
        dropped.append({item["id"] for item in manifest.dropped} & set(names) if manifest is not None else set())
        if dropped[-1] and missing == "error":
            raise WssError(
                f"{side.path}: {len(dropped[-1])} of {len(names)} images were dropped, the first is "
                f"'{min(dropped[-1])}'; --missing skip leaves them out, --missing background counts them as without "
                "a box"
            )
    if missing == "skip":
        names = [name for name in names if not any(name in gone for gone in dropped)]
    return names, [0 if missing == "skip" else len(gone) for gone in dropped]


def _row(side: DetectionDir, truth: Mapping[str, Boxes], dataset: Dataset, chosen: Sequence[int], absent: int) -> Row:
    import numpy as np

    from wsscli.evaluate.detections import coco_ap, voc_ap

    table = dataset.classes
    found = side.boxes(len(table))
    strangers = sorted(set(found) - set(dataset.ids))
    if strangers:
        raise WssError(
            f"{side.path}: its image '{strangers[0]}' is not in split {dataset.split} of {dataset.root}; judge it on "
            "the images it was made from"
        )
    coco = coco_ap(found, truth, chosen)
    per_class: dict[str, dict[str, float]] = {}
    for c in chosen:
        voc = voc_ap(found, truth, c)
        per_class[table.names[c]] = {
            "ap50": voc.voc12, "ap50_voc07": voc.voc07, "ap_coco": coco[c][0], "ap50_coco": coco[c][1],
            "ap75_coco": coco[c][2], "objects": float(voc.objects),
        }  # fmt: skip
    keys = [key for key in next(iter(per_class.values())) if key != "objects"]
    numbers = {key: float(np.mean([values[key] for values in per_class.values()])) for key in keys}
    manifest = side.manifest
    return Row(
        str(side.path), "detections", None, list(manifest.supervision) if manifest else ["unknown"], dataset.split,
        len(truth), absent, list(per_class), numbers, per_class, np.zeros((0, 0), np.int64),
    )  # fmt: skip
