"""What is trained on: photos with image-level labels, and photos with masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsscli.train.augment import (
    Image,
    Rng,
    jitter,
    random_box,
    resize,
    resize_map,
    resize_mask,
    resized_crop,
    sample_rng,
    scaled_crop,
)


@dataclass(frozen=True)
class Augment:
    """How samples are varied.

    Attributes:
        crop: side of the square that goes into the net.
        longer: pixels of the image's longer side at scale 1 (masks only).
        scale: with labels and soft masks: share of the image's area that is cut out; with masks: scale of the
            image. None warps the whole image to the square.
        flip: mirror every other image.
        jitter: strength of the colour changes, 0 = none.
        fill: RGB behind the border of the image.
    """

    crop: int
    longer: int = 500
    scale: tuple[float, float] | None = None
    flip: bool = True
    jitter: float = 0.0
    fill: tuple[int, ...] = (128, 128, 128)


class LabelSamples:
    """Photos and their image-level labels: (uint8 (S,S,3), float32 (K,))."""

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        labels: Mapping[str, Sequence[int]],
        classes: int,
        augment: Augment,
        seed: int,
    ) -> None:
        self.ids, self.read, self.augment, self.seed = ids, read, augment, seed
        self.targets = label_matrix([labels[name] for name in ids], classes)

    def __len__(self) -> int:
        return len(self.ids)

    def __call__(self, epoch: int, index: int) -> tuple[Image, NDArray[Any]]:
        how, rng = self.augment, sample_rng(self.seed, epoch, index)
        image = self.read(self.ids[index])
        image = (
            resize(image, how.crop, how.crop)
            if how.scale is None
            else resized_crop(image, how.crop, rng, area=how.scale)
        )
        if how.flip and rng.random() < 0.5:
            image = image[:, ::-1]
        if how.jitter:
            image = jitter(np.ascontiguousarray(image), how.jitter, rng)
        return image, self.targets[index]


class MaskSamples:
    """Photos and masks: (uint8 (S,S,3), uint8 (S,S), 255 = unlabelled)."""

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        read_mask: Callable[[str], Image],
        augment: Augment,
        seed: int,
    ) -> None:
        self.ids, self.read, self.read_mask, self.augment, self.seed = ids, read, read_mask, augment, seed

    def __len__(self) -> int:
        return len(self.ids)

    def __call__(self, epoch: int, index: int) -> tuple[Image, NDArray[Any]]:
        name = self.ids[index]
        image, mask = _varied(self.read(name), self.read_mask(name), self.augment, sample_rng(self.seed, epoch, index))
        return image, mask


class SoftSamples:
    """Photos and soft masks of their foreground: (uint8 (S,S,3), float32 (2,S,S)), a box of each warped to the square.

    The first map is the foreground's share times the known share, the second the known share.

    Args:
        ids: the images.
        read: a photo.
        read_map: its foreground, float32 (h,w) in [0, 1] at any resolution, NaN where nobody knows.
        augment: how samples are varied.
        seed: of the training.
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        read_map: Callable[[str], NDArray[np.float32]],
        augment: Augment,
        seed: int,
    ) -> None:
        self.ids, self.read, self.read_map, self.augment, self.seed = ids, read, read_map, augment, seed

    def __len__(self) -> int:
        return len(self.ids)

    def __call__(self, epoch: int, index: int) -> tuple[Image, NDArray[Any]]:
        how, rng, name = self.augment, sample_rng(self.seed, epoch, index), self.ids[index]
        image, foreground = self.read(name), self.read_map(name)
        height, width = image.shape[:2]
        known = np.isfinite(foreground)
        maps = [np.where(known, foreground, 0), known]
        if how.scale is not None:
            box = random_box(height, width, rng, area=how.scale)
            image, maps = image[box], [resize_map(m, height, width)[box] for m in maps]
        image = resize(image, how.crop, how.crop)
        both = np.stack([resize_map(m, how.crop, how.crop) for m in maps])  # (2,S,S)
        if how.flip and rng.random() < 0.5:
            image, both = image[:, ::-1], both[..., ::-1]
        if how.jitter:
            image = jitter(np.ascontiguousarray(image), how.jitter, rng)
        return image, both


class SeedSamples:
    """Photos, seeds, image-level labels, and where the photo is: (uint8 (S,S,3), uint8 (S,S), bool (K,), bool (S,S)).

    Args:
        ids: the images.
        read: a photo.
        read_mask: its seeds, uint8 (H,W), 255 = unlabelled.
        labels: the foreground classes of each image.
        classes: number of classes K with the background, whose column of the labels is always true.
        augment: how samples are varied.
        seed: of the training.
        read_truth: a true mask, which goes through the same crop and mirroring as the seeds: a fifth array,
            uint8 (S,S).
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[str], Image],
        read_mask: Callable[[str], Image],
        labels: Mapping[str, Sequence[int]],
        classes: int,
        augment: Augment,
        seed: int,
        read_truth: Callable[[str], Image] | None = None,
    ) -> None:
        self.ids, self.read, self.read_mask, self.read_truth = ids, read, read_mask, read_truth
        self.augment, self.seed = augment, seed
        foreground = label_matrix([labels[name] for name in ids], classes - 1) > 0
        self.labels = np.concatenate([np.ones((len(ids), 1), bool), foreground], axis=1)  # (N,K)

    def __len__(self) -> int:
        return len(self.ids)

    def __call__(self, epoch: int, index: int) -> tuple[NDArray[Any], ...]:
        return self._sample(index, self.augment, sample_rng(self.seed, epoch, index))

    def whole(self, index: int) -> tuple[NDArray[Any], ...]:
        """The image as it is, warped to the training's square."""
        plain = replace(self.augment, scale=None, flip=False, jitter=0.0)
        return self._sample(index, plain, sample_rng(self.seed, 0, index))

    def _sample(self, index: int, how: Augment, rng: Rng) -> tuple[NDArray[Any], ...]:
        name = self.ids[index]
        seeds = self.read_mask(name)
        truth = [] if self.read_truth is None else [self.read_truth(name)]
        # what lies behind the photo's border becomes 255 in every layer, so zeros tell the photo
        image, masks = _varied(self.read(name), np.dstack([seeds, np.zeros_like(seeds), *truth]), how, rng)
        return (
            image,
            masks[..., 0],
            self.labels[index],
            masks[..., 1] == 0,
            *(masks[..., 2 + k] for k in range(len(truth))),
        )


def _varied(image: Image, masks: Image, how: Augment, rng: Rng) -> tuple[Image, Image]:
    """The image (S,S,3) and its mask (S,S), or masks (S,S,M), as training sees them."""
    if how.scale is None:
        image, masks = resize(image, how.crop, how.crop), resize_mask(masks, how.crop, how.crop)
    else:
        image, masks = scaled_crop(image, masks, how.crop, rng, longer=how.longer, scale=how.scale, fill=how.fill)
    if how.flip and rng.random() < 0.5:
        image, masks = image[:, ::-1], masks[:, ::-1]
    if how.jitter:
        image = jitter(np.ascontiguousarray(image), how.jitter, rng)
    return image, masks


def label_matrix(labels: Sequence[Sequence[int]], classes: int) -> NDArray[np.float32]:
    """Foreground ids of each image -> float32 (N,K), column = class id - 1."""
    matrix = np.zeros((len(labels), classes), np.float32)
    for row, found in zip(matrix, labels, strict=True):
        row[[c - 1 for c in found]] = 1
    return matrix
