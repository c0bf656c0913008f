"""Deep seeded region growing: labels spread from seeds to neighbours that the network is sure about.

Source: Huang et al., "Weakly-supervised semantic segmentation network with deep seeded region growing", 2018,
section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.errors import UsageError, WssError


def grow(
    seeds: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    classes: Sequence[int] | NDArray[np.int64],
    *,
    labels: Sequence[int] | None = None,
    theta_fg: float = 0.85,
    theta_bg: float = 0.99,
    original_quirks: bool = False,
) -> NDArray[np.uint8]:
    """Grow the seeds of one image: DSRG(S, H).

    A pixel u can take class c where P(u, c) holds: H[u, c] >= theta_c and c is the argmax of H[u, .] among the image's
    classes and the background; of equal probabilities the smallest class id wins. Starting from the seeds, every
    unlabelled 8-neighbour of a pixel of c with P(., c) takes c, until nothing changes. A labelled pixel keeps its
    label, a seed also where P is false.

    Args:
        seeds: uint8 (H, W); class ids, 255 = unlabelled. Seeds of a class that does not take part (not among `labels`,
            or without a row) stay and do not grow. No seeds at all: nothing grows.
        probabilities: float32 (K, H, W), H over the classes; finite; not renormalised.
        classes: class id of each row, all different, the background (0) among them.
        labels: the image's foreground class ids; None: every class that has a row. A label without a row counts as
            probability 0.
        theta_fg: threshold of the foreground classes; `inf`: they do not grow.
        theta_bg: threshold of the background; `inf`: it does not grow.
        original_quirks: reproduce the authors' layer instead: thresholds are strict (>), the background must pass both
            of them, a pixel sure of another class lends its place to that class's region although its own seed stays
            (so it connects that region, and does not seed its own).

    Returns:
        uint8 (H, W), a new array.

    Raises:
        WssError: when shapes or classes do not fit, or probabilities are not finite.
        UsageError: when a threshold is not a number of 0 or more.

    Source: Huang et al. 2018, section 3.3, equation 3.
    """
    rows = _check(seeds, probabilities, classes)
    for name, value in (("theta_fg", theta_fg), ("theta_bg", theta_bg)):
        if not value >= 0:
            raise UsageError(f"grow: {name} is {value}; give a probability (0.85, 0.99 are usual) or inf")
    if labels is not None:
        rows = {c: rows[c] for c in {BACKGROUND, *labels} if c in rows}

    best, winner = _argmax(probabilities, rows)
    if original_quirks:
        sure = best > theta_fg
        sure &= (winner != BACKGROUND) | (best > theta_bg)
        free = sure  # sure pixels change sides in the region map even where they are seeds
    else:
        sure = np.where(winner, best >= np.float32(theta_fg), best >= np.float32(theta_bg))
        free = sure & (seeds == IGNORE)

    # region = c on S_c and on the unlabelled pixels with P(., c): what can be or become c. One map holds all classes
    # because these sets are disjoint: a pixel has one label, or none and one argmax. That is also why the order in
    # which classes visit does not matter: a pixel c may take can be taken by no other class, whoever comes first.
    region = np.where(free, winner, seeds)

    # Visiting from S_c reaches exactly the pixels with an 8-connected path inside that set to a pixel of S_c, that is
    # the components holding one. All classes go into one call, one below the other with an empty line between.
    height, width = seeds.shape
    ids = np.array(list(rows), np.uint8)[:, None, None]  # (C,1,1)
    inside = np.zeros((len(rows), height + 1, width), bool)
    np.equal(region, ids, out=inside[:, :height])
    flat = inside.reshape(-1, width).view(np.uint8)  # (C (H + 1), W)
    n, component = cv2.connectedComponents(flat, connectivity=8, ltype=cv2.CV_32S)
    component = component.reshape(inside.shape)[:, :height]  # (C,H,W)
    reached = np.zeros(n, bool)
    reached[component[ids == seeds]] = True
    reached[0] = False  # component 0 is what lies outside
    taken = reached[component].any(0) & (seeds == IGNORE)
    return np.where(taken, region, seeds)


def _argmax(probabilities: NDArray[np.float32], rows: dict[int, int]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The largest probability (H, W) and its class id (H, W); the smallest id of equal ones."""
    ids = sorted(rows)
    best = probabilities[rows[ids[0]]].astype(np.float32)
    winner = np.full(best.shape, ids[0], np.uint8)
    for c in ids[1:]:  # row by row: the rows that take part need not be copied out of the others
        row = probabilities[rows[c]]
        winner[row > best] = c
        np.maximum(best, row, out=best)
    return best, winner


def _check(
    seeds: NDArray[np.uint8], probabilities: NDArray[np.float32], classes: Sequence[int] | NDArray[np.int64]
) -> dict[int, int]:
    """Row number of each class."""
    if seeds.ndim != 2 or seeds.dtype != np.uint8:
        raise WssError(f"grow: seeds are {seeds.dtype} {seeds.shape}; they must be uint8 (H, W)")
    if probabilities.ndim != 3 or probabilities.shape[1:] != seeds.shape:
        raise WssError(
            f"grow: probabilities of shape {probabilities.shape} for seeds of {seeds.shape[0]} x {seeds.shape[1]}; "
            "they must be (classes, H, W) of the seeds' size"
        )
    ids = [int(c) for c in classes]
    if len(ids) != len(probabilities) or len(set(ids)) != len(ids):
        raise WssError(
            f"grow: {len(probabilities)} rows of probabilities for the classes {ids}; one row for each class"
        )
    if BACKGROUND not in ids:
        raise WssError(
            f"grow: the probabilities have no row for the background, only for {ids}; class maps need one made"
        )
    if not np.isfinite(probabilities).all():
        raise WssError("grow: the probabilities hold NaN or infinity; make the scores again")
    return {c: row for row, c in enumerate(ids)}
