"""Photos with hypotheses: boxes of which the best one of each class speaks for the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsscli.losses.sigmoid_cross_entropy import sigmoid_cross_entropy
from wsscli.losses.squared_softmax import squared_softmax
from wsscli.nets.hcp import HCP
from wsscli.train.augment import Image, Rng, jitter, resize, sample_rng
from wsscli.train.samples import Augment, label_matrix

LOSSES = {"squared": squared_softmax, "sigmoid": sigmoid_cross_entropy}


class HypothesisSamples:
    """Photos, their labels and boxes: (uint8 (S,S,3), float32 (K,), float32 (M,4) in pixels of the square).

    Photos are warped to the square as a whole, so that every box stays in it.

    Args:
        ids: the images.
        read: a photo.
        labels: the foreground classes of each image.
        boxes: (M,4) of each image: x0, y0, x1, y1 in pixels of the photo, exclusive ends; as many of every image.
        classes: number of foreground classes K.
        augment: how samples are varied; its scale is not used.
        seed: of the training.
        crops: cut the boxes out instead, each warped to the square: (uint8 (M S,S,3), one crop below the other,
            float32 (K,)).
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        labels: Mapping[str, Sequence[int]],
        boxes: Mapping[str, NDArray[Any]],
        classes: int,
        augment: Augment,
        seed: int,
        *,
        crops: bool = False,
    ) -> None:
        self.ids, self.read, self.boxes, self.augment, self.seed = ids, read, boxes, augment, seed
        self.crops = crops
        self.targets = label_matrix([labels[name] for name in ids], classes)

    def __len__(self) -> int:
        return len(self.ids)

    def __call__(self, epoch: int, index: int) -> tuple[NDArray[Any], ...]:
        name, side, rng = self.ids[index], self.augment.crop, sample_rng(self.seed, epoch, index)
        image, boxes = self.read(name), self.boxes[name]
        mirrored = self.augment.flip and bool(rng.random() < 0.5)
        if self.crops:
            apart = [resize(image[y0:y1, x0:x1], side, side) for x0, y0, x1, y1 in boxes.astype(int)]
            below = np.concatenate([crop[:, ::-1] if mirrored else crop for crop in apart])
            return self._coloured(below, rng), self.targets[index]
        height, width = image.shape[:2]
        image = resize(image, side, side)
        boxes = boxes * ([side / width, side / height] * 2)
        if mirrored:
            image = image[:, ::-1]
            boxes = boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [side, 0, side, 0]  # x -> side - x
        return self._coloured(image, rng), self.targets[index], boxes.astype(np.float32)

    def _coloured(self, image: Image, rng: Rng) -> Image:
        return jitter(np.ascontiguousarray(image), self.augment.jitter, rng) if self.augment.jitter else image


@dataclass(frozen=True)
class Labels:
    """The loss of whole photos (images, labels float (N,K)); see `losses`.

    Attributes:
        loss: `squared` or `sigmoid`.
    """

    loss: str

    def __call__(self, logits: torch.Tensor, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        return LOSSES[self.loss](logits, batch[1])


@dataclass(frozen=True)
class Pooled:
    """The loss of photos by their hypotheses (images, labels float (N,K), ...): each class's highest logit counts.

    Attributes:
        loss: `squared` or `sigmoid`.

    Source: Wei et al., CNN: Single-label to Multi-label (HCP), section 3.2 (cross-hypothesis max-pooling).
    """

    loss: str

    def __call__(self, logits: torch.Tensor, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        return LOSSES[self.loss](logits.amax(1), batch[1])  # (N,M,K) -> (N,K)


def forward_boxes(model: HCP, images: torch.Tensor, batch: Sequence[torch.Tensor]) -> torch.Tensor:
    """Logits (N,M,K) of a batch of `HypothesisSamples`."""
    return model.hypotheses(images, batch[2])


def forward_crops(model: HCP, images: torch.Tensor, batch: Sequence[torch.Tensor]) -> torch.Tensor:
    """Logits (N,M,K) of a batch of crops."""
    del batch
    return model.crops(images)
