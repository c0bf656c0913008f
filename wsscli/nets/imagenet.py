"""The embedded ImageNet classifier seen as a classifier of a data set's own classes: nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from wsscli.errors import WssError
from wsscli.nets.backbones import backbone
from wsscli.nets.weights import lite0_classifier

IMAGENET_CLASSES = 1000


class ImagenetNet(nn.Module):
    """EfficientNet-Lite0 with its ImageNet classifier; a class stands for a group of ImageNet's 1000.

    A class's score is the log of the sum of its group's exponentials, so its probability is the sum of the group's
    (before ImageNet's softmax is normalised). The class's weights for an image are then the gradient of that score:
    the group's weights, each counting as much as the image looks like it within the group.

    Attributes:
        groups: ImageNet indices 0..999 of each channel; an empty one has no map.
    """

    arch = "imagenet"
    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, groups: Sequence[Sequence[int]], *, output_stride: int | None = None) -> None:
        super().__init__()
        wrong = [index for group in groups for index in group if not 0 <= index < IMAGENET_CLASSES]
        if wrong:
            raise WssError(f"ImageNet index {wrong[0]} is out of range; the indices are 0 to {IMAGENET_CLASSES - 1}")
        self.backbone = backbone("lite0", "imagenet", output_stride)
        self.groups = [list(group) for group in groups]
        weight, bias = lite0_classifier()
        # ImageNet's softmax does not notice a vector added to all rows, a map does: take the rows' mean away.
        self.register_buffer("weight", weight - weight.mean(0))  # (1000, C)
        self.register_buffer("bias", bias - bias.mean())

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> (N,C,h,w)."""
        return self.backbone(images)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """(N,C,h,w) -> (N,K); 0 for a class without a group."""
        scores = self._scores(features)
        found = [scores[:, g].logsumexp(1) if g else scores.new_zeros(len(scores)) for g in self.groups]
        return torch.stack(found, 1)

    def classifier(self, features: torch.Tensor) -> torch.Tensor:
        """(N,C,h,w) -> (N,K,h,w), each image with its own weights; 0 for a class without a group."""
        scores = self._scores(features)
        weights = [
            scores[:, g].softmax(1) @ self.weight[g] if g else scores.new_zeros(len(scores), self.weight.shape[1])
            for g in self.groups
        ]  # K of (N, C)
        return torch.einsum("nkc,nchw->nkhw", torch.stack(weights, 1), features)

    def _scores(self, features: torch.Tensor) -> torch.Tensor:
        return F.linear(features.mean((2, 3)), self.weight, self.bias)  # (N, 1000)
