import math

import pytest
import torch

from wsscli.losses.boundary import boundary


def pixels(*rows):
    """Probabilities of pixels -> (1,K,1,n)."""
    return torch.tensor(rows, dtype=torch.float64).T[None, :, None]


def batch(seed=0, sharp=1.0):
    generator = torch.Generator().manual_seed(seed)
    logits, other = (sharp * torch.randn(2, 3, 2, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    return logits, other.softmax(1)


def authors_layers(logits, smooth, *, gradient, unary):
    """Value and gradient by the logits, as the published layers compute them, formulas written out.

    ConstrainLossLayer: loss = mean(sum(exp(l) * log(clip(exp(l) / p, 0.05, 20)), axis=1)), by p and by l = log q.
    CRFLayer: q floored at 1e-4 and normalised, its log goes out; backward: (1 - q) * top.diff.
    SoftmaxLayer passes the gradient by p on to the logits.
    """
    p = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    q = torch.where(smooth < 1e-4, torch.full_like(smooth, 1e-4), smooth)
    q = q / q.sum(1, keepdim=True)
    n, _, h, w = p.shape
    ratio = q / p
    inside = ((ratio > 0.05) & (ratio < 20)).double()
    clipped = ratio.clamp(0.05, 20)
    value = (q * torch.log(clipped)).sum(1).mean()
    by_p = -q / p * inside / (n * h * w)
    by_logits = torch.zeros_like(p)
    if gradient == "dsrg":
        top_diff = q * (torch.log(clipped) + inside) / (n * h * w)  # by log q
        bottom_diff = (1 - q) * top_diff
        if unary == "probability":  # the layer's bottom is the softmax
            by_p = by_p + bottom_diff
        else:  # SEC's: the scores
            by_logits = bottom_diff
    return value, by_logits + p * (by_p - (p * by_p).sum(1, keepdim=True))


def test_by_hand():
    p, q = pixels((3 / 4, 1 / 4), (1 / 2, 1 / 2)), pixels((1 / 2, 1 / 2), (9 / 10, 1 / 10))
    first = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    second = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert math.isclose(boundary(p.log(), q).item(), (first + second) / 2, rel_tol=1e-12)


def test_the_mean_runs_over_the_pixels_of_all_images():
    logits, smooth = batch()
    alone = [boundary(logits[i : i + 1], smooth[i : i + 1]).item() for i in range(2)]
    assert math.isclose(boundary(logits, smooth).item(), sum(alone) / 2, rel_tol=1e-12)


@pytest.mark.parametrize("gradient", ["none", "dsrg"])
def test_nothing_to_do_where_the_maps_are_their_crf(gradient):
    logits, _ = batch()
    logits.requires_grad_()
    value = boundary(logits, logits.detach().softmax(1), gradient)
    assert abs(value.item()) < 1e-15
    if gradient == "none":
        (slope,) = torch.autograd.grad(value, logits)
        assert slope.abs().max() < 1e-15


def test_certain_marginals_are_floored_and_normalised():
    floor = 1e-4
    value = boundary(pixels((1 / 2, 1 / 2)).log(), pixels((1.0, 0.0)))
    high, low = 1 / (1 + floor), floor / (1 + floor)
    assert math.isclose(value.item(), high * math.log(2 * high) + low * math.log(0.05), rel_tol=1e-12)


def test_the_ratio_is_clipped_at_both_ends():
    p, q = (1 / 1000, 999 / 1000), (1 / 2, 1 / 2)
    value = boundary(pixels(p).log(), pixels(q))  # ratios 500 and 0.5005
    assert math.isclose(value.item(), 0.5 * math.log(20) + 0.5 * math.log(0.5 / 0.999), rel_tol=1e-12)
    p, q = (999 / 1000, 1 / 1000), (1 / 100, 99 / 100)
    value = boundary(pixels(p).log(), pixels(q))  # ratios 0.01 and 990
    assert math.isclose(value.item(), 0.01 * math.log(0.05) + 0.99 * math.log(20), rel_tol=1e-12)


def test_a_pixel_beyond_the_clip_no_longer_pulls():
    p = pixels((999 / 1000, 1 / 1000), (1 / 2, 1 / 2)).log().requires_grad_()
    boundary(p, pixels((1 / 100, 99 / 100), (1 / 4, 3 / 4))).backward()
    assert (p.grad[..., 0] == 0).all() and (p.grad[..., 1] != 0).all()


def test_gradcheck():
    logits, smooth = batch()
    assert torch.autograd.gradcheck(lambda x: boundary(x, smooth), (logits.requires_grad_(),))


@pytest.mark.parametrize("unary", ["log-probability", "probability"])
@pytest.mark.parametrize("gradient", ["none", "dsrg"])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_the_authors_layers(seed, gradient, unary):
    logits, smooth = batch(seed, sharp=3.0)  # sharp: some ratios lie beyond the clip
    value, slope = authors_layers(logits, smooth, gradient=gradient, unary=unary)
    logits.requires_grad_()
    found = boundary(logits, smooth, gradient, unary)
    found.backward()
    assert math.isclose(found.item(), value.item(), rel_tol=1e-12)
    assert torch.allclose(logits.grad, slope, rtol=1e-9, atol=1e-12)


def test_the_gradients_differ():
    logits, smooth = batch()
    slopes = []
    for gradient, unary in (("none", "probability"), ("dsrg", "probability"), ("dsrg", "log-probability")):
        x = logits.clone().requires_grad_()
        boundary(x, smooth, gradient, unary).backward()
        slopes.append(x.grad)
    assert min((slopes[i] - slopes[j]).abs().max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3
