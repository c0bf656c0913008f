"""The mask that score maps mean: the strongest class of every pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.maskdir.scores import Scores


def label_map(item: Scores) -> NDArray[np.uint8]:
    """The class with the highest score of each pixel, at the photo's size.

    Equal to `item.classes[item.full().argmax(0)]`, where the first of equal maps wins, without enlarging the maps
    of classes that cannot win anywhere: enlarged bilinearly, a map stays between the values at the four corners
    of its cell, so a class that is at every corner below another class's lowest corner loses the whole cell.

    Args:
        item: scores of one image, at least one map.

    Returns:
        uint8 (H,W), class ids.
    """
    maps = item.scores
    chosen = _candidates(maps)
    height, width = item.size
    ids = item.classes[chosen].astype(np.uint8)
    labels = np.full((height, width), ids[0], np.uint8)
    if len(chosen) == 1:
        return labels
    best = _enlarge(maps[chosen[0]], width, height)
    for index, label in zip(chosen[1:], ids[1:], strict=True):
        full = _enlarge(maps[index], width, height)
        # Strictly greater: of equal scores the first class keeps the pixel, as argmax has it.
        cv2.copyTo(np.full_like(labels, label), cv2.compare(full, best, cv2.CMP_GT), labels)
        cv2.max(full, best, dst=best)
    return labels


def _enlarge(one: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    if one.shape == (height, width):
        return one.copy()
    return np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _candidates(maps: NDArray[np.float32]) -> NDArray[np.intp]:
    """Indices of the maps that may be the highest at some pixel, ascending."""
    padded = np.pad(maps, ((0, 0), (0, 1), (0, 1)), mode="edge")
    corners = padded[:, :-1, :-1], padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, 1:, 1:]
    highest = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))  # (K,h,w)
    lowest = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    # The margin covers rounding in the interpolation.
    threshold = lowest.max(0) - 1e-5 * np.abs(maps).max(initial=0)
    return np.flatnonzero((highest >= threshold).any((1, 2)))
