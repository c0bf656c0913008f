"""`wss train-cls`: a classifier from image-level labels."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._hcp import Hcp, HypothesisSource, fit_hcp, remove_stage
from wsscli.steps._init import Init
from wsscli.steps._options import changed, flag
from wsscli.steps._ranks import open_training, training_device
from wsscli.steps._run import Plan, Run
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

    import torch
    from torch import nn

    from wsscli.data.dataset import Dataset
    from wsscli.train.net_with_loss import Loss

log = logging.getLogger("wsscli")

TASKS: dict[str, Task] = {"cam": "classification", "self-guided": "self-guided", "hcp": "hcp"}


@dataclass(frozen=True)
class Affinity:
    """Options of `--arch self-guided`.

    Attributes:
        affinity_weight: Weight of the affinity loss; 0 leaves it out.
        affinity_target: What affinities W are held to: w = |W - M|, M the photo's colour similarity; row-norm = both
            with rows that sum to 1; paper = the paper's equation 4 to the letter (it hardly learns).
        affinity_size: Side of the grid that affinities are taken on; a matrix of its fourth power an image.
        hidden: Channels of the segmentation branches; 1024 as in the papers, fewer for the small backbones, when left
            out.
    """

    affinity_weight: float = 1.0
    affinity_target: Literal["w", "row-norm", "paper"] = "w"
    affinity_size: int = 50
    hidden: int | None = None


def train_cls(
    out: Path,
    *,
    arch: Literal["cam", "self-guided", "hcp"] = "cam",
    backbone: str = "lite0",
    init: str = "imagenet",
    output_stride: int | None = None,
    val_split: str | None = None,
    affinity: Affinity = Affinity(),
    hcp: Hcp = Hcp(),
    training: Training = Training(),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Train an image classifier from which `make-seeds` makes class maps, or whose hypotheses it scores.

    Only image-level labels are used. A killed training goes on where it was when the same command runs again.

    Args:
        out: The model directory to write.
        arch: cam = fully convolutional with global average pooling; self-guided = localization maps on a
            segmentation net's scores, with an affinity loss that learns which pixels belong together; hcp = on whole
            images, then on the boxes of their proposals, of which the best one of each class speaks for the image.
        backbone: lite0, vgg16, resnet50, resnet101, timm:NAME, or tiny (for tests).
        init: imagenet, none, a weights file (.pth, .safetensors) or an earlier model directory;
            several, separated by commas: what the first lacks comes from the next.
        output_stride: Pixels a step of the feature map in training (8, 16 or 32); the recipe's when left out.
            `make-seeds` can take another.
        val_split: Split for the validation mAP after each epoch, `none` for no validation; `val` where there is
            one when left out.

    Returns:
        The model directory.

    Raises:
        UsageError: an option is out of its range.
        WssError: images without labels, weights that do not fit, a loss that is not a number any more.

    Source: Zhou et al. 2016; DSRG, section 3.1 (`--recipe dsrg`); Ke and Hsu 2018, sections 3.1, 3.2 and 3.5
        (`--arch self-guided`); Wei et al., CNN: Single-label to Multi-label, and Learning to Segment with Image-level
        Annotations, sections 3.1 and 4.2 (`--arch hcp`).
    """
    from wsscli.data.dataset import require_labels
    from wsscli.train.loop import fit
    from wsscli.train.samples import LabelSamples

    dataset = dataset_for(data)
    ids = run.select(dataset.ids)
    labels = require_labels(dataset, ids)
    empty = [name for name in ids if not labels[name]]
    if len(empty) == len(ids):
        raise WssError(
            f"{dataset.root}: none of the {len(ids)} images of split {dataset.split} holds any class; check the labels"
        )
    _check_affinity(affinity, arch)
    hypotheses = HypothesisSource.of(hcp, arch, ids)
    start = Init.of(init)
    device = training_device(training.device)
    values = resolve(
        training, TASKS[arch], len(ids), backbone=backbone, init=init, output_stride=output_stride, device=device
    )
    if training.head_lr is not None and arch == "hcp":
        values["image_head_lr"] = training.head_lr  # both stages
    model = _build(arch, affinity, hcp, dataset, backbone, start, values, run.seed)
    hcp_options, hcp_inputs, hcp_supervision = hypotheses.plan() if hypotheses is not None else ({}, [], [])
    plan = Plan(
        step="train-cls",
        out=out,
        kind="model",
        options={
            "arch": arch, "backbone": backbone, "init": start.kind, "device": device.type, **values,
            **(asdict(affinity) if arch == "self-guided" else {}), **hcp_options,
        },
        classes=dataset.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[*hcp_inputs, *start.inputs()],
        supervision=["image-labels", *hcp_supervision, *start.supervision()],
    )  # fmt: skip
    settings = settings_of(values, training, model, run.seed)
    if arch == "self-guided" and not affinity.affinity_weight:
        settings = replace(settings, frozen=(*settings.frozen, "aggregate."))  # no gradient comes to it
    validation = _validation(dataset, data, val_split, values["crop_size"], device, run.threads, bf16=values["bf16"])
    job = open_training(plan, run, ids, device)
    if job is None:
        remove_stage(out, dry_run=run.dry_run)
        return discard_checkpoint(out, run)
    with job:
        if hypotheses is not None:
            fit_hcp(
                model, hypotheses, job.path, dataset=dataset, ids=ids, labels=labels, values=values, training=training,
                run=run, device=device, validate=validation,
            )  # fmt: skip
            finish(job, model)
            remove_stage(job.path)
            return job.path
        samples = LabelSamples(
            ids, dataset.image, labels, len(dataset.classes) - 1, augment_of(values, model), run.seed
        )
        watch = watcher(job.path, tensorboard=training.tensorboard)
        fit(
            model, samples, _objective(arch, affinity), settings, job.path,
            device=device, workers=run.threads, validate=validation, watch=watch,
        )  # fmt: skip
        return finish(job, model)


