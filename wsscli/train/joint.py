"""Training a detector together with what segments within its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from wsscli.nets.dasnet import DASNet, Segmented
from wsscli.nets.ssd import Found
from wsscli.train.box_samples import ClassSamples
from wsscli.train.detection import BoxLoss, BoxSamples
from wsscli.train.in_boxes import in_boxes


class Joint(NamedTuple):
    """What the net says of a batch: `Segmented` of its masked photos, `Found` of its photos with boxes."""

    logits: torch.Tensor
    maps: torch.Tensor
    classes: torch.Tensor
    boxes: torch.Tensor


class JointSamples:
    """A sample of masks, and behind it one of boxes: many photos have boxes, few have masks.

    An epoch is all samples of masks. Those of boxes come in turn, however many there are: the p-th sample of masks of
    the whole training is beside photo p modulo their number.

    Args:
        masks: what is segmented; its own photo and targets come first.
        boxes: what is detected; image uint8 (S,S,3), corners, ids come last.
    """

    def __init__(self, masks: ClassSamples, boxes: BoxSamples) -> None:
        self.masks, self.boxes = masks, boxes

    def __len__(self) -> int:
        return len(self.masks)

    def __call__(self, epoch: int, index: int) -> tuple[NDArray[Any], ...]:
        turn, place = divmod(epoch * len(self.masks) + index, len(self.boxes))
        return *self.masks(epoch, index), *self.boxes(turn, place)


def forward_joint(model: DASNet, images: torch.Tensor, batch: Sequence[torch.Tensor]) -> Joint:
    """What the net finds of a batch of `JointSamples`; gradients of both parts reach the detector."""
    segmented: Segmented = model(images, batch[1])
    photos = batch[-3].permute(0, 3, 1, 2)  # (N,S,S,3) -> channels last in memory
    found: Found = model.detector(model.backbone.normalise(photos))
    return Joint(*segmented, *found)


class JointLoss:
    """The loss of segmentation (`in_boxes`) and that of detection (SSD's), the two terms (2,) of one with weights 1.

    Source: DASNet, section 3.5 (joint training).
    Differs: the paper names no weights.
    """

    def __init__(self, model: DASNet) -> None:
        self.detection = BoxLoss(model.detector)

    def __call__(self, found: Joint, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        detection = self.detection(Found(found.classes, found.boxes), batch[-3:])
        return torch.stack([in_boxes(Segmented(found.logits, found.maps), batch), detection])

    def divisor(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        """What the two are divided by: the images with masks, and what `BoxLoss` divides by."""
        matches = self.detection.divisor(batch[-3:])
        return torch.stack([torch.tensor(len(batch[0]), device=matches.device), matches])
