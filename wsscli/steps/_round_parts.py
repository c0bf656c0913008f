"""A round being made: train, predict all images, keep what the labels allow, cut it out anew."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wsscli.errors import PartialError, WssError
from wsscli.steps._data import data_ref
from wsscli.steps._ledger import inherit
from wsscli.steps._ranks import Follower
from wsscli.steps._round import CUT, MODEL, PREDICTED, REFINED, STEP, Round
from wsscli.steps._run import Job, Plan, per_image

if TYPE_CHECKING:
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output

log = logging.getLogger("wsscli")


@dataclass
class Making:
    """A round being made.

    Attributes:
        round: what it is made from.
        masks: what it trains on.
        job: its directory; a process that follows holds none.
        left_out: images that take no part, and why.
        seconds: of its parts.
    """

    round: Round
    masks: MaskDir
    job: Job | Follower
    left_out: Mapping[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    def all_parts(self, init: str, iterations: int) -> None:
        """From the training to the complete directory.

        Args:
            init: what the training starts from.
            iterations: its length: images that are left out do not shorten it.
        """
        from wsscli.maskdir.maskdir import open_maskdir
        from wsscli.steps.grabcut import grabcut
        from wsscli.steps.predict import predict

        round_, out, cutting = self.round, self.job.path, self.round.cutting
        training = replace(round_.training, epochs=None, iterations=iterations)
        with self._part("train"):
            round_.train(self.masks, out, init, training, round_.part(round_.learnt(self.masks, self.left_out)))
        names = [name for name in round_.ids if name not in self.left_out]
        with self._part("predict"):
            predict(
                out / MODEL, out / PREDICTED, scales=round_.predicting.predict_scales,
                flip=round_.predicting.predict_flip, bf16=training.bf16, device=training.device,
                data=replace(round_.data, split=round_.dataset.split), run=round_.part(names),
            )  # fmt: skip
        with self._part("refine"):
            self._refine(open_maskdir(out / PREDICTED), names)
        refined = open_maskdir(out / REFINED)
        self._require_some(refined)
        if cutting.grabcut:
            with self._part("grabcut"):
                grabcut(
                    refined.path, out / CUT, iterations=cutting.grabcut_iterations, init=cutting.grabcut_init,
                    scale=cutting.grabcut_scale, data=round_.data, run=round_.part(refined.ids),
                )  # fmt: skip
        if not isinstance(self.job, Job):
            return
        last = open_maskdir(out / CUT) if cutting.grabcut else refined
        self._take_over(self.job, refined, last)
        self.job.writer.log(event="parts", seconds=self.seconds)
        self.job.close()

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """Its seconds; images that fail under --keep-going are dropped, and told at the end."""
        begun = time.monotonic()
        with suppress(PartialError):
            yield
        self.seconds[name] = round(time.monotonic() - begun, 2)

    def _refine(self, predicted: MaskDir, names: Sequence[str]) -> None:
        """The predicted masks under rules b and a."""
        round_, (least, most) = self.round, self.round.limits
        plan = Plan(
            step=STEP, out=self.job.path / REFINED, kind="masks",
            options={"foreground": round_.foreground, "min_foreground": least, "max_foreground": most},
            classes=round_.classes, data=data_ref(round_.dataset), split=round_.dataset.split,
            inputs=[predicted.as_input("masks")],
            supervision=inherit(predicted.manifest, add=["image-labels"] if round_.labels is not None else []),
        )  # fmt: skip
        per_image(plan, round_.part(names), names, _Refining(predicted, round_.labels, least, most))

    def _require_some(self, refined: MaskDir) -> None:
        assert refined.manifest is not None
        dropped, images = refined.manifest.dropped, len(self.round.ids)
        if len(dropped) == refined.manifest.images:
            raise WssError(
                f"{self.job.path}: nothing is left to train on after this round, all {images} images are dropped "
                f"('{dropped[0]['id']}': {dropped[0]['reason']}); train longer (--epochs or --iterations), or move "
                "--min-foreground and --max-foreground, with --overwrite or another -o"
            )
        if dropped:
            log.info(
                "%s: %d of %d images are left out of the next training (dropped)",
                self.job.path, len(dropped) + len(self.left_out), images,
            )  # fmt: skip

    def _take_over(self, job: Job, refined: MaskDir, last: MaskDir) -> None:
        """The masks that end the round become its own."""
        from wsscli.maskdir.writer import Output

        assert refined.manifest is not None and last.manifest is not None
        found = (*refined.manifest.dropped, *last.manifest.dropped)
        dropped = {**self.left_out, **{item["id"]: item["reason"] for item in found}}
        fell_back = {item["id"]: item["reason"] for item in last.manifest.fell_back}
        for name in job.todo:
            if name in dropped:
                job.put(name, Output(dropped=dropped[name]))
            else:
                job.put(name, Output(mask=last.mask(name), fell_back=fell_back.get(name)))


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
