"""The CRF: the built-in lattice on the labels that occur, two threads, beside pydensecrf on all 21 in one process.

    python benchmarks/bench_crf.py [--data ../shared/data/voc] [--images 12] [--rounds 3] [--labels 2,5]

The same photos and the same 21 rows of probabilities for all; compilation and decoding are excluded. The probabilities
follow the true masks, blurred and disturbed, with small values for absent classes as a network's softmax has them. First
as the photos have it, then with exactly 2 and 5 labels that occur: the masks' largest classes, and where there are fewer,
regions of others. Without the real photos generated ones of the same size take their place.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from common import REAL, in_turn, median, ratios, spread

from wsscli.data.images import read_image
from wsscli.maskdir.png import read_mask
from wsscli.refine.crf import dense_crf

CLASSES = 21
ASKED = {2: 4.5, 5: 3.0}  # labels that occur -> times as fast as pydensecrf with all, at least
Pair = tuple[np.ndarray, np.ndarray]


def probabilities(truth: np.ndarray, seed: int) -> np.ndarray:
    """float32 (21, H, W): what a network that is right most of the time would say, upsampled from 1/8."""
    rng = np.random.default_rng(seed)
    small = (truth.shape[1] // 8, truth.shape[0] // 8)
    present = set(np.unique(truth).tolist()) - {255}
    logits = np.empty((CLASSES, *truth.shape), np.float32)
    for c in range(CLASSES):
        coarse = cv2.resize(np.float32(truth == c), small, interpolation=cv2.INTER_AREA) * 5
        noise = cv2.GaussianBlur(rng.normal(0, 1, coarse.shape), (0, 0), 3).astype(np.float32) * 8
        bias = 0 if c in present else -4
        logits[c] = cv2.resize(coarse + noise + bias, truth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    odds = np.exp(logits - logits.max(0))
    return odds / odds.sum(0)


def generated(seed: int) -> Pair:
    """A photo-like image with two objects, and its truth."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((375, 500), np.uint8)
    for c in rng.choice(np.arange(1, CLASSES), 2, replace=False):
        centre = (int(rng.integers(100, 400)), int(rng.integers(100, 275)))
        cv2.ellipse(truth, centre, (90, 60), int(rng.integers(180)), 0, 360, int(c), -1)
    image = rng.uniform(20, 230, (CLASSES, 3))[truth] + rng.normal(0, 12, (375, 500, 3))
    shade = cv2.resize(rng.normal(0, 25, (5, 6)), (500, 375), interpolation=cv2.INTER_CUBIC)
    return (image + shade[..., None]).clip(0, 255).astype(np.uint8), truth


