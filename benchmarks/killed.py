"""Kill every step at random moments (SIGKILL), run it again, and compare its output with an undisturbed run's.

    python benchmarks/killed.py [--kills 10] [--step crf] [--markdown]

On the generated tiny set, so minutes. Bytes must be equal; log.jsonl (times, host) is left out.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = {
    "train-cls": "train-cls --data {voc} --split train --backbone tiny --init none --epochs 6 --val-split none",
    "saliency": "saliency --data {voc} --split train",
    "make-seeds": "make-seeds --method cam --model {train-cls}",
    "argmax": "argmax {make-seeds}",
    "crf": "crf {make-seeds}",
    "grabcut": "grabcut {crf}",
    "guided-filter": "guided-filter {make-seeds}",
    "train-seg": "train-seg {crf} --backbone tiny --init none --epochs 6",
    "predict": "predict {train-seg} --split train --scores",
    "refine-round": "refine-round {crf} --rounds 2 --backbone tiny --first-init none --epochs 2 --label-count all "
    "--min-foreground 0 --max-foreground 1",
    "train-det": "train-det --data {voc} --split train --backbone tiny --init none --iterations 8 --crop-size 129",
    "detect": "detect {train-det} --split train",
    "grow": "grow {make-seeds} --scores {predict}",
    "propose": "propose --data {voc} --split train --count 100",
    "train-cls-hcp": "train-cls --arch hcp --data {voc} --split train --proposals {propose} --backbone tiny --init none "
    "--epochs 6 --val-split none",
    "hypotheses": "make-seeds --method hypotheses --model {train-cls-hcp} --proposals {propose}",
    "import masks": "import masks {voc}/SegmentationClass --data {voc} --split train",
    "export cam-npy": "export cam-npy {make-seeds} --schema irn",
    "import cam-npy": "import cam-npy {voc}/../export-cam-npy",
}
WSS = [sys.executable, "-m", "wsscli"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def files(root: Path) -> dict[str, bytes]:
    """Every file of a result by its name, but the log; where a directory names itself, it is called OUT."""
    found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != "log.jsonl"}
    return {
        name: data.replace(str(root).encode() + b"/", b"OUT/") if name.endswith("wss.json") else data
        for name, data in found.items()
    }


def launch(words: list[str], out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*WSS, *words, "-o", str(out)], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(words: list[str], out: Path) -> float:
    begun = time.monotonic()
    process = launch(words, out)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}\n{errors}")
    return time.monotonic() - begun


def torture(
    words: list[str], whole: Path, torn: Path, seconds: float, kills: int, rng: random.Random
) -> tuple[int, int]:
    """Kill a step at random moments of its whole length, one after the other; then let it end.

    Returns:
        How often it was killed while running, and how many of the kills found the output begun.
    """
    killed = begun = 0
    for _ in range(kills):
        process = launch(words, torn)
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
            begun += (torn / "journal.jsonl").exists()
        process.communicate()
        if (torn / "wss.json").exists() and '"complete": true' in (torn / "wss.json").read_text():
            subprocess.run(["rm", "-r", str(torn)], check=True)  # it was quicker than the kill: from the start again
    finish(words, torn)
    different = [
        name for name in files(whole).keys() | files(torn).keys() if files(whole).get(name) != files(torn).get(name)
    ]
    if different:
        raise SystemExit(f"{' '.join(words)}: differs after {killed} kills: {different[:5]}")
    return killed, begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--step", choices=STEPS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from wsscli.data.generated import write_generated

    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_generated(root / "voc", preset="tiny")
        places = {"voc": root / "voc"}
        print(
            "| step | seconds undisturbed | kills | of them with output begun | equal bytes |\n| --- | --- | --- | --- | --- |"
        )
        for step, line in STEPS.items():
            words = [word.format(**{k: str(v) for k, v in places.items()}) for word in line.split()]
            places[step] = root / step.replace(" ", "-")
            seconds = finish(words, places[step])
            if given.step and step not in given.step:
                continue
            killed, begun = torture(words, places[step], root / f"{places[step].name}-torn", seconds, given.kills, rng)
            print(f"| {step} | {seconds:.1f} | {killed} | {begun} | yes |", flush=True)


if __name__ == "__main__":
    main()
