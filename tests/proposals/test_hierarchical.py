import numpy as np
import pytest

from wsscli.proposals.hierarchical import hierarchical


def photo(size=(60, 80)):
    """A red disc and a blue square on green, with noise, and their masks."""
    rows, columns = np.indices(size)
    disc = (rows - 25) ** 2 + (columns - 22) ** 2 < 14**2
    square = (rows > 30) & (rows < 55) & (columns > 45) & (columns < 72)
    image = np.array([[90, 140, 90], [210, 50, 40], [40, 60, 200]])[disc + 2 * square]
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), disc, square


def masks_of(found):
    return np.array([
        np.isin(found.superpixels, found.members[found.starts[i] : found.starts[i + 1]])
        for i in range(len(found.scores))
    ])  # fmt: skip


def overlap(masks, truth):
    return ((masks & truth).sum((1, 2)) / (masks | truth).sum((1, 2))).max()


def test_finds_what_stands_out():
    image, disc, square = photo()
    found = hierarchical(image, count=60)
    masks = masks_of(found)
    assert overlap(masks, disc) > 0.9 and overlap(masks, square) > 0.9
    assert 10 < len(masks) <= 60 and (np.diff(found.scores) < 0).all()
    assert masks.mean((1, 2)).min() >= 0.004


def test_no_region_twice_and_the_same_each_time():
    image, *_ = photo()
    one, two = hierarchical(image), hierarchical(image)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    masks = masks_of(one)
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    assert any(mask.all() for mask in masks[:20])


def test_fewer_are_the_first_of_more():
    image, *_ = photo()
    few, more = masks_of(hierarchical(image, count=20)), masks_of(hierarchical(image, count=50))
    np.testing.assert_array_equal(few, more[:20])


def test_large_photos_are_looked_at_smaller():
    image, disc, _ = photo((120, 160))
    found = hierarchical(image, longest=80)
    assert found.superpixels.shape == (120, 160)
    assert overlap(masks_of(found), disc) > 0.8


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (30, 40)])
def test_flat_photos_have_one_region(shape):
    found = hierarchical(np.full((*shape, 3), 128, np.uint8))
    assert masks_of(found).shape == (1, *shape) and masks_of(found).all()
