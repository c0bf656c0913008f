"""From the candidates of several merging trees to one ranked set of regions over common superpixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsscli.proposals.groups import Groups
from wsscli.proposals.merging import F32, Regions, Tree
from wsscli.refine.compiled import compiled


class Found(NamedTuple):
    """Ranked regions, best first: the fields of `wsscli.maskdir.proposals.ProposalSet`.

    Attributes:
        superpixels: int32 (H, W), values 0..S-1.
        starts: int64 (n + 1).
        members: int32 (m,): region i is made of the superpixels `members[starts[i]:starts[i + 1]]`, ascending.
        scores: float32 (n,), descending.
    """

    superpixels: NDArray[np.int32]
    starts: NDArray[np.int64]
    members: NDArray[np.int32]
    scores: F32


@dataclass(frozen=True)
class Source:
    """Candidates from one tree.

    Attributes:
        regions: what the tree was made over.
        tree: the tree.
        groups: its candidates.
        costs: float32 (m,), the lower the earlier a candidate is ranked.
    """

    regions: Regions
    tree: Tree
    groups: Groups
    costs: F32


def pool(sources: Sequence[Source], *, count: int, min_area: float, alike: float, rim: float = 0) -> Found:
    """The best candidates of several trees, none twice.

    Candidates of all trees are ranked by their cost (of equal costs the earlier tree's first). One that consists of
    the same pixels as a better one is left out, and so is one that takes nearly the same place: as good as equal
    boxes and areas.

    Args:
        sources: trees over label maps of one size.
        count: at most so many.
        min_area: smallest share of the photo.
        alike: how far two candidates' sides (as a share of the photo's) and areas (as a ratio) differ at most to
            count as near duplicates, roughly; 0 keeps all that differ in a pixel.
        rim: a cost is multiplied by 1 + rim x (sides of the photo that the candidate touches): what is cut off by
            the photo's edge is more often ground than object.

    Returns:
        Regions with the scores 1, 1/2, 1/3, ...: they tell the rank and nothing else. The superpixels are the cells
        into which the outlines of all trees' regions cut the photo, numbered along the first tree: regions of that
        tree are made of consecutive ones.
    """
    shape = sources[0].regions.labels.shape
    pixels = shape[0] * shape[1]
    # a sum of random codes tells pixel sets apart: equal by accident with a probability of 2^-64 a pair
    codes = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, pixels)
    areas, boxes, sums = [], [], []
    for source in sources:
        area, box, total = _describe(source, codes)
        areas.append(area)
        boxes.append(box)
        sums.append(total)
    area, box, total = np.concatenate(areas), np.concatenate(boxes), np.concatenate(sums)
    costs = np.concatenate([source.costs for source in sources])
    owner = np.repeat(np.arange(len(sources)), [len(source.costs) for source in sources])
    index = np.concatenate([np.arange(len(source.costs)) for source in sources])
    edges = np.array([0, 0, shape[1], shape[0]])
    order = np.argsort(costs * (1 + rim * (box == edges).sum(axis=1)), kind="stable")
    order = order[area[order] >= min_area * pixels]
    order = order[np.sort(np.unique(total[order], return_index=True)[1])]
    if alike > 0:
        signature = np.column_stack([
            np.round(box[order] / (2 * alike * np.array([shape[1], shape[0], shape[1], shape[0]]))),
            np.round(np.log(area[order]) / (2 * np.log1p(alike))),
        ])  # fmt: skip
        order = order[np.sort(np.unique(signature.astype(np.int64), axis=0, return_index=True)[1])]
    order = order[:count]
    return _cells(sources, owner[order], index[order])


def _describe(
    source: Source, codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Area (m,), box (m, 4) and code (m,) of each candidate."""
    labels, n = source.regions.labels.ravel(), source.tree.n
    nodes = 2 * n - 1
    area = np.zeros(nodes + 1, np.int64)  # the last entry stands for node -1: no node
    code = np.zeros(nodes + 1, np.int64)
    box = np.zeros((nodes + 1, 4), np.int64)
    area[:n] = source.regions.sizes
    np.add.at(code, labels, codes)
    box[:n] = source.regions.boxes
    _climb(source.tree.children, n, area, box, code)
    box[-1] = [np.iinfo(np.int64).max] * 2 + [0, 0]
    chosen = source.groups.nodes
    sides = box[chosen]  # (m, 3, 4)
    joined = np.concatenate([sides[:, :, :2].min(axis=1), sides[:, :, 2:].max(axis=1)], axis=1)
    return area[chosen].sum(axis=1), joined, code[chosen].sum(axis=1)


