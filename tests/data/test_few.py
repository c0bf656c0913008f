import numpy as np
import pytest

from wsscli.data.few import few_per_class


def labels(seed=0, images=60, classes=5):
    rng = np.random.default_rng(seed)
    return {
        f"i{k:02}": tuple(sorted(set(rng.integers(1, classes + 1, rng.integers(1, 4)).tolist()))) for k in range(images)
    }


@pytest.mark.parametrize("number", [1, 3, 5])
def test_so_many_for_each_class_and_none_twice(number):
    drawn = few_per_class(labels(), number, seed=1)
    assert len(drawn) == len(set(drawn)) == 5 * number and drawn == sorted(drawn)
    for label in range(1, 6):
        assert sum(label in labels()[name] for name in drawn) >= number


def test_a_thin_class_gives_what_it_has():
    few = {"a": (1,), "b": (1,), "c": (1, 2), "d": (2,), "e": ()}
    assert few_per_class(few, 5, seed=0) == ["a", "b", "c", "d"]
    assert len(few_per_class({"a": (1,), "b": (1,), "c": (2,)}, 1, seed=0)) == 2


def test_an_image_drawn_for_one_class_is_passed_over_for_the_next():
    # class 1 takes the only image that shows both, so class 2 takes the other
    assert few_per_class({"both": (1, 2), "two": (2,)}, 1, seed=0) == ["both", "two"]


def test_the_seed_decides():
    found = {tuple(few_per_class(labels(), 3, seed=seed)) for seed in range(10)}
    assert len(found) == 10
    assert few_per_class(dict(reversed(labels().items())), 3, seed=4) == few_per_class(labels(), 3, seed=4)
