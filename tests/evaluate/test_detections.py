import json
from typing import NamedTuple

import numpy as np
import pytest

from wsscli.evaluate.detections import coco_ap, iou, voc_ap


class Found(NamedTuple):
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


class There(NamedTuple):
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


def found(*rows):
    table = np.array(rows, float).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4].astype(int), table[:, 5])


def there(*rows, difficult=(), crowd=()):
    table = np.array(rows, float).reshape(-1, 5)
    marks = [np.isin(np.arange(len(table)), part) for part in (difficult, crowd)]
    return There(table[:, :4], table[:, 4].astype(int), *marks)


def overlap(a, b):
    """VOC's overlap of boxes that count pixels from 1 with both ends inside."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = ((x0 + 1, y0 + 1, x1, y1) for x0, y0, x1, y1 in (a, b))
    w = min(ax1, bx1) - max(ax0, bx0) + 1
    h = min(ay1, by1) - max(ay0, by0) + 1
    if w <= 0 or h <= 0:
        return 0.0
    union = (ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1) - w * h
    return w * h / union


def literal(guesses, truth, label, threshold=0.5):
    """VOCevaldet.m line by line: (AP of 2007, AP of 2012)."""
    objects = {
        name: [[box.tolist(), bool(d or c), False] for box, kind, d, c in zip(*one, strict=True) if kind == label]
        for name, one in truth.items()
    }
    npos = sum(not difficult for one in objects.values() for _, difficult, _ in one)
    rows = [
        (score, name, box.tolist())
        for name in sorted(truth)
        for box, kind, score in zip(*guesses.get(name, found()), strict=True)
        if kind == label
    ]
    rows.sort(key=lambda row: -row[0])
    tp, fp = np.zeros(len(rows)), np.zeros(len(rows))
    for d, (_, name, box) in enumerate(rows):
        ovmax, jmax = -np.inf, None
        for j, (other, _, _) in enumerate(objects[name]):
            ov = overlap(box, other)
            if ov > ovmax:
                ovmax, jmax = ov, j
        if ovmax >= threshold:
            one = objects[name][jmax]
            if not one[1]:
                if not one[2]:
                    tp[d] = 1
                    one[2] = True
                else:
                    fp[d] = 1
        else:
            fp[d] = 1
    fp, tp = np.cumsum(fp), np.cumsum(tp)
    rec, prec = tp / npos, tp / np.maximum(fp + tp, 1e-300)
    ap07 = sum(max(prec[rec >= t - 1e-9], default=0) for t in np.arange(0, 1.01, 0.1)) / 11
    mrec, mpre = np.concatenate([[0], rec, [1]]), np.concatenate([[0], prec, [0]])
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    i = np.flatnonzero(mrec[1:] != mrec[:-1]) + 1
    return ap07, float(((mrec[i] - mrec[i - 1]) * mpre[i]).sum())


def a_set(seed, images=12, classes=3):
    """Objects, some difficult or crowds, and guesses near them, beside them and twice."""
    rng = np.random.default_rng(seed)
    truth, guesses = {}, {}
    for k in range(images):
        n = int(rng.integers(0, 5))
        low = rng.uniform(0, 60, (n, 2)).round()
        boxes = np.hstack([low, low + rng.uniform(8, 60, (n, 2)).round()])
        labels = rng.integers(1, classes + 1, n)
        crowd = rng.random(n) < 0.1
        truth[f"i{k}"] = There(boxes, labels, (rng.random(n) < 0.2) & ~crowd, crowd)
        copies = np.repeat(np.arange(n), rng.integers(0, 4, n))
        near = boxes[copies] + rng.normal(0, 4, (len(copies), 4)).round()
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 2)
        kinds = np.where(rng.random(len(copies)) < 0.85, labels[copies], rng.integers(1, classes + 1, len(copies)))
        if len(copies):
            guesses[f"i{k}"] = Found(near, kinds, rng.random(len(copies)).round(2))  # some scores are equal
    return guesses, truth


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_voc_s_ap_is_that_of_its_development_kit(seed, threshold):
    guesses, truth = a_set(seed)
    seen = 0
    for label in (1, 2, 3):
        result = voc_ap(guesses, truth, label, threshold=threshold)
        expected = literal(guesses, truth, label, threshold)
        assert (result.voc07, result.voc12) == pytest.approx(expected, abs=1e-12)
        seen += 0 < result.voc12 < 1
    assert seen >= 1 or threshold > 0.5


def test_difficult_objects_are_passed_over_and_second_hits_are_misses():
    box = (0, 0, 10, 10)
    truth = {"a": there((*box, 1), (50, 50, 60, 60, 1), difficult=[1])}
    sure = (*box, 1, 0.9)
    assert voc_ap({"a": found(sure)}, truth, 1)[:] == (1, 1, 1)
    assert voc_ap({"a": found((50, 50, 60, 60, 1, 0.99), sure)}, truth, 1).voc12 == 1
    assert voc_ap({"a": found(sure, (*box, 1, 0.8))}, truth, 1).voc12 == 1  # the miss comes when all is found
    assert voc_ap({"a": found((20, 20, 30, 30, 1, 0.99), sure)}, truth, 1).voc12 == 0.5
    assert voc_ap({"a": found((*box, 2, 0.9))}, truth, 1).voc12 == 0
    assert voc_ap({}, truth, 1)[:] == (0, 0, 1)
    assert np.isnan(voc_ap({"a": found(sure)}, truth, 2).voc12)
    assert voc_ap({"b": found(sure)}, truth, 1).voc12 == 0  # an image that is not judged


def test_an_overlap_of_exactly_the_threshold_is_a_hit():
    truth = {"a": there((0, 0, 10, 10, 1))}
    assert voc_ap({"a": found((0, 0, 10, 5, 1, 0.9))}, truth, 1).voc12 == 1
    assert voc_ap({"a": found((0, 0, 10, 5, 1, 0.9))}, truth, 1, threshold=0.51).voc12 == 0


def test_iou_is_the_overlap_of_pixels():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 10, (2, 20, 2))
    a, b = np.concatenate([low, low + rng.integers(1, 12, (2, 20, 2))], axis=2)
    y, x = np.mgrid[:25, :25]
    pixels = [[(x >= x0) & (x < x1) & (y >= y0) & (y < y1) for x0, y0, x1, y1 in part] for part in (a, b)]
    expected = [[(p & q).sum() / (p | q).sum() for q in pixels[1]] for p in pixels[0]]
    np.testing.assert_allclose(iou(a, b), expected)
    assert iou(a[:0], b).shape == (0, 20)


@pytest.mark.parametrize("seed", range(3))
def test_coco_s_ap_is_that_of_pycocotools_on_files(seed, tmp_path, capsys):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    guesses, truth = a_set(seed)
    result = coco_ap(guesses, truth, [1, 2, 3])
    assert capsys.readouterr().out == ""
    numbers = {name: k + 1 for k, name in enumerate(truth)}
    images = [{"id": k, "width": 200, "height": 200, "file_name": name} for name, k in numbers.items()]
    annotations, results = [], []
    for name, one in truth.items():
        for (x0, y0, x1, y1), label, _, crowd in zip(*one, strict=True):
            w, h = x1 - x0, y1 - y0
            annotations.append(
                {"id": len(annotations) + 1, "image_id": numbers[name], "category_id": int(label), "area": w * h,
                 "bbox": [x0, y0, w, h], "iscrowd": int(crowd)}
            )  # fmt: skip
    for name, one in guesses.items():
        for (x0, y0, x1, y1), label, score in zip(*one, strict=True):
            results.append(
                {
                    "image_id": numbers[name],
                    "category_id": int(label),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                }
            )
    categories = [{"id": c, "name": str(c)} for c in (1, 2, 3)]
    (tmp_path / "truth.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    (tmp_path / "found.json").write_text(json.dumps(results))
    reference = COCO(str(tmp_path / "truth.json"))
    judge = COCOeval(reference, reference.loadRes(str(tmp_path / "found.json")), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    mean = np.array([result[c] for c in (1, 2, 3)]).mean(0)
    np.testing.assert_allclose(mean, judge.stats[:3], atol=1e-9)
    assert 0 < mean[1] < 1


def test_coco_s_ap_without_truth_or_guesses():
    truth = {"a": there((0, 0, 10, 10, 1)), "b": there()}
    none = coco_ap({}, truth, [2, 1])
    assert none[1] == (0, 0, 0)
    assert np.isnan(none[2]).all()
    right = coco_ap({"a": found((0, 0, 10, 10, 1, 0.5)), "c": found((0, 0, 10, 10, 1, 0.9))}, truth, [2, 1])
    assert right[1] == pytest.approx((1, 1, 1))
