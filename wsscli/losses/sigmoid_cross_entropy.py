"""Sigmoid cross-entropy of image classifiers with several labels an image."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def sigmoid_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum over classes, mean over images: each class is a yes-no question of its own.

    Args:
        logits: float (N,K).
        labels: float (N,K), 1 where the image holds the class, else 0.

    Returns:
        A scalar.

    Source: DSRG, section 3.1; normalised as Caffe's SigmoidCrossEntropyLoss, which the original nets used.
    """
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1).mean()
