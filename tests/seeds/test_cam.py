"""The four class activation maps: by hand, against their literal loops, and against each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from wsscli.classes import ClassTable
from wsscli.nets.classifier import CamNet
from wsscli.seeds.cam import cam, grad_cam, grad_cam_plus_plus, layer_cam

ALL = [cam, grad_cam, grad_cam_plus_plus, layer_cam]


class Linear(nn.Module):
    """Global average pooling and a linear layer on features that are given."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = weight  # (K, C)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def classifier(self, features: torch.Tensor) -> torch.Tensor:
        return torch.einsum("kc,nchw->nkhw", self.weight, features)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean((2, 3)) @ self.weight.T


class Deep(Linear):
    """A head that is not linear, so that gradients differ from position to position."""

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        return (features.square() * features).mean((2, 3)) @ self.weight.T


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 5, 3, 4, generator=generator, dtype=torch.float64)
    return features, torch.randn(3, 5, generator=generator, dtype=torch.float64)


def test_cam_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # two channels of 1 x 2
    net = Linear(torch.tensor([[1.0, 0.0], [1.0, -1.0]]))
    assert cam(net, features, [0, 1]).tolist() == [[[[1, 2]], [[-2, 2]]]]
    assert cam(net, features, [1]).tolist() == [[[[-2, 2]]]]


def test_grad_cam_on_pooling_and_a_linear_layer_is_the_positive_part_of_cam(case) -> None:
    features, weight = case
    net = Linear(weight)
    torch.testing.assert_close(grad_cam(net, features, [0, 2]), cam(net, features, [0, 2]).relu())


def test_grad_cam_equals_cam_on_a_real_net() -> None:
    torch.manual_seed(0)
    net = CamNet.build("tiny", ClassTable.of(["a", "b", "c"])).eval()
    with torch.no_grad():
        features = net.features(torch.randn(2, 3, 33, 41))
        plain, by_gradient = cam(net, features, [0, 2]), grad_cam(net, features, [0, 2])
    assert plain.shape == (2, 2, *features.shape[2:])
    assert plain.max() > 0
    torch.testing.assert_close(by_gradient, plain.relu(), rtol=1e-4, atol=1e-7)
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("kind", [Linear, Deep])
@pytest.mark.parametrize("method", ALL)
def test_equal_to_the_literal_form(kind, method, case) -> None:
    features, weight = case
    found = method(kind(weight), features, [2, 0])
    assert found.shape == (2, 2, 3, 4)
    for n in range(2):
        for place, k in enumerate((2, 0)):
            wanted = literal(kind, method.__name__, features[n].tolist(), weight[k].tolist())
            torch.testing.assert_close(found[n, place], torch.tensor(wanted, dtype=torch.float64))


def literal(kind, name: str, a: list, w: list[float]) -> list[list[float]]:
    channels, height, width = len(a), len(a[0]), len(a[0][0])
    positions = [(i, j) for i in range(height) for j in range(width)]
    z = len(positions)

    def gradient(c: int, i: int, j: int) -> float:
        return w[c] / z if kind is Linear else w[c] * 3 * a[c][i][j] ** 2 / z

    def alpha(c: int, i: int, j: int) -> float:
        g = gradient(c, i, j)
        divisor = 2 * g**2 + sum(a[c][p][q] for p, q in positions) * g**3
        return g**2 / divisor if divisor else 0.0

    out = [[0.0] * width for _ in range(height)]
    for c in range(channels):
        for i, j in positions:
            if name == "cam":
                weight = w[c]
            elif name == "grad_cam":
                weight = sum(gradient(c, p, q) for p, q in positions)
            elif name == "grad_cam_plus_plus":
                weight = sum(alpha(c, p, q) * max(gradient(c, p, q), 0) for p, q in positions)
            else:
                weight = max(gradient(c, i, j), 0) * z
            out[i][j] += weight * a[c][i][j]
    return out if name == "cam" else [[max(value, 0.0) for value in row] for row in out]


@pytest.mark.parametrize("method", ALL)
def test_a_larger_map_of_the_same_features_is_as_strong(method, case) -> None:
    """Maps of several sizes are added: none may weigh more because it is small."""
    features, weight = case
    net = Linear(weight)
    larger = features.repeat_interleave(2, 2).repeat_interleave(3, 3)
    wanted = method(net, features, [0, 1]).repeat_interleave(2, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(method(net, larger, [0, 1]), wanted)


@pytest.mark.parametrize("method", ALL)
def test_an_image_does_not_depend_on_the_others_of_its_batch(method, case) -> None:
    features, weight = case
    net = Deep(weight)
    both = method(net, features, [1])
    torch.testing.assert_close(both[1:], method(net, features[1:], [1]))


@pytest.mark.parametrize("method", ALL)
def test_dead_or_huge_features_give_finite_maps_and_no_class_is_fine(method, case) -> None:
    features, weight = case
    net = Linear(weight)
    dead = torch.zeros_like(features)
    assert not method(net, dead, [0, 1]).any()
    assert math.isfinite(method(net, features * 1e4, [0, 1]).sum().item())
    assert method is cam or (method(net, features - 0.5, [0, 1, 2]) >= 0).all()
    assert method(net, features, []).shape == (2, 0, 3, 4)
