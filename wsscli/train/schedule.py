"""Learning-rate schedules as functions of the iteration: nothing to save, nothing to restore."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["one-cycle", "poly", "step", "constant"]


def one_cycle(iteration: int, total: int, *, warm: float = 0.25, start: float = 1 / 25, end: float = 1e-4) -> float:
    """Cosine up from `start` to 1 over the first `warm` share of the iterations, then cosine down to `end`.

    Args:
        iteration: 0-based, below `total`.
        total: iterations of the whole training.
        warm: share of the iterations that the way up takes.
        start, end: the first and the last factor.

    Returns:
        What the base learning rate is multiplied by.

    Source: Smith and Topin, Super-Convergence (2018), in torch's cosine form.
    Differs: momentum stays as it is.
    """
    peak = warm * total - 1
    last = total - 1
    if iteration <= peak:
        return _cosine(start, 1.0, iteration / peak) if peak > 0 else 1.0
    return _cosine(1.0, start * end, (iteration - peak) / (last - peak))


def _cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def poly(iteration: int, total: int, *, power: float = 0.9) -> float:
    """(1 - iteration / total) ** power. Source: DeepLab v2, section 4.1."""
    return float((1 - iteration / total) ** power)


def step(iteration: int, *, every: int, factor: float) -> float:
    """`factor` to the power of how many times `every` iterations have passed."""
    return float(factor ** (iteration // every))


def rate(schedule: Schedule, iteration: int, total: int, *, every: int = 2000, factor: float = 0.1) -> float:
    """The factor of the named schedule at an iteration; `every` and `factor` belong to `step`."""
    if schedule == "one-cycle":
        return one_cycle(iteration, total)
    if schedule == "poly":
        return poly(iteration, total)
    if schedule == "step":
        return step(iteration, every=every, factor=factor)
    return 1.0
