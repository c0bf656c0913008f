"""One round of refining masks: train on them, predict all images, keep what the labels allow, cut it out anew."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import PartialError, WssError
from wsscli.steps._data import Data, data_ref
from wsscli.steps._init import Init
from wsscli.steps._ledger import inherit, of_masks
from wsscli.steps._run import Job, Plan, Run, open_job, per_image
from wsscli.steps._seeding import watched_by
from wsscli.steps._train import Training

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output

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
class How:
    """What is the same in every round; each is an option of `wsscli.steps.refine_round.refine_round`."""

    arch: Any
    backbone: str
    output_stride: int | None
    hidden: int | None
    size: int | None
    loss_step: int | None
    foreground: bool
    label_count: str
    min_foreground: float
    max_foreground: float
    watch: str | None
    predicting: Predicting
    cutting: Cutting
    training: Training
    data: Data


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
        how: the options.
        dataset: of the photos.
        classes: the masks' table.
        ids: all images that are predicted in every round, sorted.
        labels: classes of each image; None for class-free foreground.
        truth: reads a true mask; None when nobody watches.
    """

    how: How
    dataset: Dataset
    classes: ClassTable
    ids: list[str]
    labels: Mapping[str, Sequence[int]] | None
    truth: Callable[[str], NDArray[np.uint8]] | None

    def plan(self, masks: MaskDir, out: Path, init: str) -> Plan:
        """What the directory of a round says of itself.

        Raises:
            UsageError: an option of the training is out of its range.
            WssError: no image has a mask.
        """
        start = Init.of(init)
        return Plan(
            step=STEP, out=out, kind="masks", options=self._options(masks, init, start.kind), classes=self.classes,
            data=data_ref(self.dataset), split=self.dataset.split,
            inputs=[masks.as_input("masks"), *start.inputs(), *watched_by(self.how.watch)],
            supervision=[
                *of_masks(masks, self.dataset.root, len(self.trained_on(masks))), *start.supervision(),
                *(["image-labels"] if self.labels is not None else []),
            ],
        )  # fmt: skip

    def trained_on(self, masks: MaskDir) -> list[str]:
        """The images that have a mask, of those of the round.

        Raises:
            WssError: none has.
        """
        there = frozenset(masks.ids)
        found = [name for name in self.ids if name in there]
        if not found:
            raise WssError(
                f"{masks.path}: has no mask of any of the {len(self.ids)} images (left out of training: see `dropped` "
                "in its wss.json); nothing is left to train on, name other images with --ids"
            )
        return found

    def _options(self, masks: MaskDir, init: str, kind: str) -> dict[str, Any]:
        """Every option; what train-seg settles by the net itself stands in the model's manifest."""
        from wsscli.nets.device import pick_device
        from wsscli.steps._train import resolve

        how, device = self.how, pick_device(self.how.training.device)
        values = resolve(
            how.training, "segmentation", len(self.trained_on(masks)), backbone=how.backbone, init=init,
            output_stride=how.output_stride, device=device,
        )  # fmt: skip
        return {
            **values, "rounds": 1, "arch": how.arch, "backbone": how.backbone, "init": kind, "device": device.type,
            "output_stride": how.output_stride, "hidden": how.hidden, "size": how.size,
            "loss_step": how.loss_step or values["loss_step"], "foreground": how.foreground,
            "label_count": how.label_count, "min_foreground": how.min_foreground,
            "max_foreground": how.max_foreground, "watch": how.watch is not None, **vars(how.predicting),
            **vars(how.cutting),
        }  # fmt: skip

    def make(self, source: Path, out: Path, init: str, run: Run) -> Path:
        """Make one round, or go on with it.

        Args:
            source: the masks to train on.
            out: the round's directory.
            init: what its training starts from, as `train-seg` takes it.
            run: the common options; its images are `ids`.

        Raises:
            WssError: no image is left to train on after it, and what the steps within raise.
        """
        from wsscli.maskdir.maskdir import open_maskdir

        masks = open_maskdir(source, need="masks")
        job = open_job(self.plan(masks, out, init), run, self.ids)
        if job is not None:
            with job:
                _Making(self, masks, job, run).all_parts(init)
        if not run.dry_run and (out / CUT).exists():  # its masks are the round's own
            shutil.rmtree(out / CUT)
        return out


