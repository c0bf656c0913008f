"""CAM dictionaries (`<id>.npy`) of published code: their schemas, read and written.

As the repositories write them: psa, SEAM, EPS, MCTformer, WeakTr (`psa`); irn, AdvCAM, ReCAM (`irn`); PuzzleCAM;
CLIP-ES; ToCo. They number the classes from 0, without the background; wss numbers them from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.npy_object import AsTensor, encode_npy_object
from wsscli.data.restricted import read_pickle
from wsscli.errors import WssError

Schema = Literal["psa", "irn", "puzzlecam", "clip-es", "toco"]
Maps = NDArray[np.float32]
Content = dict[Any, Any]


@dataclass(frozen=True)
class Form:
    """How a schema keeps the maps of one image.

    Attributes:
        maps: entries that may hold maps (K, h, w), the one to read first; none where the dictionary itself goes from
            class to map.
        background: whether the entry `keys` begins with a 0 for the background, which has no map, and counts the
            classes from 1.
    """

    maps: tuple[str, ...]
    background: bool = False


FORMS: dict[str, Form] = {
    "psa": Form(()),
    "irn": Form(("high_res", "cam")),
    "puzzlecam": Form(("hr_cam", "rw", "cam"), background=True),
    "clip-es": Form(("attn_highres", "highres")),
    "toco": Form(("high_res",)),
}
_STRIDES = (8, 16, 32)  # of nets; a map may cover a photo rounded up to a multiple


def read_dictionary(path: Path) -> Content:
    """The dictionary of one `.npy` file; tensors come as arrays, nothing in the file is run.

    Raises:
        WssError: not readable, not a dictionary, or naming what a pickle may not.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        shape = f" of shape {content.shape}" if isinstance(content, np.ndarray) else ""
        raise WssError(
            f"{path}: holds a {type(content).__name__}{shape}, but a CAM file holds a dictionary: class -> map, or "
            "'keys' and maps"
        )
    return content


def is_empty(content: Content) -> bool:
    """Whether an image has no class: an empty dictionary, or no `keys`."""
    return not content or _count(content.get("keys")) == 0


def schema_of(content: Content, path: Path) -> Schema | None:
    """The schema of a dictionary by its entries; None when it is empty, so that it could be of any.

    Raises:
        WssError: entries of no known schema.
    """
    if is_empty(content):
        return None
    if all(_is_class(key) for key in content):
        return "psa"
    keys = _count(content.get("keys"))
    if keys is not None:
        if "attn_highres" in content or "highres" in content:
            return "clip-es"
        if "hr_cam" in content or "rw" in content:
            return "puzzlecam"
        if "high_res" in content:
            return "irn" if "cam" in content else "toco"
        if "cam" in content:
            return "puzzlecam" if keys == (_count(content["cam"], 1) or 0) + 1 else "irn"
    raise WssError(
        f"{path}: holds {_listed(content)}: no schema that wss knows ({', '.join(FORMS)}); name the nearest with "
        "--schema and the entry with --map"
    )


def _count(value: Any, axes: int | None = None) -> int | None:
    """How many elements (or rows, `axes` given) an array or list has; None for anything else."""
    if isinstance(value, np.ndarray):
        return value.size if axes is None else len(value) if value.ndim else None
    return len(value) if isinstance(value, (list, tuple)) else None


def choose_map(content: Content, path: Path, schema: Schema) -> str | None:
    """The entry to read where none is named: the finest that this file has; None for psa, which has no entries.

    Raises:
        WssError: the file has none of the schema's.
    """
    maps = FORMS[schema].maps
    for entry in maps:
        if entry in content:
            return entry
    if not maps:
        return None
    raise _no_entry(content, path, " or ".join(f"'{name}'" for name in maps))


