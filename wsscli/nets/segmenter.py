"""DeepLab segmentation nets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.nets.backbones import Backbone, backbone
from wsscli.nets.classifier import init_fresh

RATES = {"deeplab": (6, 12, 18, 24), "deeplab-largefov": (12,)}


class DeepLab(nn.Module):
    """DeepLab: parallel dilated branches on a backbone, their class scores summed.

    `deeplab` is ASPP of version 2: four branches, rates 6/12/18/24, each a 3x3 convolution to `hidden`, a 1x1
    convolution to `hidden`, a 1x1 convolution to the classes. `deeplab-largefov` is version 1: one branch,
    rate 12. Channel c of the output is class id c, background first. Images are normalised by
    `backbone.normalise`.

    Attributes:
        classes: the class table, background first.
        size: what the longer side of an image is scaled to, in pixels, for this net.
        rates: dilations of the branches; those of the architecture unless others are given.

    Source: DeepLab v1 and v2 (Chen et al.), as METHODS section 1 and DSRG section 4.1 take them.
    Differs: `hidden` is 1024 in the papers; lite0 takes fewer by default, its features have 320 channels.
    """

    fresh = ("branches.",)

    def __init__(
        self,
        backbone: Backbone,
        classes: ClassTable,
        *,
        arch: str = "deeplab",
        hidden: int | None = None,
        dropout: float = 0.5,
        size: int = 500,
        rates: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if arch not in RATES:
            raise UsageError(f"unknown DeepLab architecture '{arch}'; known: {', '.join(RATES)}")
        self.arch = arch
        self.classes = classes
        self.size = size
        self.backbone = backbone
        self.hidden = hidden or default_hidden(backbone.name)
        self.dropout = dropout
        self.rates = tuple(rates or RATES[arch])
        self.branches = Branches(backbone.channels, self.hidden, len(classes), dropout, self.rates)

    @classmethod
    def build(
        cls,
        name: str,
        classes: ClassTable,
        *,
        arch: str = "deeplab",
        init: str = "none",
        output_stride: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.5,
        size: int = 500,
        rates: Sequence[int] | None = None,
    ) -> DeepLab:
        """A net from the names that the command line takes; see `backbones.backbone`."""
        body = backbone(name, init, output_stride, head=False)
        return cls(body, classes, arch=arch, hidden=hidden, dropout=dropout, size=size, rates=rates)

    @property
    def stride(self) -> int:
        """Of the output."""
        return self.backbone.stride

    @property
    def last(self) -> tuple[str, ...]:
        """Prefixes of the parameters of the layer before the loss."""
        return tuple(f"branches.{i}.6." for i in range(len(self.branches)))

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
            "rates": list(self.rates),
            "classes": list(self.classes.names),
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> logits (N, K + 1, h, w) at the backbone's output stride."""
        scores: torch.Tensor = self.branches(self.backbone(images))
        return scores


def rates_at(rates: Sequence[int], stride: int, other: int) -> tuple[int, ...]:
    """Dilations that reach as far in pixels at another output stride as `rates` do at `stride`."""
    return tuple(max(1, round(rate * stride / other)) for rate in rates)


def default_hidden(name: str) -> int:
    """Width of the branches when none is asked for."""
    return {"lite0": 256, "tiny": 16}.get(name, 1024)


class Branches(nn.ModuleList):
    """Parallel dilated branches, their class scores summed: (N,channels,h,w) -> (N,classes,h,w)."""

    def __init__(self, channels: int, hidden: int, classes: int, dropout: float, rates: Sequence[int]) -> None:
        super().__init__(_branch(channels, hidden, classes, rate, dropout) for rate in rates)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.stack([branch(features) for branch in self]).sum(0)


def _branch(channels: int, hidden: int, classes: int, rate: int, dropout: float) -> nn.Sequential:
    hidden_layers = nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=rate, dilation=rate),  # fc6
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Conv2d(hidden, hidden, 1),  # fc7
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
    )
    last = nn.Conv2d(hidden, classes, 1)  # fc8
    init_fresh(hidden_layers, last)
    return nn.Sequential(*hidden_layers, last)
