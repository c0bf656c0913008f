"""What a net is trained towards that segments one class within its boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from wsscli.losses.cross_entropy import cross_entropy
from wsscli.losses.position_sensitive import position_sensitive
from wsscli.nets.dasnet import Segmented
from wsscli.nets.position_sensitive import assemble


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
    step = instances.shape[-1] // found.maps.shape[-1]
    middle = slice(step // 2, None, step)  # a step of the maps stands for so many pixels
    score, mask = position_sensitive(scores, region, positive, instances[:, middle, middle])
    return value + score + mask
