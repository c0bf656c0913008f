"""Tables of measured rows: a csv beside this file, one row appended as each run ends."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
FIELDS = {
    "results.csv": [
        "run", "seed", "split", "images", "miou", "foreground_precision", "foreground_recall", "foreground_coverage",
        "background_precision", "coverage", "ledger", "step_seconds", "date", "command",
    ],
    "supervision.csv": [
        "run", "seed", "epoch", "precision", "recall", "iou", "coverage", "foreground_precision", "foreground_recall",
        "background_precision", "command",
    ],
    "foreground.csv": ["run", "seed", "split", "images", "jaccard", "per_class", "ledger", "step_seconds", "date", "command"],
    "proposals.csv": [
        "run", "split", "images", "objects", "kept", "average_best_overlap", "recall_50", "recall_70", "step_seconds",
        "command",
    ],
    "detections.csv": [
        "run", "seed", "split", "images", "ap50", "ap70", "ap75", "ap50_voc07", "ap_coco", "ap50_coco", "ap75_coco",
        "protocol", "ledger", "step_seconds", "date", "command",
    ],
    "per_class.csv": ["run", "seed", "split", "images", "class", "iou", "command"],
    "intervals.csv": ["first", "second", "split", "difference", "low", "high", "resolved", "command"],
}  # fmt: skip

Row = dict[str, str]


def read(name: str) -> list[Row]:
    """The rows so far; none when the file is not there."""
    path = HERE / name
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def has(name: str, **values: object) -> bool:
    """Whether a row with these values is there."""
    return any(all(row[key] == str(value) for key, value in values.items()) for row in read(name))


def append(name: str, *rows: Mapping[str, object]) -> None:
    path = HERE / name
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS[name], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)
