"""Detections of a set of images, `boxes.json`: COCO's results form, an entry a box."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import WssError
from wsscli.maskdir.manifest import Manifest, read_manifest
from wsscli.maskdir.shards import how_to_complete

BOXES = "boxes.json"
INSTANCES = "instances.json"
Entry = dict[str, Any]


class Detected(NamedTuple):
    """The boxes found in one image, in the order of the file.

    Attributes:
        boxes: float64 (n,4), corners x0, y0, x1, y1 in pixels of the photo, ends exclusive.
        labels: int64 (n,), class ids.
        scores: float64 (n,), in 0..1.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]


def entries_of(name: str, found: Detected) -> list[Entry]:
    """The boxes of an image as they stand in the file: to a hundredth of a pixel, scores to five digits.

    Args:
        name: the image's id, which is `image_id`.
        found: its boxes.
    """
    entries = []
    for (x0, y0, x1, y1), label, score in zip(found.boxes.tolist(), found.labels, found.scores.tolist(), strict=True):
        sides = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
        entries.append({"image_id": name, "category_id": int(label), "bbox": sides, "score": round(score, 5)})
    return entries


def write_entries(entries: Iterable[Entry]) -> bytes:
    """The file of entries: a JSON list with a line each."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    return f"[\n{lines}\n]\n".encode() if lines else b"[]\n"


def read_entries(path: Path, what: str, remedy: str) -> list[Any]:
    """What stands in a file in COCO's results form, entry by entry, not looked at.

    Raises:
        WssError: no list in it; `what` and `remedy` are the message's words.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise WssError(f"{path}: cannot be read as json ({error}); {remedy}") from error
    if not isinstance(content, list):
        raise WssError(f"{path}: no list of {what}, so not COCO's results form; give what `wss detect` wrote")
    return content


def read_boxes(path: Path, classes: int | None = None) -> dict[str, Detected]:
    """The boxes of every image that has any.

    Args:
        path: a file in COCO's results form.
        classes: category ids must be 1 to this - 1; not checked when None.

    Raises:
        WssError: not of that form, or an entry that cannot be a box.
    """
    found: dict[str, list[tuple[float, ...]]] = {}
    for number, entry in enumerate(read_entries(path, "detections", "write it again"), start=1):
        name, row = _row(entry, f"{path}: detection {number}", classes)
        found.setdefault(name, []).append(row)
    return {name: _arrays(rows) for name, rows in found.items()}


def _row(entry: Any, where: str, classes: int | None) -> tuple[str, tuple[float, ...]]:
    try:
        x, y, width, height = map(float, entry["bbox"])
        name, label, score = entry["image_id"], int(entry["category_id"]), float(entry["score"])
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise WssError(f"{where} lacks or garbles image_id, category_id, bbox or score ({error!r}); mend it") from error
    if not all(map(math.isfinite, (x, y, width, height, score))) or width <= 0 or height <= 0:
        raise WssError(f"{where} has the bbox {entry['bbox']} and the score {score:g}, which cannot be; mend it")
    if classes is not None and not 1 <= label < classes:
        raise WssError(
            f"{where} has the category {label}, but the class table ends at {classes - 1}; judge it with the classes "
            "of its data set"
        )
    return str(name), (x, y, x + width, y + height, label, score)


def _arrays(rows: list[tuple[float, ...]]) -> Detected:
    table = np.array(rows, np.float64)
    return Detected(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


@dataclass(frozen=True)
class DetectionDir:
    """Detections, open for reading.

    Attributes:
        path: as it was given: a directory of `wss detect`, or a file in COCO's results form.
        manifest: None for a file.
    """

    path: Path
    manifest: Manifest | None

    def boxes(self, classes: int | None = None) -> dict[str, Detected]:
        """See `read_boxes`."""
        return read_boxes(self.path if self.manifest is None else self.path / BOXES, classes)


def open_detections(path: Path) -> DetectionDir:
    """Open detections for reading.

    Args:
        path: a directory of `wss detect`, or a file in COCO's results form whose `image_id`s are wss's ids.

    Raises:
        WssError: nothing there, not complete, or of another kind.
    """
    if path.is_file():
        return DetectionDir(path, None)
    manifest = read_manifest(path) if path.is_dir() else None
    if manifest is None:
        raise WssError(f"{path}: no detections here; give a directory of `wss detect`, or a file of COCO results")
    if "detections" not in manifest.kind:
        raise WssError(
            f"{path}: holds {manifest.kind} (written by `wss {manifest.step}`), but detections are needed; give a "
            "directory of `wss detect`"
        )
    if not manifest.complete:
        raise WssError(f"{path}: {how_to_complete(path, manifest.step)}")
    return DetectionDir(path, manifest)


def gathered(records: Iterable[Mapping[str, Any]], key: str) -> list[Entry]:
    """The entries of all images, in the order of the records."""
    return [entry for record in records for entry in record.get(key, ())]
