"""Detection, attention, segmentation: masks of one class at a time, from a detector's features inside its boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from wsscli.classes import ClassTable
from wsscli.nets.attention import Cells, attend, inside_boxes
from wsscli.nets.backbones import Backbone
from wsscli.nets.position_sensitive import CELLS, GROUPS, assemble

FINEST = 4  # stride of the last features, and of the position-sensitive maps
WIDTH = 64  # channels of the features behind the finest of the detector's maps


class Segmented(NamedTuple):
    """What the segmentation module says of a batch, one class an image."""

    logits: torch.Tensor
    """(N,2,S,S): background and foreground, at the size of the images."""
    maps: torch.Tensor
    """(N,2k^2,S/4,S/4) position-sensitive; no channels in a net without them."""


class Detector(Protocol):
    """What is asked of the detection module."""

    backbone: Backbone
    classes: ClassTable
    size: int
    config: dict[str, object]

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N,3,S,S) normalised -> its feature maps, finest first."""
        ...


class Deconvolution(nn.Module):
    """A top-down deconvolution network over feature maps of falling resolution, for all classes.

    The coarsest map is brought to the size and the channels of the next finer one by a deconvolution (then, where
    doubling misses its size, by bilinear resampling), and the two are concatenated; the result goes the same way, until
    all maps are merged. Further deconvolutions lead to stride 4, from whose features position-sensitive maps are made,
    and on to the size of the image.

    Args:
        channels: of the maps, finest first.
        stride: of the finest map.
        width: channels behind it.
        instances: whether there are position-sensitive maps.

    Source: DASNet, sections 3.4.1 and 3.4.2; Noh et al., Learning Deconvolution Network, ICCV 2015.
    Differs: the paper names neither kernels nor widths. Kernels are 4, stride 2; the last features have `width`
        channels; batch normalisation and a rectifier behind every deconvolution.
    """

    def __init__(self, channels: Sequence[int], stride: int, *, width: int = WIDTH, instances: bool = False) -> None:
        super().__init__()
        steps = []
        found = channels[-1]
        for lower in reversed(channels[:-1]):
            steps.append(_up(found, lower))
            found = 2 * lower
        self.merge = nn.ModuleList(steps)  # coarsest first
        self.join = nn.Sequential(nn.Conv2d(found, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.top = nn.Sequential(*(_up(width, width) for _ in range(_doublings(stride, FINEST))))
        first = min(stride, FINEST)  # a detector may have finer maps
        self.full = nn.Sequential(*(_up(width >> i, width >> i + 1) for i in range(_doublings(first, 2))))
        last = width >> len(self.full)
        self.semantic: nn.Module = nn.ConvTranspose2d(last, 2, 4, 2, 1) if first > 1 else nn.Conv2d(last, 2, 1)
        self.instances = nn.Conv2d(width, GROUPS * CELLS**2, 1) if instances else None

    def forward(self, maps: Sequence[torch.Tensor], size: tuple[int, int]) -> Segmented:
        """Class-specific maps, finest first, and (H,W) of the image -> logits of that size, position-sensitive maps."""
        found = self.features(maps)
        logits = _resampled(self.semantic(self.full(found)), size)
        return Segmented(logits, self.positions(found))

    def features(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """The last features, (N,width,h,w) at stride 4: all maps merged."""
        found = maps[-1]
        for step, lower in zip(self.merge, reversed(maps[:-1]), strict=True):
            up = _resampled(step(found), lower.shape[-2:])  # as many rows, columns and channels as the lower one
            found = torch.cat([up, lower], 1)
        top: torch.Tensor = self.top(self.join(found))
        return top

    def positions(self, features: torch.Tensor) -> torch.Tensor:
        """The position-sensitive maps (N,2k^2,h,w) of the last features; no channels where there are none."""
        if self.instances is None:
            return features.new_zeros(len(features), 0, *features.shape[-2:])
        maps: torch.Tensor = self.instances(features)
        return maps


class DASNet(nn.Module):
    """A detector, attention by boxes, and one segmentation module for all classes.

    For a class of an image, the detector's features are kept inside the class's boxes and zeroed outside; the
    segmentation module tells the class from what else is in the boxes, whatever the class is. Images are squares of
    `size` pixels, normalised by `backbone.normalise`.

    Attributes:
        classes: the class table, background first.
        size: side of the square that images are warped to; the detector's.
        attention: which steps of a feature map are inside a box; see `nets.attention`.
        detector: the detection module; it has its own parameters' names under `detector.`.
        segment: the segmentation module.

    Source: DASNet, section 3.
    """

    arch = "dasnet"
    fresh = ("segment.",)
    last = ("segment.semantic.", "segment.instances.")
    frozen = ("detector.",)

    def __init__(
        self, detector: Any, *, instances: bool = False, attention: Cells = "touched", width: int = WIDTH
    ) -> None:
        super().__init__()
        self.detector: Any = detector  # a Detector that is a module
        self.attention: Cells = attention
        self.width = width
        self.has_instances = instances
        probed = self._probe()
        strides = [round(self.size / part.shape[-1]) for part in probed]
        self.stride = strides[0]
        self.segment = Deconvolution([part.shape[1] for part in probed], strides[0], width=width, instances=instances)

    @classmethod
    def build(
        cls,
        name: str,
        classes: ClassTable,
        *,
        detector: Mapping[str, Any],
        instances: bool = False,
        attention: Cells = "touched",
        width: int = WIDTH,
    ) -> DASNet:
        """A net from what a manifest says; `detector` is that of its detector, with random weights."""
        from wsscli.nets.ssd import SSD

        module = SSD.build(name, classes, size=detector["size"])
        return cls(module, instances=instances, attention=attention, width=width)

    @property
    def classes(self) -> ClassTable:
        found: ClassTable = self.detector.classes
        return found

    @property
    def backbone(self) -> Backbone:
        found: Backbone = self.detector.backbone
        return found

    @property
    def size(self) -> int:
        found: int = self.detector.size
        return found

    @property
    def config(self) -> dict[str, object]:
        """What `nets.store` needs to build the net again; JSON values only."""
        return {
            "arch": self.arch,
            "backbone": self.backbone.name,
            "classes": list(self.classes.names),
            "instances": self.has_instances,
            "attention": self.attention,
            "width": self.width,
            "detector": self.detector.config,
        }

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N,3,S,S) normalised -> what attention works on, finest first."""
        found: list[torch.Tensor] = self.detector.features(images)
        return found

    def of_class(self, maps: Sequence[torch.Tensor], boxes: torch.Tensor) -> Segmented:
        """Maps (N,C,h,w) and boxes (N,M,4) of one class an image, as shares of its sides -> what lies in the boxes."""
        return self.segment(attend(maps, boxes, self.attention), (self.size, self.size))

    def of_box(self, maps: Sequence[torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
        """Maps (N,C,h,w) and one box each (N,4) -> the probability (N,s,s) that a step is of the box's instance.

        At the resolution of the position-sensitive maps; 0 outside the box.

        Source: DASNet, section 3.5, inference of instances.
        """
        kept = attend(maps, boxes[:, None], self.attention)
        scores, region = assemble(self.segment.positions(self.segment.features(kept)), boxes[:, None])
        inside: torch.Tensor = scores[:, 0].softmax(1)[:, 0] * region[:, 0]
        return inside

    def forward(self, images: torch.Tensor, boxes: torch.Tensor) -> Segmented:
        """(N,3,S,S) normalised, boxes (N,M,4) of one class an image, as shares of its sides; rows of zeros fill up."""
        return self.of_class(self.maps(images), boxes)

    def _probe(self) -> list[torch.Tensor]:
        was = self.detector.training
        self.detector.eval()
        with torch.no_grad():
            found = self.maps(torch.zeros(1, 3, self.size, self.size))
        self.detector.train(was)
        return found


def foreground(logits: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """The probability that a pixel is of the class, (N,S,S); 0 outside the class's boxes, where nothing was learnt.

    Args:
        logits: (N,2,S,S).
        boxes: (N,M,4) as shares of the sides.
    """
    size = (logits.shape[-2], logits.shape[-1])
    return logits.softmax(1)[:, 1] * inside_boxes(boxes, size).any(1)


def _up(channels: int, out: int) -> nn.Sequential:
    """Twice the resolution."""
    return nn.Sequential(nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


def _doublings(stride: int, to: int) -> int:
    count = 0
    while stride > to:
        stride, count = stride // 2, count + 1
    return count


def _resampled(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
