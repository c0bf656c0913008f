"""SSD: boxes of a class table's objects, found in one pass on feature maps of several resolutions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.nets.backbones import Backbone, backbone, largest_output_stride, pyramid_stages

SIZE = 320
LEVELS = 6
SMALLEST = 129
_VGG = "vgg16"
# channels of the maps of strides 8, 16, 32; 256 each for the large backbones
_WIDTHS = {"lite0": (128, 192, 256), "tiny": (16, 32, 32)}


class Found(NamedTuple):
    """What the net says of every default box: class logits (N,A,K+1), background first, and offsets (N,A,4)."""

    classes: torch.Tensor
    boxes: torch.Tensor


class Detections(NamedTuple):
    """Boxes of one image, best first: corners float32 (n,4) as pixels of the net's square, class ids, scores (n)."""

    boxes: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor


class SSD(nn.Module):
    """Default boxes on feature maps of strides 8, 16, 32, ..., their classes and offsets.

    Head, default boxes, matching, loss and what turns scores into boxes are torchvision's. VGG-16 has SSD's own layers
    (conv4_3 normalised, fc6 and fc7 as convolutions); other backbones give their stages of strides 8 to 32, each
    through a 1x1 convolution with batch normalisation: their scales differ tenfold, and the head's first losses with
    them. Extra layers halve the last map until there are six, or it is one point.

    Images are squares of `size` pixels a side, normalised by `backbone.normalise`.

    Attributes:
        classes: the class table, background first.
        size: side of the square that an image is warped to.
        channels: of the maps that `features` gives, finest first.
        anchors: float32 (A,4), corners of the default boxes in pixels of the square.

    Source: Liu et al., SSD, ECCV 2016, section 2; sizes of the default boxes as its code has them for PASCAL VOC.
    Differs: the square is 320 a side, as in the DASNet paper, not 300; default boxes are no wider and no higher than
        the image. Extra layers of backbones other than VGG-16 have batch normalisation.
    """

    fresh = ("scale", "fc.", "lateral.", "extra.", "parts.")
    last = ("parts.",)

    def __init__(self, backbone: Backbone, classes: ClassTable, *, size: int = SIZE) -> None:
        from torchvision.models.detection import ssd
        from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
        from torchvision.models.detection.image_list import ImageList

        super().__init__()
        if size < SMALLEST:
            raise UsageError(f"--size {size}: a detector's square has {SMALLEST} pixels a side or more")
        self.classes = classes
        self.size = size
        self.backbone = backbone
        plain = backbone.name == _VGG
        stages = pyramid_stages(backbone)[1:]  # from stride 8 on
        self._stages = stages[:1] if plain else stages
        backbone.keep(self._stages)
        self.fc = _fully_connected() if plain else nn.Identity()
        self.scale = nn.Parameter(torch.full((512,), 20.0)) if plain else None
        self.lateral, self.extra = nn.ModuleList(), nn.ModuleList()
        with torch.no_grad():
            self.eval()
            square = torch.zeros(1, 3, size, size)
            maps = self.features(square)
            if not plain:
                widths = _WIDTHS.get(backbone.name, (256,) * len(maps))
                self.lateral.extend(_lateral(m.shape[1], width) for m, width in zip(maps, widths, strict=False))
                self.eval()
                maps = self.features(square)
            sizes = [(m.shape[1], m.shape[-1]) for m in maps]
            while len(sizes) < LEVELS and sizes[-1][1] > 1:
                layer, channels, side = _extra(*sizes[-1], plain=plain, order=len(self.extra))
                self.extra.append(layer)
                sizes.append((channels, side))
            self.eval()
            maps = self.features(square)
            self.train()
        self.channels = [channels for channels, _ in sizes]
        count = len(sizes)
        scales = [0.1, *(0.2 + 0.85 * i / (count - 1) for i in range(count))]
        ratios = [[2] if i in (0, count - 2, count - 1) else [2, 3] for i in range(count)]
        default = DefaultBoxGenerator(ratios, scales=scales)
        head = ssd.SSDHead(self.channels, default.num_anchors_per_location(), len(classes))
        self.parts = ssd.SSD(nn.Identity(), default, (size, size), len(classes), head=head)
        self.anchors: torch.Tensor
        self.register_buffer("anchors", default(ImageList(square, [(size, size)]), maps)[0], persistent=False)

    @classmethod
    def build(cls, name: str, classes: ClassTable, *, init: str = "none", size: int = SIZE) -> SSD:
        """A net from the names that the command line takes; see `backbones.backbone`."""
        return cls(backbone(name, init, output_stride(name)), classes, size=size)

    @property
    def config(self) -> dict[str, object]:
        """What `nets.store` needs to build the net again; JSON values only."""
        return {
            "arch": "ssd",
            "backbone": self.backbone.name,
            "size": self.size,
            "classes": list(self.classes.names),
        }

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N,3,S,S) normalised -> the maps that boxes are found on, finest first: (N, channels[i], h, w).

        At 320 pixels they have 40, 20, 10, 5, 3 and 1 points a side.
        """
        last, kept = self.backbone.with_kept(images)
        maps = [*(kept[stage] for stage in self._stages), self.fc(last)]
        if self.scale is not None:
            maps[0] = self.scale.view(1, -1, 1, 1) * F.normalize(maps[0])
        if self.lateral:
            maps = [layer(m) for layer, m in zip(self.lateral, maps, strict=True)]
        for layer in self.extra:
            maps.append(layer(maps[-1]))
        return maps

    def found(self, maps: list[torch.Tensor]) -> Found:
        """What the head says of the maps that `features` gave."""
        heads = self.parts.head(maps)
        return Found(heads["cls_logits"], heads["bbox_regression"])

    def forward(self, images: torch.Tensor) -> Found:
        return self.found(self.features(images))

    def loss(self, found: Found, boxes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """SSD's loss of a batch: offsets of matched default boxes, and classes with three hard negatives for each.

        Args:
            found: of the batch, float32.
            boxes: float32 (N,M,4), corners in pixels of the square; images with fewer boxes are filled up.
            labels: int64 (N,M), class ids; 0 = no box.

        Returns:
            A scalar: the mean over all matched default boxes of the batch, 0 where there is none.

        Source: Liu et al. 2016, equations 1-3.
        """
        targets = [{"boxes": one[ids > 0], "labels": ids[ids > 0]} for one, ids in zip(boxes, labels, strict=True)]
        heads = {"bbox_regression": found.boxes, "cls_logits": found.classes}
        values = self.parts.compute_loss(targets, heads, [self.anchors] * len(boxes), self._matched(boxes, labels))
        return values["bbox_regression"] + values["classification"]

    def matches(self, boxes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """How many default boxes of a batch are matched, the number that `loss` divides by."""
        return torch.stack([(match >= 0).sum() for match in self._matched(boxes, labels)]).sum()

    def _matched(self, boxes: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
        """For each image, of every default box the number of the box that it is matched with; below 0: none."""
        from torchvision.ops import box_iou

        none = torch.full((len(self.anchors),), -1, dtype=torch.int64, device=labels.device)
        return [
            self.parts.proposal_matcher(box_iou(one[ids > 0], self.anchors)) if bool((ids > 0).any()) else none
            for one, ids in zip(boxes, labels, strict=True)
        ]

    def detections(
        self, found: Found, *, threshold: float = 0.01, nms: float = 0.45, most: int = 200
    ) -> list[Detections]:
        """The boxes of each image.

        Args:
            found: of a batch, float32.
            threshold: boxes with a score of at most this are left out.
            nms: of two boxes of a class that overlap more than this (IoU), the better one stays.
            most: boxes an image.
        """
        self.parts.score_thresh, self.parts.nms_thresh, self.parts.detections_per_img = threshold, nms, most
        heads = {"bbox_regression": found.boxes, "cls_logits": found.classes}
        n = len(found.boxes)
        results = self.parts.postprocess_detections(heads, [self.anchors] * n, [(self.size, self.size)] * n)
        return [Detections(r["boxes"], r["labels"], r["scores"]) for r in results]


def output_stride(name: str) -> int:
    """The output stride that a backbone has in a detector.

    Raises:
        UsageError: for an unknown name.
    """
    return 16 if name == _VGG else largest_output_stride(name)  # SSD's fifth pool keeps VGG's stride


def _fully_connected() -> nn.Sequential:
    """VGG's fc6 and fc7 as convolutions. Source: Liu et al. 2016, section 3."""
    layers = nn.Sequential(
        nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
        nn.ReLU(inplace=True),
        nn.Conv2d(1024, 1024, 1),
        nn.ReLU(inplace=True),
    )
    return _started(layers)


def _lateral(channels: int, width: int) -> nn.Module:
    layers = (nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    return _started(nn.Sequential(*layers))


def _extra(channels: int, side: int, *, plain: bool, order: int) -> tuple[nn.Module, int, int]:
    """A layer that halves a map of this side (3 points become 1), its channels and side."""
    narrow, wide = (256, 512) if order == 0 else (128, 256)
    step, padding = (1, 0) if side == 3 else (2, 1)
    half = (side + 2 * padding - 3) // step + 1
    layers: list[nn.Module] = []
    for i, (size, out) in enumerate(((side, narrow), (half, wide))):
        bare = plain or size == 1  # one point an image is too little for the statistics of a batch
        layers += [
            nn.Conv2d(narrow, wide, 3, step, padding, bias=bare) if i else nn.Conv2d(channels, narrow, 1, bias=bare),
            *([] if bare else [nn.BatchNorm2d(out)]),
            nn.ReLU(inplace=True),
        ]
    return _started(nn.Sequential(*layers)), wide, half


def _started(layers: nn.Sequential) -> nn.Sequential:
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return layers
