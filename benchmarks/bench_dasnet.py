"""What attention and assembling cost within a DASNet's forward pass.

    python benchmarks/bench_dasnet.py [--rounds 7] [--classes 1,3] [--boxes 4]

One photo of 320 x 320, random weights, one thread. The forward pass of masks: the detector's features and boxes, attention and
deconvolution for so many classes; of objects: the same features and boxes, then attention, deconvolution and assembling for so
many boxes. Parts are timed in the same round as the whole, and shares are medians over rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from wsscli.classes import ClassTable
from wsscli.data.voc import VOC_NAMES
from wsscli.nets.attention import attend
from wsscli.nets.dasnet import DASNet
from wsscli.nets.position_sensitive import assemble
from wsscli.nets.ssd import SSD


def seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def found(net: DASNet, image: torch.Tensor) -> list[torch.Tensor]:
    """The detector's features; its boxes are found on the way."""
    maps = net.maps(image)
    net.detector.detections(net.detector.found(maps), threshold=0.3)
    return maps


def of_classes(net: DASNet, image: torch.Tensor, boxes: torch.Tensor) -> tuple[float, float, float]:
    """Seconds of the forward pass for so many classes (count,2,4), of its attention, of its assembling."""
    maps = net.maps(image)
    count = len(boxes)
    return (
        seconds(lambda: net.of_class([m.expand(count, -1, -1, -1) for m in found(net, image)], boxes)),
        seconds(lambda: attend([m.expand(count, -1, -1, -1) for m in maps], boxes)),
        0.0,
    )


def of_boxes(net: DASNet, image: torch.Tensor, boxes: torch.Tensor) -> tuple[float, float, float]:
    """The same for the objects in so many boxes (count,4)."""
    count = len(boxes)
    shared = [m.expand(count, -1, -1, -1) for m in net.maps(image)]
    positions = net.segment.positions(net.segment.features(attend(shared, boxes[:, None])))
    return (
        seconds(lambda: net.of_box([m.expand(count, -1, -1, -1) for m in found(net, image)], boxes)),
        seconds(lambda: attend(shared, boxes[:, None])),
        seconds(lambda: assemble(positions, boxes[:, None])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--classes", default="1,3")
    parser.add_argument("--boxes", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| backbone | what | forward ms | attention | assembling |\n| --- | --- | --- | --- | --- |")
    for name in ("lite0", "vgg16"):
        net = DASNet(SSD.build(name, ClassTable.of(VOC_NAMES)), instances=True).eval()
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = torch.randn(1, 3, net.size, net.size).contiguous(memory_format=torch.channels_last)
        boxes = torch.rand(64, 2, 2).sort(1).values.flatten(1)  # x0, y0, x1, y1
        with torch.inference_mode():
            for count in map(int, given.classes.split(",")):
                some = boxes[: 2 * count].view(count, 2, 4)
                rows = [of_classes(net, image, some) for _ in range(given.rounds)]
                show(name, f"masks of {count} class{'es' * (count > 1)}", rows)
            rows = [of_boxes(net, image, boxes[: given.boxes]) for _ in range(given.rounds)]
            show(name, f"objects of {given.boxes} boxes", rows)


def show(name: str, what: str, rows: list[tuple[float, float, float]]) -> None:
    whole = statistics.median(row[0] for row in rows)
    shares = [statistics.median(row[k] / row[0] for row in rows) for k in (1, 2)]
    assembling = f"{100 * shares[1]:.1f} %" if shares[1] else "-"
    print(f"| {name} | {what} | {1000 * whole:.0f} | {100 * shares[0]:.1f} % | {assembling} |", flush=True)


if __name__ == "__main__":
    main()
