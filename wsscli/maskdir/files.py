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


def safe_id(name: str, *, where: str = "") -> str:
    """Return `name` if it is an image id that stays under its root.

    An id is a relative path with `/` between its parts. Absolute paths, `..`, empty parts, NUL and other
    control characters, backslashes and parts that start with `.` (wss's temporary names) are refused.

    Raises:
        WssError: naming the id and `where` it stands.
    """
    parts = name.split("/")
    if name.startswith("/"):
        problem = "is an absolute path"
    elif any(part == ".." for part in parts):
        problem = "leaves the root through '..'"
    elif any(ord(character) < 32 or ord(character) == 127 for character in name):
        problem = "holds a control character"
    elif "\\" in name:
        problem = "holds a backslash"
    elif any(part.startswith(".") or not part for part in parts):
        problem = "has an empty part or one that starts with '.'"
    else:
        return name
    place = f"{where}: " if where else ""
    raise WssError(f"{place}image id {name!r} {problem}; ids are relative paths under the image root, without suffix")
