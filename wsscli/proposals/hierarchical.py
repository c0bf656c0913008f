"""Region proposals from several hierarchies of superpixels: their nodes, and pairs and triples of neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsscli.proposals.groups import groups
from wsscli.proposals.merging import Likeness, merge
from wsscli.proposals.pool import Found, Source, enlarge, pool
from wsscli.proposals.regions import Space, boundary_strength, colours, describe, shrink, superpixels, texture_bins

SCALES = (20.0, 40.0, 80.0)
SPACES: tuple[Space, ...] = ("lab", "hsv")
LIKENESSES = (
    Likeness(boundary=0, colour=1, texture=1, size=1, fill=1),
    Likeness(boundary=1, colour=1, texture=1, size=1, fill=0.5),
    Likeness(boundary=2, colour=1, texture=1, size=1, fill=1),
)
_PAIR_LEVELS, _TRIPLE_LEVELS = 150, 60
_COSTS = np.array([1, 2, 4], np.float32)  # of a node, a pair, a triple


def hierarchical(image: NDArray[np.uint8], *, count: int = 2000, min_area: float = 0.004, longest: int = 500) -> Found:
    """Ranked regions of a photo, of all sizes, without classes.

    Superpixels of several scales are merged greedily, several times each: what "alike" means differs in the weights of
    boundary, colour, texture and size, and in the colour space. Candidates are the nodes of all trees, and pairs and
    triples of neighbouring nodes near their tops. They are ranked by how few regions there were when they came up: a
    node counts when it is about to be merged, a pair as if there were twice as many regions, a triple four times; half
    as many more for each side of the photo that the candidate touches.

    Args:
        image: uint8 RGB (H, W, 3).
        count: at most so many regions, at least 1.
        min_area: smallest share of the photo, in [0, 1).
        longest: a photo with a longer side is shrunk to it before, and the regions are enlarged after.

    Returns:
        Regions, best first. A photo of one colour has one region, itself.

    Source: after Arbelaez et al., "Multiscale Combinatorial Grouping", CVPR 2014 (hierarchies at several scales, and
        their nodes' singles, pairs and triples as candidates), over the merging of Uijlings et al., "Selective Search
        for Object Recognition", IJCV 2013.
    Differs: no learnt contours and no learnt ranking: nothing here has seen a mask but for a few numbers that were
        chosen on the train photos (docs/methods.md).
    """
    small = shrink(image, longest)
    strength = boundary_strength(colours(small, "lab"))
    maps = [superpixels(colours(small, "rgb"), scale) for scale in SCALES]
    sources = []
    for space in SPACES:
        values = colours(small, space)
        texture = texture_bins(values)
        for labels in maps:
            regions = describe(labels, values, texture, strength)
            for likeness in LIKENESSES:
                tree = merge(regions, likeness)
                found = groups(tree, regions.pairs, pair_levels=_PAIR_LEVELS, triple_levels=_TRIPLE_LEVELS)
                costs = found.levels * _COSTS[(found.nodes >= 0).sum(axis=1) - 1]
                sources.append(Source(regions, tree, found, costs))
    return enlarge(pool(sources, count=count, min_area=min_area, alike=0.03, rim=0.5), image.shape[:2])
