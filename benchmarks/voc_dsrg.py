"""DSRG's table 2 and figure 4 in effect, on real photos: every arm, scored, in one resumable script.

    python benchmarks/voc_dsrg.py ../shared/data/voc [--lists ../shared/data/lists/sec] [--out runs/voc] [--seed 0] [--only ARM,...]

Goes on from voc_chain.py's classifier and seeds in OUT, or makes them. Arms are judged twice: the supervision they
train on, against train masks, per epoch (supervision.csv); the nets, on val (results.csv), without a CRF at test but
for the last rows. A row is written as its arm ends and skipped when it is there. True masks enter no weak arm.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

import numpy as np
from rows import append, has
from voc_chain import CLASSES, Chain

from wsscli.data.voc import VOC_NAMES
from wsscli.evaluate.summary import summarise

CHOSEN = [0 if name == "background" else VOC_NAMES.index(name) + 1 for name in CLASSES.split(",")]
GROW = "--loss balanced-seed --grow"
ARMS = {
    "plain": ("plain seeding", "--loss seed"),
    "balanced": ("balanced seeding", "--loss balanced-seed"),
    "grow": ("balanced seeding + growing", GROW),
    "foreground": ("growing, foreground only", f"{GROW} --theta-bg inf"),
    "background": ("growing, background only", f"{GROW} --theta-fg inf"),
    "log": ("growing, CRF of -log p", f"{GROW} --crf-unary log-probability"),
    "code": ("growing as the authors' code", f"{GROW} --original-quirks --crf-grad dsrg"),
}
CRF = "--bilateral-compat 5"  # a net's probabilities are surer than heatmaps: half the weight, found on train masks
# The second training, weak and full alike: sizes and length of a training on masks, foreground and background of an image
# weighing alike (on 149 held-back train photos more of the persons were found than with cross-entropy: 0.643 to 0.639).
AGAIN = "--loss balanced-seed --boundary 0 --epochs 8 --size 500 --scale-range 0.5,1.25 --loss-step 2"
TEST = "--flip"  # arms that differ in the supervision alone are compared without a CRF


def supervision(run: str, net: Path, seed: int, command: str) -> None:
    """Append the rows of an arm's epochs, the seeds as epoch 0, unless they are there."""
    if has("supervision.csv", run=run, seed=seed):
        return
    log = [json.loads(line) for line in (net / "log.jsonl").read_text().splitlines()]
    epochs = [row for row in log if row["event"] == "epoch"]
    matrices = [(0, epochs[0]["seeds"]["confusion"])]
    matrices += [(row["epoch"], row["supervision"]["confusion"]) for row in epochs]
    for epoch, matrix in matrices:
        found = summarise(np.array(matrix), classes=CHOSEN)
        numbers = {
            "precision": found.mean_precision, "recall": found.mean_recall, "iou": found.miou,
            "coverage": found.coverage, "foreground_precision": found.foreground_precision,
            "foreground_recall": found.foreground_recall, "background_precision": found.background_precision,
        }  # fmt: skip
        row = {name: round(value, 4) for name, value in numbers.items()}
        append("supervision.csv", {"run": run, "seed": seed, "epoch": epoch, "command": command, **row})


class Dsrg:
    """The arms on one kind of seeds."""

    def __init__(self, chain: Chain, kind: str, seeds: str):
        self.chain, self.kind, self.seeds = chain, kind, seeds
        self.suffix = f"-s{chain.seed}" if chain.seed else ""

    def arm(self, key: str) -> str:
        """Train an arm on the seeds; its supervision and its val figure."""
        title, options = ARMS[key]
        name, run = f"dsrg-{self.kind}-{key}{self.suffix}", f"{title}, {self.kind} seeds"
        out = self.chain.out
        line = f"train-seg {out}/{self.seeds} {options} --init {out}/cls --watch-supervision truth"
        net = self.chain.step(name, line)
        command = shlex.join(["wss", *shlex.split(line), "--seed", str(self.chain.seed), "-o", str(net)])
        supervision(run, net, self.chain.seed, command)
        self.chain.step(f"{name}-val", f"predict {net} --split val {TEST}")
        self.chain.score(run, f"{name}-val", "val")
        return name

    def retrain(self) -> None:
        """The net's masks of the train photos, and the net trained on them."""
        net, out = self.chain.out / self.arm("grow"), self.chain.out
        pseudo, again = f"{net.name}-pseudo", f"{net.name}-retrain"
        sizes = "--scales 0.75,1,1.25 --flip --labels-only"
        self.chain.step(f"{net.name}-probs", f"predict {net} --split train {sizes} --scores --no-masks")
        self.chain.step(pseudo, f"crf {net}-probs {CRF}")
        self.chain.score(f"masks for retraining, {self.kind} seeds", pseudo, "train")
        self.chain.step(again, f"train-seg {out}/{pseudo} {AGAIN} --init {net}")
        self.tested(again, f"+ retraining, {self.kind} seeds")

    def tested(self, name: str, run: str) -> None:
        """A net's val figures as it is and with the CRF at test."""
        out = self.chain.out
        self.chain.step(f"{name}-val", f"predict {out}/{name} --split val --scales 0.75,1 --flip --scores")
        self.chain.score(run, f"{name}-val", "val")
        self.chain.step(f"{name}-val-crf", f"crf {out}/{name}-val --read scores {CRF}")
        self.chain.score(f"{run}, CRF at test", f"{name}-val-crf", "val")

    def full(self) -> None:
        """The upper figure: true masks, trained as often: once from the classifier, and once more from there."""
        out = self.chain.out
        self.chain.step("full-again" + self.suffix, f"train-seg {out}/truth {AGAIN} --init {out}/full")
        self.tested("full-again" + self.suffix, "true masks, trained twice")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--lists", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/voc"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join([*ARMS, "retrain", "full"]))
    parser.add_argument("--seeds", default="our,SEC", help="which seeds: our, SEC")
    given = parser.parse_args()
    chain = Chain(given.data, given.out, given.seed)
    chosen = given.only.split(",")
    kinds = {"our": "seeds", "SEC": "sec-seeds"}
    for kind in given.seeds.split(","):
        if kind == "SEC":
            lists = given.lists or given.data.parent / "lists/sec"
            files = f"{lists}/localization_cues.pickle.gz --ids {lists}/input_list.txt"
            chain.step(kinds[kind], f"import sec-cues {files} --data {given.data} --split train")
        dsrg = Dsrg(chain, kind, kinds[kind])
        for key in ARMS:
            if key in chosen:
                dsrg.arm(key)
        if "retrain" in chosen:
            dsrg.retrain()
        if "full" in chosen and kind == "our":
            dsrg.full()
    s = f"-s{given.seed}" if given.seed else ""
    for kind in given.seeds.split(","):
        plain, balanced, grow = (f"dsrg-{kind}-{key}{s}" for key in ("plain", "balanced", "grow"))
        again = f"{grow}-retrain"
        for first, second in (
            (plain, balanced), (balanced, grow), (plain, grow), (grow, again), (again, "full-again" + s), ("seg", again),
        ):  # fmt: skip
            chain.interval(first, second)


if __name__ == "__main__":
    main()
