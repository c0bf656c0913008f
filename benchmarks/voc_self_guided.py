"""The self-guided method's table 1 and algorithm 1 on real photos, scored, in one resumable script.

    python benchmarks/voc_self_guided.py ../shared/data/voc [--out runs/voc] [--seed 0] [--only table,nets]

Goes on from voc_chain.py's classifier in OUT, or makes it: from ImageNet alone eight epochs leave the localization maps
weak. Labels of every stage are judged on train, without and with a CRF on them; nets on val, without and with the CRF at
test. A row is written as its arm ends and skipped when it is there. True masks enter no arm.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from voc_chain import TEST, Chain

# The paper's table 1: name -> (what it is, options of make-seeds)
LABELS = {
    "A": ("localization maps A", "--stop-at A"),
    "R": ("R, after the random walk", "--stop-at R"),
    "G1-no-affinity": ("G of A, 1 iteration", "--no-affinity --iterations 1"),
    "G1": ("G of R, 1 iteration", "--iterations 1"),
    "G15-no-affinity": ("G of A, 15 iterations", "--no-affinity"),
    "G15": ("G of R, 15 iterations", ""),
}
CRF = "--read scores --bilateral-compat 5"  # at test: a net's probabilities are surer than heatmaps


class SelfGuided:
    """The arms of one seed."""

    def __init__(self, chain: Chain):
        self.chain = chain
        self.suffix = f"-s{chain.seed}" if chain.seed else ""

    def path(self, name: str) -> str:
        return str(self.chain.out / self.name(name))

    def name(self, name: str) -> str:
        return f"sg-{name}{self.suffix}"

    def classifier(self, alternation: int, start: str) -> None:
        data = shlex.quote(str(self.chain.data))
        self.chain.step(
            self.name(f"cls{alternation}"), f"train-cls --arch self-guided --data {data} --split train {start}"
        )

    def labels(self, stage: str, alternation: int = 1) -> str:
        """Make and judge one row of the table, without and with a CRF."""
        title, options = LABELS[stage]
        name = stage if alternation == 1 else f"{stage}-again"
        run = f"self-guided labels: {title}" + (", 2nd alternation" if alternation > 1 else "")
        model = self.path(f"cls{alternation}")
        self.chain.step(self.name(name), f"make-seeds --method self-guided --model {model} {options}")
        self.chain.score(run, self.name(name), "train")
        self.chain.step(self.name(f"{name}-crf"), f"crf {self.path(name)} --read masks")
        self.chain.score(f"{run}, CRF", self.name(f"{name}-crf"), "train")
        return name

    def net(self, stage: str, alternation: int = 1) -> str:
        """Train the segmentation net on labels; its val figures without and with the CRF at test."""
        labels = self.labels(stage, alternation)
        title = f"self-guided net on {LABELS[stage][0]}" + (", 2nd alternation" if alternation > 1 else "")
        net = f"seg{alternation}-{labels}"
        start = self.path(f"cls{alternation}")
        self.chain.step(self.name(net), f"train-seg {self.path(labels)} --loss ce --init {start}")
        self.chain.step(self.name(f"{net}-val"), f"predict {self.path(net)} --split val {TEST} --scores")
        self.chain.score(title, self.name(f"{net}-val"), "val")
        self.chain.step(self.name(f"{net}-val-crf"), f"crf {self.path(f'{net}-val')} {CRF}")
        self.chain.score(f"{title}, CRF at test", self.name(f"{net}-val-crf"), "val")
        return self.name(net)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/voc"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="table,nets")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    arms = SelfGuided(Chain(given.data, given.out, given.seed))
    arms.chain.step("cls", f"train-cls --data {shlex.quote(str(given.data))} --split train")
    arms.classifier(1, f"--init {given.out}/cls")
    if "table" in given.only.split(","):
        for stage in LABELS:
            arms.labels(stage)
    if "nets" in given.only.split(","):
        # without the random walk labels are better on train, so the second alternation follows from there
        last, first, walked = arms.net("G15-no-affinity"), arms.net("A"), arms.net("G15")
        arms.classifier(2, f"--init {arms.chain.out / last},{arms.path('cls1')}")
        again = arms.net("G15-no-affinity", 2)
        for one, other in ((first, last), (walked, last), (last, again), (first, again)):
            arms.chain.interval(one, other)


if __name__ == "__main__":
    main()
