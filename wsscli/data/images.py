"""Reading photos as uint8 RGB, whatever they are stored as."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wsscli.errors import WssError

Photo = NDArray[np.uint8]

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2", ".avif"}
)
MAX_PIXELS = 89_478_485  # Pillow's own limit for its warning: a quarter GiB of RGB
_ORIENTATION = 0x0112
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error, OverflowError)


def read_image(path: Path | str) -> Photo:
    """Read a photo as uint8 RGB (H, W, 3), upright.

    The EXIF rotation is applied. Grey, 1-bit, palette and CMYK become RGB; 16-bit grey is scaled by 1/257 and
    rounded; transparent parts are laid on white, as viewers show them. Of several frames the first is read.

    Raises:
        WssError: no such file, empty, not an image, truncated or damaged, more than MAX_PIXELS pixels, or values
            without a known range (floats, 32-bit integers). Never returns a part of the pixels.
    """
    with _open(Path(path)) as image:
        try:
            image.load()
            pixels = _rgb(image)
            return _upright(pixels, _orientation(image))
        except Image.DecompressionBombError as error:
            raise _too_large(Path(path), image.size) from error
        except _DAMAGE as error:
            raise _damaged(Path(path), error) from error


def read_size(path: Path | str) -> tuple[int, int]:
    """(H, W) of a photo as `read_image` returns it, from the file's head alone (TIFF: decoded).

    Raises:
        WssError: as `read_image`, as far as the head tells.
    """
    with _open(Path(path)) as image:
        try:
            if image.format == "TIFF":
                image.load()  # Pillow turns TIFFs itself while loading, and its size before that differs by version
            width, height = image.size
            return (width, height) if _orientation(image) >= 5 else (height, width)
        except _DAMAGE as error:
            raise _damaged(Path(path), error) from error


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
    except FileNotFoundError as error:
        raise WssError(f"{path}: no such image; check the path") from error
    except IsADirectoryError as error:
        raise WssError(f"{path}: a folder, not an image; give an image file") from error
    except PermissionError as error:
        raise WssError(f"{path}: not readable by you; mend its permissions") from error
    # The warning is an exception where the user's filters make it one.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, None) from error
    except UnidentifiedImageError as error:
        if path.stat().st_size == 0:
            raise WssError(f"{path}: the file is empty (0 bytes); copy it again or take it out of the set") from error
        raise WssError(
            f"{path}: not an image that Pillow knows, or its head is damaged; convert it to JPEG or PNG, or take it "
            "out of the set"
        ) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    if image.width * image.height > MAX_PIXELS:
        size = image.size
        image.close()
        raise _too_large(path, size)
    return image


def _damaged(path: Path, error: BaseException) -> WssError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return WssError(f"{path}: damaged or truncated image ({reason}); copy it again or take it out of the set")


def _too_large(path: Path, size: tuple[int, int] | None) -> WssError:
    shown = f"{size[0]}x{size[1]} pixels" if size else "more pixels"
    return WssError(
        f"{path}: {shown}, over the limit of {MAX_PIXELS} (a decompression bomb, or a scan to scale down); shrink it "
        "or take it out of the set"
    )


def _rgb(image: Image.Image) -> Photo:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return np.array(image)
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        wide = np.asarray(image).astype(np.int64)
        # 65535 / 255 = 257: the full range maps onto the full range, rounded to the nearest.
        grey = ((wide + 128) // 257).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode in ("I", "F"):
        raise ValueError(f"mode {mode} has no fixed range of values, save it as 8 or 16 bits")
    if "A" in mode.replace("LAB", "") or "a" in mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(ground, rgba).convert("RGB"))
    return np.array(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Photo, orientation: int) -> Photo:
    """Turn pixels (H, W, 3) by EXIF's tag 274. Source: EXIF 2.32, section 4.6.4, Orientation."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)  # (W, H, 3)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
