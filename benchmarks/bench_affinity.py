"""What the targets of the affinity loss do: equation 4 as written, rows of both normalised, and |W - M|.

    python benchmarks/bench_affinity.py [--data ../shared/data/voc] [--photos 4] [--steps 20] [--size 50]

The three affinity features of lite0's early stage are trained alone, from the paper's start (weights N(0, 0.01)), by
SGD with the paper's rate for new layers (0.01, momentum 0.9). Before: the mean size of the loss's gradient by the
features. After: how W follows the photo's colours M, over all pairs of pixels. Without the real photos generated ones take
their place. Time and memory are of the loss and its gradient for 16 images.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from bench_crf import photos
from common import REAL
from torch.nn import functional as F

from wsscli.classes import ClassTable
from wsscli.losses.affinity import affinity_loss, colour_similarity, feature_affinity
from wsscli.nets.self_guided import SelfGuided

TARGETS = ("paper", "row-norm", "w")


def follows(features: torch.Tensor, images: torch.Tensor) -> tuple[float, float, float]:
    """Mean |W - M|, the correlation of W with M and the mean of W, over all pairs of pixels of all images."""
    w, m = feature_affinity(features).flatten().numpy(), colour_similarity(images).flatten().numpy()
    together = float(np.corrcoef(w, m)[0, 1]) if w.std() > 0 else 0.0
    return float(np.abs(w - m).mean()), together, float(w.mean())


def peak() -> float:
    """Highest resident memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cost(size: int, images: int) -> tuple[float, float]:
    """Seconds and MiB of one loss and its gradient."""
    features, colours = torch.randn(images, 3, size, size, requires_grad=True), torch.rand(images, 3, size, size)
    before = peak()
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        affinity_loss(features, colours).backward()
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)[1], peak() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=50)
    given = parser.parse_args()
    costs = {
        (size, n): cost(size, n) for size in (32, given.size) for n in (1, 16)
    }  # before anything else takes memory
    torch.manual_seed(0)
    net = SelfGuided.build("lite0", ClassTable.of(["thing"]), init="imagenet", affinity_size=given.size).eval()
    squares = [torch.from_numpy(photo).permute(2, 0, 1)[None] for photo, _ in photos(given.data, given.photos)]
    images = torch.cat([F.interpolate(p.float(), (321, 321), mode="area") for p in squares])
    small = F.interpolate(images, (given.size, given.size), mode="area")
    with torch.no_grad():
        _, early = net.backbone.with_early(net.backbone.normalise(images.byte()))
        early = F.interpolate(early, (given.size, given.size), mode="bilinear", align_corners=False)
    start = {name: value.clone() for name, value in net.aggregate.state_dict().items()}
    head = ["target", "gradient by F before"]
    head += [
        f"{what} {when}"
        for what in ("mean abs(W - M)", "correlation of W and M", "mean W")
        for when in ("before", "after")
    ]
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for target in TARGETS:
        net.aggregate.load_state_dict(start)
        optimiser = torch.optim.SGD(net.aggregate.parameters(), lr=0.01, momentum=0.9)
        features = net.aggregate(early).detach().requires_grad_()
        affinity_loss(features, small, target).backward()
        assert features.grad is not None
        size = features.grad.abs().mean().item()
        before = follows(features.detach(), small)
        for _ in range(given.steps):
            optimiser.zero_grad()
            affinity_loss(net.aggregate(early), small, target).backward()
            optimiser.step()
        with torch.no_grad():
            after = follows(net.aggregate(early), small)
        numbers = [f"{size:.1e}", *(f"{part[i]:.3f}" for i in range(3) for part in (before, after))]
        print(f"| `{target}` | {' | '.join(numbers)} |")
    print(f"\n{len(squares)} photos at {given.size} x {given.size}, {given.steps} steps.\n")
    print("| grid | images | seconds | MiB above the start |")
    print("| --- | --- | --- | --- |")
    for (grid, n), (seconds, memory) in costs.items():
        print(f"| {grid} x {grid} | {n} | {seconds:.2f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
