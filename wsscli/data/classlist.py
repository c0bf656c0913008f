"""`classes.txt`: the foreground class names of a data set, one a line, in the order of their ids."""

from __future__ import annotations

from pathlib import Path

from wsscli.classes import ClassTable
from wsscli.errors import WssError


def read_class_list(root: Path) -> ClassTable | None:
    """The class table of `root/classes.txt`, None when there is no such file.

    A first line `background` may be there or not: id 0 is the background either way.

    Raises:
        WssError: not readable, no names, a name twice, more than 254.
    """
    path = root / "classes.txt"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise WssError(f"{path}: cannot be read ({error}); write one class name a line, UTF-8") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if names[:1] == ["background"]:
        del names[0]
    if not names:
        raise WssError(f"{path}: no class name in it; write one a line, or delete the file")
    try:
        return ClassTable.of(names)
    except WssError as error:
        raise WssError(f"{path}: {error}") from error
