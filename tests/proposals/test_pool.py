import numpy as np
import pytest

from wsscli.proposals.groups import groups
from wsscli.proposals.merging import Likeness, merge
from wsscli.proposals.pool import Source, enlarge, pool
from wsscli.proposals.regions import boundary_strength, colours, describe, texture_bins


def sources_of(seed, trees=3, height=12, width=10):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    values = colours(image, "hsv")
    made = []
    for _ in range(trees):
        labels = np.unique(rng.integers(0, 9, (height, width)), return_inverse=True)[1].reshape(height, width)
        regions = describe(labels.astype(np.int32), values, texture_bins(values), boundary_strength(values))
        for likeness in (Likeness(), Likeness(boundary=1)):
            tree = merge(regions, likeness)
            found = groups(tree, regions.pairs, pair_levels=9, triple_levels=5)
            made.append(Source(regions, tree, found, rng.integers(0, 30, len(found.levels)).astype(np.float32)))
    return made


def literal_masks(sources):
    """[(cost, mask)] of all candidates, in the order of the trees, from the trees' leaves."""
    found = []
    for source in sources:
        leaves = {i: {i} for i in range(source.tree.n)}
        for k, (a, b) in enumerate(source.tree.children.tolist()):
            leaves[source.tree.n + k] = leaves[a] | leaves[b]
        for nodes, cost in zip(source.groups.nodes.tolist(), source.costs.tolist(), strict=True):
            inside = set().union(*(leaves[node] for node in nodes if node >= 0))
            found.append((cost, np.isin(source.regions.labels, sorted(inside))))
    return found


def masks_of(found):
    return [
        np.isin(found.superpixels, found.members[found.starts[i] : found.starts[i + 1]])
        for i in range(len(found.scores))
    ]


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_masks_made_one_by_one(seed):
    sources = sources_of(seed)
    wanted, seen = [], set()
    for _, mask in sorted(literal_masks(sources), key=lambda pair: pair[0]):
        if mask.mean() >= 0.1 and mask.tobytes() not in seen:
            seen.add(mask.tobytes())
            wanted.append(mask)
    found = pool(sources, count=10**6, min_area=0.1, alike=0)
    np.testing.assert_array_equal(masks_of(found), wanted)
    few = pool(sources, count=7, min_area=0.1, alike=0)
    np.testing.assert_array_equal(masks_of(few), wanted[:7])
    np.testing.assert_allclose(few.scores, 1 / np.arange(1, 8), rtol=1e-6)
    assert few.superpixels.dtype == few.members.dtype == np.int32 and few.starts.dtype == np.int64


def test_what_touches_the_sides_of_the_photo_comes_later():
    sources = sources_of(4)
    wanted = []
    for k, (cost, mask) in enumerate(literal_masks(sources)):
        sides = int(mask[0].any()) + int(mask[-1].any()) + int(mask[:, 0].any()) + int(mask[:, -1].any())
        wanted.append((cost * (1 + 0.75 * sides), k, mask.tobytes()))
    wanted = list(dict.fromkeys(mask for *_, mask in sorted(wanted)))
    found = masks_of(pool(sources, count=10**6, min_area=0, alike=0, rim=0.75))
    assert [mask.tobytes() for mask in found] == wanted
    plain = masks_of(pool(sources, count=10**6, min_area=0, alike=0))
    assert [mask.tobytes() for mask in plain] != wanted


def test_near_duplicates_are_left_out():
    sources = sources_of(5)
    every, some = (pool(sources, count=10**6, min_area=0, alike=a) for a in (0, 0.1))
    masks = {mask.tobytes() for mask in masks_of(every)}
    kept = masks_of(some)
    assert 0 < len(kept) < len(masks) and all(mask.tobytes() in masks for mask in kept)
    assert kept[0].tobytes() == masks_of(every)[0].tobytes()


def test_regions_of_the_first_tree_are_of_consecutive_superpixels():
    found = pool(sources_of(1)[:1], count=50, min_area=0, alike=0)
    whole = np.flatnonzero(np.diff(found.starts) == found.superpixels.max() + 1)
    assert len(whole)
    singles = pool(sources_of(1, trees=2)[:1], count=1, min_area=0.99, alike=0)
    assert singles.members.tolist() == list(range(found.superpixels.max() + 1))


def test_enlarged_regions():
    found = pool(sources_of(2), count=20, min_area=0, alike=0)
    large = enlarge(found, (24, 30))
    assert large.superpixels.shape == (24, 30)
    np.testing.assert_array_equal(large.superpixels, found.superpixels.repeat(2, axis=0).repeat(3, axis=1))
    assert enlarge(found, (12, 10)) is found
