"""Nodes of a merging tree, and pairs and triples of nodes that are neighbours at some moment of the merging."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsscli.proposals.merging import Tree
from wsscli.refine.compiled import compiled


@dataclass(frozen=True)
class Groups:
    """Candidates for proposals from one tree.

    Attributes:
        nodes: int32 (m, 3), the nodes that a candidate is made of, -1 where it has fewer.
        levels: int32 (m,), how many regions there were when the candidate came up: a node when it was about to be
            merged (the whole photo: 1), a pair or triple when the last of its nodes was made.
    """

    nodes: NDArray[np.int32]
    levels: NDArray[np.int32]


def groups(tree: Tree, pairs: NDArray[np.int32], *, pair_levels: int, triple_levels: int) -> Groups:
    """All nodes of a tree, and the pairs and triples of neighbours near its top.

    Args:
        tree: of `merge`.
        pairs: int32 (e, 2), neighbouring regions.
        pair_levels: pairs are taken of the last so many partitions.
        triple_levels: so are connected triples.
    """
    n = tree.n
    single = np.full((2 * n - 1, 3), -1, np.int32)
    single[:, 0] = np.arange(2 * n - 1)
    levels = np.ones(2 * n - 1, np.int32)
    levels[tree.children[:, 0]] = levels[tree.children[:, 1]] = np.arange(n, 1, -1)
    joined, their = _joined(tree.children, n, pairs, pair_levels, triple_levels)
    return Groups(np.concatenate([single, joined]), np.concatenate([levels, their]))


@compiled
def _joined(children, n, pairs, pair_levels, triple_levels):  # type: ignore[no-untyped-def]
    """Pairs and triples around each new node, level by level; at the first level around every node."""
    touch = np.zeros((n, n), np.bool_)
    for k in range(pairs.shape[0]):
        touch[pairs[k, 0], pairs[k, 1]] = touch[pairs[k, 1], pairs[k, 0]] = True
    node = np.arange(n).astype(np.int32)
    slot = np.zeros(2 * n - 1, np.int32)
    slot[:n] = np.arange(n)
    alive = np.ones(n, np.bool_)
    near = np.empty(n, np.int32)
    beyond = np.empty(n, np.int32)
    found = np.full((1024, 3), -1, np.int32)
    levels = np.empty(1024, np.int32)
    count = 0
    first = min(n, max(pair_levels, triple_levels))
    for made in range(n):  # `made` merges are done
        left = n - made
        if made > 0:
            a, b = slot[children[made - 1, 0]], slot[children[made - 1, 1]]
            for c in range(n):
                touch[a, c] |= touch[b, c]
                touch[c, a] = touch[a, c]
            touch[a, a] = False
            alive[b] = False
            node[a] = n + made - 1
            slot[n + made - 1] = a
        if left > first:
            continue
        for v in range(n):
            if not alive[v] or (left < first and v != a):
                continue
            whole = left < first  # around one new node: each neighbour counts, else each pair once
            n_near = 0
            for c in range(n):
                if touch[v, c] and alive[c]:
                    near[n_near] = c
                    n_near += 1
            for i in range(n_near):
                c = near[i]
                if count + n + 1 >= levels.size:
                    wider = np.full((2 * (count + n + 1), 3), -1, np.int32)
                    wider[:count] = found[:count]
                    found = wider
                    longer = np.empty(wider.shape[0], np.int32)
                    longer[:count] = levels[:count]
                    levels = longer
                if left <= pair_levels and (whole or v < c):
                    found[count, 0], found[count, 1], levels[count] = node[v], node[c], left
                    count += 1
                if left > triple_levels:
                    continue
                n_beyond = 0
                for d in range(n):
                    if (
                        d != v
                        and d != c
                        and alive[d]
                        and ((touch[v, d] and d > c) or (touch[c, d] and not touch[v, d]))
                    ):
                        beyond[n_beyond] = d
                        n_beyond += 1
                for j in range(n_beyond):
                    d = beyond[j]
                    found[count, 0], found[count, 1], found[count, 2] = node[v], node[c], node[d]
                    levels[count] = left
                    count += 1
    return found[:count], levels[:count]
