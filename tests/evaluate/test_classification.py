import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from wsscli.errors import WssError
from wsscli.evaluate.classification import average_precision, mean_average_precision


def test_by_hand():
    # Ranked: hit, miss, hit -> precision 1 at recall 1/2, 2/3 at recall 1.
    assert average_precision(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.1])) == pytest.approx((1 + 2 / 3) / 2)


def test_equal_scores_enter_together():
    assert average_precision(np.array([1, 0]), np.array([0.5, 0.5])) == 0.5
    assert average_precision(np.array([0, 1]), np.array([0.5, 0.5])) == 0.5


def test_no_image_of_the_class():
    assert math.isnan(average_precision(np.zeros(3), np.arange(3.0)))
    assert math.isnan(average_precision(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize("seed", range(20))
def test_equals_sklearn(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(60) < 0.3
    scores = rng.normal(size=60).round(seed % 3)  # rounding makes ties
    truth[0] = True
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


def test_mean_leaves_out_classes_that_are_not_there():
    truth = np.array([[1, 0, 0], [0, 0, 1]])
    scores = np.array([[0.9, 0.3, 0.8], [0.1, 0.2, 0.4]])
    assert mean_average_precision(truth, scores) == pytest.approx((1 + 0.5) / 2)
    assert math.isnan(mean_average_precision(np.zeros((2, 3)), scores))


def test_errors():
    with pytest.raises(WssError, match=r"two vectors of one length, got \(3,\) and \(2,\)"):
        average_precision(np.zeros(3), np.zeros(2))
    with pytest.raises(WssError, match="a score is not a number; the net has diverged, train it with a smaller --lr"):
        average_precision(np.ones(2), np.array([0.1, np.nan]))
