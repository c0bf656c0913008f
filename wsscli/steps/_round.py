"""One round of refining masks: what it is made from, what it says of itself, which images take part."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import WssError
from wsscli.steps._data import Data, data_ref
from wsscli.steps._init import Init
from wsscli.steps._ledger import of_masks
from wsscli.steps._ranks import Follower
from wsscli.steps._run import FAILED, Plan, Run, manifest_of, open_job
from wsscli.steps._train import Training

if TYPE_CHECKING:
    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir

log = logging.getLogger("wsscli")

STEP = "refine-round"
# within a round's directory, in the order they are made
MODEL, PREDICTED, REFINED, CUT = "model", "predicted", "refined", "cut"


@dataclass(frozen=True)
class Cutting:
    """Options of the GrabCut that ends a round (see `wss grabcut`).

    Attributes:
        grabcut: Cut the refined masks out anew; without it they are the round's result as they are.
        grabcut_iterations: GrabCut's iterations.
        grabcut_init: Start from the smallest box around a class, or from the mask's own pixels.
        grabcut_scale: Size of the working copy, at most 1; 0.5 is about ten times faster and gives other masks.
    """

    grabcut: bool = True
    grabcut_iterations: int = 5
    grabcut_init: Literal["box", "mask"] = "box"
    grabcut_scale: float = 1.0


@dataclass(frozen=True)
class Predicting:
    """How a round's net sees the images whose masks it makes anew (see `wss predict`).

    Attributes:
        predict_scales: Sizes, as multiples of --size; probabilities are averaged.
        predict_flip: Average over the mirror image too.
    """

    predict_scales: tuple[float, ...] = (1.0,)
    predict_flip: bool = False


@dataclass(frozen=True)
class Chosen(Run):
    """Common options of a step within a round: exactly these images."""

    names: tuple[str, ...] = ()

    def select(self, ids: Iterable[str]) -> list[str]:
        del ids
        return list(self.names)


@dataclass(frozen=True)
class Round:
    """Makes rounds over one set of images.

    Attributes:
        masks: what the first round trains on.
        net: what `train_seg` takes as they are: arch, backbone, output_stride, hidden, size, loss_step, foreground.
        label_count: `single` or `all`, by which the images were chosen.
        limits: least and largest share of foreground with which an image trains the next round.
        predicting, cutting, training, data: options.
        run: the common options; its images are `ids`.
        dataset: of the photos.
        classes: the masks' table.
        ids: all images that are predicted in every round, sorted.
        labels: classes of each image; None for class-free foreground.
    """

    masks: MaskDir
    net: Mapping[str, Any]
    label_count: str
    limits: tuple[float, float]
    predicting: Predicting
    cutting: Cutting
    training: Training
    data: Data
    run: Run
    dataset: Dataset
    classes: ClassTable
    ids: list[str]
    labels: Mapping[str, Sequence[int]] | None

    @property
    def foreground(self) -> bool:
        """Whether foreground is all that there is."""
        return bool(self.net["foreground"])

    def plan(self, masks: MaskDir, out: Path, init: str) -> Plan:
        """What the directory of a round says of itself, whatever images fail.

        Raises:
            UsageError: an option of the training is out of its range.
            WssError: no image has a mask.
        """
        start = Init.of(init)
        return Plan(
            step=STEP, out=out, kind="masks", options=self._options(masks, init, start.kind), classes=self.classes,
            data=data_ref(self.dataset), split=self.dataset.split,
            inputs=[masks.as_input("masks"), *start.inputs()],
            supervision=[
                *of_masks(masks, self.dataset.root, len(self._with_mask(masks))), *start.supervision(),
                *(["image-labels"] if self.labels is not None else []),
            ],
        )  # fmt: skip

    def _options(self, masks: MaskDir, init: str, kind: str) -> dict[str, Any]:
        """Every option; what train-seg settles by the net itself stands in the model's manifest."""
        from wsscli.nets.device import pick_device
        from wsscli.steps._train import resolve

        net, device = self.net, pick_device(self.training.device)
        values = resolve(
            self.training, "segmentation", len(self._with_mask(masks)), backbone=net["backbone"], init=init,
            output_stride=net["output_stride"], device=device,
        )  # fmt: skip
        least, most = self.limits
        return {
            **values, **net, "loss_step": net["loss_step"] or values["loss_step"], "rounds": 1, "init": kind,
            "device": device.type, "label_count": self.label_count, "min_foreground": least, "max_foreground": most,
            **vars(self.predicting), **vars(self.cutting),
        }  # fmt: skip

    def _with_mask(self, masks: MaskDir) -> list[str]:
        """The images that have a mask, of those of the round; raises WssError when none has."""
        there = frozenset(masks.ids)
        found = [name for name in self.ids if name in there]
        if not found:
            raise WssError(
                f"{masks.path}: has no mask of any of the {len(self.ids)} images (left out of training: see `dropped` "
                "in its wss.json); nothing is left to train on, name other images with --ids"
            )
        return found

    def learnt(self, masks: MaskDir, left_out: Mapping[str, str]) -> list[str]:
        """The images that are trained on.

        Args:
            masks: of the round before.
            left_out: images that take no part, and why.

        Raises:
            WssError: there are none.
        """
        there = self._with_mask(masks)
        found = [name for name in there if name not in left_out]
        if not found:
            raise WssError(
                f"{masks.path}: none of its {len(there)} images can be read ('{there[0]}': {left_out[there[0]]}); "
                "nothing is left to train on"
            )
        return found

    @cached_property
    def failed(self) -> dict[str, str]:
        """Images whose photo, or mask to begin with, cannot be read, and why: they take part in no round.

        Raises:
            WssError: one cannot be read, and the run is not to keep going.
        """
        from concurrent.futures import ThreadPoolExecutor

        from wsscli.progress import track
        from wsscli.steps._sources import class_free_reader, mask_reader

        masks, dataset = self.masks, self.dataset
        read = class_free_reader(masks, dataset) if self.foreground else mask_reader(masks, dataset, self.classes)
        there = frozenset(masks.ids)

        def fault(name: str) -> str | None:
            try:
                dataset.image(name)
                if name in there:
                    read(name)
            except WssError as error:
                if not self.run.keep_going:
                    raise
                return f"{FAILED}{error}"
            return None

        found = {}
        with ThreadPoolExecutor(self.run.threads) as pool, track(len(self.ids), "check") as progress:
            for name, reason in zip(self.ids, pool.map(fault, self.ids), strict=True):
                if reason is not None:
                    found[name] = reason
                    log.warning("%s", reason)
                progress.advance()
        return found

    def check(self, out: Path, init: str) -> None:
        """Refuse, before anything is written, what the first round would refuse in the middle.

        Args:
            out: the directory of the first round.
            init: what its training starts from.

        Raises:
            UsageError, WssError: what `train_seg` raises; a photo or a mask that cannot be read.
        """
        names = self.learnt(self.masks, self.failed)
        run = Chosen(seed=self.run.seed, dry_run=True, overwrite=self.run.overwrite, names=tuple(names))
        with _quiet():
            self.train(self.masks, out, init, self.training, run)

    def train(self, masks: MaskDir, out: Path, init: str, training: Training, run: Run) -> None:
        """Train a round's net."""
        from wsscli.steps.train_seg import train_seg

        train_seg(masks.path, out / MODEL, **self.net, init=init, training=training, data=self.data, run=run)

    def part(self, names: Sequence[str]) -> Chosen:
        """The common options of a step within a round that works on these images."""
        run = self.run
        return Chosen(seed=run.seed, workers=run.workers, keep_going=run.keep_going, names=tuple(names))

    def make(self, source: Path, out: Path, init: str, *, overwrite: bool = False) -> None:
        """Make one round, or go on with it.

        Args:
            source: the masks to train on.
            out: the round's directory.
            init: what its training starts from, as `train-seg` takes it.
            overwrite: replace what is there.

        Raises:
            WssError: no image is left to train on after it, and what the steps within raise.
        """
        from wsscli.maskdir.maskdir import open_maskdir
        from wsscli.maskdir.writer import standing
        from wsscli.steps._round_parts import Making
        from wsscli.train.ranks import current

        masks = open_maskdir(source, need="masks")
        plan, run = self.plan(masks, out, init), replace(self.run, overwrite=overwrite)
        present = standing(out, manifest_of(plan, run, self.ids), overwrite=overwrite)
        # a round that goes on keeps to the images it has begun with
        plan.left_out = (
            self.failed if present is None else {item["id"]: item["reason"] for item in present.dropped}
        )  # fmt: skip
        job = open_job(plan, run, self.ids)
        if job is not None:
            with job:
                iterations = plan.options["iterations"]
                with current().hearing(out):
                    current().told((source, out, init, plan.left_out, iterations))  # to those that follow
                Making(self, masks, job, plan.left_out).all_parts(init, iterations)
                with current().hearing(out):
                    current().meet()  # nobody looks any more at what is removed now
        tidy(out)

    def follow(self, directory: Path) -> None:
        """Help the first of several processes to make its rounds, until it says that there are no more.

        Args:
            directory: of the rounds, for messages.

        Raises:
            WssError: what the parts of a round raise; the first process has ended.
        """
        from wsscli.maskdir.maskdir import open_maskdir
        from wsscli.steps._round_parts import Making
        from wsscli.train.ranks import current

        while True:
            with current().hearing(directory):
                said: tuple[Path, Path, str, dict[str, str], int] | None = current().told(None)
            if said is None:
                return
            source, out, init, left_out, iterations = said
            masks = open_maskdir(source, need="masks")
            Making(self, masks, Follower(out), left_out).all_parts(init, iterations)
            with current().hearing(directory):
                current().meet()


def tidy(out: Path) -> None:
    """Remove what a complete round does not need: the masks of its GrabCut are its own."""
    from wsscli.maskdir.writer import remove_part

    remove_part(out / CUT)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is said that the same call says again later."""
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)
