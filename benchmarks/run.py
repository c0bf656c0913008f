"""Run the benchmarks and write RESULTS.md: each table under the command that made it.

    python benchmarks/run.py [NAME ...]        all of bench_*.py and killed.py, or those named; tables of the others stay

Ratios are taken side by side in one process; single times depend on the machine. Let nothing else run meanwhile.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import quality

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
HEAD = """# Results

Made by `python benchmarks/run.py`; each table names its command. Times are medians on a shared 2-core machine without a
GPU: trust ratios, not seconds. Quality figures come from `results.csv`, `supervision.csv` and `intervals.csv`, rows written as runs end.
"""
OPTIONS = {
    "predict": ["--images", "300", "--rounds", "3"],
    "seeds": ["--images", "24"],
    "dsrg": ["--rounds", "2"],
}  # minutes, not half an hour
NET = Path("runs/voc/seg")  # of voc_chain.py: with a trained net most classes are left out early
if NET.exists():
    OPTIONS["predict"] += ["--model", str(NET)]
HCP, PROPOSALS = Path("runs/voc/hyp-cls"), Path("runs/voc/hyp-proposals-train")  # of voc_hypotheses.py
if HCP.exists() and PROPOSALS.exists():
    OPTIONS["hypotheses"] = ["--model", str(HCP), "--proposals", str(PROPOSALS)]
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "numba", "Pillow", "scikit-image")


def machine() -> str:
    """One line about what the numbers were taken on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*: (.*)", info.read_text())
        model = found.group(1) if found else model
    cores = len(os.sched_getaffinity(0))
    names = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{date.today()}, {model}, {cores} cores, Python {platform.python_version()}, {names}"


def sections() -> dict[str, str]:
    """What RESULTS.md holds, by heading."""
    if not RESULTS.exists():
        return {}
    parts = re.split(r"^## (.*)\n", RESULTS.read_text(), flags=re.MULTILINE)[1:]
    return {title: text.strip() for title, text in zip(parts[::2], parts[1::2], strict=True)}


def run(script: Path) -> str:
    """A benchmark's table under its command."""
    options = OPTIONS.get(script.stem.removeprefix("bench_"), [])
    done = subprocess.run(
        [sys.executable, str(script), *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    if done.returncode:
        raise SystemExit(f"{script.name} failed")
    return f"`{' '.join(['python', f'benchmarks/{script.name}', *options])}`, {machine()}\n\n{done.stdout.strip()}"


def main() -> None:
    named = sys.argv[1:]
    found = sections()
    found |= quality.sections()
    for script in [*sorted(HERE.glob("bench_*.py")), HERE / "killed.py"]:
        name = script.stem.removeprefix("bench_")
        if named and name not in named:
            continue
        print(f"+ {script.name}", file=sys.stderr, flush=True)
        found[name] = run(script)
    RESULTS.write_text(HEAD + "".join(f"\n## {title}\n\n{text}\n" for title, text in found.items()))


if __name__ == "__main__":
    main()
