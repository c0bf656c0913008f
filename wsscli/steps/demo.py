"""`wss demo`: the whole chain on a generated data set, and a page that shows it."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data
from wsscli.steps._demo_page import Score, Story, write_page
from wsscli.steps._run import Run

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset
    from wsscli.steps._pictures import Tile

log = logging.getLogger("wsscli")

PAGE = "report.html"
NOTE = "demo.json"
# The things of the generated set are small beside a heatmap, so the background must be stronger than usual. Chosen on
# the set of seed 1: the numbers of the default seed 0 are not tuned on what they are judged by.
BACKGROUND = "const:0.4"


@dataclass(frozen=True)
class Demo:
    """What a demo leaves.

    Attributes:
        page: the HTML page.
        folder: the directory with everything else; None when it was not kept.
        scores: the numbers of each step.
        seconds: how long it took.
    """

    page: Path
    folder: Path | None
    scores: list[Score]
    seconds: float


def demo(
    out: Path | None = None,
    *,
    keep: Path | None = None,
    images: int = 96,
    val: int = 20,
    epochs: float = 6,
    backbone: str = "lite0",
    photos: bool = True,
    device: str = "auto",
    seed: int = 0,
    workers: int = 0,
    overwrite: bool = False,
) -> Demo:
    """Run the whole chain on a small generated data set, print what each step adds, leave one HTML page.

    Draws the images, trains a classifier on image-level labels, makes seeds from its heatmaps, refines them with the
    CRF and GrabCut, trains a segmentation network on the result, predicts, grows the seeds, and scores every step
    against the true masks, which nothing else has seen. Then heatmaps of real photos by the embedded ImageNet
    classifier, without training. About two minutes on two cores; nothing is downloaded.

    Args:
        out: The page to write; report.html in the --keep directory, else wss-demo.html here.
        keep: Keep everything in this directory; the same command goes on from what is there.
        images: How many generated images to learn from.
        val: How many to hold out.
        epochs: Passes over the images in both trainings.
        backbone: The networks' backbone; tiny is for tests.
        photos: Also the real photos.
        device: auto, cpu, cuda, cuda:N or mps.
        seed: Seed of everything random.
        workers: Images at a time, 0 = one a core.
        overwrite: Replace what another demo left in the --keep directory.

    Returns:
        Where the page is, and the numbers on it.

    Raises:
        UsageError: fewer than 8 images or 1 held out.
        WssError: the steps' own, such as a --keep directory made with other options.
    """
    if images < 8 or val < 1:
        raise UsageError(f"--images {images} --val {val}: give at least 8 and 1")
    started = time.perf_counter()
    with ExitStack() as stack:
        root = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wss-demo-")))
        page = out or (keep / PAGE if keep else Path("wss-demo.html"))
        run = Run(seed=seed, workers=workers, overwrite=overwrite)
        claim(root, {"images": images, "val": val, "epochs": epochs, "backbone": backbone, "seed": seed}, overwrite)
        chain = _Chain(root, run, device, backbone, epochs)
        story = chain.generated(images, val)
        if photos:
            story.photos = chain.photos()
        story.seconds = time.perf_counter() - started
        write_page(story, page)
    return Demo(page, keep, story.scores, story.seconds)


@dataclass(frozen=True)
class _Chain:
    root: Path
    run: Run
    device: str
    backbone: str
    epochs: float

    def generated(self, images: int, val: int) -> Story:
        """The chain on the generated set, every step scored."""
        from wsscli.data.dataset import open_dataset
        from wsscli.data.generated import write_generated
        from wsscli.steps._train import Training
        from wsscli.steps.argmax import argmax
        from wsscli.steps.crf import crf
        from wsscli.steps.grabcut import grabcut
        from wsscli.steps.grow import grow
        from wsscli.steps.make_seeds import make_seeds
        from wsscli.steps.predict import predict
        from wsscli.steps.train_cls import train_cls
        from wsscli.steps.train_seg import train_seg

        root, run, device, backbone = self.root, self.run, self.device, self.backbone
        at = {name: root / name for name in ("cls", "seeds", "cam", "crf", "grabcut", "seg", "train", "grown", "val")}
        log.info("demo: drawing %d + %d images", images, val)
        write_generated(root / "data", images=images, val=val, seed=run.seed)
        train, held_out = Data(root / "data", "train"), Data(root / "data", "val")
        training = Training(epochs=self.epochs, device=device, log_every=5)
        small = replace(training, crop_size=193)
        steps: list[tuple[str, Callable[[], object]]] = [
            ("cls", lambda: train_cls(
                at["cls"], backbone=backbone, init=self._init, val_split="none", training=small, data=train, run=run
            )),
            ("seeds", lambda: make_seeds(at["seeds"], model=at["cls"], device=device, run=run)),
            ("cam", lambda: argmax(at["seeds"], at["cam"], background=BACKGROUND, run=run)),
            ("crf", lambda: crf(at["seeds"], at["crf"], background=BACKGROUND, run=run)),
            ("grabcut", lambda: grabcut(at["crf"], at["grabcut"], run=run)),
            ("seg", lambda: train_seg(
                at["grabcut"], at["seg"], backbone=backbone, init=self._init, training=training, run=run
            )),
            ("train", lambda: predict(
                at["seg"], at["train"], scores=True, crf=True, device=device, data=train, run=run
            )),
            ("grown", lambda: grow(at["seeds"], at["grown"], scores=at["train"], run=run)),
            ("val", lambda: predict(at["seg"], at["val"], crf=True, device=device, data=held_out, run=run)),
        ]  # fmt: skip
        for number, (name, step) in enumerate(steps, 1):
            log.info("demo: %d of %d, %s", number, len(steps), _COMMANDS[name].format(epochs=f"{self.epochs:g}"))
            step()
        story = Story(
            open_dataset(root / "data", split="train"), open_dataset(root / "data", split="val"),
            {
                "heatmap": at["seeds"], "seeds": at["seeds"], "grown": at["grown"], "CRF": at["crf"],
                "GrabCut": at["grabcut"], "prediction": at["train"],
            },
            at["val"], logs={"train-cls": at["cls"], "train-seg": at["seg"]}, seed=run.seed,
        )  # fmt: skip
        self._score(story, at)
        seeded = f" --seed {run.seed}" if run.seed else ""
        lines = [_COMMANDS[name].format(epochs=f"{self.epochs:g}") + seeded for name, _ in steps]
        story.commands = "\n".join(["cd DIR", *lines, *_SCORING])
        return story

    @property
    def _init(self) -> str:
        return "none" if self.backbone == "tiny" else "imagenet"

    def _score(self, story: Story, at: dict[str, Path]) -> None:
        from wsscli.steps._mask_evaluation import MaskEvaluation
        from wsscli.steps.eval import evaluate

        log.info("demo: scoring every step against the true masks")
        for name, (title, what) in _ROWS.items():
            found = evaluate([at[name]])
            assert isinstance(found, MaskEvaluation)  # only a dry run has no numbers
            n = found.rows[0].numbers
            means = (n["mean_precision"], n["mean_recall"], n["miou"], n["coverage"])
            story.scores.append(Score(title, what, found.split, *means, took(at[name])))
        swept = evaluate([at["seeds"]], sweep="0.05:0.95:0.05")
        assert isinstance(swept, MaskEvaluation)
        story.sweep = [
            (float((row.background or "const:0").partition(":")[2]), row.numbers["miou"]) for row in swept.rows
        ]

    def photos(self) -> list[tuple[str, list[Tile]]]:
        """Seeds on scikit-image's photos by the embedded ImageNet classifier; one row of tiles a photo."""
        from wsscli.data.dataset import open_dataset
        from wsscli.data.sample_photos import SAMPLE_CLASS_MAP, write_sample_photos
        from wsscli.maskdir.files import write_atomic
        from wsscli.steps.crf import crf
        from wsscli.steps.make_seeds import make_seeds

        log.info("demo: real photos, no training: wss make-seeds --model imagenet")
        folder = write_sample_photos(self.root / "photos")
        class_map = self.root / "photos-classes.json"
        write_atomic(class_map, json.dumps(SAMPLE_CLASS_MAP).encode())
        seeds = make_seeds(
            self.root / "photos-seeds", model=Path("imagenet"), class_map=class_map, device=self.device,
            data=Data(folder), run=self.run,
        )  # fmt: skip
        refined = crf(seeds, self.root / "photos-crf", background=BACKGROUND, run=self.run)
        return _photo_rows(open_dataset(folder), seeds, refined)


