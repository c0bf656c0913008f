"""The fully connected CRF of a training batch on the net's grid, by the engine that suits the device."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch

from wsscli.errors import UsageError
from wsscli.refine.crf import check_options, dense_crf
from wsscli.refine.dense import check_batch, dense_mean_field

GridEngine = Literal["auto", "lattice", "dense"]
Unary = Literal["log-probability", "probability"]


@torch.no_grad()
def grid_crf(
    images: torch.Tensor,
    probabilities: torch.Tensor,
    *,
    engine: GridEngine = "auto",
    unary: Unary = "log-probability",
    scale: float = 12.0,
    iterations: int = 10,
    gauss_sxy: float = 3.0,
    gauss_compat: float = 3.0,
    bilateral_sxy: float = 80.0,
    bilateral_srgb: float = 13.0,
    bilateral_compat: float = 10.0,
    workers: int | None = None,
) -> torch.Tensor:
    """Marginals of the fully connected CRF of a batch: the q of the boundary loss, the H that seeds grow into.

    `lattice` runs on the CPU, images side by side in threads; `dense` is exact and runs where the tensors are. They
    give the same label on at least 98% of pixels at 41 x 41, not the same marginals: the lattice approximates.

    Args:
        images: uint8 or float (N,3,h,w), grey levels 0..255, already at the grid's size; rounded to whole levels.
        probabilities: float (N,K,h,w) >= 0, finite; all K labels take part.
        engine: `auto` takes the lattice on the CPU and the dense form elsewhere.
        unary: the unary term: `log-probability` is -log p. `probability` is -p, as DSRG's layer has it, which is
            given probabilities where SEC's is given logits. In the range of -p, at most 1 between two labels, the
            CRF leaves an undecided net undecided; with -log p it makes even a hint certain.
        scale: pixels of a photo that one step of the grid stands for; divides both `sxy`.
        iterations: mean-field steps, >= 0.
        gauss_sxy: standard deviation of the position kernel, pixels of a photo.
        gauss_compat: weight of the position kernel.
        bilateral_sxy: standard deviation of the colour-and-position kernel, pixels of a photo.
        bilateral_srgb: its standard deviation in colour, grey levels of 255.
        bilateral_compat: its weight.
        workers: threads of the lattice; None: one for each core this process may use.

    Returns:
        float32 (N,K,h,w) on the probabilities' device, sums to 1 over K, no gradient.

    Raises:
        WssError: when the shapes do not fit or the probabilities are not finite.
        UsageError: when an option is out of range.

    Source: Kolesnikov and Lampert 2016 (SEC), section 3.4; Huang et al. 2018 (DSRG), section 3.2; scale and weights
        as in their code.
    """
    if engine not in ("auto", "lattice", "dense"):
        raise UsageError(f"crf: no engine '{engine}' on a grid; take auto, lattice or dense")
    if unary not in ("log-probability", "probability"):
        raise UsageError(f"crf: no unary term '{unary}'; take log-probability or probability")
    if not 0 < scale < math.inf:
        raise UsageError(f"crf: scale is {scale}; a step of the grid must stand for more than 0 pixels (12 is usual)")
    if workers is not None and workers < 1:
        raise UsageError(f"crf: {workers} workers; take 1 or more")
    options: dict[str, Any] = {
        "gauss_sxy": gauss_sxy / scale,
        "gauss_compat": gauss_compat,
        "bilateral_sxy": bilateral_sxy / scale,
        "bilateral_srgb": bilateral_srgb,
        "bilateral_compat": bilateral_compat,
    }
    check_options(engine="lattice", iterations=iterations, **options)
    check_batch(images, probabilities)
    device = probabilities.device
    levels = images.to(device).float().round().clamp(0, 255)
    if unary == "probability":
        # Both engines take -log of what they are given: -log exp(p - 1) is -p and a constant that softmax drops
        probabilities = torch.exp(probabilities.float() - 1)
    if engine == "dense" or (engine == "auto" and device.type != "cpu"):
        return dense_mean_field(levels, probabilities, iterations=iterations, **options)

    pixels = levels.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()  # (N,h,w,3)
    given = probabilities.to("cpu", torch.float32).numpy()  # (N,K,h,w)
    out = np.empty(given.shape, np.float32)

    def one(index: int) -> None:
        out[index] = dense_crf(pixels[index], given[index], iterations=iterations, **options)

    workers = min(workers or _cores(), len(out))
    if workers <= 1:
        for index in range(len(out)):
            one(index)
    else:
        list(_pool(workers, os.getpid()).map(one, range(len(out))))
    return torch.from_numpy(out).to(device)


@lru_cache(maxsize=4)
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay from step to step; of this process, since a fork has none of its parent's."""
    del process
    return ThreadPoolExecutor(workers, thread_name_prefix="grid-crf")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
