"""The constrain-to-boundary loss: the net's maps should look as its own CRF makes them."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

CRF_CLIP = 1e-4  # least probability that leaves the CRF layer of the original
RATIO = (0.05, 20.0)  # the original clips q / p to it

Gradient = Literal["none", "dsrg"]


def boundary(logits: torch.Tensor, smooth: torch.Tensor, gradient: Gradient = "none") -> torch.Tensor:
    """Mean over pixels of sum_c q log(q / p): how far the net's probabilities p are from the CRF's q.

    q / p is clipped to [0.05, 20] as in the original, so a pixel where p has fallen below q / 20 or above 20 q
    no longer pulls.

    Args:
        logits: float (N,K,h,w); p is their softmax.
        smooth: float (N,K,h,w), the CRF's marginals of p on the image; not below 0, sums to 1. It carries no
            gradient of its own.
        gradient: what comes through q: `none` (it is a target), or `dsrg` (its layer hands (1 - q) times the
            gradient on to the logits).

    Returns:
        A scalar, the mean over the pixels of all images.

    Source: Kolesnikov and Lampert 2016 (SEC), equation 5; Huang et al. 2018 (DSRG), equation 2.
    """
    q = smooth.clamp(min=CRF_CLIP)
    q = q / q.sum(1, keepdim=True)
    if gradient == "dsrg":
        q = _Through.apply(logits, q)  # type: ignore[no-untyped-call]
    ratio = (q.log() - logits.log_softmax(1)).clamp(math.log(RATIO[0]), math.log(RATIO[1]))
    return (q * ratio).sum(1).mean()


class _Through(torch.autograd.Function):
    """q, with the original layer's backward: (1 - q) g goes on to what the CRF was given."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(q)
        return q.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (q,) = ctx.saved_tensors
        return (1 - q) * gradients[0], None
