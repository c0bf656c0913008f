"""From scored proposals to localization maps and rough masks.

Source: Wei et al., "Learning to segment with image-level annotations", Pattern Recognition 2016, sections 3.1 and 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsscli.classes import BACKGROUND
from wsscli.errors import UsageError, WssError

Ranks = NDArray[np.int64]
"""Which of an image's proposals, ascending: proposals are numbered by rank, best first."""


class Regions(Protocol):
    """What is asked of an image's proposals, n of them, over an image of H x W."""

    @property
    def size(self) -> tuple[int, int]: ...

    def __len__(self) -> int: ...

    def coverage(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(H,W): at each pixel the sum of the weights (n,) of the proposals that cover it."""
        ...

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,): the mean of a map (H,W) over each proposal."""
        ...


class Selection(NamedTuple):
    """The candidates of one class in one image."""

    rows: Ranks
    fell_back: bool
    """No eligible proposal's score was high enough, so the best one is the candidate."""


def check_options(*, threshold: float = 0.5, joined: int = 100, min_area: float = 0.02) -> None:
    """Raises UsageError for a value out of range."""
    for name, value in (("--min-score", threshold), ("--min-area", min_area)):
        if not 0 <= value < 1:
            raise UsageError(f"{name} {value:g}: give a number from 0 to below 1")
    if joined < 1:
        raise UsageError(f"--joined {joined}: give 1 or more")


def select(
    scores: NDArray[np.floating], threshold: float = 0.5, eligible: NDArray[np.bool_] | None = None
) -> Selection:
    """The proposals that are candidates of a class.

    Args:
        scores: (n,) in [0, 1], the class's score of each proposal, best ranked first.
        threshold: candidates score more.
        eligible: (n,), False where a proposal is no candidate whatever its score; all are when left out.

    Returns:
        The candidates; where there is none the eligible proposal of the highest score (of equal ones the better
        ranked), where none is eligible the one of the highest score, and nothing of no proposals.

    Raises:
        UsageError: `threshold` is out of its range.
        WssError: a score is NaN.

    Source: Wei et al. 2016, section 3.1.
    Differs: the paper says nothing of an image without a candidate, and takes regions of any size.
    """
    check_options(threshold=threshold)
    if np.isnan(scores).any():
        raise WssError("hypotheses: a score is NaN; the model has diverged, train it again")
    if eligible is None:
        eligible = np.ones(len(scores), bool)
    rows = np.flatnonzero((scores > threshold) & eligible)
    if len(rows):
        return Selection(rows, False)
    if eligible.any():
        scores = np.where(eligible, scores, -1)
    return Selection(np.array([np.argmax(scores)] if len(scores) else [], np.int64), True)


def localization_maps(regions: Regions, candidates: Sequence[Ranks], *, normalise: bool = True) -> NDArray[np.float32]:
    """Of how many of a class's candidates each pixel is part.

    Args:
        regions: the image's proposals.
        candidates: for each of the image's classes its (refined) candidates.
        normalise: divide the map of each class by its maximum.

    Returns:
        (1+K,H,W) in [0, 1], background first: the share of each class's candidates that cover the pixel (0 where a
        class has none), of the largest share in the image if `normalise`; and of background what is left of 1.
        Classes can sum to more than 1, since a pixel may be part of candidates of several.

    Source: Wei et al. 2016, section 3.3.1, equation 2 (`normalise` False).
    Differs: by `normalise`. Without it a class holds a pixel against the background only where half of all its
        candidates meet, which they rarely do when most of them are parts of the object.
    """
    maps = np.zeros((1 + len(candidates), *regions.size), np.float32)
    for p, rows in zip(maps[1:], candidates, strict=True):
        if len(rows):
            p[:] = _cover(regions, rows) / len(rows)
            if normalise:
                p /= p.max()
    maps[0] = np.maximum(0, 1 - maps[1:].sum(0))
    return maps


def rough_mask(
    regions: Regions,
    scores: NDArray[np.floating],
    maps: NDArray[np.float32],
    classes: Sequence[int],
    candidates: Sequence[Ranks],
    *,
    joined: int = 100,
) -> NDArray[np.uint8]:
    """A label for every pixel: for each class its best candidates, joined.

    A candidate is as good as its score and the mean of the class's localization map in it, added.

    Args:
        regions: the image's proposals, n of them.
        scores: (n,K) in [0, 1], of each of the image's classes.
        maps: (1+K,H,W), its localization maps.
        classes: (K,) class ids.
        candidates: for each class the proposals among which to choose.
        joined: how many are joined, 1 or more.

    Returns:
        (H,W) class ids; where regions of several classes meet, that of the larger localization map (of equal ones the
        class that comes first); background where none is. No 255.

    Raises:
        UsageError: `joined` is out of its range.

    Source: Wei et al. 2016, section 3.3.2, equation 5; there 10 are joined.
    """
    check_options(joined=joined)
    labels = np.full(regions.size, BACKGROUND, np.uint8)
    largest = np.full(regions.size, -1.0, np.float32)
    for c, s, p, rows in zip(classes, scores.T, maps[1:], candidates, strict=True):
        if not len(rows):
            continue
        confidence = (s + regions.means(p))[rows]  # equation 5
        best = rows[np.argsort(-confidence, kind="stable")[:joined]]
        wins = (_cover(regions, best) > 0) & (p > largest)
        labels[wins], largest[wins] = c, p[wins]
    return labels


def _cover(regions: Regions, rows: Ranks) -> NDArray[np.float64]:
    """(H,W): how many of these proposals cover each pixel."""
    weights = np.zeros(len(regions))
    weights[rows] = 1
    return regions.coverage(weights)
