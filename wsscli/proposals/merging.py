"""Greedy merging of neighbouring regions, the most alike first: the engine behind every hierarchy of proposals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsscli.refine.compiled import compiled

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Regions:
    """The regions of a photo, with what merging asks of them.

    Attributes:
        labels: int32 (H, W), values 0..n-1, each occurs.
        sizes: float32 (n,), pixels.
        boxes: int32 (n, 4), x0, y0, x1, y1; x1 and y1 exclusive.
        colour: float32 (n, C), a histogram a region, sum 1.
        texture: float32 (n, T), a histogram a region, sum 1.
        pairs: int32 (e, 2), neighbours (4-connected), the smaller first, sorted.
        lengths: float32 (e,), pixel edges between the two.
        edges: float32 (e,), the sum of the boundary strength over these pixel edges.
    """

    labels: NDArray[np.int32]
    sizes: F32
    boxes: NDArray[np.int32]
    colour: F32
    texture: F32
    pairs: NDArray[np.int32]
    lengths: F32
    edges: F32


@dataclass(frozen=True)
class Likeness:
    """How alike two neighbours are: the weighted sum of these terms, each in [0, 1].

    Attributes:
        boundary: 1 - mean boundary strength between them.
        colour: intersection of their colour histograms.
        texture: intersection of their texture histograms.
        size: 1 - share of the photo that both take: small regions merge early.
        fill: 1 - share of the photo that their common box has beyond both.
    """

    boundary: float = 0.0
    colour: float = 1.0
    texture: float = 1.0
    size: float = 1.0
    fill: float = 1.0

    @property
    def weights(self) -> F32:
        return np.array([self.boundary, self.colour, self.texture, self.size, self.fill], np.float32)


@dataclass(frozen=True)
class Tree:
    """A binary tree over n regions: node i < n is region i, node n + k what the k-th merge made.

    Attributes:
        children: int32 (n - 1, 2), the two nodes of each merge.
        likeness: float32 (n - 1,), how alike they were.
    """

    children: NDArray[np.int32]
    likeness: F32

    @property
    def n(self) -> int:
        """Regions at the start."""
        return len(self.children) + 1


def merge(regions: Regions, likeness: Likeness) -> Tree:
    """Merge the most alike neighbours until one region is left.

    Histograms of a merged region are the means of its two parts', weighted by size; boundaries to a common neighbour
    are joined. Of equally alike pairs the one with the smaller slots goes first.

    Args:
        regions: a connected graph of at least one region.
        likeness: the weights of the terms.

    Source: Uijlings et al., "Selective Search for Object Recognition", IJCV 2013, section 3.1, algorithm 1, and
        section 3.2 (equations 1 to 5).
    Differs: a term for the boundary between two regions, which their paper does not have.
    """
    children, values = _merge(
        regions.sizes.astype(np.float32), regions.boxes.astype(np.int32), regions.colour.astype(np.float32),
        regions.texture.astype(np.float32), regions.pairs, regions.lengths, regions.edges, likeness.weights,
        np.float32(regions.labels.size),
    )  # fmt: skip
    return Tree(children, values)


@compiled
def _alike(a, b, sizes, boxes, colour, texture, length, edge, weights, pixels):  # type: ignore[no-untyped-def]
    """The weighted sum of Likeness's terms for two slots."""
    total = np.float32(0.0)
    if weights[0] > 0:
        total += weights[0] * (np.float32(1.0) - edge / length)
    if weights[1] > 0:
        common = np.float32(0.0)
        for i in range(colour.shape[1]):
            common += min(colour[a, i], colour[b, i])
        total += weights[1] * common
    if weights[2] > 0:
        common = np.float32(0.0)
        for i in range(texture.shape[1]):
            common += min(texture[a, i], texture[b, i])
        total += weights[2] * common
    both = sizes[a] + sizes[b]
    total += weights[3] * (np.float32(1.0) - both / pixels)
    width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
    height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
    total += weights[4] * (np.float32(1.0) - (np.float32(width) * np.float32(height) - both) / pixels)
    return total


@compiled
def _before(keys, firsts, seconds, i, j):  # type: ignore[no-untyped-def]
    """Whether entry i of the queue goes before entry j."""
    if keys[i] != keys[j]:
        return keys[i] > keys[j]
    if firsts[i] != firsts[j]:
        return firsts[i] < firsts[j]
    return seconds[i] < seconds[j]


