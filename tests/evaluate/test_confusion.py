"""Confusion matrix and the numbers made of it: literal arrays, invariants, other people's code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import UsageError, WssError
from wsscli.evaluate import confusion as module
from wsscli.evaluate.confusion import confusion, counts, iou, mean
from wsscli.evaluate.summary import summarise

TRUTH = np.array([[0, 0, 1, 1], [0, 255, 1, 2], [255, 255, 2, 2]], np.uint8)
PREDICTION = np.array([[0, 1, 1, 255], [255, 0, 1, 2], [255, 2, 0, 2]], np.uint8)
MATRIX = [[1, 1, 0, 1], [0, 2, 0, 1], [1, 0, 2, 0]]


def naive(truth, prediction, n):
    out = np.zeros((n, n + 1), np.int64)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t != 255:
            out[t, n if p == 255 else p] += 1
    return out


def naive_iou(pairs, n, rule):
    """IoU per class, straight from the definition, pixel by pixel."""
    inter, union = [0] * n, [0] * n
    for truth, prediction in pairs:
        for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
            if t == 255 or (p == 255 and rule == "skip"):
                continue
            if p == 255 and rule == "background":
                p = 0
            for c in range(n):
                inter[c] += t == c and p == c
                union[c] += t == c or p == c
    return [i / u if u else float("nan") for i, u in zip(inter, union, strict=True)]


def random_pair(seed, n, shape=(23, 31)):
    rng = np.random.default_rng(seed)
    values = np.append(np.arange(n), 255).astype(np.uint8)
    truth = rng.choice(values, shape)
    return truth, np.where(rng.random(shape) < 0.5, truth, rng.choice(values, shape)).astype(np.uint8)


def test_literal_matrix():
    matrix = confusion(TRUTH, PREDICTION, 3)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == MATRIX


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("miss", [1 / 4, 2 / 4, 2 / 3]),  # unlabelled stays in the union of its true class
        ("background", [2 / 5, 2 / 4, 2 / 3]),  # ... is a hit of background, a false positive elsewhere
        ("skip", [1 / 3, 2 / 3, 2 / 3]),  # ... is not there
    ],
)
def test_literal_iou_under_each_rule(rule, expected):
    assert iou(counts(confusion(TRUTH, PREDICTION, 3), rule)) == pytest.approx(expected, abs=1e-15)


def test_literal_summary():
    s = summarise(np.array(MATRIX, np.int64))
    assert s.pixels == 9
    assert s.unlabelled_pixels == 2
    assert s.miou == pytest.approx((1 / 4 + 2 / 4 + 2 / 3) / 3, abs=1e-15)
    assert s.pixel_accuracy == pytest.approx(5 / 9)
    assert s.mean_accuracy == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)
    assert s.precision == pytest.approx([1 / 2, 2 / 3, 1])  # labelled pixels only
    assert s.recall == pytest.approx([1 / 3, 2 / 3, 2 / 3])  # the unlabelled lower it
    assert s.mean_precision == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert s.mean_recall == pytest.approx(5 / 9)
    assert s.coverage == pytest.approx(7 / 9)
    assert s.foreground_precision == pytest.approx(4 / 5)
    assert s.foreground_recall == pytest.approx(4 / 6)
    assert s.foreground_coverage == pytest.approx(5 / 9)
    assert s.background_precision == pytest.approx(1 / 2)
    assert s.classes == [0, 1, 2]


def test_precision_recall_and_coverage_ignore_the_rule():
    by_rule = [summarise(np.array(MATRIX), unlabelled=r) for r in ("miss", "background", "skip")]
    for s in by_rule[1:]:
        assert s.precision.tolist() == by_rule[0].precision.tolist()
        assert s.recall.tolist() == by_rule[0].recall.tolist()
        assert s.coverage == by_rule[0].coverage


def test_absent_classes_drop_out_of_means_but_wrongly_predicted_ones_do_not():
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    prediction = np.array([[0, 0, 1, 3]], np.uint8)
    s = summarise(confusion(truth, prediction, 5))
    assert np.isnan(s.iou[[2, 4]]).all()
    assert s.classes == [0, 1, 3]
    assert s.miou == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert s.mean_accuracy == pytest.approx((1 + 1 / 2) / 2)  # class 3 has no true pixel


def test_classes_restrict_means_never_the_matrix():
    matrix = np.array(MATRIX, np.int64)
    whole, part = summarise(matrix), summarise(matrix, classes=[0, 2])
    assert part.iou.tolist() == whole.iou.tolist()
    assert part.miou == pytest.approx((1 / 4 + 2 / 3) / 2)
    assert part.pixel_accuracy == whole.pixel_accuracy
    assert part.classes == [0, 2]


def test_nothing_to_judge_is_nan_not_zero():
    void = np.full((3, 3), 255, np.uint8)
    s = summarise(confusion(void, np.zeros((3, 3), np.uint8), 4))
    for value in (s.miou, s.pixel_accuracy, s.coverage, s.foreground_precision, s.mean_recall):
        assert np.isnan(value)
    assert s.classes == []
    assert np.isnan(mean(np.array([np.nan, 1.0]), [0]))


@pytest.mark.parametrize("n", [1, 2, 21, 81, 255])
def test_equal_to_the_naive_loop(n):
    truth, prediction = random_pair(n, n)
    assert confusion(truth, prediction, n).tolist() == naive(truth, prediction, n).tolist()


@pytest.mark.parametrize("n", [2, 21, 255])
def test_long_runs_are_counted_as_short_ones_are(n):
    # masks of long runs and of noise take different ways; both are the naive loop's
    rng = np.random.default_rng(n)
    values = np.append(np.arange(n), 255).astype(np.uint8)
    truth, prediction = (np.repeat(rng.choice(values, 150), rng.integers(1, 60, 150))[:2000] for _ in range(2))
    truth, prediction = truth.reshape(40, 50), prediction.reshape(40, 50)
    expected = naive(truth, prediction, n)
    assert confusion(truth, prediction, n).tolist() == expected.tolist()
    flat = truth.ravel(), prediction.ravel()
    ends = np.arange(2000)
    for joint in (module._by_pixels(*flat, n), module._by_runs(*flat, n, ends)):
        assert joint[:n, : n + 1].tolist() == expected.tolist()
        assert joint.sum() == 2000


@pytest.mark.parametrize("rule", ["miss", "background", "skip"])
def test_miou_equal_to_the_naive_loop(rule):
    pairs = [random_pair(seed, 6) for seed in range(5)]
    matrix = sum(confusion(t, p, 6) for t, p in pairs)
    expected = naive_iou(pairs, 6, rule)
    assert iou(counts(matrix, rule)) == pytest.approx(expected, abs=1e-12)
    assert summarise(matrix, unlabelled=rule).miou == pytest.approx(np.mean(expected), abs=1e-12)


def test_equal_to_sklearn_exactly():
    metrics = pytest.importorskip("sklearn.metrics")
    truth, prediction = random_pair(3, 21, (120, 90))
    keep = truth != 255
    expected = metrics.confusion_matrix(truth[keep], prediction[keep], labels=[*range(21), 255])
    assert confusion(truth, prediction, 21).tolist() == expected[:21].tolist()


@pytest.mark.parametrize("n", [2, 21])
def test_equal_to_torchmetrics(n):
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.classification")
    truth, prediction = random_pair(5, n, (120, 90))
    prediction[prediction == 255] = 0
    metric = classification.MulticlassJaccardIndex(n, average="macro", ignore_index=255)
    expected = metric(torch.from_numpy(prediction).long(), torch.from_numpy(truth).long()).item()
    assert summarise(confusion(truth, prediction, n)).miou == pytest.approx(expected, abs=1e-6)


pairs_of = st.integers(0, 2**32 - 1).map(lambda seed: random_pair(seed, 5, (8, 9)))


@settings(max_examples=40, deadline=None)
@given(a=pairs_of, b=pairs_of)
def test_matrices_add_up_over_images(a, b):
    joined = [np.concatenate(sides) for sides in zip(a, b, strict=True)]
    assert (confusion(*a, 5) + confusion(*b, 5)).tolist() == confusion(*joined, 5).tolist()


@settings(max_examples=40, deadline=None)
@given(pair=pairs_of, order=st.permutations(range(5)), rule=st.sampled_from(["miss", "skip"]))
def test_renaming_classes_permutes_the_matrix_and_keeps_miou(pair, order, rule):
    table = np.arange(256, dtype=np.uint8)
    table[:5] = order
    before, after = confusion(*pair, 5), confusion(table[pair[0]], table[pair[1]], 5)
    assert after[np.ix_(order, [*order, 5])].tolist() == before.tolist()
    assert summarise(after, unlabelled=rule).miou == pytest.approx(summarise(before, unlabelled=rule).miou)


@settings(max_examples=40, deadline=None)
@given(pair=pairs_of, order=st.permutations(range(72)))
def test_the_order_of_pixels_does_not_matter(pair, order):
    shuffled = [side.ravel()[list(order)].reshape(8, 9) for side in pair]
    assert confusion(*shuffled, 5).tolist() == confusion(*pair, 5).tolist()


def test_views_and_strided_arrays_count_the_same():
    truth, prediction = random_pair(9, 5, (40, 40))
    expected = confusion(truth[::2, ::3].copy(), prediction[::2, ::3].copy(), 5)
    assert confusion(truth[::2, ::3], prediction[::2, ::3], 5).tolist() == expected.tolist()


def test_images_beyond_float32_integers_stay_exact(monkeypatch):
    monkeypatch.setattr(module, "_EXACT", 64)
    truth, prediction = random_pair(2, 4, (37, 11))
    assert confusion(truth, prediction, 4).tolist() == naive(truth, prediction, 4).tolist()
    big = np.zeros((4100, 4100), np.uint8)  # more than 2**24 pixels in one cell
    monkeypatch.undo()
    assert confusion(big, big, 2)[0, 0] == 4100 * 4100
    assert module._by_pixels(big.ravel(), big.ravel(), 2)[0, 0] == 4100 * 4100


def test_an_empty_mask_counts_nothing():
    empty = np.zeros((0, 5), np.uint8)
    assert confusion(empty, empty, 2).sum() == 0


def test_a_strange_prediction_is_an_error_even_where_truth_is_void():
    truth, prediction = np.full((2, 2), 255, np.uint8), np.full((2, 2), 21, np.uint8)
    with pytest.raises(WssError) as error:
        confusion(truth, prediction, 21, names=("gt/a.png", "out/masks/a.png"))
    assert str(error.value) == (
        "out/masks/a.png: value 21 in the prediction, but the class table ends at 20 (255 = unlabelled); "
        "was it made with another class table?"
    )


@pytest.mark.parametrize("value", [4, 100, 254])
def test_one_strange_pixel_is_found_in_smooth_and_noisy_masks(value):
    smooth = np.zeros((60, 60), np.uint8)
    for truth, prediction in ((smooth, smooth.copy()), random_pair(0, 4, (60, 60))):
        for side in (truth, prediction):
            kept, side[30, 31] = side[30, 31], value
            with pytest.raises(WssError, match=f": value {value} in the "):
                confusion(truth, prediction, 4)
            side[30, 31] = kept


def test_a_strange_truth_is_an_error_even_where_unlabelled():
    truth, prediction = np.arange(21, 30, dtype=np.uint8)[None], np.full((1, 9), 255, np.uint8)
    with pytest.raises(WssError) as error:
        confusion(truth, prediction, 21, names=("gt/a.png", "out/masks/a.png"))
    assert str(error.value) == (
        "gt/a.png: value 21, 22, 23, 24, 25, ... in the truth, but the class table ends at 20 "
        "(255 = unlabelled); was it made with another class table?"
    )


def test_sizes_must_agree():
    with pytest.raises(WssError) as error:
        confusion(np.zeros((3, 4), np.uint8), np.zeros((4, 3), np.uint8), 2, names=("t.png", "p.png"))
    assert str(error.value) == (
        "p.png: 4 x 3 pixels (height x width), but t.png has 3 x 4; a mask must have its image's size"
    )


def test_arrays_must_be_masks():
    good = np.zeros((3, 4), np.uint8)
    with pytest.raises(WssError) as error:
        confusion(good, np.zeros((3, 4, 3), np.uint8), 2, names=("t.png", "p.png"))
    assert str(error.value) == ("p.png: shape (3, 4, 3), type uint8; a mask must be (height, width) of uint8")
    with pytest.raises(WssError, match=r"^t\.png: shape \(3, 4\), type int64; "):
        confusion(good.astype(np.int64), good, 2, names=("t.png", "p.png"))


def test_unknown_rule():
    with pytest.raises(UsageError) as error:
        counts(np.array(MATRIX), "drop")
    assert str(error.value) == "--unlabelled drop: unknown rule; one of miss, background, skip"
