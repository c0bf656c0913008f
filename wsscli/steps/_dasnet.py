"""`train-seg --arch dasnet`: one class at a time, within the boxes of a detector's training classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._few import draw, recounted
from wsscli.steps._init import Init
from wsscli.steps._ledger import inherit, of_masks
from wsscli.steps._options import changed, flag
from wsscli.steps._ranks import open_training, training_device
from wsscli.steps._run import Plan, Run
from wsscli.steps._sources import check_table, mask_reader, shared_ids
from wsscli.steps._train import Training, discard_checkpoint, finish, resolve, settings_of, watcher
from wsscli.steps.train_det import box_inputs, read_boxes, with_boxes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.data.boxes import Boxes
    from wsscli.data.dataset import Dataset
    from wsscli.nets.dasnet import DASNet
    from wsscli.train.box_samples import Window
    from wsscli.train.loop import Samples
    from wsscli.train.net_with_loss import Forward, Loss

log = logging.getLogger("wsscli")
_NOT_TAKEN = ("head_lr", "dropout", "freeze", "freeze_norm")  # of a training's options


@dataclass(frozen=True)
class InBoxes:
    """Options of `--arch dasnet`.

    Attributes:
        detector: The detector whose features are looked at, a model directory of train-det; it stays as it is (but
            see --joint), and becomes a part of the model.
        boxes: Boxes from this list instead of the data set's own (`wss train-det` says how it looks).
        instances: Also learn position-sensitive maps, from which `detect --instances` cuts out single objects.
        attention: Which steps of a feature map are inside a box: touched = those that share some of it; paper = those
            whose number lies between its sides.
        box_jitter: Each side of a box moves by up to this share of the box, as those that are detected will.
        joint: Train the detector on, too, at a tenth of the learning rate, on the boxes of all photos of the split;
            --freeze is of its backbone then.
    """

    detector: Path | None = None
    boxes: Path | None = None
    instances: bool = False
    attention: Literal["touched", "paper"] = "touched"
    box_jitter: float = 0.0
    joint: bool = False


def train_dasnet(
    source: Path,
    out: Path,
    *,
    how: InBoxes,
    masks_per_class: str,
    init: str,
    strange: Sequence[str],
    training: Training,
    data: Data,
    run: Run,
) -> Path:
    """Train a segmentation module on masks, within the data set's boxes; see `train_seg`.

    Args:
        source: the masks.
        out: the model directory to write.
        how: the detector, and what is learnt.
        masks_per_class: how many of the masks; see `_few.draw`.
        init: an earlier dasnet's directory; `imagenet` and `none`: the segmentation module starts from random weights.
        strange: options of train-seg that were given and that no dasnet takes.
        training, data, run: as of every training.

    Raises:
        UsageError: an option that is not taken, is lacking or out of its range.
        WssError: no detector, other classes than its own, images without boxes, masks that do not fit.
    """
    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.nets.store import load_detector, model_manifest
    from wsscli.train.box_samples import ClassSamples
    from wsscli.train.detection import BoxAugment, BoxSamples
    from wsscli.train.in_boxes import forward_in_boxes, in_boxes
    from wsscli.train.joint import JointLoss, JointSamples, forward_joint
    from wsscli.train.loop import fit

    not_taken = [name for name in _NOT_TAKEN if not (how.joint and name == "freeze")]
    strange = [*strange, *(name for name in changed(training) if name in not_taken)]
    if strange:
        raise UsageError(f"{flag(strange[0])}: --arch dasnet does not take it; leave it out")
    if how.detector is None:
        raise UsageError("--arch dasnet looks at a detector's features: name one with --detector (`wss train-det`)")
    if not 0 <= how.box_jitter <= 0.5:
        raise UsageError(f"--box-jitter {how.box_jitter:g}: give 0 to 0.5")
    start = Init.of("none" if init == "imagenet" else init)
    if start.kind == "file":
        raise UsageError(f"--init {init}: a dasnet starts from nothing, or from an earlier dasnet's directory")
    for path in start.paths:
        model_manifest(path, arch="boxes")
    manifest = model_manifest(how.detector, arch="detection")
    masks = open_maskdir(source, need="masks")
    dataset = with_boxes(dataset_for(data, masks.manifest), how.boxes)
    check_table(masks.classes, masks.path, dataset.classes, dataset.root, class_free=False)
    check_table(manifest.classes, how.detector, dataset.classes, dataset.root, class_free=False)
    there = shared_ids(masks, dataset)
    if len(there) < len(dataset.ids):
        log.info("%s: %d of %d images of split %s have a mask", source, len(there), len(dataset.ids), dataset.split)
    ids = draw(masks_per_class, dataset, run.select(there), run.seed)
    photos = run.select(dataset.ids) if how.joint else ids
    boxes, _ = read_boxes(dataset, photos)
    if not any(len(boxes[name]) and not boxes[name].crowd.all() for name in ids):
        raise WssError(f"{dataset.root}: no box in any of the {len(ids)} images; nothing to learn from")
    device = training_device(training.device)
    detector = load_detector(how.detector)
    values = _resolved(training, how, len(ids), detector.size, detector.backbone.name, device)
    model = _build(how, detector, start, run.seed)
    plan = Plan(
        step="train-seg",
        out=out,
        kind="model",
        options={
            "arch": "dasnet", "init": start.kind, "masks_per_class": masks_per_class, "instances": how.instances,
            "attention": how.attention, "box_jitter": how.box_jitter, "device": device.type, **values,
            **({"images": ids} if masks_per_class != "all" else {}),
            **({"joint": True, "photos": len(photos)} if how.joint else {}),
        },
        classes=dataset.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[
            masks.as_input("masks"), Input("detector", str(how.detector.resolve()), manifest.digest()),
            *box_inputs(dataset), *start.inputs(),
        ],
        supervision=[
            "boxes", *recounted(of_masks(masks, dataset.root, len(ids)), masks_per_class, len(ids)),
            *inherit(manifest), *start.supervision(),
        ],
    )  # fmt: skip
    settings = settings_of(values, training, model, run.seed)
    frozen = tuple(f"detector.{name}" for name in settings.frozen) if how.joint else model.frozen
    settings = replace(settings, frozen=frozen)
    masked = ClassSamples(
        ids, dataset.image, mask_reader(masks, dataset, dataset.classes), boxes, _window(values, how, model), run.seed,
        _instance_reader(dataset, boxes) if how.instances else None,
    )  # fmt: skip
    samples: Samples = masked
    loss: Loss = in_boxes
    forward: Forward = forward_in_boxes
    if how.joint:
        varied = BoxAugment(model.size, jitter=values["jitter"], flip=values["flip"], fill=_fill(model))
        samples = JointSamples(masked, BoxSamples(photos, dataset.image, boxes, varied, run.seed))
        loss, forward = JointLoss(model), forward_joint
    job = open_training(plan, run, ids, device)
    if job is None:
        return discard_checkpoint(out, run)
    with job:
        fit(
            model, samples, loss, settings, job.path, device=device, workers=run.threads,
            watch=watcher(job.path, tensorboard=training.tensorboard), forward=forward,
        )  # fmt: skip
        return finish(job, model)


def _resolved(training: Training, how: InBoxes, images: int, size: int, backbone: str, device: Any) -> dict[str, Any]:
    if training.crop_size not in (None, size):
        raise UsageError(f"--crop-size {training.crop_size}: the detector's square has {size} pixels; leave it out")
    training = replace(training, crop_size=size)
    values = resolve(training, "dasnet", images, backbone=backbone, init="none", output_stride=None, device=device)
    if how.instances and training.recipe == "dasnet" and training.lr is None:
        values["lr"] *= 2  # DASNet, section 4.1: 0.02 for instances
    if how.joint:  # the detector has learnt, the segmentation begins
        values["lr"], values["head_lr"], values["fast"] = values["lr"] / 10, 10 * values["head_lr"], "fresh"
    for name in ("longer", "output_stride", "dropout"):
        values.pop(name, None)  # they mean nothing here
    return values


def _build(how: InBoxes, detector: Any, start: Init, seed: int) -> DASNet:
    import torch

    from wsscli.nets.dasnet import DASNet

    torch.manual_seed(seed)
    model = DASNet(detector, instances=how.instances, attention=how.attention)
    asked = {name: value.clone() for name, value in detector.state_dict().items()}
    start.load(model)
    detector.load_state_dict(asked)  # an earlier dasnet brings a detector of its own
    return model


def _window(values: dict[str, Any], how: InBoxes, model: DASNet) -> Window:
    from wsscli.train.box_samples import Window

    return Window(
        side=model.size, zoom=values["scale"], flip=values["flip"], jitter=values["jitter"], box_jitter=how.box_jitter,
        fill=_fill(model),
    )  # fmt: skip


def _fill(model: DASNet) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in model.backbone.mean)


def _instance_reader(
    dataset: Dataset, boxes: dict[str, Boxes]
) -> Callable[[str, NDArray[np.uint8]], NDArray[np.uint8]]:
    from wsscli.data.instances import instances_in

    return lambda name, mask: instances_in(boxes[name], mask, dataset.instances(name))
