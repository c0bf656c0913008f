"""What the training steps share: their options, the recipe behind them, the data of validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.launch import launched
from wsscli.steps._ranks import Follower, leads

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from wsscli.nets.store import Net
    from wsscli.steps._run import Job, Run
    from wsscli.train.samples import Augment
    from wsscli.train.settings import Settings


@dataclass(frozen=True)
class Training:
    """Options of every training. Those without a default here take it from the recipe.

    Attributes:
        recipe: A set of defaults: `modern` (AdamW, one-cycle; small sets); SGD as in a paper: `dsrg`, `self-guided`,
            `hcp`, `hypotheses`, `coarse-to-fine` (its length you name), `ssd`, `dasnet`.
        epochs: Length of the training in passes over the images.
        iterations: Length of the training in batches, instead of --epochs.
        batch_size: Images a batch; of several processes each takes an equal share.
        accumulate: Parts in which a process works through its share of a batch, so that less is in memory; gradients
            are summed up.
        compile: Compile the net by torch.compile: a slower start, then faster. Needs a C++ compiler, on a GPU triton.
        lr: Learning rate, the highest of the schedule.
        head_lr: The learning rate of the new layers is this many times --lr.
        weight_decay: Weight decay of weights (biases and normalisation have none).
        schedule: How the learning rate moves over the training.
        dropout: Share of features dropped in front of the last layers.
        freeze: Keep the first N stages of the backbone (the stem counts) as they are.
        freeze_norm: Batch normalisation keeps its stored statistics everywhere.
        crop_size: Side of the square that goes into the net, in pixels; best is a multiple of 32, plus 1.
        scale_range: Random scale, least and largest: for train-cls (and a student) the share of the image's area that
            is cut out, for train-det of each of its sides, for train-seg the scale of the image (1 = its longer side
            as --size; for a dasnet the sides of what is cut out, as shares of the photo's). `none` warps the whole
            image to the crop.
        flip: Mirror every other image.
        jitter: Random change of brightness, contrast and saturation by up to this share.
        bf16: Compute in bfloat16; where the device has it when left out.
        channels_last: Keep tensors channels-last in memory (faster for convolutions).
        device: auto, cpu, cuda, cuda:N or mps. Of several processes each takes a GPU of its own.
        checkpoint_seconds: Save last.ckpt at least this often, and after every epoch.
        log_every: Iterations a row in log.jsonl.
        tensorboard: Also write TensorBoard events (needs the package tensorboard).
    """

    recipe: Literal["modern", "dsrg", "self-guided", "hcp", "hypotheses", "coarse-to-fine", "ssd", "dasnet"] = "modern"
    epochs: float | None = None
    iterations: int | None = None
    batch_size: int | None = None
    accumulate: int = 1
    compile: bool = False
    lr: float | None = None
    head_lr: float | None = None
    weight_decay: float | None = None
    schedule: Literal["one-cycle", "poly", "step", "constant"] | None = None
    dropout: float | None = None
    freeze: int | None = None
    freeze_norm: bool = False
    crop_size: int | None = None
    scale_range: str | None = None
    flip: bool | None = None
    jitter: float | None = None
    bf16: bool | None = None
    channels_last: bool = True
    device: str = "auto"
    checkpoint_seconds: float = 60.0
    log_every: int = 20
    tensorboard: bool = False


Task = Literal["classification", "segmentation", "seeding", "self-guided", "hcp", "student", "detection", "dasnet"]


def resolve(
    training: Training,
    task: Task,
    images: int,
    *,
    backbone: str,
    init: str,
    output_stride: int | None,
    device: torch.device,
) -> dict[str, Any]:
    """Every number of a training: the recipe's, overridden by the options that were given.

    A recipe freezes early stages only where they have trained weights and wss knows the backbone's stages.

    Raises:
        UsageError: an option is out of its range, or two contradict each other.
        WssError: a package is not installed.
    """
    from wsscli.nets.backbones import default_output_stride
    from wsscli.nets.device import native_bf16
    from wsscli.train.recipes import RECIPES

    if (training.recipe, task) not in RECIPES:
        known = ", ".join(recipe for recipe, other in RECIPES if other == task)
        raise UsageError(f"--recipe {training.recipe}: has no numbers for this training; take {known}")
    values = dict(RECIPES[training.recipe, task])
    for name in ("batch_size", "lr", "head_lr", "weight_decay", "schedule", "dropout", "crop_size", "flip", "jitter"):
        given = getattr(training, name)
        if given is not None:
            values[name] = given
    if training.scale_range is not None:
        values["scale"] = _scale(training.scale_range, task)
    if training.freeze is not None:
        values["freeze"] = training.freeze
    elif init == "none" or backbone not in ("lite0", "vgg16", "resnet50", "resnet101"):
        values["freeze"] = 0
    values["output_stride"] = output_stride or default_output_stride(backbone, values.get("output_stride"))
    _check(values)
    values |= _parts(training, values["batch_size"])
    if training.tensorboard:
        _summary_writer()  # what is not installed must show before anything is written
    values["iterations"] = _iterations(training, values, images)
    values.pop("epochs", None)
    if "step_epochs" in values:
        values["step_every"] = max(1, round(values.pop("step_epochs") * images / values["batch_size"]))
    values["bf16"] = native_bf16(device) if training.bf16 is None else training.bf16
    for name in ("channels_last", "freeze_norm", "recipe"):
        values[name] = getattr(training, name)
    return values


def _iterations(training: Training, values: dict[str, Any], images: int) -> int:
    if training.epochs is not None and training.iterations is not None:
        raise UsageError("--epochs and --iterations both say how long to train; give one of them")
    epochs = training.epochs if training.epochs is not None else values.get("epochs")
    iterations = training.iterations if training.iterations is not None else values.get("iterations")
    if epochs is not None and training.iterations is None:
        iterations = math.ceil(epochs * images / values["batch_size"])
    if iterations is None:
        raise UsageError(f"--recipe {training.recipe}: names no length of the training; give --epochs or --iterations")
    if iterations <= 0:
        raise UsageError(f"--epochs {training.epochs} --iterations {training.iterations}: give more than 0")
    return int(iterations)


def _check(values: dict[str, Any]) -> None:
    for name, low, high in (
        ("batch_size", 1, None), ("lr", 0, None), ("head_lr", 0, None), ("weight_decay", 0, None),
        ("dropout", 0, 0.95), ("crop_size", 33, None), ("jitter", 0, 1), ("freeze", 0, None),
    ):  # fmt: skip
        value = values[name]
        if value < low or (high is not None and value > high):
            allowed = f"{low} to {high}" if high is not None else f"{low} or more"
            raise UsageError(f"--{name.replace('_', '-')} {value}: give {allowed}")


def _parts(training: Training, batch_size: int) -> dict[str, Any]:
    """How a batch is worked through, as far as it is not at once; the number of processes is no option."""
    launch = launched()
    world = 1 if launch is None else launch.world
    if training.accumulate < 1:
        raise UsageError(f"--accumulate {training.accumulate}: give 1 or more")
    parts = world * training.accumulate
    if batch_size % parts:
        raise UsageError(
            f"--batch-size {batch_size}: is not {parts} equal parts ({world} processes, --accumulate "
            f"{training.accumulate}); give a multiple of {parts}"
        )
    found: dict[str, Any] = {"accumulate": training.accumulate} if training.accumulate > 1 else {}
    return found | ({"compile": True} if training.compile else {})


def _scale(text: str, task: Task) -> tuple[float, float] | None:
    if text.strip() == "none":
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--scale-range {text}: give two numbers, least,largest, or none") from error
    top = 1.0 if task in ("classification", "self-guided", "hcp", "student", "detection") else 8.0
    if not 0 < low <= high <= top:
        raise UsageError(f"--scale-range {text}: give 0 < least <= largest <= {top:g}")
    return low, high


def settings_of(values: dict[str, Any], training: Training, model: Net, seed: int) -> Settings:
    """The loop's settings for this net."""
    from wsscli.nets.backbones import early_stages
    from wsscli.train.settings import Settings

    return Settings(
        iterations=values["iterations"],
        batch_size=values["batch_size"],
        lr=values["lr"],
        weight_decay=values["weight_decay"],
        optimizer=values["optimizer"],
        schedule=values["schedule"],
        step_every=values.get("step_every", 2000),
        step_factor=values.get("step_factor", 0.1),
        head_lr=values["head_lr"],
        bias_lr=values["bias_lr"],
        fast=model.fresh if values["fast"] == "fresh" else model.last,
        frozen=tuple(f"backbone.{name}" for name in early_stages(model.backbone, values["freeze"])),
        norms_frozen=values["freeze_norm"],
        bf16=values["bf16"],
        channels_last=values["channels_last"],
        seed=seed,
        checkpoint_seconds=training.checkpoint_seconds,
        log_every=training.log_every,
        accumulate=training.accumulate,
        compiled=training.compile,
    )


def augment_of(values: dict[str, Any], model: Net) -> Augment:
    """How samples are varied, in this net's terms."""
    from wsscli.train.samples import Augment

    return Augment(
        crop=values["crop_size"],
        longer=values["longer"],
        scale=values["scale"],
        flip=values["flip"],
        jitter=values["jitter"],
        fill=tuple(round(255 * part) for part in model.backbone.mean),
    )


def watcher(directory: Path, *, tensorboard: bool) -> Callable[[dict[str, Any]], None] | None:
    """What sends log rows to TensorBoard, when asked for.

    Raises:
        WssError: the package is not installed.
    """
    if not tensorboard or not leads():
        return None
    writer = _summary_writer()(str(directory / "tensorboard"))

    def watch(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, float):
                writer.add_scalar(f"{row['event']}/{name}", value, row["iteration"])
        writer.flush()

    return watch


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise WssError("--tensorboard: the package is not installed; pip install 'wsscli[tensorboard]'") from error
    return SummaryWriter


def finish(job: Job | Follower, model: Net) -> Path:
    """Complete the model directory; the checkpoint has served."""
    from wsscli.train.checkpoint import remove_checkpoint
    from wsscli.train.ranks import current

    path = job.close(files=["model.safetensors"], model=model.config)
    if leads():
        remove_checkpoint(path)
    with current().hearing(path):
        current().told(None)  # all processes find it complete from here on
    return path


def discard_checkpoint(out: Path, run: Run) -> Path:
    """Take away what a training that was killed at its very last moment left; the directory is complete."""
    from wsscli.train.checkpoint import remove_checkpoint

    if not run.dry_run and leads():
        remove_checkpoint(out)
    return out
