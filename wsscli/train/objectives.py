"""What a segmentation net is trained towards: masks as they are, or seeds that grow while it learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch.nn import functional as F

from wsscli.classes import IGNORE
from wsscli.grow.batched import grow_batch
from wsscli.losses.affinity import Target, affinity_loss
from wsscli.losses.boundary import Gradient, boundary
from wsscli.losses.cross_entropy import cross_entropy
from wsscli.losses.seeding import balanced_seeding, seeding
from wsscli.losses.sigmoid_cross_entropy import sigmoid_cross_entropy
from wsscli.nets.geometry import upsample
from wsscli.nets.self_guided import Found
from wsscli.refine.grid import GridEngine, Unary, grid_crf

Batch = Sequence[torch.Tensor]
SeedLoss = Literal["seed", "balanced-seed"]
SEED_LOSSES = {"seed": seeding, "balanced-seed": balanced_seeding}


class Watch(Protocol):
    """Who looks at the supervision of every step."""

    def add(self, seeds: torch.Tensor, supervision: torch.Tensor, truth: torch.Tensor) -> None:
        """Seeds, supervision and true masks of a batch, each uint8 (N,h,w)."""
        ...


@dataclass(frozen=True)
class Masks:
    """Cross-entropy on masks (images, masks uint8 (N,H,W)); see `losses.cross_entropy`.

    Attributes:
        stride: of the net.
        step: every so many rows and columns of pixels enter the loss.
    """

    stride: int
    step: int

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        target = batch[1][:, :: self.step, :: self.step]
        return cross_entropy(_at(logits, target, self.stride, self.step), target)


@dataclass(frozen=True)
class SoftMasks:
    """Squared error of a soft mask (images, foreground float32 (N,2,H,W): share of foreground, share that is known).

    The share of foreground is that of a place's known pixels times its known share; both are brought to the net's own
    points, means of the pixels around. An image counts by its mean over what is known of it, one without any by 0.

    Attributes:
        step: distance of the net's points in pixels.

    Source: Croitoru et al. 2017, section 4: the L2 loss between the student's soft mask and its teacher's.
    """

    step: int

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        found = logits.softmax(1)[:, 1]  # (N,h,w)
        share, known = at_grid(batch[1], self.step).unbind(1)  # (N,h,w)
        target = torch.where(known > 0, share / known.clamp_min(1e-6), 0.0)
        error = (known * (found - target).square()).sum((1, 2))
        return (error / known.sum((1, 2)).clamp_min(1e-6)).mean()


@dataclass(frozen=True)
class SelfGuided:
    """Classification and affinity together (images, labels float (N,K)).

    Attributes:
        weight: of the affinity loss, lambda; 0 leaves it out.
        target: see `losses.affinity`.

    Source: Ke and Hsu 2018, equations 1, 4 and 13.
    """

    weight: float = 1.0
    target: Target = "w"

    def __call__(self, found: Found, batch: Batch) -> torch.Tensor:
        value = sigmoid_cross_entropy(found.logits, batch[1])
        if not self.weight:
            return value
        photos = F.interpolate(batch[0].float(), found.features.shape[-2:], mode="area")
        return value + self.weight * affinity_loss(found.features, photos, self.target)


@dataclass(frozen=True)
class Seeds:
    """A seeding loss and the boundary loss, on seeds that may grow into what the net is sure of.

    All of it happens on a grid of every `step`-th row and column of pixels. Each step grows the ORIGINAL seeds into
    that step's own probabilities after the CRF; nothing is kept, so an early mistake does not stay.

    A batch is images uint8 (N,3,H,W), seeds uint8 (N,H,W), labels bool (N,K) (column = class id, the background
    always), inside bool (N,H,W) (False behind a photo's border: nothing grows there and no loss counts), and, where
    somebody watches, true masks uint8 (N,H,W), which enter no loss.

    Attributes:
        stride: of the net.
        step: distance of the grid's points in pixels.
        loss: which seeding loss.
        boundary: weight of the boundary loss; 0 leaves it out.
        boundary_gradient: see `losses.boundary`.
        grow: whether seeds grow.
        theta_fg, theta_bg, original_quirks: see `grow.dsrg.grow`.
        crf_engine, crf_unary: see `refine.grid.grid_crf`.
        crf_scale: photo pixels a step of the grid: divides the CRF's distances.
        watch: is shown the supervision of every step.

    Source: Huang et al. 2018 (DSRG), sections 3.2 and 3.3, equations 1-3.
    Differs: the seeds grow into the probabilities after the CRF, and its unary term is minus the probabilities, both as
        in the authors' code; the paper's H is the net's, and a CRF of H would have minus their logarithm.
    """

    stride: int
    step: int
    loss: SeedLoss = "balanced-seed"
    boundary: float = 1.0
    boundary_gradient: Gradient = "none"
    grow: bool = True
    theta_fg: float = 0.85
    theta_bg: float = 0.99
    original_quirks: bool = False
    crf_engine: GridEngine = "auto"
    crf_unary: Unary = "probability"
    crf_scale: float = 12.0
    watch: Watch | None = None

    def __call__(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        images, _, labels = batch[:3]
        seeds, inside = self._points(batch[1]), self._points(batch[3])  # (N,h,w)
        logits = _at(logits, seeds, self.stride, self.step)  # (N,K,h,w)
        if (self.grow or self.boundary) and not bool(logits.detach().isfinite().all()):
            return logits.sum() * math.nan  # the net has diverged: for the training to say, not for the CRF
        smooth = self._smooth(logits, images) if self.grow or self.boundary else None
        supervision = seeds
        if self.grow and smooth is not None:
            supervision = self.grown(seeds, smooth, labels, inside)
        value = SEED_LOSSES[self.loss](logits, supervision)
        if self.boundary and smooth is not None:
            apart = boundary(logits, smooth, self.boundary_gradient, self.crf_unary, inside=inside)
            value = value + self.boundary * apart
        if self.watch is not None:
            self.watch.add(seeds, supervision, self._points(batch[4]))
        return value

    def supervision(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """uint8 (N,h,w): what this net would be trained on, were this batch to come now."""
        seeds, inside = self._points(batch[1]), self._points(batch[3])
        if not self.grow:
            return seeds
        smooth = self._smooth(_at(logits, seeds, self.stride, self.step), batch[0])
        return self.grown(seeds, smooth, batch[2], inside)

    def grown(
        self, seeds: torch.Tensor, smooth: torch.Tensor, labels: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        """DSRG(S, H) of a batch, within the photos."""
        grown = grow_batch(
            seeds, smooth * inside[:, None], labels,
            theta_fg=self.theta_fg, theta_bg=self.theta_bg, original_quirks=self.original_quirks,
        )  # fmt: skip
        return grown.masked_fill(~inside, IGNORE)

    def _points(self, maps: torch.Tensor) -> torch.Tensor:
        return maps[:, :: self.step, :: self.step]

    def _smooth(self, logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return grid_crf(
                at_grid(images, self.step), logits.softmax(1),
                engine=self.crf_engine, unary=self.crf_unary, scale=self.crf_scale,
            )  # fmt: skip


def at_grid(images: torch.Tensor, step: int) -> torch.Tensor:
    """(N,C,H,W) -> float32 (N,C,h,w): the mean (of colours) around every `step`-th row and column."""
    pixels = images.float()
    if step == 1:
        return pixels
    reach = step // 2
    side = 2 * reach + 1
    # ceil_mode: the grid has a point wherever [::step] has one
    pooled = F.avg_pool2d(pixels, side, step, reach, ceil_mode=True, count_include_pad=False)
    height, width = (-(-length // step) for length in images.shape[-2:])
    return pooled[..., :height, :width]


def _at(logits: torch.Tensor, target: torch.Tensor, stride: int, step: int) -> torch.Tensor:
    """The net's maps at the points of a target (N,h,w) that are `step` pixels apart."""
    height, width = target.shape[-2:]
    return upsample(logits, (height, width), stride, step=step)
