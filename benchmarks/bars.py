"""Bars with their spread, as SVG files beside RESULTS.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_ROW, _LEFT, _RIGHT, _TOP = 20, 440, 70, 34
_COLOUR, _INK = "#2b8ccb", "#1c2026"


class Bar(NamedTuple):
    """A value with the least and the most of it, and a mark where it should at least reach."""

    label: str
    value: float
    low: float
    high: float
    asked: float | None = None


def bar_plot(bars: Sequence[Bar], *, title: str, log: bool = False, width: int = 930) -> str:
    """Horizontal bars from 0, or (`log`) from 1 to both sides; a thin line from least to most, an upright one where asked.

    Args:
        bars: from the top; values > 0.
        title: what the plot shows.
        log: logarithmic, for ratios of which some are large.
        width: pixels.
    """
    height = _TOP + _ROW * len(bars) + 12

    def scaled(value: float) -> float:
        return math.log10(value) if log else value

    ends = [scaled(v) for bar in bars for v in (bar.low, bar.value, bar.high, bar.asked or bar.value)]
    least, most = min(0.0, *ends), max(scaled(1.0), *ends)

    def place(value: float) -> float:
        return round(_LEFT + (scaled(value) - least) / (most - least) * (width - _LEFT - _RIGHT), 1)

    zero = place(1.0) if log else float(_LEFT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-size="11" fill="{_INK}" font-family="system-ui, sans-serif">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        f'<text x="12" y="19" font-size="13" font-weight="600">{escape(title)}</text>'
        f'<line x1="{zero}" x2="{zero}" y1="{_TOP - 6}" y2="{height - 8}" stroke="{_INK}" opacity=".4"/>'
    ]
    for row, bar in enumerate(bars):
        y = _TOP + _ROW * row
        begin, end = sorted((zero, place(bar.value)))
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect x="{begin}" y="{y + 1}" width="{round(max(end - begin, 0.5), 1)}" height="13" fill="{_COLOUR}"/>'
            f'<line x1="{place(bar.low)}" x2="{place(bar.high)}" y1="{y + 7.5}" y2="{y + 7.5}" stroke="{_INK}"/>'
            f'<text x="{max(end, place(bar.high)) + 6}" y="{y + 11}">{bar.value:.3g}</text>'
        )
        if bar.asked is not None:
            x = place(bar.asked)
            parts.append(f'<line x1="{x}" x2="{x}" y1="{y - 2}" y2="{y + 17}" stroke="#d9641a" stroke-width="2"/>')
    return "".join([*parts, "</svg>\n"])
