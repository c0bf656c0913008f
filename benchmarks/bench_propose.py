"""Region proposals: processor time an image, how many, and the size of their files.

    python benchmarks/bench_propose.py [--data ../shared/data/voc --split train] [--images 20]

Time is that of one core (processor time of one thread, so that a busy machine counts little); the first image, which
pays for compilation or loading its cache, is left out. Quality is `wss eval --proposals`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
from common import add_data, opened

from wsscli.data.dataset import Dataset
from wsscli.maskdir.proposals import ProposalSet, encode_proposals
from wsscli.proposals.hierarchical import hierarchical
from wsscli.proposals.pool import Found
from wsscli.proposals.selective_search import selective_search

METHODS: dict[str, Callable[..., Found]] = {
    "hierarchical": hierarchical,
    "selective-search --mode fast": selective_search,
    "selective-search --mode quality": partial(selective_search, mode="quality"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--images", type=int, default=20)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with opened(given, given.images) as dataset:
        report(dataset, given.images)


def report(dataset: Dataset, images: int) -> None:
    ids = sorted(dataset.ids)
    ids = ids[:: max(1, len(ids) // images)][:images]
    print(f"{len(ids)} photos of {dataset.root.name} ({dataset.split})\n")
    print("| method | seconds an image, median | slowest | proposals | superpixels | KiB a file |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, method in METHODS.items():
        method(dataset.image(ids[0]))
        seconds, counts, cells, sizes = [], [], [], []
        for image in map(dataset.image, ids):
            begun = time.process_time()
            found = ProposalSet(*method(image))
            seconds.append(time.process_time() - begun)
            counts.append(len(found))
            cells.append(found.n_superpixels)
            sizes.append(len(encode_proposals(found)) / 1024)
        print(
            f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {statistics.mean(counts):.0f} "
            f"| {statistics.mean(cells):.0f} | {statistics.mean(sizes):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
