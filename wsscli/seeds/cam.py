"""Class activation maps: CAM, Grad-CAM, Grad-CAM++ and LayerCAM on a classifier's last features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch


class Classifier(Protocol):
    """What the maps are made from: features, then global average pooling and a linear layer."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) normalised -> (N, C, h, w)."""

    def classifier(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, K, h, w), the linear layer at every position."""

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, K), one score a class and image."""


def cam(net: Classifier, features: torch.Tensor, channels: Sequence[int]) -> torch.Tensor:
    """Class activation maps: the classifier's weights applied to the features of every position.

    Args:
        net: in evaluation mode.
        features: (N, C, h, w) of `net.features`.
        channels: the classes wanted, as channels of the net's output.

    Returns:
        (N, len(channels), h, w): sum_k w_k A_k; negative where a position speaks against the class.

    Source: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016, eq. 2.
    """
    return net.classifier(features)[:, list(channels)]


def grad_cam(net: Classifier, features: torch.Tensor, channels: Sequence[int]) -> torch.Tensor:
    """CAM with the gradient's sum over positions as the weight of a channel.

    Arguments and shape as in `cam`, values >= 0. On global average pooling and a linear layer it is the positive part
    of CAM.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017, eq. 1-2.
    Differs: the sum in place of the mean. A pooled score's gradient is as small as its map is large, so that means
        would let the small sizes of an image outweigh the large ones where maps of several sizes are added.
    """
    maps = []
    for gradient in _gradients(net, features, channels):
        weights = gradient.sum((2, 3), keepdim=True)  # (N, C, 1, 1)
        maps.append((weights * features).sum(1).relu())
    return _stack(maps, features)


def grad_cam_plus_plus(net: Classifier, features: torch.Tensor, channels: Sequence[int]) -> torch.Tensor:
    """Grad-CAM whose weights add up the positive gradients, each position with its own coefficient.

    Arguments and shape as in `cam`, values >= 0.

    Source: Chattopadhay et al., "Grad-CAM++", WACV 2018, eq. 5 and 19, the function being exp(score).
    Differs: the factor exp(score), common to all positions of a map, is left out: it overflows, and it would let the
        surest scale outweigh the others.
    """
    maps = []
    for gradient in _gradients(net, features, channels):
        square = gradient.square()
        divisor = 2 * square + features.sum((2, 3), keepdim=True) * square * gradient
        alpha = torch.where(divisor != 0, square / torch.where(divisor != 0, divisor, 1), 0)  # (N, C, h, w), eq. 19
        weights = (alpha * gradient.relu()).sum((2, 3), keepdim=True)  # eq. 5
        maps.append((weights * features).sum(1).relu())
    return _stack(maps, features)


def layer_cam(net: Classifier, features: torch.Tensor, channels: Sequence[int]) -> torch.Tensor:
    """The features weighted by their own positive gradient at every position.

    Arguments and shape as in `cam`, values >= 0.

    Source: Jiang et al., "LayerCAM", TIP 2021, eq. 5-6, on the last layer.
    Differs: times the number of positions, for the reason given in `grad_cam`.
    """
    positions = features.shape[2] * features.shape[3]
    maps = [(gradient.relu() * features).sum(1).relu() * positions for gradient in _gradients(net, features, channels)]
    return _stack(maps, features)


def _gradients(net: Classifier, features: torch.Tensor, channels: Sequence[int]) -> Iterator[torch.Tensor]:
    """d score / d features, (N, C, h, w), class by class."""
    with torch.enable_grad():
        leaf = features.detach().clone().requires_grad_()
        logits = net.logits(leaf)  # (N, K)
        for channel in channels:
            # An image's score depends on its own features only, so the sum's gradient is each one's own.
            yield torch.autograd.grad(logits[:, channel].sum(), leaf, retain_graph=True)[0]


def _stack(maps: list[torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    if maps:
        return torch.stack(maps, 1)
    number, _, height, width = features.shape
    return features.new_zeros((number, 0, height, width))
