"""`train-seg --arch student`: a class-free net from soft masks or masks of an unsupervised teacher."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError
from wsscli.steps._coding import refuse_black_and_white
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._init import Init
from wsscli.steps._ledger import of_masks
from wsscli.steps._options import changed, flag
from wsscli.steps._ranks import open_training, training_device
from wsscli.steps._run import Plan, Run
from wsscli.steps._sources import check_size, shared_ids
from wsscli.steps._train import Training, augment_of, discard_checkpoint, finish, resolve, settings_of, watcher

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.nets.student import Student

    Map = NDArray[np.float32]

log = logging.getLogger("wsscli")
_NOT_TAKEN = ("head_lr", "dropout", "freeze", "freeze_norm")  # of a training's options


def train_student(
    source: Path, out: Path, *, init: str, strange: Sequence[str], training: Training, data: Data, run: Run
) -> Path:
    """Train the student on the foreground of a directory of saliency or masks; see `train_seg`.

    Args:
        source: a directory of `wss saliency`, of class-free probabilities, or of masks; or a folder of indexed PNGs.
        out: the model directory to write.
        init: an earlier student's directory; `imagenet` and `none` are random weights.
        strange: options of train-seg that were given and that no student takes.
        training, data, run: as of every training.

    Raises:
        UsageError: an option that the student does not take or that is out of its range.
        WssError: the directory holds nothing that tells a foreground, or only flat maps.
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.train.loop import fit
    from wsscli.train.objectives import SoftMasks
    from wsscli.train.samples import SoftSamples

    strange = [*strange, *(name for name in changed(training) if name in _NOT_TAKEN)]
    if strange:
        raise UsageError(f"{flag(strange[0])}: --arch student does not take it; leave it out")
    start = Init.of("none" if init == "imagenet" else init)
    if start.kind == "file":
        raise UsageError(f"--init {init}: a student starts from nothing, or from an earlier student's directory")
    opened = open_maskdir(source)
    dataset = dataset_for(data, opened.manifest)
    there = shared_ids(opened, dataset)
    if len(there) < len(dataset.ids):
        log.info("%s: %d of %d images of split %s are in it", source, len(there), len(dataset.ids), dataset.split)
    ids = run.select(there)
    read = _centred(opened, foreground_reader(opened, dataset))
    _require_some(opened, read, ids)
    device = training_device(training.device)
    values = resolve(
        training, "student", len(ids), backbone="student", init="none", output_stride=4, device=device
    )  # fmt: skip
    model = _build(start, values["crop_size"], run.seed)
    plan = Plan(
        step="train-seg",
        out=out,
        kind="model",
        options={"arch": "student", "init": start.kind, "device": device.type, **values},
        classes=FOREGROUND,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[opened.as_input("masks"), *start.inputs()],
        supervision=["unlabelled-images", *of_masks(opened, dataset.root, len(ids)), *start.supervision()],
    )
    settings = settings_of(values, training, model, run.seed)
    samples = SoftSamples(ids, dataset.image, read, augment_of(values, model), run.seed)
    job = open_training(plan, run, ids, device)
    if job is None:
        return discard_checkpoint(out, run)
    with job:
        fit(
            model, samples, SoftMasks(model.stride), settings, job.path, device=device, workers=run.threads,
            watch=watcher(job.path, tensorboard=training.tensorboard),
        )  # fmt: skip
        return finish(job, model)


def foreground_reader(opened: MaskDir, dataset: Dataset) -> Callable[[str], Map]:
    """What reads an image's foreground as float32 (h,w) in [0, 1] at any resolution, NaN where a mask has 255.

    Raises:
        WssError: (at once) the directory holds scores of classes and no masks, or black and white masks; (when
            called) a file does not fit its photo.
    """
    import numpy as np

    from wsscli.classes import BACKGROUND, IGNORE

    row = soft_row(opened)

    def soft(name: str) -> Map:
        scores = opened.scores(name)
        check_size(scores.size, opened.scores_path(name), dataset.size(name), dataset.image_path(name))
        found: Map = scores.scores[scores.classes.tolist().index(row)]
        return found

    def hard(name: str) -> Map:
        mask = opened.mask(name)
        check_size((mask.shape[0], mask.shape[1]), opened.mask_path(name), dataset.size(name), dataset.image_path(name))
        return np.where(mask == IGNORE, np.float32(np.nan), np.float32(mask != BACKGROUND)).astype(np.float32)

    if row is not None:
        return soft
    if opened.has_masks:
        refuse_black_and_white(opened)
        return hard
    assert opened.manifest is not None  # a plain folder has masks
    raise WssError(
        f"{opened.path}: holds {opened.manifest.score_type} scores of classes, but a foreground is needed: give "
        "saliency (`wss saliency`), or masks"
    )


def soft_row(opened: MaskDir) -> int | None:
    """The class id under which a directory has soft masks of the foreground; None: it has none."""
    manifest = opened.manifest
    if manifest is None or not opened.has_scores:
        return None
    if manifest.score_type == "saliency":
        return 0
    return 1 if manifest.score_type == "probability" and manifest.classes == FOREGROUND else None


def _centred(opened: MaskDir, read: Callable[[str], Map]) -> Callable[[str], Map]:
    """Saliency with its Otsu threshold at one half, so that the student can be cut there; others as they are."""
    from wsscli.seeds.foreground import centred, own_threshold

    if opened.manifest is None or opened.manifest.score_type != "saliency":
        return read

    def found(name: str) -> Map:
        soft = read(name)
        return centred(soft, own_threshold(soft))

    return found


def _require_some(opened: MaskDir, read: Callable[[str], Map], ids: list[str]) -> None:
    if not any((read(name) > 0).any() for name in ids):  # ends at the first foreground
        raise WssError(f"{opened.path}: no foreground in any of its {len(ids)} images; nothing to learn from")


def _build(start: Init, side: int, seed: int) -> Student:
    import torch

    from wsscli.nets.student import Student

    torch.manual_seed(seed)
    model = Student(side=side)
    start.load(model)
    return model
