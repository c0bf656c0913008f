import threading

import cv2
import numpy as np
import pytest

from wsscli.errors import UsageError, WssError
from wsscli.refine.guided_filter import Guide, guided_filter

SIZE = (13, 16)


def literal(guide, p, window=35, eps=1e-6, iterations=1):
    """He's equations 19-21 as written down, float64, window by window; guide (H, W, 3), p (H, W)."""
    colours = guide / 255 if guide.dtype == np.uint8 else guide.astype(np.float64)
    height, width = p.shape
    r = window // 2
    p = p.astype(np.float64)
    around = {
        (y, x): np.s_[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1] for y in range(height) for x in range(width)
    }
    for _ in range(iterations):
        a, b, q = np.zeros((height, width, 3)), np.zeros((height, width)), np.zeros((height, width))
        for at, window_k in around.items():
            colour, value = colours[window_k].reshape(-1, 3), p[window_k].ravel()
            mean = colour.mean(0)
            covariance = (colour - mean).T @ (colour - mean) / len(value)
            both = (colour - mean).T @ (value - value.mean()) / len(value)
            a[at] = np.linalg.solve(covariance + eps * np.eye(3), both)
            b[at] = value.mean() - a[at] @ mean
        for at, window_k in around.items():
            q[at] = a[window_k].reshape(-1, 3).mean(0) @ colours[at] + b[window_k].mean()
        p = q
    return p


def by_kernel(guide, p, window, eps):
    """The same by the weights of the self-guided paper's equation 8: every pair of pixels, window by window."""
    colours = guide / 255
    height, width = p.shape
    r = window // 2
    pixels = [(y, x) for y in range(height) for x in range(width)]
    weights = np.zeros((len(pixels), len(pixels)))
    inside = np.zeros(len(pixels))
    for y, x in pixels:
        members = [i for i, (v, u) in enumerate(pixels) if abs(v - y) <= r and abs(u - x) <= r]
        colour = np.array([colours[pixels[i]] for i in members])
        apart = colour - colour.mean(0)
        inverse = np.linalg.inv(apart.T @ apart / len(members) + eps * np.eye(3))
        weights[np.ix_(members, members)] += (1 + apart @ inverse @ apart.T) / len(members)
        inside[members] += 1
    return (weights / inside[:, None] @ p.ravel()).reshape(p.shape)


