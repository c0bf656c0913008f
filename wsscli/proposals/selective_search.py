"""Selective search: the regions of many greedy mergings, diverse in colours, measures and superpixels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wsscli.proposals.groups import groups
from wsscli.proposals.merging import Likeness, merge
from wsscli.proposals.pool import Found, Source, enlarge, pool
from wsscli.proposals.regions import Space, boundary_strength, colours, describe, shrink, superpixels, texture_bins

Mode = Literal["fast", "quality"]
_ALL = Likeness(boundary=0, colour=1, texture=1, size=1, fill=1)
_TSF = Likeness(boundary=0, colour=0, texture=1, size=1, fill=1)
_FILL = Likeness(boundary=0, colour=0, texture=0, size=0, fill=1)
_SIZE = Likeness(boundary=0, colour=0, texture=0, size=1, fill=0)
_MODES: dict[Mode, tuple[tuple[Space, ...], tuple[Likeness, ...], tuple[float, ...]]] = {
    "fast": (("hsv", "lab"), (_ALL, _TSF), (50.0, 100.0)),
    "quality": (("hsv", "lab", "rgi", "grey", "rgb"), (_ALL, _TSF, _FILL, _SIZE), (50.0, 100.0, 150.0, 300.0)),
}


def selective_search(
    image: NDArray[np.uint8],
    *,
    count: int = 2000,
    min_area: float = 0.004,
    longest: int = 500,
    mode: Mode = "fast",
    seed: int = 0,
) -> Found:
    """Ranked regions of a photo: every region of every merging, near the tops of the hierarchies first.

    Args:
        image: uint8 RGB (H, W, 3).
        count: at most so many regions, at least 1.
        min_area: smallest share of the photo, in [0, 1).
        longest: a photo with a longer side is shrunk to it before, and the regions are enlarged after.
        mode: fast = HSV and Lab, two sums of similarities, superpixels at k 50 and 100 (8 hierarchies);
            quality = five colour spaces, four sums of similarities, k 50, 100, 150 and 300 (80 hierarchies).
        seed: of the random numbers in the ranking.

    Returns:
        Regions, best first.

    Source: Uijlings et al., "Selective Search for Object Recognition", IJCV 2013, sections 3.1, 3.2 and 4 (a region
        made by the k-th last merge has the value k times a random number in [0, 1], the lowest first).
    Differs: regions smaller than `min_area` are left out; nearly equal ones are kept once. Superpixels are made in the
        hierarchy's colour space at sigma 0.8; RGB takes the place of the hue alone in `quality`.
    """
    spaces, likenesses, scales = _MODES[mode]
    small = shrink(image, longest)
    random = np.random.default_rng(seed)
    strength = boundary_strength(colours(small, "lab"))
    sources = []
    for space in spaces:
        values = colours(small, space)
        texture = texture_bins(values)
        for scale in scales:
            regions = describe(superpixels(values, scale), values, texture, strength)
            for likeness in likenesses:
                tree = merge(regions, likeness)
                found = groups(tree, regions.pairs, pair_levels=0, triple_levels=0)
                n = tree.n
                born = np.concatenate([np.full(n, n), np.arange(n - 1, 0, -1)])  # regions left once a node was made
                sources.append(Source(regions, tree, found, (born * random.random(2 * n - 1)).astype(np.float32)))
    return enlarge(pool(sources, count=count, min_area=min_area, alike=0.02), image.shape[:2])
