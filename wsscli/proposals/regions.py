"""What region merging knows of a photo: its superpixels, their histograms, and the boundaries between them."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.proposals.merging import F32, Regions
from wsscli.refine.compiled import compiled

Space = Literal["lab", "hsv", "rgi", "rgb", "grey"]
SPACES: tuple[Space, ...] = ("lab", "hsv", "rgi", "rgb", "grey")
_TEXTURE_BINS = 10


def shrink(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """The photo with no side longer than `longest`, areas averaged; itself when it is small enough."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def superpixels(values: F32, scale: float) -> NDArray[np.int32]:
    """Felzenszwalb and Huttenlocher's superpixels, int32 (H, W), values 0..n-1.

    Args:
        values: float32 (H, W, C), channels in [0, 1].
        scale: their k, in units of 1/255 of a channel; the larger, the larger the superpixels. None is smaller than
            20 + scale / 2 pixels.

    Source: Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004.
    """
    from skimage.segmentation import felzenszwalb

    found = felzenszwalb(values, scale=scale, sigma=0.8, min_size=round(20 + scale / 2), channel_axis=-1)
    return np.asarray(found, np.int32)


def colours(image: NDArray[np.uint8], space: Space) -> F32:
    """A photo in another colour space, float32 (H, W, C), every channel in [0, 1].

    Args:
        image: uint8 RGB (H, W, 3).
        space: lab, hsv, rgi (normalised red and green, and intensity), rgb, or grey (one channel).
    """
    unit: F32 = np.divide(image, 255, dtype=np.float32)
    if space == "rgb":
        return unit
    if space == "lab":
        lab = cv2.cvtColor(unit, cv2.COLOR_RGB2LAB) + np.array([0, 128, 128], np.float32)
        return np.clip(lab / np.array([100, 255, 255], np.float32), 0, 1).astype(np.float32)
    if space == "hsv":
        hsv = np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2HSV), np.float32)
        return (hsv / np.array([360, 1, 1], np.float32)).astype(np.float32)
    grey: F32 = unit @ np.array([0.299, 0.587, 0.114], np.float32)
    if space == "grey":
        return grey[..., None]
    total = np.maximum(unit.sum(axis=2), 1e-6)
    return np.stack([unit[..., 0] / total, unit[..., 1] / total, grey], axis=2).astype(np.float32)


def colour_bins(values: F32, bins: int) -> NDArray[np.uint8]:
    """uint8 (H, W, C): the bin of each channel's value, 0..bins-1."""
    return np.minimum(values * bins, bins - 1).astype(np.uint8)


def texture_bins(values: F32) -> NDArray[np.uint8]:
    """uint8 (H, W, 8 C): in which of ten bins the derivative of each channel lies, in eight directions.

    Derivatives of a Gaussian (sigma 1) along the axes and the diagonals; the positive and the negative part of each
    are two directions. Differences of channels in [0, 1] beyond 0.2 fall into the last bin.

    Source: Uijlings et al., section 3.2 (texture similarity).
    """
    smooth = cv2.GaussianBlur(values, (0, 0), 1.0).reshape(values.shape)
    padded = np.pad(smooth, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = values.shape[:2]
    found = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        ahead = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        behind = padded[1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        step = (ahead - behind) * np.float32(_TEXTURE_BINS / 0.2)
        found += [np.clip(part, 0, _TEXTURE_BINS - 1).astype(np.uint8) for part in (step, -step)]
    return np.concatenate(found, axis=2)


def histograms(labels: NDArray[np.int32], n: int, values: NDArray[np.uint8], bins: int) -> F32:
    """float32 (n, C x bins): how often each value occurs in each region; every row sums to 1.

    Args:
        labels: int32 (H, W), values 0..n-1.
        n: regions.
        values: uint8 (H, W, C), values below `bins`.
        bins: of each channel.
    """
    counts = _count(labels.ravel(), n, values.reshape(-1, values.shape[2]), bins)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.float32)


@compiled
def _count(labels, n, values, bins):  # type: ignore[no-untyped-def]
    found = np.zeros((n, values.shape[1] * bins), np.float32)
    for p in range(labels.size):
        for c in range(values.shape[1]):
            found[labels[p], c * bins + values[p, c]] += np.float32(1.0)
    return found


def boundary_strength(values: F32, scales: tuple[float, ...] = (1.0, 2.0)) -> F32:
    """float32 (H, W) in [0, 1]: how strongly colours change at each pixel.

    The length of the gradient over all channels, averaged over the scales (sigma in pixels, gradients multiplied by
    it), and squashed so that a strong step of one channel comes near 1.
    """
    total = np.zeros(values.shape[:2], np.float32)
    for sigma in scales:
        smooth = cv2.GaussianBlur(values, (0, 0), sigma).reshape(values.shape)
        for dx, dy in ((1, 0), (0, 1)):
            step = cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=3, scale=sigma / 8).reshape(values.shape)
            total += (step**2).sum(axis=2) / len(scales)
    return np.asarray(1 - np.exp(-np.sqrt(total) / 0.06), np.float32)


def neighbours(labels: NDArray[np.int32], strength: F32) -> tuple[NDArray[np.int32], F32, F32]:
    """Pairs of neighbouring regions with the length of their boundary and the sum of its strength.

    Args:
        labels: int32 (H, W), values 0..n-1.
        strength: float32 (H, W); a pixel edge has the larger one of its two pixels.

    Returns:
        pairs int32 (e, 2), the smaller first, sorted; lengths and sums, float32 (e,).
    """
    n = np.int64(labels.max()) + 1
    codes, weights = [], []
    for one, other, s, t in (
        (labels[:, :-1], labels[:, 1:], strength[:, :-1], strength[:, 1:]),
        (labels[:-1], labels[1:], strength[:-1], strength[1:]),
    ):
        differ = one != other
        a, b = one[differ].astype(np.int64), other[differ].astype(np.int64)
        codes.append(np.minimum(a, b) * n + np.maximum(a, b))
        weights.append(np.maximum(s[differ], t[differ]))
    found, place = np.unique(np.concatenate(codes), return_inverse=True)
    lengths = np.bincount(place, minlength=len(found))
    sums = np.bincount(place, np.concatenate(weights), minlength=len(found))
    pairs = np.stack([found // n, found % n], axis=1).astype(np.int32)
    return pairs, lengths.astype(np.float32), sums.astype(np.float32)


def describe(
    labels: NDArray[np.int32], values: F32, texture: NDArray[np.uint8], strength: F32, *, bins: int = 25
) -> Regions:
    """All that merging asks of the regions of a label map.

    Args:
        labels: int32 (H, W), values 0..n-1, each occurs.
        values: float32 (H, W, C), the colours in [0, 1].
        texture: uint8 (H, W, T), of `texture_bins`.
        strength: float32 (H, W), of `boundary_strength`.
        bins: of a colour channel.
    """
    n = int(labels.max()) + 1
    flat = labels.ravel()
    boxes = np.empty((n, 4), np.int32)
    for axis, positions in enumerate(np.indices(labels.shape, np.int32)[::-1]):  # x, y
        boxes[:, axis] = np.iinfo(np.int32).max
        boxes[:, axis + 2] = 0
        np.minimum.at(boxes[:, axis], flat, positions.ravel())
        np.maximum.at(boxes[:, axis + 2], flat, positions.ravel() + 1)
    return Regions(
        labels, np.bincount(flat, minlength=n).astype(np.float32), boxes,
        histograms(labels, n, colour_bins(values, bins), bins),
        histograms(labels, n, texture, _TEXTURE_BINS), *neighbours(labels, strength),
    )  # fmt: skip
