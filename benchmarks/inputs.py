"""What the steps read when they are timed: scores, masks, seeds, networks; made once, from photos and their true masks.

Nothing is trained: speed depends on sizes and on how many labels occur. Probabilities follow the true masks, blurred and
disturbed (`bench_crf.probabilities`), at a quarter of the photo's size, with small values for absent classes as a network's
softmax has them. Masks are the true ones with smooth outlines, moved, some regions of another class (`bench_eval.guess`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from bench_crf import probabilities
from bench_eval import guess

from wsscli.data.dataset import Dataset, open_dataset
from wsscli.maskdir.manifest import Manifest, write_manifest
from wsscli.maskdir.scores import Scores
from wsscli.maskdir.writer import Output
from wsscli.steps._data import Data, data_ref
from wsscli.steps._run import Plan, Run, per_image

SHRINK = 4
MOST = 200  # scores and seeds are made of so many photos: they take longer to make than most steps to read
LIMIT_CLASSES = 21  # of bench_crf.probabilities


@dataclass(frozen=True)
class Inputs:
    """Directories and networks that steps read, each made when it is first asked for.

    Attributes:
        data: the photos.
        split: their split.
        root: where things are written.
        images: how many photos at most.
    """

    data: Path
    split: str
    root: Path
    images: int

    @property
    def option(self) -> Data:
        return Data(self.data, split=self.split)

    @cached_property
    def dataset(self) -> Dataset:
        return open_dataset(self.data, split=self.split)

    @cached_property
    def ids(self) -> list[str]:
        return sorted(self.dataset.ids)[: self.images]

    @property
    def classes(self) -> int:
        """With the background."""
        return min(len(self.dataset.classes), LIMIT_CLASSES)

    def _made(
        self, name: str, kind: str, work: Callable[[str], Output], score_type: str | None = None, most: int = MOST
    ) -> Path:
        plan = Plan(
            step="import masks", out=self.root / name, kind=kind, options={}, classes=self.dataset.classes,
            data=data_ref(self.dataset), split=self.dataset.split, score_type=score_type,
        )  # fmt: skip
        return per_image(plan, Run(), self.ids[:most], work)

    def _scores(self, name: str) -> Scores:
        truth = self.dataset.truth(name)
        p = probabilities(truth, self.ids.index(name))[: self.classes]  # (K,H,W)
        small = (max(1, truth.shape[1] // SHRINK), max(1, truth.shape[0] // SHRINK))
        p = np.stack([cv2.resize(row, small, interpolation=cv2.INTER_AREA) for row in p])
        return Scores(p / p.sum(0), np.arange(self.classes), (truth.shape[0], truth.shape[1]))

    @cached_property
    def probabilities(self) -> Path:
        """Scores of type probability, a row a class."""
        return self._made("probabilities", "scores", lambda name: Output(scores=self._scores(name)), "probability")

    @cached_property
    def masks(self) -> Path:
        """What a network might predict."""

        def work(name: str) -> Output:
            return Output(mask=guess(self.dataset.truth(name), self.ids.index(name), self.classes))

        return self._made("masks", "masks", work, most=len(self.ids))

    @cached_property
    def seeds(self) -> Path:
        """Seeds on about a third of the pixels, as the true mask has them."""

        def work(name: str) -> Output:
            truth = self.dataset.truth(name)
            rng = np.random.default_rng(self.ids.index(name))
            kept = cv2.GaussianBlur(rng.normal(0, 1, truth.shape).astype(np.float32), (0, 0), 12)
            return Output(mask=np.where(kept > np.quantile(kept, 0.65), truth, 255).astype(np.uint8))

        return self._made("seeds", "masks", work)

    @cached_property
    def saliency(self) -> Path:
        from wsscli.steps.saliency import saliency

        return saliency(self.root / "saliency", data=self.option, run=Run(limit=min(MOST, len(self.ids))))

    @cached_property
    def class_map(self) -> Path | None:
        """Which ImageNet classes stand for each class; None for VOC's, for which wss has a map."""
        from wsscli.data.voc import VOC_NAMES

        names = self.dataset.classes.foreground
        if set(names) <= set(VOC_NAMES):
            return None
        path = self.root / "class-map.json"
        path.write_text(json.dumps({name: [10 * i, 10 * i + 1] for i, name in enumerate(names)}))
        return path

    @cached_property
    def cams(self) -> Path:
        """Cam scores and seeds of the embedded ImageNet classifier."""
        from wsscli.steps.make_seeds import make_seeds

        return make_seeds(
            self.root / "cams", model=Path("imagenet"), class_map=self.class_map, saliency=self.saliency, device="cpu",
            data=self.option, run=Run(limit=min(MOST, len(self.ids), 60)),
        )  # fmt: skip

    @cached_property
    def segmenter(self) -> Path:
        """DeepLab on lite0 with a random head: no class can be left out early, the worst case."""
        from wsscli.nets.segmenter import DeepLab
        from wsscli.nets.store import save_model

        model = DeepLab.build("lite0", self.dataset.classes, init="imagenet", size=385)
        save_model(self.root / "segmenter", model)
        return self._model("segmenter", "train-seg", model.config)

    @cached_property
    def detector(self) -> Path:
        """SSD on lite0 with random heads."""
        from wsscli.nets.ssd import SSD
        from wsscli.nets.store import save_model

        model = SSD.build("lite0", self.dataset.classes, init="imagenet")
        save_model(self.root / "detector", model)
        return self._model("detector", "train-det", model.config)

    def _model(self, name: str, step: str, config: dict[str, object]) -> Path:
        manifest = Manifest(kind="model", step=step, classes=self.dataset.classes, model=config, complete=True)
        write_manifest(self.root / name, manifest)
        return self.root / name
