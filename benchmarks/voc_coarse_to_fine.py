"""Coarse to fine on real photos: masks from coarse to refined, rounds with and without GrabCut, nets, in one resumable script.

    python benchmarks/voc_coarse_to_fine.py ../shared/data/voc [--out runs/voc] [--seed 0] [--rounds 5] [--only masks,rounds,plain,nets,foreground]

The train photos of one class alone take part (339 of 597, no person), so all is scored over background and five animals.
Masks of the steps are judged on these photos, an image without a mask as all background; nets on val. No true mask and no
label but an image's one class enters a training; GrabCut works at half the photo's size, from the mask itself, which was
chosen on the train photos (from its box, the paper's way, has a row too). Class-free foreground: DFPN and FPN on the same photos' class-free masks, judged
by Jaccard on val photos, per class of their image labels (Jing et al., table IV).
"""

from __future__ import annotations

import argparse
import json
import shlex
from datetime import date
from pathlib import Path

import numpy as np
from rows import append, has
from voc_chain import TEST, Chain, wss

from wsscli.data.dataset import open_dataset
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask

CLASSES = "background,cat,cow,dog,horse,sheep"
CUT = "--scale 0.5 --init mask"
CUTTING = "--grabcut-scale 0.5 --grabcut-init mask"
ROUND = f"{CUTTING} --watch truth"
FOLDERS = "cat,cow,dog,horse,person,sheep"
PLAIN = "--no-grabcut --watch truth"


