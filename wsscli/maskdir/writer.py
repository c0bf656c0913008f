"""Writing a directory so that nothing is half-written and a killed run goes on where it stopped.

While a step runs, `journal.jsonl` gets one line an image, after its files are in place; the line holds what the
manifest will say of the image. A run that finds the journal of a killed one skips the images whose line is whole
and whose files are there. The journal's lock keeps two runs out of one directory and dies with its process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from wsscli.data.ids import check_id
from wsscli.errors import WssError
from wsscli.maskdir.chunks import left_behind, remove_places
from wsscli.maskdir.detections import BOXES, INSTANCES, Entry, gathered, write_entries
from wsscli.maskdir.files import write_atomic, writing_failed
from wsscli.maskdir.journal import JOURNAL as JOURNAL
from wsscli.maskdir.journal import Record as Record
from wsscli.maskdir.journal import add_line, open_locked, own_lines
from wsscli.maskdir.manifest import (
    NAME,
    Manifest,
    content_digest,
    difference,
    file_digest,
    read_manifest,
    write_manifest,
)
from wsscli.maskdir.png import Mask, write_mask
from wsscli.maskdir.proposals import ProposalSet, write_proposals
from wsscli.maskdir.records import InPlace, Records, Totals
from wsscli.maskdir.scores import Scores, write_scores
from wsscli.maskdir.shards import ended_shards, forget_shards, refuse_company, remove_shards, shard_records

LOG = "log.jsonl"
OWN = (
    NAME, JOURNAL, LOG, "masks", "scores", "proposals", "cams", "features", "model.safetensors", "last.ckpt",
    "tensorboard", "supervision", "supervision.svg", "rounds.csv", "rounds.svg", BOXES, INSTANCES,
)  # fmt: skip
_PARTS = {"refine-round": ("model", "predicted", "refined", "cut")}
_GONE = re.compile(r"\.(model|predicted|refined|cut|round-[0-9]+)\.gone")  # parts that are being removed


@dataclass
class Output:
    """What a step makes of one image.

    Attributes:
        mask: uint8 (H, W), 255 unlabelled.
        scores: the score maps.
        proposals: the region proposals.
        cams: the file of a CAM dictionary for other code (`wsscli.data.cam_npy`).
        boxes, instances: what was found in it, for the one file of all images; they wait in the journal.
        fell_back: why the step passed the input on or did less than asked.
        dropped: why there is no result for this image; then mask, scores, proposals and cams are None.
    """

    mask: Mask | None = None
    scores: Scores | None = None
    proposals: ProposalSet | None = None
    cams: bytes | None = None
    boxes: list[Entry] | None = None
    instances: list[Entry] | None = None
    fell_back: str | None = None
    dropped: str | None = None


def write_output(root: Path, name: str, output: Output) -> Record:
    """Write one image's files under `root`; returns its journal line. Safe in any thread or process."""
    check_id(name, str(root))
    record: Record = {"id": name, "files": {}}
    if output.mask is not None:
        data = write_mask(root / "masks" / f"{name}.png", output.mask)
        record["files"][f"masks/{name}.png"] = hashlib.sha256(data).hexdigest()
        counts = np.bincount(output.mask.ravel(), minlength=256)
        record["pixels"] = {str(value): int(counts[value]) for value in np.flatnonzero(counts)}
    if output.scores is not None:
        data = write_scores(root / "scores" / f"{name}.npz", output.scores)
        record["files"][f"scores/{name}.npz"] = hashlib.sha256(data).hexdigest()
    if output.proposals is not None:
        data = write_proposals(root / "proposals" / f"{name}.npz", output.proposals)
        record["files"][f"proposals/{name}.npz"] = hashlib.sha256(data).hexdigest()
    if output.cams is not None:
        write_atomic(root / "cams" / f"{name}.npy", output.cams)
        record["files"][f"cams/{name}.npy"] = hashlib.sha256(output.cams).hexdigest()
    for key in ("fell_back", "dropped", "boxes", "instances"):
        value = getattr(output, key)
        if value is not None:
            record[key] = value
    return record


