import math

import torch

from wsscli.losses.cross_entropy import cross_entropy


def test_by_hand():
    # Image 0: two labelled pixels with probabilities 3/4 and 1/2 for their class; image 1: one with 1/4.
    logits = torch.tensor(
        [
            [[[math.log(3), 0.0, 5.0]], [[0.0, 0.0, -5.0]]],
            [[[0.0, 9.0, 9.0]], [[math.log(3), 9.0, -9.0]]],
        ]
    )  # (2,2,1,3)
    masks = torch.tensor([[[0, 1, 255]], [[0, 255, 255]]], dtype=torch.uint8)
    first = (math.log(4 / 3) + math.log(2)) / 2
    second = math.log(4)
    assert math.isclose(cross_entropy(logits, masks).item(), (first + second) / 2, rel_tol=1e-6)


def test_an_unlabelled_image_contributes_zero_and_counts():
    logits = torch.zeros(2, 4, 3, 3)
    masks = torch.full((2, 3, 3), 255, dtype=torch.uint8)
    assert cross_entropy(logits, masks).item() == 0.0
    masks[0, 1, 1] = 3
    assert math.isclose(cross_entropy(logits, masks).item(), math.log(4) / 2, rel_tol=1e-6)


def test_unlabelled_pixels_have_no_gradient():
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    cross_entropy(logits, torch.tensor([[[0, 255], [2, 255]]])).backward()
    assert (logits.grad[:, :, :, 1] == 0).all()
    assert (logits.grad[:, :, :, 0] != 0).all()


def test_gradcheck():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    masks = torch.tensor([[[0, 255, 1], [2, 2, 255]], [[255] * 3, [255] * 3]])
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, masks), (logits,))


def test_images_weigh_the_same_whatever_their_coverage():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 3, (2, 4, 4), generator=generator)
    masks[1, 1:] = 255
    alone = [cross_entropy(logits[i : i + 1], masks[i : i + 1]).item() for i in range(2)]
    assert math.isclose(cross_entropy(logits, masks).item(), sum(alone) / 2, rel_tol=1e-6)
