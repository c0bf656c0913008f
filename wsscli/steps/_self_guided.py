"""`make-seeds --method self-guided`: its options, and the maps it begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError
from wsscli.steps._classifier import Loaded, check_labels, load_trained
from wsscli.steps._heatmaps import FromScores, Made, storable, threads_on

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt
    import torch

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Manifest
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output
    from wsscli.nets.self_guided import SelfGuided


@dataclass(frozen=True)
class SelfGuiding:
    """Options of `--method self-guided`.

    Attributes:
        stop_at: A = the localization maps, R = after the random walk by affinity, G = after the guided filter too.
        affinity: Take the random walk; without it the filter follows on the localization maps.
        iterations: Applications of the guided filter, each to the last one's result.
        window: Side of the filter's square, pixels, odd.
        eps: Regularisation of the filter, for colours in [0, 1].
        rebinarise: Cut the maps at Otsu's threshold after every application of the filter.
    """

    stop_at: Literal["A", "R", "G"] = "G"
    affinity: bool = True
    iterations: int = 15
    window: int = 35
    eps: float = 1e-6
    rebinarise: bool = False


def check_self_guiding(options: SelfGuiding, *, stored: bool) -> None:
    """Raises UsageError for a value out of range, or options that contradict each other."""
    from wsscli.refine.guided_filter import check_options

    if options.iterations < 1:
        raise UsageError(f"--iterations {options.iterations}: give 1 or more")
    check_options(window=options.window, eps=options.eps, iterations=options.iterations)
    if options.stop_at == "R" and not options.affinity:
        raise UsageError("--stop-at R: R is what the affinity makes; leave --no-affinity out, or take --stop-at A")
    if stored and options.affinity and options.stop_at != "A":
        raise UsageError("--cams holds maps without affinities; add --no-affinity or --stop-at A, or give --model")


class FromSelfGuided:
    """Localization maps of a self-guided net, after the random walk where it is asked for."""

    lacking = "no localization map"

    def __init__(self, loaded: Loaded, scales: tuple[float, ...], *, flip: bool, walk: bool, device: torch.device):
        import threading

        self.net: SelfGuided = loaded.net
        self.turn = nullcontext() if device.type == "cpu" else threading.Lock()  # memory stays that of one image
        self.channels, self.inputs, self.supervision = loaded.channels, loaded.inputs, loaded.supervision
        self.scales, self.flip, self.walk, self.device = scales, flip, walk, device
        self.options: dict[str, Any] = {
            "model": "trained", "scales": scales, "flip": flip, "output_stride": loaded.stride, "device": device.type,
        }  # fmt: skip

    @classmethod
    def of(
        cls,
        model: Path,
        manifest: Manifest,
        dataset: Dataset,
        labels: Mapping[str, tuple[int, ...]],
        options: Mapping[str, Any],
        device: str,
        *,
        walk: bool,
    ) -> FromSelfGuided:
        """The net of a model directory.

        Raises:
            WssError: its weights do not fit, or images are of classes that it does not know.
        """
        from wsscli.nets.device import pick_device
        from wsscli.seeds.multiscale import check_scales

        check_scales(options["scales"])
        where = pick_device(device)
        loaded = load_trained(model, manifest, dataset.classes, options["output_stride"], where, arch="self-guided")
        check_labels(labels, dataset.classes, loaded.channels, model)
        return cls(loaded, options["scales"], flip=options["flip"], walk=walk, device=where)

    def __call__(
        self, name: str, image: npt.NDArray[np.uint8], labels: Sequence[int]
    ) -> tuple[npt.NDArray[np.float32], list[int]]:
        """Maps (K, h, w) >= 0 of the image's classes, and their ids."""
        import numpy as np
        import torch

        from wsscli.seeds.multiscale import input_size, multiscale
        from wsscli.train.augment import resize

        classes = [c for c in labels if c in self.channels]
        if self.device.type == "cpu":
            torch.set_num_threads(1)  # counts for the calling thread
        if not classes:
            return np.zeros((0, 1, 1), np.float32), classes
        rows = [self.channels[c] for c in classes]

        def maps_of(pixels: torch.Tensor) -> torch.Tensor:
            return self.net.maps(self._seen(pixels))[:, rows]

        with self.turn, torch.inference_mode():
            maps = multiscale(
                maps_of, image, scales=self.scales, flip=self.flip, stride=self.net.backbone.stride, device=self.device
            )
            if self.walk:
                size = input_size((image.shape[0], image.shape[1]), self.net.size / max(image.shape[:2]), 32)
                pixels = torch.from_numpy(resize(image, *size)).permute(2, 0, 1)[None].to(self.device)
                features = self.net.affinity(self._seen(pixels)).float()
                maps = walked(torch.from_numpy(maps)[None].to(self.device), features)[0].cpu().numpy()
        return storable(maps, name), classes

    def _seen(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        return self.net.backbone.normalise(pixels).contiguous(memory_format=torch.channels_last)

    def threads(self) -> AbstractContextManager[None]:
        return threads_on(self.device)


def walked(maps: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """R (N,K,s,s) of maps (N,K,h,w) and features (N,C,s,s)."""
    from torch.nn import functional as F

    from wsscli.losses.affinity import random_walk

    side = features.shape[-2:]
    return random_walk(F.interpolate(maps, side, mode="bilinear", align_corners=False, antialias=True), features)


def self_guided(
    model: Path | None,
    manifest: Manifest | None,
    stored: MaskDir | None,
    dataset: Dataset,
    labels: Mapping[str, tuple[int, ...]],
    options: Mapping[str, Any],
    guiding: SelfGuiding,
    device: str,
) -> Made:
    """The method: whole labels from a net's localization maps, or from stored ones."""
    source: FromSelfGuided | FromScores
    if stored is not None:
        source = FromScores.of(stored, dataset)
    else:
        assert model is not None and manifest is not None  # --method self-guided has no embedded net
        walk = guiding.affinity and guiding.stop_at != "A"
        source = FromSelfGuided.of(model, manifest, dataset, labels, options, device, walk=walk)
    how = asdict(guiding)
    guided, affinity = how.pop("stop_at") == "G", how.pop("affinity")
    # what takes no part is no difference between two runs
    recorded = {"stop_at": guiding.stop_at, "affinity": affinity and guiding.stop_at != "A", **(how if guided else {})}

    def work(name: str) -> Output:
        import cv2
        import numpy as np

        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output
        from wsscli.seeds.self_guided import self_guided_labels

        image = dataset.image(name)
        height, width = image.shape[:2]
        maps, classes = source(name, image, labels[name])
        found = self_guided_labels(maps, classes, image, guided=guided, **how)
        if guided and len(maps):
            # G has a value for every pixel: half its resolution keeps a quarter of the bytes
            half = (-(-width // 2), -(-height // 2))
            maps = np.stack([cv2.resize(m, half, interpolation=cv2.INTER_AREA) for m in found.maps])
        names = dataset.classes.names
        lacking = [f"{source.lacking}: {names[c]}" for c in labels[name] if c not in classes]
        flat = [f"flat map, labels nothing: {names[c]}" for c in found.flat]
        scores = Scores(maps, np.asarray(classes, np.int64), (height, width))
        return Output(mask=found.labels, scores=scores, fell_back="; ".join(lacking + flat) or None)

    return Made(
        work, "masks+scores", {**source.options, **recorded}, source.inputs, source.supervision, source.threads()
    )