class Writer:
    """An output directory under its lock, from `begin` to `close`.

    Attributes:
        root: the directory.
        manifest: what it will say, not complete yet.
        resuming: whether an earlier run of the same options left part of the work.
        done: the ids whose results are in place.
    """

    def __init__(self, root: Path, manifest: Manifest, journal: IO[str], records: Records, *, resuming: bool):
        self.root, self.manifest, self.resuming = root, manifest, resuming
        self._journal, self._records = journal, records
        self._started = time.time()

    @property
    def done(self) -> set[str]:
        return set(self._records)

    def put(self, name: str, output: Output) -> None:
        """Write one image's results and note them."""
        self.note(write_output(self.root, name, output))

    def note(self, record: Record) -> None:
        """Note an image whose files `write_output` has written. Call it from one thread."""
        add_line(self._journal, self.root / JOURNAL, record)
        self._records[record["id"]] = record

    def take_in(self) -> None:
        """Make the images that shards have done meanwhile this writer's own."""
        begun = read_manifest(self.root) or self.manifest
        for record in shard_records(self.root, begun.digest(), look=False):
            self._records[record["id"]] = record

    def log(self, **fields: Any) -> None:
        """Append a line to `log.jsonl` (times and host live there, outside the digest)."""
        append_log(self.root, {"time": round(time.time(), 3), **fields})

    def close(self, *, files: Sequence[str] = (), **extras: Any) -> Manifest:
        """Complete the directory: gather the records into the manifest, write it, drop the journal.

        Args:
            files: result files beside those of the records (a model's weights).
            extras: manifest entries that are known only now.
        """
        totals = Totals()
        for record in self._records.in_order():
            totals.add(record)
        files = [*files, *self._write_gathered(totals.has_instances)]
        totals.files |= {name: file_digest(self.root / name).removeprefix("sha256:") for name in files}
        final = replace(
            self.manifest,
            complete=True,
            content=content_digest(totals.files),
            pixels=self._named(totals.pixels),
            dropped=tuple(totals.dropped),
            fell_back=tuple(totals.fell_back),
            **extras,
        )
        for line in ended_shards(self.root):
            append_log(self.root, line)
        self.log(
            event="end",
            images=len(self._records),
            seconds=round(time.time() - self._started, 2),
            host=os.uname().nodename,
        )
        write_manifest(self.root, final)
        tidy_complete(self.root)
        self._journal.close()
        return final

    def _write_gathered(self, has_instances: bool) -> list[str]:
        """The files of what was found in all images; names of those that there are."""
        wanted = [BOXES] if "detections" in self.manifest.kind else []
        wanted += [INSTANCES] if has_instances else []
        for name in wanted:
            write_atomic(
                self.root / name, write_entries(gathered(self._records.in_order(), name.removesuffix(".json")))
            )
        return wanted

    def _named(self, totals: dict[int, int]) -> dict[str, int]:
        names = self.manifest.classes.names if self.manifest.classes else ()
        return {"unlabelled" if v == 255 else names[v] if v < len(names) else str(v): totals[v] for v in sorted(totals)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # what could not be written was said when it was tried
            self._journal.close()  # what was done stays; the same command goes on from here


def append_log(root: Path, fields: dict[str, Any]) -> None:
    """Append one line to `log.jsonl`."""
    try:
        with (root / LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(fields, ensure_ascii=False) + "\n")
    except OSError as error:
        raise writing_failed(root / LOG, error) from error


def begin(root: Path, manifest: Manifest, *, overwrite: bool = False, alone: bool = True) -> Writer | None:
    """Start or resume writing a directory.

    Args:
        root: the directory; made if missing.
        manifest: what it will hold.
        overwrite: replace what another run left there.
        alone: see `wsscli.maskdir.journal.open_locked`.

    Returns:
        None when the directory is complete and was made with the same options: nothing to do.

    Raises:
        WssError: the directory is not wss's, was made with other options (the message shows the first that
            differs), is being written by another process, or cannot be written.
    """
    present = standing(root, manifest, overwrite=overwrite)
    if present is not None and present.complete:
        tidy_complete(root)
        return None
    journal = lock(root, alone=alone)
    try:
        present = standing(root, manifest, overwrite=overwrite)  # again: another process may have closed it meanwhile
        if present is not None and present.complete:
            journal.close()
            tidy_complete(root)
            return None
        refuse_company(root, None)
        _remove_rests(root)
        if overwrite:
            remove_places(root)
            _clear(root, journal, manifest)
        in_place, records = InPlace(root), Records()
        records.update((line["id"], line) for line in own_lines(journal) if in_place(line))
        records.update((line["id"], line) for line in shard_records(root, (present or manifest).digest()))
        _take_over(root, journal, records)
        if present is None and not overwrite:
            write_manifest(root, manifest)
    except OSError as error:
        journal.close()
        raise writing_failed(root, error) from error
    except WssError:
        journal.close()
        raise
    return Writer(root, manifest, journal, records, resuming=present is not None)


def tidy_complete(root: Path) -> None:
    """Remove what a kill between the manifest and the end of a process has left in a complete directory."""
    with suppress(OSError):
        (root / JOURNAL).unlink(missing_ok=True)
        for path in root.glob(f".{NAME}.*.part"):
            path.unlink(missing_ok=True)
    remove_shards(root)


def standing(root: Path, manifest: Manifest, *, overwrite: bool = False) -> Manifest | None:
    """What `begin` would go on with, or find complete: the manifest that is there. None: it would begin anew.

    Raises:
        WssError: `begin` would refuse the directory: it is not wss's, or was made with other options.
    """
    if root.exists() and not root.is_dir():
        raise WssError(f"{root}: a file; -o names a directory")
    if overwrite:
        if not (root / NAME).exists():
            _refuse_foreign(root)
        return None
    present = read_manifest(root)
    if present is None:
        _refuse_foreign(root)
        return None
    other = difference(present, manifest)
    if other:
        raise WssError(f"{root}: was made with other options: {other}; use another -o, or --overwrite to replace it")
    return present


def rewrite(root: Path, manifest: Manifest) -> None:
    """Give a directory another manifest, unless another process is writing there.

    Raises:
        WssError: one is, or it cannot be written.
    """
    with lock(root):
        write_manifest(root, manifest)


def lock(root: Path, *, alone: bool = True) -> IO[str]:
    """The journal of a directory, which is made if missing, open and locked; see `open_locked`."""
    held = "another wss process is writing here; wait for it, or use another -o"
    return open_locked(root / JOURNAL, root, held=held, alone=alone)


def _refuse_foreign(root: Path) -> None:
    strangers = strangers_in(root)
    if strangers:
        raise WssError(f"{root}: not empty and not written by wss (holds {strangers[0]}); use another -o")


def strangers_in(root: Path) -> list[str]:
    """Names of what lies in a directory that wss has not written, sorted; none in one that it has."""
    if not root.is_dir():
        return []
    found = sorted(p.name for p in root.iterdir() if p.name != JOURNAL and not p.name.startswith("."))
    return [] if (root / NAME).exists() else found  # asked last: another shard may be writing it just now


def parts_of(root: Path, manifest: Manifest) -> list[str]:
    """Names of the directories that the step of a manifest, which runs others, has made within its own."""
    names: Iterable[str] = _PARTS.get(manifest.step, ())
    if manifest.kind == "rounds":
        names = (f"round-{k}" for k in range(1, manifest.options.get("rounds", 0) + 1))
    return [name for name in names if (root / name).is_dir() and not strangers_in(root / name)]


def remove_part(root: Path) -> None:
    """Remove a directory within that of a step, and what a kill in here has left of it.

    It gets another name first: killed in here, no half of it is taken for the whole.
    """
    _remove_rests(root.parent)
    if root.exists():
        shutil.rmtree(root.rename(root.with_name(f".{root.name}.gone")))


def _remove_rests(root: Path) -> None:
    for path in root.glob(".*.gone"):
        if _GONE.fullmatch(path.name):
            shutil.rmtree(path)


def _clear(root: Path, journal: IO[str], manifest: Manifest) -> None:
    """Remove what wss wrote, and nothing else.

    The new manifest comes first: killed in here, the directory is neither complete nor a stranger's. The directories
    in it go before: none of another run may be found there and taken for a part of this one.
    """
    present = None
    with suppress(WssError):  # a damaged one is replaced
        present = read_manifest(root)
    parts = parts_of(root, present) if present is not None else []
    if present is not None and parts:
        write_manifest(root, replace(present, complete=False))
    for name in parts:
        remove_part(root / name)
    journal.truncate(0)
    forget_shards(root)
    write_manifest(root, manifest)
    for name in OWN:
        path = root / name
        if name in (NAME, JOURNAL):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _take_over(root: Path, journal: IO[str], records: Records) -> None:
    """Note what the workers of a run on a cluster had done when it was killed."""
    in_place = InPlace(root)
    for record in left_behind(root):
        if record["id"] not in records and in_place(record):
            add_line(journal, root / JOURNAL, record)
            records[record["id"]] = record
    remove_places(root)
