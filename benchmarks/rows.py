"""Tables of measured rows: a csv beside this file, one row appended as each run ends."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from datetime import date
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
    "speed.csv": [
        "step", "device", "images", "images_per_second", "alternative", "alternative_per_second", "ratio", "ratio_low",
        "ratio_high", "ratio_processor", "of_bare", "scaling", "scaling_low", "scaling_high", "scaling_asked", "date", "command",
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


def put(name: str, keys: tuple[str, ...], *rows: Mapping[str, object]) -> None:
    """Rows in the place of those that have the same values of these keys; new ones at the end.

    What a row does not say stays as it was there: some columns are measured by another script.
    """
    old = read(name)
    known = {tuple(row[key] for key in keys): row for row in old}
    new = [
        {key: str(row.get(key, known.get(tuple(str(row[k]) for k in keys), {}).get(key, ""))) for key in FIELDS[name]}
        for row in rows
    ]
    replaced = {tuple(row[key] for key in keys) for row in new}
    place = next((i for i, row in enumerate(old) if tuple(row[key] for key in keys) in replaced), len(old))
    kept = [
        [row for row in part if tuple(row[key] for key in keys) not in replaced] for part in (old[:place], old[place:])
    ]
    with (HERE / name).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS[name], lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept[0], *new, *kept[1]])


def note(name: str, found: Mapping[str, str], **values: str) -> None:
    """Set values of the rows that have those of `found`; a new row when there is none."""
    rows = [row for row in read(name) if all(row[key] == value for key, value in found.items())]
    put(name, tuple(found), *[{**row, **values} for row in rows or [dict(found)]])


def put_speed(*lines: Mapping[str, object]) -> None:
    """Lines of speed.csv, with the day and the command of the script that is running."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    put("speed.csv", ("step", "device"), *({**line, "date": date.today(), "command": command} for line in lines))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
