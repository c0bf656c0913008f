"""A few boxes that stand for the many of an image: hypotheses of different places and sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

CONSIDERED = 500  # of the best boxes; clustering is quadratic in it
LEAST_AREA = 900
LARGEST_RATIO = 4.0


def distinct_boxes(boxes: NDArray[Any], count: int = 10, considered: int = CONSIDERED) -> NDArray[np.int64]:
    """Boxes that differ: all are clustered by overlap, and the best-ranked one of each cluster is taken.

    Boxes of fewer than 900 pixels and those with a side more than four times the other are passed over, where more
    than `count` others are left.

    Args:
        boxes: (n,4) x0, y0, x1, y1, exclusive ends, best first.
        count: how many are wanted.
        considered: only so many of the best take part.

    Returns:
        int64 (min(count, n),): their places in `boxes`, ascending, so best first.

    Source: Wei et al., CNN: Single-label to Multi-label (HCP), section 3.3 (hypotheses extraction).
    Differs: clusters by average linkage of 1 - IoU, the paper's by normalised cuts of the IoU matrix, and one box of
        each of 10 clusters, where the paper takes the top ones of fewer clusters.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    chosen = _usable(boxes, count)[:considered]
    if len(chosen) <= count:
        return chosen[:count]
    apart = 1 - overlaps(boxes[chosen])
    tree = linkage(squareform(apart, checks=False), "average")
    clusters = cut_tree(tree, count)[:, 0]  # fcluster would not part boxes that are equally far apart
    _, first = np.unique(clusters, return_index=True)
    return chosen[np.sort(first)]


def overlaps(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """float64 (n,n): the intersection over union of all boxes (n,4) with each other."""
    boxes = np.asarray(boxes, np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.prod((high - low).clip(0), axis=2)
    found: NDArray[np.float64] = both / (areas[:, None] + areas[None, :] - both)
    return found


def _usable(boxes: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    sides = boxes[:, 2:] - boxes[:, :2]
    fine = (sides.prod(1) >= LEAST_AREA) & (sides.max(1) <= LARGEST_RATIO * sides.min(1))
    chosen = np.flatnonzero(fine)
    return chosen if len(chosen) > count else np.arange(len(boxes))
