import numpy as np
import pytest

from wsscli.data.boxes import Boxes
from wsscli.train.box_samples import (
    MOST_BOXES,
    ClassSamples,
    Window,
    around,
    cut,
    in_window,
    mirrored,
    moved,
    overlaps,
    window_of,
)

WHOLE = Window(side=32, zoom=None, flip=False)


def boxes_of(*rows, crowd=()):
    corners = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    labels = np.array([row[4] for row in rows], np.int64)
    marks = np.isin(np.arange(len(rows)), crowd)
    return Boxes(corners, labels, np.zeros(len(rows), bool), marks)


def scene():
    """A photo of 32 x 64 with two things of class 1, one of class 2, and a crowd of class 3."""
    boxes = boxes_of((0, 0, 16, 16, 1), (40, 8, 64, 32, 1), (16, 16, 32, 32, 2), (0, 0, 64, 32, 3), crowd=[3])
    mask = np.zeros((32, 64), np.uint8)
    mask[2:14, 2:14], mask[10:30, 42:62], mask[18:30, 18:30], mask[0, :16] = 1, 1, 2, 255
    image = np.repeat(mask[..., None] * 40, 3, 2).astype(np.uint8)
    return image, mask, boxes


def samples(window=WHOLE, instances=False, seed=0):
    image, mask, boxes = scene()

    def read_instances(_name, mask):
        # each box's part of its class
        out = np.zeros((len(boxes), *mask.shape), np.uint8)
        for k, (x0, y0, x1, y1) in enumerate(boxes.boxes.astype(int)):
            out[k, y0:y1, x0:x1] = mask[y0:y1, x0:x1] == boxes.labels[k]
        return out

    return ClassSamples(
        ["a"], lambda _: image, lambda _: mask, {"a": boxes}, window, seed, read_instances if instances else None
    )


def test_a_sample_is_one_class_of_one_photo_and_crowds_are_none():
    assert samples().pairs == [("a", 1), ("a", 2)] and len(samples()) == 2


def test_the_mask_inside_the_boxes_by_hand():
    image, boxes, mask = samples()(0, 1)
    assert image.shape == (32, 32, 3) and mask.dtype == np.uint8
    np.testing.assert_allclose(boxes[0], [0.25, 0.5, 0.5, 1.0])
    assert not boxes[1:].any() and boxes.shape == (MOST_BOXES, 4)
    expected = np.full((32, 32), 255, np.uint8)
    expected[16:, 8:16] = 0
    expected[18:30, 9:15] = 1
    np.testing.assert_array_equal(mask, expected)


def test_the_number_of_boxes_kept_is_random_and_the_others_pixels_are_ignored():
    both = samples()
    seen = set()
    for epoch in range(40):
        _, boxes, mask = both(epoch, 0)
        number = int((boxes[:, 2] > 0).sum())
        left, right = bool((mask[:, :8] != 255).any()), bool((mask[:, 20:] != 255).any())
        assert left + right == number
        seen.add((left, right))
    assert seen == {(True, True), (True, False), (False, True)}


def test_unlabelled_pixels_stay_and_other_classes_are_background():
    both = samples()
    masks = [both(epoch, 0)[2] for epoch in range(20)]
    assert all((mask[0, :8] == 255).all() for mask in masks)
    assert all((mask[16:, 8:16] == 255).all() for mask in masks)  # the box of class 2


def test_a_sample_depends_on_its_epoch_and_index_alone():
    window = Window(side=32, jitter=0.2, box_jitter=0.1)
    one, other = samples(window, True), samples(window, True)
    other(7, 1)
    for epoch in range(3):
        for a, b in zip(one(epoch, 0), other(epoch, 0), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one(0, 0)[0], samples(window, True, seed=1)(0, 0)[0])


def test_photo_boxes_and_masks_go_the_same_way():
    """Whatever the window and the mirror, what is marked is what the photo shows there."""
    varied = samples(Window(side=64, fill=(0, 0, 0)), True)
    right = {"class": [], "background": [], "instance": []}
    for epoch in range(30):
        for index, grey in ((0, 40), (1, 80)):
            image, boxes, mask, drawn, positive, instance = varied(epoch, index)
            shown = np.abs(image[..., 0].astype(int) - grey) < 8
            right["class"].append(shown[mask == 1])
            right["background"].append(~shown[mask == 0])
            right["instance"].append(shown[instance == 1])
            assert boxes.min() >= 0 and boxes.max() <= 1
            assert drawn.shape == (6, 4) and positive.tolist() == [True] * 2 + [False] * 4
    shares = {name: np.concatenate(parts).mean() for name, parts in right.items()}
    assert min(shares.values()) > 0.9, shares  # all but smoothed edges


