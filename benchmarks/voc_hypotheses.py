"""Hypotheses on real photos: proposals, labels with and without cross-image refinement, networks A and B, in one resumable script.

    python benchmarks/voc_hypotheses.py ../shared/data/voc [--out runs/voc] [--seed 0] [--only proposals,labels,nets]

Goes on from voc_chain.py's classifier in OUT, or makes it: all segmentation nets start from it, as those of the other chains do. The net
of the hypotheses starts from ImageNet. Labels are judged on train; nets on val over background and five animals, since no train
photo shows a person alone, and those of all images over the person, too. A row is written as its arm ends and skipped when it is
there. True masks enter no arm.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
from pathlib import Path

from rows import append, has
from voc_chain import CLASSES, TEST, Chain, wss

from wsscli.data.dataset import open_dataset

ANIMALS = "background,cat,cow,dog,horse,sheep"
# name -> (what it is, options of make-seeds)
ARMS = {
    "nearest": ("cross-image refinement, nearest half", ""),
    "farthest": ("cross-image refinement, farthest half", "--keep farthest"),
    "plain": ("without cross-image refinement", "--no-cross-image"),
    "refined": ("rough masks from the nearest half alone", "--candidates refined"),
    "long-nearest": ("features of any length, nearest half", "--no-unit-features"),
    "long-farthest": ("features of any length, farthest half", "--no-unit-features --keep farthest"),
    "paper": ("paper's numbers", "--min-area 0 --joined 10 --no-normalise --no-unit-features"),
}


class Hypotheses(Chain):
    """The arms of one seed."""

    def proposals(self, split: str) -> str:
        name = f"hyp-proposals-{split}"
        self.step(name, f"propose --data {shlex.quote(str(self.data))} --split {split}")
        return str(self.out / name)

    def judge_proposals(self) -> None:
        """A row for each number of proposals kept."""
        run = "hierarchical"
        if has("proposals.csv", run=run, split="val"):
            return
        target = self.proposals("val")
        command = ["wss", "eval", target, "--proposals", "--split", "val", "--json"]
        found = json.loads(wss(command))
        keys = ("kept", "average_best_overlap", "recall_50", "recall_70")
        append(
            "proposals.csv",
            *(
                {
                    "run": run, "split": "val", "images": found["images"], "objects": found["objects"],
                    "step_seconds": self.times["hyp-proposals-val"], "command": shlex.join(command),
                    **{key: round(quality[key], 4) for key in keys},
                }
                for quality in found["rows"][0]["qualities"]
            ),
        )  # fmt: skip

    def hcp(self) -> str:
        data = shlex.quote(str(self.data))
        self.step("hyp-cls", f"train-cls --arch hcp --data {data} --split train --proposals {self.proposals('train')}")
        return str(self.out / "hyp-cls")

    def labels(self, arm: str) -> str:
        """Make and judge one arm's localization maps (their argmax) and rough masks."""
        title, options = ARMS[arm]
        name = f"hyp-{arm}"
        source = f"--model {self.hcp()} --proposals {self.proposals('train')}"
        self.step(name, f"make-seeds --method hypotheses {source} {options}")
        self.score(f"hypotheses: rough masks, {title}", name, "train")
        if arm != "refined":  # the same maps
            self.step(f"{name}-maps", f"argmax {self.out}/{name}")
            self.score(f"hypotheses: localization maps, {title}", f"{name}-maps", "train")
        return name

    def cut(self) -> Path:
        """As many ids as there are train images of one class, drawn from all."""
        data = open_dataset(self.data, split="train")
        singles = sum(len(data.labels(name) or ()) == 1 for name in data.ids)
        path = self.out / f"hyp-cut-{self.seed}.txt"
        chosen = sorted(random.Random(self.seed).sample(list(data.ids), singles))
        path.write_text("".join(f"{name}\n" for name in chosen))
        return path

    def per_class(self, names: list[str]) -> None:
        """A row for each net and class, as the paper's table 1."""
        if has("per_class.csv", run=names[0], seed=self.seed):
            return
        targets = [str(self.out / f"{name}-val") for name in names]
        command = ["wss", "eval", *targets, "--split", "val", "--classes", CLASSES, "--per-class", "--json"]
        append(
            "per_class.csv",
            *(
                {
                    "run": name, "seed": self.seed, "split": "val", "images": found["images"], "class": c,
                    "iou": round(found["per_class"][c]["iou"], 4), "command": shlex.join(command),
                }
                for name, found in zip(names, json.loads(wss(command))["rows"], strict=True)
                for c in CLASSES.split(",")
            ),
        )  # fmt: skip

    def net(self, kind: str, images: str) -> str:
        """Network A or B on all images, those of one class, or as many of all; its val figures."""
        labels = self.labels("nearest")
        net = f"hyp-{kind}-{images}"
        part = {"all": "", "single": "--label-count single", "cut": f"--ids {self.cut()}"}[images]
        loss = {"A": "soft", "B": "ce"}[kind]
        self.step(net, f"train-seg {self.out}/{labels} --loss {loss} {part} --init {self.out}/cls")
        self.step(f"{net}-val", f"predict {self.out}/{net} --split val {TEST}")
        title = f"hypotheses: network {kind}, " + {
            "all": "all images", "single": "images of one class", "cut": "as many images of all as there are of one class",
        }[images]  # fmt: skip
        self.score(title, f"{net}-val", "val")
        if images == "all":
            self.classes = CLASSES
            self.score(f"{title}, over the person too", f"{net}-val", "val")
            self.classes = ANIMALS
        return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/voc"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="proposals,labels,nets")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chain, chosen = Hypotheses(given.data, given.out, given.seed), given.only.split(",")
    if "proposals" in chosen:
        chain.judge_proposals()
    if "labels" in chosen:
        for arm in ARMS:
            chain.labels(arm)
    if "nets" in chosen:
        chain.step("cls", f"train-cls --data {shlex.quote(str(given.data))} --split train")
        chain.labels("nearest")
        chain.classes = ANIMALS
        nets = {(kind, images): chain.net(kind, images) for images in ("all", "single", "cut") for kind in "AB"}
        for images in ("all", "single", "cut"):
            chain.interval(nets["A", images], nets["B", images])
        for kind in "AB":
            for other in ("all", "cut"):
                chain.interval(nets[kind, "single"], nets[kind, other])
        chain.per_class(list(nets.values()))


if __name__ == "__main__":
    main()
