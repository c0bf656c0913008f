from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from wsscli.errors import UsageError, WssError
from wsscli.refine.grabcut import grabcut


def scene(height=48, width=64, seed=0):
    """A textured ground with a red disc (class 3) and a blue square (class 7): image, truth."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((height, width), np.uint8)
    cv2.circle(truth, (18, 22), 10, 3, -1)
    truth[20:40, 40:58] = 7
    colours = {0: (90, 140, 90), 3: (210, 50, 40), 7: (40, 60, 200)}
    image = np.zeros((height, width, 3), np.float32)
    for c, colour in colours.items():
        image[truth == c] = colour
    return (image + rng.normal(0, 10, image.shape)).clip(0, 255).astype(np.uint8), truth


def loose(truth, pixels=3):
    return cv2.dilate(truth, np.ones((2 * pixels + 1,) * 2, np.uint8))


def test_finds_the_objects_in_loose_masks():
    image, truth = scene()
    got, reason = grabcut(image, loose(truth))
    assert reason is None
    assert got.dtype == np.uint8
    assert (got == truth).mean() > 0.99


def test_box_equals_opencv_from_the_smallest_box():
    image, truth = scene()
    mask = np.where(loose(truth) == 7, 7, 0).astype(np.uint8)
    state = np.zeros(mask.shape, np.uint8)
    cv2.setRNGSeed(11)
    box = cv2.boundingRect((mask == 7).astype(np.uint8))
    cv2.grabCut(image, state, box, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_RECT)
    assert (grabcut(image, mask, seed=11)[0] == np.where(state & 1, 7, 0)).all()


def test_only_the_box_counts():
    image, truth = scene()
    mask = np.where(truth == 7, 7, 0).astype(np.uint8)
    corners = np.zeros_like(mask)
    corners[20, 40] = corners[39, 57] = 7
    assert (grabcut(image, mask)[0] == grabcut(image, corners)[0]).all()


def test_mask_start_may_leave_the_box():
    image, truth = scene()
    half = np.where(truth == 7, 7, 0).astype(np.uint8)
    half[:, 50:] = 0
    assert (grabcut(image, half)[0][:, 50:] == 0).all()
    assert (grabcut(image, half, init="mask")[0] == np.where(truth == 7, 7, 0)).mean() > 0.98


def test_unlabelled_pixels_widen_no_box_and_are_decided():
    image, truth = scene()
    mask = np.where(loose(truth) == 7, 7, 0).astype(np.uint8)
    with_void = mask.copy()
    with_void[:5] = 255
    got = grabcut(image, with_void)[0]
    assert (got == grabcut(image, mask)[0]).all()
    assert 255 not in got


def test_overlaps_go_to_the_class_of_the_input():
    # one red object, given half to class 2 and half to class 5 with boxes that overlap: both claim all of it
    image, truth = scene()
    disc = truth == 3
    x = np.arange(truth.shape[1])[None, :]
    mask = np.where(disc & (x < 16), 2, np.where(disc & (x > 20), 5, 0)).astype(np.uint8)
    mask[11:34, 8] = 2
    mask[11:34, 28] = 5
    mask[33, 28], mask[33, 8] = 2, 5
    got, reason = grabcut(image, mask)
    assert reason is None
    assert (got[disc & (mask == 2)] == 2).all()
    assert (got[disc & (mask == 5)] == 5).all()
    assert (got[disc & (x == 17)] == 2).all()  # claimed by both, 0 in the input: the nearest of the two
    assert (got[disc & (x == 19)] == 5).all()
    assert (got[disc & (x == 18)] == 2).mean() > 0.9  # as far from 15 as from 21: the smallest id


def test_empty_and_unlabelled_masks_are_passed_on():
    image, truth = scene()
    for value in (0, 255):
        mask = np.full(truth.shape, value, np.uint8)
        got, reason = grabcut(image, mask)
        assert (got == mask).all()
        assert got is not mask
        assert reason == "no foreground in the mask"


def test_a_single_pixel_is_passed_on_with_the_unlabelled_rest():
    image, truth = scene()
    mask = np.full(truth.shape, 255, np.uint8)
    mask[3, 4] = 9
    got, reason = grabcut(image, mask)
    assert (got == mask).all()
    assert reason == "class 9: a single pixel"


def test_a_box_of_the_whole_image_is_passed_on():
    image, truth = scene()
    mask = np.zeros_like(truth)
    mask[0, 0] = mask[-1, -1] = 4
    got, reason = grabcut(image, mask)
    assert (got == mask).all()
    assert reason == "class 4: its box is the whole image"
    assert grabcut(image, np.full_like(mask, 4), init="mask")[1] == "class 4: it is the whole image"


def test_an_emptied_class_is_passed_on():
    _, truth = scene()
    flat = np.full((*truth.shape, 3), 128, np.uint8)
    mask = np.where(truth == 7, 7, 0).astype(np.uint8)
    got, reason = grabcut(flat, mask)
    assert (got == mask).all()
    assert reason == "class 7: GrabCut left nothing of it"


def test_a_class_that_cannot_be_cut_stays_beside_one_that_can():
    image, truth = scene()
    mask = np.where(loose(truth) == 7, 7, 0).astype(np.uint8)
    mask[2, 2] = 9
    got, reason = grabcut(image, mask)
    assert reason == "class 9: a single pixel"
    assert got[2, 2] == 9
    assert (got == 9).sum() == 1
    assert ((got == 7) == (truth == 7)).mean() > 0.99


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 9), (2, 2), (3, 3)])
@pytest.mark.parametrize("init", ["box", "mask"])
def test_tiny_images(size, init):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for _ in range(8):
        mask = rng.choice([0, 1, 2, 255], size).astype(np.uint8)
        got, _ = grabcut(image, mask, init=init)
        assert got.shape == mask.shape
        assert set(np.unique(got)) <= set(np.unique(mask)) | {0}


def test_half_size_is_near():
    image, truth = scene(96, 128)
    mask = loose(truth)
    got, reason = grabcut(image, mask, scale=0.5)
    assert reason is None
    assert got.shape == truth.shape
    assert (got == truth).mean() > 0.95
    speck = np.zeros_like(truth)
    speck[5:7, 5:7] = 1
    assert grabcut(image, speck, scale=0.1)[1] == "class 1: too small at this --scale"


def test_input_is_not_written_to():
    image, truth = scene()
    before = image.copy(), truth.copy()
    grabcut(image, truth)
    assert (image == before[0]).all()
    assert (truth == before[1]).all()


def test_threads_and_order_give_the_same_bytes():
    # OpenCV's generator belongs to a thread: the seed set in one is not disturbed by the draws of another
    pairs = [(image, loose(truth, 5)) for image, truth in (scene(seed=s) for s in range(8))]

    def cut(pair):
        return grabcut(*pair, seed=3)[0].tobytes()

    serial = [cut(pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(cut, pairs)) == serial
        assert list(pool.map(cut, pairs[::-1])) == serial[::-1]


def error(*args, kind=WssError, **kwargs):
    with pytest.raises(kind) as caught:
        grabcut(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


def test_errors():
    image, truth = scene()
    assert error(image[..., 0], truth) == "grabcut: the image is uint8 (48, 64); it must be uint8 (H, W, 3)"
    assert error(image, truth[1:]) == (
        "grabcut: the mask is uint8 (47, 64) on an image of 48 x 64; it must be uint8 of the image's size"
    )
    assert error(image, truth.astype(int)).startswith("grabcut: the mask is int64 (48, 64) on")
    assert error(image, truth, iterations=0, kind=UsageError) == ("grabcut: 0 iterations; take 1 or more (5 is usual)")
    for scale in (0, 1.5, float("nan")):
        assert error(image, truth, scale=scale, kind=UsageError) == (
            f"grabcut: a scale of {scale} is not in (0, 1]; 1 works at full size"
        )
    assert error(image, truth, init="rect", kind=UsageError) == "grabcut: no init 'rect'; take box or mask"
