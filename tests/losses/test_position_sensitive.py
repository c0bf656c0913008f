import math

import torch

from wsscli.losses.position_sensitive import box_scores, position_sensitive


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def one_row(inside, outside, region):
    """Scores (1,1,2,1,w) and region (1,1,1,w) of one box on a map of one row."""
    scores = torch.tensor([inside, outside], dtype=torch.float64)[None, None, :, None]
    return scores, torch.tensor(region)[None, None, None]


def test_the_score_of_a_box_by_hand():
    scores, region = one_row([1.0, -2.0, 9.0], [0.5, 3.0, 9.0], [True, True, False])
    assert box_scores(scores, region).item() == (1 + 3) / 2


def test_a_positive_box_by_hand():
    scores, region = one_row([1.0, -2.0, 4.0, 9.0], [0.5, 3.0, 1.0, 9.0], [True, True, True, False])
    instance = torch.tensor([[[1, 0, 255, 1]]], dtype=torch.uint8)
    found = position_sensitive(scores, region, torch.tensor([[True]]), instance)
    assert math.isclose(found.score.item(), -math.log(sigmoid((1 + 3 + 4) / 3)), rel_tol=1e-12)
    # softmax of (1, 0.5) inside, of (-2, 3) outside; the third is not known, the fourth not in the box
    expected = (-math.log(sigmoid(0.5)) - math.log(1 - sigmoid(-5))) / 2
    assert math.isclose(found.mask.item(), expected, rel_tol=1e-12)


def test_a_negative_box_has_a_score_and_no_mask():
    scores, region = one_row([1.0, -2.0], [0.5, 3.0], [True, True])
    found = position_sensitive(scores, region, torch.tensor([[False]]), torch.ones(1, 1, 2, dtype=torch.uint8))
    assert math.isclose(found.score.item(), -math.log(1 - sigmoid(2)), rel_tol=1e-12) and found.mask.item() == 0


def test_boxes_weigh_alike_whatever_their_size():
    a = one_row([2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [True, False, False])
    b = one_row([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [True, True, True])
    instance = torch.ones(1, 1, 3, dtype=torch.uint8)
    both = [torch.cat(parts, 1) for parts in zip(a, b, strict=True)]
    found = position_sensitive(*both, torch.tensor([[True, True]]), instance)
    singles = [position_sensitive(*box, torch.tensor([[True]]), instance) for box in (a, b)]
    for part in ("score", "mask"):
        mean = sum(getattr(single, part).item() for single in singles) / 2
        assert math.isclose(getattr(found, part).item(), mean, rel_tol=1e-12)


def test_boxes_without_a_step_count_for_nothing():
    a = one_row([2.0, 1.0], [0.0, 0.0], [True, True])
    none = one_row([0.0, 0.0], [0.0, 0.0], [False, False])
    instance = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    both = [torch.cat(parts, 1) for parts in zip(a, none, strict=True)]
    found = position_sensitive(*both, torch.tensor([[True, True]]), instance)
    alone = position_sensitive(*a, torch.tensor([[True]]), instance)
    assert found.score.item() == alone.score.item() and found.mask.item() == alone.mask.item()
    empty = position_sensitive(*none, torch.tensor([[True]]), instance)
    assert empty.score.item() == empty.mask.item() == 0


def test_images_do_not_mix():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 1, 2, 3, 4, generator=generator, dtype=torch.float64)
    region = torch.ones(2, 1, 3, 4, dtype=torch.bool)
    instance = torch.randint(0, 2, (2, 3, 4), generator=generator).to(torch.uint8)
    positive = torch.tensor([[True], [True]])
    both = position_sensitive(scores, region, positive, instance)
    each = [position_sensitive(*(part[i : i + 1] for part in (scores, region, positive, instance))) for i in range(2)]
    torch.testing.assert_close(both.score + both.mask, sum(one.score + one.mask for one in each) / 2)


def test_gradients_are_finite_and_negatives_teach_the_score_only():
    generator = torch.Generator().manual_seed(1)
    scores = (1e4 * torch.randn(1, 2, 2, 3, 3, generator=generator)).requires_grad_()
    region = torch.ones(1, 2, 3, 3, dtype=torch.bool)
    found = position_sensitive(scores, region, torch.tensor([[True, False]]), torch.ones(1, 3, 3, dtype=torch.uint8))
    found.mask.backward(retain_graph=True)
    assert scores.grad[0, 0].any() and not scores.grad[0, 1].any()
    found.score.backward()
    assert scores.grad.isfinite().all() and scores.grad[0, 1].any()
