"""`wss refine-round`: masks refined by nets that learn from them, round by round."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._options import changed, flag
from wsscli.steps._round import MODEL, STEP, Cutting, Predicting, Round
from wsscli.steps._round_watch import Watch
from wsscli.steps._rounds import Rounds
from wsscli.steps._run import Run
from wsscli.steps._train import Training

if TYPE_CHECKING:
    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir

log = logging.getLogger("wsscli")


def refine_round(
    source: Path,
    out: Path,
    *,
    rounds: int = 1,
    arch: Literal["deeplab", "deeplab-largefov", "fpn", "dfpn"] = "deeplab",
    backbone: str = "lite0",
    init: str = "previous",
    first_init: str | None = None,
    output_stride: int | None = None,
    hidden: int | None = None,
    size: int | None = None,
    loss_step: int | None = None,
    foreground: bool = False,
    label_count: Literal["single", "all"] = "single",
    min_foreground: float = 0.01,
    max_foreground: float = 0.8,
    watch: str | None = None,
    predicting: Predicting = Predicting(),
    cutting: Cutting = Cutting(),
    training: Training = Training(),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Refine masks by a net that learns from them: train, predict all images, keep their own classes, GrabCut.

    Killed anywhere, the same command goes on from there.

    Args:
        source: The mask directory to begin with; a directory of refine-round goes on from that round.
        out: The directory to write: the round's masks, its net in model/, the masks before GrabCut in refined/, as
            predicted in predicted/. With --rounds 2 or more: round-1/, round-2/, ..., each such a directory; more
            rounds later go on from those there, complete or not.
        rounds: Rounds to make, each on the masks of the one before.
        arch: deeplab, deeplab-largefov, fpn or dfpn, as `wss train-seg` has them.
        backbone: lite0, vgg16, resnet50, resnet101, timm:NAME, or tiny (for tests).
        init: What trainings start from: previous = the net of the round before; or imagenet, none, a weights file or
            a model directory, every round anew.
        first_init: With --init previous, what the first round starts from; when left out the net of the round that
            is read here, else imagenet.
        output_stride: As for train-seg.
        hidden: As for train-seg.
        size: As for train-seg.
        loss_step: As for train-seg.
        foreground: Class-free: foreground against background, no labels are looked at.
        label_count: single = images of one class only; all = images of several classes take part and keep all of
            their own.
        min_foreground: Images whose predicted foreground is a smaller share are dropped: the next round does not
            train on them, but predicts them again.
        max_foreground: The same of a larger share.
        watch: True masks (a directory of them, or `truth` for the data set's own) that every round's masks are
            measured by, in its log.jsonl, and of several rounds in rounds.csv and rounds.svg. They do not enter a
            training; of complete rounds they are measured without one.

    Returns:
        The directory of the last round.

    Raises:
        UsageError: an option is out of its range, or does not fit the others.
        WssError: images without labels, masks of another class table, a photo or mask that cannot be read: all that
            before `out` is made; nothing left to train on.
        PartialError: images failed in a round, under `--keep-going`.

    Source: Jing et al., Coarse-to-fine, sections III-D, IV-D-2 and algorithm 1.
    Differs: images of several classes (`label_count` all).
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.refine.own_class import check_limits

    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: give 1 or more")
    check_limits(min_foreground, max_foreground)
    if foreground and label_count != "single":
        raise UsageError(f"--label-count {label_count}: --foreground looks at no labels; leave one of them out")
    given = changed(cutting)
    if not cutting.grabcut and len(given) > 1:
        raise UsageError(f"{flag(given[1])}: --no-grabcut cuts nothing; leave one of them out")
    _check_numbers(predicting, cutting)
    masks = open_maskdir(source, need="masks")
    start = _start(init, first_init, masks)
    net = {
        "arch": arch, "backbone": backbone, "output_stride": output_stride, "hidden": hidden, "size": size,
        "loss_step": loss_step, "foreground": foreground,
    }  # fmt: skip
    dataset = dataset_for(data, masks.manifest)
    classes, ids, labels = _images(masks, dataset, run, foreground=foreground, single=label_count == "single")
    round_ = Round(
        masks, net, label_count, (min_foreground, max_foreground), predicting, cutting, training, data, run, dataset,
        classes, ids, labels,
    )  # fmt: skip
    watching = Watch.of(watch, dataset, classes, ids, foreground)
    return Rounds(round_, out, rounds, start, init == "previous", watching).make()


def _check_numbers(predicting: Predicting, cutting: Cutting) -> None:
    """What would else fail after the training."""
    from wsscli.refine.grabcut import check_options

    scales = predicting.predict_scales
    if not scales or min(scales) < 0.25 or max(scales) > 4:
        raise UsageError(
            f"--predict-scales {','.join(f'{scale:g}' for scale in scales)}: give one or more from 0.25 to 4"
        )
    check_options(
        iterations=cutting.grabcut_iterations, init=cutting.grabcut_init, scale=cutting.grabcut_scale
    )  # fmt: skip


def _start(init: str, first_init: str | None, masks: MaskDir) -> str:
    """What the first round's training starts from."""
    if init != "previous":
        if first_init is not None:
            raise UsageError(
                f"--first-init {first_init}: with --init {init} every round starts from that; leave one of them out"
            )
        return init
    if first_init is not None:
        return first_init
    made = masks.manifest
    # refined/ and predicted/ of a round have no net of their own
    if made is not None and made.step == STEP and "arch" in made.options:
        return str(masks.path / MODEL)
    return "imagenet"


def _images(
    masks: MaskDir, dataset: Dataset, run: Run, *, foreground: bool, single: bool
) -> tuple[ClassTable, list[str], Mapping[str, Sequence[int]] | None]:
    """Settle the class table, the images and their labels (None: they do not count)."""
    from wsscli.classes import FOREGROUND
    from wsscli.data.dataset import require_labels
    from wsscli.steps._coding import refuse_black_and_white
    from wsscli.steps._sources import check_table, of_one_class, shared_ids

    if foreground:
        refuse_black_and_white(masks)
    if not foreground:
        if masks.classes == FOREGROUND and dataset.classes != FOREGROUND:
            raise WssError(
                f"{masks.path}: class-free masks, but a round needs the images' classes; give them with `wss "
                "make-seeds --method foreground`, or refine them as they are with --foreground"
            )
        check_table(masks.classes, masks.path, dataset.classes, dataset.root)
    names = shared_ids(masks, dataset)
    if masks.manifest is not None and masks.manifest.step == STEP:  # they may come back
        names += [item["id"] for item in masks.manifest.dropped]
    if foreground:
        return FOREGROUND, run.select(names), None
    ids = run.select(of_one_class(masks, dataset, names) if single else names)
    return dataset.classes, ids, require_labels(dataset, ids)
