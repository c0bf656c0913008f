import numpy as np
import pytest

from wsscli.errors import UsageError
from wsscli.evaluate.proposals import best_of_first, components, instances, qualities


def test_components_by_hand():
    mask = np.array(
        [[1, 0, 0, 2, 2],
         [0, 1, 0, 2, 2],
         [0, 0, 0, 255, 255],
         [3, 0, 0, 2, 2]], np.uint8,
    )  # fmt: skip
    found = components(mask, least=0.1)
    assert found.classes == (1, 2, 2) and found.void == 4
    assert found.labels.tolist() == [[1, 0, 0, 2, 2], [0, 1, 0, 2, 2], [0, 0, 0, 4, 4], [0, 0, 0, 3, 3]]
    assert components(mask, least=0.05).classes == (1, 2, 2, 3)
    assert components(np.zeros((2, 2), np.uint8)).classes == ()


def test_instances_by_hand():
    objects = np.array([[2, 2, 255], [0, 9, 9]], np.uint8)
    found = instances(objects, {2: 5, 9: 7})
    assert found.classes == (5, 7) and found.labels.tolist() == [[1, 1, 3], [0, 2, 2]]


def test_best_overlaps_of_the_first():
    overlaps = np.array([[0.1, 0.6], [0.5, 0.2], [0.3, 0.7]])
    best = best_of_first(overlaps, [1, 2, 3, 100])
    np.testing.assert_array_equal(best, [[0.1, 0.5, 0.5, 0.5], [0.6, 0.6, 0.7, 0.7]])
    np.testing.assert_array_equal(best_of_first(np.zeros((0, 2)), [1, 5]), np.zeros((2, 2)))
    found = qualities(best, [1, 2, 3, 100])
    assert [q.kept for q in found] == [1, 2, 3, 100]
    np.testing.assert_allclose([q.average_best_overlap for q in found], [0.35, 0.55, 0.6, 0.6])
    assert [q.recall_50 for q in found] == [0.5, 1, 1, 1] and [q.recall_70 for q in found] == [0, 0, 0.5, 0.5]


def test_counts_begin_at_one():
    with pytest.raises(UsageError) as caught:
        best_of_first(np.zeros((3, 1)), [10, 0])
    assert str(caught.value) == "--keep 0: give numbers of proposals, each 1 or more"
