"""`train-cls --arch hcp`: image fine-tuning, then hypothesis fine-tuning, in one training of two stages."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._ledger import inherit
from wsscli.steps._options import changed, flag
from wsscli.steps._ranks import leads
from wsscli.steps._sources import check_size
from wsscli.steps._train import Training, augment_of, settings_of, watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from numpy.typing import NDArray
    from torch import nn

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.nets.hcp import HCP
    from wsscli.steps._run import Run

STAGE = "image-stage"  # of the output: the first stage's checkpoint, log and, until the end, weights


@dataclass(frozen=True)
class Hcp:
    """Options of `--arch hcp`.

    Attributes:
        proposals: Directory of `wss propose` (or `wss import proposals`), whose boxes are the hypotheses.
        hypotheses: How many of an image's boxes are trained on: all are clustered by overlap, the best-ranked one of
            each cluster is taken.
        crop_hypotheses: Send each hypothesis through the CNN as a crop of its own, as in the paper, about as many
            times slower as there are hypotheses; else they share one feature map of the photo.
        loss: squared = squared error of the softmax against the labels, which share 1; sigmoid = sigmoid
            cross-entropy, each class by itself.
        image_share: Share of the training's length that goes to whole images, before hypotheses; 0 leaves that stage
            out.
    """

    proposals: Path | None = None
    hypotheses: int = 10
    crop_hypotheses: bool = False
    loss: Literal["squared", "sigmoid"] = "squared"
    image_share: float = 0.5


@dataclass(frozen=True)
class HypothesisSource:
    """Where hypotheses come from, settled: the options and the directory of proposals."""

    options: Hcp
    source: MaskDir

    @classmethod
    def of(cls, options: Hcp, arch: str, ids: Sequence[str]) -> HypothesisSource | None:
        """Check the options; None for another architecture.

        Raises:
            UsageError: an option out of its range, lacking, or given with another architecture.
            WssError: the directory holds no proposals, or not of all images.
        """
        from wsscli.maskdir.maskdir import open_maskdir

        given = changed(options)
        if arch != "hcp":
            if given:
                raise UsageError(f"{flag(given[0])}: only --arch hcp takes it, not --arch {arch}")
            return None
        if options.proposals is None:
            raise UsageError("--arch hcp: needs --proposals DIR; `wss propose` writes one")
        if options.hypotheses < 1:
            raise UsageError(f"--hypotheses {options.hypotheses}: give 1 or more")
        if not 0 <= options.image_share < 1:
            raise UsageError(f"--image-share {options.image_share:g}: give 0 or more, less than 1")
        source = open_maskdir(options.proposals, need="proposals")
        there = frozenset(source.ids)
        lacking = [name for name in ids if name not in there]
        if lacking:
            raise WssError(
                f"{source.path}: has no proposals of {len(lacking)} of {len(ids)} images, the first is "
                f"'{lacking[0]}'; make them with `wss propose`, or leave the images out with --ids"
            )
        return cls(options, source)

    def plan(self) -> tuple[dict[str, Any], list[Input], list[str]]:
        """What the manifest says of it: options, inputs, supervision."""
        options = {name: value for name, value in asdict(self.options).items() if name != "proposals"}
        return options, [self.source.as_input("proposals")], inherit(self.source.manifest)

    def boxes(self, name: str, size: tuple[int, int], photo: Path) -> NDArray[Any]:
        """The hypotheses of an image, (M,4) in its pixels; fewer than M that differ come again.

        Raises:
            WssError: the proposals cannot be read, or are of a photo of another size.
        """
        import numpy as np

        from wsscli.proposals.distinct import distinct_boxes

        item, count = self.source.proposals(name), self.options.hypotheses
        check_size(item.size, self.source.proposals_path(name), size, photo)
        found = item.boxes[distinct_boxes(item.boxes, count)] if len(item) else np.array([[0, 0, size[1], size[0]]])
        return np.resize(found, (count, 4))  # over and over: a maximum does not change by it


def fit_hcp(
    model: HCP,
    where: HypothesisSource,
    directory: Path,
    *,
    dataset: Dataset,
    ids: list[str],
    labels: Mapping[str, Sequence[int]],
    values: dict[str, Any],
    training: Training,
    run: Run,
    device: torch.device,
    validate: Callable[[nn.Module, int], dict[str, float]] | None,
) -> None:
    """Train both stages into the directory; what an earlier call has done of them is not done again."""
    from wsscli.nets.store import WEIGHTS
    from wsscli.nets.weights import read_tensors
    from wsscli.progress import track
    from wsscli.train.feed import ahead
    from wsscli.train.hypotheses import HypothesisSamples, Labels, Pooled, forward_boxes, forward_crops
    from wsscli.train.loop import fit
    from wsscli.train.ranks import current
    from wsscli.train.samples import LabelSamples

    options = where.options
    classes, augment, settings = (
        len(dataset.classes) - 1, augment_of(values, model), settings_of(values, training, model, run.seed)
    )  # fmt: skip
    with track(len(ids), "hypotheses") as progress:
        boxes = {}
        found = ahead(
            lambda name: where.boxes(name, dataset.size(name), dataset.image_path(name)),
            ids, workers=run.threads, depth=4 * run.threads,
        )  # fmt: skip
        for name, rows in zip(ids, found, strict=True):
            boxes[name] = rows
            progress.advance()
    first = round(settings.iterations * options.image_share)
    shared: dict[str, Any] = {"device": device, "workers": run.threads, "validate": validate}
    stage = directory / STAGE
    ranks = current()
    with ranks.hearing(directory):
        done = first > 0 and ranks.told((stage / WEIGHTS).exists())
    if done and ranks.leads:  # the others get them from this one when the second stage begins
        model.load_state_dict(read_tensors(stage / WEIGHTS, strip=False))
    elif first and not done:
        if ranks.leads:
            stage.mkdir(exist_ok=True)
        fit(
            model,
            LabelSamples(ids, dataset.image, labels, classes, augment, run.seed),
            Labels(options.loss),
            replace(settings, iterations=first, head_lr=values["image_head_lr"]),
            stage,
            watch=watcher(stage, tensorboard=training.tensorboard),
            **shared,
        )
    fit(
        model,
        HypothesisSamples(ids, dataset.image, labels, boxes, classes, augment, run.seed, crops=options.crop_hypotheses),
        Pooled(options.loss),
        replace(settings, iterations=max(1, settings.iterations - first)),
        directory,
        watch=watcher(directory, tensorboard=training.tensorboard),
        forward=forward_crops if options.crop_hypotheses else forward_boxes,
        **shared,
    )


def remove_stage(directory: Path, *, dry_run: bool = False) -> None:
    """Take away what only a resumed training needs of the first stage, once all is complete; its log stays."""
    stage = directory / STAGE
    if dry_run or not leads() or not stage.is_dir():
        return
    for path in stage.iterdir():
        if path.is_file() and path.name != "log.jsonl":
            path.unlink()
