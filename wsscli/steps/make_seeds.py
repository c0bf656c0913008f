"""`wss make-seeds`: class activation maps and the hard seeds in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._classifier import Loaded, check_labels, load_imagenet, load_trained
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps._saliency import saliency_source

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Manifest
    from wsscli.maskdir.writer import Output

log = logging.getLogger("wsscli")

# What a model's recipe (or --model imagenet) asks for where no option says otherwise. Fixed once, without masks: the
# paper's 0.2 belongs to its VGG at stride 8, whose heatmaps are narrow. lite0's are wide: 0.65 labels a tenth of the
# pixels. None is the model's own stride.
_LITE0: dict[str, Any] = {
    "scales": (0.5, 1.0, 1.5), "flip": True, "output_stride": 16, "fg_rule": "max-fraction", "fg_threshold": 0.65,
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "modern": _LITE0,
    "imagenet": _LITE0,
    "dsrg": {"scales": (1.0,), "flip": False, "output_stride": None, "fg_rule": "max-fraction", "fg_threshold": 0.2},
}


def make_seeds(
    out: Path,
    *,
    model: Path,
    method: Literal["cam"] = "cam",
    cam: Literal["cam", "grad-cam", "grad-cam++", "layer-cam"] = "cam",
    class_map: Path | None = None,
    scales: tuple[float, ...] | None = None,
    flip: bool | None = None,
    output_stride: int | None = None,
    fg_rule: Literal["max-fraction", "quantile"] | None = None,
    fg_threshold: float | None = None,
    bg_threshold: float = 0.06,
    saliency: Path | None = None,
    saliency_supervision: str | None = None,
    bf16: bool = False,
    device: str = "auto",
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Find the pixels of each image's classes: heatmaps as scores, the surest pixels as masks (255 elsewhere).

    Only the classes of an image's own labels are looked for. Options left out take the value of the recipe that the
    model was trained with.

    Args:
        out: The directory to write: scores of type `cam` and seed masks.
        model: A directory of `train-cls`, or `imagenet` for the embedded classifier (no training; see --class-map).
        method: cam = class activation maps.
        cam: cam, grad-cam, grad-cam++ or layer-cam.
        class_map: JSON, class name -> list of ImageNet indices (0-999), for --model imagenet; VOC's classes when left
            out.
        scales: Sizes at which the net sees an image, as factors of its own, separated by commas; the recipe's when
            left out.
        flip: Add the mirror image at each size; the recipe's when left out.
        output_stride: Pixels a step of the feature map, smaller is finer and slower; the recipe's when left out.
        fg_rule: max-fraction = at least --fg-threshold x the heatmap's maximum; quantile = the highest share; the
            recipe's when left out.
        fg_threshold: In (0, 1]; a higher max-fraction or a smaller quantile gives fewer, surer seeds; the recipe's
            when left out.
        bg_threshold: Pixels of smaller saliency are background seeds.
        saliency: A directory of `wss saliency`, or a folder of grey PNGs; computed here (rbd) when left out.
        saliency_supervision: Ledger entry of a folder of PNGs: `none`, or external-model:NAME (its name by default).
        bf16: Compute in bfloat16 (faster on GPUs and on CPUs that have it).
        device: auto, cpu, cuda, cuda:N or mps.
        data: The data set; the model's when left out.
        run: Common options.

    Returns:
        The directory.

    Raises:
        UsageError: an option is out of its range or does not fit the others.
        WssError: images without labels, classes that the model does not know, missing saliency, unreadable files.

    Source: DSRG (Huang et al., CVPR 2018), section 3.1; Zhou et al. 2016.
    """
    from wsscli.data.dataset import require_labels
    from wsscli.nets.device import pick_device
    from wsscli.seeds.multiscale import check_scales

    imagenet = str(model) == "imagenet"
    if class_map is not None and not imagenet:
        raise UsageError(f"--class-map {class_map}: only --model imagenet takes it; {model} has classes of its own")
    manifest = None if imagenet else _model_manifest(model)
    options = _resolve(
        "imagenet" if manifest is None else str(manifest.options.get("recipe", "modern")),
        scales=scales, flip=flip, output_stride=output_stride, fg_rule=fg_rule, fg_threshold=fg_threshold,
    )  # fmt: skip
    check_scales(options["scales"])
    _check(options["fg_threshold"], bg_threshold)
    another = manifest is not None and data.split not in (None, manifest.split)
    dataset = dataset_for(data, manifest, other_split=another)
    ids = run.select(dataset.ids)
    labels = require_labels(dataset, ids)
    source = saliency_source(saliency, saliency_supervision, ids)
    where = pick_device(device)
    if manifest is None:
        loaded = load_imagenet(class_map, dataset.classes, options["output_stride"], where)
    else:
        loaded = load_trained(model, manifest, dataset.classes, options["output_stride"], where)
        check_labels(labels, dataset.classes, loaded.channels, model)
    options["output_stride"] = loaded.stride
    plan = Plan(
        step="make-seeds",
        out=out,
        kind="masks+scores",
        options={
            "method": method, "cam": cam, "model": "imagenet" if imagenet else "trained", **options,
            "bg_threshold": bg_threshold, "saliency": source.name, "bf16": bf16, "device": where.type,
        },
        classes=dataset.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=(*loaded.inputs, *source.inputs),
        supervision=("image-labels", *loaded.supervision, *source.supervision),
        score_type="cam",
    )  # fmt: skip
    heatmaps = _Heatmaps(loaded, cam, options["scales"], flip=options["flip"], device=where, bf16=bf16)

    def work(name: str) -> Output:
        import numpy as np

        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output
        from wsscli.seeds.hard import hard_seeds

        image = dataset.image(name)
        size = (image.shape[0], image.shape[1])
        classes = [c for c in labels[name] if c in loaded.channels]
        maps = heatmaps(image, classes, name)
        seeds = hard_seeds(
            maps, classes, size, source.of(name, image), fg_rule=options["fg_rule"],
            fg_threshold=options["fg_threshold"], bg_threshold=bg_threshold,
        )  # fmt: skip
        scores = Scores(maps, np.asarray(classes, np.int64), size)
        return Output(mask=seeds, scores=scores, fell_back=_without_map(labels[name], classes, dataset))

    with _one_torch_thread(where):
        return per_image(plan, run, ids, work)


