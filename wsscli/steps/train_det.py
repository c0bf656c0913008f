"""`wss train-det`: a detector from boxes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._init import Init
from wsscli.steps._ranks import leads, open_training, training_device
from wsscli.steps._run import Plan, Run, failed, report_failures
from wsscli.steps._train import Training, discard_checkpoint, finish, resolve, settings_of, watcher

if TYPE_CHECKING:
    from wsscli.data.boxes import Boxes
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Input
    from wsscli.nets.ssd import SSD
    from wsscli.train.detection import BoxAugment

log = logging.getLogger("wsscli")


def train_det(
    out: Path,
    *,
    backbone: str = "lite0",
    init: str = "imagenet",
    expand: float | None = None,
    boxes: Path | None = None,
    training: Training = Training(),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Train an SSD detector on the boxes of the split's images.

    Boxes are those of VOC's XML files or COCO's json. Masks are not looked at. A killed training goes on where it was
    when the same command runs again.

    Args:
        out: The model directory to write.
        backbone: lite0, vgg16, resnet50, resnet101, timm:NAME, or tiny (for tests).
        init: imagenet, none, a weights file (.pth, .safetensors) or an earlier model directory; several, separated by
            commas: what the first lacks comes from the next.
        expand: Every other photo is put on a canvas of up to this many times its sides; 1 = none is; the recipe's when
            left out.
        boxes: Boxes from this list instead of the data set's own: a line an image, file name and then
            x1 y1 x2 y2 class for every object (pixels from 1, classes from 0).

    Returns:
        The model directory.

    Raises:
        UsageError: an option is out of its range.
        WssError: images without boxes, a box that cannot be one (`--keep-going` leaves its image out), weights that do
            not fit, a loss that is not a number any more.

    Source: Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016.
    """
    from wsscli.train.detection import BoxLoss, BoxSamples
    from wsscli.train.loop import fit

    if training.dropout is not None:
        raise UsageError("--dropout: a detector has none; leave it out")
    if expand is not None and not 1 <= expand <= 8:
        raise UsageError(f"--expand {expand:g}: give 1 to 8")
    dataset = with_boxes(dataset_for(data), boxes)
    ids = run.select(dataset.ids)
    found, bad = read_boxes(dataset, ids, keep_going=run.keep_going)
    good = [name for name in ids if name in found]
    if not any(len(boxes) for boxes in found.values()):
        raise WssError(f"{dataset.root}: none of the {len(ids)} images of split {dataset.split} holds any box")
    start = Init.of(init)
    device = training_device(training.device)
    values = _numbers(training, expand, len(good), backbone, init, device)
    model = _build(dataset, backbone, start, values, run.seed)
    plan = Plan(
        step="train-det",
        out=out,
        kind="model",
        options={"arch": "ssd", "backbone": backbone, "init": start.kind, "device": device.type, **values},
        classes=dataset.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[*start.inputs(), *box_inputs(dataset)],
        supervision=["boxes", *start.supervision()],
    )  # fmt: skip
    settings = settings_of(values, training, model, run.seed)
    job = open_training(plan, run, ids, device)
    if job is None:
        discard_checkpoint(out, run)
        return out if run.dry_run or not leads() else report_failures(out, len(ids))
    with job:
        for name, reason in bad.items():
            job.put(name, failed(reason))
        samples = BoxSamples(good, dataset.image, found, _augment(values, model), run.seed)
        fit(
            model, samples, BoxLoss(model), settings, job.path,
            device=device, workers=run.threads, watch=watcher(job.path, tensorboard=training.tensorboard),
        )  # fmt: skip
        finish(job, model)
    return report_failures(out, len(ids)) if leads() else out


def with_boxes(dataset: Dataset, boxes: Path | None) -> Dataset:
    """The data set with the boxes of a list, where one is given."""
    from wsscli.data.boxes import open_box_list

    return dataset if boxes is None else replace(dataset, box_list=open_box_list(boxes, dataset.classes))


def box_inputs(dataset: Dataset) -> list[Input]:
    """The list of boxes as an entry of the lineage, where there is one."""
    from wsscli.maskdir.maskdir import input_file

    return [] if dataset.box_list is None else [input_file("boxes", dataset.box_list.path)]


def read_boxes(
    dataset: Dataset, ids: Sequence[str], *, keep_going: bool = False
) -> tuple[dict[str, Boxes], dict[str, str]]:
    """The boxes of images, and under `keep_going` why those of others cannot be taken.

    Boxes that reach beyond their photo are cut to it, and their number is logged.

    Raises:
        WssError: nothing is known of an image's boxes, or (without `keep_going`) one cannot be a box.
    """
    from wsscli.data.dataset import require_boxes

    bad: dict[str, str] = {}
    if keep_going:
        for name in ids:
            try:
                dataset.boxes(name)
            except WssError as error:
                log.warning("%s; the image is left out", error)
                bad[name] = str(error)
    found = require_boxes(dataset, [name for name in ids if name not in bad])
    clipped = sum(boxes.clipped for boxes in found.values())
    if clipped:
        log.warning("%d boxes reach beyond their photos and are cut to them", clipped)
    return found, bad


def _numbers(
    training: Training, expand: float | None, images: int, backbone: str, init: str, device: Any
) -> dict[str, Any]:
    from wsscli.nets.ssd import SMALLEST, output_stride

    values = resolve(
        training, "detection", images, backbone=backbone, init=init, output_stride=output_stride(backbone),
        device=device,
    )  # fmt: skip
    if values["crop_size"] < SMALLEST:
        raise UsageError(f"--crop-size {values['crop_size']}: give {SMALLEST} or more; the published size is 320")
    if expand is not None:
        values["expand"] = expand
    return values


def _augment(values: dict[str, Any], model: SSD) -> BoxAugment:
    from wsscli.train.detection import BoxAugment

    return BoxAugment(
        values["crop_size"],
        values["expand"],
        values["scale"],
        values["flip"],
        values["jitter"],
        tuple(round(255 * part) for part in model.backbone.mean),
    )


def _build(dataset: Dataset, backbone: str, start: Init, values: dict[str, Any], seed: int) -> SSD:
    import torch

    from wsscli.nets.ssd import SSD

    torch.manual_seed(seed)
    model = SSD.build(backbone, dataset.classes, init=start.backbone, size=values["crop_size"])
    start.load(model)
    return model
