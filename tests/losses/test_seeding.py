import math

import pytest
import torch
from torch import log

from wsscli.losses.cross_entropy import cross_entropy
from wsscli.losses.seeding import balanced_seeding, seeding

LOSSES = (seeding, balanced_seeding)


def logits_of(*pixels):
    """Logits (1,K,1,n) whose softmax at each pixel is the given probabilities."""
    return log(torch.tensor(pixels, dtype=torch.float64)).T[None, :, None]


def seeds_of(*labels):
    return torch.tensor([[labels]], dtype=torch.uint8)  # (1,1,n)


def batch(seed=0, images=3, classes=4, side=5):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, side, side, dtype=torch.float64, generator=generator)
    seeds = torch.randint(0, classes + 2, (images, side, side), generator=generator)
    return logits, seeds.masked_fill_(seeds >= classes, 255).to(torch.uint8)


def literal(logits, seeds, *, balanced):
    """Equation 1, pixel by pixel."""
    total = 0.0
    for scores, labels in zip(logits, seeds, strict=True):
        h = torch.exp(scores) / torch.exp(scores).sum(0)
        terms = {"foreground": [], "background": []}
        for y in range(labels.shape[0]):
            for x in range(labels.shape[1]):
                c = int(labels[y, x])
                if c != 255:
                    terms["foreground" if c else "background"].append(-math.log(h[c, y, x]))
        groups = terms.values() if balanced else [terms["foreground"] + terms["background"]]
        total += sum(sum(group) / len(group) for group in groups if group)
    return total / len(logits)


def test_balanced_by_hand():
    # background seeds with H 1/2 and 1/4; one foreground seed with H 3/4; a pixel without seed
    logits = logits_of((1 / 2, 1 / 2), (1 / 4, 3 / 4), (1 / 4, 3 / 4), (0.9, 0.1))
    expected = (math.log(2) + math.log(4)) / 2 + math.log(4 / 3)
    assert math.isclose(balanced_seeding(logits, seeds_of(0, 0, 1, 255)).item(), expected, rel_tol=1e-12)


def test_seeding_by_hand():
    logits = logits_of((1 / 2, 1 / 2), (1 / 4, 3 / 4), (1 / 4, 3 / 4), (0.9, 0.1))
    expected = (math.log(2) + math.log(4) + math.log(4 / 3)) / 3
    assert math.isclose(seeding(logits, seeds_of(0, 0, 1, 255)).item(), expected, rel_tol=1e-12)


def test_foreground_classes_share_one_mean():
    # class 1 on two pixels (1/2, 1/2), class 2 on one (1/8): the mean of three, not the mean of two class means
    logits = logits_of((1 / 4, 1 / 2, 1 / 4), (1 / 4, 1 / 2, 1 / 4), (5 / 8, 1 / 4, 1 / 8))
    expected = (2 * math.log(2) + math.log(8)) / 3
    assert math.isclose(balanced_seeding(logits, seeds_of(1, 1, 2)).item(), expected, rel_tol=1e-12)


@pytest.mark.parametrize("labels", [(0, 255), (255, 1)])
def test_an_empty_term_is_zero(labels):
    logits = logits_of((1 / 8, 7 / 8), (3 / 4, 1 / 4))
    expected = math.log(8) if labels[0] == 0 else math.log(4)
    for loss in LOSSES:
        assert math.isclose(loss(logits, seeds_of(*labels)).item(), expected, rel_tol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_image_without_seeds_is_zero_and_counts(loss):
    logits, seeds = batch(images=2)
    seeds[1] = 255
    assert math.isclose(loss(logits, seeds).item(), loss(logits[:1], seeds[:1]).item() / 2, rel_tol=1e-12)
    seeds[0] = 255
    logits.requires_grad_()
    value = loss(logits, seeds)
    value.backward()
    assert value.item() == 0.0 and (logits.grad == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_pixels_without_seed_have_no_gradient(loss):
    logits, seeds = batch()
    logits.requires_grad_()
    loss(logits, seeds).backward()
    silent = (seeds == 255)[:, None].expand_as(logits)
    assert silent.any() and (logits.grad[silent] == 0).all() and (logits.grad[~silent] != 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradcheck(loss):
    logits, seeds = batch(images=2, side=2)
    seeds[0] = torch.tensor([[0, 1], [255, 3]])
    assert torch.autograd.gradcheck(lambda x: loss(x, seeds), (logits.requires_grad_(),))


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_literal_form(seed):
    logits, seeds = batch(seed)
    assert math.isclose(seeding(logits, seeds).item(), literal(logits, seeds, balanced=False), rel_tol=1e-12)
    assert math.isclose(balanced_seeding(logits, seeds).item(), literal(logits, seeds, balanced=True), rel_tol=1e-12)


def test_few_foreground_seeds_weigh_as_much_as_many():
    logits = logits_of(*[(1 / 2, 1 / 2)] * 5)
    logits = logits.requires_grad_()
    balanced_seeding(logits, seeds_of(0, 0, 0, 0, 1)).backward()
    pulls = logits.grad[0, 1, 0]  # towards the foreground where it is negative
    assert torch.allclose(pulls[:4].sum(), -pulls[4])


def test_seeding_is_the_cross_entropy_of_masks():
    logits, seeds = batch(7)
    assert math.isclose(seeding(logits, seeds).item(), cross_entropy(logits, seeds).item(), rel_tol=1e-12)