def read_maps(
    content: Content, path: Path, schema: Schema, entry: str | None, classes: ClassTable
) -> tuple[Maps, NDArray[np.int64]]:
    """The maps of one image.

    Args:
        content: its dictionary.
        path: the file, for messages.
        schema: how the dictionary is laid out.
        entry: which maps; None for psa.
        classes: the class table that the keys number.

    Returns:
        float32 (K, h, w) as they stand in the file, and the class ids int64 (K,), ascending, from 1. An image without
        a class gives (0, 1, 1).

    Raises:
        WssError: entries or maps of another form, unknown classes or one twice, NaN or infinity.
    """
    if FORMS[schema].maps:
        keys, maps = _keyed(content, path, schema, entry)
    else:
        keys, maps = _by_class(content, path)
    for key in keys:
        if not 0 <= key < len(classes) - 1:
            counted = "from 1 (0 is the background)" if FORMS[schema].background else "from 0"
            raise WssError(
                f"{path}: holds the class key {key + FORMS[schema].background}, but keys of {schema} count the "
                f"{len(classes) - 1} foreground classes {counted}; name the data set (or --class-names) of these CAMs, "
                "or another --schema"
            )
        if keys.count(key) > 1:
            raise WssError(f"{path}: holds the class key {key + FORMS[schema].background} twice; make the CAMs again")
    if not keys:
        return np.zeros((0, 1, 1), np.float32), np.zeros(0, np.int64)
    order = np.argsort(keys)
    return maps[order], np.asarray(keys, np.int64)[order] + 1


def _by_class(content: Content, path: Path) -> tuple[list[int], Maps]:
    strange = next((key for key in content if not _is_class(key)), None)
    if strange is not None:
        raise WssError(
            f"{path}: holds the entry {strange!r}, but psa's files go from class number to map; another --schema?"
        )
    maps = [_array(value, path, f"class key {key}", 2) for key, value in content.items()]
    sizes = sorted({one.shape for one in maps})
    if len(sizes) > 1:
        raise WssError(f"{path}: its maps are {_by(sizes[0])} and {_by(sizes[1])} pixels; all must be of one size")
    stack = np.stack(maps) if maps else np.zeros((0, 1, 1), np.float32)
    if 0 in content and len(maps) > 1 and np.allclose(stack.sum(axis=0), 1, atol=1e-3):
        raise WssError(
            f"{path}: its maps sum to 1 at each pixel: CRF scores as psa's --out_la_crf writes them, with the "
            "background as key 0 and classes from 1; import the CAMs (--out_cam)"
        )
    return [int(key) for key in content], stack


def _keyed(content: Content, path: Path, schema: Schema, entry: str | None) -> tuple[list[int], Maps]:
    if content and "keys" not in content:
        raise _no_entry(content, path, "'keys'")
    keys = _key_list(content.get("keys", []), path)
    background = FORMS[schema].background
    count = len(keys)
    if background and keys:
        if keys[0] != 0:
            raise WssError(
                f"{path}: its 'keys' are {keys}, but PuzzleCAM's begin with 0 for the background; name another --schema"
            )
        keys = [key - 1 for key in keys[1:]]
    if not keys:
        return [], np.zeros((0, 1, 1), np.float32)
    if entry not in content:
        raise _no_entry(content, path, f"'{entry}'")
    maps = _array(content[entry], path, f"'{entry}'", 3)
    if len(maps) != len(keys):
        begin = "begin" if background else "do not begin"
        raise WssError(
            f"{path}: has {count} keys and {len(maps)} maps in '{entry}', which do not fit each other (keys of "
            f"{schema} {begin} with one for the background); name another --schema"
        )
    return keys, maps


def _key_list(value: Any, path: Path) -> list[int]:
    found = value if isinstance(value, np.ndarray) else None
    if isinstance(value, (list, tuple)) and all(_is_class(key) for key in value):
        return [int(key) for key in value]
    if found is None or (found.size and (found.ndim != 1 or found.dtype.kind not in "iu")):
        what = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise WssError(f"{path}: its 'keys' are a {what}, but they are integers, one a class; make the CAMs again")
    return [int(key) for key in found.ravel()]


