"""The things of the generated set: an outline and a surface each, in their own coordinates.

Every thing is defined by its shape and its texture; colours are drawn at random, so colour tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from wsscli.data.textures import Floats, Rng, hsv, mix, noise, smoothstep


class Paint(NamedTuple):
    """Two colours of a thing, RGB in [0, 1]."""

    base: Floats
    second: Floats


class Thing(NamedTuple):
    """outline(u, v) < 0 inside, about the distance in radii; surface(u, v, paint, rng) -> RGB (..., 3)."""

    outline: Callable[[Floats, Floats], Floats]
    surface: Callable[[Floats, Floats, Paint, Rng], Floats]


LIGHT = np.array([-0.45, -0.6, 0.66])


def _ball_outline(u: Floats, v: Floats) -> Floats:
    return np.hypot(u, v) - 0.95


def _ball_surface(u: Floats, v: Floats, paint: Paint, rng: Rng) -> Floats:
    """A beach ball: six coloured panels that meet in a pole, white ones between."""
    u, v = u / 0.95, v / 0.95
    depth = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    pole = np.array([rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), 0.0])
    pole[2] = np.sqrt(1 - pole[0] ** 2 - pole[1] ** 2)
    side = np.cross(pole, [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(pole, side)
    up, a, b = (u * axis[0] + v * axis[1] + depth * axis[2] for axis in (pole, side, other))
    panel = np.arctan2(b, a) / (2 * np.pi) * 10
    stripe = smoothstep(-0.12, 0.12, np.sin(panel * np.pi))
    cap = smoothstep(0.965, 0.975, up)
    colour = mix(mix(paint.base, np.array([0.95, 0.94, 0.9]), stripe), paint.second, cap)
    lambert = np.clip(u * LIGHT[0] + v * LIGHT[1] + depth * LIGHT[2], 0, 1)
    shine = np.clip(lambert, 0, 1) ** 30
    lit: Floats = colour * (0.38 + 0.7 * lambert)[..., None] + 0.55 * shine[..., None]
    return lit


def _crate_outline(u: Floats, v: Floats) -> Floats:
    return np.maximum(np.abs(u) - 0.9, np.abs(v) - 0.72) + 0.02 * np.sin(9 * u) * np.sin(7 * v)


def _crate_surface(u: Floats, v: Floats, paint: Paint, rng: Rng) -> Floats:
    """A wooden crate: planks, a frame around them and a brace across, nails in the corners."""
    plank = (v + 0.72) / 0.288
    grain = noise(u * 3 + np.floor(plank) * 9.0, v * 30, rng, 2)
    tone = 0.72 + 0.2 * ((np.floor(plank) * 2.3) % 1.0) + 0.28 * (grain - 0.5)
    gap = smoothstep(0.0, 0.14, np.minimum(plank % 1, 1 - plank % 1))
    colour = paint.base * (tone * (0.3 + 0.7 * gap))[..., None]
    slope = 0.72 / 0.9
    across = np.abs(v - u * slope) / np.hypot(1, slope)
    frame = np.minimum(0.9 - np.abs(u), 0.72 - np.abs(v))
    rail = np.minimum(frame - 0.17, across - 0.11)  # < 0 on the frame and on the brace
    wood = paint.base * 1.12 * (0.85 + 0.35 * (noise(u * 22, v * 22, rng, 2) - 0.5))[..., None]
    colour = mix(colour, wood, smoothstep(0.012, -0.012, rail))
    colour *= (1 - 0.6 * smoothstep(0.035, 0.0, np.abs(rail - 0.015)))[..., None]
    nails = np.hypot(np.abs(u) - 0.81, np.abs(v) - 0.63)
    colour = mix(colour, np.array([0.12, 0.12, 0.13]), smoothstep(0.05, 0.03, nails))
    return colour * (1.0 - 0.14 * u - 0.2 * v)[..., None]


def _fish_outline(u: Floats, v: Floats) -> Floats:
    body = np.hypot((u + 0.14) / 0.76, v / (0.44 - 0.06 * (u + 0.14))) - 1
    across = np.abs(v) / np.clip(0.10 + 0.95 * (u - 0.48), 0.02, None)
    tail = np.maximum(np.maximum(across - 1, 0.48 - u), u - (0.88 + 0.22 * np.abs(v)))
    fin = np.maximum(np.maximum(-v - 0.66 + 0.35 * (u + 0.3), v + 0.2), np.abs(u + 0.08) - 0.36)
    return np.minimum(np.minimum(body * 0.5, tail * 0.5), fin)


def _fish_surface(u: Floats, v: Floats, paint: Paint, rng: Rng) -> Floats:
    """A fish: rows of scales, a pale belly, rays in tail and fin, an eye."""
    row = np.floor(u / 0.115)
    scale_v = (v / 0.15 + 0.5 * (row % 2)) % 1 - 0.5
    scale_u = (u / 0.115) % 1
    rim = np.hypot(scale_v * 1.15, 1 - scale_u)
    scales = smoothstep(0.52, 0.72, rim) * smoothstep(1.15, 0.8, rim)
    colour = mix(paint.base, paint.base * 0.38, scales)
    colour = mix(colour, np.array([0.95, 0.93, 0.86]), 0.6 * smoothstep(0.08, 0.4, v))
    head = smoothstep(-0.5, -0.54, u + 0.25 * v * v)
    colour = mix(colour, paint.second, 0.85 * head)
    body = np.hypot((u + 0.14) / 0.76, v / 0.44)
    rays = 0.5 + 0.5 * np.sin(np.arctan2(v, u - 0.28) * 26)
    fins = mix(paint.second * 0.55, paint.second * 1.1, np.where(u > 0.45, rays, 0.5 + 0.5 * np.sin(u * 55)))
    colour = mix(colour, fins, smoothstep(0.97, 1.03, body))
    eye = np.hypot(u + 0.66, v + 0.1)
    colour = mix(colour, np.array([0.98, 0.98, 0.95]), smoothstep(0.095, 0.08, eye))
    colour = mix(colour, np.array([0.04, 0.04, 0.06]), smoothstep(0.058, 0.045, eye))
    shade = 1.12 - 0.45 * np.clip(body, 0, 1) ** 3 - 0.15 * v
    return colour * (shade * (1 + 0.12 * (noise(u * 9, v * 9, rng, 2) - 0.5)))[..., None]


def _star_reach(angle: Floats) -> Floats:
    return 0.34 + 0.64 * ((1 + np.cos(5 * angle)) / 2) ** 1.25


def _star_outline(u: Floats, v: Floats) -> Floats:
    return (np.hypot(u, v) - _star_reach(np.arctan2(v, u))) * 0.6


def _star_surface(u: Floats, v: Floats, paint: Paint, rng: Rng) -> Floats:
    """A starfish: five round arms with a row of pale knobs on each, small dots between."""
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    arm = (angle * 5 / (2 * np.pi) + 0.5) % 1 - 0.5
    off = radius * np.sin(arm * 2 * np.pi / 5)  # distance from the arm's axis
    along = radius * np.cos(arm * 2 * np.pi / 5)
    width = np.clip(0.3 * (1.05 - radius), 0.04, None)
    ridge = np.sqrt(np.clip(1 - (off / (width + 0.1)) ** 2, 0, 1))
    colour = paint.base * (0.5 + 0.6 * ridge)[..., None]
    dots = noise(u * 17, v * 17, rng)
    colour = mix(colour, paint.base * 0.35, 0.7 * smoothstep(0.6, 0.8, dots))
    knob = np.hypot(off, ((along / 0.135) % 1 - 0.5) * 0.135)
    colour = mix(colour, mix(paint.second, np.ones(3), np.array(0.55)), smoothstep(0.055, 0.035, knob))
    ring = np.hypot((np.abs(off) - 0.11), ((along / 0.11) % 1 - 0.5) * 0.11)
    colour = mix(colour, paint.second, smoothstep(0.035, 0.02, ring) * (radius < 0.55))
    return colour * (1.05 - 0.16 * u - 0.22 * v)[..., None]


THINGS: dict[str, Thing] = {
    "ball": Thing(_ball_outline, _ball_surface),
    "crate": Thing(_crate_outline, _crate_surface),
    "fish": Thing(_fish_outline, _fish_surface),
    "starfish": Thing(_star_outline, _star_surface),
}


def draw_paint(rng: Rng, ground: Floats) -> Paint:
    """Colours for a thing that stand off the ground's mean colour (3,)."""
    for _ in range(20):
        hue = rng.random()
        base = hsv(hue, rng.uniform(0.35, 0.9), rng.uniform(0.5, 0.95))
        if np.abs(base - ground).sum() > 0.5:
            break
    return Paint(base, hsv(hue + rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.9), rng.uniform(0.5, 0.95)))
