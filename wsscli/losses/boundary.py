"""The constrain-to-boundary loss: the net's maps should look as its own CRF makes them."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

CRF_CLIP = 1e-4  # least probability that leaves the CRF layer of the original
RATIO = (0.05, 20.0)  # the original clips q / p to it

Gradient = Literal["none", "dsrg"]
Unary = Literal["log-probability", "probability"]


def boundary(
    logits: torch.Tensor,
    smooth: torch.Tensor,
    gradient: Gradient = "none",
    unary: Unary = "log-probability",
    *,
    inside: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over an image's pixels of sum_c q log(q / p): how far the net's probabilities p are from the CRF's q.

    q / p is clipped to [0.05, 20] as in the original, so a pixel where p has fallen below q / 20 or above 20 q
    no longer pulls.

    Args:
        logits: float (N,K,h,w); p is their softmax.
        smooth: float (N,K,h,w), the CRF's marginals of p on the image; not below 0, sums to 1. It carries no
            gradient of its own.
        gradient: what comes through q: `none` (it is a target), or `dsrg`: as in the authors' code, (1 - q) times
            the gradient by log q goes on to what the CRF was given.
        unary: what that was: `log-probability` (the logits, as SEC's layer) or `probability` (p, as DSRG's).

        inside: bool (N,h,w), the pixels that count; all when None.

    Returns:
        A scalar, the mean over images; one without a pixel that counts is 0 and counts as an image.

    Source: Kolesnikov and Lampert 2016 (SEC), equation 5; Huang et al. 2018 (DSRG), equation 2.
    Differs: each image has its own mean, so that a batch may be split. The papers warp photos to the square, where
        every pixel counts and both means are one.
    """
    q = smooth.clamp(min=CRF_CLIP)
    log_q = (q / q.sum(1, keepdim=True)).log()
    if gradient == "dsrg":
        given = logits if unary == "log-probability" else logits.softmax(1)
        log_q = _Through.apply(given, log_q)  # type: ignore[no-untyped-call]
    ratio = (log_q - logits.log_softmax(1)).clamp(math.log(RATIO[0]), math.log(RATIO[1]))
    pixels = (log_q.exp() * ratio).sum(1)  # (N,h,w)
    if inside is None:
        return pixels.mean()
    return ((pixels * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)).mean()


class _Through(torch.autograd.Function):
    """log q, with the original layer's backward: (1 - q) g goes on to what the CRF was given.

    d log q_c / d given_c is 1 - q_c where the messages are held fixed; the other classes' part is left out.
    """

    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - for its gradient
        ctx.save_for_backward(log_q)
        return log_q.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (log_q,) = ctx.saved_tensors
        return (1 - log_q.exp()) * gradients[0], None
