import numpy as np
import pytest

from wsscli.train.augment import jitter, resize, resize_mask, resized_crop, sample_rng, scaled_crop
from wsscli.train.samples import Augment, LabelSamples, MaskSamples, SeedSamples, SoftSamples, label_matrix


def photo(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_sample_rng_depends_on_all_three_and_nothing_else():
    draws = {sample_rng(*key).random() for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(draws) == 4
    assert sample_rng(0, 1, 2).random() == sample_rng(0, 1, 2).random()


def test_resize_keeps_means_when_it_shrinks():
    image = photo(64, 64)
    assert np.abs(resize(image, 8, 8).mean((0, 1)) - image.mean((0, 1))).max() < 1
    assert resize(image, 64, 64).tolist() == image.tolist()


def test_resize_mask_takes_the_nearest():
    mask = np.array([[0, 255], [3, 7]], np.uint8)
    assert resize_mask(mask, 4, 4).tolist() == [[0, 0, 255, 255]] * 2 + [[3, 3, 7, 7]] * 2


def test_resized_crop_of_the_whole_area_is_a_part_with_the_ratio_kept_in_bounds():
    flat = np.full((30, 50, 3), 77, np.uint8)
    for seed in range(20):
        out = resized_crop(flat, 33, np.random.default_rng(seed), area=(0.3, 1.0))
        assert out.shape == (33, 33, 3) and (out == 77).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (200, 2)])
def test_resized_crop_of_thin_images(shape):
    assert resized_crop(photo(*shape), 33, np.random.default_rng(0), area=(0.3, 1.0)).shape == (33, 33, 3)


def test_scaled_crop_pads_image_with_fill_and_mask_with_255():
    image, mask = np.full((20, 40, 3), 9, np.uint8), np.full((20, 40), 2, np.uint8)
    out, labels = scaled_crop(image, mask, 50, np.random.default_rng(0), longer=40, scale=(1.0, 1.0), fill=(1, 2, 3))
    inside = labels == 2
    assert inside.sum() == 20 * 40
    assert (out[inside] == 9).all() and (out[~inside] == (1, 2, 3)).all() and (labels[~inside] == 255).all()


def test_scaled_crop_cuts_image_and_mask_alike():
    mask = np.arange(200, dtype=np.uint8).reshape(10, 20)
    image = np.repeat(mask[:, :, None], 3, 2)
    for seed in range(10):
        out, labels = scaled_crop(
            image, mask, 8, np.random.default_rng(seed), longer=20, scale=(1.0, 1.0), fill=(0, 0, 0)
        )
        assert np.array_equal(out[:, :, 0], labels)
        assert np.array_equal(np.diff(labels.astype(int), axis=0), np.full((7, 8), 20))


def test_scaled_crop_reaches_both_borders():
    mask = np.arange(16, dtype=np.uint8).reshape(1, 16).repeat(16, 0)
    image = np.zeros((16, 16, 3), np.uint8)
    seen = {
        int(scaled_crop(image, mask, 15, np.random.default_rng(s), longer=16, scale=(1.0, 1.0), fill=(0,) * 3)[1][0, 0])
        for s in range(30)
    }
    assert seen == {0, 1}


def test_jitter_is_its_three_steps():
    image = photo()
    rng = np.random.default_rng(3)
    bright, contrast, saturation = np.random.default_rng(3).uniform(0.8, 1.2, 3)
    x = image.astype(float) * bright
    x = (x - x.mean()) * contrast + x.mean()
    x = x.mean(2, keepdims=True) + (x - x.mean(2, keepdims=True)) * saturation
    assert np.abs(jitter(image, 0.2, rng).astype(float) - x.clip(0, 255)).max() <= 1.0
    assert np.array_equal(jitter(image, 0.0, rng), image)


