"""Sweeping thresholds: the one joint count equals a matrix a threshold."""

import numpy as np
import pytest

from wsscli.errors import UsageError, WssError
from wsscli.evaluate.confusion import confusion
from wsscli.evaluate.sweep import best_class, parse_range, sweep_confusion

GRID = [0.05 * i for i in range(1, 20)]


def scene(seed, n=6, k=3):
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.append(np.arange(n), 255).astype(np.uint8), (20, 25))
    classes = np.sort(rng.choice(np.arange(1, n), k, replace=False))
    return truth, rng.random((k, 20, 25)).astype(np.float32) * 7, classes


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_an_argmax_and_a_matrix_a_threshold(seed):
    truth, scores, classes = scene(seed)
    swept = sweep_confusion(truth, *best_class(scores, classes), GRID, 6)
    normal = scores / scores.max(axis=(1, 2), keepdims=True)
    for matrix, t in zip(swept, GRID, strict=True):
        stacked = np.concatenate([np.full((1, 20, 25), t, np.float32), normal])
        prediction = np.append(0, classes)[stacked.argmax(axis=0)].astype(np.uint8)
        assert matrix.tolist() == confusion(truth, prediction, 6).tolist()


def test_a_strength_equal_to_the_threshold_is_background():
    truth = np.ones((1, 3), np.uint8)
    strength = np.array([[0.25, 0.5, 0.75]], np.float32)
    swept = sweep_confusion(truth, np.ones_like(truth), strength, [0.25, 0.5, 0.75], 2)
    assert swept[:, 1].tolist() == [[1, 2, 0], [2, 1, 0], [3, 0, 0]]


def test_best_class_divides_each_map_by_its_own_maximum():
    scores = np.array([[[4.0, 2.0]], [[1.0, 10.0]]], np.float32)
    winner, strength = best_class(scores, np.array([3, 5]))
    assert winner.tolist() == [[3, 5]]
    assert strength.tolist() == [[1.0, 1.0]]


def test_no_maps_and_flat_maps_are_background():
    truth = np.zeros((2, 2), np.uint8)
    for scores, classes in ((np.zeros((0, 2, 2)), []), (np.zeros((1, 2, 2)), [1])):
        winner, strength = best_class(scores.astype(np.float32), np.array(classes, np.int64))
        assert strength.tolist() == [[0, 0], [0, 0]]
        assert sweep_confusion(truth, winner, strength, [0.1], 2)[0].tolist() == [[4, 0, 0], [0, 0, 0]]


def test_ranges():
    assert parse_range("0.05:0.95:0.05") == [round(0.05 * i, 6) for i in range(1, 20)]
    assert parse_range("0.3,0.1,0.3") == [0.1, 0.3]
    assert parse_range("0.2") == [0.2]
    assert parse_range("0.1:0.2:0.06") == [0.1, 0.16]


@pytest.mark.parametrize(
    "text",
    ["a:b:c", "", "0.1:0.9", "0.9:0.1:0.1", "0.1:0.9:0", "0.1:0.9:-0.1", "0.1:0.9:1e-9", "0.1:nan:0.1"],
)
def test_unreadable_ranges(text):
    with pytest.raises(UsageError) as error:
        parse_range(text)
    assert str(error.value) == (f"--sweep {text}: write start:stop:step (0.05:0.95:0.05) or a list (0.1,0.2,0.3)")


@pytest.mark.parametrize(("text", "bad"), [("0:0.5:0.1", "0"), ("0.5,1", "1"), ("-0.1", "-0.1"), ("0.5,nan", "nan")])
def test_thresholds_outside(text, bad):
    with pytest.raises(UsageError) as error:
        parse_range(text)
    assert str(error.value) == f"--sweep {text}: threshold {bad} is not between 0 and 1"


def test_bad_sizes_and_values():
    winner, strength = np.ones((2, 3), np.uint8), np.ones((2, 3), np.float32)
    with pytest.raises(WssError) as error:
        sweep_confusion(np.zeros((3, 3), np.uint8), winner, strength, [0.5], 2, names=("t.png", "s.npz"))
    assert str(error.value) == (
        "s.npz: 2 x 3 pixels (height x width), but t.png has 3 x 3; scores must be those of the image"
    )
    truth = np.full((2, 3), 4, np.uint8)
    with pytest.raises(WssError) as error:
        sweep_confusion(truth, winner, strength, [0.5], 2, names=("t.png", "s.npz"))
    assert str(error.value) == ("t.png: class 4, but the class table ends at 1; was it made with another class table?")
    with pytest.raises(WssError, match=r"^s\.npz: class 4"):
        sweep_confusion(winner, truth, strength, [0.5], 2, names=("t.png", "s.npz"))
