"""A small VOC devkit that the tests of the refining steps share: coloured discs and squares with labels in XML."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores
from wsscli.maskdir.writer import Output
from wsscli.steps._run import Plan, Run, per_image

COLOURS = {0: (90, 140, 90), 1: (210, 50, 40), 2: (40, 60, 200)}
NAMES = ("disc", "square", "moon")
UNLABELLED = 255


@dataclass
class Scenes:
    """The devkit and ways to make directories over it."""

    root: Path
    ids: list[str]
    truth: dict[str, np.ndarray]

    @property
    def out(self) -> Path:
        return self.root.parent

    def loose(self, name: str, pixels: int = 2) -> np.ndarray:
        return cv2.dilate(self.truth[name], np.ones((2 * pixels + 1,) * 2, np.uint8))

    def directory(self, name: str, work, *, kind="masks", score_type=None, ids=None, split="train", supervision=()):
        """A directory `name` that holds what `work(id)` returns: a mask, Scores, or both in a tuple."""
        from wsscli.data.dataset import open_dataset
        from wsscli.steps._data import data_ref

        dataset = open_dataset(self.root, split="train")

        def output(image: str) -> Output:
            made = work(image)
            mask, scores = made if isinstance(made, tuple) else (made, None)
            return Output(scores=mask) if isinstance(mask, Scores) else Output(mask=mask, scores=scores)

        plan = Plan(
            "predict", self.out / name, kind, {}, dataset.classes, data_ref(dataset), split, (), supervision, score_type
        )
        return per_image(plan, Run(workers=1), ids or self.ids, output)

    def masks(self, name: str, work=None, **options) -> Path:
        return self.directory(name, work or self.loose, **options)

    def probabilities(self, name: str, work=None, **options) -> Path:
        return self.directory(name, work or self.sure, kind="scores", score_type="probability", **options)

    def cams(self, name: str, **options) -> Path:
        return self.directory(name, self.cam, kind="scores", score_type="cam", **options)

    def sure(self, name: str) -> Scores:
        """Probabilities that follow the truth: 0.9 for it, at the photo's size; rows 0, 1, 2."""
        truth = self.truth[name]
        maps = np.stack([np.where(truth == c, 0.9, 0.05) for c in range(3)]).astype(np.float32)
        return Scores(maps, np.arange(3), truth.shape)

    def cam(self, name: str) -> Scores:
        """A blurred class map of each class in the image, at half the photo's size."""
        truth = self.truth[name]
        classes = [c for c in (1, 2) if (truth == c).any()]
        maps = [cv2.resize(np.float32(truth == c), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for c in classes]
        return Scores(np.stack([3 * cv2.GaussianBlur(m, (0, 0), 2) for m in maps]), np.array(classes), truth.shape)


def make_scenes(root: Path) -> Scenes:
    """Four photos: a disc, a square, both, both."""
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    truths = {}
    for number, name in enumerate(("a", "b", "c", "d")):
        rng = np.random.default_rng(number)
        truth = np.zeros((40, 52 + number), np.uint8)
        if name != "b":
            cv2.circle(truth, (15, 18), 8, 1, -1)
        if name != "a":
            truth[16:34, 32:46] = 2
        image = np.array([COLOURS[c] for c in range(3)], np.float32)[truth] + rng.normal(0, 8, (*truth.shape, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / f"JPEGImages/{name}.jpg", quality=95)
        objects = "".join(
            f"<object><name>{NAMES[c - 1]}</name></object>" for c in sorted(set(np.unique(truth).tolist()) - {0})
        )
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")
        write_mask(root / f"SegmentationClass/{name}.png", truth)
        truths[name] = truth
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nb\nc\nd\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("d\n")
    return Scenes(root, list(truths), truths)


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    """Scenes that a test may change."""
    return make_scenes(tmp_path / "devkit")


@dataclass
class Seeded:
    """Sparse seeds over scenes, and trainings on them."""

    scenes: Scenes
    source: Path

    @property
    def out(self) -> Path:
        return self.scenes.out

    def labels(self, name: str) -> list[int]:
        return sorted(set(np.unique(self.scenes.truth[name]).tolist()) - {0})

    def train(
        self, name="seg", *, loss="balanced-seed", watch=None, snapshot=(), workers=2, run=None, source=None,
        options=None, **training,
    ) -> Path:  # fmt: skip
        """Four epochs with the tiny net on points 4 pixels apart; seeds grow unless `options` says otherwise."""
        from wsscli.steps._seeding import Seeding
        from wsscli.steps._train import Training
        from wsscli.steps.train_seg import train_seg

        # with -log p the CRF is sure of something from the first step, and seeds grow at once
        seeding = {"grow": True, "crf_unary": "log-probability"} if options is None else options
        seeding = Seeding(**seeding, watch_supervision=watch, snapshot_supervision=snapshot)
        how = {"iterations": 8, "batch_size": 2, "crop_size": 65, "lr": 5e-3, "device": "cpu", "bf16": False}
        how |= {"scale_range": "none", **training}
        return train_seg(
            source or self.source, self.out / name, loss=loss, backbone="tiny", init="none", loss_step=4,
            seeding=seeding, training=Training(**how), run=run or Run(workers=workers),
        )  # fmt: skip


@pytest.fixture
def seeded_in():
    """What makes the seeds of some scenes: a fifth of the pixels, and nothing wrong among them."""

    def make(scenes: Scenes) -> Seeded:
        def sparse(name: str) -> np.ndarray:
            mask = scenes.truth[name].copy()
            mask[np.random.default_rng(len(name)).random(mask.shape) < 0.8] = UNLABELLED
            return mask

        return Seeded(scenes, scenes.masks("seeds", sparse, supervision=["image-labels"]))

    return make


@pytest.fixture
def seeded(scenes, seeded_in) -> Seeded:
    return seeded_in(scenes)


@dataclass
class Refining:
    """Rounds of the tiny net over scenes: on loose masks, all images, whatever their foreground.

    After 30 iterations the net finds something in each; a test that does not look at masks takes fewer.
    """

    scenes: Scenes
    iterations: int = 30

    def __call__(self, name: str | Path = "round", source: Path | None = None, **options) -> Path:
        """`refine_round` into `name`, which lies beside the devkit unless it is a whole path."""
        from wsscli.steps.refine_round import refine_round

        options = {
            "backbone": "tiny",
            "first_init": "none",
            "label_count": "all",
            "training": self.training(),
        } | options
        options = {"run": Run(workers=2), "min_foreground": 0.0, "max_foreground": 1.0, **options}
        if options.get("init", "previous") != "previous":
            del options["first_init"]
        return refine_round(source or self.loose(), self.scenes.out / name, **options)

    def training(self, **options):
        from wsscli.steps._train import Training

        how = {
            "iterations": self.iterations,
            "batch_size": 4,
            "crop_size": 65,
            "lr": 5e-3,
            "device": "cpu",
            "bf16": False,
        }
        return Training(**(how | {"scale_range": "none", "jitter": 0.0} | options))

    def loose(self) -> Path:
        there = self.scenes.out / "loose"
        return there if there.exists() else self.scenes.masks("loose", supervision=["unlabelled-images"])


@pytest.fixture
def refine(scenes) -> Refining:
    return Refining(scenes)


@pytest.fixture(scope="module")
def shared(request, tmp_path_factory) -> Refining:
    """Scenes and rounds over them that the tests of a file only read; the file may name ITERATIONS."""
    scenes = make_scenes(tmp_path_factory.mktemp("shared") / "devkit")
    return Refining(scenes, getattr(request.module, "ITERATIONS", 30))


@pytest.fixture(scope="module")
def one(shared) -> Path:
    """A round."""
    return shared()


@pytest.fixture(scope="module")
def two(shared) -> Path:
    """The second of two rounds."""
    return shared("rounds", rounds=2)


@pytest.fixture
def tree():
    """The files of a directory, but for the log: name -> bytes."""

    def found(root: Path) -> dict[str, bytes]:
        paths = (p for p in root.rglob("*") if p.is_file() and p.name != "log.jsonl")
        return {str(p.relative_to(root)): p.read_bytes() for p in paths}

    return found


@pytest.fixture
def message():
    """The text of the error that a call raises; its class must be exactly `kind`."""

    def text(kind: type[Exception], call, *args, **kwargs) -> str:
        with pytest.raises(kind) as caught:
            call(*args, **kwargs)
        assert type(caught.value) is kind
        return str(caught.value)

    return text
