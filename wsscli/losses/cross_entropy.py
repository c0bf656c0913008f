"""Cross-entropy of segmentation nets on masks with unlabelled pixels."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from wsscli.classes import IGNORE


def cross_entropy(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mean over the labelled pixels of each image, then over images.

    Args:
        logits: float (N,K,H,W), channel = class id.
        masks: integer (N,H,W), class ids; 255 = unlabelled, left out.

    Returns:
        A scalar. An image without labelled pixels contributes 0 but counts as an image.

    Differs: from the usual mean over all pixels of the batch: a sparsely seeded image weighs as much as a densely
        labelled one.
    """
    pixels = F.cross_entropy(logits, masks.long(), ignore_index=IGNORE, reduction="none")  # (N,H,W), 0 where 255
    counts = (masks != IGNORE).sum((1, 2))
    return (pixels.sum((1, 2)) / counts.clamp(min=1)).mean()