def claim(root: Path, options: dict[str, object], overwrite: bool) -> None:
    """Note in a demo's directory what it is made with, before anything in it is replaced.

    Raises:
        WssError: the directory belongs to somebody else or to a demo with other options.
    """
    from wsscli.maskdir.files import write_atomic

    note = root / NOTE
    if note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        for name, value in options.items():
            if before.get(name) != value and not overwrite:
                raise WssError(
                    f"{root}: was made with --{name} {before.get(name)}, now {value}; use another --keep, or "
                    "--overwrite to replace it"
                )
    elif root.is_dir() and any(root.iterdir()):
        raise WssError(f"{root}: not empty and not made by `wss demo`; use another --keep")
    write_atomic(note, json.dumps(options).encode())


def _photo_rows(dataset: Dataset, seeds: Path, refined: Path) -> list[tuple[str, list[Tile]]]:
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.steps._demo_page import PICTURE, shown_photo
    from wsscli.steps._pictures import Tile, mask_tile, score_tiles

    first, second = open_maskdir(seeds), open_maskdir(refined)
    rows = []
    for name in dataset.ids:
        photo = shown_photo(dataset, name, round(1.25 * PICTURE))
        tiles = [Tile(photo, "image")]
        tiles += score_tiles(photo, first.scores(name), "heatmap", score_type="cam", table=dataset.classes, most=2)
        tiles.append(mask_tile(photo, first.mask(name), "seeds"))
        tiles.append(mask_tile(photo, second.mask(name), "CRF"))
        rows.append((name, [replace(tile, note="") for tile in tiles]))
    return rows


