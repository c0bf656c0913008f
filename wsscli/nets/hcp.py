"""The classifier of hypotheses: one CNN for a photo and for every box in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.nets.backbones import Backbone, backbone
from wsscli.nets.regions import GRID, region_grids, region_means
from wsscli.nets.weights import load_vgg16_hidden

HIDDEN = 4096  # of VGG's fully connected layers
ACTIVATIONS = ("softmax", "sigmoid")


class HCP(nn.Module):
    """A classifier whose input is a photo, a box of it, or the crop of a box: the same weights for all.

    The features of a photo or a box are 7 x 7 cells of the feature map. VGG-16 sends them through its two fully
    connected layers, as in ImageNet's classifier; of other backbones' the mean is taken. A linear layer follows.
    Channel k of the outputs is class id k + 1 (there is no background channel). Images are normalised by
    `backbone.normalise`.

    Attributes:
        classes: the class table, background first.
        size: side of the square images it was trained on, in pixels.
        activation: what makes a hypothesis' scores of the logits, as its loss did.
        hidden: VGG's fully connected layers without the last; nothing for other backbones.
        classifier: the linear layer, (K,D).

    Source: Wei et al., CNN: Single-label to Multi-label (HCP), sections 3.1 and 3.2.
    Differs: hypotheses share one feature map of the whole photo, where the paper sends each crop through the CNN
        (`crops` does that).
    """

    arch = "hcp"
    last = ("classifier.",)  # the layer before the loss

    def __init__(
        self,
        backbone: Backbone,
        classes: ClassTable,
        *,
        dropout: float = 0.5,
        size: int = 257,
        hidden: int = HIDDEN,
        activation: str = "softmax",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UsageError(f"activation '{activation}' of hypotheses; known: {', '.join(ACTIVATIONS)}")
        self.classes, self.size, self.activation = classes, size, activation
        self.backbone = backbone
        self.units = hidden
        self.hidden: nn.Module | None = None
        channels = backbone.channels
        if backbone.name == "vgg16":
            self.hidden = nn.Sequential(
                nn.Linear(channels * GRID * GRID, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
                nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
            )  # fmt: skip
            channels = hidden
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, len(classes) - 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    @classmethod
    def build(
        cls,
        name: str,
        classes: ClassTable,
        *,
        init: str = "none",
        output_stride: int | None = None,
        dropout: float = 0.5,
        size: int = 257,
        hidden: int = HIDDEN,
        activation: str = "softmax",
    ) -> HCP:
        """A net from the names that the command line takes; see `backbones.backbone`."""
        body = backbone(name, init, output_stride)
        net = cls(body, classes, dropout=dropout, size=size, hidden=hidden, activation=activation)
        if net.hidden is not None and init != "none":
            load_vgg16_hidden(net.hidden, None if init == "imagenet" else Path(init))
        return net

    @property
    def fresh(self) -> tuple[str, ...]:
        """Prefixes of the parameters without pre-trained values."""
        return self.last

    @property
    def config(self) -> dict[str, object]:
        """What `nets.store` needs to build the net again; JSON values only."""
        return {
            "arch": self.arch,
            "backbone": self.backbone.name,
            "output_stride": self.backbone.stride,
            "dropout": self.dropout.p,
            "size": self.size,
            "hidden": self.units,
            "activation": self.activation,
            "classes": list(self.classes.names),
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> logits (N,K) of the whole images."""
        return self.classifier(self.dropout(self.whole(images)))

    def whole(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> (N,D), what the classifier is applied to."""
        features = self.backbone(images)
        if self.hidden is None:
            return features.mean((2, 3))
        return self.hidden(F.adaptive_avg_pool2d(features, GRID).flatten(1))

    def pooled(self, features: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Features of boxes from the map of their image.

        Args:
            features: (N,C,h,w), of the backbone.
            boxes: (N,M,4): x0, y0, x1, y1 in pixels of the images given to the backbone, x1 and y1 exclusive.
            size: (H,W) of those images.

        Returns:
            (N,M,D).
        """
        if self.hidden is None:
            return region_means(features, boxes, size, self.backbone.stride)
        return self.hidden(region_grids(features, boxes, size, self.backbone.stride).flatten(2))

    def hypotheses(self, images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Images (N,3,H,W) normalised and boxes (N,M,4) in their pixels -> logits of all boxes, (N,M,K)."""
        found = self.pooled(self.backbone(images), boxes, (images.shape[2], images.shape[3]))
        return self.classifier(self.dropout(found))

    def crops(self, images: torch.Tensor) -> torch.Tensor:
        """Crops, one below the other, (N,3,M S,S) normalised -> logits of each by itself, (N,M,K)."""
        side = images.shape[3]
        apart = images.unflatten(2, (-1, side)).transpose(1, 2)  # (N,M,3,S,S)
        count = apart.shape[1]
        logits: torch.Tensor = self(apart.flatten(0, 1))  # (N M,K)
        return logits.unflatten(0, (-1, count))

    def activate(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (...,K) -> scores in [0, 1]."""
        return logits.softmax(-1) if self.activation == "softmax" else logits.sigmoid()


def score_hypotheses(
    net: HCP, image: NDArray[np.uint8], boxes: NDArray[Any], *, crop: bool = False, chunk: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Class scores and features of boxes of a photo.

    Args:
        net: evaluating, on any device.
        image: uint8 RGB (H,W,3).
        boxes: (n,4): x0, y0, x1, y1 in pixels of the photo, x1 and y1 exclusive (`ProposalSet.boxes`).
        crop: send every box through the CNN by itself, warped to the net's square; else all share the feature map of
            the photo warped to the square.
        chunk: crops (VGG: grids of features too) that are in memory at a time; changes no result beyond rounding. Left
            out, 64, or on the CPU 4 crops, which its caches hold: in half the time.

    Returns:
        Scores float32 (n,K), softmax over the K classes (a net trained with `--loss sigmoid`: the sigmoid of each),
        column k = class id k + 1; features float32 (n,D) of the layer before the classifier.

    Raises:
        WssError: a box is empty or reaches out of the photo.
    """
    height, width = image.shape[:2]
    boxes = np.asarray(boxes).reshape(-1, 4)
    _check(boxes, height, width)
    where = next(net.parameters()).device
    if chunk is None:
        chunk = 4 if crop and where.type == "cpu" else 64
    parts = [boxes[start : start + chunk] for start in range(0, len(boxes), chunk)]
    with torch.inference_mode():
        features = [torch.zeros((0, net.classifier.in_features), device=where)]
        if crop:
            features += [net.whole(_batch(net, [image[y0:y1, x0:x1] for x0, y0, x1, y1 in part])) for part in parts]
        elif parts:
            scale = np.array([net.size / width, net.size / height] * 2)
            pixels = _batch(net, [image])
            shared = net.backbone(pixels)
            size = (pixels.shape[2], pixels.shape[3])
            for part in parts if net.hidden is not None else [boxes]:
                rows = torch.from_numpy((part * scale).astype(np.float32)).to(where)[None]
                features.append(net.pooled(shared, rows, size)[0])
        found = torch.cat(features).float()  # (n,D)
        scores = net.activate(net.classifier(found))
    return scores.cpu().numpy(), found.cpu().numpy()


def _check(boxes: NDArray[Any], height: int, width: int) -> None:
    x0, y0, x1, y1 = boxes.T
    wrong = np.flatnonzero((x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height) | (x0 >= x1) | (y0 >= y1))
    if len(wrong):
        i = int(wrong[0])
        raise WssError(
            f"hypothesis {i}: its box {', '.join(str(v) for v in boxes[i].tolist())} (x0, y0, x1, y1) is empty or "
            f"reaches out of its photo of {height} x {width} (height x width); the proposals are of another photo: "
            "make them again"
        )


def _batch(net: HCP, images: list[NDArray[np.uint8]]) -> torch.Tensor:
    """Images of any sizes, warped to the net's square and normalised: (N,3,S,S)."""
    squares = torch.from_numpy(np.stack([_square(image, net.size) for image in images]))
    return net.backbone.normalise(squares.to(next(net.parameters()).device).permute(0, 3, 1, 2))


def _square(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """As the training resizes: area means when both sides shrink, else bilinear."""
    shrinks = min(image.shape[:2]) > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method), np.uint8)
