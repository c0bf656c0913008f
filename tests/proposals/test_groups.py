from itertools import combinations

import numpy as np
import pytest

from wsscli.proposals.groups import groups
from wsscli.proposals.merging import Tree


def random_tree(seed, n=9):
    """A graph of n regions in a line with some chords, and a tree that merges neighbours at random."""
    rng = np.random.default_rng(seed)
    pairs = {(i, i + 1) for i in range(n - 1)} | {
        tuple(sorted(rng.choice(n, 2, replace=False).tolist())) for _ in range(4)
    }
    nodes, children = {i: {i} for i in range(n)}, []
    while len(nodes) > 1:
        options = [(a, b) for a, b in combinations(sorted(nodes), 2) if touch(nodes[a], nodes[b], pairs)]
        a, b = options[rng.integers(len(options))]
        nodes[n + len(children)] = nodes.pop(a) | nodes.pop(b)
        children.append((a, b))
    return Tree(np.array(children, np.int32), np.zeros(n - 1, np.float32)), np.array(sorted(pairs), np.int32)


def touch(first, second, pairs):
    return any((a in first and b in second) or (a in second and b in first) for a, b in pairs)


def literal(tree, pairs, pair_levels, triple_levels):
    """{(sorted nodes): level} by going through every partition: the first one that holds all nodes counts."""
    pairs = [tuple(p) for p in pairs.tolist()]
    n = tree.n
    nodes = {i: {i} for i in range(n)}
    found = {}
    for made in range(n):
        left = n - made
        if made:
            a, b = tree.children[made - 1].tolist()
            nodes[n + made - 1] = nodes.pop(a) | nodes.pop(b)
        for a, b in combinations(sorted(nodes), 2):
            if left <= pair_levels and touch(nodes[a], nodes[b], pairs):
                found.setdefault((a, b), left)
        for three in combinations(sorted(nodes), 3):
            joins = sum(touch(nodes[a], nodes[b], pairs) for a, b in combinations(three, 2))
            if left <= triple_levels and joins >= 2:
                found.setdefault(three, left)
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("limits", [(99, 99), (5, 5), (0, 0), (9, 4), (4, 0)])
def test_equal_to_going_through_all_partitions(seed, limits):
    tree, pairs = random_tree(seed)
    made = groups(tree, pairs, pair_levels=limits[0], triple_levels=limits[1])
    n = tree.n
    assert made.nodes[: 2 * n - 1, 0].tolist() == list(range(2 * n - 1))
    assert (made.nodes[: 2 * n - 1, 1:] == -1).all()
    for k, (a, b) in enumerate(tree.children):
        assert made.levels[a] == made.levels[b] == n - k
    assert made.levels[2 * n - 2] == 1
    slow = literal(tree, pairs, *limits)
    fast = {}
    for row, level in zip(made.nodes[2 * n - 1 :].tolist(), made.levels[2 * n - 1 :].tolist(), strict=True):
        key = tuple(sorted(node for node in row if node >= 0))
        fast[key] = max(level, fast.get(key, 0))
    if limits[0] == limits[1]:
        assert fast == slow
    else:  # where pairs reach further up than triples, triples come up with new nodes alone
        assert {k: v for k, v in fast.items() if len(k) == 2} == {k: v for k, v in slow.items() if len(k) == 2}
        assert fast.keys() <= slow.keys() and all(fast[k] == slow[k] for k in fast)
