"""`wss train-seg`: a segmentation net from a mask directory."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError
from wsscli.steps._dasnet import InBoxes, train_dasnet
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._few import draw, recounted
from wsscli.steps._init import Init
from wsscli.steps._ledger import of_masks
from wsscli.steps._options import changed, flag
from wsscli.steps._ranks import leads, open_training, training_device
from wsscli.steps._run import Plan, Run
from wsscli.steps._seeding import Seeding, check_seeding, objective_of, seeding_options, truth_reader, watched_by
from wsscli.steps._snapshots import FOLDER, Snapshots, check_snapshots, curve_watcher
from wsscli.steps._soft import check_soft, require_shares, soft_reader
from wsscli.steps._sources import (
    check_table,
    class_free_reader,
    mask_reader,
    of_one_class,
    shared_ids,
)
from wsscli.steps._student import train_student
from wsscli.steps._train import (
    Task,
    Training,
    augment_of,
    discard_checkpoint,
    finish,
    resolve,
    settings_of,
    watcher,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.nets.store import Segmenter
    from wsscli.train.loop import Samples
    from wsscli.train.meter import SupervisionMeter
    from wsscli.train.objectives import Masks, Seeds
    from wsscli.train.soft_labels import SoftLabels

log = logging.getLogger("wsscli")


def train_seg(
    source: Path,
    out: Path,
    *,
    arch: Literal["deeplab", "deeplab-largefov", "fpn", "dfpn", "student", "dasnet"] = "deeplab",
    loss: Literal["ce", "soft", "seed", "balanced-seed"] = "ce",
    backbone: str = "lite0",
    init: str = "imagenet",
    output_stride: int | None = None,
    hidden: int | None = None,
    size: int | None = None,
    loss_step: int | None = None,
    foreground: bool = False,
    label_count: Literal["single", "all"] = "all",
    masks_per_class: str = "all",
    in_boxes: InBoxes = InBoxes(),
    seeding: Seeding = Seeding(),
    training: Training = Training(),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Train a segmentation net on any mask directory; pixels with 255 are left out.

    A killed training goes on where it was when the same command runs again.

    Args:
        source: The mask directory, or a folder of indexed PNGs (then name the photos with --data); for --arch student
            also a directory of `wss saliency`.
        out: The model directory to write.
        arch: deeplab = four dilated branches, rates 6/12/18/24 (ASPP, version 2); deeplab-largefov = one branch
            with rate 12 (version 1); fpn = a feature pyramid, scores at stride 4; dfpn = the same with branches of
            dilated convolutions, rates 2/4/8; student = eight convolutions from random weights, which learn the
            foreground of a teacher's soft masks or masks, without classes; dasnet = one class at a time, within boxes,
            on the features of a --detector. A model given by --init hands on its rates.
        loss: ce = cross-entropy, the mean over the labelled pixels of each image; soft = the same on soft labels, which
            are read from the directory's scores; for seeds: balanced-seed = foreground and background seeds of an
            image each with a mean of its own (DSRG), seed = one mean (SEC).
        backbone: lite0, vgg16, resnet50, resnet101, timm:NAME, or tiny (for tests).
        init: imagenet, none, a weights file (.pth, .safetensors) or an earlier model directory (of train-cls too);
            several, separated by commas: what the first lacks comes from the next.
        output_stride: Pixels a step of the backbone's feature map (8, 16 or 32); the backbone's usual one when left
            out, its largest for fpn and dfpn.
        hidden: Channels of the branches (1024 as in the papers, fewer for the small backbones, when left out) or of
            the pyramid (256, fewer for the small backbones).
        size: Pixels of an image's longer side at scale 1, and at prediction; when left out the recipe's, or the
            crop's side where images are warped to it.
        loss_step: Every N-th row and column of pixels enters the loss; the recipe's when left out.
        foreground: Learn foreground against background, without classes: masks of any classes become 1 where there
            is one.
        label_count: single = only images of exactly one class are trained on; all = images of several classes, too.
        masks_per_class: Learn from so many masks of every class only: images are drawn class by class (by --seed),
            those already drawn are passed over, and a class with fewer gives what it has. all = from all of them.

    Returns:
        The model directory.

    Raises:
        UsageError: an option is out of its range.
        WssError: no labelled pixel, masks that do not fit the images or the class table, weights that do not fit,
            a loss that is not a number any more.

    Source: DeepLab v1, v2 (Chen et al.); DSRG, sections 3.2, 3.3 and 4.1 (`--recipe dsrg`: with a seeding loss its
        first training, with ce its retraining); Croitoru et al. 2017 (student); Wei et al., Learning to Segment with
        Image-level Annotations, sections 3.3 and 4.2 (`--recipe hypotheses`: network A with soft, B with ce); DASNet,
        section 3 (dasnet).
    """
    from wsscli.data.dataset import require_labels
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.nets.store import ARCHITECTURES
    from wsscli.train.loop import fit

    if arch not in _segmenters():
        raise UsageError(f"--arch {arch}: train-seg builds {', '.join(_segmenters())}")
    if arch in ("student", "dasnet"):
        asked = {
            "loss": None if loss == "ce" else loss, "backbone": None if backbone == "lite0" else backbone,
            "output_stride": output_stride, "hidden": hidden, "size": size, "loss_step": loss_step,
            "label_count": None if label_count == "all" else label_count,
            "foreground": (arch == "dasnet" and foreground) or None,
            "masks_per_class": None if arch == "dasnet" or masks_per_class == "all" else masks_per_class,
        }  # fmt: skip
        strange = [*(name for name, value in asked.items() if value is not None), *changed(seeding)]
        if arch == "student":
            strange += changed(in_boxes)
            return train_student(source, out, init=init, strange=strange, training=training, data=data, run=run)
        return train_dasnet(
            source, out, how=in_boxes, masks_per_class=masks_per_class, init=init, strange=strange, training=training,
            data=data, run=run,
        )  # fmt: skip
    if changed(in_boxes):
        raise UsageError(f"{flag(changed(in_boxes)[0])}: only --arch dasnet takes it; leave it out")
    check_seeding(seeding, loss)
    if foreground and loss != "ce":
        raise UsageError(f"--foreground: --loss {loss} needs the images' classes; take --loss ce")
    if foreground and label_count != "all":
        raise UsageError(f"--label-count {label_count}: --foreground looks at no labels; leave one of them out")
    seeds = loss in ("seed", "balanced-seed")
    masks = open_maskdir(source, need="scores" if loss == "soft" else "masks")
    if loss == "soft":
        check_soft(masks)
    dataset = dataset_for(data, masks.manifest)
    # an image's labels are numbered by the data set, so seeds must be, too
    if not foreground and (seeds or (masks.manifest is not None and masks.manifest.data is not None)):
        check_table(masks.classes, masks.path, dataset.classes, dataset.root, class_free=not seeds)
    classes = FOREGROUND if foreground else masks.classes or dataset.classes
    there = shared_ids(masks, dataset)
    if len(there) < len(dataset.ids):
        log.info("%s: %d of %d images of split %s have a mask", source, len(there), len(dataset.ids), dataset.split)
    there = run.select(of_one_class(masks, dataset, there) if label_count == "single" else there)
    if label_count == "single":
        require_labels(dataset, there)
    ids = draw(masks_per_class, dataset, there, run.seed)
    check_snapshots(seeding.snapshot_supervision, ids)
    if loss == "soft":
        require_shares(masks, ids)
    else:
        _require_labelled(masks, ids)
    start = Init.of(init)
    device = training_device(training.device)
    task: Task = "seeding" if seeds else "segmentation"
    own_stride = ARCHITECTURES[arch].output_stride
    values = resolve(
        training, task, len(ids), backbone=backbone, init=init, device=device,
        output_stride=output_stride or (own_stride(backbone) if own_stride is not None else None),
    )  # fmt: skip
    if size is not None:
        values["longer"] = size
    elif values["scale"] is None:  # warped to the crop: objects are about as large in a photo of that size
        values["longer"] = values["crop_size"]
    if values["longer"] < 32:
        raise UsageError(f"--size {size}: give 32 or more")
    model = _build(classes, arch, backbone, start, hidden, values, run.seed)
    values["loss_step"] = min(values["loss_step"], model.stride) if loss_step is None else loss_step
    if not 1 <= values["loss_step"] <= model.stride:
        raise UsageError(f"--loss-step {loss_step}: give 1 to the stride of the net's output, {model.stride}")
    plan = Plan(
        step="train-seg",
        out=out,
        kind="model",
        options={
            "arch": arch, "loss": loss, "backbone": backbone, "init": start.kind, "hidden": model.hidden,
            "device": device.type, **values, **({"foreground": True} if foreground else {}),
            **(seeding_options(seeding, device.type) if seeds else {}),
            **({"label_count": label_count} if label_count != "all" else {}),
            **({} if masks_per_class == "all" else {"masks_per_class": masks_per_class, "images": ids}),
        },
        classes=classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[masks.as_input("masks"), *start.inputs(), *watched_by(seeding.watch_supervision)],
        supervision=[
            *recounted(of_masks(masks, dataset.root, len(ids)), masks_per_class, len(ids)), *start.supervision(),
            *(["image-labels"] if seeds or label_count == "single" else []),
        ],
    )  # fmt: skip
    settings = settings_of(values, training, model, run.seed)
    if loss == "soft":
        what = _soft_work(soft_reader(masks, dataset, classes), dataset, ids, classes, values, model, run)
    else:
        read = class_free_reader(masks, dataset) if foreground else mask_reader(masks, dataset, classes)
        what = _work(seeding, loss, read, dataset, ids, classes, values, model, run, device, out)
    job = open_training(plan, run, ids, device)
    if job is None:
        return discard_checkpoint(out, run)
    with job:
        watch = watcher(job.path, tensorboard=training.tensorboard)
        if what.meter is not None:
            watch = curve_watcher(job.path, settings.batch_size, len(ids), watch)
        if what.snapshots is not None and leads():
            what.snapshots.begin()
        fit(
            model, what.samples, what.objective, settings, job.path,
            device=device, workers=run.threads, validate=what.snapshots, meter=what.meter, watch=watch,
        )  # fmt: skip
        return finish(job, model)


