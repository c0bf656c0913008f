"""`make-seeds` beside its bare network: what decoding, saliency, fusion, seeds and writing cost on top.

    python benchmarks/bench_seeds.py [--data ../shared/data/voc --split train] [--images 40] [--rounds 3]
        [--device cpu] [--record]

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
from common import add_data, data_set, name_of, spread
from inputs import Inputs
from rows import note

from wsscli.nets.imagenet import ImagenetNet
from wsscli.seeds.multiscale import input_size
from wsscli.steps._run import Run
from wsscli.steps.make_seeds import RECIPES, make_seeds

RECIPE = RECIPES["imagenet"]


PHOTOS = 16  # a batch on a CUDA device, twice as many with their mirror images


def inputs(net: ImagenetNet, size: tuple[int, int], device: str) -> list[torch.Tensor]:
    """The normalised batches (image and mirror image) of one image's sizes, as make-seeds passes them on."""
    found = []
    for scale in RECIPE["scales"]:
        height, width = input_size(size, scale, RECIPE["output_stride"])
        pixels = torch.randint(0, 256, (1 + RECIPE["flip"], 3, height, width), dtype=torch.uint8, device=device)
        found.append(net.backbone.normalise(pixels).contiguous(memory_format=torch.channels_last))
    return found


@torch.no_grad()
def forward(net: ImagenetNet, batches: list[torch.Tensor]) -> None:
    for batch in batches:
        net.classifier(net.features(batch))


def batched(net: ImagenetNet, images: list[list[torch.Tensor]], _: int) -> float:
    """On a CUDA device: all images as large as the first."""
    batches = [batch.repeat(PHOTOS, 1, 1, 1).contiguous(memory_format=torch.channels_last) for batch in images[0]]
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(-(-len(images) // PHOTOS)):
        with torch.autocast("cuda", torch.bfloat16):
            forward(net, batches)
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) * len(images) / (-(-len(images) // PHOTOS) * PHOTOS)


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


def seeds(inputs: Inputs, images: int, workers: int, saliency: Path | None, device: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = make_seeds(
            Path(folder) / "seeds",
            model=Path("imagenet"),
            class_map=inputs.class_map,
            device=device,
            bf16=device == "cuda",
            saliency=saliency,
            data=inputs.option,
            run=Run(limit=images, workers=workers),
        )
        return float(json.loads((out / "log.jsonl").read_text().splitlines()[-1])["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--record", action="store_true", help="note the share in speed.csv")
    given = parser.parse_args()
    logging.getLogger("wsscli").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        report(Inputs(data_set(given, root, given.images), given.split, root, given.images), given)


def report(source: Inputs, given: argparse.Namespace) -> None:
    dataset, ids, device = source.dataset, source.ids, given.device
    net = ImagenetNet([[0]] * (len(dataset.classes) - 1), output_stride=RECIPE["output_stride"]).eval().to(device)
    images = [inputs(net, dataset.size(name), device) for name in ids]
    runs = (side_by_side, one_by_one) if device == "cpu" else (batched,)
    runs[0](net, images[:1], 1)
    kinds = {"computed on the way": None, "stored": source.saliency}
    clock, processor, rates = ({kind: [] for kind in kinds} for _ in range(3))
    bares = []
    for _ in range(given.rounds):
        first, bare_work = timed(lambda: runs[0](net, images, given.workers))
        bares.append(min([first, *(run(net, images, given.workers) for run in runs[1:])]))
        torch.set_num_threads(1)
        for kind, stored in kinds.items():
            _, once = timed(lambda stored=stored: seeds(source, 1, given.workers, stored, device))
            step, step_work = timed(lambda stored=stored: seeds(source, len(ids), given.workers, stored, device))
            clock[kind].append(bares[-1] / step)
            processor[kind].append(bare_work * (len(ids) - 1) / len(ids) / (step_work - once))
            rates[kind].append(len(ids) / step)
    print(f"{len(ids)} {name_of(source.data, source.root)}, {given.workers} workers, {device}.\n")
    print("| saliency | bare network, images/s | make-seeds, images/s | ratio | asked | ratio of processor time |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in kinds:
        rate = statistics.median(rates[kind])
        bare = len(ids) / statistics.median(bares)
        print(f"| {kind} | {bare:.2f} | {rate:.2f} | {spread(clock[kind])} | 0.9 | {spread(processor[kind])} |")
    if given.record:
        share = statistics.median(clock["stored"])
        note("speed.csv", {"step": "make-seeds", "device": device}, of_bare=f"{share:.2f}")


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """Seconds by the clock (as the call says) and of the processor."""
    begun = time.process_time()
    return call(), time.process_time() - begun


if __name__ == "__main__":
    main()
