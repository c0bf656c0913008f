"""Pictures side by side with captions and a legend, as one RGB picture."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from wsscli.report.overlay import display_palette

U8 = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_PAPER: Colour = (255, 255, 255)
_INK: Colour = (28, 32, 38)
_FAINT: Colour = (110, 118, 129)
_HATCH: Colour = (128, 128, 128)


@dataclass(frozen=True)
class Swatch:
    """One entry of a legend: a colour (or the hatching of unlabelled pixels) and its name."""

    name: str
    colour: Colour | None
    """None draws the hatching that stands for unlabelled pixels."""


def swatches(names: Sequence[tuple[int, str]], palette: U8, *, unlabelled: bool = False) -> list[Swatch]:
    """The legend's entries for (class id, name) pairs, in the colours that `mask_overlay` uses.

    Args:
        names: class ids and names; background (0) is left out, it shows the photo.
        palette: (256, 3) uint8 RGB.
        unlabelled: add the entry for 255.
    """
    shown = display_palette(palette)
    entries = [Swatch(name, _colour(shown[value])) for value, name in names if value != 0]
    return [*entries, Swatch("unlabelled", None)] if unlabelled else entries


def _colour(rgb: U8) -> Colour:
    return int(rgb[0]), int(rgb[1]), int(rgb[2])


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _shorten(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float
) -> str:
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."


def side_by_side(
    pictures: Sequence[U8],
    captions: Sequence[str],
    *,
    title: str = "",
    legend: Sequence[Swatch] = (),
    columns: int | None = None,
    gap: int = 10,
) -> U8:
    """Pictures in rows under their captions, with a title above and a legend below.

    Args:
        pictures: (H, W, 3) uint8 RGB each; sizes may differ, each row is as high as its highest.
        captions: one line a picture; too long ones are cut with "...".
        title: a line above everything; empty for none.
        legend: entries of the strip below; empty for none.
        columns: pictures a row; all in one row when None.
        gap: space between pictures and around the sheet, pixels.

    Returns:
        (H, W, 3) uint8 RGB on white.
    """
    across = len(pictures) if columns is None else max(1, min(columns, len(pictures)))
    rows = [list(range(i, min(i + across, len(pictures)))) for i in range(0, len(pictures), across)]
    cell = max((p.shape[1] for p in pictures), default=1)
    text = max(12, min(20, round(cell / 18)))
    font, line = _font(text), round(text * 1.7)
    width = across * cell + (across + 1) * gap
    strip = legend_strip(legend, width - 2 * gap, text=text) if legend else None
    heights = [max(pictures[i].shape[0] for i in row) for row in rows]
    total = gap + (line if title else 0) + sum(h + line + gap for h in heights)
    total += strip.shape[0] + gap if strip is not None else 0

    sheet = Image.new("RGB", (width, total), _PAPER)
    draw = ImageDraw.Draw(sheet)
    top = gap
    if title:
        draw.text((gap, top), _shorten(draw, title, font, width - 2 * gap), fill=_INK, font=font)
        top += line
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = gap + column * (cell + gap)
            caption = _shorten(draw, captions[i], font, cell)
            draw.text((left, top), caption, fill=_FAINT, font=font)
            sheet.paste(Image.fromarray(pictures[i]), (left, top + line))
        top += line + height + gap
    if strip is not None:
        sheet.paste(Image.fromarray(strip), (gap, top))
    return np.asarray(sheet)


def legend_strip(legend: Sequence[Swatch], width: int, *, text: int = 14) -> U8:
    """Class names beside their colours, wrapped into lines.

    Args:
        legend: the entries, in order.
        width: of the strip, pixels; an entry wider than this is cut with "...".
        text: height of the letters, pixels.

    Returns:
        (H, width, 3) uint8 RGB on white; one blank line high when `legend` is empty.
    """
    font, line, box = _font(text), round(text * 1.8), text
    pad = round(text * 0.5)
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    placed: list[tuple[int, int, Swatch, str]] = []
    left = row = 0
    for entry in legend:
        name = _shorten(probe, entry.name, font, width - box - pad)
        wide = box + pad + round(probe.textlength(name, font=font)) + 2 * pad
        if left and left + wide - 2 * pad > width:
            left, row = 0, row + 1
        placed.append((left, row, entry, name))
        left += wide
    strip = Image.new("RGB", (width, line * (row + 1)), _PAPER)
    draw = ImageDraw.Draw(strip)
    for left, row, entry, name in placed:
        top = row * line + (line - box) // 2
        corner = (left, top, left + box - 1, top + box - 1)
        draw.rectangle(corner, fill=entry.colour or _HATCH, outline=_FAINT)
        if entry.colour is None:
            for offset in range(0, 2 * box, max(4, box // 3)):
                begin, end = max(0, offset - box + 1), min(box - 1, offset)
                draw.line((left + begin, top + offset - begin, left + end, top + offset - end), fill=(215, 215, 215))
        draw.text((left + box + pad, row * line + line // 2), name, fill=_INK, font=font, anchor="lm")
    return np.asarray(strip)
