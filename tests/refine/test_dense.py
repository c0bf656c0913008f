import os
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from wsscli.data.images import read_image
from wsscli.data.sample_photos import SAMPLES, sample_path
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.png import read_mask
from wsscli.refine.crf import PRESETS, dense_crf
from wsscli.refine.dense import dense_mean_field

LITERAL = runpy.run_path(str(Path(__file__).with_name("literal.py")))
VOC = Path(os.environ.get("WSS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "voc"
GRID = {**PRESETS["koltun"], "gauss_sxy": 3 / 12, "bilateral_sxy": 80 / 12}  # as on a training grid


def smooth_batch(n=3, k=4, height=9, width=11, seed=0):
    """Photo-like noise: uint8 (n,3,h,w), float32 (n,k,h,w)."""
    rng = np.random.default_rng(seed)
    images = np.stack([cv2.GaussianBlur(m, (0, 0), 2) for m in rng.normal(0, 250, (n, height, width, 3))])
    logits = np.stack([cv2.GaussianBlur(m, (0, 0), 1.5) for m in rng.normal(0, 8, (n, height, width, k))])
    images = torch.from_numpy((images.reshape(n, height, width, 3) + 128).clip(0, 255).astype(np.uint8))
    logits = torch.from_numpy(logits.reshape(n, height, width, k).astype(np.float32))
    return images.permute(0, 3, 1, 2).contiguous(), logits.permute(0, 3, 1, 2).softmax(1)


def literal(images, p, iterations=10, form="mean_field_matrices", **options):
    pixels = images.permute(0, 2, 3, 1).numpy()
    return np.stack([LITERAL[form](i, q, iterations, **options) for i, q in zip(pixels, p.numpy(), strict=True)])


@pytest.mark.parametrize("options", [PRESETS["koltun"], PRESETS["deeplab"], GRID], ids=["koltun", "deeplab", "grid"])
def test_equals_the_literal_sum_over_all_pairs(options):
    images, p = smooth_batch(2, 3, 6, 7)
    want = literal(images, p, form="mean_field", **options)
    got = dense_mean_field(images, p, **options)
    assert got.dtype == torch.float32
    assert got.shape == p.shape
    assert np.abs(got.numpy() - want).max() < 1e-4
    assert np.abs(want - p.numpy()).max() > 0.1  # not an input that the CRF leaves as it is


def test_the_two_literal_forms_are_one():
    images, p = smooth_batch(1, 3, 5, 6)
    loops = literal(images, p, form="mean_field", **GRID)
    assert np.abs(loops - literal(images, p, **GRID)).max() < 1e-12


@pytest.mark.parametrize("iterations", [1, 2, 10])
def test_equals_the_literal_sum_at_the_size_of_a_training_grid(iterations):
    images, p = smooth_batch(2, 21, 41, 41)
    want = literal(images, p, iterations, **GRID)
    assert np.abs(dense_mean_field(images, p, iterations=iterations, **GRID).numpy() - want).max() < 1e-4


def test_levels_between_whole_ones_count():
    images, p = smooth_batch(1, 3, 6, 7)
    between = images.float() + torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    got = dense_mean_field(between, p, **GRID).numpy()
    assert np.abs(got - literal(between, p, **GRID)).max() < 1e-4
    assert np.abs(got - dense_mean_field(images, p, **GRID).numpy()).max() > 1e-4


def net_like(truth, seed, sharpness=1.0):
    """float32 (21,41,41): what a net would say about a mask at its grid, right most of the time."""
    rng = np.random.default_rng(seed)
    present = set(np.unique(truth).tolist()) - {255}
    logits = [
        6 * cv2.GaussianBlur(np.float32(truth == c), (0, 0), 1.5)
        + 8 * cv2.GaussianBlur(rng.normal(0, 1, truth.shape).astype(np.float32), (0, 0), 2.5)
        + (0 if c in present else -3)
        for c in range(21)
    ]
    return torch.from_numpy(np.stack(logits) * sharpness).softmax(0)


def share_of_equal_labels(photos, truths, sharpness):
    small = [np.ascontiguousarray(cv2.resize(photo, (321, 321))[::8, ::8]) for photo in photos]
    p = torch.stack([net_like(truth, seed, sharpness) for seed, truth in enumerate(truths)])
    images = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
    exact = dense_mean_field(images, p, **GRID).argmax(1).numpy()
    lattice = np.stack([dense_crf(i, q, **GRID).argmax(0) for i, q in zip(small, p.numpy(), strict=True)])
    assert (exact != p.argmax(1).numpy()).mean() > 0.005  # the CRF has something to do
    return (exact == lattice).mean()


def test_same_labels_as_the_lattice_on_sample_photos():
    photos = [read_image(sample_path(photo)) for photo in SAMPLES]
    y, x = np.mgrid[:41, :41]
    truths = [np.where((y - 20) ** 2 + (x - 15 - 3 * k) ** 2 < 150, k + 1, 0) for k in range(len(photos))]
    assert share_of_equal_labels(photos, truths, 1.0) >= 0.98


@pytest.mark.real
@pytest.mark.skipif(not VOC.is_dir(), reason="the real photos are not here")
@pytest.mark.parametrize("sharpness", [0.1, 0.3, 1.0])
def test_same_labels_as_the_lattice_on_real_photos(sharpness):
    files = sorted((VOC / "SegmentationClass").glob("*.png"))[::40]
    photos = [read_image(VOC / "JPEGImages" / f"{f.stem}.jpg") for f in files]
    truths = [cv2.resize(read_mask(f), (41, 41), interpolation=cv2.INTER_NEAREST) for f in files]
    assert share_of_equal_labels(photos, truths, sharpness) >= 0.98


def test_marginals_sum_to_one():
    images, p = smooth_batch()
    q = dense_mean_field(images, p)
    assert (q.sum(1) - 1).abs().max() < 1e-5
    assert q.min() >= 0


def test_no_iteration_normalises_the_clipped_probabilities():
    p = torch.tensor([0.0, 0.25, 0.25]).view(1, 3, 1, 1)
    q = dense_mean_field(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), p, iterations=0).ravel().tolist()
    total = 1e-5 + 0.5
    assert q == pytest.approx([1e-5 / total, 0.25 / total, 0.25 / total], rel=1e-5)


def test_no_weights_leave_the_probabilities():
    images, p = smooth_batch()
    assert (dense_mean_field(images, p, gauss_compat=0, bilateral_compat=0) - p).abs().max() < 1e-6


def test_one_label_is_certain():
    images, p = smooth_batch()
    assert (dense_mean_field(images, p[:, :1]) == 1).all()


def test_labels_are_interchangeable():
    images, p = smooth_batch()
    straight, turned = dense_mean_field(images, p), dense_mean_field(images, p.flip(1))
    assert (straight - turned.flip(1)).abs().max() < 1e-5


def test_an_edge_in_colour_stops_a_label():
    # two flat halves; the right one is undecided but for one sure pixel, which spreads over its half only
    images = torch.zeros(1, 3, 8, 12, dtype=torch.uint8)
    images[..., 6:] = 200
    p = torch.full((1, 2, 8, 12), 0.5)
    p[:, 0, :, :6], p[:, 1, :, :6] = 0.6, 0.4
    p[:, 0, 3, 9], p[:, 1, 3, 9] = 0.01, 0.99
    q = dense_mean_field(images, p, gauss_sxy=0.25)
    assert (q[0, 0, :, :6] > 0.9).all()
    assert (q[0, 1, :, 6:] > 0.9).all()


def test_a_batch_is_its_images_one_by_one():
    images, p = smooth_batch(5, 3, 12, 10)
    whole = dense_mean_field(images, p, max_elements=10**9)
    alone = torch.cat([dense_mean_field(images[n : n + 1], p[n : n + 1]) for n in range(5)])
    assert (whole - alone).abs().max() < 1e-5


@pytest.mark.parametrize("max_elements", [1, 120**2, 2 * 120**2, 3 * 120**2 + 1])
def test_chunks_are_the_whole(max_elements):
    images, p = smooth_batch(5, 3, 12, 10)
    whole = dense_mean_field(images, p, max_elements=10**9)
    assert (dense_mean_field(images, p, max_elements=max_elements) - whole).abs().max() < 1e-5


def test_no_images_are_no_marginals():
    q = dense_mean_field(torch.zeros(0, 3, 4, 5, dtype=torch.uint8), torch.zeros(0, 2, 4, 5))
    assert q.shape == (0, 2, 4, 5)


def test_autocast_does_not_reach_inside():
    images, p = smooth_batch(2, 3, 12, 10)
    want = dense_mean_field(images, p, **GRID)
    with torch.autocast("cpu", torch.bfloat16):
        got = dense_mean_field(images, p, **GRID)
    assert got.dtype == torch.float32
    assert (got == want).all()


def test_half_precision_probabilities_are_taken():
    images, p = smooth_batch(2, 3, 12, 10)
    got = dense_mean_field(images, p.bfloat16(), **GRID)
    assert got.dtype == torch.float32
    assert (got == dense_mean_field(images, p.bfloat16().float(), **GRID)).all()


def test_no_gradient_and_nothing_is_written_to():
    images, p = smooth_batch()
    images, p = images.float(), p.requires_grad_()
    before = images.clone(), p.detach().clone()
    q = dense_mean_field(images, p)
    assert not q.requires_grad
    assert (images == before[0]).all()
    assert (p == before[1]).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_gives_what_the_cpu_gives():
    images, p = smooth_batch(20, 21, 41, 41)
    got = dense_mean_field(images.cuda(), p.cuda(), **GRID)
    assert got.device.type == "cuda"
    assert (got.cpu() - dense_mean_field(images, p, **GRID)).abs().max() < 1e-4


def error(*args, kind=WssError, **kwargs):
    with pytest.raises(kind) as caught:
        dense_mean_field(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


def test_errors():
    images, p = smooth_batch(2, 3, 4, 6)
    assert error(images[0], p) == "crf: images of shape (3, 4, 6); they must be (N, 3, h, w), grey levels 0..255"
    assert error(images[:, :1], p).startswith("crf: images of shape (2, 1, 4, 6);")
    assert error(images, p[:, :, :3]) == (
        "crf: probabilities of shape (2, 3, 3, 6) on 2 images of 4 x 6; "
        "they must be (N, labels, h, w) of the images' number and size"
    )
    for strange in (p[:1], p[0], p[:, :0], p.transpose(2, 3)):
        assert error(images, strange).startswith(f"crf: probabilities of shape {tuple(strange.shape)} on 2 images of")
    for value in (float("nan"), float("inf")):
        p[0, 0, 0, 0] = value
        assert error(images, p) == "crf: the probabilities hold NaN or infinity; make the scores again"


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("iterations", -1, "crf: -1 iterations; take 0 or more (10 is usual)"),
        ("gauss_sxy", 0, "crf: gauss_sxy is 0; a standard deviation must be greater than 0"),
        ("bilateral_sxy", -3, "crf: bilateral_sxy is -3; a standard deviation must be greater than 0"),
        ("bilateral_srgb", np.inf, "crf: bilateral_srgb is inf; a standard deviation must be greater than 0"),
        ("gauss_compat", -1, "crf: gauss_compat is -1; a weight must be 0 or greater"),
        ("bilateral_compat", np.nan, "crf: bilateral_compat is nan; a weight must be 0 or greater"),
    ],
)
def test_errors_of_parameters(option, value, text):
    images, p = smooth_batch(1, 2, 4, 6)
    assert error(images, p, kind=UsageError, **{option: value}) == text
