"""The embedded ImageNet classifier with groups of its classes."""

from __future__ import annotations

import pytest
import torch

from wsscli.errors import WssError
from wsscli.nets.imagenet import ImagenetNet
from wsscli.nets.weights import lite0_classifier
from wsscli.seeds.cam import cam, grad_cam


@pytest.fixture(scope="module")
def net() -> ImagenetNet:
    return ImagenetNet([[281, 282, 283], [7], []], output_stride=32).eval()


@pytest.fixture(scope="module")
def features(net: ImagenetNet) -> torch.Tensor:
    with torch.no_grad():
        return net.features(torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(0)))


def test_a_class_is_as_probable_as_its_group(net: ImagenetNet, features: torch.Tensor) -> None:
    weight, bias = lite0_classifier()
    probabilities = (features.mean((2, 3)) @ weight.T + bias).softmax(1)
    found = net.logits(features)
    ratio = probabilities[:, [281, 282, 283]].sum(1) / probabilities[:, 7]
    torch.testing.assert_close((found[:, 0] - found[:, 1]).exp(), ratio, rtol=1e-3, atol=0)
    assert not found[:, 2].any()


def test_a_group_of_one_has_the_plain_map(net: ImagenetNet, features: torch.Tensor) -> None:
    weight, _ = lite0_classifier()
    wanted = torch.einsum("c,nchw->nhw", weight[7] - weight.mean(0), features)
    torch.testing.assert_close(net.classifier(features)[:, 1], wanted, rtol=1e-3, atol=1e-4)
    assert not net.classifier(features)[:, 2].any()


def test_cam_and_grad_cam_agree(net: ImagenetNet, features: torch.Tensor) -> None:
    with torch.no_grad():
        plain = cam(net, features, [0, 1])
    torch.testing.assert_close(grad_cam(net, features, [0, 1]), plain.relu(), rtol=1e-3, atol=1e-4)


def test_an_index_beyond_imagenet_is_refused() -> None:
    with pytest.raises(WssError) as error:
        ImagenetNet([[3], [1000]])
    assert str(error.value) == "ImageNet index 1000 is out of range; the indices are 0 to 999"
