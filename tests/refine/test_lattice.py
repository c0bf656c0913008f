import numpy as np
import pytest

from wsscli.errors import WssError
from wsscli.refine.lattice import FAR, LANES, Lattice


def points(n=60, d=5, seed=0, spread=3.0):
    return (np.random.default_rng(seed).uniform(0, spread, (n, d))).astype(np.float32)


def channels(values):
    """(N, K) as (N, G, 4)."""
    n, k = values.shape
    out = np.zeros((n, -(-k // LANES) * LANES), np.float32)
    out[:, :k] = values
    return out.reshape(n, -1, LANES)


def as_matrix(lattice):
    n = len(lattice.norm)
    return lattice.filter(channels(np.eye(n, dtype=np.float32))).reshape(n, -1)[:, :n]


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_barycentric_weights_are_a_partition_of_one(d):
    lattice = Lattice.of(points(d=d))
    assert lattice.corners.shape == (60, d + 1)
    assert np.abs(lattice.weights.sum(1) - 1).max() < 1e-5
    assert lattice.weights.min() > -1e-5
    assert lattice.corners.min() >= 1


@pytest.mark.parametrize("d", [1, 2, 5])
def test_corners_of_a_simplex_differ(d):
    lattice = Lattice.of(points(d=d))
    assert all(len(set(row)) == d + 1 for row in lattice.corners.tolist())


@pytest.mark.parametrize("d", [2, 5])
def test_neighbours_lead_back(d):
    neighbours = Lattice.of(points(d=d)).neighbours
    for axis in range(d + 1):
        for m in range(1, neighbours.shape[1]):
            before, after = neighbours[axis, m]
            assert before == 0 or neighbours[axis, before, 1] == m
            assert after == 0 or neighbours[axis, after, 0] == m
    assert (neighbours[:, 0] == 0).all()


@pytest.mark.parametrize("d", [2, 5])
def test_filter_is_linear_nonnegative_and_nearly_symmetric(d):
    gram = as_matrix(Lattice.of(points(d=d)))
    assert gram.min() >= 0
    # the axes are blurred one after another over the corners that exist: scattered points leave an asymmetry
    assert np.abs(gram - gram.T).max() < 0.15 * gram.max()
    values = np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32)
    got = Lattice.of(points(d=d)).filter(channels(values)).reshape(60, -1)[:, :3]
    assert np.abs(got - gram @ values).max() < 1e-5


def test_filter_approaches_the_gaussian():
    features = points(n=400, d=2, spread=6)
    gram = as_matrix(Lattice.of(features))
    distance = ((features[:, None] - features[None]) ** 2).sum(-1)
    want = np.exp(-distance / 2)
    norm = 1 / np.sqrt(want.sum(1))
    want = norm[:, None] * want * norm
    assert np.corrcoef(gram.ravel(), want.ravel())[0, 1] > 0.98
    assert np.abs(gram - want).mean() < 0.15 * want.mean()


def test_a_far_point_is_alone():
    features = points(n=20, d=3)
    features[7] += 1000
    gram = as_matrix(Lattice.of(features))
    assert gram[7, 7] == pytest.approx(1, abs=1e-3)
    assert np.abs(np.delete(gram[7], 7)).max() == 0


def test_many_distinct_corners_make_the_table_grow():
    # every point far from every other: d + 1 corners each, more than the table starts with
    features = np.arange(3000, dtype=np.float32)[:, None] * np.float32([50, 70, 90])
    lattice = Lattice.of(features)
    assert lattice.neighbours.shape[1] == 4 * 3000 + 1
    assert len(np.unique(lattice.corners)) == 4 * 3000
    got = lattice.filter(channels(np.ones((3000, 1), np.float32)))[:, 0, 0]
    assert np.abs(got - 1).max() < 1e-3


def test_channels_do_not_touch_each_other():
    lattice = Lattice.of(points())
    values = np.random.default_rng(5).normal(size=(60, 9)).astype(np.float32)
    together = lattice.filter(channels(values)).reshape(60, -1)[:, :9]
    alone = np.concatenate([lattice.filter(channels(values[:, k : k + 1]))[:, 0, :1] for k in range(9)], 1)
    assert (together == alone).all()


def test_result_can_go_into_a_given_array():
    lattice = Lattice.of(points())
    values = channels(np.random.default_rng(5).normal(size=(60, 4)).astype(np.float32))
    out = np.full_like(values, np.nan)
    assert lattice.filter(values, out) is out
    assert (out == lattice.filter(values)).all()


@pytest.mark.parametrize("d", [2, 5])
def test_as_far_as_points_may_lie_their_simplex_is_known(d):
    far = points(n=4000, d=d, spread=FAR)
    far[::2] *= -1
    lattice = Lattice.of(far)
    assert lattice.corners.min() >= 1 and lattice.corners.max() < lattice.neighbours.shape[1]
    assert all(len(set(row)) == d + 1 for row in lattice.corners.tolist())
    assert np.abs(lattice.weights.sum(1) - 1).max() < 1e-5
    assert lattice.weights.min() > -0.2 and np.isfinite(lattice.norm).all()


@pytest.mark.parametrize(("value", "shown"), [(FAR * 2, "1.04858e+06"), (np.inf, "inf"), (np.nan, "nan")])
def test_points_too_far_apart(value, shown):
    with pytest.raises(WssError) as caught:
        Lattice.of(np.array([[0, 0], [0, value]], np.float32))
    assert str(caught.value) == (
        f"crf: the image spans {shown} standard deviations of a kernel, at most 524288 can be told apart; take larger "
        "ones"
    )
