import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.proposals.merging import Likeness, Regions, merge
from wsscli.proposals.regions import boundary_strength, colours, describe, texture_bins


def regions_of(seed, height=7, width=9, parts=8):
    rng = np.random.default_rng(seed)
    labels = np.unique(rng.integers(0, parts, (height, width)), return_inverse=True)[1]
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    values = colours(image, "lab")
    return describe(
        labels.reshape(height, width).astype(np.int32), values, texture_bins(values), boundary_strength(values)
    )


def literal(regions, weights):
    """The merging as a loop over all pairs, everything looked up in the pixels' own histograms and boundaries."""
    n, pixels = len(regions.sizes), regions.labels.size
    slots = {i: (i, [i]) for i in range(n)}  # slot -> (node, its regions)
    edges = {tuple(p): (w, s) for p, w, s in zip(regions.pairs.tolist(), regions.lengths, regions.edges, strict=True)}
    merges = []

    def pooled(histograms, members):
        return sum(regions.sizes[m] * histograms[m] for m in members) / sum(regions.sizes[m] for m in members)

    def alike(a, b):
        first, second = slots[a][1], slots[b][1]
        between = [v for (p, q), v in edges.items() if (p in first and q in second) or (q in first and p in second)]
        if not between:
            return -np.inf
        both = [*first, *second]
        size = sum(regions.sizes[m] for m in both)
        box = regions.boxes[both]
        area = (box[:, 2].max() - box[:, 0].min()) * (box[:, 3].max() - box[:, 1].min())
        terms = [
            1 - sum(v[1] for v in between) / sum(v[0] for v in between),
            np.minimum(pooled(regions.colour, first), pooled(regions.colour, second)).sum(),
            np.minimum(pooled(regions.texture, first), pooled(regions.texture, second)).sum(),
            1 - size / pixels,
            1 - (area - size) / pixels,
        ]
        return float(np.dot(weights, terms))

    while len(slots) > 1:
        value, a, b = max((alike(a, b), -a, -b) for a in slots for b in slots if a < b)
        a, b = -a, -b
        merges.append((slots[a][0], slots[b][0], value))
        slots[a] = (n + len(merges) - 1, [*slots[a][1], *slots.pop(b)[1]])
    return merges


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=5, max_size=5))
def test_equal_to_the_loop_over_pairs(seed, weights):
    regions = regions_of(seed)
    # likenesses are never equal but for rounding, which may settle the order either way
    weights = [weight + more for weight, more in zip(weights, (0.111, 0.123, 0.137, 0.151, 0.173), strict=True)]
    tree = merge(regions, Likeness(*weights))
    slow = literal(regions, weights)
    np.testing.assert_allclose(tree.likeness, [value for *_, value in slow], atol=2e-5)
    assert tree.children.tolist() == [[a, b] for a, b, _ in slow]


def test_by_hand():
    """Three in a row, told apart by colour: the two that are alike first."""
    regions = Regions(
        np.array([[0, 1, 2]], np.int32), np.ones(3, np.float32),
        np.array([[0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 3, 1]], np.int32),
        np.array([[1, 0], [0.25, 0.75], [0, 1]], np.float32), np.ones((3, 1), np.float32),
        np.array([[0, 1], [1, 2]], np.int32), np.ones(2, np.float32), np.array([0.5, 0.25], np.float32),
    )  # fmt: skip
    tree = merge(regions, Likeness(colour=1, texture=0, size=0, fill=0))
    assert tree.children.tolist() == [[1, 2], [0, 3]] and tree.n == 3
    np.testing.assert_allclose(tree.likeness, [0.75, 0.125])
    tree = merge(regions, Likeness(boundary=1, colour=0, texture=0, size=0, fill=0))
    np.testing.assert_allclose(tree.likeness, [0.75, 0.5])
    tree = merge(regions, Likeness(boundary=0, colour=0, texture=0, size=1, fill=1))
    assert tree.children.tolist() == [[0, 1], [3, 2]]
    np.testing.assert_allclose(tree.likeness, [4 / 3, 1], atol=1e-6)


def test_one_region():
    labels = np.zeros((3, 4), np.int32)
    values = np.zeros((3, 4, 3), np.float32)
    regions = describe(labels, values, texture_bins(values), boundary_strength(values))
    tree = merge(regions, Likeness())
    assert tree.n == 1 and tree.children.shape == (0, 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_regions_are_left_as_they_were(seed):
    regions = regions_of(seed)
    before = [np.copy(getattr(regions, name)) for name in ("sizes", "boxes", "colour", "texture")]
    merge(regions, Likeness())
    for was, name in zip(before, ("sizes", "boxes", "colour", "texture"), strict=True):
        np.testing.assert_array_equal(was, getattr(regions, name))
