import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import UsageError, WssError
from wsscli.seeds.cross_image import ClassSums, Moments, in_memory, kept


def literal(images):
    """Equation 1, word for word."""
    found = []
    for i, mine in enumerate(images):
        distances = []
        for x in mine:
            total = 0.0
            for other, rows in enumerate(images):
                if other == i:
                    continue
                inner = 0.0
                for y in rows:
                    inner += sum(float(a - b) ** 2 for a, b in zip(x, y, strict=True))
                total += inner / len(rows)
            distances.append(total / (len(images) - 1))
        found.append(np.array(distances))
    return found


def random_images(seed, counts, dimensions, centre=0.0):
    rng = np.random.default_rng(seed)
    return [rng.normal(centre, 1, (n, dimensions)).astype(np.float32) for n in counts]


def closed(images):
    sums = ClassSums()
    rows = [np.asarray(r, np.float64) for r in images]
    for r in rows:
        sums.add(r)
    return [sums.distances(r) for r in rows]


def test_by_hand():
    images = [np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[3.0, 0.0], [0.0, 3.0]])]
    first, second, third = closed(images)
    # (0,0): 1 to the second image, (9 + 9)/2 to the third; (2,0): 5, and (1 + 13)/2
    np.testing.assert_allclose(first, [(1 + 9) / 2, (5 + 7) / 2])
    np.testing.assert_allclose(second, [((1 + 5) / 2 + (10 + 4) / 2) / 2])
    np.testing.assert_allclose(third, [((9 + 1) / 2 + 10) / 2, ((9 + 13) / 2 + 4) / 2])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(1, 7), min_size=2, max_size=6),
    dimensions=st.integers(1, 6),
    centre=st.floats(-30, 30),
)
def test_closed_form_is_the_double_loop(seed, counts, dimensions, centre):
    images = random_images(seed, counts, dimensions, centre)
    for fast, slow in zip(closed(images), literal(images), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_all_of_the_energy_is_the_distance_of_the_features(seed, counts):
    """A rotation changes no distance."""
    images = random_images(seed, counts, 4, centre=5)
    for fast, slow in zip(in_memory(images, energy=1.0), literal(images), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-4)


def test_distances_after_principal_components_are_the_double_loop():
    images = random_images(3, [4, 1, 6, 3], 12, centre=2)
    for rows in images:
        rows[:, 5:] *= 0.02  # little energy there
    rows = np.concatenate(images).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    enough = next(d for d in range(1, 13) if values[:d].sum() >= 0.98 * values.sum())
    assert enough < 6
    projected = [(r - rows.mean(0)) @ vectors[:, :enough] for r in images]
    for fast, slow in zip(in_memory(images), literal(projected), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-5)


def test_moments_in_parts_are_those_of_all():
    rows = np.concatenate(random_images(1, [5, 1, 30], 6, centre=100))  # a mean far from 0 loses no digits
    parts = Moments()
    for part in np.split(rows, [3, 3, 4, 20]):
        parts.add(part)
    basis = parts.basis(1.0)
    assert parts.count == 36 and basis.vectors.shape == (6, 6)
    np.testing.assert_allclose(basis.mean, rows.mean(0, dtype=np.float64), rtol=1e-6)
    variances = basis.project(rows).var(0)
    expected = np.linalg.eigvalsh(np.cov(rows.T.astype(np.float64), bias=True))[::-1]
    np.testing.assert_allclose(variances, expected, rtol=1e-4)


@pytest.mark.parametrize(("energy", "many"), [(0.6, 1), (0.64, 1), (0.66, 2), (0.98, 3), (1.0, 3)])
def test_as_few_components_as_hold_the_energy(energy, many):
    rows = np.diag(np.sqrt([65.0, 30.0, 5.0]))
    moments = Moments()
    moments.add(np.concatenate([rows, -rows, np.zeros((1, 3))]).astype(np.float32) @ np.eye(3, 5, dtype=np.float32))
    assert moments.basis(energy).vectors.shape == (5, many)


def test_candidates_all_alike():
    images = [np.ones((n, 3), np.float32) for n in (2, 1)]
    assert all((found == 0).all() for found in in_memory(images))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
def test_the_larger_half_stays(n):
    distances = np.random.default_rng(n).permutation(n).astype(np.float64)
    near, far = kept(distances), kept(distances, keep="farthest")
    half = math.ceil(n / 2)
    assert sorted(distances[near]) == list(range(half)) and sorted(distances[far]) == list(range(n - half, n))
    assert list(near) == sorted(near) and list(far) == sorted(far)
    assert list(kept(distances, share=1.0)) == list(range(n))
    assert len(kept(distances, share=0.1)) == 1


def test_of_equal_distances_the_better_ranked_stays():
    assert list(kept(np.zeros(5))) == list(kept(np.zeros(5), keep="farthest")) == [0, 1, 2]


def test_a_share_is_not_rounded_up_by_rounding():
    assert len(kept(np.arange(30.0), share=0.1)) == 3


def test_errors():
    sums = ClassSums()
    for text in (
        "cross-image: 0 images of the class, so there is no other to compare with; keep all of its candidates",
        "cross-image: 1 image of the class, so there is no other to compare with; keep all of its candidates",
    ):
        with pytest.raises(WssError) as caught:
            sums.distances(np.zeros((1, 2)))
        assert str(caught.value) == text
        sums.add(np.zeros((1, 2)))
    moments = Moments()
    moments.add(np.zeros((0, 4), np.float32))
    with pytest.raises(WssError) as caught:
        moments.basis()
    assert str(caught.value) == "cross-image: no candidates, so no principal components"
    for bad in (np.nan, np.inf):
        with pytest.raises(WssError) as caught:
            moments.add(np.full((1, 2), bad, np.float32))
        assert str(caught.value) == (
            "cross-image: a feature is NaN or infinite; the model has diverged, train it again"
        )
    for energy in (0.0, 1.5, float("nan")):
        with pytest.raises(UsageError) as caught:
            moments.basis(energy)
        assert str(caught.value) == f"--pca-energy {energy:g}: give a number above 0 and at most 1"
    for share in (0.0, 1.1):
        with pytest.raises(UsageError) as caught:
            kept(np.zeros(2), share=share)
        assert str(caught.value) == f"--keep-share {share:g}: give a number above 0 and at most 1"
