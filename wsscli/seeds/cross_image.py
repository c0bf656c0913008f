"""Which candidates of a class look like those of its other images: distances between images, and the half kept.

Nothing here holds the features of more than one image: a data set's candidates go by twice, once for the principal
components, once for the sums of each class. From these sums the distance of a candidate costs the same however many
candidates the other images have.

Source: Wei et al., "Learning to segment with image-level annotations", Pattern Recognition 2016, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import UsageError, WssError

Rows = NDArray[np.floating]
Vector = NDArray[np.float64]
Keep = Literal["nearest", "farthest"]


def check_options(*, energy: float = 0.98, share: float = 0.5) -> None:
    """Raises UsageError for a value out of range."""
    for name, value in (("--pca-energy", energy), ("--keep-share", share)):
        if not 0 < value <= 1:
            raise UsageError(f"{name} {value:g}: give a number above 0 and at most 1")


class Moments:
    """Count, mean and covariance of feature vectors that come in parts; memory is D x D, however many come.

    Attributes:
        count: the vectors so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._shift: NDArray[np.float32] | None = None  # near the mean, so that squares lose no digits
        self._sum: Vector | None = None
        self._squares: Vector | None = None

    def add(self, rows: Rows) -> None:
        """Add vectors (n,D); n may be 0.

        Raises:
            WssError: a value is NaN or infinite.
        """
        if not np.isfinite(rows).all():
            raise WssError("cross-image: a feature is NaN or infinite; the model has diverged, train it again")
        if not len(rows):
            return
        if self._shift is None or self._sum is None or self._squares is None:
            self._shift = rows.mean(0, dtype=np.float64).astype(np.float32)
            self._sum = np.zeros(rows.shape[1])
            self._squares = np.zeros((rows.shape[1], rows.shape[1]))
        moved = np.asarray(rows, np.float32) - self._shift
        self.count += len(rows)
        self._sum += moved.sum(0, dtype=np.float64)
        self._squares += moved.T @ moved  # float32 within an image, float64 between images

    def basis(self, energy: float = 0.98) -> Basis:
        """The principal components that hold a share of the variance, as few as do.

        Args:
            energy: that share, in (0, 1].

        Raises:
            UsageError: `energy` is out of its range.
            WssError: there are no vectors.

        Source: Wei et al. 2016, section 3.2 (98% of the energy).
        """
        check_options(energy=energy)
        if self._shift is None or self._sum is None or self._squares is None:
            raise WssError("cross-image: no candidates, so no principal components")
        mean = self._sum / self.count
        covariance = self._squares / self.count - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)  # ascending
        held = np.cumsum(values[::-1].clip(0))
        # all of it would be lost to rounding in the last digits of the sum
        many = int(np.searchsorted(held, energy * held[-1] * (1 - 1e-12))) + 1
        return Basis(mean + self._shift, np.ascontiguousarray(vectors[:, ::-1][:, : min(many, len(values))]))


class Basis(NamedTuple):
    """Principal components."""

    mean: Vector
    """(D,)"""
    vectors: Vector
    """(D,d), orthonormal columns, by descending variance."""

    def project(self, rows: Rows) -> Vector:
        """Coordinates (n,d) of vectors (n,D)."""
        return (rows - self.mean) @ self.vectors


class ClassSums:
    """What the distance of equation 1 needs to know of a class's images: two sums over them.

    With m_i the mean of the candidates of image i and s_i the mean of their squared lengths, the mean squared distance
    of x to them is |x|^2 - 2 x.m_i + s_i, which sums over the images as it stands.

    Attributes:
        images: how many images were added.
    """

    def __init__(self) -> None:
        self.images = 0
        self._means: Vector | None = None  # sum over the images of m_i, (d,)
        self._squares = 0.0  # of s_i

    def add(self, rows: Vector) -> None:
        """Add the candidates (n,d) of one image, n at least 1."""
        self.images += 1
        self._means = rows.mean(0) + (0 if self._means is None else self._means)
        self._squares += _mean_square(rows)

    def distances(self, rows: Vector) -> Vector:
        """Distance of each candidate of an image to the candidates of the class's other images.

        Args:
            rows: (n,d), all candidates of one image, as they were added.

        Returns:
            (n,) >= 0: the mean over the other images of the mean squared distance to their candidates.

        Raises:
            WssError: there is no other image.

        Source: Wei et al. 2016, equation 1.
        """
        if self._means is None or self.images < 2:
            raise WssError(
                f"cross-image: {self.images} image{'' if self.images == 1 else 's'} of the class, so there is no other "
                "to compare with; keep all of its candidates"
            )
        others = self.images - 1
        means = (self._means - rows.mean(0)) / others
        squares = (self._squares - _mean_square(rows)) / others
        found: Vector = np.einsum("nd,nd->n", rows, rows) - 2 * rows @ means + squares  # equation 1
        return found.clip(0)


def kept(distances: Vector, *, keep: Keep = "nearest", share: float = 0.5) -> NDArray[np.int64]:
    """Which candidates of an image stay.

    Args:
        distances: (n,), of the best ranked candidate first.
        keep: `nearest` those that are most like the other images' candidates, `farthest` those that are least.
        share: of n, rounded up.

    Returns:
        (ceil(share x n),) indices, ascending. Of equal distances the better ranked stays.

    Raises:
        UsageError: `share` is out of its range.

    Source: Wei et al. 2016, section 3.2: the top half.
    Differs: the paper ranks in DESCENDING order of distance, though it argues that proposals which hold an object
        tightly resemble each other; `nearest` follows the argument, `farthest` the word.
    """
    check_options(share=share)
    order = np.argsort(distances if keep == "nearest" else -distances, kind="stable")
    # 0.1 x 10 is a little more than 1
    return np.sort(order[: math.ceil(share * len(distances) - 1e-9)])


def _mean_square(rows: Vector) -> float:
    return float(np.einsum("nd,nd->", rows, rows)) / len(rows)


def in_memory(images: Sequence[Rows], *, energy: float = 0.98) -> list[Vector]:
    """Equation 1 for the candidates of one class that are all at hand.

    Args:
        images: for each image its candidates (n_i,D), n_i at least 1.
        energy: share of the variance that the principal components hold.

    Returns:
        The distances (n_i,) of each image's candidates.
    """
    moments = Moments()
    for rows in images:
        moments.add(rows)
    basis, sums = moments.basis(energy), ClassSums()
    for rows in images:
        sums.add(basis.project(rows))
    return [sums.distances(basis.project(rows)) for rows in images]
