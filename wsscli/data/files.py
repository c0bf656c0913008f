"""Listing image folders: one walk, no stat of the files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from sys import intern

from wsscli.data.ids import check_id, split_suffix
from wsscli.data.images import SUFFIXES
from wsscli.errors import WssError


def list_images(root: Path, under: str = "", *, leave: str = "") -> dict[str, str]:
    """All images below a folder: {id: suffix}, sorted by id.

    Hidden files and folders are passed over; links are followed, a link to a folder above itself is an error.

    Args:
        root: the image root, which ids are relative to.
        under: list this folder of it only; ids still begin at the root.
        leave: folders of this name, at any depth, are passed over.

    Raises:
        WssError: the folder cannot be listed, an unsafe id, or two images with one id (`a.jpg`, `a.png`).
    """
    found: dict[str, str] = {}
    for name, suffix in _walk(root, under, (), leave):
        check_id(name, str(root))  # a name that is not UTF-8 is shown by its repr alone
        if name in found:
            raise WssError(
                f"{root}: two images have the id '{name}': {name}{found[name]} and {name}{suffix}; keep one of them"
            )
        found[name] = intern(suffix)
    return dict(sorted(found.items()))


def folders_in(root: Path) -> list[str]:
    """Names of the folders directly in a folder, sorted, hidden ones passed over."""
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def is_image_name(name: str) -> bool:
    return not name.startswith(".") and split_suffix(name)[1].lower() in SUFFIXES


def has_images(folder: Path, *, deep: bool = True) -> bool:
    """Whether a folder holds an image (deep: anywhere below it)."""
    if deep:
        return next(_walk(folder, "", ()), None) is not None
    with os.scandir(folder) as entries:
        return any(is_image_name(entry.name) and not entry.is_dir() for entry in entries)


def _walk(root: Path, under: str, above: tuple[tuple[int, int], ...], leave: str = "") -> Iterator[tuple[str, str]]:
    """(id, suffix) of every image, in no order."""
    folder = root / under if under else root
    prefix = f"{under}/" if under else ""
    deeper: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == leave:
                    continue
                if entry.is_dir():
                    deeper.append(entry.name)
                    continue
                name, suffix = split_suffix(entry.name)
                if suffix.lower() in SUFFIXES:
                    yield prefix + name, suffix
        stat = folder.stat()
    except OSError as error:
        raise WssError(f"{folder}: cannot be listed ({error.strerror}); mend its permissions or path") from error
    here = (stat.st_dev, stat.st_ino)
    if here in above:
        raise WssError(f"{folder}: a link leads back to a folder above it; take the link out")
    for name in sorted(deeper):
        yield from _walk(root, prefix + name, (*above, here), leave)


def missing_files(root: Path, relatives: Iterable[str]) -> list[str]:
    """Those of the relative paths that are no files below the root, in order; each folder is listed once."""
    listed: dict[str, frozenset[str]] = {}
    missing = []
    for relative in relatives:
        folder, _, name = relative.rpartition("/")
        if folder not in listed:
            try:
                with os.scandir(root / folder) as entries:
                    listed[folder] = frozenset(entry.name for entry in entries)
            except OSError:
                listed[folder] = frozenset()
        if name not in listed[folder]:
            missing.append(relative)
    return missing
