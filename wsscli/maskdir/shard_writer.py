"""Writing a directory together with other processes, on this host or others, that do not talk to each other.

Every shard has a journal of its own and files of its own, so nothing needs a lock but starting one shard twice. The
manifest is written by whoever comes first; the others find it, and refuse it when it is of other options.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Self

from wsscli.errors import WssError
from wsscli.maskdir.chunks import remove_places
from wsscli.maskdir.journal import JOURNAL, Record, add_line, lines_in, open_locked, own_lines
from wsscli.maskdir.manifest import NAME, Manifest, create_manifest, difference, ids_digest, read_manifest
from wsscli.maskdir.records import InPlace, Records
from wsscli.maskdir.shards import Share, in_shards, refuse_company, refuse_other_plan, shard_records, unfinished
from wsscli.maskdir.writer import Output, Writer, lock, strangers_in, tidy_complete, write_output


class ShardWriter:
    """A share of an output directory, from `begin_shard` to `close`.

    Attributes:
        root: the directory.
        share: which part of the images.
        resuming: whether some of it was done before.
        done: ids of the share whose results are in place.
        dropped: those of them that have no result, and why.
    """

    def __init__(self, root: Path, share: Share, journal: IO[str], done: set[str], dropped: dict[str, str]):
        self.root, self.share, self.done, self.dropped = root, share, done, dropped
        self.resuming = bool(done)
        self._journal, self._path = journal, share.file(root)
        self._started, self._new = time.time(), 0

    def put(self, name: str, output: Output) -> None:
        """Write one image's results and note them."""
        self.note(write_output(self.root, name, output))

    def note(self, record: Record) -> None:
        """Note an image whose files are in place. Call it from one thread."""
        add_line(self._journal, self._path, record)
        self.done.add(record["id"])
        self._new += 1
        if "dropped" in record:
            self.dropped[record["id"]] = record["dropped"]

    def close(self) -> None:
        """Say that the share is done; the directory stays incomplete."""
        now = time.time()
        figures = {"images": self._new, "seconds": round(now - self._started, 2), "host": os.uname().nodename}
        add_line(self._journal, self._path, {"ended": round(now, 3), "figures": figures})
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and not self._journal.closed:
            with suppress(WssError):  # the one that ends the block says more
                add_line(self._journal, self._path, {"failed": str(error) or type(error).__name__})
        with suppress(OSError):  # what could not be written was said when it was tried
            self._journal.close()


def begin_shard(
    root: Path, manifest: Manifest, share: Share, ids: Iterable[str], *, led: bool = False
) -> ShardWriter | None:
    """Start or resume a share of a directory, which other processes may be starting at the same moment.

    Args:
        root: the directory; made if missing.
        manifest: what all of it will hold.
        share: which part.
        ids: the images of this part.
        led: the process that has begun all of the directory waits for this one, and writes a part itself.

    Returns:
        None when the directory is complete and was made with the same options: nothing to do.

    Raises:
        WssError: the directory is not wss's, was made with other options, this share or all of the directory is being
            written by another process, or it cannot be written.
    """
    present = standing_shard(root, manifest, share)
    if present is not None and present.complete:
        tidy_complete(root)
        return None
    held = f"another wss process is writing shard {share} here; wait for it, or start another shard"
    journal = open_locked(share.file(root), root, held=held, alone=False)
    try:
        if not led:
            refuse_company(root, share)
            remove_places(root)  # of a run on a cluster that was killed: its workers stop
        if present is None:
            create_manifest(root, manifest)
        # again, now that nobody closes the directory any more: it may be complete, or others came first
        present = standing_shard(root, manifest, share)
        if present is None or present.complete:
            journal.close()
            tidy_complete(root)
            return None
        plan, wanted = present.digest(), frozenset(ids)
        in_place = InPlace(root)
        records = chain(
            _own_records(root, journal, share, plan),
            shard_records(root, plan, but=share, wanted=wanted),
            (line for line in lines_in(root / JOURNAL) if in_place(line)),
        )
        done: set[str] = set()
        dropped: dict[str, str] = {}
        for line in records:
            if line["id"] in wanted:
                done.add(line["id"])
                if "dropped" in line:
                    dropped[line["id"]] = line["dropped"]
        figures = {"images": len(wanted), "done": len(done), "host": os.uname().nodename, "pid": os.getpid()}
        add_line(journal, share.file(root), {"begun": round(time.time(), 3), "plan": plan, "led": led, **figures})
    except WssError:
        journal.close()
        raise
    return ShardWriter(root, share, journal, done, dropped)


def _own_records(root: Path, journal: IO[str], share: Share, plan: str) -> Iterator[Record]:
    in_place = InPlace(root)
    for line in own_lines(journal):  # to its end: a torn last line must go before the next is written
        refuse_other_plan(root, share, line, plan)
        if "id" in line and in_place(line):
            yield line


def standing_shard(root: Path, manifest: Manifest, share: Share) -> Manifest | None:
    """The manifest that is there, when a share can go on with it; None: there is none.

    Raises:
        WssError: the directory is not wss's, or was made with other options.
    """
    if root.exists() and not root.is_dir():
        raise WssError(f"{root}: a file; -o names a directory")
    present = read_manifest(root)
    if present is None:
        strangers = strangers_in(root)
        if strangers:
            raise WssError(f"{root}: not empty and not written by wss (holds {strangers[0]}); use another -o")
        return None
    other = difference(present, manifest)
    if other:
        raise WssError(
            f"{root}: was begun with other options than shard {share}: {other}; start every shard with the same "
            "options, or use another -o"
        )
    return present


def finish(root: Path) -> Manifest:
    """Complete a directory that shards have filled.

    Raises:
        WssError: it is none, images are missing, or a process is at work there.
    """
    present = read_manifest(root)
    if present is None:
        raise WssError(f"{root}: no {NAME} here, so no shard has begun; --finish closes what steps with --shard fill")
    if present.complete:
        tidy_complete(root)
        return present
    if not in_shards(root):
        raise WssError(
            f"{root}: no shards here, `wss {present.step}` was stopped before its end; run that command again"
        )
    journal = lock(root, alone=False)
    now = read_manifest(root)
    if now is not None and now.complete:  # while it was waited for
        journal.close()
        tidy_complete(root)
        return now
    try:
        refuse_company(root, None)
        in_place = InPlace(root)
        own = (line for line in lines_in(root / JOURNAL) if in_place(line))
        records = Records()
        records.update((line["id"], line) for line in chain(own, shard_records(root, present.digest())))
        if len(records) != present.images:
            raise WssError(
                f"{root}: {present.images - len(records)} of {present.images} images are missing: {unfinished(root)}; "
                "run these shards again, then this (a shard that is done ends at once)"
            )
        if ids_digest(records) != present.ids_digest:
            raise WssError(
                f"{root}: the {len(records)} images here are not those that {NAME} speaks of; the data set has "
                "changed between shards, so remove the directory and run them again"
            )
    except WssError:
        journal.close()
        raise
    remove_places(root)
    with Writer(root, present, journal, records, resuming=True) as writer:
        return writer.close()