class CoarseToFine(Chain):
    """The arms of one seed, scored on the images of one class."""

    classes = CLASSES

    def singles(self) -> Path:
        """Writes the ids of the train images of one class."""
        data = open_dataset(self.data, split="train")
        path = self.out / "c2f-singles.txt"
        path.write_text("".join(f"{name}\n" for name in data.ids if len(data.labels(name) or ()) == 1))
        return path

    def judge(self, run: str, name: str) -> None:
        """A row of masks of the train images."""
        self.score(
            run, name, "train", "--data", str(self.data), "--ids", str(self.singles()), "--missing", "background"
        )

    def masks(self) -> None:
        """The masks that the rounds begin with, and the boxes around them."""
        self.step("c2f-saliency", f"saliency --data {shlex.quote(str(self.data))} --split train")
        self.step("c2f-student", f"train-seg {self.out}/c2f-saliency --arch student")
        self.step("c2f-coarse", f"make-seeds --method foreground --model {self.out}/c2f-student")
        self.step("c2f-enhanced-box", f"grabcut {self.out}/c2f-coarse --scale 0.5")
        self.step("c2f-enhanced", f"grabcut {self.out}/c2f-coarse {CUT}")
        boxes(self.out / "c2f-enhanced", self.out / "c2f-boxes")
        self.judge("coarse to fine: coarse masks of the student", "c2f-coarse")
        self.judge("coarse to fine: boxes of the enhanced masks", "c2f-boxes")
        self.judge("coarse to fine: enhanced masks (GrabCut from the box)", "c2f-enhanced-box")
        self.judge("coarse to fine: enhanced masks (GrabCut from the mask)", "c2f-enhanced")

    def rounds(self, count: int, grabcut: bool) -> str:
        """All rounds; the masks of each."""
        name, what = ("c2f-rounds", "") if grabcut else ("c2f-rounds-plain", ", without GrabCut")
        last = self.step(name, f"refine-round {self.out}/c2f-enhanced --rounds {count} {ROUND if grabcut else PLAIN}")
        for k in range(1, count + 1):
            self.judge(f"coarse to fine: refined masks, round {k}{what}", f"{last.name}/round-{k}/refined")
            if grabcut:
                self.judge(f"coarse to fine: refined masks, round {k}, GrabCut", f"{last.name}/round-{k}")
        return name

    def foreground(self, count: int) -> None:
        """Foreground without classes: FPN beside DFPN, and DFPN's rounds."""
        self.step("c2f-fg", f"make-seeds --method foreground --model {self.out}/c2f-student --label-count none")
        self.step("c2f-fg-enhanced", f"grabcut {self.out}/c2f-fg --ids {self.singles()} {CUT}")
        masks = f"{self.out}/c2f-fg-enhanced"
        self.step(
            "c2f-fg-student-val",
            f"make-seeds --method foreground --model {self.out}/c2f-student --label-count none --split val",
        )
        self.jaccard("the student", "c2f-fg-student-val")
        self.step("c2f-fg-fpn", f"train-seg {masks} --arch fpn --foreground")
        self.step("c2f-fg-fpn-val", f"predict {self.out}/c2f-fg-fpn --split val {TEST}")
        self.jaccard("FPN, round 1", "c2f-fg-fpn-val")
        self.step("c2f-fg-rounds", f"refine-round {masks} --arch dfpn --foreground --rounds {count} {CUTTING}")
        for k in range(1, count + 1):
            self.step(f"c2f-fg-dfpn-{k}-val", f"predict {self.out}/c2f-fg-rounds/round-{k}/model --split val {TEST}")
            self.jaccard(f"DFPN, round {k}", f"c2f-fg-dfpn-{k}-val")
            self.interval(
                "c2f-fg-fpn" if k == 1 else "c2f-fg-dfpn-1", f"c2f-fg-dfpn-{k}", "--foreground", classes=FOLDERS
            )

    def jaccard(self, run: str, name: str) -> None:
        """A row of class-free masks of val, unless it is there."""
        if has("foreground.csv", run=run, seed=self.seed):
            return
        command = ["wss", "eval", str(self.out / name), "--split", "val", "--foreground", "--per-class", "--json"]
        found = json.loads(wss([*command, "--classes", FOLDERS]))["rows"][0]
        classes = (f"{c} {100 * part['jaccard']:.1f} ({part['images']:.0f})" for c, part in found["per_class"].items())
        append(
            "foreground.csv",
            {
                "run": run, "seed": self.seed, "split": "val", "images": found["images"], "jaccard": f"{found['jaccard']:.4f}",
                "per_class": ", ".join(classes), "ledger": " ".join(found["ledger"]), "step_seconds": self.times.get(name, ""),
                "date": date.today(), "command": shlex.join([*command, "--classes", FOLDERS]),
            },
        )  # fmt: skip

    def net(self, name: str, k: int) -> str:
        """A round's net on val."""
        net = f"c2f-net-{k}"
        self.step(f"{net}-val", f"predict {self.out}/{name}/round-{k}/model --split val {TEST}")
        self.score(f"coarse to fine: net of round {k}", f"{net}-val", "val")
        return net

    def full(self) -> str:
        """The upper figure: true masks of the same images, as many trainings of the same length."""
        start = "imagenet"
        for k in (1, 2):
            path = self.step(f"c2f-full-{k}", f"train-seg {self.out}/truth --ids {self.singles()} --init {start}")
            start = str(path)
        self.step("c2f-full-val", f"predict {start} --split val {TEST}")
        self.score("coarse to fine: net on true masks of the same images, trained twice", "c2f-full-val", "val")
        return "c2f-full"


def boxes(source: Path, out: Path) -> None:
    """Fill the smallest box around each class of each mask, as indexed PNGs."""
    folder = open_maskdir(source)
    for name in folder.ids:
        mask = folder.mask(name)
        filled = np.zeros_like(mask)
        for c in np.unique(mask[(mask != 0) & (mask != 255)]):
            rows, columns = np.nonzero(mask == c)
            filled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = c
        write_mask(out / f"{name}.png", filled)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/voc"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="masks,rounds,plain,nets,foreground")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chain, chosen = CoarseToFine(given.data, given.out, given.seed), given.only.split(",")
    chain.masks()
    if "rounds" in chosen:
        chain.rounds(given.rounds, grabcut=True)
    if "plain" in chosen:
        chain.rounds(given.rounds, grabcut=False)
    if "nets" in chosen:
        name = chain.rounds(given.rounds, grabcut=True)
        first, last = chain.net(name, 1), chain.net(name, given.rounds)
        chain.interval(first, last)
        chain.interval(last, chain.full())
    if "foreground" in chosen:
        chain.foreground(2)


if __name__ == "__main__":
    main()
