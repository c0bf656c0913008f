"""The foreground and its label: thresholds, images that say nothing, values that are no soft mask."""

import numpy as np
import pytest

from wsscli.errors import WssError
from wsscli.seeds.foreground import centred, foreground_labels, own_threshold
from wsscli.seeds.otsu import otsu_threshold

SOFT = np.array([[0.0, 0.1, 0.2], [0.7, 0.8, 0.5]], np.float32)


def test_above_a_threshold():
    labels, reason, _ = foreground_labels(SOFT, 7, 0.5)
    assert labels.tolist() == [[0, 0, 0], [7, 7, 0]] and labels.dtype == np.uint8 and reason is None


def test_above_otsus_threshold_by_default():
    labels, reason, _ = foreground_labels(SOFT, 3)
    assert 0.2 <= otsu_threshold(SOFT) < 0.5
    assert labels.tolist() == [[0, 0, 0], [3, 3, 3]] and reason is None


def test_its_threshold_is_told():
    assert foreground_labels(SOFT, 3, 0.5).threshold == 0.5
    assert foreground_labels(SOFT, 3).threshold == otsu_threshold(SOFT) == own_threshold(SOFT)
    assert foreground_labels(np.zeros((2, 2), np.float32), 3).threshold is None


def test_a_map_centred_at_its_threshold():
    soft = np.array([0.0, 0.1, 0.2, 0.6, 1.0, np.nan], np.float32)
    np.testing.assert_allclose(centred(soft, 0.2), [0, 0.25, 0.5, 0.75, 1, np.nan], atol=1e-6)
    np.testing.assert_allclose(centred(soft, 0.5), soft, atol=1e-6)
    np.testing.assert_allclose(centred(soft, 0.0), [0, 0.55, 0.6, 0.8, 1, np.nan], atol=1e-6)
    assert centred(soft, None) is soft


def test_nobody_knows_which_class():
    assert foreground_labels(SOFT, 255, 0.5).labels.tolist() == [[0, 0, 0], [255, 255, 0]]


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_flat_map_has_no_otsu_threshold(value):
    labels, reason, _ = foreground_labels(np.full((2, 3), value, np.float32), 1)
    assert not labels.any() and reason == "flat map, no foreground"


def test_nothing_and_everything():
    labels, reason, _ = foreground_labels(SOFT, 1, 0.9)
    assert not labels.any() and reason == "no foreground"
    labels, reason, _ = foreground_labels(SOFT + np.float32(0.1), 1, 0.05)
    assert (labels == 1).all() and reason == "the foreground is the whole image"


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_values_that_are_no_soft_mask(bad):
    soft = SOFT.copy()
    soft[0, 0] = bad
    with pytest.raises(WssError) as caught:
        foreground_labels(soft, 1)
    assert str(caught.value) == (
        "foreground labels: the soft mask holds NaN or a value outside 0 to 1; make the scores again"
    )