def took(folder: Path) -> float:
    """Seconds that the step took which wrote a directory, by its own log; NaN when that does not say."""
    path = folder / "log.jsonl"
    if path.exists():
        for line in reversed(path.read_text(encoding="utf-8").splitlines()):
            entry = json.loads(line)
            if entry.get("event") == "end":
                return float(entry["seconds"])
    return float("nan")


# What each step is on the command line, in a directory made by --keep.
_COMMANDS = {
    "cls": "wss train-cls --data data --split train --val-split none --crop-size 193 --epochs {epochs} -o cls",
    "seeds": "wss make-seeds --model cls -o seeds",
    "cam": f"wss argmax seeds --background {BACKGROUND} -o cam",
    "crf": f"wss crf seeds --background {BACKGROUND} -o crf",
    "grabcut": "wss grabcut crf -o grabcut",
    "seg": "wss train-seg grabcut --epochs {epochs} -o seg",
    "train": "wss predict seg --data data --split train --scores --crf -o train",
    "grown": "wss grow seeds --scores train -o grown",
    "val": "wss predict seg --data data --split val --crf -o val",
}
_SCORING = (
    "wss eval cam seeds crf grabcut train grown --split train",
    "wss eval val --split val",
    "wss show seeds --compare crf,grabcut,train,grown --truth -o steps.html",
)
# directory -> (name of its row, what it is)
_ROWS = {
    "cam": ("heatmaps", "classifier's heatmaps, thresholded at 0.4 of their maximum"),
    "seeds": ("seeds", "the surest pixels of the heatmaps; background from saliency"),
    "crf": ("CRF", "heatmaps pulled to the image's edges by a fully connected CRF"),
    "grabcut": ("GrabCut", "the CRF's masks, each class cut out anew"),
    "train": ("prediction", "network trained on the GrabCut masks, with CRF"),
    "grown": ("grown", "seeds grown into what the network is sure of"),
    "val": ("held out", "the same network on images it has never seen"),
}
