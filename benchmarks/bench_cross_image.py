"""Cross-image refinement: time of the closed form beside all pairs, and memory over the images of a large set.

    python benchmarks/bench_cross_image.py [--candidates 1000,10000,100000] [--images 1000,10000] [--each 200]

Seconds are of the processor. Features are generated: 1280 numbers, few directions that hold nearly all energy, as a
network's. `all pairs` computes every distance of equation 1, an image against all others at a time, and goes no further
than 10,000 candidates. Memory is that of a process which does what `make-seeds --method hypotheses` does between its two
looks and in the second: it reads the features of all images three times. The images' files are links to 40 of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from wsscli.seeds.cross_image import ClassSums, Moments
from wsscli.seeds.localization import Selection
from wsscli.steps._candidates import CrossImage, Seen
from wsscli.steps._hypotheses import Hypotheses

DIMENSIONS = 1280  # of lite0's features
FILES = 40
CLASSES = 20


def features(rng: np.random.Generator, count: int, axes: np.ndarray) -> np.ndarray:
    """(count, D) float32."""
    return (rng.normal(0, 1, (count, len(axes))) @ axes + rng.normal(0, 0.002, (count, axes.shape[1]))).astype(
        np.float32
    )


def directions(rng: np.random.Generator) -> np.ndarray:
    """300 directions of falling energy."""
    return rng.normal(0, 1, (300, DIMENSIONS)) * (1 / np.arange(1, 301))[:, None] / np.sqrt(DIMENSIONS)


def closed(images: list[np.ndarray]) -> list[np.ndarray]:
    sums = ClassSums()
    for rows in images:
        sums.add(rows)
    return [sums.distances(rows) for rows in images]


def all_pairs(images: list[np.ndarray]) -> list[np.ndarray]:
    """Equation 1 without the algebra of means: |x - y|^2 of every pair."""
    squares = [(rows**2).sum(1) for rows in images]
    found = []
    for i, rows in enumerate(images):
        total = np.zeros(len(rows))
        for other, y in enumerate(images):
            if other != i:
                total += (squares[i][:, None] + squares[other] - 2 * rows @ y.T).mean(1)
        found.append(total / (len(images) - 1))
    return found


def times(counts: list[int], each: int) -> None:
    rng = np.random.default_rng(0)
    axes = directions(rng)
    print(
        "| candidates | images | components | PCA, s | projecting, s | closed form, s | µs a candidate | all pairs, s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for count in counts:
        raw = [features(rng, each, axes) for _ in range(count // each)]
        begun = time.process_time()
        moments = Moments()
        for rows in raw:
            moments.add(rows)
        basis = moments.basis()
        components = time.process_time()
        images = [basis.project(rows) for rows in raw]
        projected = time.process_time()
        found = closed(images)
        done = time.process_time()
        pairs = "-"
        if count <= 10_000:
            slow = all_pairs(images)
            pairs = f"{time.process_time() - done:.2f}"
            assert all(np.allclose(a, b, rtol=1e-5) for a, b in zip(found, slow, strict=True))
        spent = done - projected
        print(
            f"| {count} | {len(images)} | {images[0].shape[1]} | {components - begun:.2f} | {projected - components:.2f} | "
            f"{spent:.3f} | {1e6 * spent / count:.2f} | {pairs} |",
            flush=True,
        )


def simulate(images: int, each: int) -> None:
    """What the step does with features; prints the peak of this process in MiB and the seconds."""
    rng = np.random.default_rng(0)
    axes = directions(rng)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "features").mkdir()
        ids = [f"{number:06}" for number in range(images)]
        for number, name in enumerate(ids):
            path = root / f"features/{name}.npz"
            if number < FILES:
                seen = Seen(np.zeros((each, 1), np.float32), np.ones(each, bool), features(rng, each, axes))
                path.write_bytes(seen.encode())
            else:
                path.symlink_to(root / f"features/{ids[number % FILES]}.npz")
        everything = [Selection(np.arange(each), False)]
        finder = SimpleNamespace(
            labels={name: (1 + number % CLASSES,) for number, name in enumerate(ids)}, options=Hypotheses(),
            select=lambda _: everything,
        )  # fmt: skip
        begun = time.process_time()
        others = CrossImage(finder, None, ids)
        others.folder = root / "features"
        others._sum_up()
        for name in ids:
            others.refined(finder.labels[name][0], others.read(name).features)
        print(f"{peak():.0f} {time.process_time() - begun:.0f}")


def peak() -> float:
    """Largest resident size of this process in MiB; getrusage's would be that of the process which started it, if larger."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", default="1000,10000,100000")
    parser.add_argument("--images", default="1000,10000")
    parser.add_argument("--each", type=int, default=200)
    parser.add_argument("--simulate", type=int, help="only this: for the process whose memory is measured")
    given = parser.parse_args()
    if given.simulate:
        simulate(given.simulate, given.each)
        return
    times([int(count) for count in given.candidates.split(",")], given.each)
    print("\n| images | candidates | features, if they were all in memory, MiB | peak of the process, MiB | s |")
    print("| --- | --- | --- | --- | --- |")
    for images in (int(count) for count in given.images.split(",")):
        command = [sys.executable, __file__, "--simulate", str(images), "--each", str(given.each)]
        most, seconds = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        whole = images * given.each * DIMENSIONS * 4 / 2**20
        print(f"| {images} | {images * given.each} | {whole:.0f} | {most} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
