"""Opening a data set: the format is found by looking, or named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from wsscli.classes import ClassTable
from wsscli.data.base import Dataset as Dataset
from wsscli.data.base import require_labels as require_labels
from wsscli.data.voc import looks_like_voc, open_voc
from wsscli.errors import UsageError, WssError

Opener = Callable[[Path, str | None, Path | None, ClassTable | None], Dataset]

FORMATS: dict[str, tuple[Callable[[Path], bool], Opener]] = {
    "voc": (looks_like_voc, open_voc),
}


def open_dataset(
    path: Path | str,
    *,
    split: str | None = None,
    format: str | None = None,  # noqa: A002 - the option's name
    labels: Path | str | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """Open one split of a data set."""
    root = Path(path)
    if not root.exists():
        raise WssError(f"{root}: no such data set")
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown data set format '{format}'; known: {', '.join(FORMATS)}")
    classes = ClassTable.of(class_names) if class_names is not None else None
    chosen = format or _look(root)
    return FORMATS[chosen][1](root, split, Path(labels) if labels is not None else None, classes)


def _look(root: Path) -> str:
    found = [name for name, (looks_like, _) in FORMATS.items() if looks_like(root)]
    if len(found) == 1:
        return found[0]
    if found:
        raise WssError(f"{root}: looks like {' and '.join(found)}; say which with --format {'|'.join(found)}")
    raise WssError(f"{root}: not a data set that wss knows; known formats: {', '.join(FORMATS)} (docs/datasets.md)")
