"""Deep seeded region growing of a batch during training, where the tensors are.

Source: Huang et al., "Weakly-supervised semantic segmentation network with deep seeded region growing", 2018,
section 3.3.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from wsscli.classes import BACKGROUND, IGNORE
from wsscli.errors import UsageError, WssError
from wsscli.grow.dsrg import grow

FIRST_ROUNDS = 16
BITS = 63  # classes in one int64


@torch.no_grad()
def grow_batch(
    seeds: torch.Tensor,
    probabilities: torch.Tensor,
    labels: torch.Tensor,
    *,
    theta_fg: float = 0.85,
    theta_bg: float = 0.99,
    original_quirks: bool = False,
) -> torch.Tensor:
    """Grow the seeds of a batch: DSRG(S, H) of each image, bit for bit what `dsrg.grow` gives.

    On the CPU `dsrg.grow` takes image after image (0.1 ms each at 41 x 41, a third of the batched form's time). On
    a device all images and classes grow at once, one ring of pixels a round.

    Args:
        seeds: uint8 (N,h,w), class ids; 255 = unlabelled. Seeds of a class that takes no part stay and do not grow.
        probabilities: float (N,K,h,w), channel = class id, background first; finite; not renormalised.
        labels: bool (N,K), which classes take part in which image; the background always does, whatever stands
            there.
        theta_fg: threshold of the foreground classes; `inf`: they do not grow.
        theta_bg: threshold of the background; `inf`: it does not grow.
        original_quirks: see `dsrg.grow`.

    Returns:
        uint8 (N,h,w) on the same device, a new tensor.

    Raises:
        WssError: when shapes do not fit or probabilities are not finite.
        UsageError: when a threshold is not a number of 0 or more.

    Source: Huang et al. 2018, section 3.3, equation 3.
    """
    _check(seeds, probabilities, labels)
    for name, value in (("theta_fg", theta_fg), ("theta_bg", theta_bg)):
        if not value >= 0:
            raise UsageError(f"grow: {name} is {value}; give a probability (0.85, 0.99 are usual) or inf")
    if seeds.device.type == "cpu":
        return _one_by_one(seeds, probabilities, labels, theta_fg, theta_bg, original_quirks)
    return _at_once(seeds, probabilities, labels, theta_fg, theta_bg, original_quirks)


def _one_by_one(
    seeds: torch.Tensor,
    probabilities: torch.Tensor,
    labels: torch.Tensor,
    theta_fg: float,
    theta_bg: float,
    quirks: bool,
) -> torch.Tensor:
    """The growing of `dsrg.grow`, image after image."""
    classes = range(probabilities.shape[1])
    rows = probabilities.float().numpy()
    grown = np.empty(seeds.shape, np.uint8)
    for n, (seed, h, taking_part) in enumerate(zip(seeds.numpy(), rows, labels.tolist(), strict=True)):
        grown[n] = grow(
            seed,
            h,
            classes,
            labels=[c for c in classes if taking_part[c]],
            theta_fg=theta_fg,
            theta_bg=theta_bg,
            original_quirks=quirks,
        )
    return torch.from_numpy(grown)


def _at_once(
    seeds: torch.Tensor,
    probabilities: torch.Tensor,
    labels: torch.Tensor,
    theta_fg: float,
    theta_bg: float,
    quirks: bool,
) -> torch.Tensor:
    """The same on any device: a dilation inside every class's region, until nothing changes.

    Whether something changed is known to the device only; to ask is a round trip on which the host waits for all
    work queued so far. A round too many changes nothing and costs microseconds, so the host asks after 16 rounds,
    then after 32 more, then 64: one or two questions for most batches at 41 x 41, and past the first at most three
    times the rounds needed. The check for NaN travels along.
    """
    k = probabilities.shape[1]
    ids = torch.arange(k, device=seeds.device)
    taking_part = labels | (ids == BACKGROUND)  # (N,K)
    finite = torch.isfinite(probabilities).all()
    h = probabilities.float().masked_fill(~taking_part[..., None, None], -torch.inf)  # (N,K,h,w)
    best, winner = h.max(1)  # (N,h,w); the first of equal ones, that is the smallest id
    winner = winner.to(torch.uint8)
    # as float32, because that is how `dsrg.grow` compares
    fg, bg = float(np.float32(theta_fg)), float(np.float32(theta_bg))
    background = winner == BACKGROUND
    unlabelled = seeds == IGNORE
    if quirks:
        sure = (best > fg) & (~background | (best > bg))
        free = sure
    else:
        sure = torch.where(background, best >= bg, best >= fg)
        free = sure & unlabelled
    region = torch.where(free, winner, seeds)  # see `dsrg.grow`

    # A bit for each class, so that one bitwise operation moves all classes a pixel on: a pixel can only ever hold the
    # bit of its own region, and is reached when it does. (N,W,h,w) with W words of 63 bits; reached has a rim of zeros.
    words = torch.arange(-(-k // BITS), device=seeds.device)[:, None, None]  # (W,1,1)
    own = region.long()[:, None]  # (N,1,h,w)
    bit = torch.where(own // BITS == words, 1 << own % BITS, 0)
    known = F.pad(taking_part, (0, IGNORE + 1 - k))  # (N,256): also for seeds of classes without a channel
    involved = known.gather(1, own.flatten(1)).view_as(own)  # (N,1,h,w)
    inside = bit * involved
    reached = F.pad(inside * (seeds == region)[:, None], (1, 1, 1, 1))  # (N,W,h+2,w+2)
    inner = reached[..., 1:-1, 1:-1]

    def spread() -> None:
        rows = reached[..., :-2, :] | reached[..., 1:-1, :] | reached[..., 2:, :]  # (N,W,h,w+2)
        torch.bitwise_and(rows[..., :-2] | rows[..., 1:-1] | rows[..., 2:], inside, out=inner)

    rounds = FIRST_ROUNDS
    while True:
        for _ in range(rounds - 1):
            spread()
        before = inner.clone()
        spread()
        changed, good = torch.stack([(inner != before).any(), finite]).tolist()
        if not good:
            raise WssError("grow: the probabilities hold NaN or infinity; make the scores again")
        if not changed:
            break
        rounds *= 2
    taken = (inner != 0).any(1) & unlabelled  # (N,h,w)
    return torch.where(taken, region, seeds)


def _check(seeds: torch.Tensor, probabilities: torch.Tensor, labels: torch.Tensor) -> None:
    if seeds.ndim != 3 or seeds.dtype != torch.uint8:
        raise WssError(f"grow: seeds are {_kind(seeds)}; they must be uint8 (N, h, w)")
    n, height, width = seeds.shape
    fits = probabilities.ndim == 4 and probabilities.shape[0] == n and probabilities.shape[2:] == seeds.shape[1:]
    if not fits or not 1 <= probabilities.shape[1] <= IGNORE:
        raise WssError(
            f"grow: probabilities of shape {tuple(probabilities.shape)} for {n} seed maps of {height} x {width}; "
            "they must be (N, classes, h, w) of the seeds' number and size"
        )
    if labels.shape != probabilities.shape[:2] or labels.dtype != torch.bool:
        raise WssError(
            f"grow: labels are {_kind(labels)} for {n} images and {probabilities.shape[1]} classes; "
            "they must be bool (N, classes)"
        )


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
