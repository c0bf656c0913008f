"""What a net is trained towards that segments one class within its boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from wsscli.losses.cross_entropy import cross_entropy
from wsscli.losses.position_sensitive import position_sensitive
from wsscli.nets.dasnet import DASNet, Segmented
from wsscli.nets.position_sensitive import assemble


def forward_in_boxes(model: DASNet, images: torch.Tensor, batch: Sequence[torch.Tensor]) -> Segmented:
    """What the net finds of a batch, each image's class within its boxes, float32 (N,M,4), the first target."""
    found: Segmented = model(images, batch[1])
    return found


def in_boxes(found: Segmented, batch: Sequence[torch.Tensor]) -> torch.Tensor:
    """Cross-entropy of foreground and background; with position-sensitive maps also their two terms, weights 1.

    Args:
        found: of the net, float32.
        batch: images, boxes that the net saw, masks uint8 (N,S,S) (1 class, 0 other, 255 left out); with
            position-sensitive maps also boxes float32 (N,R,4) drawn around an instance, bool (N,R) which match it, and
            that instance uint8 (N,S,S).

    Source: DASNet, sections 3.4.1 and 3.4.2.
    """
    value = cross_entropy(found.logits, batch[2])
    if not found.maps.shape[1]:
        return value
    drawn, positive, instances = batch[3:6]
    scores, region = assemble(found.maps, drawn)
    score, mask = position_sensitive(scores, region, positive, _at_steps(instances, found.maps.shape[-2:]))
    return value + score + mask


def _at_steps(masks: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(N,S,S) -> (N,h,w): the pixel in the middle of what each step of a map stands for."""
    rows, columns = (
        ((torch.arange(steps, device=masks.device) + 0.5) * (length / steps)).long()
        for steps, length in zip(size, masks.shape[-2:], strict=True)
    )
    return masks[:, rows[:, None], columns]
