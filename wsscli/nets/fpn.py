"""Feature pyramid networks for segmentation, plain and with dilated branches."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.nets.backbones import Backbone, backbone, largest_output_stride, pyramid_stages
from wsscli.nets.classifier import init_fresh
from wsscli.nets.geometry import upsample

RATES: dict[str, tuple[int, ...]] = {"fpn": (), "dfpn": (2, 4, 8)}
BRANCHES = 3
FINEST = 4  # stride of the finest level


class FPN(nn.Module):
    """A feature pyramid on a backbone's stages of strides 4 to 32, and class scores at stride 4 from all its levels.

    Top-down pathway: every stage goes through a 1x1 convolution to `hidden` channels, the next coarser level is
    upsampled and added, and a 3x3 convolution smooths the sum (P2, P3, P4, P5). The levels, upsampled to stride 4, are
    concatenated; a 1x1 convolution to `hidden` channels and one to the classes predict from them.

    `dfpn` is the same with dilated branches: each of the three coarsest levels (P3, P4, P5) has a branch of three
    dilated 3x3 convolutions in a row, rates 2, 4 and 8, whose result is added to the level before the levels are
    concatenated. The paper says "three branches" of "three dilated convolution layers with different dilated
    rates", then "aggregated and concatenated"; that a branch belongs to a level, the three rates follow one another,
    and aggregated means added to the level, is this net's reading. In a row they see 29 steps of their level, side by
    side it would be 17. On P2 a branch would cost three times as much as the other three together.

    Channel c of the output is class id c, background first. Images are normalised by `backbone.normalise`.

    Attributes:
        classes: the class table, background first.
        size: what the longer side of an image is scaled to, in pixels, for this net.
        stride: of the output, whatever the backbone's.
        hidden: channels of every level.

    Source: Lin et al., Feature Pyramid Networks, CVPR 2017, section 3; the coarse-to-fine paper, section III.F and
        figure 4.
    Differs: levels are upsampled bilinearly in the geometry of `nets.geometry`, not by nearest neighbours, which
        would shift them; they are rectified before they are merged.
    """

    fresh = ("lateral.", "smooth.", "dilated.", "merge.", "predict.")
    last = ("predict.",)
    stride = FINEST

    def __init__(
        self,
        backbone: Backbone,
        classes: ClassTable,
        *,
        arch: str = "fpn",
        hidden: int | None = None,
        dropout: float = 0.5,
        size: int = 500,
    ) -> None:
        super().__init__()
        if arch not in RATES:
            raise UsageError(f"unknown pyramid architecture '{arch}'; known: {', '.join(RATES)}")
        self.arch = arch
        self.classes = classes
        self.size = size
        self.backbone = backbone
        self.hidden = hidden or default_hidden(backbone.name)
        self._stages = pyramid_stages(backbone)
        backbone.keep(self._stages)
        channels = self._channels()
        self.strides = [min(FINEST << i, backbone.stride) for i in range(len(channels))]
        self.lateral = nn.ModuleList(nn.Conv2d(n, self.hidden, 1) for n in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(self.hidden, self.hidden, 3, padding=1) for _ in channels)
        self.dilated = nn.ModuleList(_branch(self.hidden, RATES[arch]) for _ in range(BRANCHES if RATES[arch] else 0))
        self.merge = nn.ModuleList(nn.Conv2d(self.hidden, self.hidden, 1, bias=i == 0) for i in range(len(channels)))
        self.dropout = nn.Dropout(dropout)
        self.predict = nn.Conv2d(self.hidden, len(classes), 1)
        init_fresh(nn.ModuleList([self.lateral, self.smooth, self.dilated, self.merge]), self.predict)

    @classmethod
    def build(
        cls,
        name: str,
        classes: ClassTable,
        *,
        arch: str = "fpn",
        init: str = "none",
        output_stride: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.5,
        size: int = 500,
    ) -> FPN:
        """A net from the names that the command line takes; see `backbones.backbone`.

        `output_stride` is the backbone's: its largest when None, so that no stage is dilated.
        """
        body = backbone(name, init, output_stride or largest_output_stride(name), head=False)
        return cls(body, classes, arch=arch, hidden=hidden, dropout=dropout, size=size)

    @property
    def config(self) -> dict[str, object]:
        """What `nets.store` needs to build the net again; JSON values only."""
        return {
            "arch": self.arch,
            "backbone": self.backbone.name,
            "output_stride": self.backbone.stride,
            "hidden": self.hidden,
            "dropout": self.dropout.p,
            "size": self.size,
            "classes": list(self.classes.names),
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> logits (N, K + 1, about H/4, about W/4)."""
        levels = self.pyramid(images)
        size = levels[0].shape[-2:]
        # A 1x1 convolution of the concatenated levels, taken level by level: it changes places with the bilinear
        # upsampling, and the concatenated map, four levels at stride 4, is never built.
        merged = [
            upsample(layer(level), (size[0], size[1]), stride // FINEST)
            for layer, level, stride in zip(self.merge, levels, self.strides, strict=True)
        ]  # (N,hidden,H/4,W/4) each
        return self.predict(self.dropout(F.relu(torch.stack(merged).sum(0))))

    def pyramid(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N,3,H,W) normalised -> the levels, finest first, (N,hidden,h,w) each; with their dilated branches."""
        stages = self._features(images)
        levels = [layer(stage) for layer, stage in zip(self.lateral, stages, strict=True)]
        for fine in range(len(levels) - 2, -1, -1):
            size = levels[fine].shape[-2:]
            step = self.strides[fine + 1] // self.strides[fine]
            levels[fine] = levels[fine] + upsample(levels[fine + 1], (size[0], size[1]), step)
        levels = [F.relu(layer(level)) for layer, level in zip(self.smooth, levels, strict=True)]
        first = len(levels) - len(self.dilated)
        return levels[:first] + [x + layer(x) for layer, x in zip(self.dilated, levels[first:], strict=True)]

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        features, kept = self.backbone.with_kept(images)
        return [*(kept[stage] for stage in self._stages), features]

    def _channels(self) -> list[int]:
        """Channels of each stage.

        Raises:
            UsageError: a stage is no feature map of its stride.
        """
        with torch.no_grad():
            stages = self._features_of_a_probe()
        for i, stage in enumerate(stages):
            stride = min(FINEST << i, self.backbone.stride)
            if stage.ndim != 4 or stage.shape[-1] not in (64 // stride, 64 // stride + 1):
                raise UsageError(
                    f"backbone {self.backbone.name}: stage {i + 1} gives {tuple(stage.shape)} for 65 pixels, not a map "
                    f"(N,C,h,w) of stride {stride}; take lite0, vgg16 or a resnet"
                )
        return [stage.shape[1] for stage in stages]

    def _features_of_a_probe(self) -> list[torch.Tensor]:
        self.backbone.eval()
        stages = self._features(torch.zeros(1, 3, 65, 65))
        self.backbone.train()
        return stages


def default_hidden(name: str) -> int:
    """Channels of the levels when none is asked for; 256 as in the paper, fewer for the small backbones."""
    return {"lite0": 64, "tiny": 16}.get(name, 256)


def _branch(channels: int, rates: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for rate in rates:
        layers += [nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
