"""Seeding losses: cross-entropy where there are seeds, silence elsewhere."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from wsscli.classes import BACKGROUND, IGNORE


def balanced_seeding(logits: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """-log H on seeds: the mean over an image's foreground seeds plus the mean over its background seeds.

    All foreground classes of an image share one mean. However few the foreground seeds are, they weigh as much as
    the background's.

    Args:
        logits: float (N,K,h,w), channel = class id, background first; H is their softmax.
        seeds: uint8 (N,h,w), class ids; 255 = unlabelled, left out.

    Returns:
        A scalar, the mean over images. A term without seeds is 0; an image without seeds counts as an image.

    Source: Huang et al. 2018 (DSRG), equation 1.
    """
    pixels = _minus_log(logits, seeds)
    background = seeds == BACKGROUND
    foreground = (seeds != BACKGROUND) & (seeds != IGNORE)
    return (_mean(pixels, foreground) + _mean(pixels, background)).mean()


def seeding(logits: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """-log H on seeds, one mean over all seeds of an image.

    Args:
        logits: float (N,K,h,w), channel = class id, background first; H is their softmax.
        seeds: uint8 (N,h,w), class ids; 255 = unlabelled, left out.

    Returns:
        A scalar, the mean over images; an image without seeds counts as an image of loss 0.

    Source: Kolesnikov and Lampert 2016 (SEC), equation 2; the baseline of DSRG's table 2.
    Differs: a pixel is a seed of one class at most (SEC's cues may overlap).
    """
    return _mean(_minus_log(logits, seeds), seeds != IGNORE).mean()


def _minus_log(logits: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """(N,h,w): -log H[u, seed of u]; 0 where there is none."""
    return F.cross_entropy(logits, seeds.long(), ignore_index=IGNORE, reduction="none")


def _mean(pixels: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """(N,): the mean over the chosen pixels of each image, 0 without any."""
    return (pixels * chosen).sum((1, 2)) / chosen.sum((1, 2)).clamp(min=1)
