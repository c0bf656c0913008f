"""The fully connected CRF on a small grid, exactly: every kernel as a full matrix, a batch of images at once.

On the grid of a training net (41 x 41) all pairs of pixels fit into memory, and mean field is a batched matrix
product: what a GPU does best, without a lattice's approximation.

Source: Krähenbühl and Koltun, "Efficient inference in fully connected CRFs with Gaussian edge potentials", 2011,
equations 2-3 and algorithm 1.
"""

from __future__ import annotations

import torch

from wsscli.errors import WssError
from wsscli.refine.crf import CLIP, check_options

CPU_ELEMENTS = 2**22  # one 41 x 41 image at a time stays in the processor's cache, which is faster than a batch
DEVICE_ELEMENTS = 2**27  # 47 images of 41 x 41, 1.1 GB


@torch.no_grad()
def dense_mean_field(
    images: torch.Tensor,
    probabilities: torch.Tensor,
    *,
    iterations: int = 10,
    gauss_sxy: float = 3.0,
    gauss_compat: float = 3.0,
    bilateral_sxy: float = 80.0,
    bilateral_srgb: float = 13.0,
    bilateral_compat: float = 10.0,
    max_elements: int | None = None,
) -> torch.Tensor:
    """Marginals of the fully connected CRF whose unary term is -log of the given probabilities.

    The model is that of `crf.dense_crf` (symmetric normalisation of each kernel, Potts, the pixel itself among its
    neighbours) with the Gaussian itself where the lattice has its approximation. With P = h w pixels, both
    normalised kernels times their weights make one (P, P) matrix an image; an iteration is one product with it.

    Memory: 8 P^2 bytes an image of a chunk (the matrix and one workspace of its size) and 8 P^2 once for the
    position kernel; 23 MB an image at 41 x 41, 344 MB at 81 x 81. So this is for a net's grid, not for photos.

    Computed in float32 whatever surrounds it: autocast is switched off inside, since bfloat16 would round the
    exponents. The kernels are made without matrix products and are exact under any setting; the products of the
    iterations follow torch's float32 precision, so where the user allows TF32 marginals move by some 1e-3.

    Args:
        images: uint8 or float (N,3,h,w), grey levels 0..255.
        probabilities: float (N,K,h,w) >= 0, finite, one channel for each label that takes part, on the images'
            device; clipped to [1e-5, 1] and not renormalised. Looking at them makes the host wait for the device.
        iterations: mean-field steps, >= 0; with 0 the clipped probabilities are normalised.
        gauss_sxy: standard deviation of the position kernel, pixels of the grid.
        gauss_compat: weight of the position kernel.
        bilateral_sxy: standard deviation of the colour-and-position kernel, pixels of the grid.
        bilateral_srgb: its standard deviation in colour, grey levels of 255.
        bilateral_compat: its weight.
        max_elements: images go through in chunks of at most this many matrix elements (one image at least). None:
            2^22 on the CPU, 2^27 elsewhere. The result does not depend on it beyond rounding.

    Returns:
        float32 (N,K,h,w) on the same device, sums to 1 over K, no gradient.

    Raises:
        WssError: when the shapes do not fit or the probabilities are not finite.
        UsageError: when a parameter is out of range.

    Source: Krähenbühl and Koltun 2011, equation 3 and algorithm 1.
    Differs: the message from a pixel to itself is kept, as in the authors' code and pydensecrf.
    """
    check_batch(images, probabilities)
    check_options(
        engine="lattice",  # any: this one needs nothing installed
        iterations=iterations,
        gauss_sxy=gauss_sxy,
        gauss_compat=gauss_compat,
        bilateral_sxy=bilateral_sxy,
        bilateral_srgb=bilateral_srgb,
        bilateral_compat=bilateral_compat,
    )
    n, k, height, width = probabilities.shape
    device = probabilities.device
    if max_elements is None:
        max_elements = CPU_ELEMENTS if device.type == "cpu" else DEVICE_ELEMENTS
    pixels = height * width
    chunk = max(1, max_elements // max(1, pixels**2))

    with torch.autocast(device.type, enabled=False):
        away = _squared_distances(height, width, device)  # (P,P)
        position = _normalised(torch.exp(away / (-2 * gauss_sxy**2))).mul_(gauss_compat)  # (P,P), shared
        away.div_(-2 * bilateral_sxy**2)
        log = probabilities.float().clamp(CLIP, 1).log_().reshape(n, k, pixels)  # (N,K,P)
        colours = images.float().reshape(n, 3, pixels)  # (N,3,P)
        marginals = torch.empty_like(log)
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            kernel = _appearance(colours[part], away, bilateral_srgb)  # (n,P,P)
            kernel = _normalised(kernel).mul_(bilateral_compat).add_(position)
            q = log[part].softmax(1)  # (n,K,P)
            for _ in range(iterations):
                # the matrix is symmetric, so q K sums over the senders; Potts: same labels support each other
                q = torch.baddbmm(log[part], q, kernel).softmax(1)
            marginals[part] = q
        return marginals.view(n, k, height, width)


def check_batch(images: torch.Tensor, probabilities: torch.Tensor) -> None:
    """Say what does not fit about a batch of images and probabilities.

    Raises:
        WssError: shapes that do not fit, no label, NaN or infinity.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise WssError(f"crf: images of shape {tuple(images.shape)}; they must be (N, 3, h, w), grey levels 0..255")
    n, _, height, width = images.shape
    fits = probabilities.ndim == 4 and probabilities.shape[0] == n and probabilities.shape[2:] == images.shape[2:]
    if not fits or not probabilities.shape[1]:
        raise WssError(
            f"crf: probabilities of shape {tuple(probabilities.shape)} on {n} images of {height} x {width}; "
            "they must be (N, labels, h, w) of the images' number and size"
        )
    if not bool(torch.isfinite(probabilities).all()):
        raise WssError("crf: the probabilities hold NaN or infinity; make the scores again")


def _squared_distances(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(P,P): squared distance of two pixels of the grid, exact whole numbers."""
    y = torch.arange(height, device=device, dtype=torch.float32)
    x = torch.arange(width, device=device, dtype=torch.float32)
    rows = (y[:, None] - y).square_()[:, None, :, None]  # (h,1,h,1)
    columns = (x[:, None] - x).square_()[None, :, None, :]  # (1,w,1,w)
    return (rows + columns).reshape(height * width, height * width)


def _appearance(colours: torch.Tensor, place: torch.Tensor, srgb: float) -> torch.Tensor:
    """(n,P,P): exp of the position's exponent `place` (P,P) and the colours' (n,3,P)."""
    # Differences one channel after the other: |a|^2 + |b|^2 - 2 a.b would cancel, and as a matrix product follow TF32
    kernel = colours[:, 0, :, None] - colours[:, 0, None, :]
    kernel.square_()
    work = torch.empty_like(kernel)
    for c in (1, 2):
        torch.sub(colours[:, c, :, None], colours[:, c, None, :], out=work)
        kernel.addcmul_(work, work)
    return kernel.mul_(-1 / (2 * srgb**2)).add_(place).exp_()


def _normalised(kernel: torch.Tensor) -> torch.Tensor:
    """K_ij / sqrt(sum_i K_ij sum_j K_ij), in place; (..., P, P), symmetric."""
    norm = kernel.sum(-1).rsqrt_()  # a row holds its own 1, so never 0
    return kernel.mul_(norm[..., :, None]).mul_(norm[..., None, :])