@dataclass(frozen=True)
class _Work:
    """What is learnt from."""

    samples: Samples
    objective: Masks | Seeds | SoftLabels
    meter: SupervisionMeter | None = None
    snapshots: Snapshots | None = None


def _work(
    seeding: Seeding,
    loss: str,
    read_mask: Callable[[str], NDArray[np.uint8]],
    dataset: Dataset,
    ids: list[str],
    classes: ClassTable,
    values: dict[str, Any],
    model: Segmenter,
    run: Run,
    device: torch.device,
    out: Path,
) -> _Work:
    from wsscli.data.dataset import require_labels
    from wsscli.train.meter import SupervisionMeter
    from wsscli.train.objectives import Masks
    from wsscli.train.samples import MaskSamples, SeedSamples

    stride, step, how = model.stride, values["loss_step"], augment_of(values, model)
    if loss == "ce":
        return _Work(MaskSamples(ids, dataset.image, read_mask, how, run.seed), Masks(stride, step))
    labels = require_labels(dataset, ids)
    truth = truth_reader(seeding.watch_supervision, dataset, classes, ids)
    meter = SupervisionMeter(len(classes)) if truth is not None else None
    samples = SeedSamples(ids, dataset.image, read_mask, labels, len(classes), how, run.seed, truth)
    objective = objective_of(seeding, loss, stride, step, meter)
    names = tuple(dict.fromkeys(seeding.snapshot_supervision))
    snapshots = Snapshots(
        out / FOLDER, names, samples, objective, dataset.image, truth, classes,
        device, values["bf16"], values["channels_last"], values["batch_size"],
    )  # fmt: skip
    return _Work(samples, objective, meter, snapshots if names else None)


