"""Fully connected CRF over the pixels of one image: a colour-and-position and a position kernel, mean field.

Source: Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", 2011,
equations 2-3 (energy, kernels) and algorithm 1 (mean field).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE
from wsscli.errors import UsageError, WssError
from wsscli.refine.compiled import compiled
from wsscli.refine.lattice import LANES, Lattice

Engine = Literal["lattice", "pydensecrf"]

PRESETS: Final[dict[str, dict[str, float]]] = {
    "koltun": {
        "gauss_sxy": 3.0,
        "gauss_compat": 3.0,
        "bilateral_sxy": 80.0,
        "bilateral_srgb": 13.0,
        "bilateral_compat": 10.0,
    },
    "deeplab": {
        "gauss_sxy": 1.0,
        "gauss_compat": 3.0,
        "bilateral_sxy": 67.0,
        "bilateral_srgb": 3.0,
        "bilateral_compat": 4.0,
    },
}
LABEL_CONFIDENCE = 0.7
MOST = 1e6  # of a weight or a standard deviation, which is at least the inverse of it
CLIP = 1e-5  # probabilities below this count as this: a certain zero could never be argued away


def dense_crf(
    image: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    *,
    engine: Engine = "lattice",
    iterations: int = 10,
    gauss_sxy: float = 3.0,
    gauss_compat: float = 3.0,
    bilateral_sxy: float = 80.0,
    bilateral_srgb: float = 13.0,
    bilateral_compat: float = 10.0,
) -> NDArray[np.float32]:
    """Marginals of the fully connected CRF whose unary term is -log of the given probabilities.

    Both engines are pydensecrf's algorithm: symmetric normalisation of each kernel, Potts compatibility, the
    pixel itself among its neighbours. `lattice` is compiled by numba and releases the GIL; the marginals agree
    to 1e-4 after 10 iterations.

    Args:
        image: uint8 (H, W, 3), RGB.
        probabilities: float32 (K, H, W) >= 0, one row for each label that takes part; clipped to [1e-5, 1] and
            not renormalised, as pydensecrf's `unary_from_softmax` does.
        engine: `lattice`, or `pydensecrf` (the extra `[pydensecrf]`).
        iterations: mean-field steps, >= 0; with 0 the clipped probabilities are normalised.
        gauss_sxy: standard deviation of the position kernel, pixels.
        gauss_compat: weight of the position kernel.
        bilateral_sxy: standard deviation of the colour-and-position kernel, pixels.
        bilateral_srgb: its standard deviation in colour, grey levels of 255.
        bilateral_compat: its weight.

    Returns:
        float32 (K, H, W), sums to 1 over K.

    Raises:
        WssError: when the shapes do not fit or the probabilities are not finite.
        UsageError: when a parameter is out of range or the engine is not installed.

    Source: Krähenbühl and Koltun 2011, equation 3 and algorithm 1.
    Differs: the message from a pixel to itself is kept, as in the authors' code and pydensecrf.
    """
    _check(image, probabilities)
    check_options(
        engine=engine,
        iterations=iterations,
        gauss_sxy=gauss_sxy,
        gauss_compat=gauss_compat,
        bilateral_sxy=bilateral_sxy,
        bilateral_srgb=bilateral_srgb,
        bilateral_compat=bilateral_compat,
    )
    infer = _pydensecrf if engine == "pydensecrf" else _lattice
    clipped = np.clip(probabilities.astype(np.float32, copy=False), np.float32(CLIP), np.float32(1))
    unary = -np.log(clipped)  # (K, H, W)
    return infer(
        np.ascontiguousarray(image),
        unary,
        iterations,
        (float(gauss_sxy), float(gauss_compat)),
        (float(bilateral_sxy), float(bilateral_srgb), float(bilateral_compat)),
    )


def label_probabilities(
    mask: NDArray[np.uint8], classes: Sequence[int], confidence: float = LABEL_CONFIDENCE
) -> NDArray[np.float32]:
    """Probabilities that a hard mask stands for, to feed `dense_crf`.

    Args:
        mask: uint8 (H, W); every value is one of `classes` or 255. A pixel of 255 is uniform over the classes.
        classes: class ids in the order of the rows.
        confidence: probability of the mask's label, in (0, 1); the other classes share the rest.

    Returns:
        float32 (K, H, W), sums to 1. With one class: all 1.

    Raises:
        UsageError: when the confidence is not in (0, 1).
        WssError: when there is no class, or the mask holds a value that is not among them.
    """
    check_confidence(confidence)
    k = len(classes)
    if k == 0:
        raise WssError("crf: no class takes part; a mask that is all 255 has nothing to refine")
    strange = sorted(set(np.unique(mask).tolist()) - set(classes) - {IGNORE})
    if strange:
        raise WssError(f"crf: the mask holds class {strange[0]}, which is not among {list(classes)}; name every class")
    if k == 1:
        return np.ones((1, *mask.shape), np.float32)
    out = np.full((k, *mask.shape), (1 - confidence) / (k - 1), np.float32)  # (K, H, W)
    for row, c in enumerate(classes):
        out[row][mask == c] = confidence
    out[:, mask == IGNORE] = 1 / k
    return out


def _check(image: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise WssError(f"crf: the image is {image.dtype} {image.shape}; it must be uint8 (H, W, 3)")
    if probabilities.ndim != 3 or probabilities.shape[1:] != image.shape[:2] or not probabilities.shape[0]:
        raise WssError(
            f"crf: probabilities of shape {probabilities.shape} on an image of {image.shape[0]} x {image.shape[1]}; "
            "they must be (labels, H, W) of the image's size"
        )
    if not np.isfinite(probabilities).all():
        raise WssError("crf: the probabilities hold NaN or infinity; make the scores again")


def check_options(*, engine: str, iterations: int, **parameters: float) -> None:
    """Say what is wrong with the options of `dense_crf` before any image is read.

    Raises:
        UsageError: an unknown engine or one that is not installed, a parameter out of range.
    """
    if engine not in ("lattice", "pydensecrf"):
        raise UsageError(f"crf: no engine '{engine}'; take lattice or pydensecrf")
    if iterations < 0:
        raise UsageError(f"crf: {iterations} iterations; take 0 or more (10 is usual)")
    for name, value in parameters.items():
        if name.endswith("compat") and not 0 <= value < np.inf:
            raise UsageError(f"crf: {name} is {value}; a weight must be 0 or greater")
        if not name.endswith("compat") and not 0 < value < np.inf:
            raise UsageError(f"crf: {name} is {value}; a standard deviation must be greater than 0")
        least = 0.0 if name.endswith("compat") else 1 / MOST  # float32 holds neither end
        if not least <= value <= MOST:
            raise UsageError(f"crf: {name} is {value}; give {least:g} to {MOST:g}")
    if engine == "pydensecrf":
        _import_pydensecrf()


def check_confidence(confidence: float) -> None:
    """Raises UsageError when a label confidence is not in (0, 1)."""
    if not 0 < confidence < 1:
        raise UsageError(f"crf: a label confidence of {confidence} is not between 0 and 1; 0.7 is usual")


def _import_pydensecrf() -> Any:
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError as e:
        raise UsageError(
            f"crf: the engine pydensecrf is not installed ({e}); pip install 'wsscli[pydensecrf]' (needs a C++ "
            "compiler) or take --engine lattice"
        ) from e
    return DenseCRF2D


def _pydensecrf(
    image: NDArray[np.uint8],
    unary: NDArray[np.float32],
    iterations: int,
    gauss: tuple[float, float],
    bilateral: tuple[float, float, float],
) -> NDArray[np.float32]:
    k, height, width = unary.shape
    crf = _import_pydensecrf()(width, height, k)
    crf.setUnaryEnergy(np.ascontiguousarray(unary.reshape(k, -1)))  # (K, N)
    crf.addPairwiseGaussian(sxy=gauss[0], compat=gauss[1])
    crf.addPairwiseBilateral(sxy=bilateral[0], srgb=bilateral[1], rgbim=image, compat=bilateral[2])
    marginals: NDArray[np.float32] = np.array(crf.inference(iterations), np.float32).reshape(k, height, width)
    return marginals


def _lattice(
    image: NDArray[np.uint8],
    unary: NDArray[np.float32],
    iterations: int,
    gauss: tuple[float, float],
    bilateral: tuple[float, float, float],
) -> NDArray[np.float32]:
    k, height, width = unary.shape
    at: NDArray[np.float32] = np.mgrid[:width, :height].astype(np.float32).transpose(2, 1, 0)  # (H, W, 2): x, y
    smooth = Lattice.of(at.reshape(-1, 2) / np.float32(gauss[0]))
    place, colour = at / np.float32(bilateral[0]), image.astype(np.float32) / np.float32(bilateral[1])
    appearance = Lattice.of(np.concatenate([place, colour], axis=-1).reshape(-1, 5))  # x, y, r, g, b

    # The q of a pixel sum to 1, so what a filter makes of the last label is what the others leave of a filtered 1.
    # Where that label would be alone in a group of channels it is not filtered: 5 labels take the time of 4.
    filtered = k - 1 if k > 1 and (k - 1) % LANES == 0 else k
    groups = -(-filtered // LANES)
    energy = np.ascontiguousarray(unary.reshape(k, -1).T)  # (N, K)
    q = np.zeros((height * width, groups, LANES), np.float32)
    last = np.zeros(height * width if filtered < k else 0, np.float32)
    near, alike = np.zeros_like(q), np.zeros_like(q)
    whole = [kernel.filtered_ones() if filtered < k and iterations else last for kernel in (smooth, appearance)]
    _softmax(energy, near, alike, np.float32(0), np.float32(0), filtered, last, last, q, last)
    for _ in range(iterations):
        smooth.filter(q, near)
        appearance.filter(q, alike)
        weights = np.float32(gauss[1]), np.float32(bilateral[2])
        _softmax(energy, near, alike, *weights, filtered, *whole, q, last)
    # (N, G, 4) -> (K, H, W)
    marginals = np.empty((k, height * width), np.float32)
    marginals[:filtered] = q.reshape(-1, groups * LANES)[:, :filtered].T
    if filtered < k:
        marginals[filtered] = last
    return marginals.reshape(k, height, width)


@compiled
def _softmax(energy, near, alike, near_weight, alike_weight, filtered, whole_near, whole_alike, q, last):  # type: ignore[no-untyped-def]
    """One mean-field update: q = softmax(-energy + messages) (algorithm 1).

    The first `filtered` of the K channels are in near, alike and q (N, G, 4); if that is not all of them, the last
    one's messages are what those of the others leave of `whole_near` and `whole_alike` (N,), and it goes into `last`.
    """
    n, k = energy.shape
    values = np.empty(k, np.float32)
    for p in range(n):
        top = np.float32(-np.inf)
        near_rest, alike_rest = np.float32(0.0), np.float32(0.0)
        for c in range(filtered):
            g, s = c // 4, c % 4
            # Potts: a label is supported by the same label, so the message counts positive
            v = -energy[p, c] + near_weight * near[p, g, s] + alike_weight * alike[p, g, s]
            near_rest -= near[p, g, s]
            alike_rest -= alike[p, g, s]
            values[c] = v
            top = max(top, v)
        if filtered < k:
            near_rest += whole_near[p]
            alike_rest += whole_alike[p]
            v = -energy[p, filtered] + near_weight * near_rest + alike_weight * alike_rest
            values[filtered] = v
            top = max(top, v)
        total = np.float32(0.0)
        for c in range(k):
            v = np.exp(values[c] - top)
            values[c] = v
            total += v
        for c in range(filtered):
            q[p, c // 4, c % 4] = values[c] / total
        if filtered < k:
            last[p] = values[filtered] / total
