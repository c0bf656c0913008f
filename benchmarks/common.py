"""What benchmarks share: whose photos, candidates in turn, ratios with their spread."""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from wsscli.data.dataset import Dataset, open_dataset
from wsscli.data.generated import write_generated

HERE = Path(__file__).resolve().parent
Key = TypeVar("Key")
REAL = Path(os.environ.get("WSS_TEST_DATA", HERE / "../../shared/data")) / "voc"


class Took(NamedTuple):
    """Seconds by the clock, and of all processors (other work on the machine disturbs them less)."""

    clock: float
    processor: float


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, help="a VOC devkit; ../shared/data/voc, or generated photos, when left out"
    )
    parser.add_argument("--split", default="train")


def data_set(given: argparse.Namespace, root: Path, images: int, size: tuple[int, int] = (375, 500)) -> Path:
    """The data set asked for, else the real photos, else generated ones (under `root`).

    Raises:
        SystemExit: the one asked for is not there.
    """
    if given.data is not None:
        if not given.data.exists():
            raise SystemExit(f"--data {given.data}: not there")
        return Path(given.data)
    if REAL.exists():
        return REAL
    return write_generated(root / "voc", images=images, val=2, size=size)


@contextmanager
def opened(given: argparse.Namespace, images: int) -> Iterator[Dataset]:
    """The same as an open data set; generated photos last as long as the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield open_dataset(data_set(given, Path(folder), images), split=given.split)


def name_of(data: Path, root: Path) -> str:
    """What the photos are, for the line above a table."""
    return "generated images" if data.is_relative_to(root) else "photos"


def by_log(out: Path) -> float:
    """Seconds of a step's last run, from the first image to the closed directory."""
    return float(json.loads((out / "log.jsonl").read_text().splitlines()[-1])["seconds"])


def took(call: Callable[[], object]) -> Took:
    """Time of a call; where it returns the seconds themselves, or a step's directory, the clock is theirs."""
    gc.collect()
    begun = time.perf_counter(), time.process_time()
    found = call()
    clock, processor = time.perf_counter() - begun[0], time.process_time() - begun[1]
    if isinstance(found, Path):
        clock = by_log(found)
    elif isinstance(found, float):
        clock = found
    return Took(clock, processor)


def in_turn(calls: Mapping[Key, Callable[[], object]], rounds: int, *, warm: bool = True) -> dict[Key, list[Took]]:
    """Time candidates in turn in every round, so that a busy moment of the machine meets all alike."""
    times: dict[Key, list[Took]] = {name: [] for name in calls}
    for turn in range(rounds + warm):
        for name, call in calls.items():
            found = took(call)
            if turn >= warm:
                times[name].append(found)
    return times


def ratios(slow: Sequence[Took], fast: Sequence[Took], part: int = 0) -> list[float]:
    """How many times as long the first takes, round by round."""
    return [a[part] / b[part] for a, b in zip(slow, fast, strict=True)]


def median(times: Sequence[Took], part: int = 0) -> float:
    return statistics.median(t[part] for t in times)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (least-most)`."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) < 2 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"
