"""Masks coded by colours, turned into class ids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.maskdir.png import Mask, voc_palette

Colours = dict[tuple[int, int, int], int]


def voc_colours(classes: int) -> Colours:
    """VOC's colour of each id below `classes`, and of 255 (its cream border)."""
    palette = voc_palette()
    return {(int(r), int(g), int(b)): i for i, (r, g, b) in enumerate(palette) if i < classes or i == 255}


def read_colours(path: Path) -> tuple[ClassTable, Colours]:
    """A colour table: JSON `{"background": [0, 0, 0], "cat": [64, 0, 0], ..., "unlabelled": [r, g, b]}`.

    Classes get ids in the order of the file; `unlabelled` (optional) becomes 255.

    Raises:
        WssError: unreadable, names that make no class table, a colour that is not three numbers of 0..255, or one that
            stands twice.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WssError(f"{path}: cannot be read as a JSON colour table ({error})") from error
    if not isinstance(plain, dict):
        raise WssError(f'{path}: a colour table is a JSON object {{"background": [0, 0, 0], ...}}')
    names = [name for name in plain if name != "unlabelled"]
    try:
        table = ClassTable(tuple(names))
    except WssError as error:
        raise WssError(f"{path}: {error}") from error
    colours: Colours = {}
    for name, colour in plain.items():
        fits = isinstance(colour, list) and len(colour) == 3 and all(type(v) is int and 0 <= v <= 255 for v in colour)
        if not fits:
            raise WssError(f"{path}: the colour of '{name}' is {colour!r}; give [red, green, blue] of 0..255")
        key = (colour[0], colour[1], colour[2])
        if key in colours:
            raise WssError(f"{path}: the colour {colour} stands twice, the second time for '{name}'")
        colours[key] = 255 if name == "unlabelled" else table.id(name)
    return table, colours


def read_rgb_mask(path: Path, colours: Colours) -> Mask:
    """An RGB-coded mask as uint8 (H, W) class ids.

    Raises:
        WssError: unreadable, or a pixel has a colour that the table lacks.
    """
    try:
        with Image.open(path) as image:
            pixels: NDArray[np.int32] = np.asarray(image.convert("RGB"), np.int32)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise WssError(f"{path}: cannot be read as an image ({error})") from error
    code = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    values, inverse = np.unique(code, return_inverse=True)
    ids = np.empty(len(values), np.uint8)
    for i, value in enumerate(values.tolist()):
        colour = (value >> 16, value >> 8 & 255, value & 255)
        if colour not in colours:
            raise WssError(
                f"{path}: the colour {list(colour)} is not in the colour table; add it, or give another --rgb"
            )
        ids[i] = colours[colour]
    mask: Mask = ids[inverse].reshape(code.shape)
    return mask
