"""Guided filter with a colour guide: maps take over the edges of the photo, compiled with numba and free of the GIL.

In every square window the map is fitted by a linear function of the three colours; a pixel's result is the mean of
what the fits of all windows around it say of its colour. `wsscli.refine.guided_layer` is the same with gradients.

Source: He, Sun and Tang, "Guided Image Filtering", TPAMI 2013, equations 19-21.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import UsageError, WssError
from wsscli.refine.compiled import compiled

LEAST_EPS = 1e-10  # below, rounding in float64 is no longer small beside it


def guided_filter(
    guide: NDArray[Any],
    maps: NDArray[Any],
    *,
    window: int = 35,
    eps: float = 1e-6,
    iterations: int = 1,
    workers: int = 1,
) -> NDArray[np.float32]:
    """Filter maps with a colour image as guide, each map for itself.

    Computed in float64: with an eps of 1e-6 a window's covariance is inverted up to a factor of 1e6 (always so on a
    grey photo, whose three channels are one), and float32 sums would come out as noise. The result of a map does not
    depend on the other maps or on `workers`. The filter is linear in the map, and maps that sum to 1 still do; a
    map in [0, 1] may overshoot at edges.

    Args:
        guide: (H, W, 3) RGB, uint8, or float in [0, 1].
        maps: float (K, H, W) or (H, W), finite, any range. K may be 0.
        window: side of the square window, pixels, odd; cut off at the image's borders. Any larger than twice the
            image is the image.
        eps: regularisation, for colours in [0, 1]: what a window's colour variance is measured against.
        iterations: times the filter is applied, each output the next input; 0 returns the maps.
        workers: threads over the maps.

    Returns:
        float32, of the shape of `maps`.

    Raises:
        WssError: the arrays do not fit, or are not finite.
        UsageError: an option is out of range.

    Source: He et al. 2013, equations 19-21; window and eps of Ke and Hsu, "Generating Self-Guided Dense Annotations",
        section 4.1, iterations of its section 4.2.
    """
    check_options(window=window, eps=eps, iterations=iterations)
    if workers < 1:
        raise UsageError(f"guided filter: {workers} workers; take 1 or more")
    _check(guide, maps)
    prepared = Guide.of(guide, window=window, eps=eps)
    stack = maps.reshape(-1, *guide.shape[:2])  # (K, H, W)
    out = np.empty(stack.shape, np.float32)

    def one(k: int) -> None:
        out[k] = prepared.filter(stack[k], iterations)

    if workers == 1 or len(stack) < 2:
        for k in range(len(stack)):
            one(k)
    else:
        with ThreadPoolExecutor(min(workers, len(stack))) as pool:
            list(pool.map(one, range(len(stack))))
    return out.reshape(maps.shape)


def check_options(*, window: int, eps: float, iterations: int) -> None:
    """Say what is wrong with the options of the guided filter before any image is read.

    Raises:
        UsageError: a parameter out of range.
    """
    if window < 3 or window % 2 == 0:
        raise UsageError(f"guided filter: a window of {window}; take an odd number of pixels, 3 or more (35 is usual)")
    if not LEAST_EPS <= eps < np.inf:
        raise UsageError(f"guided filter: eps is {eps}; take {LEAST_EPS:g} or more (1e-6 is usual)")
    if iterations < 0:
        raise UsageError(f"guided filter: {iterations} iterations; take 0 or more (15 is usual)")


@dataclass(frozen=True)
class Guide:
    """What depends on the image alone; built once, for any number of maps and iterations.

    Any number of threads may filter with one object: it is never written to after `of`.
    """

    image: NDArray[np.float64]  # (3, H, W): colours in [0, 1]
    mean: NDArray[np.float64]  # (3, H, W): of the window around each pixel
    factors: NDArray[np.float64]  # (6, H, W): L D L^T of its covariance + eps: l10, l20, l21, 1/d0, 1/d1, 1/d2
    share: NDArray[np.float64]  # (W,): 1 / the columns of the window around each column
    radius: int

    @classmethod
    def of(cls, image: NDArray[Any], *, window: int, eps: float) -> Guide:
        """Means and factorised covariances of all windows; arguments as in `guided_filter`, unchecked."""
        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float64)  # (3, H, W)
        if image.dtype == np.uint8:
            planes /= 255
        _, height, width = planes.shape
        radius = min(window // 2, max(height, width))  # a larger one reaches no further
        x = np.arange(width)
        share = 1 / (np.minimum(x + radius, width - 1) - np.maximum(x - radius, 0) + 1)
        mean, factors = np.empty_like(planes), np.empty((6, height, width))
        _describe(planes, radius, float(eps), share, mean, factors)
        return cls(planes, mean, factors, share, radius)

    def filter(self, values: NDArray[Any], iterations: int = 1) -> NDArray[np.float64]:
        """The filtered map, float64 (H, W).

        Args:
            values: float (H, W), finite.
            iterations: times the filter is applied.
        """
        source = values.astype(np.float64)
        target = np.empty_like(source)
        for _ in range(iterations):
            _filter(self.image, self.mean, self.factors, self.share, self.radius, source, target)
            source, target = target, source
        return source


def _check(guide: NDArray[Any], maps: NDArray[Any]) -> None:
    floating = np.issubdtype(guide.dtype, np.floating)
    if guide.ndim != 3 or guide.shape[2] != 3 or 0 in guide.shape or not (floating or guide.dtype == np.uint8):
        raise WssError(
            f"guided filter: the guide is {guide.dtype} {guide.shape}; it must be uint8 (H, W, 3), or float in [0, 1]"
        )
    if floating and not (guide.min() >= 0 and guide.max() <= 1):
        raise WssError(
            f"guided filter: the guide holds values from {guide.min():g} to {guide.max():g}; a float guide lies in "
            "[0, 1], as eps is meant for it"
        )
    if maps.ndim not in (2, 3) or maps.shape[-2:] != guide.shape[:2]:
        raise WssError(
            f"guided filter: maps of shape {maps.shape} on a guide of {guide.shape[0]} x {guide.shape[1]}; they must "
            "be (K, H, W) or (H, W) of the guide's size"
        )
    if not np.isfinite(maps).all():
        raise WssError("guided filter: the maps hold NaN or infinity; make the scores again")


@compiled
def _along(columns, radius, out):  # type: ignore[no-untyped-def]
    """Running sums of four rows: out[k, x] = columns[k, x - radius .. x + radius].sum(), cut off at the borders."""
    width = columns.shape[1]
    a = 0.0  # four sums side by side: each waits for its own last addition only
    b = 0.0
    c = 0.0
    d = 0.0
    for x in range(min(radius, width)):
        a += columns[0, x]
        b += columns[1, x]
        c += columns[2, x]
        d += columns[3, x]
    for x in range(width):
        new = x + radius
        if new < width:
            a += columns[0, new]
            b += columns[1, new]
            c += columns[2, new]
            d += columns[3, new]
        old = x - radius - 1
        if old >= 0:
            a -= columns[0, old]
            b -= columns[1, old]
            c -= columns[2, old]
            d -= columns[3, old]
        out[0, x] = a
        out[1, x] = b
        out[2, x] = c
        out[3, x] = d


@compiled
def _describe(image, radius, eps, share, mean, factors):  # type: ignore[no-untyped-def]
    """Mean colour (3, H, W) and L D L^T factors (6, H, W) of covariance + eps of the window around each pixel."""
    _, height, width = image.shape
    columns = np.zeros((12, width))  # of the rows in reach: 3 colours, 6 products, 3 unused
    sums = np.empty((12, width))
    for y in range(-radius, height):
        for step in range(2):
            row = y + radius if step == 0 else y - radius - 1
            sign = 1.0 if step == 0 else -1.0
            if 0 <= row < height:
                product = 3
                for i in range(3):
                    for x in range(width):
                        columns[i, x] += sign * image[i, row, x]
                    for j in range(i, 3):
                        for x in range(width):
                            columns[product, x] += sign * image[i, row, x] * image[j, row, x]
                        product += 1
        if y < 0:
            continue
        for group in range(0, 12, 4):
            _along(columns[group : group + 4], radius, sums[group : group + 4])
        rows = min(y + radius, height - 1) - max(y - radius, 0) + 1
        for x in range(width):
            n = share[x] / rows
            r = sums[0, x] * n
            g = sums[1, x] * n
            b = sums[2, x] * n
            mean[0, y, x] = r
            mean[1, y, x] = g
            mean[2, y, x] = b
            rg = sums[4, x] * n - r * g
            rb = sums[5, x] * n - r * b
            gb = sums[7, x] * n - g * b
            # factors and not an inverse by determinants: those cancel where two colours go together
            d0 = sums[3, x] * n - r * r + eps
            l10 = rg / d0
            l20 = rb / d0
            d1 = sums[6, x] * n - g * g + eps - l10 * rg
            rest = gb - l20 * rg
            l21 = rest / d1
            d2 = sums[8, x] * n - b * b + eps - l20 * rb - l21 * rest
            factors[0, y, x] = l10
            factors[1, y, x] = l20
            factors[2, y, x] = l21
            factors[3, y, x] = 1.0 / d0
            factors[4, y, x] = 1.0 / d1
            factors[5, y, x] = 1.0 / d2


@compiled
def _filter(image, mean, factors, share, radius, values, out):  # type: ignore[no-untyped-def]
    """One pass over a map: the fits of the windows of a row, and `radius` rows behind it the result of a row."""
    _, height, width = image.shape
    ring = 2 * radius + 2  # rows of fits that are still needed: they stay in the processor's cache
    fits = np.empty((4, ring, width))  # a of the three colours, b
    columns = np.zeros((4, width))  # of the rows in reach: colours times value, value
    fit_columns = np.zeros((4, width))
    sums = np.empty((4, width))
    for y in range(-radius, height + radius):
        new = y + radius
        if new < height:
            for k in range(3):
                for x in range(width):
                    columns[k, x] += image[k, new, x] * values[new, x]
            for x in range(width):
                columns[3, x] += values[new, x]
        old = y - radius - 1
        if old >= 0 and y < height:
            for k in range(3):
                for x in range(width):
                    columns[k, x] -= image[k, old, x] * values[old, x]
            for x in range(width):
                columns[3, x] -= values[old, x]
        if 0 <= y < height:
            at = y % ring
            _along(columns, radius, sums)
            rows = min(y + radius, height - 1) - max(y - radius, 0) + 1
            for x in range(width):
                n = share[x] / rows
                p = sums[3, x] * n
                # a = (covariance + eps)^-1 cov(I, p), equation 19
                y0 = sums[0, x] * n - mean[0, y, x] * p
                y1 = sums[1, x] * n - mean[1, y, x] * p - factors[0, y, x] * y0
                y2 = sums[2, x] * n - mean[2, y, x] * p - factors[1, y, x] * y0 - factors[2, y, x] * y1
                a2 = y2 * factors[5, y, x]
                a1 = y1 * factors[4, y, x] - factors[2, y, x] * a2
                a0 = y0 * factors[3, y, x] - factors[0, y, x] * a1 - factors[1, y, x] * a2
                fits[0, at, x] = a0
                fits[1, at, x] = a1
                fits[2, at, x] = a2
                # b, equation 20
                fits[3, at, x] = p - a0 * mean[0, y, x] - a1 * mean[1, y, x] - a2 * mean[2, y, x]
            for k in range(4):
                for x in range(width):
                    fit_columns[k, x] += fits[k, at, x]
        z = y - radius
        if z < 0:
            continue
        if z - radius - 1 >= 0:
            at = (z - radius - 1) % ring
            for k in range(4):
                for x in range(width):
                    fit_columns[k, x] -= fits[k, at, x]
        _along(fit_columns, radius, sums)
        rows = min(z + radius, height - 1) - max(z - radius, 0) + 1
        for x in range(width):
            # mean of a . I + mean of b, equation 21
            q = sums[0, x] * image[0, z, x] + sums[1, x] * image[1, z, x] + sums[2, x] * image[2, z, x] + sums[3, x]
            out[z, x] = q * (share[x] / rows)
