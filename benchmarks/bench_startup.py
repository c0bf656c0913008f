"""Start-up: `wss --help` and every `wss X --help`, as whole processes, and what they load.

    python benchmarks/bench_startup.py [--runs 7]

The budget is 0.25 s each, with none of torch, numpy, cv2, scipy and PIL loaded.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from wsscli.cli.completions import commands

PROBE = """
import sys
from wsscli.cli.app import main
sys.argv = ['wss', *{words!r}, '--help']
try:
    main()
except SystemExit:
    pass
print([m for m in ('torch', 'numpy', 'cv2', 'scipy', 'PIL') if m in sys.modules], file=sys.stderr)
"""


def seconds(command: list[str], runs: int) -> float:
    """Median wall-clock time of a command."""
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])  # the first one warms the disk cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    wss = Path(sys.executable).with_name("wss")
    print(f"python -c pass: {seconds([sys.executable, '-c', 'pass'], runs):.3f} s\n")
    print("| command | seconds | heavy modules loaded |\n| --- | --- | --- |")
    for words in [(), *(c.words for c in commands() if not c.below)]:
        taken = seconds([str(wss), *words, "--help"], runs)
        probe = [sys.executable, "-c", PROBE.format(words=words)]
        loaded = subprocess.run(probe, capture_output=True, text=True, check=True).stderr.strip().strip("[]")
        print(f"| wss {' '.join((*words, '--help'))} | {taken:.3f} | {loaded or 'none'} |", flush=True)


if __name__ == "__main__":
    main()