def test_label_matrix():
    assert label_matrix([(1, 3), (), (2,)], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("scale", [None, (0.5, 1.0)])
def test_samples_depend_on_epoch_and_index_alone(scale):
    how = Augment(crop=33, longer=40, scale=scale, jitter=0.2)
    images = {"a": photo(seed=1), "b": photo(50, 30, seed=2)}
    masks = {"a": np.zeros((40, 60), np.uint8), "b": np.full((50, 30), 255, np.uint8)}
    for make in (
        lambda: LabelSamples(["a", "b"], images.__getitem__, {"a": (1,), "b": (1, 2)}, 2, how, seed=4),
        lambda: MaskSamples(["a", "b"], images.__getitem__, masks.__getitem__, how, seed=4),
    ):
        first, second = make(), make()
        assert len(first) == 2
        keys = [(0, 0), (0, 1), (1, 0), (3, 1)]
        forward = [first(*key) for key in keys]
        backward = [second(*key) for key in keys[::-1]][::-1]
        for (image, target), (same, same_target) in zip(forward, backward, strict=True):
            assert image.shape == (33, 33, 3) and image.dtype == np.uint8
            assert np.array_equal(image, same) and np.array_equal(target, same_target)
        assert not np.array_equal(forward[0][0], forward[2][0])


def test_flip_turns_image_and_mask_together():
    image, mask = np.zeros((33, 33, 3), np.uint8), np.zeros((33, 33), np.uint8)
    image[:, :5], mask[:, :5] = 200, 1
    samples = MaskSamples(["a"], lambda _: image, lambda _: mask, Augment(crop=33), seed=0)
    seen = set()
    for epoch in range(12):
        out, labels = samples(epoch, 0)
        assert np.array_equal(out[:, :, 0] == 200, labels == 1)
        seen.add(bool(labels[0, 0]))
    assert seen == {True, False}


def labelled(count=2, seed=0, shape=(40, 60)):
    """Photos whose red channel is the seed of the pixel and whose green channel is its true class."""
    rng = np.random.default_rng(seed)
    images = {}
    for name in "abcdef"[:count]:
        image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        image[..., :2] = rng.integers(0, 4, (*shape, 2), dtype=np.uint8)
        images[name] = image
    return images


def seed_samples(images, labels=None, *, truth=True, how=None, classes=4, seed=4):
    return SeedSamples(
        list(images),
        images.__getitem__,
        lambda name: np.ascontiguousarray(images[name][..., 0]),
        labels or dict.fromkeys(images, (1,)),
        classes,
        how or Augment(crop=33, longer=60, scale=(1.0, 1.0)),
        seed,
        (lambda name: np.ascontiguousarray(images[name][..., 1])) if truth else None,
    )


def test_label_columns_of_seed_samples():
    images = labelled(3)
    samples = seed_samples(images, {"a": (1, 3), "b": (), "c": (2,)})
    rows = [samples(0, i)[2] for i in range(3)]
    assert all(row.dtype == bool for row in rows)
    assert np.array(rows).astype(int).tolist() == [[1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 1, 0]]  # the background always


def test_the_truth_goes_through_the_same_crop_and_mirror_as_the_seeds():
    samples = seed_samples(labelled())
    flips = set()
    for epoch in range(12):
        image, seeds, _, inside, truth = samples(epoch, 0)
        assert image.shape == (33, 33, 3) and seeds.shape == truth.shape == (33, 33)
        assert np.array_equal(seeds, image[..., 0]) and np.array_equal(truth, image[..., 1]) and inside.all()
        flips.add(any(np.array_equal(image[0, ::-1], line) for line in windows(samples.read("a"), 33)))
    assert flips == {True, False}


def windows(image, size):
    """Every horizontal run of `size` pixels of an image."""
    return (image[y, x : x + size] for y in range(image.shape[0]) for x in range(image.shape[1] - size + 1))


@pytest.mark.parametrize("scale", [None, (0.5, 1.0), (1.0, 1.0)])
def test_watching_changes_no_sample(scale):
    images, how = labelled(), Augment(crop=33, longer=60, scale=scale, jitter=0.2)
    watched, plain = seed_samples(images, how=how), seed_samples(images, how=how, truth=False)
    masks = MaskSamples(list(images), images.__getitem__, plain.read_mask, how, seed=4)
    assert len(watched) == len(plain) == 2
    for epoch in range(4):
        for index in range(2):
            five, four, two = watched(epoch, index), plain(epoch, index), masks(epoch, index)
            assert (len(five), len(four)) == (5, 4)
            assert all(np.array_equal(a, b) for a, b in zip(five, four, strict=False))
            assert all(np.array_equal(a, b) for a, b in zip(four, two, strict=False))  # as with --loss ce


def test_the_border_of_the_image_is_255_in_seeds_and_truth():
    samples = seed_samples(labelled(shape=(20, 60)))
    _, seeds, _, inside, truth = samples(0, 0)
    assert (seeds[inside] != 255).all() and (truth[inside] != 255).all() and 0 < inside.mean() < 1
    assert (seeds[~inside] == 255).all() and (truth[~inside] == 255).all()


def test_whole_is_the_image_warped_and_nothing_else():
    images = labelled()
    how = Augment(crop=33, longer=60, scale=(0.5, 1.0), flip=True, jitter=0.3)
    image, seeds, labels, inside, truth = seed_samples(images, {"a": (2,), "b": (1,)}, how=how).whole(1)
    assert np.array_equal(image, resize(images["b"], 33, 33))
    assert np.array_equal(seeds, resize_mask(np.ascontiguousarray(images["b"][..., 0]), 33, 33))
    assert np.array_equal(truth, resize_mask(np.ascontiguousarray(images["b"][..., 1]), 33, 33))
    assert labels.tolist() == [True, True, False, False] and inside.all()


def test_soft_samples_are_whole_photos_and_their_foreground():
    """What nobody knows stays out of the mean, however the map is shrunk; photo and map are mirrored together."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, :20] = 200
    soft = np.full((10, 20), 0.25, np.float32)
    soft[:, :10] = 0.75
    soft[:5, 10:] = np.nan
    samples = SoftSamples(["a"], lambda _: image, lambda _: soft, Augment(crop=8, flip=True), seed=0)
    seen = set()
    for epoch in range(20):
        photo, both = samples(epoch, 0)
        assert photo.shape == (8, 8, 3) and both.shape == (2, 8, 8) and both.dtype == np.float32
        mirrored = photo[0, 0, 0] == 0
        seen.add(bool(mirrored))
        share, known = both[..., ::-1] if mirrored else both
        np.testing.assert_allclose(share[:, :4], 0.75)
        np.testing.assert_allclose(known[:, :4], 1)
        assert not known[:4, 4:].any() and not share[:4, 4:].any()
        np.testing.assert_allclose(share[4:, 4:], 0.25)
    assert seen == {True, False}


def test_soft_samples_of_any_resolution():
    """A map below the photo's size is enlarged, colours alone are jittered."""
    image = np.full((20, 20, 3), 100, np.uint8)
    soft = np.array([[0.0, 1.0]], np.float32)
    samples = SoftSamples(["a"], lambda _: image, lambda _: soft, Augment(crop=9, flip=False, jitter=0.5), seed=0)
    photos, maps = zip(*(samples(epoch, 0) for epoch in range(4)), strict=True)
    assert len({photo.tobytes() for photo in photos}) == 4 and len({both.tobytes() for both in maps}) == 1
    assert (np.diff(maps[0][0], axis=1) >= 0).all() and maps[0][0, 0, 0] == 0 and maps[0][0, 0, -1] == 1


def test_soft_samples_of_a_box():
    """The same box of photo and map, whatever their resolutions."""
    image = np.repeat(np.arange(0, 240, 6, dtype=np.uint8)[None, :, None], 40, 0).repeat(3, 2)
    soft = (np.arange(0, 240, 12, dtype=np.float32) / 255)[None].repeat(20, 0)
    how = Augment(crop=9, scale=(0.3, 0.6), flip=False)
    samples = SoftSamples(["a"], lambda _: image, lambda _: soft, how, seed=0)
    lefts = set()
    for epoch in range(8):
        photo, both = samples(epoch, 0)
        np.testing.assert_allclose(both[0, 4], photo[4, :, 0] / 255, atol=0.03)
        lefts.add(int(photo[0, 0, 0]))
    assert len(lefts) > 3
