"""Where the heatmaps of `make-seeds` come from: a classifier that looks at the photos, or a directory of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wsscli.errors import UsageError, WssError
from wsscli.steps._classifier import Loaded, check_labels, load_imagenet, load_trained
from wsscli.steps._ledger import inherit
from wsscli.steps._options import flag
from wsscli.steps._sources import check_size, check_table

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt
    import torch

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Input, Manifest
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output
    from wsscli.steps._run import Job


class Made(NamedTuple):
    """What a method gives to the step."""

    work: Callable[[str], Output]
    kind: str
    options: Mapping[str, Any]
    inputs: Sequence[Input]
    supervision: Sequence[str]
    threads: AbstractContextManager[None]
    """What holds while images run side by side."""
    score_type: str = "cam"
    """Of the scores, where it writes some."""
    class_free: bool = False
    """Whether no label was looked at, so that 1 is some object."""
    around: Callable[[Job], AbstractContextManager[None]] | None = None
    """What goes before all images, see `per_image`."""


def open_cams(path: Path) -> MaskDir:
    """A directory of cam scores.

    Raises:
        WssError: it has no scores, or scores of another kind.
    """
    from wsscli.maskdir.maskdir import open_maskdir

    folder = open_maskdir(path, need="scores")
    kind = folder.manifest.score_type if folder.manifest else None
    if kind != "cam":
        raise WssError(f"{path}: holds {kind} scores; --cams reads cam scores (of make-seeds or `wss import cam-npy`)")
    return folder


def refuse_options(cams: Path, given: Mapping[str, Any]) -> None:
    """Raises UsageError for an option that says how heatmaps are made, where they are there already."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"{flag(name)}: {cams} holds the heatmaps already; leave it out, or make them anew with --model"
            )


@dataclass(frozen=True)
class FromScores:
    """Stored heatmaps."""

    folder: MaskDir
    dataset: Dataset
    inputs: Sequence[Input]
    supervision: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    lacking: str = "no heatmap"

    @classmethod
    def of(cls, folder: MaskDir, dataset: Dataset) -> FromScores:
        check_table(folder.classes, folder.path, dataset.classes, dataset.root, class_free=False)
        return cls(folder, dataset, (folder.as_input("cams"),), inherit(folder.manifest))

    def __call__(
        self, name: str, image: npt.NDArray[np.uint8], labels: Sequence[int]
    ) -> tuple[npt.NDArray[np.float32], list[int]]:
        """Heatmaps (K, h, w) of the image's classes that have one, and their ids."""
        import numpy as np

        found, photo = self.folder.scores(name), self.dataset.image_path(name)
        check_size(found.size, self.folder.scores_path(name), (image.shape[0], image.shape[1]), photo)
        rows = [row for row, c in enumerate(found.classes.tolist()) if c in labels]
        if not (np.isfinite(found.scores[rows]) & (found.scores[rows] >= 0)).all():
            path = self.folder.scores_path(name)
            raise WssError(f"{path}: holds NaN, infinity or a negative value; make the scores again")
        return found.scores[rows], found.classes[rows].tolist()

    def threads(self) -> AbstractContextManager[None]:
        return nullcontext()


class FromModel:
    """A classifier's heatmaps; called from several threads at once."""

    lacking = "no ImageNet counterpart"

    def __init__(
        self, loaded: Loaded, cam: str, scales: tuple[float, ...], *, flip: bool, device: torch.device, bf16: bool
    ):
        import threading

        from wsscli.methods import resolve

        self.loaded, self.scales, self.flip, self.device, self.bf16 = loaded, scales, flip, device, bf16
        self.method = resolve(cam)
        self.inputs, self.supervision = loaded.inputs, loaded.supervision
        # On a GPU one image at a time fills the device, and memory stays that of one image.
        self.turn = nullcontext() if device.type == "cpu" else threading.Lock()
        self.options: dict[str, Any] = {}

    @classmethod
    def of(
        cls,
        model: Path | None,
        manifest: Manifest | None,
        class_map: Path | None,
        dataset: Dataset,
        labels: Mapping[str, tuple[int, ...]],
        cam: str,
        options: Mapping[str, Any],
        device: str,
        *,
        bf16: bool,
    ) -> FromModel:
        """The classifier of a model directory, or (without a manifest) the embedded one.

        Raises:
            UsageError: sizes or device out of range.
            WssError: images of classes that the model does not know.
        """
        from wsscli.nets.device import pick_device
        from wsscli.seeds.multiscale import check_scales

        check_scales(options["scales"])
        where = pick_device(device)
        if manifest is None or model is None:
            loaded = load_imagenet(class_map, dataset.classes, options["output_stride"], where)
        else:
            loaded = load_trained(model, manifest, dataset.classes, options["output_stride"], where)
            check_labels(labels, dataset.classes, loaded.channels, model)
        source = cls(loaded, cam, options["scales"], flip=options["flip"], device=where, bf16=bf16)
        source.options = {
            "cam": cam, "model": "imagenet" if manifest is None else "trained", "scales": options["scales"],
            "flip": options["flip"], "output_stride": loaded.stride, "bf16": bf16, "device": where.type,
        }  # fmt: skip
        return source

    def __call__(
        self, name: str, image: npt.NDArray[np.uint8], labels: Sequence[int]
    ) -> tuple[npt.NDArray[np.float32], list[int]]:
        """Heatmaps (K, h, w) of the image's classes that the classifier knows, and their ids."""
        classes = [c for c in labels if c in self.loaded.channels]
        return self.maps(image, classes, name), classes

    def threads(self) -> AbstractContextManager[None]:
        return threads_on(self.device)

    def maps(self, image: npt.NDArray[np.uint8], classes: list[int], name: str) -> npt.NDArray[np.float32]:
        """(K, h, w) float32 >= 0, exact in float16, so that the stored scores give the same seeds."""
        import numpy as np
        import torch

        from wsscli.seeds.multiscale import grid_size, multiscale

        if not classes:
            grid = grid_size((image.shape[0], image.shape[1]), max(self.scales), self.loaded.stride)
            return np.zeros((0, *grid), np.float32)
        if self.device.type == "cpu":
            torch.set_num_threads(1)  # counts for the calling thread
        net, channels = self.loaded.net, [self.loaded.channels[c] for c in classes]

        def maps_of(pixels: torch.Tensor) -> torch.Tensor:
            seen = net.backbone.normalise(pixels).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                features = net.features(seen)
            found: torch.Tensor = self.method(net, features.float(), channels)
            return found

        with self.turn, torch.no_grad():
            maps = multiscale(
                maps_of, image, scales=self.scales, flip=self.flip, stride=self.loaded.stride, device=self.device
            )
        return storable(maps, name)


def storable(maps: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    """An image's maps as a score file will have them (float16, >= 0), so that stored ones give the same result.

    Raises:
        WssError: they hold NaN or infinity.
    """
    import numpy as np

    if not np.isfinite(maps).all():
        raise WssError(f"the heatmaps of '{name}' hold NaN or infinity; the model has diverged, train it again")
    return maps.clip(0, np.finfo(np.float16).max).astype(np.float16).astype(np.float32)


def threads_on(device: torch.device) -> AbstractContextManager[None]:
    """On the CPU images run side by side, each on one thread: faster than all threads on one, and the same bits."""
    from wsscli.nets.device import one_torch_thread

    return one_torch_thread() if device.type == "cpu" else nullcontext()