@compiled
def _swap(keys, firsts, seconds, stamps, i, j):  # type: ignore[no-untyped-def]
    keys[i], keys[j] = keys[j], keys[i]
    firsts[i], firsts[j] = firsts[j], firsts[i]
    seconds[i], seconds[j] = seconds[j], seconds[i]
    stamps[i], stamps[j] = stamps[j], stamps[i]


@compiled
def _rise(keys, firsts, seconds, stamps, at):  # type: ignore[no-untyped-def]
    while at > 0:
        up = (at - 1) // 2
        if not _before(keys, firsts, seconds, at, up):
            break
        _swap(keys, firsts, seconds, stamps, at, up)
        at = up


@compiled
def _sink(keys, firsts, seconds, stamps, count):  # type: ignore[no-untyped-def]
    at = 0
    while True:
        down = 2 * at + 1
        if down >= count:
            break
        if down + 1 < count and _before(keys, firsts, seconds, down + 1, down):
            down += 1
        if not _before(keys, firsts, seconds, down, at):
            break
        _swap(keys, firsts, seconds, stamps, at, down)
        at = down


@compiled
def _merge(sizes, boxes, colour, texture, pairs, lengths, edges, weights, pixels):  # type: ignore[no-untyped-def]
    """A merged region takes the slot of its first part.

    The queue keeps entries that have become old: an entry's stamp is the number of merges its two slots had seen,
    and as these only grow, it is fresh when their sum is still the same.
    """
    n, e = sizes.shape[0], pairs.shape[0]
    sizes, boxes, colour, texture = sizes.copy(), boxes.copy(), colour.copy(), texture.copy()
    length = np.zeros((n, n), np.float32)
    strength = np.zeros((n, n), np.float32)
    node = np.arange(n).astype(np.int32)
    version = np.zeros(n, np.int32)
    alive = np.ones(n, np.bool_)
    children = np.empty((max(n - 1, 0), 2), np.int32)
    values = np.empty(max(n - 1, 0), np.float32)

    room = 4 * e + 16
    keys = np.empty(room, np.float32)
    firsts = np.empty(room, np.int32)
    seconds = np.empty(room, np.int32)
    stamps = np.empty(room, np.int32)
    count = 0
    for k in range(e):
        a, b = pairs[k, 0], pairs[k, 1]
        length[a, b] = length[b, a] = lengths[k]
        strength[a, b] = strength[b, a] = edges[k]
        keys[count] = _alike(a, b, sizes, boxes, colour, texture, lengths[k], edges[k], weights, pixels)
        firsts[count], seconds[count], stamps[count] = a, b, 0
        count += 1
        _rise(keys, firsts, seconds, stamps, count - 1)

    made = 0
    while made < n - 1 and count > 0:
        value, a, b = keys[0], firsts[0], seconds[0]
        fresh = alive[a] and alive[b] and stamps[0] == version[a] + version[b]
        count -= 1
        _swap(keys, firsts, seconds, stamps, 0, count)
        _sink(keys, firsts, seconds, stamps, count)
        if not fresh:
            continue
        children[made, 0], children[made, 1], values[made] = node[a], node[b], value
        share = sizes[b] / (sizes[a] + sizes[b])
        for i in range(colour.shape[1]):
            colour[a, i] += share * (colour[b, i] - colour[a, i])
        for i in range(texture.shape[1]):
            texture[a, i] += share * (texture[b, i] - texture[a, i])
        sizes[a] += sizes[b]
        for i in range(2):
            boxes[a, i] = min(boxes[a, i], boxes[b, i])
            boxes[a, i + 2] = max(boxes[a, i + 2], boxes[b, i + 2])
        alive[b] = False
        node[a] = n + made
        version[a] += 1
        made += 1
        for c in range(n):
            if c == a or not alive[c] or length[a, c] + length[b, c] == 0:
                continue
            length[a, c] = length[c, a] = length[a, c] + length[b, c]
            strength[a, c] = strength[c, a] = strength[a, c] + strength[b, c]
            if count == room:
                keys, firsts, seconds, stamps = _longer(keys), _longer(firsts), _longer(seconds), _longer(stamps)
                room *= 2
            low, high = min(a, c), max(a, c)
            keys[count] = _alike(
                low, high, sizes, boxes, colour, texture, length[a, c], strength[a, c], weights, pixels
            )
            firsts[count], seconds[count], stamps[count] = low, high, version[low] + version[high]
            count += 1
            _rise(keys, firsts, seconds, stamps, count - 1)
    return children[:made], values[:made]


@compiled
def _longer(values):  # type: ignore[no-untyped-def]
    wider = np.empty(2 * values.shape[0], values.dtype)
    wider[: values.shape[0]] = values
    return wider
