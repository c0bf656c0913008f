"""Region growing: connected components by OpenCV beside the two literal forms in Python.

    python benchmarks/bench_grow.py [--rounds 3]

One process, the same arrays, results compared before times are. `visiting` is the paper's process (every pixel of a
class is visited again until nothing changes); `layer` is the authors' published training layer (a two-scan union-find
in Python; without the neighbour lists that it makes and never uses). Ratios are of one image, median over the images
and rounds; each image has 21 rows of probabilities and two or three labels.
"""

from __future__ import annotations

import argparse
import os
import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from wsscli.grow.dsrg import grow

LITERAL = runpy.run_path(str(Path(__file__).parents[1] / "tests/grow/literal.py"))
CLASSES = 21


def problem(side: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Seeds on about a third of the pixels, smooth and mostly confident probabilities, the image's labels."""
    rng = np.random.default_rng([side, seed])
    labels = sorted(rng.choice(np.arange(1, CLASSES), rng.integers(2, 4), replace=False).tolist())
    taking_part = [0, *labels]
    logits = rng.normal(0, 1, (CLASSES, side, side)).astype(np.float32)
    regions = np.stack([cv2.GaussianBlur(m, (0, 0), side / 10) for m in logits])  # objects as large as in photos
    logits = 0.5 * logits + np.float32(6) * regions / regions.std()
    logits[taking_part] += 6
    odds = np.exp(logits - logits.max(0))
    probabilities = (odds / odds.sum(0)).astype(np.float32)  # (21, side, side)
    likeliest = np.array(taking_part, np.uint8)[probabilities[taking_part].argmax(0)]
    kept = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), side / 40)
    return np.where(kept > np.quantile(kept, 0.65), likeliest, 255).astype(np.uint8), probabilities, labels


def seconds(call: Callable[[], object], least: int = 1) -> float:
    begun = time.perf_counter()
    for _ in range(least):
        call()
    return (time.perf_counter() - begun) / least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    print("| size | form | one image, ms | times `grow` |\n| --- | --- | --- | --- |")
    for side, images in ((41, 20), (321, 2)):
        problems = [problem(side, seed) for seed in range(images)]
        times: dict[str, list[float]] = {"grow": [], "layer": [], "visiting": []}
        for turn in range(rounds):
            for seeds, p, labels in problems:
                given = {"labels": labels}
                arguments = (seeds, p, range(CLASSES))
                if not turn:
                    assert np.array_equal(grow(*arguments, **given), LITERAL["visiting"](*arguments, **given))
                    quirky = grow(*arguments, **given, original_quirks=True)
                    assert np.array_equal(quirky, LITERAL["layer"](*arguments, **given))
                # neighbours in time, so that a busy moment of the machine meets all forms alike
                times["grow"].append(seconds(lambda a=arguments, g=given: grow(*a, **g), 10))
                times["layer"].append(seconds(lambda a=arguments, g=given: LITERAL["layer"](*a, **g)))
                times["visiting"].append(seconds(lambda a=arguments, g=given: LITERAL["visiting"](*a, **g)))
        for name, found in times.items():
            each = statistics.median(b / a for a, b in zip(times["grow"], found, strict=True))
            ratio = "1" if name == "grow" else f"{each:.0f}"
            print(f"| {side}x{side}x{CLASSES} | {name} | {1e3 * statistics.median(found):.3g} | {ratio} |")


if __name__ == "__main__":
    main()
