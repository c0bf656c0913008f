"""Model directories: `model.safetensors` beside a manifest whose `model` entry says how to build the net."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic
from wsscli.maskdir.manifest import Manifest, read_manifest
from wsscli.nets.backbones import largest_output_stride
from wsscli.nets.classifier import CamNet
from wsscli.nets.dasnet import DASNet
from wsscli.nets.fpn import FPN
from wsscli.nets.fpn import RATES as PYRAMIDS
from wsscli.nets.hcp import HCP
from wsscli.nets.segmenter import RATES, DeepLab, rates_at
from wsscli.nets.self_guided import SelfGuided
from wsscli.nets.ssd import SSD
from wsscli.nets.student import Student
from wsscli.nets.weights import read_tensors, short

log = logging.getLogger("wsscli")

WEIGHTS = "model.safetensors"
Segmenter = DeepLab | FPN | Student
Net = CamNet | Segmenter | SelfGuided | HCP | SSD | DASNet


class Architecture(NamedTuple):
    """A row of the table of nets.

    Attributes:
        use: what steps ask for: `cam`, `self-guided`, `hcp`, `segmentation`, `detection` or `boxes`
            (segmentation within boxes).
        build: (backbone's name, class table, options of its `config`) -> the net.
        output_stride: backbone's name -> its output stride in this net when none is asked for; None: the recipe's.
    """

    use: str
    build: Callable[..., Net]
    output_stride: Callable[[str], int] | None = None


ARCHITECTURES: dict[str, Architecture] = {
    "cam": Architecture("cam", CamNet.build),
    "self-guided": Architecture("self-guided", SelfGuided.build),
    "hcp": Architecture("hcp", HCP.build),
    **{arch: Architecture("segmentation", partial(DeepLab.build, arch=arch)) for arch in RATES},
    **{arch: Architecture("segmentation", partial(FPN.build, arch=arch), largest_output_stride) for arch in PYRAMIDS},
    "student": Architecture("segmentation", Student.build),
    "ssd": Architecture("detection", SSD.build),
    "dasnet": Architecture("boxes", DASNet.build),
}
_WANTED = {
    "cam": "net, a classifier is needed; pass what train-cls wrote",
    "self-guided": "net; pass what `wss train-cls --arch self-guided` wrote",
    "hcp": "net; pass what `wss train-cls --arch hcp` wrote",
    "segmentation": "net, a segmentation net is needed; pass what train-seg wrote",
    "detection": "net, a detector is needed; pass what train-det wrote",
    "boxes": "net; pass what `wss train-seg --arch dasnet` wrote",
}


def save_model(directory: Path, model: nn.Module) -> None:
    """Write the net's tensors to `model.safetensors`, atomically; the same tensors give the same bytes.

    What to write into the manifest's `model` entry is `model.config`.
    """
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_atomic(directory / WEIGHTS, save(tensors))


def model_manifest(directory: Path, *, arch: str | None = None) -> Manifest:
    """The manifest of a complete model directory.

    Args:
        directory: a directory written by a training step.
        arch: `"cam"`, `"self-guided"`, `"hcp"`, `"segmentation"`, `"detection"` or `"boxes"` to refuse the other sorts.

    Raises:
        WssError: when it is no model directory, is not complete, or holds the other sort of net.
    """
    manifest = read_manifest(directory) if directory.is_dir() else None
    if manifest is None:
        raise WssError(f"{directory}: not a model directory (no wss.json); pass what train-cls or train-seg wrote")
    if manifest.kind != "model":
        raise WssError(f"{directory}: holds {manifest.kind}, not a model; pass what train-cls or train-seg wrote")
    if not manifest.complete:
        raise WssError(
            f"{directory}: its training is not complete; run the same {manifest.step} command again to finish it"
        )
    if arch is not None:
        check_use(manifest, directory, arch)
    return manifest


def check_use(manifest: Manifest, directory: Path, arch: str) -> None:
    """Raises WssError when a model directory's net is of another sort; `arch` as in `model_manifest`."""
    found = (manifest.model or {}).get("arch")
    known = ARCHITECTURES.get(str(found))
    if known is None or known.use != arch:
        raise WssError(f"{directory}: holds a '{found}' {_WANTED[arch]}")


def build_model(config: dict[str, object]) -> Net:
    """The net that a manifest's `model` entry describes, with random weights.

    Raises:
        WssError: for an architecture that this version does not know.
    """
    values = dict(config)
    arch = str(values.pop("arch", ""))
    classes = ClassTable(tuple(values.pop("classes")))  # type: ignore[arg-type]
    name = str(values.pop("backbone"))
    if arch not in ARCHITECTURES:
        raise WssError(f"unknown architecture '{arch}' in a model's manifest; update wsscli")
    return ARCHITECTURES[arch].build(name, classes, **values)


def load_model(
    directory: Path, device: str | torch.device = "cpu", *, arch: str | None = None, output_stride: int | None = None
) -> Net:
    """Build the net of a model directory, load its weights, set it to evaluation.

    Args:
        directory: a complete model directory.
        device: `cpu`, `cuda`, `cuda:1`, ...
        arch: `"cam"`, `"self-guided"`, `"hcp"`, `"segmentation"`, `"detection"` or `"boxes"` to refuse the other sorts.
        output_stride: another one than in training: strides become dilations, the weights stay.

    Raises:
        UsageError: when the backbone cannot have that output stride.
        WssError: when the directory is not a complete model directory or its weights do not fit its manifest.
    """
    manifest = model_manifest(directory, arch=arch)
    assert manifest.model is not None
    model = build_model(manifest.model if output_stride is None else _at_stride(manifest.model, output_stride))
    _load_exactly(model, directory / WEIGHTS)
    # Convolutions take about half the time in this layout, on CPUs and on GPUs with tensor cores.
    return model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _at_stride(config: dict[str, object], stride: int) -> dict[str, object]:
    """A net's entry at another output stride; branches reach as far in pixels as before."""
    found = {**config, "output_stride": stride}
    if "rates" in config:
        found["rates"] = rates_at(config["rates"], config["output_stride"], stride)  # type: ignore[arg-type]
    return found


def load_segmenter(
    directory: Path, device: str | torch.device = "cpu", *, output_stride: int | None = None
) -> Segmenter:
    """`load_model` of a segmentation net."""
    model = load_model(directory, device, arch="segmentation", output_stride=output_stride)
    assert isinstance(model, Segmenter)  # as the table of architectures says
    return model


def load_detector(directory: Path, device: str | torch.device = "cpu") -> SSD:
    """`load_model` of a detector."""
    model = load_model(directory, device, arch="detection")
    assert isinstance(model, SSD)  # as the table of architectures says
    return model


def load_dasnet(directory: Path, device: str | torch.device = "cpu") -> DASNet:
    """`load_model` of a net that segments within boxes."""
    model = load_model(directory, device, arch="boxes")
    assert isinstance(model, DASNet)  # as the table of architectures says
    return model


def _load_exactly(model: nn.Module, path: Path) -> None:
    tensors = read_tensors(path, strip=False)
    expected = model.state_dict()
    wrong = [k for k in expected if k not in tensors or tensors[k].shape != expected[k].shape]
    wrong += [k for k in tensors if k not in expected]
    if wrong:
        raise WssError(
            f"{path}: does not fit the model entry of its wss.json ({short(wrong)}); train again with --overwrite"
        )
    model.load_state_dict(tensors)


def init_from(model: Net, *directories: Path) -> None:
    """Start a net from earlier model directories: every tensor of the same name and shape is taken.

    A tensor comes from the first directory that has it. What was not taken, on either side, is logged; tensors of
    another shape (a head for other classes) stay random.

    Raises:
        WssError: when a directory is no complete model or has another backbone.
    """
    mine = model.state_dict()
    taken: dict[str, torch.Tensor] = {}
    for directory in directories:
        manifest = model_manifest(directory)
        assert manifest.model is not None
        found, wanted = manifest.model.get("backbone"), model.backbone.name
        if found != wanted:
            raise WssError(
                f"{directory}: its backbone is {found}, not {wanted}; pass --backbone {found} or another --init"
            )
        same_classes = manifest.model.get("classes") == list(model.classes.names)
        tensors = read_tensors(directory / WEIGHTS, strip=False)
        fitting = [
            key
            for key, value in tensors.items()
            if key in mine and mine[key].shape == value.shape and (same_classes or not key.startswith(model.last))
        ]
        unused = [key for key in tensors if key not in fitting]
        if unused:
            log.info("--init %s: not taken: %s", directory, short(unused))
        taken = {key: tensors[key] for key in fitting} | taken
    model.load_state_dict(taken, strict=False)
    fresh = [key for key in mine if key not in taken]
    if fresh:
        log.info("--init %s: stay random: %s", directories[-1], short(fresh))
