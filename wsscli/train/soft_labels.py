"""Photos with soft labels: at every pixel a share of each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsscli.losses.soft_cross_entropy import soft_cross_entropy
from wsscli.nets.geometry import upsample
from wsscli.train.augment import Image, jitter, random_window, resize, resize_map, sample_rng
from wsscli.train.samples import Augment

Maps = tuple[NDArray[np.float32], NDArray[np.integer]]  # (k,h,w) and the class id of each


class SoftLabelSamples:
    """Photos and soft labels: (uint8 (S,S,3), float32 (K,s,s), 0 everywhere behind the photo's border).

    The maps go through the scaling, cropping and mirroring of their photo, exactly as masks do; then every `step`-th
    row and column of them is taken, s = ceil(S / step).

    Args:
        ids: the images.
        read: a photo.
        read_maps: its maps, float32 (k,h,w) >= 0 at any resolution, and the class id of each.
        classes: number of classes K with the background.
        augment: how samples are varied.
        step: every so many rows and columns of pixels enter the loss.
        seed: of the training.
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        read_maps: Callable[[str], Maps],
        classes: int,
        augment: Augment,
        step: int,
        seed: int,
    ) -> None:
        self.ids, self.read, self.read_maps, self.classes = ids, read, read_maps, classes
        self.augment, self.step, self.seed = augment, step, seed

    def __len__(self) -> int:
        return len(self.ids)

    def __call__(self, epoch: int, index: int) -> tuple[NDArray[Any], ...]:
        how, rng, name = self.augment, sample_rng(self.seed, epoch, index), self.ids[index]
        image, (maps, rows) = self.read(name), self.read_maps(name)
        side = how.crop
        if how.scale is None:
            image = resize(image, side, side)
            cut = np.stack([resize_map(m, side, side) for m in maps])  # (k,S,S)
        else:
            # a map's size says nothing: the photo's does
            window = random_window(image.shape[0], image.shape[1], side, rng, longer=how.longer, scale=how.scale)
            out = np.empty((side, side, 3), np.uint8)
            out[:] = how.fill
            out[window.target] = resize(image, *window.scaled)[window.inside]
            cut = np.zeros((len(maps), side, side), np.float32)
            for source, target in zip(maps, cut, strict=True):
                target[window.target] = resize_map(source, *window.scaled)[window.inside]
            image = out
        if how.flip and rng.random() < 0.5:
            image, cut = image[:, ::-1], cut[..., ::-1]
        if how.jitter:
            image = jitter(np.ascontiguousarray(image), how.jitter, rng)
        cut = cut[:, :: self.step, :: self.step]
        found = np.zeros((self.classes, *cut.shape[1:]), np.float32)
        found[rows] = cut
        return image, found


@dataclass(frozen=True)
class SoftLabels:
    """Cross-entropy on soft labels (images, shares float32 (N,K,h,w)); see `losses.soft_cross_entropy`.

    Attributes:
        stride: of the net.
        step: distance of the points of the shares in pixels.
    """

    stride: int
    step: int

    def __call__(self, logits: torch.Tensor, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        height, width = batch[1].shape[-2:]
        return soft_cross_entropy(upsample(logits, (height, width), self.stride, step=self.step), batch[1])
