"""`make-seeds --method self-guided`: its options, and the maps it begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._classifier import check_labels
from wsscli.steps._heatmaps import FromScores, Made, one_torch_thread

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt
    import torch

    from wsscli.data.dataset import Dataset
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
    """Raises UsageError for a value out of range, or an option that comes to nothing."""
    if options.iterations < 1:
        raise UsageError(f"--iterations {options.iterations}: give 1 or more")
    if options.window < 3 or options.window % 2 == 0:
        raise UsageError(f"--window {options.window}: give an odd number of pixels, 3 or more")
    if not 0 < options.eps < float("inf"):
        raise UsageError(f"--eps {options.eps:g}: give more than 0")
    if options.stop_at == "R" and not options.affinity:
        raise UsageError("--stop-at R: R is what the affinity makes; leave --no-affinity out, or take --stop-at A")
    if stored and options.affinity and options.stop_at != "A":
        raise UsageError("--cams holds maps without affinities; add --no-affinity or --stop-at A, or give --model")


class FromSelfGuided:
    """Localization maps of a self-guided net, after the random walk where it is asked for."""

    lacking = "no localization map"

    def __init__(self, net: SelfGuided, scales: tuple[float, ...], *, flip: bool, walk: bool, device: torch.device):
        self.net, self.scales, self.flip, self.walk, self.device = net, scales, flip, walk, device
        self.known = {name: i for i, name in enumerate(net.classes.foreground)}
        self.channels: dict[int, int] = {}
        self.inputs: Sequence[Any] = ()
        self.supervision: Sequence[str] = ()
        self.options: dict[str, Any] = {}

    @classmethod
    def of(
        cls,
        model: Path,
        dataset: Dataset,
        labels: Mapping[str, tuple[int, ...]],
        options: Mapping[str, Any],
        device: str,
        *,
        walk: bool,
    ) -> FromSelfGuided:
        """The net of a model directory.

        Raises:
            WssError: it holds another net, or images are of classes that it does not know.
        """
        from wsscli.maskdir.manifest import Input
        from wsscli.nets.device import pick_device
        from wsscli.nets.store import load_model, model_manifest
        from wsscli.seeds.multiscale import check_scales

        check_scales(options["scales"])
        where = pick_device(device)
        manifest = model_manifest(model, arch="self-guided")
        net: Any = load_model(model, where, arch="self-guided", output_stride=options["output_stride"])
        source = cls(net, options["scales"], flip=options["flip"], walk=walk, device=where)
        source.channels = {
            i: source.known[name] for i, name in enumerate(dataset.classes.names) if name in source.known
        }
        check_labels(labels, dataset.classes, source.channels, model)
        source.inputs = (Input("model", str(model.resolve()), manifest.digest()),)
        source.supervision = manifest.supervision
        source.options = {
            "model": "trained", "scales": options["scales"], "flip": options["flip"],
            "output_stride": net.backbone.stride, "device": where.type,
        }  # fmt: skip
        return source

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

        with torch.inference_mode():
            maps = multiscale(
                maps_of, image, scales=self.scales, flip=self.flip, stride=self.net.backbone.stride, device=self.device
            )
            if not np.isfinite(maps).all():
                raise WssError(f"the maps of '{name}' hold NaN or infinity; the model has diverged, train it again")
            if self.walk:
                size = input_size((image.shape[0], image.shape[1]), self.net.size / max(image.shape[:2]), 32)
                pixels = torch.from_numpy(resize(image, *size)).permute(2, 0, 1)[None].to(self.device)
                features = self.net.affinity(self._seen(pixels)).float()
                maps = walked(torch.from_numpy(maps)[None].to(self.device), features)[0].cpu().numpy()
        return maps, classes

    def _seen(self, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        return self.net.backbone.normalise(pixels).contiguous(memory_format=torch.channels_last)

    def threads(self) -> AbstractContextManager[None]:
        return one_torch_thread(self.device)


def walked(maps: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """R (N,K,s,s) of maps (N,K,h,w) and features (N,C,s,s)."""
    from torch.nn import functional as F

    from wsscli.losses.affinity import random_walk

    return random_walk(F.interpolate(maps, features.shape[-2:], mode="area"), features)


def self_guided(
    model: Path | None,
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
        assert model is not None
        walk = guiding.affinity and guiding.stop_at != "A"
        source = FromSelfGuided.of(model, dataset, labels, options, device, walk=walk)
    how = asdict(guiding)
    guided = how.pop("stop_at") == "G"
    how.pop("affinity")

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
        work, "masks+scores", {**source.options, **asdict(guiding)}, source.inputs, source.supervision, source.threads()
    )
