"""The classifier behind `make-seeds`: a trained one, or the embedded ImageNet one with a class map."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import UsageError, WssError

if TYPE_CHECKING:
    import torch

    from wsscli.classes import ClassTable
    from wsscli.maskdir.manifest import Input, Manifest

log = logging.getLogger("wsscli")

VOC_MAP = Path(__file__).parents[1] / "data" / "voc_imagenet.json"


@dataclass(frozen=True)
class Loaded:
    """A classifier ready for a data set.

    Attributes:
        net: with `features`, `classifier`, `logits` (`wsscli.seeds.cam.Classifier`) and `backbone`, evaluating.
        channels: class id of the data set -> channel of the net; classes without one are missing.
        stride: its output stride.
        inputs: for the lineage.
        supervision: for the ledger.
    """

    net: Any
    channels: Mapping[int, int]
    stride: int
    inputs: tuple[Input, ...]
    supervision: tuple[str, ...]


def load_trained(
    directory: Path,
    manifest: Manifest,
    classes: ClassTable,
    output_stride: int | None,
    device: torch.device,
    *,
    arch: str = "cam",
) -> Loaded:
    """A model directory of `train-cls`; `arch`: which of its nets."""
    from wsscli.maskdir.manifest import Input
    from wsscli.nets.store import load_model

    net = load_model(directory, str(device), arch=arch, output_stride=output_stride)
    known = {name: i for i, name in enumerate(net.classes.foreground)}
    channels = {i: known[name] for i, name in enumerate(classes.names) if name in known}
    source = Input("model", str(directory.resolve()), manifest.digest())
    return Loaded(net, channels, net.backbone.stride, (source,), manifest.supervision)


def load_imagenet(
    class_map: Path | None, classes: ClassTable, output_stride: int | None, device: torch.device
) -> Loaded:
    """The embedded classifier, each class standing for a list of ImageNet classes."""
    from wsscli.maskdir.maskdir import input_file
    from wsscli.nets.imagenet import ImagenetNet

    path = class_map or VOC_MAP
    groups = read_class_map(path, classes, strict=class_map is not None)
    if class_map is None and not set(groups) >= set(classes.foreground):
        stranger = next(name for name in classes.foreground if name not in groups)
        raise UsageError(
            f"--model imagenet: '{stranger}' is none of VOC's classes, for which a map comes with wss; say which "
            "ImageNet classes stand for each class with --class-map FILE"
        )
    without = [name for name in classes.foreground if not groups.get(name)]
    if len(without) == len(classes.foreground):
        raise WssError(f"{path}: no class of the data set has an ImageNet counterpart there; map at least one")
    if without:
        log.warning(
            "%s: no ImageNet counterpart, so no seeds, for %s; images that hold one are listed under fell_back",
            path.name,
            ", ".join(without),
        )
    try:
        net = ImagenetNet([groups.get(name, []) for name in classes.foreground], output_stride=output_stride)
    except WssError as error:
        raise WssError(f"{path}: {error}") from error
    channels = {i + 1: i for i, name in enumerate(classes.foreground) if groups.get(name)}
    return Loaded(
        net.to(device).eval(), channels, net.backbone.stride, (input_file("class-map", path),), ("image-labels",)
    )


def read_class_map(path: Path, classes: ClassTable, *, strict: bool = True) -> dict[str, list[int]]:
    """A JSON object: class name -> list of ImageNet indices (an empty one: no counterpart).

    Args:
        path: the file.
        classes: of the data set.
        strict: refuse names that the data set does not have.

    Raises:
        WssError: unreadable, of another form, or a name that the data set does not have.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WssError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise WssError(f"{path}: not JSON ({error})") from error
    form = 'a class map is a JSON object like {"cat": [281, 282], "person": []}'
    if not isinstance(plain, dict):
        raise WssError(f"{path}: {form}")
    for name, indices in plain.items():
        if not isinstance(indices, list) or not all(type(index) is int for index in indices):
            raise WssError(f"{path}: the entry of '{name}' is {json.dumps(indices)}; {form}")
        if strict and name not in classes.foreground:
            near = get_close_matches(name, classes.foreground, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(classes.foreground[:25])}"
            raise WssError(f"{path}: the data set has no class '{name}'; {hint}")
    return plain


def check_labels(labels: Mapping[str, Iterable[int]], classes: ClassTable, known: Iterable[int], model: Path) -> None:
    """Refuse images with a class that a trained model has never seen.

    Raises:
        WssError: names the class, how many images hold it, and one of them.
    """
    seen = set(known)
    for number, name in enumerate(classes.names):
        holders = [image for image, found in labels.items() if number in found]
        if number not in seen and holders:
            raise WssError(
                f"{model}: does not know the class '{name}', which {len(holders)} images hold (the first is "
                f"'{holders[0]}'); train it with that class, or leave the images out with --ids"
            )
