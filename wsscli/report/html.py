"""One self-contained HTML page: pictures inside, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Literal, NewType

import numpy as np
import numpy.typing as npt
from PIL import Image

from wsscli.report.style import CSS
from wsscli.report.tiles import Swatch

U8 = npt.NDArray[np.uint8]

# Finished markup: a function that takes `str` escapes it, one that takes `Html` puts it in as it is.
Html = NewType("Html", str)

Cell = str | float | int | None


def data_uri(picture: U8, *, form: Literal["jpeg", "png"] = "jpeg", quality: int = 86) -> str:
    """A picture as a `data:` address.

    Args:
        picture: (H, W, 3) uint8 RGB.
        form: jpeg (small; for photos and what is drawn on them) or png (exact).
        quality: JPEG's, 1 to 95.
    """
    buffer = io.BytesIO()
    if form == "png":
        Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    else:
        # 4:4:4: subsampled colour would smear the edges of a mask.
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def figure(picture: U8, caption: str, *, note: str = "", form: Literal["jpeg", "png"] = "jpeg") -> Html:
    """A picture under its caption.

    Args:
        picture: (H, W, 3) uint8 RGB.
        caption: what it is, one line.
        note: figures or remarks beside the caption, drawn faint.
        form: how the picture is stored.
    """
    height, width = picture.shape[:2]
    faint = f" <small>{escape(note)}</small>" if note else ""
    return Html(
        f'<figure><figcaption>{escape(caption)}{faint}</figcaption><img alt="{escape(caption)}" '
        f'width="{width}" height="{height}" loading="lazy" src="{data_uri(picture, form=form)}"></figure>'
    )


def strip(
    figures: Iterable[Html],
    *,
    title: str = "",
    note: str = "",
    chips: Html | None = None,
    fill: bool = False,
) -> Html:
    """One image's pictures side by side, as a card that wraps on narrow screens.

    Args:
        figures: what `figure` returned.
        title: the image's id.
        note: drawn faint behind the title.
        chips: classes of the image, from `legend`.
        fill: let the pictures fill the card however few they are (inside `cards`).
    """
    head = ""
    if title or note or chips:
        faint = f"<small>{escape(note)}</small>" if note else ""
        head = f"<header><h3>{escape(title)}</h3>{chips or ''}{faint}</header>"
    shown = list(figures)
    # Up to nine stay in one row on a wide screen; fewer than five do not grow to posters.
    across = len(shown) if fill else max(5, len(shown))
    fixed = f' style="--n:{across}"' if len(shown) <= 9 else ""
    return Html(f'<article class="card">{head}<div class="strip"{fixed}>{"".join(shown)}</div></article>')


def cards(strips: Iterable[Html], *, pictures: int) -> Html:
    """Cards of few pictures beside each other, as many as the screen is wide.

    Args:
        strips: what `strip` returned, made with `fill`.
        pictures: how many a card has.
    """
    return Html(f'<div class="cards" style="--cards:{max(1, pictures)}">{"".join(strips)}</div>')


def legend(entries: Sequence[Swatch]) -> Html:
    """Class names beside their colours."""
    parts = []
    for entry in entries:
        if entry.colour is None:
            box = '<i class="hatch"></i>'
        else:
            box = f'<i style="background:rgb({",".join(map(str, entry.colour))})"></i>'
        parts.append(f"<li>{box}{escape(entry.name)}</li>")
    return Html(f'<ul class="legend">{"".join(parts)}</ul>')


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    caption: str = "",
    bars: Mapping[int, str] | None = None,
    digits: int = 3,
) -> Html:
    """A table of text and numbers.

    Args:
        header: column names.
        rows: cells; text is escaped, floats are rounded to `digits`, None and NaN are drawn as a dash.
        caption: a line above the table.
        bars: columns (index -> CSS colour) whose numbers in [0, 1] get a bar of that length behind them.
        digits: places behind the decimal point.
    """
    coloured = bars or {}
    body = []
    for row in rows:
        cells = [_cell(value, coloured.get(i), digits, first=i == 0) for i, value in enumerate(row)]
        body.append(f"<tr>{''.join(cells)}</tr>")
    numeric = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    heads = "".join(
        f'<th scope="col"{" class=n" if number else ""}>{escape(name)}</th>'
        for name, number in zip(header, numeric, strict=True)
    )
    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Html(
        f'<div class="scroll"><table>{top}<thead><tr>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def markup(*parts: str) -> Html:
    """Parts that are markup already (SVG of `line_plot`, other functions' results), joined."""
    return Html("".join(parts))


def _cell(value: Cell, bar: str | None, digits: int, *, first: bool) -> str:
    if isinstance(value, str):
        text = escape(value)
        return f'<th scope="row">{text}</th>' if first else f"<td>{text}</td>"
    if value is None or not math.isfinite(value):
        return '<td class="n">&ndash;</td>'
    text = f"{value:.{digits}f}" if isinstance(value, float) else f"{value:d}"
    if bar is None:
        return f'<td class="n">{text}</td>'
    share = 100.0 * min(max(float(value), 0.0), 1.0)
    return f'<td class="n bar"><span style="--w:{share:.1f}%;--c:{escape(bar)}">{text}</span></td>'


def text(*paragraphs: str) -> Html:
    """Plain paragraphs."""
    return Html("".join(f"<p>{escape(p)}</p>" for p in paragraphs))


def code(lines: str) -> Html:
    """Shell lines or other text in a fixed-width box that scrolls."""
    return Html(f"<pre><code>{escape(lines)}</code></pre>")


def section(title: str, *parts: Html) -> Html:
    """A heading and what belongs to it."""
    return Html(f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>")


def columns(*parts: Html) -> Html:
    """Parts beside each other where the screen is wide enough."""
    return Html(f'<div class="columns">{"".join(f"<div>{p}</div>" for p in parts)}</div>')


def page(
    title: str,
    *parts: Html,
    lead: str = "",
    sizes: bool = True,
    footer: str = "",
    generator: str = "wsscli",
) -> str:
    """The whole page.

    Args:
        title: heading and window title.
        parts: sections, strips, tables, in order.
        lead: a sentence under the heading.
        sizes: show the switch for the pictures' size (radio buttons and CSS, no script).
        footer: a line at the end.
        generator: what made the page, for the head.

    Returns:
        The text of an HTML file (UTF-8) that opens without a network.
    """
    switch = (
        '<fieldset class="sizes"><legend>Pictures</legend>'
        '<label><input type="radio" name="size" id="s">small</label>'
        '<label><input type="radio" name="size" id="m" checked>medium</label>'
        '<label><input type="radio" name="size" id="l">large</label></fieldset>'
        if sizes
        else ""
    )
    introduction = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    end = f"<footer>{escape(footer)}</footer>" if footer else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{escape(generator)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n"
        f'<body><header class="top"><div><h1>{escape(title)}</h1>{introduction}</div>{switch}</header>'
        f"<main>{''.join(parts)}</main>{end}</body></html>\n"
    )
