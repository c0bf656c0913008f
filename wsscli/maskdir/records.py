"""Journal lines by id, packed: a run of a million images holds all of them until it closes its directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

Record = dict[str, Any]
_FOLDERS = 64  # listings kept at a time: journals are nearly sorted, so a folder is hardly listed twice


class Records(MutableMapping[str, Record]):
    """Journal lines by id; about 0.4 KB each, a quarter of what they take as dicts."""

    def __init__(self) -> None:
        self._lines: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> Record:
        found: Record = json.loads(self._lines[name])
        return found

    def __setitem__(self, name: str, record: Record) -> None:
        self._lines[name] = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()

    def __delitem__(self, name: str) -> None:
        del self._lines[name]

    def __contains__(self, name: object) -> bool:
        return name in self._lines

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def in_order(self) -> Iterator[Record]:
        """All of them, sorted by id."""
        return (self[name] for name in sorted(self._lines))


class InPlace:
    """Whether all files that a journal line speaks of are there: each folder is listed, not every file asked for."""

    def __init__(self, root: Path):
        def listed(folder: str) -> frozenset[str]:
            try:
                return frozenset(os.listdir(root / folder))  # noqa: PTH208 - a million Path objects take seconds
            except (FileNotFoundError, NotADirectoryError):
                return frozenset()

        self._listed = lru_cache(_FOLDERS)(listed)

    def __call__(self, record: Record) -> bool:
        parts = (name.rpartition("/") for name in record.get("files", ("",)))  # nobody's line: not in place
        return all(name in self._listed(folder) for folder, _, name in parts)


@dataclass
class Totals:
    """What the manifest says of all images together.

    Attributes:
        files: sha256 of every file.
        pixels: of every mask value.
        dropped, fell_back: `{"id": ..., "reason": ...}`, in the order they came.
        has_instances: whether any image has a list of instances.
    """

    files: dict[str, str] = field(default_factory=dict)
    pixels: dict[int, int] = field(default_factory=dict)
    dropped: list[dict[str, str]] = field(default_factory=list)
    fell_back: list[dict[str, str]] = field(default_factory=list)
    has_instances: bool = False

    def add(self, record: Record) -> None:
        """Another image."""
        self.files.update(record["files"])
        for value, count in record.get("pixels", {}).items():
            self.pixels[int(value)] = self.pixels.get(int(value), 0) + count
        for key, reasons in (("dropped", self.dropped), ("fell_back", self.fell_back)):
            if key in record:
                reasons.append({"id": record["id"], "reason": record[key]})
        self.has_instances |= "instances" in record
