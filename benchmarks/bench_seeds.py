"""`make-seeds` beside its bare network: what decoding, saliency, fusion, seeds and writing cost on top.

    python benchmarks/bench_seeds.py [--data ../shared/data/voc --split train] [--images 40] [--rounds 3]

One process, the same images and sizes, the same network (the embedded ImageNet classifier). The bare network gets
tensors that lie ready in memory and runs both ways, all threads on one image and one image a thread; the faster one
counts. `make-seeds` is timed by its own log, from the first image to the closed directory; loading the network is left
out on both sides. Rounds alternate; ratios are medians over rounds. On a machine that others use the ratio of processor
time tells more than that of the clock; it is that of all images but the first, whose run pays for loading, and of one
image a thread on both sides.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from wsscli.data.dataset import open_dataset
from wsscli.nets.imagenet import ImagenetNet
from wsscli.seeds.multiscale import input_size
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.make_seeds import RECIPES, make_seeds

RECIPE = RECIPES["imagenet"]


def inputs(net: ImagenetNet, size: tuple[int, int]) -> list[torch.Tensor]:
    """The normalised batches (image and mirror image) of one image's sizes, as make-seeds passes them on."""
    found = []
    for scale in RECIPE["scales"]:
        height, width = input_size(size, scale, RECIPE["output_stride"])
        pixels = torch.randint(0, 256, (1 + RECIPE["flip"], 3, height, width), dtype=torch.uint8)
        found.append(net.backbone.normalise(pixels).contiguous(memory_format=torch.channels_last))
    return found


@torch.no_grad()
def forward(net: ImagenetNet, batches: list[torch.Tensor]) -> None:
    for batch in batches:
        net.classifier(net.features(batch))


def one_by_one(net: ImagenetNet, images: list[list[torch.Tensor]], workers: int) -> float:
    torch.set_num_threads(workers)
    begun = time.perf_counter()
    for batches in images:
        forward(net, batches)
    return time.perf_counter() - begun


def side_by_side(net: ImagenetNet, images: list[list[torch.Tensor]], workers: int) -> float:
    def one(batches: list[torch.Tensor]) -> None:
        torch.set_num_threads(1)
        forward(net, batches)

    torch.set_num_threads(1)
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, images))
    return time.perf_counter() - begun


def seeds(data: Data, images: int, workers: int, saliency: Path | None) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = make_seeds(
            Path(folder) / "seeds",
            model=Path("imagenet"),
            device="cpu",
            saliency=saliency,
            data=data,
            run=Run(limit=images, workers=workers),
        )
        return float(json.loads((out / "log.jsonl").read_text().splitlines()[-1])["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/voc"))
    parser.add_argument("--split", default="train")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--saliency", type=Path, help="stored saliency instead of computing it")
    given = parser.parse_args()
    logging.getLogger("wsscli").setLevel(logging.ERROR)
    dataset = open_dataset(given.data, split=given.split)
    ids = sorted(dataset.ids)[: given.images]
    net = ImagenetNet([[0]] * (len(dataset.classes) - 1), output_stride=RECIPE["output_stride"]).eval()
    images = [inputs(net, dataset.size(name)) for name in ids]
    data = Data(given.data, split=given.split)
    side_by_side(net, images[:1], 1)
    clock, processor, rates = [], [], []
    for _ in range(given.rounds):
        _, once = timed(lambda: seeds(data, 1, given.workers, given.saliency))
        step, step_work = timed(lambda: seeds(data, len(ids), given.workers, given.saliency))
        threaded, bare_work = timed(lambda: side_by_side(net, images, given.workers))
        bare = min(threaded, one_by_one(net, images, given.workers))
        torch.set_num_threads(1)
        clock.append(bare / step)
        processor.append(bare_work * (len(ids) - 1) / len(ids) / (step_work - once))
        rates.append((len(ids) / bare, len(ids) / step))
    bare_rate, step_rate = (statistics.median(rate) for rate in zip(*rates, strict=True))
    print("| bare network, images/s | make-seeds, images/s | ratio | ratio of processor time |")
    print("| --- | --- | --- | --- |")
    print(f"| {bare_rate:.2f} | {step_rate:.2f} | {shown(clock)} | {shown(processor)} |")


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """Seconds by the clock (as the call says) and of the processor."""
    begun = time.process_time()
    return call(), time.process_time() - begun


def shown(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


if __name__ == "__main__":
    main()
