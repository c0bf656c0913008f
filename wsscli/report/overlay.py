"""Masks and scores drawn over their photo: arrays in, 8-bit RGB out."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from wsscli.classes import IGNORE

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

# Luma weights of ITU-R BT.601, as every JPEG uses them.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def display_palette(palette: U8) -> U8:
    """The mask palette, lifted so that its dark half can be told apart on a photo.

    Args:
        palette: (256, 3) uint8 RGB, the palette that the mask files carry.

    Returns:
        (256, 3) uint8 RGB; 0 and 255 stay where they are, the order of every channel is kept, and
        different colours stay different.
    """
    return np.round(255.0 * (palette.astype(np.float64) / 255.0) ** 0.55).astype(np.uint8)


def resize_image(image: U8, size: tuple[int, int]) -> U8:
    """A photo at another size: areas are averaged when it shrinks, cubic when it grows.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: (height, width) wanted, each at least 1.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def resize_mask(mask: U8, size: tuple[int, int]) -> U8:
    """A label map at another size: nearest pixel (half-pixel centres), so no label is invented.

    Args:
        mask: (H, W) uint8 labels.
        size: (height, width) wanted, each at least 1.
    """
    height, width = size
    # cv2.INTER_NEAREST samples corners, not centres, and shifts a mask against its photo.
    rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(np.intp)
    return np.ascontiguousarray(mask[rows[:, None], columns[None, :]])


def fit_size(size: tuple[int, int], box: int) -> tuple[int, int]:
    """The (height, width) with the same proportions whose longer side is `box` pixels."""
    height, width = size
    scale = box / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def boundaries(mask: U8, thickness: int = 1) -> npt.NDArray[np.bool_]:
    """The rim of every foreground region: its pixels within `thickness` of another label.

    Args:
        mask: (H, W) uint8 labels; 0 background, 255 unlabelled (neither has a rim of its own).
        thickness: width of the rim in pixels, at least 1.

    Returns:
        (H, W) bool. The border of the image is no boundary.
    """
    side = 2 * thickness + 1
    kernel = np.ones((side, side), dtype=np.uint8)
    # OpenCV's default border values lose every comparison, so the image's edge is no rim.
    low, high = cv2.erode(mask, kernel), cv2.dilate(mask, kernel)
    rim: npt.NDArray[np.bool_] = (low != high) & (mask != 0) & (mask != IGNORE)
    return rim


def _blend(under: F32, over: F32, alpha: float | F32) -> F32:
    return under + (over - under) * np.asarray(alpha, dtype=np.float32)


def _grey(image: U8) -> F32:
    luma = image.astype(np.float32) @ _LUMA
    return np.repeat(luma[..., None], 3, axis=2)


def _as_u8(picture: F32) -> U8:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def mask_overlay(image: U8, mask: U8, palette: U8, *, alpha: float = 0.6, edges: bool = True) -> U8:
    """A mask over its photo.

    Foreground takes its class's colour with a bright rim, background shows the photo in muted
    colours, and unlabelled pixels (255) are grey with diagonal hatching.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8; class ids, 0 background, 255 unlabelled.
        palette: (256, 3) uint8 RGB, the colour of each value.
        alpha: share of the class's colour in a foreground pixel, in [0, 1].
        edges: draw the rim of each foreground region.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    photo = image.astype(np.float32)
    grey = _grey(image)
    colours = display_palette(palette).astype(np.float32)[mask]  # (H, W, 3)
    unlabelled = mask == IGNORE
    background = mask == 0

    picture = _blend(photo, colours, alpha)
    # Shading under the colour keeps the object recognisable: luma, not the photo's own hue.
    picture = _blend(picture, colours * (grey / 255.0 * 0.9 + 0.35), 0.5)
    muted = _blend(photo, grey, 0.55) * 0.82
    picture[background] = muted[background]

    height, width = mask.shape
    period = max(6, round(max(height, width) / 36))
    rows, columns = np.ogrid[:height, :width]
    stripe = (rows + columns) % period < max(1, period // 4)
    hatched = np.where(stripe[..., None], np.float32(205.0), _blend(grey, np.full_like(grey, 128.0), 0.62))
    picture[unlabelled] = hatched[unlabelled]

    if edges:
        rim = boundaries(mask, max(1, round(min(height, width) / 240)))
        picture[rim] = _blend(colours[rim], np.full_like(colours[rim], 255.0), 0.55)
    return _as_u8(picture)


def colormap(values: npt.NDArray[np.floating]) -> U8:
    """Perceptually uniform colours (inferno) for values in [0, 1].

    Args:
        values: any shape; outside [0, 1] is clipped, NaN counts as 0.

    Returns:
        uint8 RGB, the shape of `values` with a last axis of 3.
    """
    steps = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float32)), 0.0, 1.0) * 255.0
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8).reshape(1, 256), cv2.COLORMAP_INFERNO)
    rgb = np.ascontiguousarray(np.asarray(ramp, dtype=np.uint8)[0, :, ::-1])  # (256, 3), OpenCV writes BGR
    return rgb[np.round(steps).astype(np.uint8)]


def heat_overlay(image: U8, heat: F32, *, top: float | None = None, alpha: float = 0.8) -> U8:
    """A score map over its photo, which stays visible in grey.

    Args:
        image: (H, W, 3) uint8 RGB.
        heat: (H, W) float, >= 0 (values below 0 are drawn as 0).
        top: the value drawn in the brightest colour; the map's own maximum when None.
        alpha: share of the colour at the top, in [0, 1]; half of it at 0.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    highest = float(np.nanmax(heat)) if top is None else top
    values = np.nan_to_num(np.asarray(heat, dtype=np.float32))
    scaled = np.clip(values / np.float32(highest), 0.0, 1.0) if highest > 0 else np.zeros_like(values)
    share = alpha * (0.5 + 0.5 * scaled[..., None])  # (H, W, 1)
    return _as_u8(_blend(_grey(image), colormap(scaled).astype(np.float32), share))


def class_heat_overlay(
    image: U8, scores: F32, classes: npt.NDArray[np.int64], palette: U8, *, gamma: float = 0.8
) -> U8:
    """All classes' score maps in one picture: hue says the class, strength says the score.

    Args:
        image: (H, W, 3) uint8 RGB.
        scores: (K, H, W) float; each map is divided by its own maximum. Background (class 0) is left out.
        classes: (K,) class ids of the maps.
        palette: (256, 3) uint8 RGB.
        gamma: exponent on the scaled score; below 1 lifts weak scores.

    Returns:
        (H, W, 3) uint8 RGB; the grey photo where every score is 0.
    """
    grey = _grey(image)
    kept = [k for k in range(len(classes)) if int(classes[k]) != 0]
    if not kept:
        return _as_u8(grey)
    maps = np.clip(np.nan_to_num(scores[kept].astype(np.float32)), 0.0, None)  # (F, H, W)
    peaks = maps.reshape(len(kept), -1).max(axis=1)
    maps /= np.where(peaks > 0, peaks, 1.0).astype(np.float32)[:, None, None]
    strongest = maps.argmax(axis=0)  # (H, W)
    strength = (maps.max(axis=0) ** gamma)[..., None]  # (H, W, 1)
    ids = np.asarray(classes, dtype=np.int64)[kept]
    hue = display_palette(palette).astype(np.float32)[ids[strongest]]  # (H, W, 3)
    return _as_u8(_blend(grey * 0.8, hue, strength * np.float32(0.9)))
