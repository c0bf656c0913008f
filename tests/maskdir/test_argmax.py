import numpy as np
import pytest

from wsscli.maskdir.argmax import label_map
from wsscli.maskdir.scores import Scores


def literal(item):
    return item.classes.astype(np.uint8)[item.full().argmax(0)]


def test_by_hand():
    maps = np.array([[[0.9, 0.1]], [[0.1, 0.9]]], np.float32)
    item = Scores(maps, np.array([0, 7]), (1, 2))
    assert label_map(item).tolist() == [[0, 7]]


def test_first_of_equal_maps_wins():
    item = Scores(np.full((3, 2, 2), 0.25, np.float32), np.array([2, 5, 9]), (5, 7))
    assert (label_map(item) == 2).all()


@pytest.mark.parametrize("seed", range(30))
def test_equals_the_literal_form(seed):
    rng = np.random.default_rng(seed)
    k, h, w = rng.integers(1, 9), rng.integers(1, 12), rng.integers(1, 12)
    sharp = rng.choice([1, 5, 20])
    maps = np.exp(sharp * rng.random((k, h, w)))
    maps = (maps / maps.sum(0)).astype(np.float16).astype(np.float32)
    size = (int(h * rng.integers(1, 9) + rng.integers(4)), int(w * rng.integers(1, 9) + rng.integers(4)))
    item = Scores(maps, np.sort(rng.choice(254, k, replace=False)), size)
    assert np.array_equal(label_map(item), literal(item))


def test_a_class_that_wins_between_cells_only_is_kept():
    # Second at both cells behind different classes: in the middle it is the highest.
    maps = np.array([[[0.6, 0.0]], [[0.0, 0.6]], [[0.4, 0.4]]], np.float32)
    item = Scores(maps, np.array([0, 1, 2]), (1, 16))
    assert 2 in label_map(item)
    assert np.array_equal(label_map(item), literal(item))


def test_maps_at_the_size_of_the_photo_are_left_as_they_are():
    maps = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    item = Scores(maps.copy(), np.arange(3), (4, 5))
    assert np.array_equal(label_map(item), maps.argmax(0))
    assert np.array_equal(item.scores, maps)
