import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.proposals import ProposalSet
from wsscli.seeds.localization import check_options, localization_maps, rough_mask, select


def regions(*boxes, size=(6, 8)):
    """Proposals that are boxes (y0, x0, y1, x1), best first."""
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (y0, x0, y1, x1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return ProposalSet.of_masks(masks, np.arange(len(boxes), 0, -1.0)), masks


def literal_maps(masks, candidates):
    """Equation 2, pixel by pixel."""
    found = np.zeros((1 + len(candidates), *masks.shape[1:]))
    for k, rows in enumerate(candidates):
        for y, x in np.ndindex(masks.shape[1:]):
            found[1 + k, y, x] = sum(int(masks[r, y, x]) for r in rows) / len(rows)
    for y, x in np.ndindex(masks.shape[1:]):
        found[0, y, x] = max(0, 1 - found[1:, y, x].sum())
    return found


def literal_mask(masks, scores, maps, classes, candidates, joined):
    """Equation 5, region by region and pixel by pixel."""
    joint = []
    for k, rows in enumerate(candidates):
        order = []
        for r in rows:
            pixels = [maps[1 + k, y, x] for y, x in np.ndindex(masks.shape[1:]) if masks[r, y, x]]
            order.append((-(scores[r, k] + sum(pixels) / len(pixels)), r))
        joint.append([r for _, r in sorted(order)[:joined]])
    labels = np.zeros(masks.shape[1:], np.uint8)
    for y, x in np.ndindex(labels.shape):
        there = [k for k, rows in enumerate(joint) if any(masks[r, y, x] for r in rows)]
        if there:
            labels[y, x] = classes[max(there, key=lambda k: (maps[1 + k, y, x], -k))]
    return labels


def test_candidates_score_more_than_half():
    rows, fell_back = select(np.array([0.2, 0.9, 0.5, 0.51], np.float32))
    assert list(rows) == [1, 3] and not fell_back
    rows, fell_back = select(np.array([0.2, 0.3, 0.3], np.float32))
    assert list(rows) == [1] and fell_back
    rows, fell_back = select(np.zeros(0, np.float32))
    assert not len(rows) and fell_back
    assert list(select(np.array([0.2, 0.1]), 0.15).rows) == [0]


def test_candidates_are_eligible_where_any_is():
    scores, eligible = np.array([0.9, 0.4, 0.8, 0.6]), np.array([False, True, True, True])
    assert list(select(scores, 0.5, eligible).rows) == [2, 3]
    rows, fell_back = select(scores, 0.85, eligible)
    assert list(rows) == [2] and fell_back
    for threshold in (0.5, 0.95):
        rows, fell_back = select(scores, threshold, np.zeros(4, bool))
        assert list(rows) == [0] and fell_back


def test_normalised_maps_reach_1_where_most_candidates_lie():
    proposals, _ = regions((0, 0, 4, 4), (0, 0, 2, 2), (4, 4, 6, 8), (0, 6, 2, 8))
    maps = localization_maps(proposals, [np.arange(4), np.array([3])])
    # two of four dogs; one; the dog and the cat; nothing
    spots = [(0, 0), (3, 3), (0, 7), (5, 0)]
    assert [tuple(maps[:, y, x]) for y, x in spots] == [(0, 1, 0), (0.5, 0.5, 0), (0, 0.5, 1), (1, 0, 0)]


def test_maps_and_mask_by_hand():
    proposals, masks = regions((0, 0, 4, 4), (0, 0, 2, 2), (1, 1, 5, 7), (4, 6, 6, 8))
    dog, cat = np.array([0, 1]), np.array([2])
    maps = localization_maps(proposals, [dog, cat], normalise=False)
    assert maps.dtype == np.float32
    # a corner in both dogs; one dog; a dog and the cat; the cat alone; nothing
    spots = ((0, 0), (0, 3), (3, 3), (1, 1), (4, 6), (5, 7))
    expected = [(0, 1, 0), (0.5, 0.5, 0), (0, 0.5, 1), (0, 1, 1), (0, 0, 1), (1, 0, 0)]
    assert [tuple(maps[:, y, x]) for y, x in spots] == expected
    scores = np.array([[0.9, 0.1], [0.6, 0.2], [0.1, 0.8], [0.3, 0.3]])
    mask = rough_mask(proposals, scores, maps, [5, 9], [dog, cat])
    # where dog and cat are equally likely the first class stays
    assert [mask[spot] for spot in spots] == [5, 5, 9, 5, 9, 0]
    # the second dog: 0.6 + 1.0 against 0.9 + (4 x 1 + 12 x 0.5) / 16 = 1.525
    one = rough_mask(proposals, scores, maps, [5, 9], [dog, cat], joined=1)
    assert np.array_equal(one == 5, masks[1])
    everything = rough_mask(proposals, scores, maps, [5, 9], [dog, np.arange(4)])
    assert everything[5, 7] == 9


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), joined=st.integers(1, 4), classes=st.integers(1, 3))
def test_fast_form_is_the_literal_one(seed, joined, classes):
    rng = np.random.default_rng(seed)
    corners = [(y, x, rng.integers(y + 1, 7), rng.integers(x + 1, 9)) for y, x in rng.integers(0, 6, (7, 2))]
    proposals, masks = regions(*corners)
    refined = [np.sort(rng.choice(7, rng.integers(1, 7), replace=False)) for _ in range(classes)]
    pools = [np.union1d(rows, rng.choice(7, 2)) for rows in refined]
    scores = rng.random((7, classes)).astype(np.float32)
    shares = localization_maps(proposals, refined, normalise=False)
    np.testing.assert_allclose(shares, literal_maps(masks, refined), atol=1e-6)
    maps = localization_maps(proposals, refined)
    np.testing.assert_allclose(maps[1:], [p / p.max() for p in shares[1:]], atol=1e-6)
    assert maps.min() >= 0 and maps.max() <= 1 and (maps.sum(0) > 1 - 1e-6).all()
    ids = [3, 7, 8][:classes]
    found = rough_mask(proposals, scores, maps, ids, pools, joined=joined)
    assert np.array_equal(found, literal_mask(masks, scores, maps, ids, pools, joined))


def test_no_class_and_no_candidate_are_background():
    proposals, _ = regions((0, 0, 4, 4))
    maps = localization_maps(proposals, [])
    assert maps.shape == (1, 6, 8) and (maps == 1).all()
    assert not rough_mask(proposals, np.zeros((1, 0)), maps, [], []).any()
    none = np.zeros(0, np.int64)
    maps = localization_maps(proposals, [none])
    assert (maps[0] == 1).all() and not maps[1].any()
    assert not rough_mask(proposals, np.zeros((1, 1)), maps, [4], [none]).any()


def test_errors():
    proposals, _ = regions((0, 0, 4, 4))
    for threshold in (-0.1, 1.0):
        with pytest.raises(UsageError) as caught:
            select(np.ones(1), threshold)
        assert str(caught.value) == f"--min-score {threshold:g}: give a number from 0 to below 1"
    with pytest.raises(WssError) as caught:
        select(np.array([0.1, np.nan]))
    assert str(caught.value) == "hypotheses: a score is NaN; the model has diverged, train it again"
    with pytest.raises(UsageError) as caught:
        rough_mask(proposals, np.ones((1, 0)), np.ones((1, 6, 8), np.float32), [], [], joined=0)
    assert str(caught.value) == "--joined 0: give 1 or more"
    with pytest.raises(UsageError) as caught:
        check_options(min_area=1.5)
    assert str(caught.value) == "--min-area 1.5: give a number from 0 to below 1"
