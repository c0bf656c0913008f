"""Journals: a line an image, written after its files are in place, and the locks that tell whose they are."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from wsscli.errors import WssError
from wsscli.maskdir.files import writing_failed

JOURNAL = "journal.jsonl"
Record = dict[str, Any]
_HELD = (errno.EWOULDBLOCK, errno.EACCES)
_BYTES = "surrogateescape"  # a kill can tear a letter; what cannot be decoded stays as it is

log = logging.getLogger("wsscli")


def open_locked(path: Path, root: Path, *, held: str, alone: bool = True) -> IO[str]:
    """A journal, open for reading and appending, which no other process has.

    Args:
        path: the journal; made if missing, with its folder.
        root: the directory it is of, for messages.
        held: what the message says when another process has it.
        alone: whether a file system that cannot lock is an error. Several processes that fill one directory from
            several hosts do without: they say it and go on.

    Raises:
        WssError: another process has it, or it cannot be written or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = path.open("a+", encoding="utf-8", errors=_BYTES)
    except OSError as error:
        raise writing_failed(path, error) from error
    try:
        _lock(journal)
    except OSError as error:
        if error.errno in _HELD:
            journal.close()
            raise WssError(f"{root}: {held}") from error
        if alone:
            journal.close()
            raise WssError(
                f"{root}: its file system cannot lock files ({error.strerror}), so two runs could mix there; "
                "use another -o"
            ) from error
        log.warning(
            "%s: its file system cannot lock files (%s), so nothing keeps two runs of one part apart; start each once",
            root, error.strerror,
        )  # fmt: skip
    return journal


def _lock(journal: IO[str]) -> None:
    """Raises OSError when another process has it; one that only asks (`is_held`) has it for an instant."""
    for _ in range(3):
        with suppress(BlockingIOError):
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.03)
    fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(path: Path) -> bool:
    """Whether a living process has a journal; where files cannot be locked nobody is seen.

    Raises:
        WssError: it cannot be read.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: those who only ask do not see each other
        except OSError as error:
            return error.errno in _HELD
    return False


def _unreadable(path: Path, error: OSError) -> WssError:
    return WssError(f"{path}: cannot be read ({error.strerror}); who has written it?")


def lines_in(path: Path) -> Iterator[Record]:
    """The whole lines of a journal that another process may be writing; none when there is no such file.

    Two processes that both take themselves for its owner may have mixed theirs: lines that are garbled are passed over.

    Raises:
        WssError: it cannot be read.
    """
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(path, error) from error
    with stream:
        for line in stream:
            record = None
            if line.endswith("\n"):
                with suppress(ValueError):
                    record = json.loads(line)
            if isinstance(record, dict):
                yield record


def own_lines(journal: IO[str]) -> Iterator[Record]:
    """The whole lines of a journal that is this process's own; from a torn one on it is cut off."""
    journal.seek(0)
    kept = 0
    for line in journal:
        if not line.endswith("\n"):
            break
        record = None
        with suppress(ValueError):
            record = json.loads(line)
        if not isinstance(record, dict):
            break
        kept += len(line.encode(errors=_BYTES))
        yield record
    journal.seek(0)
    journal.truncate(kept)
    journal.seek(0, os.SEEK_END)


def add_line(journal: IO[str], path: Path, line: Record) -> None:
    """Append a line; after a kill it is there or torn, never half believed."""
    try:
        journal.write(json.dumps(line, ensure_ascii=False) + "\n")
        journal.flush()
    except OSError as error:
        raise writing_failed(path, error) from error
