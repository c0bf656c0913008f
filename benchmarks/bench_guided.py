"""The guided filter, 15 iterations on photos of about 375x500, beside OpenCV's (cv2.ximgproc) and a plain numpy form.

    python benchmarks/bench_guided.py [--data ../shared/data/voc] [--photos 4] [--rounds 3]

ximgproc comes with opencv-contrib-python-headless, which takes opencv-python-headless's place; without it the other
rows remain. Every form computes the image's part once for all maps and iterations. ximgproc gets the photo as uint8 and
eps x 255^2: with a float photo in [0, 1], OpenCV 5's is wrong. `numpy` is He's formula with cv2.boxFilter, float64.
Without the real photos generated ones of the same size take their place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from bench_crf import photos
from common import REAL

from wsscli.refine.guided_filter import guided_filter

WINDOW, EPS, ITERATIONS = 35, 1e-6, 15
Form = Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]


def ours(image: np.ndarray, maps: np.ndarray, iterations: int, threads: int) -> np.ndarray:
    return guided_filter(image, maps, window=WINDOW, eps=EPS, iterations=iterations, workers=threads)


def ximgproc(image: np.ndarray, maps: np.ndarray, iterations: int, threads: int) -> np.ndarray:
    """The maps as channels of one image; OpenCV shares the work among its own threads."""
    cv2.setNumThreads(threads)
    prepared = cv2.ximgproc.createGuidedFilter(image, WINDOW // 2, EPS * 255**2)
    values = np.ascontiguousarray(maps.transpose(1, 2, 0))
    for _ in range(iterations):
        values = prepared.filter(values)
    return np.atleast_3d(values).transpose(2, 0, 1)


def numpy(image: np.ndarray, maps: np.ndarray, iterations: int, threads: int) -> np.ndarray:
    cv2.setNumThreads(threads)
    colours = image / 255  # (H,W,3)

    def sums(values: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(values, cv2.CV_64F, (WINDOW, WINDOW), normalize=False, borderType=cv2.BORDER_CONSTANT)

    count = sums(np.ones(image.shape[:2]))
    mean = np.dstack([sums(colours[..., k]) / count for k in range(3)])
    covariance = np.empty((*image.shape[:2], 3, 3))
    for i in range(3):
        for j in range(3):
            both = sums(colours[..., i] * colours[..., j]) / count
            covariance[..., i, j] = both - mean[..., i] * mean[..., j] + (EPS if i == j else 0)
    inverse = np.linalg.inv(covariance)
    out = np.empty(maps.shape)
    for k, values in enumerate(maps.astype(np.float64)):
        for _ in range(iterations):
            p = sums(values) / count
            both = np.dstack([sums(colours[..., c] * values) / count - mean[..., c] * p for c in range(3)])
            a = (inverse @ both[..., None])[..., 0]
            b = p - (a * mean).sum(-1)
            values = (sum(sums(a[..., c]) * colours[..., c] for c in range(3)) + sums(b)) / count
        out[k] = values
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    forms: dict[str, Form] = {"`guided_filter`": ours}
    if hasattr(cv2, "ximgproc"):
        forms |= {"cv2.ximgproc": ximgproc}
    else:
        print("cv2.ximgproc is not installed (opencv-contrib-python-headless): nothing to compare with but numpy.\n")
    forms |= {"numpy": numpy}
    pairs = photos(given.data, given.photos)
    rng = np.random.default_rng(0)
    inputs = []
    for image, truth in pairs:
        noise = cv2.GaussianBlur(rng.normal(0, 1, (*truth.shape, 2)), (0, 0), 25).transpose(2, 0, 1)
        maps = np.stack([(truth > 0) & (truth < 255), *(noise > 0)]).astype(
            np.float32
        )  # (3,H,W): binary, as after Otsu
        inputs.append((np.ascontiguousarray(image), maps))
    guided_filter(inputs[0][0][:9, :9], inputs[0][1][:, :9, :9])  # compiles

    times: dict[tuple[str, int, int], list[tuple[float, float]]] = {}  # on the clock, of the processors
    for _ in range(given.rounds):
        for image, maps in inputs:
            for count in (1, 2, 3):
                for threads in (1, 2):
                    for name, form in forms.items():  # neighbours in time: a busy moment of the machine meets all alike
                        if name == "numpy" and (count, threads) != (1, 1):
                            continue
                        begun = time.perf_counter(), time.process_time()
                        form(image, maps[:count], ITERATIONS, threads)
                        spent = time.perf_counter() - begun[0], time.process_time() - begun[1]
                        times.setdefault((name, count, threads), []).append(spent)

    height, width = (int(statistics.median(image.shape[k] for image, _ in inputs)) for k in (0, 1))
    print(
        f"{len(inputs)} {'photos' if given.data.exists() else 'generated images'}, median size {height}x{width}, window "
        f"{WINDOW}, eps {EPS:g}, {ITERATIONS} iterations, medians of {given.rounds} rounds; ratio: time of the form / "
        "time of `guided_filter`, side by side, on the clock and of the processors (steady beside other jobs).\n"
    )
    print("| maps | threads | form | s/photo | ratio | processor s/photo | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (name, count, threads), found in sorted(times.items(), key=lambda row: row[0][1:]):
        cells = []
        for clock in (0, 1):
            spent = [pair[clock] for pair in found]
            base = [pair[clock] for pair in times["`guided_filter`", count, threads]]
            ratio = statistics.median(b / a for a, b in zip(base, spent, strict=True))
            cells += [f"{statistics.median(spent):.3f}", f"{ratio:.2f}"]
        print(f"| {count} | {threads} | {name} | {' | '.join(cells)} |")
    print_differences(inputs, forms)


def print_differences(inputs: list[tuple[np.ndarray, np.ndarray]], forms: dict[str, Form]) -> None:
    """How far the forms are from numpy's float64, also on a grey photo, where the covariance has rank 1."""
    print("\n| largest difference from numpy's | colour | grey |\n| --- | --- | --- |")
    inside = np.s_[:, WINDOW - 1 : 1 - WINDOW, WINDOW - 1 : 1 - WINDOW]  # where no window of a window is cut off
    image, maps = inputs[0]
    grey = np.ascontiguousarray(np.repeat(image[..., 1:2], 3, 2))
    for name, form in forms.items():
        if name == "numpy":
            continue
        for part, what in ((np.s_[:], "everywhere"), (inside, "away from the borders")):
            found = [
                float(np.abs(form(guide, maps, 1, 1) - numpy(guide, maps, 1, 1))[part].max()) for guide in (image, grey)
            ]
            print(f"| {name}, 1 iteration, {what} | " + " | ".join(f"{value:.1e}" for value in found) + " |")


if __name__ == "__main__":
    main()
