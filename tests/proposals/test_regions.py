import numpy as np
import pytest

from wsscli.proposals.regions import (
    SPACES,
    boundary_strength,
    colour_bins,
    colours,
    describe,
    histograms,
    neighbours,
    shrink,
    superpixels,
    texture_bins,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (11, 13, 3)).astype(np.uint8)


@pytest.mark.parametrize("space", SPACES)
def test_channels_lie_between_0_and_1(space):
    extremes = np.array([[[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]], np.uint8)
    for image in (IMAGE, extremes):
        values = colours(image, space)
        assert values.dtype == np.float32 and values.shape[:2] == image.shape[:2]
        assert values.min() >= 0 and values.max() <= 1


def test_colours_by_hand():
    image = np.array([[[255, 0, 0], [0, 0, 0], [51, 102, 102]]], np.uint8)
    np.testing.assert_allclose(colours(image, "hsv")[0, 2], [0.5, 0.5, 0.4], atol=1e-3)
    np.testing.assert_allclose(colours(image, "rgi")[0, 2], [0.2, 0.4, 0.299 * 0.2 + 0.701 * 0.4], atol=1e-5)
    np.testing.assert_allclose(colours(image, "lab")[0, 1], [0, 128 / 255, 128 / 255], atol=1e-4)
    assert colour_bins(colours(image, "rgb"), 25)[0].tolist() == [[24, 0, 0], [0, 0, 0], [5, 10, 10]]


def test_histograms_are_those_of_loops():
    labels = np.random.default_rng(1).integers(0, 4, (5, 6)).astype(np.int32)
    values = np.random.default_rng(2).integers(0, 3, (5, 6, 2)).astype(np.uint8)
    found = histograms(labels, 4, values, 3)
    for r in range(4):
        inside = values[labels == r]
        counts = [(inside[:, c] == v).sum() for c in range(2) for v in range(3)]
        np.testing.assert_allclose(found[r], np.array(counts) / (2 * len(inside)), rtol=1e-6)


def test_neighbours_are_those_of_loops():
    labels = np.random.default_rng(3).integers(0, 5, (6, 7)).astype(np.int32)
    strength = np.random.default_rng(4).random((6, 7)).astype(np.float32)
    wanted = {}
    for y in range(6):
        for x in range(7):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < 6 and u < 7 and labels[y, x] != labels[v, u]:
                    key = tuple(sorted((int(labels[y, x]), int(labels[v, u]))))
                    length, total = wanted.get(key, (0, 0.0))
                    wanted[key] = (length + 1, total + max(strength[y, x], strength[v, u]))
    pairs, lengths, sums = neighbours(labels, strength)
    assert [tuple(p) for p in pairs.tolist()] == sorted(wanted)
    np.testing.assert_allclose(lengths, [wanted[k][0] for k in sorted(wanted)])
    np.testing.assert_allclose(sums, [wanted[k][1] for k in sorted(wanted)], rtol=1e-5)


def test_texture_of_a_ramp():
    """Brighter to the right by 0.02 a pixel: over two pixels 0.04, a fifth of the range of ten bins."""
    values = np.tile(np.arange(20, dtype=np.float32) * 0.02, (9, 1))[..., None]
    bins = texture_bins(values)
    assert bins.shape == (9, 20, 8) and bins[4, 10].tolist() in ([2, 0, 0, 0, 2, 0, 0, 2], [1, 0, 0, 0, 1, 0, 0, 1])
    assert texture_bins(np.zeros((4, 4, 3), np.float32)).max() == 0


def test_boundaries_are_strong_at_steps_alone():
    values = np.zeros((15, 30, 3), np.float32)
    values[:, 15:] = 0.5
    strength = boundary_strength(values)
    assert strength[:, 14:16].min() > 0.9 and strength[:, :5].max() == 0 and strength.max() <= 1


def test_boxes():
    labels = np.array([[0, 0, 1], [2, 0, 1]], np.int32)
    values = np.zeros((2, 3, 3), np.float32)
    regions = describe(labels, values, texture_bins(values), boundary_strength(values))
    assert regions.boxes.tolist() == [[0, 0, 2, 2], [2, 0, 3, 2], [0, 1, 1, 2]] and regions.sizes.tolist() == [3, 2, 1]


def test_superpixels_of_two_halves():
    values = np.zeros((40, 60, 3), np.float32)
    values[:, 30:] = 0.8
    found = superpixels(values, 40)
    assert found.dtype == np.int32 and set(np.unique(found)) == set(range(found.max() + 1))
    assert (found[:, :26] == found[0, 0]).all() and (found[:, 34:] == found[0, -1]).all()
    assert found[0, 0] != found[0, -1]


def test_only_large_photos_are_shrunk():
    assert shrink(IMAGE, 13) is IMAGE
    assert shrink(np.zeros((100, 50, 3), np.uint8), 20).shape == (20, 10, 3)
    assert shrink(np.zeros((100, 1, 3), np.uint8), 20).shape == (20, 1, 3)
