"""What the CRF and growing add to a training step of DSRG: VGG-16 DeepLab-ASPP, 321x321 -> 41x41, 21 classes.

    python benchmarks/bench_dsrg.py [--batch 20] [--rounds 3] [--data ../shared/data/voc] [--hidden 1024]

One step is forward, balanced seeding and boundary loss, backward and SGD; what is under test comes in between: the CRF
of the net's probabilities on the image, and the growing of seeds into it. The step without them is the same for all
rows, so it is measured once a round and the parts of each row are added. Beside wss stands the published design: its
CRF on the CPU, image after image, in two layers of a step (the boundary loss's and the growing one's own), and its
growing layer in Python (in one process here; the authors spread images over processes). The net's weights are random,
which costs the same; what the CRF and growing work on follows the true masks, blurred and disturbed. On a CUDA device,
where there is one, the same with the dense CRF and batched growing on the device, in float32 and in bfloat16.
"""

from __future__ import annotations

import argparse
import os
import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import torch
from common import REAL

from wsscli.classes import ClassTable
from wsscli.data.images import read_image
from wsscli.data.voc import VOC_NAMES
from wsscli.grow.batched import grow_batch
from wsscli.losses.boundary import boundary
from wsscli.losses.seeding import balanced_seeding
from wsscli.maskdir.png import read_mask
from wsscli.nets.segmenter import DeepLab
from wsscli.refine.crf import dense_crf
from wsscli.refine.grid import grid_crf
from wsscli.train.optimiser import build_optimiser
from wsscli.train.settings import Settings

HERE = Path(__file__).resolve().parent
LAYER = runpy.run_path(str(HERE.parent / "tests/grow/literal.py"))["layer"]
SIDE, STRIDE, GRID = 321, 8, 41
ASKED = {"cpu": 0.20, "cuda": 0.10}


class Batch(NamedTuple):
    images: torch.Tensor  # uint8 (N,3,321,321)
    probabilities: torch.Tensor  # float32 (N,21,41,41)
    seeds: torch.Tensor  # uint8 (N,41,41)
    labels: torch.Tensor  # bool (N,21)

    def to(self, device: str) -> Batch:
        return Batch(*(t.to(device) for t in self))


