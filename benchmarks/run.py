"""Run the benchmarks and write RESULTS.md: each table under the command that made it.

    python benchmarks/run.py [NAME ...] [--data DIR]      all of bench_*.py and killed.py, or those named; tables of the others stay

Ratios are taken side by side in one process; single times depend on the machine. Let nothing else run meanwhile. --data is
handed to those that look at photos; without it they take ../shared/data/voc where it is, else generated ones. README's table
of speed and the plots are made anew at the end (speed.py). What is not installed of the extra [bench] lacks in the tables.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import quality
import speed
from rows import read

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
HEAD = """# Results

Made by `python benchmarks/run.py`; each table names its command. Times are medians on a shared 2-core machine without a
GPU: trust ratios, not seconds. Quality figures come from `results.csv`, `supervision.csv` and `intervals.csv`, rows written as runs end.
"""
OPTIONS = {
    "predict": ["--images", "300", "--rounds", "3", "--record"],
    "seeds": ["--images", "24", "--record"],
    "dsrg": ["--rounds", "2"],
    "steps": ["--record"],
    "train": ["--record"],
}  # minutes, not half an hour
NET = Path("runs/voc/seg")  # of voc_chain.py: with a trained net most classes are left out early
if NET.exists():
    OPTIONS["predict"] += ["--model", str(NET)]
HCP, PROPOSALS = Path("runs/voc/hyp-cls"), Path("runs/voc/hyp-proposals-train")  # of voc_hypotheses.py
if HCP.exists() and PROPOSALS.exists():
    OPTIONS["hypotheses"] = ["--model", str(HCP), "--proposals", str(PROPOSALS)]
LIBRARIES = (
    "torch", "torchvision", "timm", "numpy", "opencv-python-headless", "numba", "Pillow", "scikit-image", "joblib",
    # the alternatives, where they are installed
    "pydensecrf2", "opencv-contrib-python-headless", "grad-cam", "torchmetrics", "scikit-learn",
)  # fmt: skip


def machine() -> str:
    """One line about what the numbers were taken on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*: (.*)", info.read_text())
        model = found.group(1) if found else model
    cores = len(os.sched_getaffinity(0))
    names = ", ".join(f"{name} {found}" for name in LIBRARIES if (found := installed(name)))
    return f"{date.today()}, {model}, {cores} cores, Python {platform.python_version()}, {names}"


def installed(name: str) -> str | None:
    """The version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def sections() -> dict[str, str]:
    """What RESULTS.md holds, by heading."""
    if not RESULTS.exists():
        return {}
    parts = re.split(r"^## (.*)\n", RESULTS.read_text(), flags=re.MULTILINE)[1:]
    return {title: text.strip() for title, text in zip(parts[::2], parts[1::2], strict=True)}


def run(script: Path, data: Path | None) -> str:
    """A benchmark's table under its command."""
    options = list(OPTIONS.get(script.stem.removeprefix("bench_"), []))
    text = script.read_text()
    if data is not None and ("add_data(" in text or '"--data"' in text):
        options += ["--data", str(data)]
    done = subprocess.run(
        [sys.executable, str(script), *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    if done.returncode:
        raise SystemExit(f"{script.name} failed")
    return f"`{' '.join(['python', f'benchmarks/{script.name}', *options])}`, {machine()}\n\n{done.stdout.strip()}"


def rewrite(new: dict[str, str]) -> None:
    """RESULTS.md with these sections in place of those that stand there."""
    found = sections() | new
    RESULTS.write_text(HEAD + "".join(f"\n## {title}\n\n{text}\n" for title, text in found.items()))


def main() -> None:
    scripts = {p.stem.removeprefix("bench_"): p for p in [*sorted(HERE.glob("bench_*.py")), HERE / "killed.py"]}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(scripts))
    parser.add_argument("--data", type=Path, help="a VOC devkit")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in scripts]
    if unknown:
        parser.error(f"no benchmark '{unknown[0]}'; there are {', '.join(scripts)}")
    rewrite(quality.sections())
    for name in given.names or scripts:
        print(f"+ {scripts[name].name}", file=sys.stderr, flush=True)
        rewrite({name: run(scripts[name], given.data)})  # at once: the next one may fail
    rewrite(speed.sections())
    speed.into_readme(read("speed.csv"))


if __name__ == "__main__":
    main()
