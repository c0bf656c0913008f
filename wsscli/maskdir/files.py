"""Whole files or none: everything wss writes goes under a temporary name first and is then renamed."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from wsscli.errors import WssError


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the whole new one, never a part.

    The temporary name is fixed (`.NAME.part`), so what a killed run left is overwritten by the next one.

    Raises:
        WssError: the disk is full, the place cannot be written, or a name is too long; the temporary file is gone.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise writing_failed(path, error) from error


def writing_failed(path: Path, error: OSError) -> WssError:
    """The message for an operating-system error while writing `path`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.ENOSPC:
        advice = "free some space and run the same command again: it goes on where it stopped"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "choose another -o, or make it writable"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        advice = "a file stands where a folder is needed; choose another -o"
    else:
        advice = "check the path and the file system"
    return WssError(f"cannot write {path}: {reason}; {advice}")