@dataclass
class _Making:
    """A round being made."""

    round: Round
    masks: MaskDir
    job: Job
    run: Run
    seconds: dict[str, float] = field(default_factory=dict)

    def all_parts(self, init: str) -> None:
        from wsscli.maskdir.maskdir import open_maskdir
        from wsscli.steps._round_watch import figures
        from wsscli.steps.grabcut import grabcut
        from wsscli.steps.predict import predict
        from wsscli.steps.train_seg import train_seg

        how, out, cutting = self.round.how, self.job.path, self.round.how.cutting
        with self._part("train"):
            train_seg(
                self.masks.path, out / MODEL, arch=how.arch, backbone=how.backbone, init=init,
                output_stride=how.output_stride, hidden=how.hidden, size=how.size, loss_step=how.loss_step,
                foreground=how.foreground, training=how.training, data=how.data,
                run=self._run(self.round.trained_on(self.masks)),
            )  # fmt: skip
        with self._part("predict"):
            predict(
                out / MODEL, out / PREDICTED, scales=how.predicting.predict_scales,
                flip=how.predicting.predict_flip, bf16=how.training.bf16, device=how.training.device,
                data=replace(how.data, split=self.round.dataset.split), run=self._run(self.round.ids),
            )  # fmt: skip
        refined = open_maskdir(self._refine(open_maskdir(out / PREDICTED)))
        self._require_some(refined)
        last = refined
        if cutting.grabcut:
            with self._part("grabcut"):
                grabcut(
                    refined.path, out / CUT, iterations=cutting.grabcut_iterations, init=cutting.grabcut_init,
                    scale=cutting.grabcut_scale, data=how.data, run=self._run(refined.ids),
                )  # fmt: skip
            last = open_maskdir(out / CUT)
        self._take_over(refined, last)
        self.job.writer.log(event="parts", seconds=self.seconds)
        if self.round.truth is not None:
            sides = {"input": self.masks, "refined": refined} | ({"grabcut": last} if cutting.grabcut else {})
            found = figures(sides, self.round.ids, self.round.truth, len(self.round.classes), how.foreground)
            self.job.writer.log(event="watch", **found)
        self.job.close()

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """Its seconds; images that fail under --keep-going are dropped, and told at the end."""
        begun = time.monotonic()
        with suppress(PartialError):
            yield
        self.seconds[name] = round(time.monotonic() - begun, 2)

    def _run(self, names: Sequence[str]) -> Chosen:
        run = self.run
        return Chosen(seed=run.seed, workers=run.workers, keep_going=run.keep_going, names=tuple(names))

    def _refine(self, predicted: MaskDir) -> Path:
        """The predicted masks under rules b and a."""
        how, dataset = self.round.how, self.round.dataset
        plan = Plan(
            step=STEP, out=self.job.path / REFINED, kind="masks",
            options={
                "foreground": how.foreground, "min_foreground": how.min_foreground,
                "max_foreground": how.max_foreground,
            },
            classes=self.round.classes, data=data_ref(dataset), split=dataset.split,
            inputs=[predicted.as_input("masks")],
            supervision=inherit(predicted.manifest, add=["image-labels"] if self.round.labels is not None else []),
        )  # fmt: skip
        work = _Refining(predicted, self.round.labels, how.min_foreground, how.max_foreground)
        with self._part("refine"):
            per_image(plan, self._run(self.round.ids), self.round.ids, work)
        return plan.out

    def _require_some(self, refined: MaskDir) -> None:
        assert refined.manifest is not None
        dropped, images = refined.manifest.dropped, len(self.round.ids)
        if len(dropped) == images:
            raise WssError(
                f"{self.job.path}: nothing is left to train on after this round, all {images} images are dropped "
                f"('{dropped[0]['id']}': {dropped[0]['reason']}); train longer (--epochs or --iterations), or move "
                "--min-foreground and --max-foreground, with --overwrite or another -o"
            )
        if dropped:
            log.info(
                "%s: %d of %d images are left out of the next training (dropped)", self.job.path, len(dropped), images
            )

    def _take_over(self, refined: MaskDir, last: MaskDir) -> None:
        """The masks that end the round become its own."""
        from wsscli.maskdir.writer import Output

        assert refined.manifest is not None and last.manifest is not None
        dropped = {item["id"]: item["reason"] for item in (*refined.manifest.dropped, *last.manifest.dropped)}
        fell_back = {item["id"]: item["reason"] for item in last.manifest.fell_back}
        for name in self.job.todo:
            if name in dropped:
                self.job.put(name, Output(dropped=dropped[name]))
            else:
                self.job.put(name, Output(mask=last.mask(name), fell_back=fell_back.get(name)))


@dataclass(frozen=True)
class _Refining:
    """An image's own classes of its predicted mask, or why it is left out."""

    predicted: MaskDir
    labels: Mapping[str, Sequence[int]] | None
    least: float
    most: float

    def __call__(self, name: str) -> Output:
        from wsscli.maskdir.writer import Output
        from wsscli.refine.own_class import left_out, own_classes

        assert self.predicted.manifest is not None
        failed = next((item["reason"] for item in self.predicted.manifest.dropped if item["id"] == name), None)
        if failed is not None:
            return Output(dropped=failed)
        mask = self.predicted.mask(name)
        if self.labels is not None:
            mask = own_classes(mask, self.labels[name])
        reason = left_out(mask, least=self.least, most=self.most)
        return Output(mask=mask) if reason is None else Output(dropped=reason)
