"""Cross-entropy of segmentation nets on soft labels: every pixel belongs to several classes, each by a share."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def soft_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over the labelled pixels of each image of -sum_m t_m log p_m, then over images.

    Args:
        logits: float (N,K,H,W), channel = class id.
        targets: float (N,K,H,W), >= 0; brought to the sum 1 at each pixel. A pixel without any target is unlabelled
            and left out.

    Returns:
        A scalar. An image without labelled pixels contributes 0 but counts as an image.

    Source: Wei et al., Learning to Segment with Image-level Annotations, equation 4.
    Differs: the mean runs over the labelled pixels of an image, where the paper's runs over all: its maps label each.
    """
    total = targets.sum(1)  # (N,H,W)
    labelled = total > 0
    shares = targets / torch.where(labelled, total, 1.0)[:, None]
    pixels = -(shares * F.log_softmax(logits, 1)).sum(1)  # (N,H,W), 0 where unlabelled
    return (pixels.sum((1, 2)) / labelled.sum((1, 2)).clamp(min=1)).mean()
