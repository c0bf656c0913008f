"""How good region proposals are: what the best of the first so many has in common with each object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.errors import UsageError

COUNTS = (10, 20, 50, 100, 200, 500, 1000, 2000)


@dataclass(frozen=True)
class Objects:
    """The objects of an image.

    Attributes:
        labels: int32 (H, W): 0 no object, 1..n an object, n + 1 not to be judged.
        classes: the class of each object, 0 where it is not known; n entries.
    """

    labels: NDArray[np.int32]
    classes: tuple[int, ...]

    @property
    def void(self) -> int:
        """The label of pixels that are not judged."""
        return len(self.classes) + 1


def components(mask: NDArray[np.uint8], *, least: float = 0.02) -> Objects:
    """Objects where instances are not known: the 8-connected components of each class that are large enough.

    Args:
        mask: uint8 (H, W), class ids, 0 background, 255 not to be judged.
        least: smallest share of the image's pixels that makes a component an object.
    """
    labels = np.zeros(mask.shape, np.int32)
    classes: list[int] = []
    for value in np.unique(mask):
        if value in (BACKGROUND, IGNORE):
            continue
        n, parts, stats, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=8)
        for part in range(1, n):
            if stats[part, cv2.CC_STAT_AREA] >= least * mask.size:
                classes.append(int(value))
                labels[parts == part] = len(classes)
    labels[mask == IGNORE] = len(classes) + 1
    return Objects(labels, tuple(classes))


def instances(objects: NDArray[np.uint8], classes: Mapping[int, int]) -> Objects:
    """Objects of an instance map as VOC's SegmentationObject.

    Args:
        objects: uint8 (H, W), 0 background, 1..254 an object, 255 not to be judged.
        classes: the class of every object in it.
    """
    labels = np.zeros(objects.shape, np.int32)
    for k, number in enumerate(classes, start=1):
        labels[objects == number] = k
    labels[objects == IGNORE] = len(classes) + 1
    return Objects(labels, tuple(classes.values()))


def best_of_first(overlaps: NDArray[np.float64], counts: Sequence[int]) -> NDArray[np.float64]:
    """float64 (objects, len(counts)): the best overlap of each object among the first so many proposals.

    Args:
        overlaps: (n, objects), intersection over union, the best-ranked proposal first. Without proposals all is 0.
        counts: how many are kept, each at least 1; more than there are keeps all.

    Raises:
        UsageError: a count below 1.
    """
    if min(counts) < 1:
        raise UsageError(f"--keep {min(counts)}: give numbers of proposals, each 1 or more")
    if not len(overlaps):
        return np.zeros((overlaps.shape[1], len(counts)))
    best = np.maximum.accumulate(overlaps, axis=0)
    rows = np.minimum(np.asarray(counts), len(overlaps)) - 1
    found: NDArray[np.float64] = best[rows].T
    return found


@dataclass(frozen=True)
class Quality:
    """Numbers of a set of objects for one number of proposals kept.

    Attributes:
        kept: proposals an image at most.
        average_best_overlap: mean over the objects of the best overlap.
        recall_50, recall_70: share of the objects whose best overlap is at least 0.5, 0.7.
    """

    kept: int
    average_best_overlap: float
    recall_50: float
    recall_70: float


def qualities(best: NDArray[np.float64], counts: Sequence[int]) -> list[Quality]:
    """The numbers for each count.

    Args:
        best: (objects, len(counts)) of all images, of `best_of_first`; at least one object.
        counts: the counts.

    Source: Uijlings et al., "Selective Search for Object Recognition", IJCV 2013, section 5 (ABO); Arbelaez et al.,
        "Multiscale Combinatorial Grouping", CVPR 2014, section 6 (Jaccard at instance level, recall).
    """
    return [
        Quality(count, float(column.mean()), float((column >= 0.5).mean()), float((column >= 0.7).mean()))
        for count, column in zip(counts, best.T, strict=True)
    ]
