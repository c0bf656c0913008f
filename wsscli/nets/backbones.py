"""Backbones: convolutional feature extractors with a chosen output stride, and their ImageNet weights.

Every backbone takes images normalised by its own `mean` and `std` (see `Backbone.normalise`) and returns one
feature map. Strides are turned into dilations from the back, so that the ImageNet weights stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import nn

from wsscli.errors import UsageError, WssError
from wsscli.nets.tiny import TinyBody
from wsscli.nets.weights import load_lite0, load_timm, load_torchvision

Pixel = tuple[float, float, float]
Extract = Callable[[Any, torch.Tensor], torch.Tensor]  # (body, images) -> feature map
IMAGENET_MEAN: Pixel = (0.485, 0.456, 0.406)
IMAGENET_STD: Pixel = (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """A feature extractor: (N,3,H,W) normalised float -> (N, channels, about H/stride, about W/stride).

    Attributes:
        name: as given to `--backbone`.
        channels: channels of the feature map.
        stride: pixels of the image for one step in the feature map.
        mean, std: what the weights expect, for RGB in [0, 1].
        body: the library's net; its parameter names are those of the library's published weights.
    """

    def __init__(self, name: str, body: nn.Module, extract: Extract, stride: int, mean: Pixel, std: Pixel):
        super().__init__()
        self.name = name
        self.body = body
        self.stride = stride
        self.mean = mean
        self.std = std
        self._extract = extract
        self._kept: dict[int, dict[str, torch.Tensor]] = {}  # by thread, see keep
        self._mean: torch.Tensor
        self._std: torch.Tensor
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1) * 255, persistent=False)
        with torch.no_grad():
            self.eval()
            probe = self(torch.zeros(1, 3, 64, 64))
            self.train()
        if probe.ndim != 4:
            raise WssError(
                f"backbone {name}: its features are {probe.ndim}-dimensional, not a map (N,C,h,w); "
                "take a convolutional net"
            )
        self.channels = probe.shape[1]

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 RGB (N,3,H,W) -> float32 as the weights expect it."""
        if len(set(self.mean)) == len(set(self.std)) == 1:  # one number for all channels is much faster than three
            return images.float().sub_(self.mean[0] * 255).div_(self.std[0] * 255)
        return images.float().sub_(self._mean).div_(self._std)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self._extract(self.body, images)

    def keep(self, stages: Sequence[str]) -> None:
        """Let `with_kept` see these modules of the body; to be called once, before threads share the net."""
        # Hooks for good, a place a thread: threads that add and remove hooks would see each other's features.
        for stage in stages:

            def hook(_module: nn.Module, _inputs: Any, output: torch.Tensor, stage: str = stage) -> None:
                self._kept.setdefault(get_ident(), {})[stage] = output

            self.body.get_submodule(stage).register_forward_hook(hook)

    def with_kept(self, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The feature map, and what each of the kept modules gave on the way."""
        features = self(images)
        return features, self._kept.pop(get_ident())

    def keep_early(self) -> None:
        """Let `with_early` see the stage `early_stage`; to be called once, before threads share the net."""
        self.keep([early_stage(self)])

    def with_early(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The feature map, and that of the stage `early_stage` on the way: (N, C', about H/4, about W/4)."""
        features, kept = self.with_kept(images)
        return features, kept[early_stage(self)]


class _Kind(NamedTuple):
    build: Callable[[int, bool], tuple[nn.Module, Extract]]
    weights: Callable[[nn.Module], None] | None
    mean: Pixel
    std: Pixel
    output_stride: int  # default
    strides: tuple[int, ...]


def _build_lite0(output_stride: int, head: bool) -> tuple[nn.Module, Extract]:
    import timm

    body = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0, output_stride=output_stride)
    return _timm_head(body, head), _timm_features


def _timm_head(body: nn.Module, head: bool) -> nn.Module:
    # The 1x1 expansion before the classifier (320 -> 1280 in lite0) only pays for image classification.
    if not head and hasattr(body, "conv_head") and hasattr(body, "bn2"):
        body.conv_head = nn.Identity()
        body.bn2 = nn.Identity()
    return body


def _timm_features(body: Any, images: torch.Tensor) -> torch.Tensor:
    return body.forward_features(images)