def test_boxes_around_an_instance():
    rng = np.random.default_rng(0)
    box, other = np.array([0.3, 0.3, 0.6, 0.6], np.float32), np.array([0.35, 0.3, 0.65, 0.6], np.float32)
    for _ in range(50):
        drawn, positive = around(box, np.stack([box, other]), rng)
        for row, match in zip(drawn, positive, strict=True):
            assert overlaps(row, box[None])[0] > 0.5 if match else (overlaps(row, np.stack([box, other])) <= 0.5).all()
        assert len(np.unique(drawn, axis=0)) == 6
    # a box of the whole photo leaves little that does not match; what is not found has no area
    drawn, _ = around(np.array([0, 0, 1, 1], np.float32), np.array([[0, 0, 1, 1]], np.float32), rng)
    assert all(overlaps(row, np.array([[0, 0, 1, 1]], np.float32))[0] <= 0.5 for row in drawn[2:])


def test_overlaps_by_hand():
    boxes = np.array([[0, 0, 1, 1], [1, 0, 2, 1], [0.5, 0, 1.5, 1]], np.float32)
    np.testing.assert_allclose(overlaps(boxes[0], boxes), [1, 0, 1 / 3], rtol=1e-6)


def test_boxes_in_a_window_by_hand():
    boxes = np.array([[10, 10, 20, 20], [0, 0, 12, 4], [30, 30, 40, 40]], np.float32)
    found = in_window(boxes, top=0, left=10, height=20, width=40)
    np.testing.assert_allclose(found[0], [0, 0.5, 0.25, 1])
    assert not found[1].any()  # a sixth of it is inside
    assert not found[2].any()


def test_a_box_of_a_thousandth_of_a_pixel_is_there():
    boxes = np.array([[10, 10, 10.001, 10.001]], np.float32)
    found = in_window(boxes, top=0, left=0, height=500, width=500)
    np.testing.assert_allclose(found, boxes / 500)


def test_a_window_holds_a_quarter_of_a_box_or_is_the_photo():
    rng = np.random.default_rng(0)
    boxes = np.array([[0, 0, 10, 10]], np.float32)
    seen = [window_of((100, 200), boxes, Window(side=32, zoom=(0.3, 1.6)), rng) for _ in range(100)]
    for top, left, height, width in seen:
        assert in_window(boxes, top, left, height, width)[0].any()
    assert min(height for _, _, height, _ in seen) < 50 and max(height for _, _, height, _ in seen) > 120
    assert window_of((100, 200), boxes, WHOLE, rng) == (0, 0, 100, 200)


def test_beyond_the_photo_is_the_fill():
    image = np.full((4, 4, 3), 9, np.uint8)
    found = cut(image, -2, -4, 8, 12, (1, 2, 3), 24)
    assert (found[12, 12] == 9).all() and (found[0, 0] == [1, 2, 3]).all()
    labels = cut(np.full((4, 4), 1, np.uint8), -2, -4, 8, 12, (255,), 24)
    assert (labels == 1).sum() == 12 * 8 and (labels == 255).sum() == 24 * 24 - 96


def test_mirrored_and_moved():
    boxes = np.array([[0.1, 0.2, 0.4, 0.8], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(mirrored(boxes), [[0.6, 0.2, 0.9, 0.8], [0, 0, 0, 0]], atol=1e-6)
    for _ in range(20):
        found = moved(boxes[:1], 0.1, np.random.default_rng(0))
        assert (np.abs(found - boxes[:1])[0] <= [0.03001, 0.06001, 0.03001, 0.06001]).all() and (
            found != boxes[:1]
        ).all()


@pytest.mark.parametrize("number", [1, 20])
def test_many_boxes_of_a_class(number):
    boxes = boxes_of(*[(k, 0, k + 10, 10, 1) for k in range(number)])
    image = np.zeros((32, 64, 3), np.uint8)
    many = ClassSamples(["a"], lambda _: image, lambda _: image[..., 0], {"a": boxes}, WHOLE, 0)
    counts = [int((many(epoch, 0)[1][:, 2] > 0).sum()) for epoch in range(60)]
    assert max(counts) == min(number, MOST_BOXES) and min(counts) == 1
