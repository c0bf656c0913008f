"""A directory that processes on several machines fill: each image is made aside and moved in when it is whole.

    OUT/.cluster-TOKEN/running        there while the run goes on that has sent the chunks
    OUT/.cluster-TOKEN/7/*.jsonl      of chunk 7 what is done, a line an image as in the journal
    OUT/.cluster-TOKEN/7/*/           of chunk 7 what is being made

A chunk that begins anew elsewhere, because its worker was lost, passes over what is done; its lines stay to the end of
the run, for Dask may make even one again that is noted already. A worker that was only thought lost, or whose run was
killed, moves nothing in any more. What a killed run has left is taken over by the next.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from wsscli.errors import WssError
from wsscli.maskdir.files import writing_failed
from wsscli.maskdir.journal import lines_in

_PREFIX = ".cluster-"
_RUNNING = "running"
Record = dict[str, Any]


def open_place(root: Path) -> Path:
    """Where the chunks of a run are made, within its directory."""
    place = root / f"{_PREFIX}{uuid4().hex}"
    try:
        place.mkdir()
        (place / _RUNNING).touch()
    except OSError as error:
        raise writing_failed(place, error) from error
    return place


def stop(place: Path) -> None:
    """Nothing more is to be moved in; what is done stays for the next run."""
    with suppress(OSError):
        (place / _RUNNING).unlink()


def close_place(place: Path) -> None:
    """All is done and noted."""
    stop(place)
    shutil.rmtree(place, ignore_errors=True)


def left_behind(root: Path) -> Iterator[Record]:
    """What chunks of stopped runs had done but nobody has noted; from here on they move nothing in."""
    for place in sorted(root.glob(f"{_PREFIX}*")):
        stop(place)
        for path in sorted(place.glob("*/*.jsonl")):
            yield from lines_in(path)


def remove_places(root: Path) -> None:
    """Remove what stopped runs have left."""
    for place in root.glob(f"{_PREFIX}*"):
        close_place(place)


class Chunk:
    """A chunk of images in the hands of one process; several may have the same one.

    Args:
        root: the directory.
        place: of the run, within it.
        number: of the chunk.

    Attributes:
        done: what this or another process has done of it, by id.

    Raises:
        WssError: the run has ended, or this machine does not see its files.
    """

    def __init__(self, root: Path, place: Path, number: int):
        self.root, self.place = root, place
        self._home = place / str(number)
        self._own = self._home / uuid4().hex
        self._journal = self._own.with_suffix(".jsonl")
        self._check()
        try:
            self._home.mkdir(exist_ok=True)
            self.done = {record["id"]: record for path in self._home.glob("*.jsonl") for record in lines_in(path)}
        except OSError as error:
            raise writing_failed(self._home, error) from error

    def put(self, make: Callable[[Path], Record]) -> Record:
        """Make one image's files under another root and move them in.

        Args:
            make: root -> the image's journal line; see `write_output`.

        Raises:
            WssError: see the class, and what `make` raises.
        """
        self._check()
        record = make(self._own)
        self._check()
        try:
            for name in record["files"]:
                target = self.root / name
                target.parent.mkdir(parents=True, exist_ok=True)
                (self._own / name).replace(target)
            # closed at once: only then other machines see the line on a network file system
            with self._journal.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise writing_failed(self.root, error) from error
        return record

    def _check(self) -> None:
        try:
            there = (self.place / _RUNNING).exists()
        except OSError as error:
            raise writing_failed(self.place, error) from error
        if not there:
            raise WssError(
                f"{self.place}: not seen by a worker of the cluster; --cluster needs data and output on a file system "
                "that all machines have under the same path"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self._own, ignore_errors=True)
        if not (self.place / _RUNNING).exists():  # what was removed meanwhile may be back
            with suppress(OSError):
                self._home.rmdir()
                self.place.rmdir()
