"""`wss train-cls`: a classifier from image-level labels."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import WssError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._run import Plan, Run, open_job
from wsscli.steps._train import (
    Training,
    augment_of,
    discard_checkpoint,
    finish,
    inherited,
    init_input,
    init_of,
    resolve,
    settings_of,
    watcher,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from wsscli.data.dataset import Dataset
    from wsscli.nets.classifier import CamNet

log = logging.getLogger("wsscli")


def train_cls(
    out: Path,
    *,
    arch: Literal["cam"] = "cam",
    backbone: str = "lite0",
    init: str = "imagenet",
    output_stride: int | None = None,
    val_split: str | None = None,
    training: Training = Training(),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Train an image classifier whose class activation maps `make-seeds` reads.

    Only image-level labels are used. A killed training goes on where it was when the same command runs again.

    Args:
        out: The model directory to write.
        arch: cam = fully convolutional with global average pooling.
        backbone: lite0, vgg16, resnet50, resnet101, timm:NAME, or tiny (for tests).
        init: imagenet, none, a weights file (.pth, .safetensors) or an earlier model directory.
        output_stride: Pixels a step of the feature map in training (8, 16 or 32); the recipe's when left out.
            `make-seeds` can take another.
        val_split: Split for the validation mAP after each epoch, `none` for no validation; `val` where there is
            one when left out.

    Returns:
        The model directory.

    Raises:
        UsageError: an option is out of its range.
        WssError: images without labels, weights that do not fit, a loss that is not a number any more.

    Source: Zhou et al. 2016; DSRG, section 3.1 (`--recipe dsrg`).
    """
    from wsscli.data.dataset import require_labels
    from wsscli.losses.sigmoid_cross_entropy import sigmoid_cross_entropy
    from wsscli.nets.device import pick_device
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
    kind, path = init_of(init)
    device = pick_device(training.device)
    values = resolve(
        training, "classification", len(ids), backbone=backbone, init=init, output_stride=output_stride, device=device
    )
    model = _build(dataset, backbone, init, path, values, run.seed)
    plan = Plan(
        step="train-cls",
        out=out,
        kind="model",
        options={
            "arch": arch, "backbone": backbone, "init": kind, "device": device.type, **values,
        },
        classes=dataset.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=init_input(path),
        supervision=["image-labels", *inherited(path)],
    )  # fmt: skip
    settings = settings_of(values, training, model, run.seed)
    validation = _validation(dataset, data, val_split, values["crop_size"], device, run.threads, bf16=values["bf16"])
    job = open_job(plan, run, ids)
    if job is None:
        return discard_checkpoint(out, run)
    with job:
        samples = LabelSamples(
            ids, dataset.image, labels, len(dataset.classes) - 1, augment_of(values, model), run.seed
        )
        watch = watcher(job.path, tensorboard=training.tensorboard)
        fit(
            model, samples, lambda logits, batch: sigmoid_cross_entropy(logits, batch[1]), settings, job.path,
            device=device, workers=run.threads, validate=validation, watch=watch,
        )  # fmt: skip
        return finish(job, model)


def _build(
    dataset: Dataset,
    backbone: str,
    init: str,
    path: Path | None,
    values: dict[str, Any],
    seed: int,
) -> CamNet:
    import torch

    from wsscli.nets.classifier import CamNet
    from wsscli.nets.store import init_from

    torch.manual_seed(seed)
    model = CamNet.build(
        backbone,
        dataset.classes,
        init="none" if path is not None and path.is_dir() else init,
        output_stride=values["output_stride"],
        dropout=values["dropout"],
        size=values["crop_size"],
    )
    if path is not None and path.is_dir():
        init_from(model, path)
    return model


def _validation(
    dataset: Dataset, data: Data, split: str | None, size: int, device: torch.device, workers: int, *, bf16: bool
) -> Callable[[nn.Module, int], dict[str, float]] | None:
    """What measures mAP on the validation split; None when there is none."""
    from dataclasses import replace

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
            logits = model(model.backbone.normalise(pixels))
        found.append(logits.float().cpu().numpy())
    truth = label_matrix([dataset.labels(name) or () for name in ids], len(dataset.classes) - 1)
    return {"val_map": mean_average_precision(truth, np.concatenate(found))}
