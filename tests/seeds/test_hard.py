"""Hard seeds: small maps by hand, invariants, and the literal loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import WssError
from wsscli.seeds.hard import FgRule, hard_seeds


def maps(*rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_a_fraction_of_the_maximum_and_the_background_by_saliency() -> None:
    cam = maps([[10, 2, 1], [0, 2, 1.9]])
    saliency = np.array([[0, 1, 0.06], [0.059, 0, 0.5]], dtype=np.float32)
    found = hard_seeds(cam, [7], (2, 3), saliency, fg_threshold=0.2)
    assert found.dtype == np.uint8
    assert found.tolist() == [[7, 7, 255], [0, 7, 255]]


def test_without_saliency_there_is_no_background_seed() -> None:
    assert hard_seeds(maps([[1, 0.1]]), [3], (1, 2), fg_threshold=0.5).tolist() == [[3, 255]]


def test_the_class_with_fewer_seed_pixels_wins_where_two_overlap() -> None:
    large, small = [[1, 1, 1, 0]], [[0, 0, 1, 1]]
    assert hard_seeds(maps(large, small), [1, 2], (1, 4)).tolist() == [[1, 1, 2, 2]]
    assert hard_seeds(maps(small, large), [1, 2], (1, 4)).tolist() == [[2, 2, 1, 1]]


def test_a_tie_goes_to_the_smaller_id_whatever_the_order_of_the_maps() -> None:
    a, b = [[1, 1, 0]], [[0, 1, 1]]
    assert hard_seeds(maps(a, b), [4, 9], (1, 3)).tolist() == [[4, 4, 9]]
    assert hard_seeds(maps(b, a), [9, 4], (1, 3)).tolist() == [[4, 4, 9]]


def test_the_quantile_takes_a_share_of_the_pixels_and_ties_at_its_end() -> None:
    cam = maps([[5, 4, 3, 3, 2, 1, 0, 0, 0, 0]])
    assert hard_seeds(cam, [1], (1, 10), fg_rule="quantile", fg_threshold=0.2).tolist() == [[1, 1] + [255] * 8]
    assert hard_seeds(cam, [1], (1, 10), fg_rule="quantile", fg_threshold=0.3).tolist() == [[1] * 4 + [255] * 6]
    assert hard_seeds(cam, [1], (1, 10), fg_rule="quantile", fg_threshold=1).tolist() == [[1] * 6 + [255] * 4]


def test_an_empty_heatmap_seeds_nothing_and_no_class_is_fine() -> None:
    assert hard_seeds(maps([[0, 0]]), [5], (1, 2)).tolist() == [[255, 255]]
    none = np.zeros((0, 3, 3), np.float32)
    assert hard_seeds(none, [], (1, 2), np.zeros((1, 2), np.float32)).tolist() == [[0, 0]]


def test_maps_of_another_resolution_are_resized_with_half_pixel_centres() -> None:
    found = hard_seeds(maps([[1, 0]]), [1], (2, 4), fg_threshold=0.5)
    assert found.tolist() == [[1, 1, 255, 255]] * 2  # 1, 0.75, 0.25, 0


def test_one_pixel() -> None:
    assert hard_seeds(maps([[0.3]]), [1], (1, 1), np.zeros((1, 1), np.float32)).tolist() == [[1]]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fg_threshold": 0.0}, "hard seeds: the foreground threshold is 0.0; give one above 0 and at most 1"),
        ({"fg_threshold": 1.5}, "hard seeds: the foreground threshold is 1.5; give one above 0 and at most 1"),
        ({"bg_heat": 0.0}, "hard seeds: the background's share of heat is 0.0; give one above 0 and at most 1"),
        ({"bg_threshold": -1.0}, "hard seeds: the background threshold is -1.0; give one between 0 and 1"),
        (
            {"saliency": np.zeros((2, 2), np.float32)},
            "hard seeds: the saliency map is (2, 2) pixels, the image (1, 2); they must agree",
        ),
        (
            {"cams": maps([[-1, 1]])},
            "hard seeds: a heatmap holds a negative value or NaN; rectify the maps first",
        ),
        (
            {"cams": maps([[np.nan, 1]])},
            "hard seeds: a heatmap holds a negative value or NaN; rectify the maps first",
        ),
    ],
)
def test_bad_input_is_named(changes: dict, text: str) -> None:
    values = {"cams": maps([[0, 1]]), "classes": [1], "size": (1, 2)} | changes
    with pytest.raises(WssError) as error:
        hard_seeds(**values)
    assert str(error.value) == text


def literal(cams, classes, size, saliency, rule: FgRule, fg: float, bg: float, heat: float) -> np.ndarray:
    height, width = size
    seeds: dict[int, set] = {}
    for cam, c in zip(cams, classes, strict=True):
        values = sorted((float(v) for v in cam.ravel()), reverse=True)
        if rule == "max-fraction":
            least = float(np.float32(fg) * np.float32(values[0]))
        else:
            least = values[max(1, round(fg * len(values))) - 1]
        seeds[c] = {(y, x) for y in range(height) for x in range(width) if cam[y, x] >= least and cam[y, x] > 0}
    out = np.full(size, 255, np.uint8)
    for y in range(height):
        for x in range(width):
            here = [c for c in classes if (y, x) in seeds[c]]
            if here:
                out[y, x] = min(here, key=lambda c: (len(seeds[c]), c))
            elif saliency is not None and saliency[y, x] < bg:
                warm = [cam for cam in cams if cam[y, x] > 0 and cam[y, x] >= np.float32(heat) * cam.max()]
                if heat == 1 or not warm:
                    out[y, x] = 0
    return out


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_equal_to_the_literal_form(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    size = (data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7)))
    k = data.draw(st.integers(0, 4))
    # Few different values, so that ties and overlaps are common.
    cams = (rng.integers(0, 5, (k, *size)) / 4).astype(np.float32)
    classes = [int(c) for c in rng.permutation(np.arange(1, 9))[:k]]
    saliency = rng.random(size).astype(np.float32) / 4 if data.draw(st.booleans()) else None
    rule: FgRule = data.draw(st.sampled_from(["max-fraction", "quantile"]))
    fg = data.draw(st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
    heat = data.draw(st.sampled_from([0.25, 0.4, 1.0]))
    found = hard_seeds(cams, classes, size, saliency, fg_rule=rule, fg_threshold=fg, bg_threshold=0.06, bg_heat=heat)
    np.testing.assert_array_equal(found, literal(cams, classes, size, saliency, rule, fg, 0.06, heat))


@given(st.integers(0, 2**20))
@settings(max_examples=50, deadline=None)
def test_scaling_a_heatmap_changes_nothing_and_a_higher_threshold_takes_pixels_away(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cam = rng.random((1, 6, 6)).astype(np.float32)
    low = hard_seeds(cam, [1], (6, 6), fg_threshold=0.3)
    high = hard_seeds(cam, [1], (6, 6), fg_threshold=0.6)
    assert not ((high == 1) & (low != 1)).any()
    np.testing.assert_array_equal(low, hard_seeds(cam * np.float32(4), [1], (6, 6), fg_threshold=0.3))