def _build_vgg16(output_stride: int, head: bool) -> tuple[nn.Module, Extract]:
    """VGG-16's 13 convolutions as DeepLab and SEC change them.

    3x3 pools with padding 1 (321 -> 161 -> 81 -> 41); where the output stride is reached, pools keep stride 1
    and the convolutions behind them are dilated.
    Source: METHODS section 1; DeepLab (Chen et al. 2015), section 3.
    """
    import torchvision

    del head
    body = torchvision.models.vgg16(weights=None, init_weights=False)
    body.classifier = nn.Identity()
    body.avgpool = nn.Identity()
    stride, dilation = 1, 1
    for index, layer in enumerate(body.features):
        if isinstance(layer, nn.MaxPool2d):
            step = 2 if stride * 2 <= output_stride else 1
            body.features[index] = nn.MaxPool2d(3, stride=step, padding=1)
            stride, dilation = stride * step, dilation * (2 // step)
        elif isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (dilation, dilation)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return body, lambda body, images: body.features(images)


def _resnet_builder(name: str) -> Callable[[int, bool], tuple[nn.Module, Extract]]:
    def build(output_stride: int, head: bool) -> tuple[nn.Module, Extract]:
        import torchvision

        del head
        dilated = [False, output_stride <= 8, output_stride <= 16]  # layer2, layer3, layer4
        body = getattr(torchvision.models, name)(weights=None, replace_stride_with_dilation=dilated)
        body.fc = nn.Identity()
        return body, _resnet_features

    return build


def _resnet_features(body: Any, images: torch.Tensor) -> torch.Tensor:
    x = body.maxpool(body.relu(body.bn1(body.conv1(images))))  # (N,64,H/4,W/4)
    return body.layer4(body.layer3(body.layer2(body.layer1(x))))  # (N,2048,h,w)


def _build_tiny(output_stride: int, head: bool) -> tuple[nn.Module, Extract]:
    del head
    return TinyBody(output_stride), lambda body, images: body(images)


_HALF: Pixel = (0.5, 0.5, 0.5)
# EfficientNet-Lite's own preprocessing is (pixel - 127) / 128.
_LITE_MEAN: Pixel = (127 / 255, 127 / 255, 127 / 255)
_LITE_STD: Pixel = (128 / 255, 128 / 255, 128 / 255)

_KINDS: dict[str, _Kind] = {
    "lite0": _Kind(_build_lite0, load_lite0, _LITE_MEAN, _LITE_STD, 16, (8, 16, 32)),
    "vgg16": _Kind(_build_vgg16, load_torchvision("vgg16"), IMAGENET_MEAN, IMAGENET_STD, 8, (8, 16, 32)),
    "resnet50": _Kind(
        _resnet_builder("resnet50"), load_torchvision("resnet50"), IMAGENET_MEAN, IMAGENET_STD, 8, (8, 16, 32)
    ),
    "resnet101": _Kind(
        _resnet_builder("resnet101"), load_torchvision("resnet101"), IMAGENET_MEAN, IMAGENET_STD, 8, (8, 16, 32)
    ),
    "tiny": _Kind(_build_tiny, None, _HALF, _HALF, 8, (4, 8, 16)),
}


def _timm_kind(name: str) -> _Kind:
    import timm

    model = name.removeprefix("timm:")
    if model not in timm.list_models():
        near = timm.list_models(f"*{model[:8]}*")[:5]
        raise UsageError(f"backbone {name}: timm has no model '{model}'; near: {', '.join(near) or 'none'}")

    def build(output_stride: int, head: bool) -> tuple[nn.Module, Extract]:
        try:
            body = timm.create_model(model, pretrained=False, num_classes=0, output_stride=output_stride)
        except (NotImplementedError, TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise WssError(
                f"backbone {name}: timm cannot build it with output stride {output_stride} ({error}); "
                "try --output-stride 32 or another net"
            ) from error
        return _timm_head(body, head), _timm_features

    config = timm.get_pretrained_cfg(model)
    mean = tuple(config.mean) if config else IMAGENET_MEAN
    std = tuple(config.std) if config else IMAGENET_STD
    return _Kind(build, load_timm(model), mean, std, 16, (8, 16, 32))  # type: ignore[arg-type]


def _kind(name: str) -> _Kind:
    if name.startswith("timm:"):
        return _timm_kind(name)
    if name not in _KINDS:
        raise UsageError(f"unknown backbone '{name}'; known: {', '.join(_KINDS)}, timm:NAME")
    return _KINDS[name]


def early_stage(model: Backbone) -> str:
    """The module within `body` whose output affinities are taken from: a ResNet's first block, else stride 4.

    Raises:
        UsageError: the backbone's stages are not known.

    Source: Ke and Hsu 2018, section 4.1 (res2a of ResNet-101).
    """
    if model.name.startswith("resnet"):
        return "layer1.0"
    known = {"vgg16": "features.9", "tiny": "5"}
    if model.name in known:
        return known[model.name]
    stages = getattr(model.body, "feature_info", None)
    found = [stage["module"] for stage in (stages or []) if stage["reduction"] == 4]
    if not found:
        raise UsageError(f"backbone {model.name}: no stage of stride 4 is known; take lite0, vgg16 or a resnet")
    return str(found[-1])


def pyramid_stages(model: Backbone) -> tuple[str, ...]:
    """The modules within `body` that end the stages of strides 4, 8, ..., but for the last, the feature map itself.

    At a smaller output stride than the largest, the later ones have a stride that has become dilation.

    Raises:
        UsageError: the backbone's stages are not known.
    """
    known = {"vgg16": ("features.15", "features.22", "features.29"), "tiny": ("5", "8")}
    if model.name.startswith("resnet"):
        return "layer1", "layer2", "layer3"
    if model.name in known:
        return known[model.name]
    stages = [stage for stage in getattr(model.body, "feature_info", None) or [] if stage["reduction"] >= 4]
    if len(stages) < 2 or stages[0]["reduction"] != 4 or not all(stage["module"] for stage in stages):
        raise UsageError(
            f"backbone {model.name}: no stages of strides 4, 8, ... are known; take lite0, vgg16 or a resnet"
        )
    return tuple(str(stage["module"]) for stage in stages[:-1])


def early_stages(model: Backbone, count: int) -> tuple[str, ...]:
    """Prefixes (within the backbone) of the parameters of its first `count` stages, stem first.

    Raises:
        UsageError: when the backbone has no named stages, or fewer.
    """
    if count == 0:
        return ()
    names = {name.split(".")[0] for name, _ in model.body.named_parameters()}
    stages: list[tuple[str, ...]] = []
    if {"conv_stem", "blocks"} <= names:  # EfficientNets
        depth = len(model.body.blocks)  # type: ignore[arg-type]
        stages = [("conv_stem.", "bn1."), *((f"blocks.{i}.",) for i in range(depth))]
    elif {"conv1", "layer1"} <= names:  # ResNets
        stages = [("conv1.", "bn1."), *((f"layer{i}.",) for i in range(1, 5))]
    elif model.name == "vgg16":  # between the pools
        pools = (0, 5, 10, 17, 24, 31)
        stages = [tuple(f"features.{i}." for i in range(*pair)) for pair in pairwise(pools)]
    if count > len(stages):
        raise UsageError(f"--freeze {count}: backbone {model.name} has {len(stages)} stages that can be frozen")
    return tuple(f"body.{prefix}" for stage in stages[:count] for prefix in stage)


def default_output_stride(name: str, wanted: int | None = None) -> int:
    """The output stride a backbone takes when none is asked for: the wanted one, if it can have that.

    Raises:
        UsageError: for an unknown name.
    """
    kind = _kind(name)
    return wanted if wanted in kind.strides and wanted is not None else kind.output_stride


def largest_output_stride(name: str) -> int:
    """The output stride at which no stage of a backbone is dilated.

    Raises:
        UsageError: for an unknown name.
    """
    return max(_kind(name).strides)


def backbone(name: str, init: str = "none", output_stride: int | None = None, *, head: bool = True) -> Backbone:
    """Build a backbone.

    Args:
        name: `lite0`, `vgg16`, `resnet50`, `resnet101`, `tiny` (for tests) or `timm:NAME`.
        init: `imagenet` for the published weights, `none` for random ones, else the path of a weights file
            (`.pth` or `.safetensors`) with the library's tensor names.
        output_stride: pixels for one step of the feature map; None takes the backbone's default.
        head: keep the 1x1 expansion that some nets have in front of their classifier (lite0: 320 -> 1280).

    Raises:
        UsageError: for an unknown name or a stride that the net cannot have.
        WssError: when weights cannot be found, downloaded, read or do not fit.
    """
    from wsscli.nets.weights import load_file

    kind = _kind(name)
    stride = output_stride or kind.output_stride
    if stride not in kind.strides:
        raise UsageError(
            f"backbone {name}: output stride {stride} is not possible; take one of {', '.join(map(str, kind.strides))}"
        )
    body, extract = kind.build(stride, head)
    if init == "imagenet":
        if kind.weights is None:
            raise UsageError(f"backbone {name} has no ImageNet weights; pass --init none or --init FILE")
        kind.weights(body)
    elif init != "none":
        load_file(body, Path(init), name)
    return Backbone(name, body, extract, stride, kind.mean, kind.std)
