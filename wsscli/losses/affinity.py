"""Affinities between all pixels of a small grid, learnt from the photo's own colours."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch.autograd.function import once_differentiable

from wsscli.errors import UsageError

Target = Literal["w", "row-norm", "paper"]


def feature_affinity(features: torch.Tensor) -> torch.Tensor:
    """W: exp(-|F_p - F_q|) between all positions.

    Args:
        features: float (N,C,h,w).

    Returns:
        (N,P,P), P = h w in row order; symmetric, 1 on the diagonal. The distance's gradient is 0 where p and q have the
        same features.

    Source: Ke and Hsu 2018, equation 2.
    """
    return torch.exp(-_distances(features.flatten(2).transpose(1, 2)))


def colour_similarity(images: torch.Tensor) -> torch.Tensor:
    """M: 1 - |I_p - I_q|, the distances divided by the image's largest one.

    Args:
        images: float (N,3,h,w); the colours' scale does not matter.

    Returns:
        (N,P,P) in [0, 1]; all 1 for an image of one colour.

    Source: Ke and Hsu 2018, equation 3.
    """
    distance = _distances(images.flatten(2).transpose(1, 2))
    largest = distance.amax((1, 2), keepdim=True)
    return 1 - distance / largest.clamp(min=torch.finfo(distance.dtype).tiny)


def affinity_loss(features: torch.Tensor, images: torch.Tensor, target: Target = "w") -> torch.Tensor:
    """How far feature affinities are from colour similarity.

    Images are taken one by one and the gradient is found on the way, so memory does not grow with the batch: about six
    matrices of P^2 floats, 150 MB at 50 x 50. Half-precision features are taken as float32.

    Args:
        features: float (N,C,h,w), F.
        images: float (N,3,h,w), the photos at the same grid; no gradient goes to them.
        target: `w`: mean |W - M| over all pairs. `row-norm`: both row-normalised, the mean over rows of the summed
            differences. `paper`: equation 4 to the letter, mean |T - M| with T the row-normalised W.

    Returns:
        A scalar, the mean over images.

    Raises:
        UsageError: another target, or another number of images than of features.

    Source: Ke and Hsu 2018, equation 4.
    Differs: `w` (the default) and `row-norm`. Rows of T sum to 1, so its entries are near 1 / P while M's are near 1:
        |T - M| falls to any change of T by a gradient of next to nothing, and T would be best at 0 everywhere.
    """
    if target not in get_args(Target):
        raise UsageError(f"affinity target '{target}': give {', '.join(get_args(Target))}")
    if len(features) != len(images):
        raise UsageError(f"affinity loss: features of {len(features)} images, but {len(images)} images")
    exact = [given.to(torch.promote_types(given.dtype, torch.float32)) for given in (features, images)]
    with torch.autocast(features.device.type, enabled=False):
        loss: torch.Tensor = _AffinityLoss.apply(*exact, target)  # type: ignore[no-untyped-call]
    return loss


class _AffinityLoss(torch.autograd.Function):
    """The loss and, at once, its gradient by the features: three channels, where the matrices have P^2 entries."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, images: torch.Tensor, target: Target) -> torch.Tensor:
        n, c, h, w = features.shape
        loss, slope = features.new_zeros(()), torch.zeros_like(features)
        for i in range(n):
            flat = features[i].reshape(c, h * w).T  # (P,C)
            distance = _distances(flat)
            affinity = torch.exp(-distance)
            value, by_affinity = _of_one(affinity, images[i : i + 1], target)
            loss += value / n
            # by the distance, and from there along (F_p - F_q) / |F_p - F_q|; each pair stands there twice
            pull = by_affinity.mul_(affinity).neg_().div_(distance)
            pull.masked_fill_(~pull.isfinite(), 0)  # p = q, and equal features
            pull = pull + pull.T
            flat = flat - flat.mean(0)  # distances do not change, and the difference below loses fewer digits
            slope[i] = (flat * pull.sum(1, keepdim=True) - pull @ flat).T.reshape(c, h, w) / n
            del distance, by_affinity, affinity, pull  # before the next image's are made
        ctx.save_for_backward(slope)
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return grad * ctx.saved_tensors[0], None, None


def _of_one(w: torch.Tensor, images: torch.Tensor, target: Target) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of an image whose affinities are W, and its slope by W, (P,P)."""
    m = colour_similarity(images)[0].to(w.dtype)
    norm = w.sum(1, keepdim=True)
    compared = w if target == "w" else w / norm  # W or T
    weight = 1 / w.numel()
    if target == "row-norm":
        m, weight = m / m.sum(1, keepdim=True), 1 / len(w)
    apart = compared - m
    value, slope = apart.abs().sum() * weight, apart.sign_().mul_(weight)
    if target != "w":  # T's entries depend on W's of their row
        slope = (slope - (slope * compared).sum(1, keepdim=True)).div_(norm)
    return value, slope


def random_walk(maps: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """R = T A': one step of the random walk that affinities define.

    Args:
        maps: float (N,K,h,w), A.
        features: float (N,C,h,w), F at the same grid.

    Returns:
        (N,K,h,w): each value the mean of all values of its map, weighted by affinity.

    Source: Ke and Hsu 2018, equation 5.
    """
    w = feature_affinity(features)  # (N,P,P)
    t = w / w.sum(2, keepdim=True)
    flat = maps.flatten(2).transpose(1, 2)  # (N,P,K)
    return (t @ flat).transpose(1, 2).reshape(maps.shape)


def _distances(flat: torch.Tensor) -> torch.Tensor:
    """(...,P,C) -> (...,P,P)."""
    return torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
