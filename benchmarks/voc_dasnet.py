"""DASNet on real photos: many boxes and 5, 10, 25 or all masks a class, scored, in one resumable script.

    python benchmarks/voc_dasnet.py ../shared/data/voc [--out runs/voc] [--seed 0] [--only detector,5,10,25,all,instances]

A detector from the boxes of all train photos; then for each number of masks a DASNet, beside a plain DeepLab that starts from
ImageNet and learns from the same masks for as many iterations; both judged on val, and the DASNet with true boxes as well.
Objects are judged by AP^r on those that are alone of their class in their photo. A row is written as its arm ends and skipped
when it is there. All options are defaults.
"""

from __future__ import annotations

import argparse
import shlex
from itertools import pairwise
from pathlib import Path

from voc_chain import TEST, Chain

ITERATIONS = 300  # of train-seg --arch dasnet; the plain net gets as many
NUMBERS = ("5", "10", "25", "all")


class DASNet(Chain):
    """The arms of one seed."""

    def name(self, name: str) -> str:
        return f"das-{name}" + (f"-s{self.seed}" if self.seed else "")

    def path(self, name: str) -> Path:
        return self.out / self.name(name)

    def objects(self, run: str, name: str, *options: str) -> None:
        """Append the row of boxes or instances, unless it is there."""
        self.record("detections.csv", ("AP50", "ap50"), run, self.name(name), "val", *options)

    def detector(self) -> None:
        """Train it, and judge its boxes."""
        self.step(self.name("det"), f"train-det --data {shlex.quote(str(self.data))} --split train")
        self.step(self.name("boxes"), f"detect {self.path('det')} --split val")
        self.objects("detector", "boxes", "--detections")

    def arm(self, number: str) -> None:
        """So many masks a class: DASNet with detected and with true boxes, and the plain net."""
        what = f"{number} masks a class" if number != "all" else "all masks"
        source = f"{self.data}/SegmentationClass --data {shlex.quote(str(self.data))} --split train"
        masks = f"--masks-per-class {number}"
        net, plain = f"seg{number}", f"plain{number}"
        self.step(
            self.name(net),
            f"train-seg {source} --arch dasnet --detector {self.path('det')} {masks} --iterations {ITERATIONS}",
        )
        self.step(self.name(f"{net}-val"), f"predict {self.path(net)} --split val")
        self.score(f"DASNet, {what}", self.name(f"{net}-val"), "val")
        self.step(self.name(f"{net}-upper"), f"predict {self.path(net)} --split val --true-boxes")
        self.score(f"DASNet, {what}, true boxes", self.name(f"{net}-upper"), "val")
        self.step(self.name(plain), f"train-seg {source} {masks} --iterations {ITERATIONS}")
        self.step(self.name(f"{plain}-val"), f"predict {self.path(plain)} --split val {TEST}")
        self.score(f"plain DeepLab, {what}", self.name(f"{plain}-val"), "val")
        self.interval(self.name(plain), self.name(net))

    def instances(self) -> None:
        """One training for masks and objects on all masks; AP^r of the objects by both protocols."""
        source = f"{self.data}/SegmentationClass --data {shlex.quote(str(self.data))} --split train"
        for number in ("5", "all"):
            name = f"obj{number}"
            self.step(
                self.name(name),
                f"train-seg {source} --arch dasnet --detector {self.path('det')} --masks-per-class {number} --instances "
                f"--iterations {ITERATIONS}",
            )
            self.step(
                self.name(f"{name}-val"),
                f"detect {self.path('det')} --segment {self.path(name)} --instances --split val --most 50",
            )
            what = f"{number} masks a class" if number != "all" else "all masks"
            self.score(f"DASNet with instances, {what}", self.name(f"{name}-val"), "val")
            for protocol in ("sds", "fcis"):
                self.objects(f"instances, {what}, {protocol}", f"{name}-val", "--instances", "--protocol", protocol)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/voc"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(("detector", *NUMBERS, "instances")))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chain = DASNet(given.data, given.out, given.seed)
    wanted = given.only.split(",")
    chain.detector()
    for number in NUMBERS:
        if number in wanted:
            chain.arm(number)
    for first, second in pairwise(NUMBERS):
        if first in wanted and second in wanted:
            chain.interval(chain.name(f"seg{first}"), chain.name(f"seg{second}"))
    if "instances" in wanted:
        chain.instances()


if __name__ == "__main__":
    main()
