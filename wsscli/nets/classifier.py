"""The image classifier behind class activation maps."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from wsscli.classes import ClassTable
from wsscli.nets.backbones import Backbone, backbone


class CamNet(nn.Module):
    """Fully convolutional classifier: features, global average pooling, linear layer without bias.

    Channel k of its outputs is class id k + 1 (there is no background channel). Images are normalised by
    `backbone.normalise`.

    Attributes:
        classes: the class table, background first.
        size: side of the square images it was trained on, in pixels.
        backbone: the feature extractor.
        head: VGG's conv6 and conv7 (1024 channels, 3x3, dilated); nothing for the other backbones, whose
            last stage already sees most of the image (lite0 keeps its 1x1 expansion to 1280 channels).
        classifier: 1x1 convolution without bias, (K, C, 1, 1).

    Source: DSRG, section 3.1; METHODS section 1.
    """

    arch = "cam"
    fresh = ("head.", "classifier.")  # parameters without pre-trained values
    last = ("classifier.",)  # the layer before the loss

    def __init__(self, backbone: Backbone, classes: ClassTable, *, dropout: float = 0.5, size: int = 321) -> None:
        super().__init__()
        self.classes = classes
        self.size = size
        self.backbone = backbone
        self.head, channels = _head(backbone)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, len(classes) - 1, 1, bias=False)
        init_fresh(self.head, self.classifier)

    @classmethod
    def build(
        cls,
        name: str,
        classes: ClassTable,
        *,
        init: str = "none",
        output_stride: int | None = None,
        dropout: float = 0.5,
        size: int = 321,
    ) -> CamNet:
        """A net from the names that the command line takes; see `backbones.backbone`."""
        return cls(backbone(name, init, output_stride), classes, dropout=dropout, size=size)

    @property
    def config(self) -> dict[str, object]:
        """What `nets.store` needs to build the net again; JSON values only."""
        return {
            "arch": self.arch,
            "backbone": self.backbone.name,
            "output_stride": self.backbone.stride,
            "dropout": self.dropout.p,
            "size": self.size,
            "classes": list(self.classes.names),
        }

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> (N,C,h,w), what the classifier is applied to."""
        return self.head(self.backbone(images))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """(N,C,h,w) -> (N,K) before the sigmoid."""
        pooled = self.dropout(features.mean((2, 3)))  # (N,C)
        return F.linear(pooled, self.classifier.weight.flatten(1))

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) -> (N,K,h,w): the classifier at every position, before any rectification.

        Their mean over positions is `forward` (without dropout).
        """
        return self.classifier(self.features(images))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits(self.features(images))


def _head(backbone: Backbone) -> tuple[nn.Module, int]:
    if backbone.name != "vgg16":
        return nn.Identity(), backbone.channels
    dilation = 32 // backbone.stride  # as far apart as they would lie at VGG's own stride of 32
    layers: list[nn.Module] = []
    for channels in (backbone.channels, 1024):  # conv6, conv7
        layers += [nn.Conv2d(channels, 1024, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers), 1024


def init_fresh(hidden: nn.Module, last: nn.Conv2d) -> None:
    """Weights of a new part: He's for hidden convolutions, N(0, 0.01) for the last one, biases 0.

    Source: He et al. 2015, eq. 10; DeepLab v2, section 4.1 (the last layer).
    Differs: DeepLab's hidden layers come from VGG's fully connected ones, which other backbones do not have.
    """
    for layer in hidden.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    nn.init.normal_(last.weight, std=0.01)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
