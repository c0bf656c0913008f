"""Image ids: the path under the data set's image root without its suffix, and the rules that keep it inside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from wsscli.errors import WssError

MAX_PART = 230  # bytes: room for ".png" and a temporary name within the 255 that file systems allow
_PLAIN = re.compile(r"[\w-]+(?:[./ ][\w-]+)*", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:")
_PSA_LINE = re.compile(r"/?JPEGImages/(?P<id>.+)\.[A-Za-z]+\s+/?Segmentation\w*/\S+")
_FLAGGED = re.compile(r"(?P<id>\S.*?)\s+(?:-1|0|1)")


def check_id(name: str, where: str) -> str:
    """The id itself when it can name files under any root.

    Args:
        name: the id; `/` separates folders.
        where: the file (and line) it was read from, for the message.

    Raises:
        WssError: when it is empty, absolute, has a part `..`, `.` or an empty one, a backslash, a drive letter,
            a control character (NUL among them), outer blanks, bytes that are not UTF-8, or a part too long for
            a file name.
    """
    if len(name) <= MAX_PART and _PLAIN.fullmatch(name):
        return name  # nearly all ids; sets of a million are checked in a second
    reason = _fault(name)
    if reason:
        raise WssError(f"{where}: the id {name!r} {reason}; rename the image or mend the list")
    return name


def _fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return "holds a control character"
    if any(0xD800 <= ord(char) <= 0xDFFF for char in name):
        return "is not UTF-8"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/") or _DRIVE.match(name):
        return "is an absolute path, ids are relative to the image folder"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return f"has a part {part!r}, ids never leave the image folder"
        if part.startswith("."):
            return "has a part that begins with '.', which wss keeps for its temporary files"
        if part != part.strip():
            return "has a part that begins or ends with a blank"
        if len(part.encode()) > MAX_PART:
            return f"has a part of more than {MAX_PART} bytes"
    return None


def split_suffix(relative: str) -> tuple[str, str]:
    """(id, suffix) of an image's path under the root: the suffix runs from the last dot of the last part."""
    head, dot, suffix = relative.rpartition(".")
    if not dot or "/" in suffix or not head or head.endswith("/"):
        return relative, ""
    return head, f".{suffix}"


def parse_line(line: str, known: Iterable[str] = ()) -> str:
    """The id in one line of an id list.

    Understood: a bare id, VOC's `id -1|0|1` (Main lists) and the field's `/JPEGImages/id.jpg
    /SegmentationClass/id.png`. A line that is itself a known id wins over the other readings.
    """
    text = line.strip()
    if text in known:
        return text
    match = _PSA_LINE.fullmatch(text) or _FLAGGED.fullmatch(text)
    return match["id"] if match else text


def read_ids(path: Path, known: Iterable[str] = ()) -> tuple[str, ...]:
    """The ids of a list file, one a line, in the order of the file; empty lines are passed over.

    Args:
        path: the list.
        known: ids that exist (a set or dict), to read lines with blanks rightly.

    Raises:
        WssError: no such file, not UTF-8 text, an unsafe id, an id twice, or no id at all.
    """
    ids: dict[str, int] = {}
    for number, line in read_lines(path):
        name = check_id(parse_line(line, known), f"{path}, line {number}")
        if name in ids:
            raise WssError(
                f"{path}, line {number}: the id '{name}' stands already in line {ids[name]}; list every image once"
            )
        ids[name] = number
    if not ids:
        raise WssError(f"{path}: no id in this list; write one id a line")
    return tuple(ids)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a list file that are not empty, with their numbers from 1.

    Raises:
        WssError: no such file, or not UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise WssError(f"{path}: no such id list; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise WssError(f"{path}: cannot be read as an id list ({error}); write one id a line, UTF-8") from error
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def first_few(names: Sequence[str], most: int = 3) -> str:
    """The first names for a message: `a, b, c and 7 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
