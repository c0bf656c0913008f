import math

import numpy as np
import pytest

from wsscli.errors import UsageError
from wsscli.evaluate.instances import Instance, area, average_precision, coco_ap, decode, eleven_points, encode


def strip(start, end, length=20):
    """A mask of one row, set from start to end."""
    mask = np.zeros((1, length), bool)
    mask[0, start:end] = True
    return mask


def found(image, start, end, score, label=1):
    return Instance(image, label, encode(strip(start, end)), score)


def true(image, start, end, label=1):
    return Instance(image, label, encode(strip(start, end)))


def generated(seed, images=6):
    """Random strips as truth, and found ones near them: (found, truth)."""
    rng = np.random.default_rng(seed)
    mine, theirs = [], []
    for k in range(images):
        for _ in range(int(rng.integers(0, 4))):
            start = int(rng.integers(0, 15))
            end = start + int(rng.integers(2, 6))
            theirs.append(true(f"i{k}", start, end))
            for _ in range(int(rng.integers(0, 3))):
                low = int(np.clip(start + rng.integers(-2, 3), 0, 18))
                mine.append(found(f"i{k}", low, low + int(rng.integers(2, 6)), float(rng.integers(0, 20)) / 20))
        mine.append(found(f"i{k}", *sorted(rng.choice(20, 2, replace=False)), float(rng.random())))
    return mine, theirs


def overlap(a, b):
    a, b = decode(a.rle), decode(b.rle)
    return (a & b).sum() / (a | b).sum()


def literal(mine, theirs, threshold, protocol):
    """Both protocols, found instance by found instance, and their areas, rank by rank."""
    used, hits = set(), []
    for item in sorted(mine, key=lambda item: -item.score):
        best, best_overlap = None, -1.0
        for k, other in enumerate(theirs):
            if other.image != item.image or (protocol == "sds" and k in used):
                continue
            if overlap(item, other) > best_overlap:
                best, best_overlap = k, overlap(item, other)
        enough = best_overlap > threshold if protocol == "sds" else best_overlap >= threshold
        hits.append(best is not None and enough and best not in used)
        if hits[-1]:
            used.add(best)
    points = [(sum(hits[: n + 1]) / len(theirs), sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]
    if protocol == "fcis":
        tops = [max((p for r, p in points if r >= k / 10 - 1e-9), default=0) for k in range(11)]
        return sum(tops) / 11
    total, before = 0.0, 0.0
    for r, _ in points:
        total += (r - before) * max(p for other, p in points if other >= r)
        before = r
    return total


@pytest.mark.parametrize("protocol", ["sds", "fcis"])
@pytest.mark.parametrize("seed", range(6))
def test_it_equals_the_literal_form_on_generated_instances(protocol, seed):
    mine, theirs = generated(seed)
    for threshold in (0.0, 0.3, 0.5, 0.7, 0.75):
        expected = literal(mine, theirs, threshold, protocol)
        assert math.isclose(average_precision(mine, theirs, threshold, protocol), expected, abs_tol=1e-12)


def test_the_truth_found_is_one():
    _, theirs = generated(1)
    mine = [item._replace(score=0.5) for item in theirs]
    for threshold in (0.5, 0.75):
        for protocol in ("sds", "fcis"):
            assert average_precision(mine, theirs, threshold, protocol) == pytest.approx(1)


def test_exactly_the_threshold_is_a_hit_for_fcis_only():
    mine, theirs = [found("a", 0, 5, 0.9)], [true("a", 0, 10)]  # overlap 0.5
    assert average_precision(mine, theirs, 0.5, "sds") == 0
    assert average_precision(mine, theirs, 0.5, "fcis") == pytest.approx(1)


def test_a_second_one_goes_to_the_next_truth_for_sds_only():
    theirs = [true("a", 0, 10), true("a", 4, 14)]
    mine = [
        found("a", 0, 10, 0.9),
        found("a", 1, 11, 0.8),
    ]  # the second: 9/11 with the first truth, 7/13 with the other
    assert average_precision(mine, theirs, 0.5, "sds") == 1
    assert average_precision(mine, theirs, 0.5, "fcis") == pytest.approx(6 / 11)  # recall 0.5, precision 1


def test_areas_by_hand():
    recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    assert math.isclose(area(recall, precision), 0.5 * 1 + 0.5 * 2 / 3)
    assert math.isclose(eleven_points(recall, precision), (6 * 1 + 5 * 2 / 3) / 11)


def test_other_images_and_doubles_are_misses():
    theirs = [true("a", 0, 10)]
    mine = [found("b", 0, 10, 0.9), found("a", 0, 10, 0.8), found("a", 0, 10, 0.7)]
    assert average_precision(mine, theirs, 0.5, "sds") == 0.5
    assert average_precision(mine, theirs, 0.5, "fcis") == pytest.approx(0.5)


def test_nothing_found_and_nothing_true():
    assert average_precision([], [true("a", 0, 10)], 0.5) == 0
    assert math.isnan(average_precision([found("a", 0, 10, 1.0)], [], 0.5))


@pytest.mark.parametrize("seed", range(3))
def test_coco_s_ap_at_one_overlap_by_hand(seed):
    """One found instance an image: then COCO's matching has no choices, and AP50 is 101 points of the envelope."""
    rng = np.random.default_rng(seed)
    theirs, mine = [], []
    for k in range(12):
        theirs.append(true(f"i{k}", 0, 10))
        mine.append(found(f"i{k}", 0, int(rng.integers(3, 11)), float(rng.random())))
    ordered = sorted(mine, key=lambda item: -item.score)
    hits = np.cumsum([overlap(item, theirs[0]) >= 0.5 for item in ordered])
    recall, precision = hits / 12, hits / np.arange(1, 13)
    points = [max((p for r, p in zip(recall, precision, strict=True) if r >= k / 100), default=0) for k in range(101)]
    assert coco_ap(mine, theirs, [1])["AP50"] == pytest.approx(sum(points) / 101)


def test_coco_s_mean_is_over_classes_with_truth():
    theirs = [true("a", 0, 10), true("b", 0, 10, label=2)]
    mine = [found("a", 0, 10, 0.9), found("b", 0, 6, 0.9, label=2), found("b", 0, 6, 0.9, label=3)]
    values = coco_ap(mine, theirs, [1, 2, 3])
    assert values == pytest.approx({"AP": (1 + 3 / 10) / 2, "AP50": 1.0, "AP75": 0.5})  # 0.6 passes 0.5, 0.55, 0.6
    assert coco_ap(mine, theirs, [1])["AP"] == pytest.approx(1)
    assert math.isnan(coco_ap(mine, [], [1])["AP"])


def test_nothing_found_by_coco_s_rules():
    assert coco_ap([], [true("a", 0, 10)], [1]) == {"AP": 0, "AP50": 0, "AP75": 0}


def test_masks_go_round():
    mask = np.random.default_rng(0).random((7, 9)) < 0.4
    assert np.array_equal(decode(encode(mask)), mask)


def test_errors():
    with pytest.raises(UsageError) as caught:
        average_precision([], [], 0.5, "voc")
    assert str(caught.value) == "protocol 'voc': give sds or fcis"
    with pytest.raises(UsageError) as caught:
        average_precision([], [], 1.5)
    assert str(caught.value) == "overlap 1.5: give a number from 0 to 1"
