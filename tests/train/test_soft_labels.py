import cv2
import numpy as np
import pytest
import torch

from wsscli.losses.cross_entropy import cross_entropy
from wsscli.train.augment import resize
from wsscli.train.objectives import Masks
from wsscli.train.samples import Augment, MaskSamples
from wsscli.train.soft_labels import SoftLabels, SoftLabelSamples

MASK = np.zeros((40, 60), np.uint8)
MASK[8:32, 10:40] = 2


def photo(name):
    return np.dstack([MASK * 100, np.arange(2400, dtype=np.int64).reshape(40, 60) % 200, MASK]).astype(np.uint8)


def hard(name):
    """The mask as shares of classes 0 and 2, at the photo's size."""
    return np.stack([MASK == 0, MASK == 2]).astype(np.float32), np.array([0, 2])


def pair(step=1, read_maps=hard, seed=3, **how):
    augment = Augment(**{"crop": 33, "longer": 60, "scale": (0.5, 1.25), "jitter": 0.2, **how})
    return (
        SoftLabelSamples(["a"], photo, read_maps, 4, augment, step, seed),
        MaskSamples(["a"], photo, lambda name: MASK, augment, seed),
    )


@pytest.mark.parametrize("scale", [None, (0.5, 1.25), (1.0, 1.0), (0.3, 0.4)])
def test_shares_go_where_masks_go(scale):
    """Rounded shares are the mask: same scale, same window, same mirror; behind the border there is nothing."""
    soft, masks = pair(scale=scale)
    outside = 0
    for epoch in range(8):
        image, shares = soft(epoch, 0)
        expected_image, mask = masks(epoch, 0)
        assert np.array_equal(image, expected_image) and shares.shape == (4, 33, 33) and shares.dtype == np.float32
        known = mask != 255
        assert np.array_equal(shares.sum(0) > 0, known)
        np.testing.assert_allclose(shares.sum(0)[known], 1, atol=1e-5)
        assert (shares[[1, 3]] == 0).all()
        wrong = (shares.argmax(0) != mask) & known
        inner, square = (mask == 2).astype(np.uint8), np.ones((3, 3))
        assert not (wrong & (cv2.dilate(inner, square) == cv2.erode(inner, square))).any()  # but for the outline
        outside += int((~known).sum())
    assert outside or scale in (None, (1.0, 1.0))


def test_every_other_row_and_column():
    whole, some = pair()[0], pair(step=2)[0]
    for epoch in range(3):
        assert np.array_equal(whole(epoch, 0)[1][:, ::2, ::2], some(epoch, 0)[1])


def test_maps_of_another_resolution_lie_on_the_photo_as_well():
    def coarse(name):
        maps, rows = hard(name)
        return np.stack([cv2.resize(m, (30, 20), interpolation=cv2.INTER_AREA) for m in maps]), rows

    fine, rough = pair(scale=(1.0, 1.0))[0], pair(read_maps=coarse, scale=(1.0, 1.0))[0]
    for epoch in range(4):
        (image, one), (same, other) = fine(epoch, 0), rough(epoch, 0)
        assert np.array_equal(image, same)
        assert np.array_equal(one.sum(0) > 0, other.sum(0) > 0)
        assert np.abs(one - other)[:, 2:-2, 2:-2].mean() < 0.03  # blurred outlines
        assert np.abs(one - np.roll(other, 1, (1, 2))).mean() > np.abs(one - other).mean()  # at the same place


def test_the_warped_photo():
    image, shares = pair(scale=None, flip=False, jitter=0.0)[0](0, 0)
    assert np.array_equal(image, resize(photo("a"), 33, 33))
    expected = cv2.resize((MASK == 2).astype(np.float32), (33, 33), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shares[2], expected, atol=1e-6)


def test_hard_shares_train_as_masks_do():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, 5)
    masks = torch.randint(0, 5, (2, 33, 33), dtype=torch.uint8)
    masks[masks == 4] = 255
    points = masks[:, ::2, ::2]
    shares = torch.stack([points == c for c in range(4)], 1).float()
    expected = Masks(8, 2)(logits, [torch.empty(0), masks])
    torch.testing.assert_close(SoftLabels(8, 2)(logits, [torch.empty(0), shares]), expected)
    assert expected > 0 and expected != cross_entropy(torch.zeros(2, 4, 33, 33), masks)
