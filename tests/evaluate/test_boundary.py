"""Boundary IoU against the authors' way of doing it: one binary mask, d erosions by 3 x 3."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import WssError
from wsscli.evaluate.boundary import band, boundary_counts, width
from wsscli.evaluate.confusion import confusion, counts, iou


def eroded(mask, d):
    """d erosions by 3 x 3, what is outside counts as not in the mask."""
    for _ in range(d):
        padded = np.pad(mask, 1)
        mask = np.stack([padded[i : i + mask.shape[0], j : j + mask.shape[1]] for i in range(3) for j in range(3)]).all(
            axis=0
        )
    return mask


def literal(truth, prediction, n, ratio, rule):
    """Cheng et al. equation 2, class by class, void pixels in no mask."""
    void = truth == 255
    if rule == "skip":
        void = void | (prediction == 255)
    if rule == "background":
        prediction = np.where(prediction == 255, 0, prediction)
    d = width(truth.shape, ratio)
    out = []
    for c in range(n):
        t, p = (truth == c) & ~void, (prediction == c) & ~void
        bt, bp = t & ~eroded(t, d), p & ~eroded(p, d)
        out.append(((bt & bp).sum(), bt.sum(), bp.sum()))
    return np.array(out).T.tolist()


def blobs(seed, shape=(40, 52)):
    rng = np.random.default_rng(seed)
    out = np.zeros(shape, np.uint8)
    for value in rng.choice([1, 2, 3, 255], 6):
        y, x = rng.integers(0, shape[0] - 4), rng.integers(0, shape[1] - 4)
        out[y : y + rng.integers(3, 25), x : x + rng.integers(3, 25)] = value
    return out


def test_literal_band():
    mask = np.zeros((5, 7), np.uint8)
    mask[:, 4:] = 2
    expected = np.array([[1] * 7, [1, 0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 1, 0, 1], [1] * 7])
    assert band(mask, 1).astype(int).tolist() == expected.tolist()


@settings(max_examples=30, deadline=None)
@given(
    a=st.integers(0, 10**6),
    b=st.integers(0, 10**6),
    ratio=st.sampled_from([0.001, 0.02, 0.05, 0.2]),
    rule=st.sampled_from(["miss", "background", "skip"]),
)
def test_equal_to_the_literal_form(a, b, ratio, rule):
    truth, prediction = blobs(a), blobs(b)
    fast = boundary_counts(truth, prediction, 4, dilation=ratio, unlabelled=rule)
    assert np.stack(fast).tolist() == literal(truth, prediction, 4, ratio, rule)


def test_a_perfect_prediction_scores_one_whatever_it_says_on_void():
    truth = blobs(1)
    assert (truth == 255).any()
    for filling in (0, 3, 255):
        prediction = np.where(truth == 255, np.uint8(filling), truth)
        values = iou(boundary_counts(truth, prediction, 4))
        assert values[~np.isnan(values)].tolist() == [1.0] * np.count_nonzero(~np.isnan(values))


def test_a_band_as_wide_as_the_image_is_the_plain_iou():
    truth, prediction = blobs(4), blobs(5)
    assert (
        np.stack(boundary_counts(truth, prediction, 4, dilation=2.0)).tolist()
        == np.stack(
            counts(confusion(np.where(truth == 255, 255, truth), np.where(truth == 255, 255, prediction), 4))
        ).tolist()
    )


def test_counts_are_harder_on_a_shift_than_plain_counts():
    truth = np.zeros((200, 200), np.uint8)
    truth[40:160, 40:160] = 1
    moved = np.roll(truth, 3, axis=1)
    plain = iou(counts(confusion(truth, moved, 2)))
    assert (iou(boundary_counts(truth, moved, 2)) < plain).all()


def test_width_is_two_percent_of_the_diagonal_and_at_least_one_pixel():
    assert width((375, 500)) == 12  # 12.5 rounds to even, as the authors' round() does
    assert width((10, 10)) == 1
    assert width((1, 1)) == 1


def test_one_pixel_images():
    one = np.ones((1, 1), np.uint8)
    assert [x.tolist() for x in boundary_counts(one, one, 2)] == [[0, 1]] * 3


def test_bad_masks_are_refused_as_in_the_matrix():
    with pytest.raises(WssError, match=r"^p\.png: value 9 in the prediction"):
        boundary_counts(np.zeros((2, 2), np.uint8), np.full((2, 2), 9, np.uint8), 4, names=("t.png", "p.png"))
    with pytest.raises(WssError, match=r"^p\.png: 3 x 2 pixels"):
        boundary_counts(np.zeros((2, 2), np.uint8), np.zeros((3, 2), np.uint8), 4, names=("t.png", "p.png"))


def test_width_below_one():
    with pytest.raises(WssError) as error:
        band(np.zeros((3, 3), np.uint8), 0)
    assert str(error.value) == "boundary width 0: must be at least 1 pixel"