def _check_affinity(affinity: Affinity, arch: str) -> None:
    given = changed(affinity)
    if given and arch != "self-guided":
        raise UsageError(f"{flag(given[0])}: only --arch self-guided takes it, not --arch {arch}")
    if not 0 <= affinity.affinity_weight < float("inf"):
        raise UsageError(f"--affinity-weight {affinity.affinity_weight:g}: give 0 or more")
    if not 2 <= affinity.affinity_size <= 128:
        raise UsageError(f"--affinity-size {affinity.affinity_size}: give 2 to 128; memory grows with its fourth power")
    if affinity.hidden is not None and affinity.hidden < 1:
        raise UsageError(f"--hidden {affinity.hidden}: give 1 or more")


def _objective(arch: str, affinity: Affinity) -> Loss:
    if arch == "self-guided":
        from wsscli.train.objectives import SelfGuided

        return SelfGuided(affinity.affinity_weight, affinity.affinity_target)

    from wsscli.losses.sigmoid_cross_entropy import sigmoid_cross_entropy

    return lambda logits, batch: sigmoid_cross_entropy(logits, batch[1])


def _build(
    arch: str,
    affinity: Affinity,
    hcp: Hcp,
    dataset: Dataset,
    backbone: str,
    start: Init,
    values: dict[str, Any],
    seed: int,
) -> Any:
    import torch

    from wsscli.nets.classifier import CamNet
    from wsscli.nets.hcp import HCP
    from wsscli.nets.segmenter import RATES
    from wsscli.nets.self_guided import SelfGuided

    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "init": start.backbone, "output_stride": values["output_stride"], "dropout": values["dropout"],
    }  # fmt: skip
    model: CamNet | SelfGuided | HCP
    if arch == "cam":
        model = CamNet.build(backbone, dataset.classes, size=values["crop_size"], **options)
    elif arch == "hcp":
        activation = "sigmoid" if hcp.loss == "sigmoid" else "softmax"
        model = HCP.build(backbone, dataset.classes, size=values["crop_size"], activation=activation, **options)
    else:
        size, side = values["longer"], affinity.affinity_size
        model = SelfGuided.build(
            backbone, dataset.classes, size=size, hidden=affinity.hidden, affinity_size=side,
            rates=start.rates(len(RATES["deeplab"]), values["output_stride"]), **options,
        )  # fmt: skip
    start.load(model)
    return model


def _validation(
    dataset: Dataset, data: Data, split: str | None, size: int, device: torch.device, workers: int, *, bf16: bool
) -> Callable[[nn.Module, int], dict[str, float]] | None:
    """What measures mAP on the validation split; None when there is none."""
    if split == "none" or (split is None and dataset.split == "val"):
        return None
    try:
        held_out = dataset_for(replace(data, split=split or "val"))
    except WssError as error:
        if split is not None:
            raise
        log.info("no validation: %s", error)
        return None
    ids = [name for name in held_out.ids if held_out.labels(name)]
    if held_out.split == dataset.split or not ids:
        return None
    return partial(
        _mean_average_precision, dataset=held_out, ids=ids, size=size, device=device, workers=workers, bf16=bf16
    )


def _mean_average_precision(
    model: Any,
    _iteration: int,
    *,
    dataset: Dataset,
    ids: list[str],
    size: int,
    device: torch.device,
    workers: int,
    bf16: bool,
) -> dict[str, float]:
    """mAP over images warped to the training's square."""
    import numpy as np
    import torch

    from wsscli.evaluate.classification import mean_average_precision
    from wsscli.train.augment import resize
    from wsscli.train.feed import ahead
    from wsscli.train.samples import label_matrix

    batch = 16
    images = ahead(lambda name: resize(dataset.image(name), size, size), ids, workers=workers, depth=2 * batch)
    found = []
    for start in range(0, len(ids), batch):
        chunk = np.stack([next(images) for _ in ids[start : start + batch]])  # (N,S,S,3)
        pixels = torch.from_numpy(chunk).to(device).permute(0, 3, 1, 2)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = model(model.backbone.normalise(pixels))
        logits = outputs if isinstance(outputs, torch.Tensor) else outputs.logits
        found.append(logits.float().cpu().numpy())
    truth = label_matrix([dataset.labels(name) or () for name in ids], len(dataset.classes) - 1)
    return {"val_map": mean_average_precision(truth, np.concatenate(found))}
