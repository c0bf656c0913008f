import pytest
import torch
from torch import nn
from torch.nn import functional

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.nets.segmenter import RATES, DeepLab, default_hidden

CLASSES = ClassTable.of(["cat", "dog"])


@pytest.fixture(params=RATES)
def net(request):
    torch.manual_seed(0)
    return DeepLab.build("tiny", CLASSES, arch=request.param).eval()


def test_the_branches_are_the_papers(net):
    rates = [branch[0].dilation[0] for branch in net.branches]
    assert rates == ([6, 12, 18, 24] if net.arch == "deeplab" else [12])
    for branch in net.branches:
        convolutions = [m for m in branch if isinstance(m, nn.Conv2d)]
        assert [m.kernel_size[0] for m in convolutions] == [3, 1, 1]
        assert [m.out_channels for m in convolutions] == [16, 16, 3]


def test_a_channel_a_class_at_the_output_stride(net):
    with torch.inference_mode():
        out = net(torch.zeros(2, 3, 65, 97))
    assert out.shape == (2, 3, 9, 13) and net.backbone.stride == 8


def test_the_scores_are_the_sum_of_the_branches(net):
    images = torch.randn(1, 3, 33, 33)
    with torch.inference_mode():
        features = net.backbone(images)
        total = torch.zeros(1, 3, *features.shape[2:])
        for branch in net.branches:  # literally: dilated 3x3, ReLU, 1x1, ReLU, 1x1
            fc6, fc7, fc8 = (m for m in branch if isinstance(m, nn.Conv2d))
            rate = fc6.dilation[0]
            hidden = functional.conv2d(features, fc6.weight, fc6.bias, padding=rate, dilation=rate).relu()
            hidden = functional.conv2d(hidden, fc7.weight, fc7.bias).relu()
            total += functional.conv2d(hidden, fc8.weight, fc8.bias)
        assert torch.allclose(net(images), total, atol=1e-5)


def test_widths():
    assert [default_hidden(name) for name in ("lite0", "tiny", "vgg16", "resnet101")] == [256, 16, 1024, 1024]


def test_the_last_layer_is_named(net):
    names = {name for name, _ in net.named_parameters() if name.startswith(net.last)}
    assert names == {f"branches.{i}.6.{part}" for i in range(len(net.branches)) for part in ("weight", "bias")}


def test_unknown_architectures_are_refused():
    with pytest.raises(UsageError, match="unknown DeepLab architecture 'unet'; known: deeplab, deeplab-largefov"):
        DeepLab.build("tiny", CLASSES, arch="unet")
