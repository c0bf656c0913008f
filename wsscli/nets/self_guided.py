"""One net that classifies, segments and says which pixels belong together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from wsscli.classes import ClassTable
from wsscli.nets.backbones import Backbone, backbone
from wsscli.nets.segmenter import RATES, Branches, default_hidden, rates_at

AFFINITY_CHANNELS = 3


class Found(NamedTuple):
    """What a self-guided net says of a batch."""

    logits: torch.Tensor
    """(N,K): of the classes, before the sigmoid; K without the background."""
    features: torch.Tensor
    """(N,3,s,s): F, from whose distances affinities are made."""


class SelfGuided(nn.Module):
    """DeepLab-ASPP with class localization maps on its scores, and affinity features from an early stage.

    Backbone and branches have the names of `DeepLab`, so `--init` goes on from one to the other both ways. Channel k
    of the localization maps is class id k + 1. Images are normalised by `backbone.normalise`.

    Attributes:
        classes: the class table, background first.
        size: what the longer side of an image is scaled to, in pixels, for this net.
        affinity_size: side s of the grid that affinities are taken on.
        rates: dilations of the branches.
        localize: 1x1 convolution from the K + 1 segmentation scores to K localization maps A.
        aggregate: 1x1 convolution from the early stage to the three affinity features F.

    Source: Ke and Hsu 2018, sections 3.1, 3.2 and 4.1.
    Differs: hidden layers of the branches start from He's random weights, as those of `DeepLab`. At an output stride
        other than 8 the rates reach as far in pixels as the paper's (3/6/9/12 at 16): wider ones smear the maps, since
        the labels hold nothing but their sum over the image.
    """

    arch = "self-guided"
    fresh = ("branches.", "localize.", "aggregate.")

    def __init__(
        self,
        backbone: Backbone,
        classes: ClassTable,
        *,
        hidden: int | None = None,
        dropout: float = 0.5,
        size: int = 500,
        affinity_size: int = 50,
        rates: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.classes, self.size, self.affinity_size = classes, size, affinity_size
        self.backbone = backbone
        self.hidden = hidden or default_hidden(backbone.name)
        self.dropout = dropout
        self.rates = tuple(rates or rates_at(RATES["deeplab"], 8, backbone.stride))
        self.branches = Branches(backbone.channels, self.hidden, len(classes), dropout, self.rates)
        self.localize = nn.Conv2d(len(classes), len(classes) - 1, 1)
        backbone.keep_early()
        with torch.no_grad():
            _, early = backbone.eval().with_early(torch.zeros(1, 3, 33, 33))
            backbone.train()
        self.aggregate = nn.Conv2d(early.shape[1], AFFINITY_CHANNELS, 1)
        for layer in (self.localize, self.aggregate):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    @classmethod
    def build(
        cls,
        name: str,
        classes: ClassTable,
        *,
        init: str = "none",
        output_stride: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.5,
        size: int = 500,
        affinity_size: int = 50,
        rates: Sequence[int] | None = None,
    ) -> SelfGuided:
        """A net from the names that the command line takes; see `backbones.backbone`."""
        body = backbone(name, init, output_stride, head=False)
        return cls(
            body, classes, hidden=hidden, dropout=dropout, size=size, affinity_size=affinity_size, rates=rates
        )  # fmt: skip

    @property
    def last(self) -> tuple[str, ...]:
        """Prefixes of the parameters of the layers before the losses and of the scores under them."""
        return (*(f"branches.{i}.6." for i in range(len(self.branches))), "localize.", "aggregate.")

    @property
    def config(self) -> dict[str, object]:
        """What `nets.store` needs to build the net again; JSON values only."""
        return {
            "arch": self.arch,
            "backbone": self.backbone.name,
            "output_stride": self.backbone.stride,
            "hidden": self.hidden,
            "dropout": self.dropout,
            "size": self.size,
            "affinity_size": self.affinity_size,
            "rates": list(self.rates),
            "classes": list(self.classes.names),
        }

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> localization maps A (N,K,h,w), not rectified."""
        return self._localized(self.backbone.with_early(images)[0])

    def affinity(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> F (N,3,s,s)."""
        return self._aggregated(self.backbone.with_early(images)[1])

    def forward(self, images: torch.Tensor) -> Found:
        features, early = self.backbone.with_early(images)
        return Found(self._localized(features).mean((2, 3)), self._aggregated(early))

    def _localized(self, features: torch.Tensor) -> torch.Tensor:
        return self.localize(self.branches(features))

    def _aggregated(self, early: torch.Tensor) -> torch.Tensor:
        # a 1x1 convolution and a bilinear resize change places: three channels are resized instead of many
        side = self.affinity_size
        return F.interpolate(self.aggregate(early), (side, side), mode="bilinear", align_corners=False)
