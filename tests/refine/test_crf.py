import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsscli.errors import UsageError, WssError
from wsscli.refine.crf import PRESETS, dense_crf, label_probabilities

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("crf_*.npz"))


def halves(height=24, width=30, noise=0.3, seed=0):
    """A grey image whose right half is bright, and noisy probabilities of it: image, probabilities, truth."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((height, width), np.int64)
    truth[:, width // 2 :] = 1
    image = np.where(truth[..., None] == 1, 190, 70) + rng.normal(0, 4, (height, width, 3))
    p = np.clip(np.where(truth == 1, 0.6, 0.4) + rng.normal(0, noise, truth.shape), 0.05, 0.95)
    return image.clip(0, 255).astype(np.uint8), np.stack([1 - p, p]).astype(np.float32), truth


def test_there_are_fixtures():
    assert [path.stem for path in FIXTURES] == ["crf_deeplab3", "crf_koltun2", "crf_koltun5", "crf_start1"]
    assert sum(path.stat().st_size for path in FIXTURES) < 200_000


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_lattice_equals_stored_pydensecrf(path):
    case = np.load(path)
    options = PRESETS[str(case["preset"])]
    got = dense_crf(case["image"], case["probabilities"], iterations=int(case["iterations"]), **options)
    assert got.dtype == np.float32
    assert np.abs(got - case["marginals"]).max() < 1e-4
    assert (got.argmax(0) == case["marginals"].argmax(0)).all()


def blobs(rng, height, width, channels, sigma):
    """Smooth noise of unit variance, float32 (H, W, channels)."""
    noise = rng.normal(size=(height, width, channels)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma).reshape(noise.shape)
    return smooth / smooth.std()


@pytest.mark.parametrize("labels", [1, 2, 4, 5, 21])
@pytest.mark.parametrize("preset", PRESETS)
def test_lattice_equals_pydensecrf(labels, preset):
    # Smooth inputs as photographs are: on white noise a pixel that stays undecided for ten iterations amplifies the
    # last bit (the two differ in their exp and in the order of a sum) to some 1e-4.
    pytest.importorskip("pydensecrf")
    rng = np.random.default_rng(labels)
    image = (128 + 50 * blobs(rng, 43, 51, 3, 3)).clip(0, 255).astype(np.uint8)
    odds = np.exp(2 * blobs(rng, 43, 51, labels, 2).transpose(2, 0, 1))
    p = (odds / odds.sum(0)).astype(np.float32)
    ours = dense_crf(image, p, **PRESETS[preset])
    theirs = dense_crf(image, p, engine="pydensecrf", **PRESETS[preset])
    assert np.abs(ours - theirs).max() < 1e-4
    assert (ours.argmax(0) == theirs.argmax(0)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (2, 2), (3, 3)])
def test_lattice_equals_pydensecrf_on_tiny_images(size):
    pytest.importorskip("pydensecrf")
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    p = rng.dirichlet(np.ones(3), size).transpose(2, 0, 1).astype(np.float32)
    assert np.abs(dense_crf(image, p) - dense_crf(image, p, engine="pydensecrf")).max() < 1e-4


def literal_mean_field(image, p, iterations, gauss_sxy, gauss_compat, bilateral_sxy, bilateral_srgb, bilateral_compat):
    """Mean field with both kernels as full N x N matrices, float64: what the lattice approximates."""
    k, height, width = p.shape
    y, x = np.mgrid[:height, :width]
    at = np.stack([x, y], -1).reshape(-1, 2)

    def kernel(features):
        distance = ((features[:, None] - features[None]) ** 2).sum(-1)
        gram = np.exp(-distance / 2)
        norm = 1 / np.sqrt(gram.sum(1))
        return norm[:, None] * gram * norm

    near = kernel(at / gauss_sxy)
    alike = kernel(np.concatenate([at / bilateral_sxy, image.reshape(-1, 3) / bilateral_srgb], 1))
    log = np.log(np.clip(p, 1e-5, 1)).reshape(k, -1).astype(np.float64)
    energy = log
    for step in range(iterations + 1):
        odds = np.exp(energy - energy.max(0))
        q = odds / odds.sum(0)
        if step < iterations:
            energy = log + gauss_compat * q @ near + bilateral_compat * q @ alike
    return q.reshape(k, height, width)


def test_lattice_is_near_the_literal_sum_over_all_pairs():
    # The lattice is an approximation: its blur is a polynomial, not a Gaussian, and it knows only the corners that
    # some pixel touches. On 20 x 24 pixels the marginals differ by some hundredths, and hardly a label does.
    image, p, _ = halves(20, 24, seed=3)
    got = dense_crf(image, p)
    want = literal_mean_field(image, p, 10, **PRESETS["koltun"])
    assert np.abs(got - want).mean() < 0.02
    assert (got.argmax(0) == want.argmax(0)).mean() > 0.98


def test_one_step_is_near_the_literal_sum():
    image, p, _ = halves(20, 24, seed=4)
    got = dense_crf(image, p, iterations=1)
    want = literal_mean_field(image, p, 1, **PRESETS["koltun"])
    assert np.abs(got - want).mean() < 0.03


def test_noise_is_removed_and_the_edge_kept():
    image, p, truth = halves()
    assert (p.argmax(0) == truth).mean() < 0.8
    assert (dense_crf(image, p).argmax(0) == truth).all()


def test_marginals_sum_to_one():
    image, p, _ = halves()
    q = dense_crf(image, p)
    assert q.shape == p.shape
    assert np.abs(q.sum(0) - 1).max() < 1e-5
    assert q.min() >= 0


def test_no_iteration_normalises_the_clipped_probabilities():
    image = np.zeros((1, 1, 3), np.uint8)
    p = np.array([0.0, 0.25, 0.25], np.float32).reshape(3, 1, 1)
    q = dense_crf(image, p, iterations=0).ravel()
    total = 1e-5 + 0.5
    assert q == pytest.approx([1e-5 / total, 0.25 / total, 0.25 / total], rel=1e-5)


def test_no_weights_leave_the_probabilities():
    image, p, _ = halves()
    assert np.abs(dense_crf(image, p, gauss_compat=0, bilateral_compat=0) - p).max() < 1e-6


def test_labels_are_interchangeable():
    image, p, _ = halves()
    three = np.concatenate([p * 0.8, np.full((1, *p.shape[1:]), 0.2, np.float32)])
    straight, turned = dense_crf(image, three), dense_crf(image, three[::-1])
    assert np.abs(straight - turned[::-1]).max() < 1e-6


def test_one_label_is_certain():
    image, p, _ = halves()
    assert (dense_crf(image, p[:1]) == 1).all()


def test_input_is_not_written_to():
    image, p, _ = halves()
    before = image.copy(), p.copy()
    dense_crf(image, p)
    assert (image == before[0]).all()
    assert (p == before[1]).all()


def test_threads_give_the_same_bytes():
    pairs = [halves(seed=s)[:2] for s in range(8)]

    def digest(pair):
        return hashlib.sha256(dense_crf(*pair).tobytes()).hexdigest()

    serial = [digest(pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(digest, pairs)) == serial


def test_label_probabilities():
    mask = np.array([[0, 8, 255]], np.uint8)
    p = label_probabilities(mask, [0, 8, 12])
    assert p.dtype == np.float32
    assert p[:, 0, 0] == pytest.approx([0.7, 0.15, 0.15])
    assert p[:, 0, 1] == pytest.approx([0.15, 0.7, 0.15])
    assert p[:, 0, 2] == pytest.approx([1 / 3] * 3)
    assert label_probabilities(mask, [0, 8], 0.9)[:, 0, 0] == pytest.approx([0.9, 0.1])


def test_label_probabilities_of_one_class():
    assert (label_probabilities(np.array([[5, 255]], np.uint8), [5]) == 1).all()


def error(call, *args, kind=WssError, **kwargs):
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


def test_errors_of_label_probabilities():
    mask = np.array([[0, 8, 255]], np.uint8)
    assert error(label_probabilities, mask, [0, 7]) == (
        "crf: the mask holds class 8, which is not among [0, 7]; name every class"
    )
    assert error(label_probabilities, mask, []) == (
        "crf: no class takes part; a mask that is all 255 has nothing to refine"
    )
    assert error(label_probabilities, mask, [0, 8], 1.0, kind=UsageError) == (
        "crf: a label confidence of 1.0 is not between 0 and 1; 0.7 is usual"
    )


def test_errors_of_arrays():
    image, p, _ = halves(4, 6)
    assert error(dense_crf, image[..., 0], p) == "crf: the image is uint8 (4, 6); it must be uint8 (H, W, 3)"
    assert error(dense_crf, image.astype(np.float32), p).startswith("crf: the image is float32 (4, 6, 3);")
    assert error(dense_crf, image, p[:, :3]) == (
        "crf: probabilities of shape (2, 3, 6) on an image of 4 x 6; they must be (labels, H, W) of the image's size"
    )
    p[0, 0, 0] = np.nan
    assert error(dense_crf, image, p) == "crf: the probabilities hold NaN or infinity; make the scores again"


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("iterations", -1, "crf: -1 iterations; take 0 or more (10 is usual)"),
        ("gauss_sxy", 0, "crf: gauss_sxy is 0; a standard deviation must be greater than 0"),
        ("bilateral_sxy", -3, "crf: bilateral_sxy is -3; a standard deviation must be greater than 0"),
        ("bilateral_srgb", np.inf, "crf: bilateral_srgb is inf; a standard deviation must be greater than 0"),
        ("gauss_sxy", 1e-7, "crf: gauss_sxy is 1e-07; give 1e-06 to 1e+06"),
        ("bilateral_srgb", 1e300, "crf: bilateral_srgb is 1e+300; give 1e-06 to 1e+06"),
        ("bilateral_compat", 1e39, "crf: bilateral_compat is 1e+39; give 0 to 1e+06"),
        ("gauss_compat", -1, "crf: gauss_compat is -1; a weight must be 0 or greater"),
        ("bilateral_compat", np.nan, "crf: bilateral_compat is nan; a weight must be 0 or greater"),
        ("engine", "cuda", "crf: no engine 'cuda'; take lattice or pydensecrf"),
    ],
)
def test_errors_of_parameters(option, value, text):
    image, p, _ = halves(4, 6)
    assert error(dense_crf, image, p, kind=UsageError, **{option: value}) == text


def test_error_without_pydensecrf(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydensecrf.densecrf", None)
    image, p, _ = halves(4, 6)
    text = error(dense_crf, image, p, kind=UsageError, engine="pydensecrf")
    assert text.startswith("crf: the engine pydensecrf is not installed (")
    assert text.endswith("); pip install 'wsscli[pydensecrf]' (needs a C++ compiler) or take --engine lattice")
