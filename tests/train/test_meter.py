import json
import math

import numpy as np
import pytest
import torch

from wsscli.evaluate.confusion import confusion
from wsscli.evaluate.summary import summarise
from wsscli.train.meter import SupervisionMeter

K = 4


def batches(count, seed=0, images=3, side=6):
    """Seeds, supervision and truth with some 255 in each."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, K + 2, (count, 3, images, side, side), generator=generator)
    return list(drawn.masked_fill_(drawn >= K, 255).to(torch.uint8))


def counted(parts):
    """Confusion matrices of seeds and of supervision, image by image."""
    return [
        sum(
            confusion(truth, mask, K)
            for batch in parts
            for truth, mask in zip(batch[2].numpy(), batch[which].numpy(), strict=True)
        )
        for which in (0, 1)
    ]


def filled(parts, meter=None):
    meter = meter or SupervisionMeter(K)
    for part in parts:
        meter.add(*part)
    return meter


def test_counts_are_those_of_evaluation():
    parts = batches(4)
    seeds, supervision = counted(parts)
    row = filled(parts).end_epoch()
    assert row["seeds"]["confusion"] == seeds.tolist() and row["supervision"]["confusion"] == supervision.tolist()
    for name, matrix in (("seeds", seeds), ("supervision", supervision)):
        found = summarise(matrix)
        assert row[name]["precision"] == round(found.mean_precision, 6)
        assert row[name]["recall"] == round(found.mean_recall, 6)
        assert row[name]["iou"] == round(found.miou, 6)
        assert row[name]["coverage"] == round(found.coverage, 6)


def test_by_hand():
    truth = torch.tensor([[[0, 0, 1, 1, 255]]], dtype=torch.uint8)
    seeds = torch.tensor([[[0, 255, 1, 255, 1]]], dtype=torch.uint8)
    supervision = torch.tensor([[[0, 1, 1, 1, 2]]], dtype=torch.uint8)
    meter = SupervisionMeter(3)
    meter.add(seeds, supervision, truth)
    row = meter.end_epoch()
    assert row["seeds"] == {
        "precision": 1.0, "recall": 0.5, "iou": 0.5, "coverage": 0.5,
        "confusion": [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]],
    }  # fmt: skip
    # background: 1 of 2; class 1: 2 hit, 3 predicted, 2 true; class 2 occurs nowhere but where the truth is 255
    assert row["supervision"] == {
        "precision": round((1 + 2 / 3) / 2, 6), "recall": 0.75, "iou": round((1 / 2 + 2 / 3) / 2, 6), "coverage": 1.0,
        "confusion": [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]],
    }  # fmt: skip


def test_counting_starts_again_after_an_epoch():
    first, second = batches(2, seed=1), batches(2, seed=2)
    meter = filled(first)
    meter.end_epoch()
    assert meter.state() == SupervisionMeter(K).state()
    assert filled(second, meter).end_epoch() == filled(second).end_epoch()


@pytest.mark.parametrize("half", range(4))
def test_an_epoch_in_two_halves(half):
    parts = batches(3)
    meter = SupervisionMeter(K)
    meter.restore(json.loads(json.dumps(filled(parts[:half]).state())))
    assert filled(parts[half:], meter).end_epoch() == filled(parts).end_epoch()


def test_an_empty_state_is_the_start():
    meter = filled(batches(1))
    before = meter.state()
    meter.restore([])
    assert meter.state() == before
    fresh = SupervisionMeter(K)
    fresh.restore([])
    assert fresh.state() == [0] * (2 * (K + 1) ** 2)


def test_nothing_to_judge_is_none_and_json():
    blank = torch.full((1, 2, 2), 255, dtype=torch.uint8)
    meter = SupervisionMeter(K)
    meter.add(blank, blank, torch.zeros_like(blank))  # no seeds at all
    row = meter.end_epoch()
    assert row["seeds"]["precision"] is None and row["seeds"]["recall"] == 0.0 and row["seeds"]["iou"] == 0.0
    meter.add(blank, blank, blank)  # no truth either
    row = meter.end_epoch()
    assert {name: row["supervision"][name] for name in ("precision", "recall", "iou", "coverage")} == dict.fromkeys(
        ("precision", "recall", "iou", "coverage")
    )
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_it_leaves_its_arguments_alone_and_draws_no_random_number():
    (part,) = batches(1)
    before, state = part.clone(), torch.get_rng_state()
    filled([part])
    assert torch.equal(part, before) and torch.equal(torch.get_rng_state(), state)


def test_large_counts_stay_exact():
    meter = SupervisionMeter(2)
    zeros = torch.zeros((1, 1, 1), dtype=torch.uint8)
    meter.restore([2**53] + [0] * 17)
    meter.add(zeros, zeros, zeros)
    assert meter.state()[0] == 2**53 + 1 and math.prod(np.shape(meter.state())) == 18
