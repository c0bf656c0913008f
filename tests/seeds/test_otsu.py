import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from wsscli.errors import WssError
from wsscli.seeds.otsu import otsu_threshold


def literal(scores):
    """Every threshold tried: the first bin's middle whose two classes have the largest variance between them."""
    values = scores.astype(np.float64).ravel()
    low, high = values.min(), values.max()
    step = (high - low) / 256
    bins = np.minimum(((values - low) / step).astype(int), 255)
    middles = low + (np.arange(256) + 0.5) * step
    best, found = -1.0, None
    for t in range(255):
        below, above = bins <= t, bins > t
        if below.any() and above.any():
            share = below.mean() * above.mean()
            between = share * (middles[bins[below]].mean() - middles[bins[above]].mean()) ** 2
            if between > best * (1 + 1e-12):
                best, found = between, middles[t]
    return found


def two_hills(seed, size=(20, 30), share=0.3):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(size) < share, rng.normal(5, 1, size), rng.normal(1, 0.5, size)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_equals_every_threshold_tried(seed):
    scores = two_hills(seed)
    found = otsu_threshold(scores)
    assert type(found) is float
    assert found == pytest.approx(literal(scores), abs=1e-9)
    assert 1 < found < 5


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([0.0, -3.0, 1e3]))
def test_equals_scikit_image(seed, scale, shift):
    scores = np.random.default_rng(seed).gamma(0.5, scale, (15, 17)) + shift
    assert otsu_threshold(scores) == threshold_otsu(scores)


def test_a_threshold_by_hand():
    # bins of 1/256 from 0 to 1: the zeros in the first, the ones in the last; the first gap parts them as well as any
    assert otsu_threshold(np.array([[0, 0, 0, 1]], np.float32)) == pytest.approx(0.5 / 256)


def test_what_is_flat_has_no_threshold():
    for values in (np.zeros((3, 4)), np.full((3, 4), 0.7, np.float32), np.full(1, -2.0), np.zeros((0, 5))):
        assert otsu_threshold(values) is None
    nearly = np.full((3, 4), 0.7)
    nearly[0, 0] = np.nextafter(0.7, 1)
    assert otsu_threshold(nearly) is None


def test_a_narrow_range_of_float32_is_parted():
    # numpy refuses to make 256 bins of it in float32
    scores = np.full((3, 4), 0.7, np.float32)
    scores[0, :2] = np.nextafter(np.float32(0.7), np.float32(1))
    found = otsu_threshold(scores)
    assert float(scores.min()) < found < float(scores.max())
    assert ((scores > found) == (scores > scores.min())).all()


def test_a_map_that_is_not_finite_is_an_error():
    with pytest.raises(WssError) as caught:
        otsu_threshold(np.array([1.0, np.nan]))
    assert str(caught.value) == "Otsu: the map holds NaN or infinity; make the scores again"
