import numpy as np
import pytest

from wsscli.data.boxes import Boxes
from wsscli.train.augment import sample_rng
from wsscli.train.detection import OVERLAPS, BoxAugment, BoxSamples, Window, iou_crop, varied

BLUE, GREEN = (10, 20, 240), (10, 240, 20)


def scene(width=100, height=60):
    """A grey photo with a blue and a green rectangle, and their boxes."""
    image = np.full((height, width, 3), 90, np.uint8)
    corners = np.float32([[10, 8, 40, 28], [60, 20, 95, 55]])
    for (x0, y0, x1, y1), colour in zip(corners.astype(int), (BLUE, GREEN), strict=True):
        image[y0:y1, x0:x1] = colour
    return image, corners, np.array([1, 2])


def where(image, channel):
    """The box of the pixels that are mostly of one colour channel."""
    others = [c for c in range(3) if c != channel]
    rows, columns = np.nonzero((image[..., channel] > 150) & (image[..., others] < 130).all(-1))
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def test_without_any_change_the_photo_is_warped():
    image, corners, labels = scene()
    plain = BoxAugment(200, expand=1, scale=None, flip=False, jitter=0)
    square, found, ids = varied(image, corners, labels, plain, sample_rng(0, 0, 0))
    assert square.shape == (200, 200, 3)
    np.testing.assert_allclose(found, corners * [2, 200 / 60, 2, 200 / 60], rtol=1e-6)
    assert found.dtype == np.float32
    assert ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    "how", [{"expand": 3}, {"scale": (0.4, 1.0)}, {"flip": True}, {"expand": 2, "scale": (0.4, 1)}]
)
def test_boxes_follow_their_pixels(how):
    image, corners, labels = scene()
    augment = BoxAugment(200, **{"expand": 1, "scale": None, "flip": False, "jitter": 0, **how})
    changed = 0
    for index in range(60):
        square, found, ids = varied(image, corners, labels, augment, sample_rng(0, 0, index))
        for box, label in zip(found, ids, strict=True):
            channel = {1: 2, 2: 1}[label]
            # a pixel of the photo is up to 8 of the square's, and its colour fades into its neighbours'
            np.testing.assert_allclose(where(square, channel), box, atol=6)
        changed += not np.allclose(found, corners * [2, 200 / 60, 2, 200 / 60]) if len(ids) == 2 else 1
    assert changed > 20


def test_expanding_fills_with_the_given_colour_and_keeps_every_box():
    image, corners, labels = scene()
    how = BoxAugment(100, expand=4, scale=None, flip=False, jitter=0, fill=(1, 2, 3))
    shares = []
    for index in range(80):
        square, found, ids = varied(image, corners, labels, how, sample_rng(1, 0, index))
        assert ids.tolist() == [1, 2]
        shares.append((square == (1, 2, 3)).all(-1).mean())
        side = np.sqrt(1 - shares[-1])
        np.testing.assert_allclose(found[0, 2] - found[0, 0], 30 * side, atol=1.5)
    assert 0.3 < np.mean(np.array(shares) == 0) < 0.7
    assert max(shares) > 0.8


def test_crops_overlap_some_box_as_drawn():
    _, corners, _ = scene()
    whole = Window(0, 0, 100, 60)
    sizes = []
    for index in range(300):
        rng = sample_rng(2, 0, index)
        overlap = OVERLAPS[sample_rng(2, 0, index).integers(len(OVERLAPS))]  # the first that is tried
        part = iou_crop(whole, corners, (0.3, 1.0), rng)
        assert 0 <= part.left < part.right <= 100
        assert 0 <= part.top < part.bottom <= 60
        if part == whole:
            continue
        w, h = (part.right - part.left) / 100, (part.bottom - part.top) / 60
        assert 0.3 <= min(w, h) <= max(w, h) <= 1
        assert 0.5 <= w / h <= 2
        centres = (corners[:, :2] + corners[:, 2:]) / 2
        assert ((centres > part[:2]) & (centres < part[2:])).all(1).any()
        sizes.append(w * h)
        if overlap == 0.1:
            assert max(literal_overlap(box, part) for box in corners) >= 0.1
    assert len(sizes) > 200
    assert min(sizes) < 0.2 < 0.6 < max(sizes)


def literal_overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_a_photo_without_boxes_is_left_whole():
    whole = Window(0, 0, 100, 60)
    assert iou_crop(whole, np.zeros((0, 4), np.float32), (0.3, 1), sample_rng(0, 0, 0)) == whole


def boxes_of(corners, labels, crowd=None):
    n = len(labels)
    crowd = np.zeros(n, bool) if crowd is None else np.array(crowd)
    return Boxes(np.float32(corners).reshape(-1, 4), np.array(labels, np.int64), np.ones(n, bool), crowd)


def test_samples_are_filled_up_and_hold_no_crowds():
    image, corners, _ = scene()
    found = {
        "a": boxes_of(corners, [1, 2]),
        "b": boxes_of([*corners, [0, 0, 9, 9]], [1, 2, 2], [False, True, True]),
        "c": boxes_of([], []),
    }
    samples = BoxSamples(["a", "b", "c"], lambda name: image, found, BoxAugment(129), 7)
    assert len(samples) == 3
    assert samples.most == 2
    for index in range(3):
        square, boxes, labels = samples(0, index)
        assert (square.shape, square.dtype) == ((129, 129, 3), np.uint8)
        assert (boxes.shape, boxes.dtype) == ((2, 4), np.float32)
        assert (labels.shape, labels.dtype) == ((2,), np.int64)
    assert samples(0, 2)[2].tolist() == [0, 0]
    assert all(samples(epoch, 1)[2].tolist() in ([1, 0], [0, 0]) for epoch in range(10))


def test_a_sample_depends_on_its_epoch_and_index_alone():
    image, corners, _ = scene()
    samples = BoxSamples(["a"] * 2, lambda name: image, {"a": boxes_of(corners, [1, 2])}, BoxAugment(129), 7)
    first = samples(3, 1)
    samples(0, 0)
    for one, other in zip(first, samples(3, 1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], samples(4, 1)[0])
