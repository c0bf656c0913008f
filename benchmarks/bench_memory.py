"""Peak memory of every per-image step at 100 and at 700 images: it must not grow with their number.

    python benchmarks/bench_memory.py [--images 100,700] [--step crf]

On generated photos of 160x120. The figure is the peak resident size of the whole process; parallel workers keep at
most two images each in flight.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from killed import ENVIRONMENT, STEPS

PREPARE = dict.fromkeys(
    ("train-cls", "train-seg", "train-cls-hcp"), "--iterations 2"
)  # what the others need; not measured


def peak(words: list[str], out: Path) -> float:
    """Run a step; its peak resident size in MiB."""
    command = [sys.executable, "-m", "wsscli", *words, "-o", str(out)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)}: failed with status {status}")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default="100,700")
    parser.add_argument("--step", choices=STEPS, action="append")
    given = parser.parse_args()
    few, many = (int(n) for n in given.images.split(","))
    from wsscli.data.generated import write_generated

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_generated(root / "voc", images=many, val=2, size=(120, 160))
        places = {"voc": root / "voc"}
        print(f"| step | MiB at {few} images | MiB at {many} images | ratio |\n| --- | --- | --- | --- |")
        for step, line in STEPS.items():
            words = [word.format(**{k: str(v) for k, v in places.items()}) for word in line.split()]
            places[step] = root / step.replace(" ", "-")
            if step in PREPARE:
                words = [w for w in words if w not in ("--epochs", "6")] + PREPARE[step].split()
                peak(words, places[step])
                continue
            after = peak(words, places[step])
            if given.step and step not in given.step:
                continue
            before = peak([*words, "--limit", str(few)], root / f"{places[step].name}-few")
            print(f"| {step} | {before:.0f} | {after:.0f} | {after / before:.2f} |", flush=True)


if __name__ == "__main__":
    main()
