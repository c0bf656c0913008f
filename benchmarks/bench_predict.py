"""What `wss predict` costs beside the bare network: decoding, scaling, masks at the photo's size, PNGs, the manifest.

    python benchmarks/bench_predict.py [--model DIR] [--data DIR] [--images 200] [--rounds 5] [--device cpu] [--record]

One process, the same images at the same sizes, candidates in turn in every round. "Bare" is the better of two ways to
run the network on tensors that are ready in memory: images side by side with one thread each, and one image at a time
on all threads; on a CUDA device also batches of 32 (all as large as the first), in bfloat16. The step's time is its log's, from
the first image to the closed directory. Beside it the processor time is given, which other work on the machine disturbs less,
of all images but the first, so that loading the net does not count. --record notes the share in speed.csv.
Without --model an untrained DeepLab on lite0 stands in: its masks are the worst case, no class can be left out early.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from common import add_data, data_set, in_turn, median, ratios
from inputs import Inputs
from rows import note

from wsscli.nets.device import halve_convolutions, native_bf16, one_torch_thread, pick_device
from wsscli.nets.store import load_model
from wsscli.seeds.multiscale import input_size
from wsscli.steps._run import Run
from wsscli.steps.predict import predict
from wsscli.train.augment import resize

BATCH = 32


def bare_runs(
    net: Any, tensors: list[torch.Tensor], workers: int, device: torch.device, *, bf16: bool
) -> dict[str, Callable[[], None]]:
    """The ways to run the network alone."""

    def forward(pixels: torch.Tensor) -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            net(pixels)

    def side_by_side() -> None:
        with one_torch_thread(), ThreadPoolExecutor(workers) as pool:
            list(pool.map(forward, tensors))
        if device.type == "cuda":
            torch.cuda.synchronize()

    def one_at_a_time() -> None:
        for pixels in tensors:
            forward(pixels)
        if device.type == "cuda":
            torch.cuda.synchronize()

    def batches() -> None:
        batch = tensors[0].expand(BATCH, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for start in range(0, len(tensors), BATCH):
            forward(batch[: len(tensors) - start])
        torch.cuda.synchronize()

    runs = {"bare, side by side": side_by_side, "bare, one at a time": one_at_a_time}
    return runs | ({f"bare, batches of {BATCH}": batches} if device.type == "cuda" else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    add_data(parser)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    device = pick_device(given.device)
    bf16 = native_bf16(device)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        inputs = Inputs(data_set(given, root, given.images), given.split, root, given.images)
        directory = given.model or inputs.segmenter
        net = load_model(directory, device, arch="segmentation")
        if bf16:
            halve_convolutions(net)
        dataset, ids = inputs.dataset, inputs.ids
        tensors = []
        for name in ids:
            image = dataset.image(name)
            size = input_size(image.shape[:2], net.size / max(image.shape[:2]), net.backbone.stride)
            pixels = torch.from_numpy(resize(image, *size)).to(device).permute(2, 0, 1)[None]
            tensors.append(net.backbone.normalise(pixels).contiguous(memory_format=torch.channels_last))
        data = inputs.option

        def step(images: int = given.images, **options: bool) -> Callable[[], Path]:
            run = Run(limit=images, workers=given.workers, overwrite=True)
            return lambda: predict(directory, root / "out", data=data, run=run, device=given.device, **options)

        candidates = bare_runs(net, tensors, given.workers, device, bf16=bf16)
        bare_names = list(candidates)
        candidates |= {"one image": step(1), "predict": step(), "predict --scores": step(scores=True)}
        times = in_turn(candidates, given.rounds)
    once = median(times.pop("one image"), 1)
    best = min(bare_names, key=lambda name: median(times[name]))
    print(
        f"{len(ids)} images, {given.workers} workers, {device}, bf16 {bf16}, longer side {net.size}; at least 0.9 of the bare "
        "network is asked for.\n\n| | images/s | of the bare network | processor s | the same of processor time |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for name, spent in times.items():
        share, work = statistics.median(ratios(times[best], spent)), median(spent, 1)
        if name not in bare_names:
            work = (work - once) * len(ids) / (len(ids) - 1)
        processor = median(times[best], 1) / work
        print(f"| {name} | {len(ids) / median(spent):.2f} | {share:.3f} | {work:.2f} | {processor:.3f} |")
        if given.record and name == "predict":
            note("speed.csv", {"step": name, "device": device.type}, of_bare=f"{share:.2f}")


if __name__ == "__main__":
    main()
