"""COCO's run-length codes of masks, as they stand in JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def decode_rle(segmentation: Any) -> NDArray[np.bool_]:
    """The mask of a run-length code.

    What pycocotools does not survive is refused before it sees it: counts that do not fill the image, or other things.

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
    if isinstance(counts, list):
        if min(counts, default=0) < 0:
            raise ValueError(f"an RLE with the length {min(counts)}")
        if sum(counts) != height * width:
            raise ValueError(f"an RLE of {sum(counts)} pixels, the image has {height * width}")
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    mask: NDArray[np.uint8] = coco_mask.decode(segmentation)
    return mask.astype(bool)
