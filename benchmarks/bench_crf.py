"""The CRF: the built-in lattice on the labels that occur, two threads, beside pydensecrf on all 21 in one process.

    python benchmarks/bench_crf.py [--data ../shared/data/voc] [--images 12] [--rounds 3]

The same photos and the same 21 rows of probabilities for all; compilation and decoding are excluded. The probabilities
follow the true masks, blurred and disturbed, with small values for absent classes as a network's softmax has them.
Without the real photos generated ones of the same size take their place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from wsscli.data.images import read_image
from wsscli.maskdir.png import read_mask
from wsscli.refine.crf import dense_crf

CLASSES = 21
HERE = Path(__file__).resolve().parent
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    root = Path(os.environ.get("WSS_TEST_DATA", HERE / "../../shared/data"))
    parser.add_argument("--data", type=Path, default=root / "voc")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    try:
        import pydensecrf.densecrf  # noqa: F401
    except ImportError:
        print("pydensecrf is not installed (the extra [pydensecrf]): nothing to compare with.")
        return
    pairs = photos(given.data, given.images)
    inputs = [(image, probabilities(truth, seed)) for seed, (image, truth) in enumerate(pairs)]
    labels = [len(np.unique(p.argmax(0))) for _, p in inputs]

    def all_labels(engine: str) -> list[np.ndarray]:
        return [dense_crf(image, p, engine=engine).argmax(0) for image, p in inputs]

    def occurring(engine: str) -> list[np.ndarray]:
        return [on_occurring(image, p, engine) for image, p in inputs]

    def threads() -> list[np.ndarray]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda pair: on_occurring(*pair), inputs))

    candidates = {
        "pydensecrf, all 21 labels": lambda: all_labels("pydensecrf"),
        "pydensecrf, labels that occur": lambda: occurring("pydensecrf"),
        "lattice, all 21 labels": lambda: all_labels("lattice"),
        "lattice, labels that occur": lambda: occurring("lattice"),
        "lattice, labels that occur, 2 threads (`wss crf`)": threads,
    }
    dense_crf(*inputs[0])  # compiles
    reference, *_ = masks = [call() for call in candidates.values()]
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(given.rounds):
        for name, call in candidates.items():
            begun = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - begun) / len(inputs))
    height, width = (int(statistics.median(p.shape[k] for _, p in inputs)) for k in (1, 2))
    print(
        f"{len(inputs)} {'photos' if given.data.exists() else 'generated images'}, median size {height}x{width}, "
        f"{statistics.mean(labels):.1f} labels occur on average ({min(labels)} to {max(labels)}), 10 iterations, "
        f"median of {given.rounds} rounds.\n"
    )
    print("| engine | s/image | speed-up | pixels with the same label |\n| --- | --- | --- | --- |")
    base = times["pydensecrf, all 21 labels"]
    for (name, found), mask in zip(times.items(), masks, strict=True):
        each = statistics.median(a / b for a, b in zip(base, found, strict=True))
        same = sum(int((a == b).sum()) for a, b in zip(mask, reference, strict=True)) / sum(m.size for m in reference)
        print(f"| {name} | {statistics.median(found):.3f} | {each:.2f} | {100 * same:.3f} % |")
    _print_marginals(inputs)


def _print_marginals(inputs: list[Pair]) -> None:
    worst = 0.0
    for image, p in inputs:
        rows = np.unique(p.argmax(0))
        ours, theirs = dense_crf(image, p[rows]), dense_crf(image, p[rows], engine="pydensecrf")
        worst = max(worst, float(np.abs(ours - theirs).max()))
    print(f"\nLargest difference of a marginal between the engines on the same labels: {worst:.1e}.")


if __name__ == "__main__":
    main()
