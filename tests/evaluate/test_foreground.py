import numpy as np
import pytest

from wsscli.errors import UsageError
from wsscli.evaluate.confusion import confusion, counts
from wsscli.evaluate.foreground import class_means, jaccards, paired_jaccards
from wsscli.maskdir.classfree import class_free

RULES = ("miss", "background", "skip")


def scene(seed, shape=(17, 23)):
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.choice([0, 0, 3, 9, 255], (shape[0], 6)), 4, axis=1)[:, : shape[1]].astype(np.uint8)
    mask = truth.copy()
    wrong = rng.random(shape) < 0.3
    mask[wrong] = rng.choice([0, 1, 7, 255], int(wrong.sum()))
    if seed % 5 == 4:
        truth[truth != 255] = 0
    return truth, mask


def literal(truth, mask, rule):
    """Pixel by pixel; None where the truth holds no foreground, or nothing of it is judged and none is found."""
    hit = either = true = 0
    for t, p in zip(truth.ravel().tolist(), mask.ravel().tolist(), strict=True):
        true += t not in (0, 255)
        if t == 255 or (p == 255 and rule == "skip"):
            continue
        there, found = t != 0, p not in (0, 255)
        hit += there and found
        either += there or found
    return hit / either if true and either else None


def judged(pairs, rule):
    matrices = [confusion(class_free(t), class_free(p), 2) for t, p in pairs]
    return jaccards([counts(matrix, rule) for matrix in matrices], [int(matrix[1].sum()) for matrix in matrices])


@pytest.mark.parametrize("rule", RULES)
def test_equals_the_literal_loop(rule):
    scenes = [scene(seed) for seed in range(12)]
    found = judged(scenes, rule)
    expected = [literal(t, p, rule) for t, p in scenes]
    assert expected.count(None) == 2
    for value, wanted in zip(found.tolist(), expected, strict=True):
        assert value == wanted or (wanted is None and value != value)


def test_miss_and_background_are_the_same_here_and_skip_is_not():
    truth, mask = np.array([[1, 1, 0, 0]], np.uint8), np.array([[1, 255, 255, 1]], np.uint8)
    assert [judged([(truth, mask)], rule).tolist() for rule in RULES] == [[1 / 3], [1 / 3], [0.5]]


def test_an_object_that_is_all_unlabelled():
    """Its truth is not empty; under skip there is nothing to judge, unless something is found elsewhere."""
    truth = np.array([[3, 3, 0, 0]], np.uint8)
    nothing, elsewhere = np.array([[255, 255, 0, 255]], np.uint8), np.array([[255, 255, 0, 1]], np.uint8)
    for rule, wanted in (("miss", [0.0, 0.0]), ("background", [0.0, 0.0]), ("skip", [None, 0.0])):
        assert [literal(truth, mask, rule) for mask in (nothing, elsewhere)] == wanted
        found = judged([(truth, nothing), (truth, elsewhere)], rule)
        assert [None if value != value else value for value in found.tolist()] == wanted


def test_means_over_classes():
    values = np.array([1.0, 0.5, np.nan, 0.2])
    member = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 0]], np.bool_)
    means = class_means(values, member)
    assert means[:2].tolist() == [0.75, 0.35] and np.isnan(means[2])


def test_the_interval_is_that_of_literal_draws():
    rng = np.random.default_rng(0)
    n = 30
    first, member = rng.random(n), rng.random((n, 3)) < 0.5
    second = np.clip(first + rng.normal(0.02, 0.2, n), 0, 1)
    first[3] = second[3] = np.nan

    def score(values, picks):
        classes = []
        for c in range(3):
            inside = [values[i] for i in picks if member[i, c] and values[i] == values[i]]
            if inside:
                classes.append(sum(inside) / len(inside))
        return sum(classes) / len(classes)

    draws = np.random.default_rng(7).integers(0, n, (50, n))
    drawn = [score(second, picks) - score(first, picks) for picks in draws]
    found = paired_jaccards(first, second, member, draws=50, seed=7)
    assert found.difference == pytest.approx(score(second, range(n)) - score(first, range(n)))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    only = paired_jaccards(first, second, member, classes=[1], draws=50, seed=7)
    assert only.difference == pytest.approx(class_means(second, member)[1] - class_means(first, member)[1])


def test_too_few_draws():
    ones = np.ones(2)
    with pytest.raises(UsageError) as caught:
        paired_jaccards(ones, ones, np.ones((2, 1), np.bool_), draws=1)
    assert str(caught.value) == "--draws 1: an interval needs at least 2 draws; 1000 is usual"
