"""Masks as 8-bit palette PNGs: the pixel's value is the class id, 0 background, 255 unlabelled."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic

Mask = NDArray[np.uint8]
_BEGIN = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PALETTE, _GREY = 3, 0
_MOST, _PACKED = 1 << 26, 1 << 18  # pixels, and bytes they are packed in: what is larger is left to PIL and its limits


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
        with path.open("rb") as stream:
            data = stream.read()
        usual = _usual(data)
        if usual is not None:
            return usual
        with Image.open(io.BytesIO(data)) as image:
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


def _usual(data: bytes) -> Mask | None:
    """The pixels of a PNG as PIL writes masks: 8 bits, no interlacing, no filters; None of all others, damaged or not.

    PIL reads it as well, but in twice the time, most of which threads cannot share.
    """
    try:
        width, height, depth, colour, packing, filtering, interlaced = struct.unpack_from(">IIBBBBB", data, len(_BEGIN))
        plain = depth == 8 and colour in (_PALETTE, _GREY) and not packing and not filtering and not interlaced
        if not data.startswith(_BEGIN) or not plain or not 0 < width * height <= _MOST:
            return None
        packed = b"".join(_packed(data))
        if len(packed) > _PACKED or zlib.decompressobj().decompress(packed, 1) != b"\0":  # a row begins with its filter
            return None
        size = height * (width + 1)
        pixels = zlib.decompress(packed, bufsize=size + 1)  # at once: threads would wait for each other's memory
        if len(pixels) != size:
            return None
    except (struct.error, zlib.error):
        return None
    rows = np.frombuffer(pixels, np.uint8).reshape(height, width + 1)
    return None if rows[:, 0].any() else rows[:, 1:].copy()


def _packed(data: bytes) -> Iterator[bytes]:
    """The pixels' chunks of a PNG.

    Raises:
        struct.error: it ends too early.
        zlib.error: a chunk is damaged or out of place.
    """
    place, kind, begun = 8, b"", False
    while kind != b"IEND":
        before = kind
        length, kind = struct.unpack_from(">I4s", data, place)
        again = (kind == b"IHDR" and before) or (kind == b"IDAT" and begun and before != kind)
        if again or not kind.isalpha():
            raise zlib.error("not the order of a PNG")
        begun |= kind == b"IDAT"
        body = data[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, place + 8 + length)
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            raise zlib.error("checksum")
        if kind == b"IDAT":
            yield body
        place += 12 + length


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
