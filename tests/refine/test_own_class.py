"""What a round keeps of a mask: literal pixels, and the limits themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsscli.errors import UsageError
from wsscli.refine.own_class import check_limits, left_out, own_classes

MASK = np.array([[0, 1, 2], [3, 255, 1]], np.uint8)


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ((1,), [[0, 1, 0], [0, 0, 1]]),
        ((2, 3), [[0, 0, 2], [3, 0, 0]]),
        ((), [[0, 0, 0], [0, 0, 0]]),
        ((7,), [[0, 0, 0], [0, 0, 0]]),
        ((0, 255), [[0, 0, 0], [0, 0, 0]]),
    ],
)
def test_other_classes_become_background(labels, kept):
    before = MASK.copy()
    found = own_classes(MASK, labels)
    assert found.dtype == np.uint8 and found.tolist() == kept
    assert (before == MASK).all()


def literal(mask, labels):
    """Pixel by pixel, as the paper says it."""
    out = np.zeros_like(mask)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x] in labels and mask[y, x] not in (0, 255):
                out[y, x] = mask[y, x]
    return out


@given(st.integers(0, 2**32 - 1), st.sets(st.integers(1, 254), max_size=4))
def test_fast_is_literal(seed, labels):
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 255, *labels, 1, 2, 3], np.uint8), (5, 7))
    once = own_classes(mask, labels)
    assert (once == literal(mask, labels)).all()
    assert (own_classes(once, labels) == once).all()


def strip(foreground, length=100, value=2):
    mask = np.zeros((1, length), np.uint8)
    mask[0, :foreground] = value
    return mask


@pytest.mark.parametrize(
    ("pixels", "length", "reason"),
    [
        (0, 100, "foreground is 0.00% of the image, below 1%"),
        (9, 1000, "foreground is 0.90% of the image, below 1%"),
        (1, 100, None),  # the limit itself takes part
        (80, 100, None),
        (81, 100, "foreground is 81.00% of the image, above 80%"),
        (100, 100, "foreground is 100.00% of the image, above 80%"),
    ],
)
def test_too_little_and_too_much(pixels, length, reason):
    assert left_out(strip(pixels, length)) == reason


def test_unlabelled_is_no_foreground_but_a_pixel():
    mask = strip(90)
    mask[0, 40:90] = 255
    assert left_out(mask) is None
    assert left_out(mask, most=0.39) == "foreground is 40.00% of the image, above 39%"
    assert left_out(np.zeros((0, 4), np.uint8)) == "foreground is 0.00% of the image, below 1%"


@pytest.mark.parametrize(("least", "most"), [(-0.1, 0.8), (0.5, 0.4), (0.1, 1.1), (float("nan"), 0.8)])
def test_limits_out_of_range(least, most):
    text = f"--min-foreground {least:g} --max-foreground {most:g}: give shares of an image, 0 <= least <= most <= 1"
    with pytest.raises(UsageError) as caught:
        check_limits(least, most)
    assert str(caught.value) == text
    with pytest.raises(UsageError) as caught:
        left_out(strip(3), least=least, most=most)
    assert str(caught.value) == text