def generated(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo-like image with two objects, and its truth."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((SIDE, SIDE), np.uint8)
    for c in rng.choice(np.arange(1, 21), 2, replace=False):
        centre = (int(rng.integers(80, 240)), int(rng.integers(80, 240)))
        cv2.ellipse(truth, centre, (80, 50), int(rng.integers(180)), 0, 360, int(c), -1)
    image = rng.uniform(20, 230, (21, 3))[truth] + rng.normal(0, 12, (SIDE, SIDE, 3))
    return image.clip(0, 255).astype(np.uint8), truth


def make_batch(data: Path, size: int) -> Batch:
    """Photos warped to the net's input, what a net that is right most of the time says, seeds on a third of it."""
    files = sorted((data / "SegmentationClass").glob("*.png")) if data.exists() else []
    pairs = [
        (read_image(data / f"JPEGImages/{f.stem}.jpg"), read_mask(f)) for f in files[:: max(1, len(files) // size)]
    ]
    pairs = pairs[:size] if len(pairs) >= size else [generated(k) for k in range(size)]
    images = np.stack([cv2.resize(image, (SIDE, SIDE)) for image, _ in pairs]).transpose(0, 3, 1, 2)
    truths = [cv2.resize(mask, (GRID, GRID), interpolation=cv2.INTER_NEAREST) for _, mask in pairs]
    logits = np.empty((size, 21, GRID, GRID), np.float32)
    seeds = np.full((size, GRID, GRID), 255, np.uint8)
    labels = np.zeros((size, 21), bool)
    for n, truth in enumerate(truths):
        rng = np.random.default_rng(n)
        labels[n, [0, *(set(np.unique(truth).tolist()) - {255})]] = True
        for c in range(21):
            disturbed = cv2.GaussianBlur(rng.normal(0, 1, truth.shape).astype(np.float32), (0, 0), 2.5) * 8
            logits[n, c] = (
                cv2.GaussianBlur(np.float32(truth == c), (0, 0), 1.5) * 6 + disturbed - 3 * (not labels[n, c])
            )
        kept = cv2.GaussianBlur(rng.normal(0, 1, truth.shape), (0, 0), 2)
        seeds[n] = np.where(kept > np.quantile(kept, 0.65), truth, 255)
    return Batch(
        torch.from_numpy(np.ascontiguousarray(images)),
        torch.from_numpy(logits).softmax(1),
        torch.from_numpy(seeds),
        torch.from_numpy(labels),
    )


Crf = Callable[[Batch], torch.Tensor]
Grow = Callable[[Batch, torch.Tensor], torch.Tensor]


def on_grid(images: torch.Tensor) -> torch.Tensor:
    return images[..., ::STRIDE, ::STRIDE]


def wss_crf(engine: str, workers: int | None = None) -> Crf:
    return lambda batch: grid_crf(on_grid(batch.images), batch.probabilities, engine=engine, workers=workers)


def wss_grow(batch: Batch, smooth: torch.Tensor) -> torch.Tensor:
    return grow_batch(batch.seeds, smooth, batch.labels)


def published_crf(batch: Batch) -> torch.Tensor:
    """Both of the original's layers: pydensecrf, one image after the other, on the CPU."""
    pixels = on_grid(batch.images).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    given = batch.probabilities.cpu().numpy()
    options = {"gauss_sxy": 3 / 12, "bilateral_sxy": 80 / 12}
    for _ in range(2):
        smooth = [dense_crf(i, p, engine="pydensecrf", **options) for i, p in zip(pixels, given, strict=True)]
    return torch.from_numpy(np.stack(smooth)).to(batch.probabilities.device)


def published_grow(batch: Batch, smooth: torch.Tensor) -> torch.Tensor:
    grown = [
        LAYER(seeds, h, range(21), labels=np.flatnonzero(labels).tolist())
        for seeds, h, labels in zip(*(t.cpu().numpy() for t in (batch.seeds, smooth, batch.labels)), strict=True)
    ]
    return torch.from_numpy(np.stack(grown)).to(batch.seeds.device)


class Step:
    """The training step around the CRF and growing."""

    def __init__(self, device: str, *, bf16: bool, hidden: int) -> None:
        self.net = (
            DeepLab.build("vgg16", ClassTable.of(VOC_NAMES), output_stride=STRIDE, hidden=hidden).to(device).train()
        )
        self.net = self.net.to(memory_format=torch.channels_last)
        fast = self.net.last
        self.optimizer = build_optimiser(
            self.net, Settings(1, 20, 1e-6, 5e-4, optimizer="sgd", head_lr=10.0, fast=fast)
        )
        self.device, self.bf16 = device, bf16

    def __call__(self, batch: Batch, smooth: torch.Tensor, supervision: torch.Tensor) -> None:
        images = self.net.backbone.normalise(batch.images).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            logits = self.net(images)
        logits = logits.float()
        assert logits.shape == smooth.shape, f"the net's grid is {tuple(logits.shape[2:])}"
        value = balanced_seeding(logits, supervision) + boundary(logits, smooth)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()


def seconds(call: Callable[[], object], device: str, times: int = 1) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(times):
        call()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / times


def measure(step: Step, batch: Batch, rows: dict[str, tuple[Crf, Grow]], rounds: int) -> list[str]:
    """Lines of the table for one device and precision."""
    device = step.device
    repeats = {"cpu": 1, "cuda": 20}[device]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    smooth = {name: crf(batch) for name, (crf, _) in rows.items()}  # compiles, and warms the device up
    supervision = {name: grow(batch, smooth[name]) for name, (_, grow) in rows.items()}
    first = next(iter(rows))
    step(batch, smooth[first], supervision[first])
    bare = []
    for _ in range(rounds):
        bare.append(seconds(lambda: step(batch, smooth[first], supervision[first]), device, repeats))
        for name, (crf, grow) in rows.items():
            slow = "published" in name
            parts = (
                seconds(lambda crf=crf: crf(batch), device, 1 if slow else max(3, repeats)),
                seconds(lambda grow=grow, q=smooth[name]: grow(batch, q), device, 1 if slow else max(3, repeats)),
            )
            found[name].append(parts)
    kind = f"{device.upper()}, {'bfloat16' if step.bf16 else 'float32'}"
    lines = []
    for name, parts in found.items():
        share = statistics.median((c + g) / (b + c + g) for b, (c, g) in zip(bare, parts, strict=True))
        crf_s, grow_s = (statistics.median(p[k] for p in parts) for k in (0, 1))
        whole = statistics.median(b + c + g for b, (c, g) in zip(bare, parts, strict=True))
        asked = "" if "published" in name or "for information" in name else f"at most {100 * ASKED[device]:.0f} %"
        lines.append(f"| {kind} | {name} | {crf_s:.4f} | {grow_s:.4f} | {whole:.3f} | {100 * share:.1f} % | {asked} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=1024)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    batch = make_batch(given.data, given.batch)
    try:
        import pydensecrf.densecrf  # noqa: F401

        published = {"published design: pydensecrf twice, growing in Python": (published_crf, published_grow)}
    except ImportError:
        published = {}
        print("pydensecrf is not installed (the extra [pydensecrf]): no rows of the published design.\n")

    threads = {k: (wss_crf("lattice", k), wss_grow) for k in sorted({1, cores})}
    on_cpu = {f"lattice, {k} thread{'s' * (k > 1)}; components": row for k, row in threads.items()}
    on_cpu |= {"dense matrix product; components (for information)": (wss_crf("dense"), wss_grow)} | published
    lines = measure(Step("cpu", bf16=False, hidden=given.hidden), batch, on_cpu, given.rounds)
    if torch.cuda.is_available():
        on_device = {"dense matrix product; batched growing": (wss_crf("dense"), wss_grow)} | published
        for bf16 in (False, True):
            step = Step("cuda", bf16=bf16, hidden=given.hidden)
            lines += measure(step, batch.to("cuda"), on_device, given.rounds)
    else:
        lines.append("| CUDA | no CUDA device here: not measured | | | | | at most 10 % |")

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
    print(
        f"Batch {given.batch}, 10 iterations of the CRF, {int(batch.labels.sum(1).float().median())} classes taking part "
        f"(median), median of {given.rounds} rounds, {cores} cores, {where}.\n"
    )
    print("| net on | CRF; growing | CRF, s | growing, s | whole step, s | share of CRF and growing | asked |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    _print_agreement(batch, published)


def _print_agreement(batch: Batch, published: dict[str, tuple[Crf, Grow]]) -> None:
    lattice = wss_crf("lattice")(batch)
    compared = {"dense": wss_crf("dense")(batch)}
    if published:
        compared["pydensecrf"] = published_crf(batch)
    same = [f"{name} {100 * (q.argmax(1) == lattice.argmax(1)).float().mean():.2f} %" for name, q in compared.items()]
    print(f"\nPixels with the lattice's label: {', '.join(same)}.")


if __name__ == "__main__":
    main()
