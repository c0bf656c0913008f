"""Squared error of class probabilities, for images with several labels."""

from __future__ import annotations

import torch


def squared_softmax(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Squared distance of the softmax to the labels, which share 1; summed over classes, mean over images.

    Args:
        logits: float (N,K).
        labels: float (N,K), 1 where the image holds the class, else 0. An image of m classes wants 1 / m of each.

    Returns:
        A scalar. An image without any class contributes 0 but counts as an image: no softmax says "nothing".

    Source: Wei et al., CNN: Single-label to Multi-label (HCP), section 3.2, the loss J.
    """
    count = labels.sum(1, keepdim=True)
    wanted = labels / count.clamp(min=1)
    error = (logits.softmax(1) - wanted).square().sum(1)
    return (error * (count[:, 0] > 0)).mean()
