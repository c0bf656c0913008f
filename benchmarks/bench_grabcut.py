"""`wss grabcut` with one and with two workers: time, ratio, and whether the masks are equal byte for byte.

    python benchmarks/bench_grabcut.py [--data ../shared/data/voc --split train] [--images 200] [--rounds 1] [--scale 1]

Each run is a process of its own, as a user starts it, timed by the clock and without its start-up by its own log. The masks to
refine are what stands out of each photo (rbd above 0.5). Where the data are absent, generated photos of 375 x 500 take their place.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import add_data, by_log, data_set
from killed import ENVIRONMENT

from wsscli.data.dataset import open_dataset
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.saliency import rbd


def timed(command: list[str], out: Path) -> tuple[float, float]:
    """Seconds of the process and of its work alone."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    spent = time.perf_counter() - begun
    return spent, by_log(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    logging.getLogger("wsscli").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = data_set(given, root, given.images)
        dataset = open_dataset(data, split=given.split)
        ids = sorted(dataset.ids)[: given.images]
        for name in ids:
            write_mask(root / f"masks/{name}.png", (rbd.saliency(dataset.image(name)) > 0.5).astype("uint8"))
        times: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(given.rounds):
            for workers, found in times.items():
                out = root / f"out-{workers}"
                command = [
                    sys.executable, "-m", "wsscli", "grabcut", str(root / "masks"), "--data", str(data), "--split",
                    given.split, "--scale", str(given.scale), "--workers", str(workers), "--overwrite", "-o", str(out),
                ]  # fmt: skip
                found.append(timed(command, out))
        one, two = (open_maskdir(root / f"out-{workers}") for workers in times)
        equal = sum(one.mask_path(name).read_bytes() == two.mask_path(name).read_bytes() for name in ids)
    print(f"{len(ids)} photos, scale {given.scale:g}, medians of {given.rounds} rounds.\n")
    print(
        "| workers | s with start-up | ratio | s | ratio | masks of equal bytes |\n| --- | --- | --- | --- | --- | --- |"
    )
    for workers, found in times.items():
        cells = []
        for part in (0, 1):
            ratio = statistics.median(a[part] / b[part] for a, b in zip(times[1], found, strict=True))
            cells += [f"{statistics.median(f[part] for f in found):.1f}", f"{ratio:.2f}"]
        print(f"| {workers} | {' | '.join(cells)} | {equal} of {len(ids)} |")


if __name__ == "__main__":
    main()
