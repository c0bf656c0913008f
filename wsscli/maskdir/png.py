"""Masks as 8-bit palette PNGs: the pixel's value is the class id, 0 background, 255 unlabelled."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic

Mask = NDArray[np.uint8]


@cache
def _palette_bytes() -> bytes:
    return voc_palette().tobytes()


def voc_palette() -> NDArray[np.uint8]:
    """PASCAL VOC's colours, uint8 (256, 3): the bits of the class id spread over red, green and blue.

    Source: VOCdevkit, VOClabelcolormap.m.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def encode_mask(mask: Mask) -> bytes:
    """The PNG file of a mask.

    Args:
        mask: uint8 (H, W), class ids, 255 unlabelled.

    Raises:
        WssError: when the array is not a non-empty uint8 (H, W).
    """
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
        raise WssError(f"a mask is a non-empty uint8 array of two axes, not {mask.dtype} of shape {mask.shape}")
    image = Image.frombuffer(
        "P", (mask.shape[1], mask.shape[0]), np.ascontiguousarray(mask).tobytes(), "raw", "P", 0, 1
    )
    # Always all 256 entries: Pillow writes fewer bits a pixel for a short palette and shifts the labels.
    image.putpalette(_palette_bytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write_mask(path: Path, mask: Mask) -> bytes:
    """Write a mask atomically; returns the bytes of the file (for its digest)."""
    data = encode_mask(mask)
    write_atomic(path, data)
    return data


def read_mask(path: Path) -> Mask:
    """Read an indexed mask: uint8 (H, W), class ids, 255 unlabelled.

    Palette and 8-bit grey PNGs are read as they are (the palette's colours do not matter), 16-bit ones when no
    value exceeds 255. Read with PIL: cv2 and others expand palettes to colours.

    Raises:
        WssError: no such file, truncated, not an image, or coded by colours.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode in ("P", "L"):
                return np.array(image)
            if mode in ("I", "I;16", "I;16B", "1"):
                wide = np.asarray(image)
                if wide.size and int(wide.max()) > 255:
                    raise WssError(
                        f"{path}: a mask value is {int(wide.max())}, but class ids end at 255; remap the classes"
                    )
                return wide.astype(np.uint8)
    except FileNotFoundError as error:
        raise WssError(f"{path}: no such mask") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise WssError(
            f"{path}: cannot be read as a mask ({_first_line(error)}); the file is damaged, write it again"
        ) from error
    raise WssError(
        f"{path}: this mask is coded by colours (mode {mode}), not by class ids; convert the folder once with "
        "`wss import masks FOLDER --rgb voc -o OUT`"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def mask_size(path: Path) -> tuple[int, int]:
    """(H, W) of a mask file without decoding it."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise WssError(
            f"{path}: cannot be read as a mask ({_first_line(error)}); the file is damaged, write it again"
        ) from error
