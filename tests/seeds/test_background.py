import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsscli.errors import UsageError, WssError
from wsscli.seeds.background import DEFAULT_BACKGROUND, REFINED_BACKGROUND, add_background, parse_background


def test_constant():
    got = add_background(np.array([[[0, 2, 4]]], np.float32), "const:0.25")
    assert got.dtype == np.float32
    assert got[:, 0].T.tolist() == [
        [1.0, 0.0],
        pytest.approx([0.25 / 0.75, 0.5 / 0.75]),
        pytest.approx([0.25 / 1.25, 1 / 1.25]),
    ]


def test_power():
    got = add_background(np.array([[[0, 2, 4]], [[1, 0, 0.25]]], np.float32), "power:2")
    assert got[:, 0].T.tolist() == [[0, 0, 1], pytest.approx([1 / 3, 2 / 3, 0]), pytest.approx([0, 0.8, 0.2])]


def test_argmax_of_a_constant_is_a_threshold_on_the_normalised_map():
    cam = np.random.default_rng(0).random((1, 9, 9)).astype(np.float32)
    got = add_background(cam, "const:0.4").argmax(0)
    assert (got == (cam[0] / cam.max() > 0.4)).all()


def test_a_class_without_any_response_stays_zero():
    got = add_background(np.array([[[0, 0]], [[0, 3]]], np.float32), "power:1")
    assert got[1].tolist() == [[0, 0]]
    assert got[:, 0, 0].tolist() == [1, 0, 0]


def test_no_classes_is_all_background():
    for rule in ("const:0.3", "power:4"):
        assert (add_background(np.zeros((0, 2, 3), np.float32), rule) == np.ones((1, 2, 3))).all()


@settings(deadline=None)
@given(
    arrays(np.float32, (3, 4, 5), elements=st.floats(0, 1e4, width=32)),
    st.sampled_from(["const:0.01", "const:1", "power:0.5", "power:16", "power:1e2"]),
)
def test_probabilities(cams, rule):
    before = cams.copy()
    got = add_background(cams, rule)
    assert (cams == before).all()
    assert got.shape == (4, 4, 5)
    assert got.min() >= 0
    assert np.abs(got.sum(0) - 1).max() < 1e-5


responses = st.just(0.0) | st.floats(2**-10, 8, width=32)  # not so small that scaling underflows


@settings(deadline=None)
@given(arrays(np.float32, (2, 3, 3), elements=responses), st.floats(0.25, 4, width=32))
def test_the_scale_of_a_map_does_not_count(cams, factor):
    scaled = cams * np.array([factor, 1], np.float32)[:, None, None]
    assert np.abs(add_background(cams, "power:2") - add_background(scaled, "power:2")).max() < 1e-5


def test_defaults_cross_at_a_fifth_of_the_maximum():
    level = np.linspace(0, 1, 1001, dtype=np.float32)
    for rule in (DEFAULT_BACKGROUND, REFINED_BACKGROUND):
        foreground = add_background(level[None, None], rule).argmax(0)[0]
        assert level[foreground.argmax()] == pytest.approx(0.2, abs=0.02)


def test_parse():
    assert parse_background("power:4") == ("power", 4.0)


@pytest.mark.parametrize(
    "rule", ["", "0.3", "const", "const:", "const:0", "const:1.5", "const:-1", "power:0", "power:-2", "power:inf",
             "power:nan", "power:1e999", "const:1.2.3", "log:3", "const:0.3 "],
)  # fmt: skip
def test_error_of_rule(rule):
    with pytest.raises(UsageError) as caught:
        add_background(np.zeros((1, 1, 1), np.float32), rule)
    assert str(caught.value) == f"background: '{rule}' is neither const:T with 0 < T <= 1 nor power:A with A > 0"


@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
def test_error_of_values(value):
    with pytest.raises(WssError) as caught:
        add_background(np.full((1, 1, 1), value, np.float32), "const:0.3")
    assert str(caught.value) == (
        "background: the class maps hold negative values, NaN or infinity; are these cam scores?"
    )


def test_error_of_shape():
    with pytest.raises(WssError) as caught:
        add_background(np.zeros((2, 2), np.float32), "const:0.3")
    assert str(caught.value) == "background: class maps of shape (2, 2); they must be (classes, h, w)"