class _Heatmaps:
    """The maps of one image; called from several threads at once."""

    def __init__(
        self, loaded: Loaded, cam: str, scales: tuple[float, ...], *, flip: bool, device: torch.device, bf16: bool
    ):
        import threading

        from wsscli.methods import resolve

        self.loaded, self.scales, self.flip, self.device, self.bf16 = loaded, scales, flip, device, bf16
        self.method = resolve(cam)
        # On a GPU one image at a time fills the device, and memory stays that of one image.
        self.turn = nullcontext() if device.type == "cpu" else threading.Lock()

    def __call__(self, image: npt.NDArray[np.uint8], classes: list[int], name: str) -> npt.NDArray[np.float32]:
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
        if not np.isfinite(maps).all():
            raise WssError(f"the heatmaps of '{name}' hold NaN or infinity; the model has diverged, train it again")
        return maps.clip(0, np.finfo(np.float16).max).astype(np.float16).astype(np.float32)


@contextmanager
def _one_torch_thread(device: torch.device) -> Iterator[None]:
    """On the CPU images run side by side, each on one thread: faster than all threads on one, and the same bits."""
    import torch

    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _model_manifest(model: Path) -> Manifest:
    from wsscli.nets.store import model_manifest

    return model_manifest(model, arch="cam")


def _resolve(recipe: str, **given: Any) -> dict[str, Any]:
    """The recipe's values, overridden by the options that were given."""
    values = dict(RECIPES.get(recipe, RECIPES["modern"]))
    values.update({name: value for name, value in given.items() if value is not None})
    values["scales"] = tuple(sorted(set(values["scales"])))
    return values


def _check(fg_threshold: float, bg_threshold: float) -> None:
    if not 0 < fg_threshold <= 1:
        raise UsageError(f"--fg-threshold {fg_threshold:g}: give a number above 0 and at most 1")
    if not 0 <= bg_threshold <= 1:
        raise UsageError(f"--bg-threshold {bg_threshold:g}: give a number from 0 to 1")


def _without_map(labels: tuple[int, ...], mapped: list[int], dataset: Dataset) -> str | None:
    missing = [dataset.classes.names[c] for c in labels if c not in mapped]
    return f"no ImageNet counterpart, so no seeds: {', '.join(missing)}" if missing else None