def photo(kind="photo", size=SIZE, seed=0):
    """uint8 (H, W, 3): smooth colours and an edge, or what is hard for the inverse."""
    rng = np.random.default_rng(seed)
    image = np.stack([cv2.GaussianBlur(m, (0, 0), 2) for m in rng.normal(0, 300, (3, *size))], -1) + 110
    image[:, size[1] // 2 :] += (70, -40, 20)
    image = (image + rng.normal(0, 2, image.shape)).clip(0, 255).astype(np.uint8)
    if kind == "grey":
        image[:] = image[..., 1:2]
    elif kind == "flat":
        image[:] = 77
    elif kind == "two colours":
        image[:], image[:, 7:] = (20, 30, 40), (200, 10, 10)
    elif kind == "noise":
        image = rng.integers(0, 256, image.shape, np.uint8)
    return image


def blob(size=SIZE):
    return np.float32(cv2.circle(np.zeros(size, np.uint8), (size[1] // 2 - 1, size[0] // 2), 4, 1, -1))


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("window", [3, 7, 35])
@pytest.mark.parametrize("kind", ["photo", "grey", "flat", "two colours", "noise"])
def test_equals_the_literal_filter(kind, window, iterations):
    guide = photo(kind)
    got = guided_filter(guide, blob(), window=window, iterations=iterations)
    assert got.dtype == np.float32 and got.shape == SIZE
    want = literal(guide, blob(), window, iterations=iterations)
    assert np.abs(got - want).max() < 1e-6
    assert np.abs(want - blob()).max() > 0.1  # not an input that the filter leaves as it is


@pytest.mark.parametrize("eps", [1e-10, 1e-4, 1.0, 1e6])
def test_equals_the_literal_filter_for_any_eps(eps):
    for kind in ("photo", "grey"):
        want = literal(photo(kind), blob(), 7, eps)
        assert np.abs(guided_filter(photo(kind), blob(), window=7, eps=eps) - want).max() < 1e-6


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (40, 5)])
@pytest.mark.parametrize("window", [3, 9, 2**31 + 1])
def test_images_smaller_than_the_window(size, window):
    guide = photo("noise", size)
    p = np.random.default_rng(1).random(size)
    assert np.abs(guided_filter(guide, p, window=window) - literal(guide, p, window)).max() < 1e-6


def test_equals_the_weights_of_the_paper():
    guide, p = photo("photo", (7, 8)), np.random.default_rng(1).random((7, 8))
    want = by_kernel(guide, p, 5, 1e-3)
    assert np.abs(literal(guide, p, 5, 1e-3) - want).max() < 1e-12
    assert np.abs(guided_filter(guide, p, window=5, eps=1e-3) - want).max() < 1e-6


def test_a_long_image_does_not_drift():
    guide = np.tile(photo("grey", (4, 40)), (500, 1, 1))  # running sums over 2000 rows
    p = np.zeros(guide.shape[:2])
    p[:1000] = 1e4
    p[1900:] = np.random.default_rng(0).random((100, 40))
    got = guided_filter(guide, p, window=7)
    want = guided_filter(guide[1880:], p[1880:], window=7)
    assert np.abs(got[1900:] - want[20:]).max() < 1e-6


def test_a_map_that_is_linear_in_the_colours_stays():
    guide = photo("noise", (30, 40))
    p = guide @ np.array([0.5, -0.2, 0.1]) / 255 + 0.3
    assert np.abs(guided_filter(guide, p, window=9, eps=1e-9, iterations=5) - p).max() < 1e-4


def test_a_blurred_map_takes_the_photo_s_edge():
    guide = np.full((40, 60, 3), 60, np.uint8)
    guide[:, 30:] = (200, 180, 40)
    truth = np.float32(guide[..., 0] == 60)
    soft = cv2.GaussianBlur(truth, (0, 0), 6)
    assert np.abs(soft - truth).max() > 0.4
    sharp = guided_filter(guide, soft, iterations=15)
    assert np.abs(sharp - truth).max() < 0.2
    assert ((sharp > 0.5) == (truth > 0.5)).all()


def test_is_linear_and_keeps_constants():
    guide = photo(size=(20, 24))
    p, q = np.random.default_rng(1).random((2, 20, 24))
    both = guided_filter(guide, 2 * p - q + 5, window=9, iterations=4)
    apart = 2 * guided_filter(guide, p, window=9, iterations=4) - guided_filter(guide, q, window=9, iterations=4) + 5
    assert np.abs(both - apart).max() < 1e-5


def test_iterations_feed_each_other_without_rounding_between():
    guide = photo(size=(20, 24))
    p = np.random.default_rng(1).random((20, 24))
    once = Guide.of(guide, window=9, eps=1e-6)
    assert (guided_filter(guide, p, window=9, iterations=2) == np.float32(once.filter(once.filter(p)))).all()
    assert (guided_filter(guide, p, window=9, iterations=0) == np.float32(p)).all()


def test_float_guides_are_colours_in_0_1():
    guide = photo()
    for kind in (np.float32, np.float64):
        got = guided_filter(guide.astype(kind) / 255, blob(), window=7)
        assert np.abs(got - guided_filter(guide, blob(), window=7)).max() < 1e-5


def test_maps_do_not_depend_on_each_other_or_on_threads():
    guide = photo(size=(20, 24))
    maps = np.random.default_rng(1).random((5, 20, 24)).astype(np.float32)
    stack = guided_filter(guide, maps, window=9, iterations=2)
    assert (stack == guided_filter(guide, maps, window=9, iterations=2, workers=3)).all()
    assert all((stack[k] == guided_filter(guide, maps[k], window=9, iterations=2)).all() for k in range(5))
    assert guided_filter(guide, maps[:0]).shape == (0, 20, 24)


def test_arrays_of_any_layout_are_taken_and_left_alone():
    guide, maps = photo(size=(20, 24)), np.random.default_rng(1).random((2, 20, 24))
    want = guided_filter(guide, maps, window=9, iterations=3)
    turned = np.asfortranarray(guide), np.asfortranarray(maps)
    before = turned[0].copy(), turned[1].copy()
    assert (guided_filter(*turned, window=9, iterations=3) == want).all()
    assert (turned[0] == before[0]).all() and (turned[1] == before[1]).all()
    flipped = guided_filter(guide[:, ::-1], maps[:, :, ::-1], window=9, iterations=3)
    assert np.abs(flipped[:, :, ::-1] - want).max() < 1e-6


def test_workers_filter_side_by_side(monkeypatch):
    together = threading.Barrier(3, timeout=60)

    def filter_(self, values, iterations):
        together.wait()  # passes only when three maps are being filtered at the same time
        return values

    monkeypatch.setattr(Guide, "filter", filter_)
    maps = np.random.default_rng(1).random((3, *SIZE))
    assert (guided_filter(photo(), maps, workers=3) == np.float32(maps)).all()


def test_is_opencv_s_filter_away_from_the_borders():
    # cv2.ximgproc.guidedFilter(photo(), blob(), 2, 1e-3 * 255**2) of OpenCV 5.0.0; its borders are mirrored
    theirs = {5: 0.8365222, 7: 0.9614322, 9: 0.9753760, 11: 0.3335167}
    got = guided_filter(photo(), blob(), window=5, eps=1e-3)
    assert [got[6, x] for x in theirs] == pytest.approx(list(theirs.values()), abs=1e-5)


def error(*args, kind=WssError, **kwargs):
    with pytest.raises(kind) as caught:
        guided_filter(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("window", 1, "guided filter: a window of 1; take an odd number of pixels, 3 or more (35 is usual)"),
        ("window", 34, "guided filter: a window of 34; take an odd number of pixels, 3 or more (35 is usual)"),
        ("eps", 0, "guided filter: eps is 0; take 1e-10 or more (1e-6 is usual)"),
        ("eps", np.nan, "guided filter: eps is nan; take 1e-10 or more (1e-6 is usual)"),
        ("eps", np.inf, "guided filter: eps is inf; take 1e-10 or more (1e-6 is usual)"),
        ("iterations", -1, "guided filter: -1 iterations; take 0 or more (15 is usual)"),
        ("workers", 0, "guided filter: 0 workers; take 1 or more"),
    ],
)
def test_errors_of_parameters(option, value, text):
    assert error(photo(), blob(), kind=UsageError, **{option: value}) == text


def test_errors_of_arrays():
    guide, p = photo(), blob()
    assert error(guide[..., 0], p) == (
        "guided filter: the guide is uint8 (13, 16); it must be uint8 (H, W, 3), or float in [0, 1]"
    )
    assert error(guide.astype(np.int64), p).startswith("guided filter: the guide is int64 (13, 16, 3); it must be")
    assert error(guide[:0], p[:0]).startswith("guided filter: the guide is uint8 (0, 16, 3); it must be")
    assert error(np.full((13, 16, 3), 17.0), p) == (
        "guided filter: the guide holds values from 17 to 17; a float guide lies in [0, 1], as eps is meant for it"
    )
    assert error(np.full((13, 16, 3), np.nan), p).startswith("guided filter: the guide holds values from nan to nan;")
    assert error(guide, p[1:]) == (
        "guided filter: maps of shape (12, 16) on a guide of 13 x 16; they must be (K, H, W) or (H, W) of the "
        "guide's size"
    )
    assert error(guide, p[None, None]).startswith("guided filter: maps of shape (1, 1, 13, 16) on")
    p[3, 4] = np.inf
    assert error(guide, p) == "guided filter: the maps hold NaN or infinity; make the scores again"
