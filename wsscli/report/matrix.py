"""A confusion matrix as a picture: each row says where the pixels of one true class went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

U8 = npt.NDArray[np.uint8]

_PAPER, _INK, _FAINT = (255, 255, 255), (28, 32, 38), (110, 118, 129)
_EMPTY, _NONE = (222, 226, 231), (247, 248, 250)
_HIT, _MISS = np.array([9, 105, 218]), np.array([207, 60, 34])


def matrix_picture(
    matrix: npt.NDArray[np.int64], names: Sequence[str], *, title: str = "", cell: int | None = None
) -> U8:
    """Draw a confusion matrix, rows divided by their sums.

    Right pixels are blue, wrong ones red, the stronger the larger their share of the true class; shares from
    half a percent on are written into the cells, in percent. A class without true pixels has a grey row.

    Args:
        matrix: (n, n) or, with unlabelled predictions last, (n, n + 1); rows are the truth.
        names: n class names.
        title: a line above.
        cell: side of a cell in pixels; by the number of classes when None.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    n, across = matrix.shape
    columns = [*names, "unlabelled"][:across]
    side = cell or max(14, min(46, 1400 // across))
    font, small = (
        ImageFont.load_default(max(9, min(15, side // 2))),
        ImageFont.load_default(max(8, side * 2 // 7)),
    )
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    room = 12 + max((round(pen.textlength(name, font=font)) for name in columns), default=0)
    line, gap = 26, 14
    top, left = gap + (line if title else 0) + line + room, gap + room + line
    sheet = Image.new("RGB", (left + across * side + gap, top + n * side + line + gap), _PAPER)
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((gap, gap), title, fill=_INK, font=ImageFont.load_default(16))
    pen.text((left, top - room - line + 4), "predicted", fill=_FAINT, font=font)
    _sideways(sheet, "true", (gap, top), font, _FAINT)
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.zeros(matrix.shape), where=sums > 0)
    for column, name in enumerate(columns):
        height = round(pen.textlength(name, font=font))
        _sideways(sheet, name, (left + column * side + side // 4, top - 6 - height), font, _INK)
    for row in range(n):
        y = top + row * side
        width = pen.textlength(names[row], font=font)
        pen.text((left - 6 - width, y + side // 4), names[row], fill=_INK, font=font)
        for column in range(across):
            share = float(shares[row, column])
            box = (left + column * side, y, left + (column + 1) * side - 2, y + side - 2)
            pen.rectangle(box, fill=_colour(share, row == column) if sums[row, 0] else _EMPTY)
            if share >= 0.005 and side >= 20:
                text = f"{100 * share:.0f}"
                x = (box[0] + box[2] - pen.textlength(text, font=small)) / 2
                pen.text((x, y + side * 0.3), text, fill=_PAPER if share > 0.5 else _INK, font=small)
    note = "percent of the true class's pixels; grey rows: no true pixel"
    pen.text((left, top + n * side + 6), note, fill=_FAINT, font=ImageFont.load_default(12))
    return np.asarray(sheet)


def _colour(share: float, hit: bool) -> tuple[int, int, int]:
    if share == 0:
        return _NONE
    # square root: confusions of a few percent are what one looks for
    strength = np.sqrt(share)
    red, green, blue = np.round(255 + strength * ((_HIT if hit else _MISS) - 255)).astype(int)
    return int(red), int(green), int(blue)


def _sideways(
    sheet: Image.Image,
    text: str,
    corner: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ink: tuple[int, int, int],
) -> None:
    """Write a text that reads upwards, its upper left corner at `corner`."""
    right, below = (round(v) for v in font.getbbox(text)[2:])
    strip = Image.new("RGB", (max(1, right), max(1, below)), _PAPER)
    ImageDraw.Draw(strip).text((0, 0), text, fill=ink, font=font)
    sheet.paste(strip.rotate(90, expand=True), corner)
