"""What `wss predict` costs beside the bare network: decoding, scaling, masks at the photo's size, PNGs, the manifest.

    python benchmarks/bench_predict.py [--model DIR] [--data DIR] [--images 200] [--rounds 5] [--device cpu]

One process, the same images at the same sizes, candidates in turn in every round. "Bare" is the better of two ways to
run the network on tensors that are ready in memory: images side by side with one thread each, and one image at a time
on all threads. Beside the wall clock the processor time is given, which other work on the machine disturbs less.
Without --model an untrained DeepLab on lite0 stands in: its masks are the worst case, no class can be left out early.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from wsscli.classes import ClassTable
from wsscli.data.dataset import open_dataset
from wsscli.data.voc import VOC_NAMES
from wsscli.maskdir.manifest import Manifest, write_manifest
from wsscli.nets.device import halve_convolutions, native_bf16, pick_device
from wsscli.nets.segmenter import DeepLab
from wsscli.nets.store import load_model, save_model
from wsscli.seeds.multiscale import input_size
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.predict import one_torch_thread, predict
from wsscli.train.augment import resize


def untrained(directory: Path) -> Path:
    """A model directory with ImageNet's backbone and a random head."""
    classes = ClassTable.of(VOC_NAMES)
    model = DeepLab.build("lite0", classes, init="imagenet", size=385)
    save_model(directory, model)
    write_manifest(
        directory, Manifest(kind="model", step="train-seg", classes=classes, model=model.config, complete=True)
    )
    return directory


def bare_runs(
    net: DeepLab, tensors: list[torch.Tensor], workers: int, device: torch.device, *, bf16: bool
) -> dict[str, Callable[[], None]]:
    """The two ways to run the network alone."""

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

    return {"bare, side by side": side_by_side, "bare, one at a time": one_at_a_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/voc"))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    device = pick_device(given.device)
    bf16 = native_bf16(device)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        directory = given.model or untrained(root / "model")
        net = load_model(directory, device, arch="segmentation")
        if bf16:
            halve_convolutions(net)
        dataset = open_dataset(given.data, split="train")
        ids = sorted(dataset.ids)[: given.images]
        tensors = []
        for name in ids:
            image = dataset.image(name)
            size = input_size(image.shape[:2], net.size / max(image.shape[:2]), net.backbone.stride)
            pixels = torch.from_numpy(resize(image, *size)).to(device).permute(2, 0, 1)[None]
            tensors.append(net.backbone.normalise(pixels).contiguous(memory_format=torch.channels_last))
        run = Run(limit=given.images, workers=given.workers, overwrite=True)
        data = Data(given.data, split="train")

        def step(**options: bool) -> Callable[[], None]:
            def call() -> None:
                predict(directory, root / "out", data=data, run=run, device=given.device, **options)
                shutil.rmtree(root / "out")

            return call

        candidates = bare_runs(net, tensors, given.workers, device, bf16=bf16)
        candidates |= {"predict": step(), "predict --scores": step(scores=True)}
        wall: dict[str, list[float]] = {name: [] for name in candidates}
        processor: dict[str, list[float]] = {name: [] for name in candidates}
        for turn in range(given.rounds + 1):
            for name, call in candidates.items():
                begun, used = time.perf_counter(), time.process_time()
                call()
                if turn:  # the first round warms up
                    wall[name].append(time.perf_counter() - begun)
                    processor[name].append(time.process_time() - used)
    names = list(candidates)
    best = min(names[:2], key=lambda name: statistics.median(wall[name]))
    print(f"{len(ids)} images, {given.workers} workers, {device}, bf16 {bf16}, longer side {net.size}")
    print(f"{'':22}{'images/s':>10}{'of bare':>9}{'CPU s':>8}{'bare/this':>11}")
    for name in names:
        speed = len(ids) / statistics.median(wall[name])
        share = statistics.median(b / t for b, t in zip(wall[best], wall[name], strict=True))
        cpu = statistics.median(processor[name])
        print(f"{name:22}{speed:10.2f}{share:9.3f}{cpu:8.2f}{statistics.median(processor[best]) / cpu:11.3f}")


if __name__ == "__main__":
    main()
