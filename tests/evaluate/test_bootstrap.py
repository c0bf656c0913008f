"""The paired interval: against a plain loop, and on sets where the answer is known."""

import numpy as np
import pytest

from wsscli.errors import UsageError
from wsscli.evaluate.bootstrap import PerImage, paired_interval
from wsscli.evaluate.confusion import confusion, counts
from wsscli.evaluate.summary import summarise


def images(n, wrong, seed=0, classes=3):
    """Per-image matrices of n random truths, each pixel wrong with this chance."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        truth = rng.integers(0, classes, (12, 12)).astype(np.uint8)
        noise = rng.integers(0, classes, truth.shape).astype(np.uint8)
        out.append(confusion(truth, np.where(rng.random(truth.shape) < wrong, noise, truth), classes))
    return out


def table(matrices, classes=3):
    out = PerImage(classes)
    for m in matrices:
        out.add(counts(m))
    return out


def test_equal_to_a_plain_loop_with_the_same_draws():
    a, b = images(20, 0.5), images(20, 0.4, seed=1)
    rng = np.random.default_rng(7)
    loop = []
    for picks in rng.integers(0, 20, (50, 20)):
        first, second = (summarise(sum(side[i] for i in picks)).miou for side in (a, b))
        loop.append(second - first)
    found = paired_interval(table(a), table(b), draws=50, seed=7)
    low, high = np.quantile(loop, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=1e-12)
    assert found.high == pytest.approx(high, abs=1e-12)
    assert found.difference == pytest.approx(summarise(sum(b)).miou - summarise(sum(a)).miou, abs=1e-12)
    assert (found.draws, found.level) == (50, 0.95)


def test_equal_sides_differ_by_nothing():
    a = images(15, 0.3)
    found = paired_interval(table(a), table(a))
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert not found.resolved


def test_a_large_effect_is_resolved_and_swapping_sides_mirrors_it():
    a, b = table(images(30, 0.6)), table(images(30, 0.1, seed=3))
    there, back = paired_interval(a, b), paired_interval(b, a)
    assert there.resolved
    assert there.low > 0.2
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_a_small_effect_on_few_images_is_not_resolved():
    assert not paired_interval(table(images(4, 0.5)), table(images(4, 0.5, seed=9))).resolved


def test_same_seed_same_interval_and_chunks_do_not_matter(monkeypatch):
    a, b = table(images(10, 0.5)), table(images(10, 0.4, seed=1))
    once = paired_interval(a, b, draws=30, seed=3)
    monkeypatch.setattr("wsscli.evaluate.bootstrap._CELLS", 40)
    assert paired_interval(a, b, draws=30, seed=3) == once
    assert paired_interval(a, b, draws=30, seed=4) != once


def test_classes_restrict_the_mean():
    a, b = images(10, 0.5), images(10, 0.4, seed=1)
    found = paired_interval(table(a), table(b), classes=[1], draws=20)
    assert found.difference == pytest.approx(summarise(sum(b)).iou[1] - summarise(sum(a)).iou[1], abs=1e-12)


def test_stored_sparse():
    side = PerImage(255)
    truth = np.zeros((300, 400), np.uint8)
    for _ in range(100):
        side.add(counts(confusion(truth, truth, 255)))
    assert side.table().nnz == 300
    assert len(side) == 100


def test_too_few_draws():
    with pytest.raises(UsageError) as error:
        paired_interval(table(images(2, 0)), table(images(2, 0)), draws=1)
    assert str(error.value) == "--draws 1: an interval needs at least 2 draws; 1000 is usual"


@pytest.mark.parametrize(("n", "m"), [(0, 0), (3, 2)])
def test_unpaired_sides(n, m):
    with pytest.raises(UsageError) as error:
        paired_interval(table(images(n, 0)), table(images(m, 0)))
    assert str(error.value) == (
        f"bootstrap: {n} images on one side, {m} on the other; it compares the same images, so both directories "
        "need all of them"
    )
