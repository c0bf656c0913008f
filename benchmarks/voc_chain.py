"""The CAM chain on real photos, scored: every figure of RESULTS.md's first table, in one resumable script.

    python benchmarks/voc_chain.py ../shared/data/voc [--out runs/voc] [--seed 0]

Steps are `wss` commands, so an interrupted run goes on where it stopped. Each scored result is a row of
benchmarks/results.csv, written as it ends and skipped when it is there. Nothing is tuned here: all options are
defaults, but that the segmentation nets start from the classifier and predict at two sizes and mirrored. Pseudo masks and seeds are judged on train, networks on val.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from rows import FIELDS, append, has

CLASSES = "background,cat,cow,dog,horse,person,sheep"  # the others are thin in this set
TEST = "--scales 0.75,1 --flip"


class Chain:
    """Runs commands, remembers how long they took, appends rows.

    Attributes:
        classes: what figures are means over.
    """

    classes = CLASSES

    def __init__(self, data: Path, out: Path, seed: int):
        self.data, self.out, self.seed = data, out, seed
        self.times_file = out / "seconds.json"
        self.times: dict[str, float] = json.loads(self.times_file.read_text()) if self.times_file.exists() else {}

    def step(self, name: str, line: str) -> Path:
        """Run `wss LINE -o OUT/name` unless it is complete; returns the directory."""
        target = self.out / name
        command = ["wss", *shlex.split(line), "--seed", str(self.seed), "-o", str(target)]
        print("+", shlex.join(command), file=sys.stderr, flush=True)
        begun = time.monotonic()
        # what an interrupted run has spent counts too
        wss(command)
        spent = time.monotonic() - begun
        if self.times.get(name, 0.0) == 0.0 or spent > 10:
            self.times[name] = round(self.times.get(name, 0.0) + spent, 1)
            self.times_file.write_text(json.dumps(self.times))
        return target

    def score(self, run: str, name: str, split: str, *options: str) -> None:
        """Append the row of one result, unless it is there."""
        self.record("results.csv", ("mIoU", "miou"), run, name, split, *options)

    def record(self, table: str, shown: tuple[str, str], run: str, name: str, split: str, *options: str) -> None:
        """Append what `wss eval` says of a directory to a table, unless it is there, and print one number by its name."""
        if has(table, run=run, seed=self.seed):
            return
        target = self.out / name
        command = ["wss", "eval", str(target), "--split", split, "--classes", self.classes, *options, "--json"]
        document = json.loads(wss(command))
        found = document["rows"][0]
        numbers = {key: round(found[key], 4) for key in FIELDS[table] if isinstance(found.get(key), float)}
        protocol = {"protocol": document.get("protocol", "")} if "protocol" in FIELDS[table] else {}
        append(
            table,
            {
                "run": run, "seed": self.seed, "split": split, "images": found["images"], **protocol,
                "ledger": " ".join(found["ledger"]), "step_seconds": self.times.get(name, ""), "date": date.today(),
                "command": shlex.join(command), **numbers,
            },
        )  # fmt: skip
        print(f"  {run}: {shown[0]} {found[shown[1]]:.4f}", file=sys.stderr, flush=True)

    def interval(self, first: str, second: str, *options: str, classes: str | None = None) -> None:
        """Append the paired bootstrap interval over the val photos between two nets, unless it is there."""
        both = [str(self.out / ("val" if name == "seg" else f"{name}-val")) for name in (first, second)]  # seg's is val
        there = has("intervals.csv", first=first, second=second)
        if there or not all(Path(path, "wss.json").exists() for path in both):
            return
        judged = ["--classes", classes or self.classes, *options]
        command = ["wss", "eval", *both, "--split", "val", *judged, "--bootstrap", "--json"]
        found = json.loads(wss(command))["comparisons"][0]
        append(
            "intervals.csv",
            {
                "first": first, "second": second, "split": "val", "resolved": "yes" if found["resolved"] else "no",
                "command": shlex.join(command), **{key: f"{found[key]:+.4f}" for key in ("difference", "low", "high")},
            },
        )  # fmt: skip


def wss(command: list[str]) -> str:
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(
        [sys.executable, "-m", "wsscli", *command[1:]], check=True, stdout=subprocess.PIPE, text=True, env=environment
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/voc"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    chain = Chain(given.data, given.out, given.seed)
    data = f"--data {shlex.quote(str(given.data))}"

    chain.step("cls", f"train-cls {data} --split train")
    chain.step("seeds", f"make-seeds --method cam --model {chain.out}/cls")
    chain.score("hard seeds", "seeds", "train")
    chain.step("cam", f"argmax {chain.out}/seeds")
    chain.score("CAM masks", "cam", "train")
    chain.step("crf", f"crf {chain.out}/seeds")
    chain.score("CAM + CRF masks", "crf", "train")
    net = f"--init {chain.out}/cls"  # goes on from the classifier's weights
    chain.step("seg", f"train-seg {chain.out}/crf {net}")
    chain.step("val", f"predict {chain.out}/seg --split val {TEST}")
    chain.score("net on CRF masks", "val", "val")
    # the upper figure: same net, start, schedule and images, on the true masks
    truth = f"import masks {given.data}/SegmentationClass {data} --split train"
    images = len((given.data / "ImageSets/Segmentation/train.txt").read_text().split())
    chain.step("truth", f"{truth} --supervision masks:{images}")
    chain.step("full", f"train-seg {chain.out}/truth {net}")
    chain.step("full-val", f"predict {chain.out}/full --split val {TEST}")
    chain.score("net on true masks", "full-val", "val")
    chain.step("probs", f"predict {chain.out}/seg --split train --scores")
    chain.score("net on CRF masks, on its train photos", "probs", "train")
    chain.step("grown", f"grow {chain.out}/seeds --scores {chain.out}/probs")
    chain.score("seeds grown into the net's scores", "grown", "train")
    chain.step("grabcut", f"grabcut {chain.out}/cam")
    chain.score("CAM + GrabCut masks", "grabcut", "train")
    print(f"seconds: {chain.times}, together {sum(chain.times.values()):.0f}", file=sys.stderr)


if __name__ == "__main__":
    main()