def _soft_work(
    read_maps: Callable[[str], tuple[NDArray[np.float32], NDArray[np.int64]]],
    dataset: Dataset,
    ids: list[str],
    classes: ClassTable,
    values: dict[str, Any],
    model: Segmenter,
    run: Run,
) -> _Work:
    from wsscli.train.soft_labels import SoftLabels, SoftLabelSamples

    step = values["loss_step"]
    samples = SoftLabelSamples(
        ids, dataset.image, read_maps, len(classes), augment_of(values, model), step, run.seed
    )  # fmt: skip
    return _Work(samples, SoftLabels(model.stride, step))


def _segmenters() -> list[str]:
    from wsscli.nets.store import ARCHITECTURES

    return [name for name, row in ARCHITECTURES.items() if row.use in ("segmentation", "boxes")]


def _require_labelled(masks: MaskDir, ids: list[str]) -> None:
    from wsscli.classes import IGNORE

    if not any((masks.mask(name) != IGNORE).any() for name in ids):  # ends at the first labelled pixel
        raise WssError(
            f"{masks.path}: no labelled pixel in any of its {len(ids)} masks (all 255); nothing to learn from"
        )


def _build(
    classes: ClassTable,
    arch: str,
    backbone: str,
    start: Init,
    hidden: int | None,
    values: dict[str, Any],
    seed: int,
) -> Segmenter:
    import torch

    from wsscli.nets.segmenter import RATES
    from wsscli.nets.store import ARCHITECTURES, Segmenter

    if hidden is not None and hidden < 1:
        raise UsageError(f"--hidden {hidden}: give 1 or more")
    torch.manual_seed(seed)
    handed_on = {"rates": start.rates(len(RATES[arch]), values["output_stride"])} if arch in RATES else {}
    model = ARCHITECTURES[arch].build(
        backbone,
        classes,
        init=start.backbone,
        output_stride=values["output_stride"],
        hidden=hidden,
        dropout=values["dropout"],
        size=values["longer"],
        **handed_on,
    )
    assert isinstance(model, Segmenter)  # as the table of architectures says
    start.load(model)
    return model