def _array(value: Any, path: Path, what: str, axes: int) -> Maps:
    """float32 maps; checked."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.ndim != axes or 0 in value.shape:
        is_array = isinstance(value, np.ndarray)
        kind = f"{value.dtype} of shape {value.shape}" if is_array else type(value).__name__
        raise WssError(
            f"{path}: {what} is a {kind}, but it holds {'maps (classes, h, w)' if axes == 3 else 'a map (h, w)'} of "
            "numbers; make the CAMs again"
        )
    with np.errstate(over="ignore"):
        maps = value.astype(np.float32)
    bad = int(maps.size - np.isfinite(maps).sum())
    if bad:
        raise WssError(f"{path}: {what} holds {bad} values that are NaN or infinite; make the CAMs again")
    return maps


def _no_entry(content: Content, path: Path, wanted: str) -> WssError:
    return WssError(f"{path}: has no entry {wanted}, it holds {_listed(content)}; name another --map or --schema")


def _listed(content: Content) -> str:
    return ", ".join(repr(key) for key in list(content)[:6]) + (", ..." if len(content) > 6 else "")


def _is_class(key: Any) -> bool:
    return isinstance(key, (int, np.integer)) and not isinstance(key, bool)


def _by(size: Sequence[int]) -> str:
    return f"{size[1]}x{size[0]}"


def fit_maps(maps: Maps, size: tuple[int, int], path: Path) -> Maps:
    """Maps over the whole photo: as they are, or cropped where they cover the photo rounded up to a net's stride.

    Args:
        maps: float32 (K, h, w).
        size: (H, W) of the photo.
        path: the file, for messages.

    Returns:
        (K, h, w) with h <= H and w <= W; smaller maps are of the whole photo at a lower resolution, in its shape (but
        for rounding) or square, as from nets that see the photo warped.

    Raises:
        WssError: maps larger than the photo or of another shape: they are of another photo, or on their side.
    """
    (height, width), (h, w) = size, maps.shape[1:]
    if h <= height and w <= width and (h == w or abs(h * width - w * height) <= 2 * max(size)):  # two of their pixels
        return maps
    for stride in _STRIDES:
        if (h, w) == (-(-height // stride) * stride, -(-width // stride) * stride):
            return maps[:, :height, :width]
    raise WssError(
        f"{path}: its maps are {_by((h, w))} pixels, which does not fit the photo of {_by(size)} (width x height); "
        "were they made from this photo, turned as its EXIF data says?"
    )


def encode_maps(schema: Schema, classes: Sequence[int], maps: Maps, strided: Maps) -> bytes:
    """The `.npy` file of one image, as the code of this schema writes it.

    Args:
        schema: the schema.
        classes: (K,) class ids from 1.
        maps: float32 (K, H, W) at the photo's size.
        strided: float32 (K, h, w) at a quarter of it (`strided_size`), for the schemas that have such.

    Returns:
        The file. Tensors where that code calls tensors' methods (irn: `keys` and `cam`; PuzzleCAM: `cam`), float16
        where it writes float16 (CLIP-ES), else float32; keys are int64, in psa Python's integers.
    """
    keys = np.asarray(classes, np.int64) - 1
    high = np.ascontiguousarray(maps, np.float32)
    low = AsTensor(np.ascontiguousarray(strided, np.float32))
    content: Content
    if schema == "psa":
        content = dict(zip(keys.tolist(), high, strict=True))
    elif schema == "irn":
        content = {"keys": AsTensor(keys), "cam": low, "high_res": high}
    elif schema == "puzzlecam":
        content = {"keys": np.concatenate([[0], keys + 1]), "cam": low, "hr_cam": high}
    elif schema == "clip-es":
        content = {"keys": keys, "attn_highres": high.astype(np.float16)}
    else:
        content = {"keys": keys, "high_res": high}
    return encode_npy_object(content)


def strided_size(size: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of irn's and PuzzleCAM's low-resolution maps: a quarter of the photo, rounded up."""
    return -(-size[0] // 4), -(-size[1] // 4)
