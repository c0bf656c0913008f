"""The student beside its teachers: images a second of `predict` with it, of `saliency` and of `saliency --video`.

    python benchmarks/bench_student.py [--data ../shared/data/voc --split train] [--images 60] [--rounds 3]

One process, the same photos for student and rbd; VideoPCA gets as many frames, generated ones of 375 x 500 in clips of 30,
as there are no clips among the photos. Rounds alternate; ratios are medians over rounds. A step is timed by its own log, from
the first image to the closed directory; `alone` is the algorithm on photos that lie decoded in memory, on one thread. The
student's weights are random: speed does not depend on them. Processor time is that of all threads and steadier beside other jobs.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from common import add_data, in_turn, median, opened, ratios
from PIL import Image

from wsscli.data.dataset import Dataset
from wsscli.nets.student import Student
from wsscli.saliency import rbd, video_pca
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.predict import predict, probabilities
from wsscli.steps.saliency import saliency
from wsscli.steps.train_seg import train_seg

CLIP = 30
Photo = np.ndarray


def frames(count: int, size: tuple[int, int] = (375, 500)) -> list[Photo]:
    """A textured disc that crosses a textured ground, in clips of CLIP frames."""
    rng = np.random.default_rng(0)
    made = []
    for clip in range(-(-count // CLIP)):
        ground, skin = (
            np.array(colour) + 30 * cv2.GaussianBlur(rng.normal(0, 8, (*size, 3)), (0, 0), 8)
            for colour in ((100, 140, 90), (190, 80, 60))
        )
        for t in range(CLIP):
            disc = np.zeros(size, np.uint8)
            cv2.circle(disc, (60 + 13 * t, 100 + 40 * (clip % 5)), 60, 1, -1)
            frame = np.where(disc[..., None] > 0, skin, ground) + rng.normal(0, 3, (*size, 3))
            made.append(frame.clip(0, 255).astype(np.uint8))
    return made[:count]


def of_clips(photos: list[Photo]) -> None:
    for start in range(0, len(photos), CLIP):
        copies = [video_pca.shrink(photo) for photo in photos[start : start + CLIP]]
        model = video_pca.learn(copies, photos[0].shape[:2])
        for copy in copies:
            video_pca.video_saliency(model, copy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    logging.getLogger("wsscli").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with opened(given, given.images) as dataset:
        report(dataset, given)


def report(dataset: Dataset, given: argparse.Namespace) -> None:
    ids = sorted(dataset.ids)[: given.images]
    photos, clips = [dataset.image(name) for name in ids], frames(len(ids))
    net = Student().eval()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, frame in enumerate(clips):
            path = root / f"clips/{number // CLIP}/{number % CLIP:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame).save(path, quality=92)
        data, few = Data(dataset.root, split=dataset.split), Run(limit=16, workers=1)
        model = train_seg(
            saliency(root / "teacher", data=data, run=few), root / "student", arch="student", run=few,
            training=Training(iterations=1, device="cpu"),
        )  # fmt: skip
        run = Run(limit=len(ids), workers=given.workers, overwrite=True)
        forms: dict[tuple[str, str], Callable[[], object]] = {
            ("student", "alone"): lambda: [probabilities(net, photo) for photo in photos],
            ("rbd", "alone"): lambda: [rbd.saliency(photo) for photo in photos],
            ("video-pca", "alone"): lambda: of_clips(clips),
            ("student", "step"): lambda: predict(
                model, root / "a", masks=False, scores=True, bf16=False, device="cpu", data=data, run=run
            ),
            ("rbd", "step"): lambda: saliency(root / "b", data=data, run=run),
            ("video-pca", "step"): lambda: saliency(root / "c", video=True, data=Data(root / "clips"), run=run),
        }
        times = in_turn(forms, given.rounds, warm=False)
    print(
        f"{len(ids)} photos and {len(clips)} generated frames in clips of {CLIP}, medians of {given.rounds} rounds; "
        f"step: {given.workers} workers, decoding and writing too. Ratio: the student's images a second to the form's.\n"
    )
    print("| | form | images/s | ratio | processor ms an image | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for (name, how), found in times.items():
        base, cells = times["student", how], []
        for part, show in ((0, lambda t: f"{len(ids) / t:.1f}"), (1, lambda t: f"{1000 * t / len(ids):.1f}")):
            cells += [show(median(found, part)), f"{statistics.median(ratios(found, base, part)):.1f}"]
        print(f"| {name} | {how} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
