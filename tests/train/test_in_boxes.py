import math

import torch

from wsscli.losses.cross_entropy import cross_entropy
from wsscli.nets.dasnet import Segmented
from wsscli.train.in_boxes import in_boxes


def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 16, 16, generator=generator)
    masks = torch.randint(0, 2, (2, 16, 16), generator=generator).to(torch.uint8)
    masks[0, :4] = 255
    return logits, [torch.zeros(2, 3, 16, 16), torch.zeros(2, 1, 4), masks]


def test_without_position_sensitive_maps_it_is_cross_entropy():
    logits, given = batch()
    value = in_boxes(Segmented(logits, torch.zeros(2, 0, 4, 4)), given)
    torch.testing.assert_close(value, cross_entropy(logits, given[2]))


def test_the_three_terms_by_hand():
    """k = 1: the maps themselves, inside 1 and outside 0 everywhere, at a quarter of the image's resolution."""
    logits, given = batch()
    maps = torch.stack([torch.ones(2, 4, 4), torch.zeros(2, 4, 4)], 1)
    drawn = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5]]] * 2)
    instance = torch.zeros(2, 16, 16, dtype=torch.uint8)
    instance[:, :, 8:] = 1
    value = in_boxes(Segmented(logits, maps), [*given, drawn, torch.tensor([[True, False]] * 2), instance])
    inside, outside = math.log(1 + math.exp(-1)), math.log(1 + math.e)  # of the softmax of (1, 0)
    score = (inside + outside) / 2  # the positive's and the negative's, whose score is 1
    mask = (inside + outside) / 2  # half of the positive's steps are of the instance
    torch.testing.assert_close(value, cross_entropy(logits, given[2]) + score + mask)
