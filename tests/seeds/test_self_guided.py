import numpy as np
import pytest

from wsscli.errors import UsageError, WssError
from wsscli.refine.guided_filter import guided_filter
from wsscli.seeds.otsu import otsu_threshold
from wsscli.seeds.self_guided import self_guided_labels


def scene(height=24, width=32):
    """A photo with a bright square on a dark ground, and a blurred map of it."""
    photo = np.full((height, width, 3), 20, np.uint8)
    photo[6:18, 8:20] = (220, 180, 40)
    y, x = np.mgrid[:height, :width]
    blob = np.exp(-(((y - 12) / 6.0) ** 2 + ((x - 14) / 6.0) ** 2) / 2).astype(np.float32)
    return photo, blob


def test_without_the_filter_labels_are_the_maps_above_otsu():
    photo, blob = scene()
    found = self_guided_labels(blob[None], [7], photo, guided=False)
    share = blob / blob.max()
    assert np.array_equal(found.labels, np.where(share > otsu_threshold(share), 7, 0))
    np.testing.assert_allclose(found.maps[0], share, rtol=1e-6)
    assert found.flat == []


@pytest.mark.parametrize("rebinarise", [False, True])
def test_the_filter_written_out(rebinarise):
    photo, blob = scene()
    maps = np.stack([blob, np.roll(blob, 9, axis=1)])
    found = self_guided_labels(maps, [3, 5], photo, iterations=4, window=9, eps=1e-4, rebinarise=rebinarise)
    final = []
    for m in maps:
        m = m / m.max()
        g = (m > otsu_threshold(m)).astype(np.float32)
        for step in range(4):
            if rebinarise and step:
                g = (g > otsu_threshold(g)).astype(np.float32)
            g = guided_filter(photo, g, window=9, eps=1e-4)
        final.append(g)
    expected = np.zeros(blob.shape, np.uint8)
    for (y, x), _ in np.ndenumerate(expected):  # equation 11
        over = [(g[y, x], c) for g, c in zip(final, (3, 5), strict=True) if g[y, x] > otsu_threshold(g.clip(0, None))]
        expected[y, x] = max(over)[1] if over else 0
    assert (found.labels == expected).mean() > 0.995  # float32 between applications decides a pixel on the threshold
    np.testing.assert_allclose(found.maps, np.stack(final).clip(0, None), atol=1e-3)


def test_the_filter_brings_labels_to_the_edges_of_the_photo():
    photo, blob = scene()
    truth = photo[..., 0] > 100

    def overlap(labels):
        return ((labels > 0) & truth).sum() / ((labels > 0) | truth).sum()

    coarse = self_guided_labels(blob[None], [1], photo, guided=False).labels
    fine = self_guided_labels(blob[None], [1], photo, iterations=15, window=15, eps=1e-4).labels
    assert overlap(fine) > overlap(coarse) + 0.05 and overlap(fine) > 0.95


def test_flat_maps_label_nothing():
    photo, blob = scene()
    for guided in (False, True):
        found = self_guided_labels(np.stack([np.zeros_like(blob), blob]), [2, 4], photo, guided=guided, window=9)
        assert found.flat == [2] and set(np.unique(found.labels)) == {0, 4}


def test_no_class_is_background():
    photo, _ = scene()
    found = self_guided_labels(np.zeros((0, 1, 1), np.float32), [], photo)
    assert found.labels.shape == (24, 32) and not found.labels.any() and found.maps.shape == (0, 24, 32)


def test_small_maps_come_to_the_photo_s_size():
    photo, blob = scene()
    found = self_guided_labels(blob[None, ::4, ::4], [1], photo, guided=False)
    assert found.labels.shape == blob.shape and found.labels.any()


def test_bad_input_is_named():
    photo, blob = scene()
    with pytest.raises(WssError) as caught:
        self_guided_labels(-blob[None], [1], photo)
    assert (
        str(caught.value) == "self-guided labels: a map holds NaN, infinity or a negative value; rectify the maps first"
    )
    with pytest.raises(UsageError):
        self_guided_labels(blob[None], [1], photo, window=4)