def enlarge(found: Found, size: tuple[int, int]) -> Found:
    """The same regions at another size (H, W), at least theirs: the nearest superpixel (half-pixel centres)."""
    height, width = found.superpixels.shape
    if (height, width) == size:
        return found
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
    return found._replace(superpixels=np.ascontiguousarray(found.superpixels[rows[:, None], columns[None, :]]))


@compiled
def _climb(children, n, area, box, code):  # type: ignore[no-untyped-def]
    for k in range(children.shape[0]):
        a, b, made = children[k, 0], children[k, 1], n + k
        area[made] = area[a] + area[b]
        code[made] = code[a] + code[b]
        for i in range(2):
            box[made, i] = min(box[a, i], box[b, i])
            box[made, i + 2] = max(box[a, i + 2], box[b, i + 2])


@compiled
def _spans(children, n):  # type: ignore[no-untyped-def]
    """Places of the regions in the order of the tree, and the span of places that each node covers."""
    nodes = 2 * n - 1
    span = np.zeros((nodes, 2), np.int64)
    width = np.ones(nodes, np.int64)
    for k in range(children.shape[0]):
        width[n + k] = width[children[k, 0]] + width[children[k, 1]]
    span[nodes - 1, 1] = width[nodes - 1]
    for k in range(children.shape[0] - 1, -1, -1):
        a, b, made = children[k, 0], children[k, 1], n + k
        span[a, 0] = span[made, 0]
        span[a, 1] = span[b, 0] = span[made, 0] + width[a]
        span[b, 1] = span[made, 1]
    return span


def _cells(sources: Sequence[Source], owner: NDArray[np.intp], index: NDArray[np.intp]) -> Found:
    """Chosen candidates over the cells of all label maps."""
    spans = [_spans(source.tree.children, source.tree.n) for source in sources]
    maps: list[NDArray[np.int32]] = []  # the different label maps, the first tree's first
    which = []
    for source in sources:
        known = [k for k, labels in enumerate(maps) if labels is source.regions.labels]
        which.append(known[0] if known else len(maps))
        if not known:
            maps.append(source.regions.labels)
    cells = spans[0][: sources[0].tree.n, 0][maps[0].ravel()]
    for labels in maps[1:]:
        cells = np.unique(cells * (int(labels.max()) + 1) + labels.ravel(), return_inverse=True)[1].astype(np.int64)
    _, first, cells = np.unique(cells, return_index=True, return_inverse=True)
    regions = [labels.ravel()[first] for labels in maps]  # (S,), the region of each cell in each map
    found: list[NDArray[np.int32]] = []
    places = [span[: source.tree.n, 0][regions[k]] for source, span, k in zip(sources, spans, which, strict=True)]
    orders = [np.argsort(place, kind="stable").astype(np.int32) for place in places]
    sorted_places = [place[order] for place, order in zip(places, orders, strict=True)]
    for tree, candidate in zip(owner, index, strict=True):
        nodes = sources[tree].groups.nodes[candidate]
        ends = np.searchsorted(sorted_places[tree], spans[tree][nodes[nodes >= 0]])
        found.append(np.sort(np.concatenate([orders[tree][low:high] for low, high in ends])))
    starts = np.cumsum([0, *map(len, found)], dtype=np.int64)
    members = np.concatenate([*found, np.zeros(0, np.int32)]).astype(np.int32)
    scores = (1 / np.arange(1, len(found) + 1)).astype(np.float32)
    return Found(cells.reshape(maps[0].shape).astype(np.int32), starts, members, scores)
