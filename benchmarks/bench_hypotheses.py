"""Hypotheses pooled from one shared feature map beside crops through the CNN: time, and how far they agree.

    python benchmarks/bench_hypotheses.py [--data ../shared/data/voc --split train] [--images 40] [--boxes 100]
        [--model runs/voc/hcp] [--proposals runs/voc/proposals]

The boxes are the best of `wss propose`'s (made here without --proposals). Without --model the net is lite0 with ImageNet's
classifier, whose 1000 classes take the place of a data set's: nothing is trained, and both ways have the same weights. A
model was trained in one of the two ways, which favours it. Same class: the share of boxes with the same best class; of the
sure ones: of those to which crops give a score above 0.5. One process, one thread; medians over the images.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import add_data, opened

from wsscli.classes import ClassTable
from wsscli.data.dataset import Dataset
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.methods import resolve
from wsscli.nets.hcp import HCP, score_hypotheses
from wsscli.nets.store import load_model
from wsscli.nets.weights import lite0_classifier


def imagenet(size: int) -> HCP:
    """ImageNet's own classifier as one of hypotheses."""
    weight, bias = lite0_classifier()
    net = HCP.build("lite0", ClassTable.of(["thing"]), init="imagenet", size=size)
    net.classifier = torch.nn.Linear(*weight.shape[::-1])  # a class table has no room for 1000
    net.classifier.load_state_dict({"weight": weight, "bias": bias})
    return net.eval().to(memory_format=torch.channels_last)


def boxes_of(source: Path | None, name: str, photo: np.ndarray, count: int) -> np.ndarray:
    """(n,4), the best first."""
    if source is not None:
        return open_maskdir(source, need="proposals").proposals(name).first(count).boxes
    from wsscli.maskdir.proposals import ProposalSet

    return ProposalSet(*resolve("hierarchical")(photo, count=count)).boxes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data(parser)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--size", type=int, default=257, help="side of the square, of ImageNet's net")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--proposals", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    net = imagenet(given.size) if given.model is None else load_model(given.model, arch="hcp")
    assert isinstance(net, HCP)
    with opened(given, given.images) as dataset:
        report(net, dataset, given)


def report(net: HCP, dataset: Dataset, given: argparse.Namespace) -> None:
    seconds: dict[bool, list[float]] = {False: [], True: []}
    same, sure_same, cosines, spread = [], [], [], []
    for name in dataset.ids[:: max(1, len(dataset.ids) // given.images)][: given.images]:
        photo = dataset.image(name)
        boxes = boxes_of(given.proposals, name, photo, given.boxes)
        found = {}
        for crop in (False, True):
            begun = time.process_time()
            found[crop] = score_hypotheses(net, photo, boxes, crop=crop)
            seconds[crop].append(time.process_time() - begun)
        (pooled, one), (cropped, other) = found[False], found[True]
        agree = pooled.argmax(1) == cropped.argmax(1)
        same += agree.tolist()
        sure_same += agree[cropped.max(1) > 0.5].tolist()
        cosines += ((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)).tolist()
        best = int(cropped.max(0).argmax())  # the class that some crop is surest of
        if len(boxes) > 2:
            spread.append(float(np.corrcoef(pooled[:, best], cropped[:, best])[0, 1]))
    fast, slow = (statistics.median(seconds[crop]) for crop in (False, True))
    print("| | one shared map | a crop each |\n| --- | --- | --- |")
    print(f"| processor seconds an image, {given.boxes} boxes | {fast:.2f} | {slow:.2f} ({slow / fast:.0f} times) |")
    print(
        f"\n{len(seconds[True])} images, {net.backbone.name} at {net.size} pixels, output stride {net.backbone.stride}.\n"
    )
    print("| agreement of the two | |\n| --- | --- |")
    print(f"| same class of {net.classifier.out_features} | {np.mean(same):.3f} of {len(same)} boxes |")
    sure = f"{np.mean(sure_same):.3f} of {len(sure_same)} boxes" if sure_same else "crops are sure of none"
    print(f"| same class, of the sure ones | {sure} |")
    print(f"| correlation of the best class's scores over an image's boxes, median | {np.nanmedian(spread):.2f} |")
    print(f"| cosine of the features, mean | {np.mean(cosines):.2f} |")


if __name__ == "__main__":
    main()
