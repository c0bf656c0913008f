"""VideoPCA: what a clip's principal components cannot explain moves, and its colours tell the rest of the object.

Source: Stretcu and Leordeanu, "Multiple Frames Matching for Object Discovery in Video", BMVC 2015, section 2; Croitoru,
Bogolin and Leordeanu, "Unsupervised learning from video to detect foreground objects in single images", ICCV 2017,
section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from wsscli.errors import WssError

Frame = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]

WORK_AREA = 120 * 160  # pixels of the working copy of a frame
MOST_FRAMES = 160  # frames a clip's model is learnt from; more are thinned out evenly, which bounds memory
COMPONENTS = 8
FRAMES_A_COMPONENT = 4  # with fewer frames a component, the components would learn the moving object by heart
BLUR = 0.03  # sigma of the smoothing of errors, in sides (square root of the area) of a frame
CENTRE = 0.5  # sigma of the prior for the centre, in height and width
SURE = 0.5  # of a frame's largest error: pixels above it are surely foreground
LEVELS = 16  # bins of each Lab channel
ROUNDS = 2  # of learning colours from the map that the colours before gave
STILL = 2.0  # grey levels: a clip whose smoothed errors are nowhere larger stands still,
NOISE = 2.0  # and so does one whose largest error is not so many times the usual one


@dataclass(frozen=True)
class ClipModel:
    """What a clip's frames have in common.

    Attributes:
        size: (H, W) of its frames.
        mean: (D,) mean working copy, D = h * w * 3.
        components: (k, D) orthonormal rows, k >= 0.
        colors: (LEVELS ** 3,) probability that a colour is foreground; None: the clip stands still.
    """

    size: tuple[int, int]
    mean: Float
    components: Float
    colors: Float | None


def shrink(frame: Frame) -> Frame:
    """The working copy of a frame, uint8 (h, w, 3) of at most about WORK_AREA pixels, its shape kept.

    Raises:
        WssError: when the array is no RGB image.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise WssError(f"video-pca: needs RGB frames, uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
    height, width = frame.shape[:2]
    scale = (WORK_AREA / (height * width)) ** 0.5
    if scale >= 1:
        return frame
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def thinned(frames: int) -> list[int]:
    """The numbers of the frames that a clip's model is learnt from: all, or MOST_FRAMES spread evenly."""
    if frames <= MOST_FRAMES:
        return list(range(frames))
    return [round(k * (frames - 1) / (MOST_FRAMES - 1)) for k in range(MOST_FRAMES)]


def learn(copies: Sequence[Frame], size: tuple[int, int]) -> ClipModel:
    """A clip's model: principal components of its frames, and which colours move.

    Args:
        copies: working copies (see `shrink`) of frames of one size, at least one.
        size: (H, W) of the frames themselves.

    Source: Stretcu and Leordeanu 2015, section 2: frames as vectors, the first principal components as the
        background, colour distributions of foreground and background from the pixels that are surely one or other.
    Differs: the number of components is at most a quarter of the frames'; a long clip's model comes from
        MOST_FRAMES of its frames, spread evenly.
    """
    data = np.stack(copies).reshape(len(copies), -1)  # (n, D) uint8
    mean, components = principal(data, min(COMPONENTS, len(data) // FRAMES_A_COMPONENT))
    bare = ClipModel(size, mean, components, None)
    errors = [motion(bare, copy) for copy in copies]
    top, usual = max(float(error.max()) for error in errors), float(np.median(errors))
    if top < max(STILL, NOISE * usual):
        return bare
    bins = [_bins(copy) for copy in copies]
    maps = [error * _centre(error.shape) for error in errors]
    colors = np.empty(0, np.float32)
    for _ in range(ROUNDS):
        colors = _learn_colors(bins, maps)
        maps = [_combine(colors[b], error) for b, error in zip(bins, errors, strict=True)]
    return ClipModel(size, mean, components, colors)


def video_saliency(model: ClipModel, copy: Frame) -> Float:
    """How likely each pixel of a frame is of what moves in its clip.

    Args:
        model: of the clip.
        copy: working copy of one of its frames.

    Returns:
        (h, w) float32 in [0, 1] at the working size, minimum 0 and maximum 1, exact in float16; zeros where nothing
        moves (a still clip, a clip of one frame).
    """
    if model.colors is None:
        return np.zeros(copy.shape[:2], np.float32)
    found = _combine(model.colors[_bins(copy)], motion(model, copy))
    low, high = found.min(), found.max()
    if high <= low:
        return np.zeros(copy.shape[:2], np.float32)
    return np.asarray(((found - low) / (high - low)).astype(np.float16), np.float32)


def principal(data: npt.NDArray[np.uint8], number: int) -> tuple[Float, Float]:
    """The mean and the first principal components of vectors, by the eigenvectors of their n x n products.

    Args:
        data: uint8 (n, D), n much smaller than D.
        number: of components; fewer are returned where the data spans fewer dimensions.

    Returns:
        float32 (D,) and (k, D), rows orthonormal.
    """
    mean = data.mean(0, dtype=np.float64)
    if number < 1:
        return mean.astype(np.float32), np.zeros((0, data.shape[1]), np.float32)
    exact = data.astype(np.float64)
    products = exact @ exact.T  # of whole numbers below 2^53: the same bits in any order of adding
    rows = products.mean(1)
    products += rows.mean() - rows[:, None] - rows[None, :]
    values, vectors = np.linalg.eigh(products)  # ascending
    kept = [k for k in range(len(values) - 1, len(values) - 1 - number, -1) if values[k] > 1e-9 * values[-1] > 0]
    exact -= mean
    components = [np.einsum("n,nd->d", vectors[:, k], exact) / values[k] ** 0.5 for k in kept]
    return mean.astype(np.float32), np.asarray(components, np.float32).reshape(len(kept), data.shape[1])


def motion(model: ClipModel, copy: Frame) -> Float:
    """Distance of each pixel's colour from the frame's reconstruction by the components, smoothed.

    Returns:
        (h, w) float32 >= 0, in grey levels.
    """
    rest = copy.reshape(-1).astype(np.float32) - model.mean
    # einsum adds in one order; a BLAS product's order depends on its threads
    weights = np.einsum("kd,d->k", model.components, rest)
    rest -= np.einsum("k,kd->d", weights, model.components)
    error = np.sqrt((rest.reshape(copy.shape) ** 2).sum(2))  # (h, w)
    return _blur(error, BLUR)


def _learn_colors(bins: Sequence[npt.NDArray[np.intp]], maps: Sequence[Float]) -> Float:
    """Probability that a colour is foreground, both sides as likely beforehand, (LEVELS ** 3,)."""
    from scipy.ndimage import gaussian_filter

    counts = np.zeros((2, LEVELS**3))
    for b, m in zip(bins, maps, strict=True):
        sure = m > SURE * m.max()
        counts[1] += np.bincount(b[sure], minlength=LEVELS**3)
        counts[0] += np.bincount(b[~sure], minlength=LEVELS**3)
    smooth = [gaussian_filter(side.reshape((LEVELS,) * 3), 0.7, mode="nearest").ravel() for side in counts]
    background, foreground = (side / max(side.sum(), 1) for side in smooth)
    floor = 1e-6  # a colour hardly ever seen says nothing
    return np.asarray((foreground + floor) / (foreground + background + 2 * floor), np.float32)


def _combine(likely: Float, error: Float) -> Float:
    """The map of a frame: its colours' probability, smoothed, where something moves nearby and near the centre."""
    near = _blur(error, 2 * BLUR)
    top = float(near.max())
    near = near / np.float32(top) if top > 0 else near
    return np.asarray(_blur(likely, BLUR / 2) * np.sqrt(near) * _centre(error.shape), np.float32)


def _bins(copy: Frame) -> npt.NDArray[np.intp]:
    lab = cv2.cvtColor(copy, cv2.COLOR_RGB2LAB).astype(np.intp) * LEVELS // 256  # (h, w, 3)
    return np.asarray((lab[..., 0] * LEVELS + lab[..., 1]) * LEVELS + lab[..., 2])


def _centre(size: tuple[int, ...]) -> Float:
    rows, columns = ((np.arange(n) + 0.5) / n - 0.5 for n in size)
    return np.exp(-(rows[:, None] ** 2 + columns[None, :] ** 2) / (2 * CENTRE**2)).astype(np.float32)


def _blur(values: Float, share: float) -> Float:
    sigma = share * float(values.size) ** 0.5
    return np.asarray(cv2.GaussianBlur(values, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REPLICATE), np.float32)
