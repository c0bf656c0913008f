import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsscli.proposals.distinct import distinct_boxes, overlaps


def iou(a, b):
    """Pixel by pixel."""
    pixels = [{(x, y) for x in range(x0, x1) for y in range(y0, y1)} for x0, y0, x1, y1 in (a, b)]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


def around(box, times, rng):
    return np.array(box) + rng.integers(-4, 5, (times, 4))


def test_overlaps_pixel_by_pixel():
    boxes = [(0, 0, 6, 5), (3, 2, 8, 9), (0, 0, 6, 5), (7, 7, 9, 9)]
    expected = [[iou(a, b) for b in boxes] for a in boxes]
    np.testing.assert_allclose(overlaps(np.array(boxes)), expected)


def test_the_best_of_each_group():
    rng = np.random.default_rng(0)
    groups = [(0, 0, 100, 100), (200, 0, 300, 100), (0, 200, 100, 300)]
    boxes = np.concatenate([around(box, 30, rng) for box in groups])
    order = rng.permutation(90)
    ranked = boxes[order]
    wanted = sorted(int(np.flatnonzero(order // 30 == group)[0]) for group in range(3))
    assert distinct_boxes(ranked, 3).tolist() == wanted


def test_only_the_best_take_part():
    boxes = np.concatenate([around((0, 0, 90, 90), 8, np.random.default_rng(1)), [[200, 200, 300, 300]]])
    assert 8 in distinct_boxes(boxes, 2) and 8 not in distinct_boxes(boxes, 2, considered=8)


def test_small_and_long_boxes_are_passed_over():
    fine = [[30 * k, 0, 30 * k + 30, 30] for k in range(4)]
    small, long = [0, 50, 29, 80], [0, 100, 300, 160]
    assert distinct_boxes(np.array([small, long, *fine]), 3).min() >= 2
    assert distinct_boxes(np.array([small, long, *fine[:3]]), 5).tolist() == [0, 1, 2, 3, 4]  # 3 would be too few


def test_fewer_boxes_than_wanted():
    assert distinct_boxes(np.array([[0, 0, 50, 50], [0, 0, 50, 50]]), 10).tolist() == [0, 1]
    assert distinct_boxes(np.zeros((0, 4)), 10).tolist() == []


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 12))
def test_what_holds_of_all(seed, n, count):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 200, (n, 2))
    boxes = np.concatenate([corners, corners + rng.integers(30, 120, (n, 2))], 1)
    found = distinct_boxes(boxes, count)
    assert len(found) == min(n, count) and (np.diff(found) > 0).all()
    assert n > count or found[0] == 0
