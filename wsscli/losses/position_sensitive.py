"""Losses of position-sensitive score maps: which boxes are of an instance, and which of their pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

from wsscli.classes import IGNORE


class PositionSensitive(NamedTuple):
    """The two terms, scalars; the loss is their sum."""

    score: torch.Tensor
    """Sigmoid cross-entropy of the boxes' scores."""
    mask: torch.Tensor
    """Softmax cross-entropy of inside against outside, over the positive boxes."""


def box_scores(scores: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """The score of a box: the mean over its steps of the larger of inside and outside.

    Args:
        scores: float (N,R,2,h,w), assembled, inside and outside.
        region: bool (N,R,h,w), the steps that lie in the box.

    Returns:
        (N,R), before the sigmoid; 0 for a box without any step.

    Source: Li et al., CVPR 2017, section 2.2 (detection score); DASNet, section 3.4.2.
    """
    likelihood = scores.amax(2) * region  # (N,R,h,w)
    return likelihood.sum((2, 3)) / region.sum((2, 3)).clamp_min(1)


def position_sensitive(
    scores: torch.Tensor, region: torch.Tensor, positive: torch.Tensor, instance: torch.Tensor
) -> PositionSensitive:
    """The loss of assembled boxes, its two terms in equal weights.

    Args:
        scores: float (N,R,2,h,w), assembled, inside and outside.
        region: bool (N,R,h,w), the steps that lie in the box; a box without any is left out of both terms.
        positive: bool (N,R), whether a box matches the image's instance; the others match none.
        instance: integer (N,h,w), 1 on the instance, 0 elsewhere, 255 where nobody knows (left out of the mask term).

    Returns:
        The score term, the mean over an image's boxes, and the mask term: the mean over the known pixels of a positive
        box, then over the image's positive boxes that have some, 0 where there is none. Both are means over images.

    Source: DASNet, section 3.4.2, third modification, and section 3.5.
    Differs: the softmax runs over the whole positive box, not over the instance's foreground alone, on which nothing
        would teach what is outside. Each image has means of its own, so that a batch may be split; the paper does not
        say which.
    """
    there = region.flatten(2).any(2)  # (N,R)
    found = box_scores(scores, region)
    each = F.binary_cross_entropy_with_logits(found, positive.to(found.dtype), reduction="none")
    score = _mean(each, there)

    known = region & (instance != IGNORE)[:, None] & positive[..., None, None]  # (N,R,h,w)
    # channel 0 is inside: the softmax of two is a sigmoid of their difference
    margin = scores[:, :, 0] - scores[:, :, 1]
    inside = (instance == 1)[:, None].expand_as(margin).to(margin.dtype)
    pixels = F.binary_cross_entropy_with_logits(margin, inside, reduction="none") * known
    counts = known.sum((2, 3))  # (N,R)
    mask = _mean(pixels.sum((2, 3)) / counts.clamp_min(1), counts > 0)
    return PositionSensitive(score, mask)


def _mean(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """(N,R) -> the mean over the chosen boxes of each image, 0 without any, then over images."""
    return ((values * chosen).sum(1) / chosen.sum(1).clamp_min(1)).mean()
