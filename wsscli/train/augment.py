"""Random changes of images (and their masks) for training; all randomness comes in as a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE

Image = NDArray[np.uint8]
Rng = np.random.Generator


def sample_rng(seed: int, epoch: int, index: int) -> Rng:
    """The generator of one sample in one epoch: does not depend on what was drawn before."""
    return np.random.default_rng([seed, epoch, index])


def resize(image: Image, height: int, width: int) -> Image:
    """Resize to (height, width): area means when both sides shrink, else bilinear."""
    shrinks = image.shape[0] > height and image.shape[1] > width
    out = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(out, np.uint8)


def resize_mask(mask: Image, height: int, width: int) -> Image:
    """Resize class ids to (height, width): the nearest pixel."""
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def resize_map(values: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Resize numbers (h,w) to float32 (height, width) as `resize` does an image."""
    shrinks = values.shape[0] > height and values.shape[1] > width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values.astype(np.float32), (width, height), interpolation=method), np.float32)


def resized_crop(image: Image, size: int, rng: Rng, *, area: tuple[float, float]) -> Image:
    """A random box of the image (see `random_box`), resized to (size, size).

    Args:
        image: uint8 (H,W,3).
        size: side of the result.
        rng: random numbers.
        area: least and largest share of the image's area.
    """
    return resize(image[random_box(image.shape[0], image.shape[1], rng, area=area)], size, size)


def random_box(height: int, width: int, rng: Rng, *, area: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of a random box of an image.

    Args:
        height, width: of the image.
        rng: random numbers.
        area: least and largest share of the image's area; the box's sides are as 3:4 to 4:3.

    Source: Szegedy et al., Going Deeper with Convolutions, section 6.
    """
    for _ in range(10):
        pixels = height * width * rng.uniform(*area)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        h, w = round(float(np.sqrt(pixels / ratio))), round(float(np.sqrt(pixels * ratio)))
        if 0 < h <= height and 0 < w <= width:
            break
    else:
        h, w = height, width
    top = int(rng.integers(height - h + 1))
    left = int(rng.integers(width - w + 1))
    return slice(top, top + h), slice(left, left + w)


def scaled_crop(
    image: Image, mask: Image, size: int, rng: Rng, *, longer: int, scale: tuple[float, float], fill: tuple[int, ...]
) -> tuple[Image, Image]:
    """Scale at random, then cut a random (size, size) window; what lies outside is `fill`, in the mask 255.

    Args:
        image: uint8 (H,W,3).
        mask: uint8 (H,W), or several masks (H,W,M).
        size: side of the result.
        rng: random numbers.
        longer: pixels of the longer side at scale 1.
        scale: least and largest scale.
        fill: RGB behind the border.
    """
    window = random_window(mask.shape[0], mask.shape[1], size, rng, longer=longer, scale=scale)
    image, mask = resize(image, *window.scaled), resize_mask(mask, *window.scaled)
    out = np.empty((size, size, 3), np.uint8)
    out[:] = fill
    labels = np.full((size, size, *mask.shape[2:]), IGNORE, np.uint8)
    out[window.target], labels[window.target] = image[window.inside], mask[window.inside]
    return out, labels


Part = tuple[slice, slice]


@dataclass(frozen=True)
class Window:
    """A square window on a scaled image.

    Attributes:
        scaled: (height, width) that the image is resized to.
        inside: rows and columns of that image which the window shows.
        target: the rows and columns of the window where they lie; the others are behind the image's border.
    """

    scaled: tuple[int, int]
    inside: Part
    target: Part


def random_window(h: int, w: int, size: int, rng: Rng, *, longer: int, scale: tuple[float, float]) -> Window:
    """A random scale and window of an image.

    Args:
        h, w: of the image.
        size: side of the window.
        rng: random numbers.
        longer: pixels of the longer side at scale 1.
        scale: least and largest scale.
    """
    # Uniform in the logarithm: as many images are halved as are doubled.
    factor = longer / max(h, w) * float(np.exp(rng.uniform(*np.log(scale))))
    height, width = max(1, round(h * factor)), max(1, round(w * factor))
    # The window slides so that it holds as much of the image as it can.
    top = int(rng.integers(min(0, height - size), max(0, height - size) + 1))
    left = int(rng.integers(min(0, width - size), max(0, width - size) + 1))
    inside = (slice(max(0, top), min(height, top + size)), slice(max(0, left), min(width, left + size)))
    rows, columns = (slice(part.start - low, part.stop - low) for part, low in zip(inside, (top, left), strict=True))
    return Window((height, width), inside, (rows, columns))


def jitter(image: Image, strength: float, rng: Rng) -> Image:
    """Change brightness, contrast and saturation by factors in 1 - strength .. 1 + strength.

    All three are linear in the colours, so they are one 3x4 matrix (in OpenCV's fixed-point numbers: within one
    grey level).
    """
    bright, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    matrix = np.empty((3, 4))
    matrix[:, :3] = bright * contrast * (saturation * np.eye(3) + (1 - saturation) / 3)
    matrix[:, 3] = (1 - contrast) * bright * np.mean(cv2.mean(image)[:3])
    return np.asarray(cv2.transform(image, matrix), np.uint8)
