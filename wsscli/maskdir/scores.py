"""Soft scores as npz files: a map a class at the network's resolution, and the size of the photo."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic

Maps = NDArray[np.float32]
_HALF_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Scores:
    """Score maps of one image.

    Attributes:
        scores: float32 (K, h, w), finite.
        classes: int64 (K,), the class id of each map, ascending.
        size: (H, W) of the photo; h and w may be smaller.
    """

    scores: Maps
    classes: NDArray[np.int64]
    size: tuple[int, int]

    def full(self) -> Maps:
        """The maps at the photo's size, float32 (K, H, W): bilinear, half-pixel centres."""
        return resize_maps(self.scores, self.size)


def resize_maps(maps: Maps, size: tuple[int, int]) -> Maps:
    """Bilinear resize of float32 (K, h, w) to (K, H, W), half-pixel centres, borders replicated."""
    import cv2

    if maps.shape[1:] == size:
        return maps
    out = np.empty((len(maps), *size), np.float32)
    for source, target in zip(maps, out, strict=True):
        cv2.resize(source, (size[1], size[0]), dst=target, interpolation=cv2.INTER_LINEAR)
    return out


def encode_scores(item: Scores) -> bytes:
    """The npz file of scores: stored, no pickle, equal bytes for equal input; float16, or float32 beyond its range.

    Raises:
        WssError: when shapes do not fit each other or a value is not finite.
    """
    scores = np.asarray(item.scores, np.float32)
    classes = np.asarray(item.classes, np.int64)
    if scores.ndim != 3 or classes.shape != (len(scores),) or 0 in scores.shape[1:]:
        raise WssError(f"scores of shape {scores.shape} do not fit {classes.shape} classes; need (K, h, w) and (K,)")
    if not np.isfinite(scores).all():
        raise WssError(
            "scores hold NaN or infinity; the network that made them has diverged: train it again with a smaller --lr"
        )
    fits_half = scores.size == 0 or float(np.abs(scores).max()) <= _HALF_MAX
    buffer = io.BytesIO()
    np.savez(
        buffer,
        scores=scores.astype(np.float16 if fits_half else np.float32),
        classes=classes.astype(np.uint8),
        size=np.asarray(item.size, np.int32),
    )
    return buffer.getvalue()


def write_scores(path: Path, item: Scores) -> bytes:
    """Write scores atomically; returns the bytes of the file (for its digest)."""
    data = encode_scores(item)
    write_atomic(path, data)
    return data


def read_scores(path: Path) -> Scores:
    """Read scores written by wss (or by anyone in the same form; pickles are refused).

    Raises:
        WssError: no such file, damaged, or an entry is missing or has the wrong shape.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            scores = np.asarray(archive["scores"], np.float32)
            classes = np.asarray(archive["classes"], np.int64)
            size = np.asarray(archive["size"])
    except FileNotFoundError as error:
        raise WssError(f"{path}: no such scores") from error
    except KeyError as error:
        raise WssError(f"{path}: scores without the entry {error.args[0]!r}; need scores, classes and size") from error
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise WssError(
            f"{path}: cannot be read as scores ({str(error).splitlines()[0]}); the file is damaged, write it again"
        ) from error
    if scores.ndim != 3 or classes.shape != (len(scores),) or size.shape != (2,):
        raise WssError(
            f"{path}: scores {scores.shape}, classes {classes.shape} and size {size.shape} do not fit each other; "
            "need (K, h, w), (K,) and (2,)"
        )
    return Scores(scores, classes, (int(size[0]), int(size[1])))
