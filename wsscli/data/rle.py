"""COCO's run-length codes of masks, as they stand in JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def decode_rle(segmentation: Any) -> NDArray[np.bool_]:
    """The mask of a run-length code.

    What pycocotools does not survive is refused before it sees it: lengths that do not fill the image (it would return
    what the memory happened to hold), or other things.

    Args:
        segmentation: `size` [H, W] and `counts`, a list of lengths or COCO's compressed string.

    Returns:
        bool (H, W).

    Raises:
        ValueError, TypeError, KeyError, OverflowError: it is none; the text says why.
    """
    from pycocotools import mask as coco_mask

    if not isinstance(segmentation, dict):
        raise ValueError("neither polygons nor RLE")
    (height, width), counts = segmentation["size"], segmentation["counts"]
    lengths = lengths_of(counts) if isinstance(counts, str | bytes) else counts
    if min(lengths, default=0) < 0:
        raise ValueError(f"an RLE with the length {min(lengths)}")
    if sum(lengths) != height * width:
        raise ValueError(f"an RLE of {sum(lengths)} pixels, the image has {height * width}")
    if isinstance(counts, list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    mask: NDArray[np.uint8] = coco_mask.decode(segmentation)
    return mask.astype(bool)


def lengths_of(counts: str | bytes) -> list[int]:
    """The lengths in a compressed string: of pixels outside and inside in turn.

    A number has five bits a character, the lowest first, and from the fourth number on stands for the difference to
    the one before the last.

    Raises:
        ValueError: it is no such string.

    Source: pycocotools, rleFrString.
    """
    raw = counts.encode("ascii") if isinstance(counts, str) else counts
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not len(codes):
        return []
    more = codes & 32 > 0
    if codes.min() < 0 or codes.max() > 63 or more[-1]:
        raise ValueError("no compressed RLE")
    ends = np.flatnonzero(~more)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 7:  # 40 bits: no image has as many pixels
        raise ValueError("no compressed RLE")
    values = np.add.reduceat((codes & 31) << 5 * place, starts)
    values -= np.where(codes[ends] & 16, 1 << 5 * (place[ends] + 1), 0)  # two's complement
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    found: list[int] = values.tolist()
    return found
