"""Checking result files one by one: what is wrong with a mask or scores file, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from wsscli.classes import IGNORE
from wsscli.errors import WssError
from wsscli.maskdir.detections import BOXES, INSTANCES
from wsscli.maskdir.png import read_mask, voc_palette
from wsscli.maskdir.proposals import read_proposals
from wsscli.maskdir.scores import Scores, read_scores
from wsscli.maskdir.shards import SHARDS
from wsscli.maskdir.writer import JOURNAL, OWN

_PNG = b"\x89PNG\r\n\x1a\n"
# float16 keeps 11 bits: the sum of K rounded probabilities is off by K/2 ulp at most.
_HALF_ULP = 2.0**-11


def mask_faults(path: Path, *, size: tuple[int, int] | None, n_classes: int | None, palette: bool) -> list[str]:
    """What is wrong with a mask file.

    Args:
        path: the file.
        size: (H, W) of the photo; not compared when None.
        n_classes: values from here to 254 are faults; not checked when None.
        palette: whether the file must be an 8-bit palette PNG with VOC's 256 colours.

    Returns:
        One sentence a fault, without the file's name; empty when it is right.
    """
    try:
        mask = read_mask(path)
    except WssError as error:
        return [_without(path, error)]
    faults = []
    if size is not None and mask.shape != size:
        faults.append(f"is {mask.shape[1]}x{mask.shape[0]}, its photo {size[1]}x{size[0]} (width x height)")
    if n_classes is not None:
        values = np.unique(mask)
        beyond = [int(v) for v in values if n_classes <= v < IGNORE]
        if beyond:
            listed = ", ".join(map(str, beyond[:5])) + (", ..." if len(beyond) > 5 else "")
            faults.append(f"holds the value {listed}, but the class table ends at {n_classes - 1} (and 255)")
    if palette:
        fault = _palette_fault(path.read_bytes())
        if fault:
            faults.append(fault)
    return faults


def _palette_fault(data: bytes) -> str | None:
    """Source: PNG specification (third edition), sections 5.3, 11.2.1 (IHDR) and 11.2.2 (PLTE)."""
    if not data.startswith(_PNG):
        return "is no PNG file"
    depth, colour = data[24], data[25]
    if (depth, colour) != (8, 3):
        return f"is no 8-bit palette PNG (depth {depth}, colour type {colour})"
    at = len(_PNG)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"PLTE":
            if length != 768:
                return f"has a palette of {length // 3} entries, not 256"
            if data[at + 8 : at + 8 + length] != voc_palette().tobytes():
                return "has another palette than VOC's"
            return None
        at += 12 + length
    return "has no palette"


def scores_faults(
    path: Path, *, size: tuple[int, int] | None, n_classes: int | None, score_type: str | None
) -> list[str]:
    """What is wrong with a scores file.

    Args:
        path: the file.
        size: (H, W) of the photo; not compared when None.
        n_classes: class ids must lie below; not checked when None.
        score_type: of the manifest; `cam` and `saliency` must not be negative, `probability` must have the
            background first, lie in [0, 1] and sum to 1 (up to the rounding of float16).

    Returns:
        One sentence a fault, without the file's name; empty when it is right.
    """
    try:
        item = read_scores(path)
    except WssError as error:
        return [_without(path, error)]
    return list(_scores_faults(item, size, n_classes, score_type))


def _scores_faults(
    item: Scores, size: tuple[int, int] | None, n_classes: int | None, score_type: str | None
) -> Iterator[str]:
    scores, classes = item.scores, item.classes
    if size is not None and item.size != size:
        yield f"is for {item.size[1]}x{item.size[0]}, its photo is {size[1]}x{size[0]} (width x height)"
    if 0 in scores.shape[1:]:
        yield f"holds maps of {scores.shape[1]}x{scores.shape[2]} pixels"
        return
    if len(classes) > 1 and not (np.diff(classes) > 0).all():
        yield f"lists the classes {classes.tolist()}, not ascending and each once"
    if n_classes is not None and len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < n_classes:
        yield f"lists the classes {classes.tolist()}, but the class table ends at {n_classes - 1}"
    bad = int(scores.size - np.isfinite(scores).sum())
    if bad:
        yield f"holds {bad} values that are NaN or infinite"
        return
    low, high = float(scores.min(initial=0.0)), float(scores.max(initial=0.0))
    if score_type in ("cam", "saliency", "probability", "soft-label") and low < 0:
        yield f"holds {low:.4g}, but {score_type} scores are not negative"
    if score_type in ("saliency", "probability") and high > 1 + _HALF_ULP:
        yield f"holds {high:.4g}, but {score_type} scores end at 1"
    if score_type == "probability":
        if not len(classes) or classes[0] != 0:
            yield f"lists the classes {classes.tolist()}, but probabilities begin with the background (0)"
        off = float(np.abs(scores.sum(axis=0) - 1).max())
        if off > len(classes) * _HALF_ULP:
            yield f"holds probabilities whose sum is off 1 by {off:.4g}"


def proposals_faults(path: Path, *, size: tuple[int, int] | None) -> list[str]:
    """What is wrong with a proposals file.

    Args:
        path: the file.
        size: (H, W) of the photo; not compared when None.

    Returns:
        One sentence a fault, without the file's name; empty when it is right.
    """
    try:
        item = read_proposals(path)
    except WssError as error:
        return [_without(path, error)]
    if size is not None and item.size != size:
        return [f"is for {item.size[1]}x{item.size[0]}, its photo is {size[1]}x{size[0]} (width x height)"]
    return []


def strays(root: Path, wanted: Iterable[str], parts: Iterable[str] = ()) -> list[str]:
    """Files in a complete directory that do not belong there, as relative paths, sorted.

    Args:
        root: the directory.
        wanted: relative paths of its result files.
        parts: folders in it that are looked at as directories of their own.
    """
    apart = frozenset(parts)
    known = set(wanted)
    found = []
    for path in root.rglob("*"):
        relative = path.relative_to(root).as_posix()
        top = relative.split("/", 1)[0]
        if path.is_dir() or relative in known or top in apart:
            continue
        if top in ("masks", "scores", "proposals", "cams", BOXES, INSTANCES) or top not in OWN or relative == JOURNAL:
            found.append(relative)
    return sorted(found)


def is_temporary(relative: str) -> bool:
    """Whether a stray file is what a stopped run left behind."""
    name = relative.rsplit("/", 1)[-1]
    return name == JOURNAL or relative.startswith(f"{SHARDS}/") or (name.startswith(".") and name.endswith(".part"))


def _without(path: Path, error: WssError) -> str:
    """The message without the file's name in front, which the caller puts there."""
    return str(error).removeprefix(f"{path}: ")
