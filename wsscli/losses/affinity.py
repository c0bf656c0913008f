"""Affinities between all pixels of a small grid, learnt from the photo's own colours."""

from __future__ import annotations

from typing import Literal

import torch

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
    flat = features.flatten(2).transpose(1, 2)  # (N,P,C)
    return torch.exp(-torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist"))


def colour_similarity(images: torch.Tensor) -> torch.Tensor:
    """M: 1 - |I_p - I_q|, the distances divided by the image's largest one.

    Args:
        images: float (N,3,h,w); the colours' scale does not matter.

    Returns:
        (N,P,P) in [0, 1]; all 1 for an image of one colour.

    Source: Ke and Hsu 2018, equation 3.
    """
    flat = images.flatten(2).transpose(1, 2)
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    largest = distance.amax((1, 2), keepdim=True)
    return 1 - distance / largest.clamp(min=torch.finfo(distance.dtype).tiny)


def affinity_loss(features: torch.Tensor, images: torch.Tensor, target: Target = "w") -> torch.Tensor:
    """How far feature affinities are from colour similarity.

    Memory: about five matrices of N P^2 floats, 100 MB each for four images at 50 x 50.

    Args:
        features: float (N,C,h,w), F.
        images: float (N,3,h,w), the photos at the same grid.
        target: `w`: mean |W - M| over all pairs. `row-norm`: both row-normalised, the mean over rows of the summed
            differences. `paper`: equation 4 to the letter, mean |T - M| with T the row-normalised W.

    Returns:
        A scalar, the mean over images.

    Source: Ke and Hsu 2018, equation 4.
    Differs: `w` (the default) and `row-norm`. Rows of T sum to 1, so its entries are near 1 / P while M's are near 1:
        |T - M| falls to any change of T by a gradient of next to nothing, and T would be best at 0 everywhere.
    """
    w, m = feature_affinity(features), colour_similarity(images)
    if target == "w":
        return (w - m).abs().mean()
    t = w / w.sum(2, keepdim=True)
    if target == "row-norm":
        return (t - m / m.sum(2, keepdim=True)).abs().sum(2).mean()
    return (t - m).abs().mean()


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
