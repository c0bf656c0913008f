"""A few images of every class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np


def few_per_class(labels: Mapping[str, Iterable[int]], number: int, seed: int) -> list[str]:
    """Draw images class by class, so that so many are drawn for each.

    Classes come in the order of their ids; an image already drawn for an earlier class is passed over, whatever it
    shows of this one. A class with fewer images gives what it has. What is drawn depends on the seed, the images and
    their labels alone.

    Args:
        labels: foreground classes of every image that may be drawn.
        number: images a class, 1 or more.
        seed: of the draw.

    Returns:
        The images drawn, sorted.

    Source: METHODS section 5; DASNet, section 4.1 (25, 10 and 5 images per class).
    """
    drawn: set[str] = set()
    classes = sorted({label for found in labels.values() for label in found})
    for label in classes:
        there = [name for name in sorted(labels) if label in labels[name] and name not in drawn]
        chosen = np.random.default_rng([seed, label]).permutation(len(there))[:number]
        drawn.update(there[k] for k in chosen)
    return sorted(drawn)
