import pytest
import torch
from torch import nn
from torch.nn import functional

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.nets.backbones import backbone
from wsscli.nets.fpn import FPN, RATES, default_hidden

CLASSES = ClassTable.of(["cat", "dog"])


@pytest.fixture(params=RATES)
def net(request):
    torch.manual_seed(0)
    made = FPN.build("tiny", CLASSES, arch=request.param, size=129).eval()
    nn.init.normal_(made.predict.weight)
    return made


def convolve(layer, x):
    return functional.conv2d(x, layer.weight, layer.bias, padding=layer.padding, dilation=layer.dilation)


def resize(x, size):
    """Sides of 2^k + 1: the corner samples lie on one another."""
    return functional.interpolate(x, size, mode="bilinear", align_corners=True)


def literal(net, images):
    """Figure 4 word by word, the concatenated map built."""
    c = [images]
    for layer in net.backbone.body:
        c.append(layer(c[-1]))
    stages = [c[6], c[9], c[12]]  # behind the ReLUs of the convolutions 2, 3 and 4: strides 4, 8, 16
    top_down = [None, None, convolve(net.lateral[2], stages[2])]
    for i in (1, 0):
        lateral = convolve(net.lateral[i], stages[i])
        top_down[i] = lateral + resize(top_down[i + 1], lateral.shape[-2:])
    levels = [convolve(layer, p).relu() for layer, p in zip(net.smooth, top_down, strict=True)]
    if net.arch == "dfpn":
        for i, branch in enumerate(net.dilated):
            seen = levels[i]
            for layer in (branch[0], branch[2], branch[4]):
                seen = convolve(layer, seen).relu()
            levels[i] = levels[i] + seen
    joined = torch.cat([resize(p, levels[0].shape[-2:]) for p in levels], dim=1)
    weight = torch.cat([layer.weight for layer in net.merge], dim=1)
    hidden = functional.conv2d(joined, weight, net.merge[0].bias).relu()
    return functional.conv2d(hidden, net.predict.weight, net.predict.bias)


def test_equals_the_literal_pyramid(net):
    images = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = literal(net, images)
        assert torch.allclose(net(images), expected, atol=1e-4 * expected.abs().max().item())
        assert expected.std() > 0.1


@pytest.mark.parametrize("name", ["lite0", "vgg16", "resnet50", "timm:resnet18"])
def test_stages_of_every_backbone(name):
    net = FPN.build(name, CLASSES, hidden=16, arch="dfpn").eval()
    assert net.strides == [4, 8, 16, 32] and net.stride == 4 and net.backbone.stride == 32
    with torch.inference_mode():
        levels = net.pyramid(torch.zeros(1, 3, 129, 65))
        assert [tuple(level.shape) for level in levels] == [(1, 16, 128 // s + 1, 64 // s + 1) for s in net.strides]
        assert net(torch.zeros(1, 3, 129, 65)).shape == (1, 3, 33, 17)


def test_sizes_that_no_stride_divides():
    net = FPN.build("lite0", CLASSES, arch="dfpn").eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 75, 101)).shape == (1, 3, 19, 26)


def test_a_dilated_backbone_keeps_the_weights_and_the_output():
    coarse, fine = FPN.build("resnet50", CLASSES, hidden=16), FPN.build("resnet50", CLASSES, hidden=16, output_stride=8)
    assert fine.strides == [4, 8, 8, 8]
    fine.load_state_dict(coarse.state_dict())
    with torch.inference_mode():
        assert fine.eval()(torch.zeros(1, 3, 65, 65)).shape == coarse.eval()(torch.zeros(1, 3, 65, 65)).shape


def test_dilated_branches_on_the_three_coarsest_levels():
    plain, dilated = (FPN.build("lite0", CLASSES, arch=arch) for arch in ("fpn", "dfpn"))
    assert len(plain.dilated) == 0
    rates = [[m.dilation[0] for m in branch if isinstance(m, nn.Conv2d)] for branch in dilated.dilated]
    assert rates == [[2, 4, 8]] * 3
    names = {name for name, _ in plain.named_parameters()}
    assert {n for n, _ in dilated.named_parameters() if not n.startswith("dilated.")} == names
    image = torch.randn(1, 3, 65, 65)
    with torch.inference_mode():
        for branch in dilated.dilated:
            for parameter in branch.parameters():
                parameter.zero_()
        plain.load_state_dict(dilated.state_dict(), strict=False)
        assert torch.allclose(plain.eval()(image), dilated.eval()(image), atol=1e-5)  # silent branches: an FPN


def test_dilation_widens_what_a_pixel_sees():
    reach = {}
    for arch in RATES:
        torch.manual_seed(0)
        net = FPN.build("tiny", CLASSES, arch=arch, output_stride=16).double()
        nn.init.ones_(net.predict.weight)
        image = torch.rand(1, 3, 257, 257, dtype=torch.float64, requires_grad=True)
        for norm in net.backbone.modules():
            if isinstance(norm, nn.GroupNorm):
                norm.forward = lambda x: x  # it would let every pixel see the whole image
        net.eval()(image)[0, 0, 32, 32].backward()
        seen = image.grad[0].abs().sum(0).nonzero()
        reach[arch] = int(seen[:, 0].max() - seen[:, 0].min())
    assert reach["dfpn"] > reach["fpn"] + 28


def test_names_of_parameters(net):
    names = [name for name, _ in net.named_parameters()]
    assert {name for name in names if not name.startswith(net.fresh)} == {
        name for name in names if name.startswith("backbone.")
    }
    assert [name for name in names if name.startswith(net.last)] == ["predict.weight", "predict.bias"]


def test_widths_are_multiples_of_16():
    assert [default_hidden(name) for name in ("lite0", "tiny", "vgg16", "resnet101")] == [64, 16, 256, 256]


def test_backbones_without_stages_are_refused():
    with pytest.raises(UsageError) as caught:
        FPN(backbone("timm:resnet18").eval(), CLASSES, arch="unet")
    assert str(caught.value) == "unknown pyramid architecture 'unet'; known: fpn, dfpn"
    body = backbone("timm:resnet18")
    body.body.feature_info = None
    with pytest.raises(UsageError) as caught:
        FPN(body, CLASSES)
    assert str(caught.value) == (
        "backbone timm:resnet18: no stages of strides 4, 8, ... are known; take lite0, vgg16 or a resnet"
    )
    body = backbone("timm:resnet18", output_stride=32)
    body.body.feature_info = [{"module": f"layer{i}", "reduction": 4} for i in (2, 3, 4)]
    with pytest.raises(UsageError) as caught:
        FPN(body, CLASSES)
    assert str(caught.value) == (
        "backbone timm:resnet18: stage 1 gives (1, 128, 9, 9) for 65 pixels, not a map (N,C,h,w) of stride 4; take "
        "lite0, vgg16 or a resnet"
    )