def photos(data: Path, count: int) -> list[Pair]:
    files = sorted((data / "SegmentationClass").glob("*.png")) if data.exists() else []
    if not files:
        return [generated(seed) for seed in range(count)]
    chosen = files[:: max(1, len(files) // count)][:count]
    return [(read_image(data / f"JPEGImages/{f.stem}.jpg"), read_mask(f)) for f in chosen]


def on_occurring(image: np.ndarray, p: np.ndarray, engine: str = "lattice") -> np.ndarray:
    """What `wss crf` does with scores: only rows that are the largest somewhere; the mask."""
    rows = np.unique(p.argmax(0))
    return rows[dense_crf(image, p[rows], engine=engine).argmax(0)]


def with_labels(image: np.ndarray, truth: np.ndarray, seed: int, count: int) -> Pair:
    """The photo and 21 rows of probabilities of which exactly so many are the largest somewhere."""
    rng = np.random.default_rng([seed, count])
    truth = np.where(truth == 255, 0, truth).astype(np.uint8)
    present = np.flatnonzero(np.bincount(truth.ravel(), minlength=CLASSES))
    kept = [0, *sorted(present[present > 0], key=lambda c: -int((truth == c).sum()))][:count]
    truth[~np.isin(truth, kept)] = 0
    for c in [c for c in range(1, CLASSES) if c not in kept][: count - len(kept)]:
        y, x = (int(rng.integers(40, side - 40)) for side in truth.shape)
        cv2.circle(truth, (x, y), 40, c, -1)
        kept.append(c)
    p = probabilities(truth, seed)
    others = [c for c in range(CLASSES) if c not in kept]
    p[others] = np.minimum(p[others], 0.9 * p[kept].max(0))  # nowhere the largest
    return image, (p / p.sum(0)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--labels", default="2,5")
    given = parser.parse_args()
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError:
        print("pydensecrf is not installed (the extra [pydensecrf]): nothing to compare with.")
        return
    pairs = photos(given.data, given.images)
    inputs = [(image, probabilities(truth, seed)) for seed, (image, truth) in enumerate(pairs)]
    dense_crf(*inputs[0])  # compiles
    print(
        f"{len(inputs)} {'photos' if given.data.exists() else 'generated images'}, 10 iterations, medians of {given.rounds} "
        "rounds (least-most); processor: the same ratio of processor time, steady beside other jobs.\n\n"
        "| labels that occur | engine | s/image | times as fast | asked | processor | pixels with the same label |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    compare(inputs, given.rounds)
    for count in map(int, given.labels.split(",")):
        fixed = [with_labels(*pair, seed, count) for seed, pair in enumerate(pairs)]
        compare(fixed, given.rounds, ASKED.get(count))
    _print_marginals(inputs)


def compare(inputs: list[Pair], rounds: int, asked: float | None = None) -> None:
    """Lines of the table."""
    found = [len(np.unique(p.argmax(0))) for _, p in inputs]
    labels = str(found[0]) if len(set(found)) == 1 else f"{statistics.mean(found):.1f} ({min(found)}-{max(found)})"
    masks: dict[str, list[np.ndarray]] = {}

    def all_labels(engine: str) -> list[np.ndarray]:
        return [dense_crf(image, p, engine=engine).argmax(0) for image, p in inputs]

    def occurring(engine: str) -> list[np.ndarray]:
        return [on_occurring(image, p, engine) for image, p in inputs]

    def threads() -> list[np.ndarray]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda pair: on_occurring(*pair), inputs))

    def kept(name: str, call: Callable[[], list[np.ndarray]]) -> None:
        masks[name] = call()

    plain, own = "pydensecrf, all 21 labels", "lattice, labels that occur, 2 threads (`wss crf`)"
    candidates = {
        plain: partial(all_labels, "pydensecrf"),
        "pydensecrf, labels that occur": partial(occurring, "pydensecrf"),
        "lattice, all 21 labels": partial(all_labels, "lattice"),
        "lattice, labels that occur": partial(occurring, "lattice"),
        own: threads,
    }
    times = in_turn({name: partial(kept, name, call) for name, call in candidates.items()}, rounds, warm=False)
    for name, spent in times.items():
        same = sum(int((a == b).sum()) for a, b in zip(masks[name], masks[plain], strict=True))
        share = same / sum(mask.size for mask in masks[plain])
        wanted = f"{asked:g}, 99.9 %" if asked and name == own else "-"
        print(
            f"| {labels} | {name} | {median(spent) / len(inputs):.3f} | {spread(ratios(times[plain], spent))} | {wanted} | "
            f"{statistics.median(ratios(times[plain], spent, 1)):.2f} | {100 * share:.3f} % |",
            flush=True,
        )


def _print_marginals(inputs: list[Pair]) -> None:
    worst = 0.0
    for image, p in inputs:
        rows = np.unique(p.argmax(0))
        ours, theirs = dense_crf(image, p[rows]), dense_crf(image, p[rows], engine="pydensecrf")
        worst = max(worst, float(np.abs(ours - theirs).max()))
    print(f"\nLargest difference of a marginal between the engines on the same labels: {worst:.1e}.")


if __name__ == "__main__":
    main()
