"""VideoPCA: moving objects whose masks are known, principal components against their literal form, still clips."""

import os
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsscli.errors import WssError
from wsscli.saliency import video_pca
from wsscli.seeds.otsu import otsu_threshold

CLIPS = runpy.run_path(str(Path(__file__).with_name("clips.py")))
REAL = Path(os.environ.get("WSS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "voc"


def maps_of(frames):
    copies = [video_pca.shrink(frame) for frame in frames]
    model = video_pca.learn(copies, frames[0].shape[:2])
    return [video_pca.video_saliency(model, copy) for copy in copies]


def judged(maps, masks):
    """Mean saliency inside and outside the masks, and the mean IoU of Otsu's masks."""
    inside, outside, overlap = [], [], []
    for found, mask in zip(maps, masks, strict=True):
        found = cv2.resize(found, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
        cut = found > otsu_threshold(found)
        inside.append(found[mask].mean())
        outside.append(found[~mask].mean())
        overlap.append((cut & mask).sum() / (cut | mask).sum())
    return float(np.mean(inside)), float(np.mean(outside)), float(np.mean(overlap))


@pytest.mark.parametrize(
    ("options", "least"),
    [({}, 0.75), ({"objects": 2}, 0.75), ({"pan": 0.5}, 0.75), ({"frames": 8}, 0.65)],
    ids=["one object", "two objects", "a panning camera", "eight frames"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_moves_is_salient(seed, options, least):
    frames, masks = CLIPS["moving"](seed, **options)
    inside, outside, overlap = judged(maps_of(frames), masks)
    assert inside > 0.6 and outside < 0.1 and overlap > least


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real photos are not here")
@pytest.mark.parametrize("name", ["2007_000032", "2007_000129"])
def test_a_photo_panned_and_zoomed_with_a_cut_out_before_it(name):
    from wsscli.data.dataset import open_dataset

    dataset = open_dataset(REAL, split="train")
    other = next(i for i in sorted(dataset.ids) if i != name and 0.1 < (dataset.truth(i) % 255 > 0).mean() < 0.3)
    shape = dataset.truth(other) % 255 > 0
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    frames, masks = CLIPS["panned"](dataset.image(name), dataset.image(other)[box], shape[box])
    inside, outside, overlap = judged(maps_of(frames), masks)
    assert inside > 3 * outside and overlap > 0.3


def test_maps_have_the_working_size_and_fill_their_range():
    frames, _ = CLIPS["moving"](size=(240, 320), frames=8)
    for found in maps_of(frames):
        assert found.shape == (120, 160) and found.dtype == np.float32
        assert (found.min(), found.max()) == (0, 1)
        np.testing.assert_array_equal(found, found.astype(np.float16))


def test_frames_below_the_working_size_stay_as_they_are():
    frame = CLIPS["moving"](frames=1)[0][0]
    assert video_pca.shrink(frame) is frame
    assert video_pca.shrink(np.zeros((1, 40000, 3), np.uint8)).shape == (1, 27713, 3)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_nothing_moves(frames):
    still = np.repeat(CLIPS["moving"](frames=1)[0], frames, axis=0)
    assert not any(found.any() for found in maps_of(still))


@pytest.mark.parametrize("strength", [1.0, 6.0])
def test_noise_is_no_motion(strength):
    rng = np.random.default_rng(0)
    ground = np.full((12, 60, 80, 3), 128.0)
    assert not np.any(maps_of((ground + rng.normal(0, strength, ground.shape)).round().astype(np.uint8)))


def test_two_frames_differ_from_their_mean():
    frames, masks = CLIPS["moving"](frames=2)
    inside, outside, _ = judged(maps_of(frames), masks)
    assert inside > 4 * outside


def literal_components(data, number):
    """Eigenvectors of the D x D covariance, entry by entry."""
    mean = data.astype(np.float64).mean(0)
    covariance = np.zeros((data.shape[1],) * 2)
    for row in data:
        covariance += np.outer(row - mean, row - mean)
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors[:, np.argsort(values)[::-1][:number]].T


@pytest.mark.parametrize("number", [0, 1, 3, 5])
def test_components_equal_those_of_the_covariance(number):
    data = np.random.default_rng(number).integers(0, 256, (7, 60), dtype=np.uint8)
    mean, components = video_pca.principal(data, number)
    expected_mean, expected = literal_components(data, number)
    assert components.shape == (number, 60) and components.dtype == np.float32
    np.testing.assert_allclose(mean, expected_mean, atol=1e-4)
    np.testing.assert_allclose(components @ components.T, np.eye(number), atol=1e-5)
    rest = data - expected_mean
    np.testing.assert_allclose(rest @ components.T @ components, rest @ expected.T @ expected, atol=1e-3)


def test_no_more_components_than_dimensions():
    data = np.array([[0, 0], [2, 0], [4, 0]], np.uint8)
    mean, components = video_pca.principal(data, 2)
    np.testing.assert_array_equal(mean, [2, 0])
    np.testing.assert_allclose(np.abs(components), [[1, 0]])
    assert video_pca.principal(np.full((5, 3), 7, np.uint8), 2)[1].shape == (0, 3)


def test_motion_is_the_distance_from_the_reconstruction():
    frames, _ = CLIPS["moving"](frames=9, size=(12, 16))
    data = frames.reshape(9, -1)
    mean, components = video_pca.principal(data, 2)
    found = video_pca.motion(video_pca.ClipModel((12, 16), mean, components, None), frames[4])
    rest = data[4] - mean.astype(np.float64)
    rest = (rest - components.T.astype(np.float64) @ (components @ rest)).reshape(12, 16, 3)
    error = np.zeros((12, 16))
    for y in range(12):
        for x in range(16):
            error[y, x] = np.sqrt(sum(rest[y, x, c] ** 2 for c in range(3)))
    sigma = video_pca.BLUR * (12 * 16) ** 0.5
    smooth = cv2.GaussianBlur(error, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(found, smooth, atol=1e-2)


def test_long_clips_are_thinned_out_evenly():
    assert video_pca.thinned(5) == [0, 1, 2, 3, 4]
    chosen = video_pca.thinned(1000)
    assert len(chosen) == len(set(chosen)) == video_pca.MOST_FRAMES
    assert (chosen[0], chosen[-1]) == (0, 999)
    assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


@pytest.mark.parametrize("bad", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.float32)])
def test_frames_that_are_no_photos_are_refused(bad):
    with pytest.raises(WssError) as caught:
        video_pca.shrink(bad)
    assert str(caught.value) == f"video-pca: needs RGB frames, uint8 (H, W, 3), not {bad.dtype} {bad.shape}"
