import math

import torch

from wsscli.losses.cross_entropy import cross_entropy
from wsscli.losses.soft_cross_entropy import soft_cross_entropy


def pixels(*values):
    """(1,K,1,n) from one tuple of K a pixel."""
    return torch.tensor(values, dtype=torch.float64).T[None, :, None]


def random(seed=0, images=2, classes=3, side=4):
    generator = torch.Generator().manual_seed(seed)
    shape = (images, classes, side, side)
    logits = torch.randn(shape, dtype=torch.float64, generator=generator)
    targets = torch.rand(shape, dtype=torch.float64, generator=generator)
    targets[0, :, 1] = 0  # a row of unlabelled pixels
    return logits, targets


def literal(logits, targets):
    """Equation 4, pixel by pixel and class by class."""
    total = 0.0
    for scores, wanted in zip(logits, targets, strict=True):
        values = []
        for y in range(wanted.shape[1]):
            for x in range(wanted.shape[2]):
                share = [float(t) for t in wanted[:, y, x]]
                if sum(share):
                    f = [math.exp(float(s)) for s in scores[:, y, x]]
                    values.append(-sum(t / sum(share) * math.log(e / sum(f)) for t, e in zip(share, f, strict=True)))
        total += sum(values) / len(values) if values else 0.0
    return total / len(logits)


def test_by_hand():
    # p = 1/2, 1/2 and t = 3/4, 1/4; p = 1/4, 3/4 and t = 2, 2, which is 1/2, 1/2; nothing known
    logits = torch.log(pixels((0.5, 0.5), (0.25, 0.75), (0.9, 0.1)))
    targets = pixels((0.75, 0.25), (2, 2), (0, 0))
    expected = (math.log(2) + (math.log(4) + math.log(4 / 3)) / 2) / 2
    assert math.isclose(soft_cross_entropy(logits, targets).item(), expected, rel_tol=1e-12)


def test_pixel_by_pixel():
    logits, targets = random()
    assert math.isclose(soft_cross_entropy(logits, targets).item(), literal(logits, targets), rel_tol=1e-9)


def test_hard_targets_are_cross_entropy():
    logits, _ = random(1)
    masks = torch.randint(0, 4, (2, 4, 4), generator=torch.Generator().manual_seed(2))
    masks[masks == 3] = 255
    targets = torch.stack([masks == c for c in range(3)], 1).double()
    torch.testing.assert_close(soft_cross_entropy(logits, targets), cross_entropy(logits, masks))


def test_an_image_without_labelled_pixels_counts():
    logits, targets = random()
    both = soft_cross_entropy(logits, targets)
    targets[1] = 0
    alone = soft_cross_entropy(logits[:1], targets[:1])
    torch.testing.assert_close(soft_cross_entropy(logits, targets), alone / 2)
    assert not torch.allclose(both, alone / 2)


def test_gradcheck():
    logits, targets = random()
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, targets), (logits.requires_grad_(),))
