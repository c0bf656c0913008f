"""Small line plots as inline SVG: training logs and threshold sweeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

# After Okabe and Ito: told apart by colour-blind readers; light enough for black, dark enough for white.
_COLOURS = ("#2b8ccb", "#d9641a", "#0ba57b", "#cc79a7", "#d99a00", "#8a7bd8")
_PAPER, _INK = "#ffffff", "#1c2026"
_LETTER = 6.2  # mean width of a letter at size 11, pixels; what draws the file measures, we can only reckon


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that lie within [low, high].

    Args:
        low: lower end of the axis.
        high: upper end; equal to `low` gives that one value.
        count: about how many are wanted, at least 1.
    """
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def line_plot(
    series: Mapping[str, Points],
    *,
    title: str,
    x_label: str,
    y_label: str,
    size: tuple[int, int] = (460, 260),
    y_range: tuple[float, float] | None = None,
    whole_x: bool = False,
    notes: Sequence[str] = (),
    alone: bool = False,
) -> str:
    """A line plot as an SVG element; several lines have a legend between the title and the drawing.

    Args:
        series: name -> (x, y) points in drawing order; points that are not finite are left out.
        title: what the plot shows; also its accessible name.
        x_label: name and unit of the horizontal axis.
        y_label: name and unit of the vertical axis.
        size: (width, height) of the drawing in CSS pixels; it scales with its container.
        y_range: fixed ends of the vertical axis; from the data when None.
        whole_x: write whole numbers only under the horizontal axis.
        notes: small lines at the foot.
        alone: as a file of its own, on white paper; else a part of a page, whose text colour it takes.

    Returns:
        `<svg>...</svg>`, all text escaped; with "no data" in it when no point is finite.
    """
    width, height = size
    left, right = 52, 14
    legend = _legend(list(series), left, width - right) if len(series) > 1 else []
    top = 30 + (0 if not legend else legend[-1][1] - 17)
    bottom = 42 + (4 + 14 * len(notes) if notes else 0)
    kept = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in series.items()
    }
    everything = [point for points in kept.values() for point in points]
    head = _head(title, width, height, left, notes, alone=alone)
    if not everything:
        return f'{head}<text x="{width / 2}" y="{height / 2}" text-anchor="middle">no data</text></svg>'
    x_low, x_high = min(p[0] for p in everything), max(p[0] for p in everything)
    y_low, y_high = y_range or (min(p[1] for p in everything), max(p[1] for p in everything))
    if y_range is None:
        y_low = min(0.0, y_low)
    x_span, y_span = (x_high - x_low) or 1.0, (y_high - y_low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (x - x_low) / x_span * (width - left - right)
        up = height - bottom - (min(max(y, y_low), y_high) - y_low) / y_span * (height - top - bottom)
        return round(across, 1), round(up, 1)

    parts = [head]
    for y in ticks(y_low, y_high):
        _, up = place(x_low, y)
        parts.append(
            f'<line x1="{left}" x2="{width - right}" y1="{up}" y2="{up}" stroke="currentColor" '
            f'opacity=".15"/>'
            f'<text x="{left - 6}" y="{up + 4}" text-anchor="end" opacity=".75">{y:g}</text>'
        )
    for x in ticks(x_low, x_high, 6):
        if whole_x and not x.is_integer():
            continue
        across, _ = place(x, y_low)
        parts.append(f'<text x="{across}" y="{height - bottom + 15}" text-anchor="middle" opacity=".75">{x:g}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text x="{middle}" y="{height - bottom + 34}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(12 {(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    for i, (name, points) in enumerate(kept.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        path = " ".join(f"{x},{y}" for x, y in (place(*p) for p in points))
        if len(points) == 1:
            x, y = place(*points[0])
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
        )
        if legend:
            across, down = legend[i]
            parts.append(
                f'<line x1="{across}" x2="{across + 16}" y1="{down - 4}" y2="{down - 4}" stroke="{colour}" '
                f'stroke-width="3"/><text x="{across + 22}" y="{down}">{escape(name)}</text>'
            )
    return "".join([*parts, "</svg>"])


def _head(title: str, width: int, height: int, left: int, notes: Sequence[str], *, alone: bool) -> str:
    """The opening tag, the title and the notes; a file of its own brings name space, size, letters and paper along."""
    own = (
        f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" color="{_INK}" '
        'font-family="system-ui, sans-serif" '
    )
    paper = f'<rect width="{width}" height="{height}" fill="{_PAPER}"/>'
    foot = "".join(
        f'<text x="{left}" y="{height - 8 - 14 * i}" opacity=".75">{escape(note)}</text>'
        for i, note in enumerate(reversed(notes))
    )
    return (
        f'<svg {own if alone else ""}class="plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-size="11" fill="currentColor">{paper if alone else ""}'
        f'<text x="{left}" y="17" font-size="13" font-weight="600">{escape(title)}</text>{foot}'
    )


def _legend(names: Sequence[str], left: int, right: int) -> list[tuple[float, int]]:
    """Where each name's entry begins (x, baseline y): rows under the title, wrapped at `right`."""
    places: list[tuple[float, int]] = []
    across, down = float(left), 35
    for name in names:
        wide = 22 + _LETTER * len(name)
        if across > left and across + wide > right:
            across, down = float(left), down + 16
        places.append((round(across, 1), down))
        across += wide + 14
    return places
