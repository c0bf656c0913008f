"""Grounds and surfaces for the generated set: value noise, grass, sand, wood, water, sky, stone."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rng = np.random.Generator


def noise(x: Floats, y: Floats, rng: Rng, octaves: int = 1) -> Floats:
    """Smooth noise in [0, 1] at any coordinates: a random lattice of period 64, one knot a unit.

    Args:
        x, y: coordinates, equal shapes.
        rng: draws the lattice.
        octaves: layers, each of twice the frequency and half the weight.
    """
    total, weight = np.zeros(np.broadcast(x, y).shape), 0.0
    for octave in range(octaves):
        knots = rng.random((64, 64))
        u, v = x * 2**octave, y * 2**octave
        i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
        fu, fv = u - i, v - j
        fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)  # smoothstep: no creases at the knots
        i0, i1, j0, j1 = i % 64, (i + 1) % 64, j % 64, (j + 1) % 64
        top = knots[j0, i0] * (1 - fu) + knots[j0, i1] * fu
        bottom = knots[j1, i0] * (1 - fu) + knots[j1, i1] * fu
        total += (top * (1 - fv) + bottom * fv) * 0.5**octave
        weight += 0.5**octave
    return total / weight


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """0 below `low`, 1 above `high`, a smooth ramp between (`low` may be the larger one: the ramp falls)."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def hsv(hue: float, saturation: float, value: float) -> Floats:
    """One colour, RGB in [0, 1], shape (3,)."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0), 1), min(max(value, 0), 1)))


def mix(low: Floats, high: Floats, share: Floats) -> Floats:
    """Colours (..., 3): `low` where share (...) is 0, `high` where it is 1."""
    return low + (high - low) * share[..., None]


def _grass(x: Floats, y: Floats, rng: Rng) -> Floats:
    bend = noise(x / 25, y / 25, rng) * 9
    blades = noise(x / 2.2 + bend, y / 9, rng, 2)
    patches = noise(x / 40, y / 40, rng, 2)
    colour = mix(hsv(0.27, 0.75, 0.2), hsv(0.24, 0.6, 0.62), blades)
    return mix(colour, hsv(0.17, 0.5, 0.6), 0.45 * smoothstep(0.45, 0.8, patches))


def _sand(x: Floats, y: Floats, rng: Rng) -> Floats:
    ripples = 0.5 + 0.5 * np.sin((y + 14 * noise(x / 45, y / 30, rng, 2)) / 3.2)
    grain = noise(x / 1.3, y / 1.3, rng)
    return mix(hsv(0.1, 0.45, 0.58), hsv(0.12, 0.3, 0.9), 0.55 * ripples + 0.45 * grain)


def _wood(x: Floats, y: Floats, rng: Rng) -> Floats:
    board = np.floor(y / 44)
    shift = board * 37.0
    rings = noise((x + shift) / 70, y / 9 + board * 5, rng, 3) * 9
    grain = noise((x + shift) / 28, y / 1.5, rng)
    colour = mix(hsv(0.07, 0.6, 0.36), hsv(0.08, 0.5, 0.68), 0.65 * (rings % 1.0) + 0.35 * grain)
    edge = np.minimum(y % 44, 44 - y % 44)
    return colour * (0.35 + 0.65 * smoothstep(0.2, 1.6, edge))[..., None]


def _water(x: Floats, y: Floats, rng: Rng) -> Floats:
    swell = noise(x / 26, y / 9, rng, 3)
    glints = smoothstep(0.58, 0.72, noise(x / 13 + 2 * swell, y / 3.5, rng, 2))
    return mix(mix(hsv(0.56, 0.85, 0.28), hsv(0.51, 0.6, 0.66), swell), hsv(0.5, 0.12, 0.95), 0.55 * glints)


def _sky(x: Floats, y: Floats, rng: Rng) -> Floats:
    height = y / max(float(y.max()), 1.0)
    clouds = smoothstep(0.45, 0.75, noise(x / 60, y / 30, rng, 4))
    return mix(mix(hsv(0.6, 0.6, 0.75), hsv(0.56, 0.25, 0.95), height), hsv(0.1, 0.03, 0.98), clouds)


def _stone(x: Floats, y: Floats, rng: Rng) -> Floats:
    row = np.floor(y / 24)
    column = np.floor((x + (row % 2) * 21) / 42)
    tone = noise(column * 7.3 + 0.5, row * 3.7 + 0.5, rng)
    grit = noise(x / 3, y / 3, rng, 3)
    colour = mix(hsv(0.06, 0.2, 0.34), hsv(0.08, 0.18, 0.66), 0.5 * tone + 0.5 * grit)
    edge = np.minimum(21 - np.abs((x + (row % 2) * 21) % 42 - 21), 12 - np.abs(y % 24 - 12))
    joint = smoothstep(2.0, 0.8, edge + 1.6 * (grit - 0.5))
    return mix(colour, hsv(0.09, 0.12, 0.72), joint)


GROUNDS: dict[str, Callable[[Floats, Floats, Rng], Floats]] = {
    "grass": _grass,
    "sand": _sand,
    "wood": _wood,
    "water": _water,
    "sky": _sky,
    "stone": _stone,
}


def ground(kind: str, height: int, width: int, rng: Rng) -> Floats:
    """A textured ground, RGB in [0, 1], float64 (height, width, 3), at a random scale, turn and brightness."""
    scale = 192 / height * rng.uniform(0.8, 1.3)
    turn = rng.uniform(-0.25, 0.25)
    y, x = np.mgrid[0:height, 0:width] * scale
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    colour = GROUNDS[kind](x + rng.uniform(0, 60), y + rng.uniform(0, 60), rng)
    tint = rng.normal(1.0, 0.06, 3)
    light = 1 + 0.25 * (noise(x / 160, y / 160, rng) - 0.5)
    return np.clip(colour * tint * light[..., None] * rng.uniform(0.85, 1.1), 0, 1)
