"""`wss make-seeds`: from image-level labels to heatmaps and seeds, or to whole labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._foreground import Foreground, check_threshold, foreground, foreground_source
from wsscli.steps._heatmaps import FromModel, FromScores, Made, open_cams, refuse_options
from wsscli.steps._hypotheses import Hypotheses, check_hypotheses, hypotheses
from wsscli.steps._options import changed, flag
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps._saliency import saliency_source
from wsscli.steps._self_guided import SelfGuiding, check_self_guiding, self_guided
from wsscli.steps._sources import shared_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.writer import Output
    from wsscli.steps._saliency import SaliencySource

# What a model's recipe (or --model imagenet) asks for where no option says otherwise. Fixed once, without masks: the
# paper's 0.2 belongs to its VGG at stride 8, whose heatmaps are narrow. lite0's are wide: 0.65 labels a tenth of the
# pixels. What lies between 0.2 and 0.65 is then neither foreground nor background. None is the model's own stride.
_LITE0: dict[str, Any] = {
    "scales": (0.5, 1.0, 1.5), "flip": True, "output_stride": 16, "fg_rule": "max-fraction", "fg_threshold": 0.65,
    "bg_heat": 0.2,
}  # fmt: skip
_DSRG: dict[str, Any] = {
    "scales": (1.0,), "flip": False, "output_stride": None, "fg_rule": "max-fraction", "fg_threshold": 0.2,
    "bg_heat": 1.0,
}  # fmt: skip
RECIPES = {"modern": _LITE0, "imagenet": _LITE0, "dsrg": _DSRG}

_OF_MAPS = frozenset(("cams", "scales", "flip", "output_stride"))
# method -> its options, of those that not all methods take
TAKEN: dict[str, frozenset[str]] = {
    "cam": _OF_MAPS | {
        "class_map", "cam", "fg_rule", "fg_threshold", "bg_threshold", "bg_heat", "saliency", "saliency_supervision",
        "bf16",
    },
    "self-guided": _OF_MAPS | set(SelfGuiding.__dataclass_fields__),
    "foreground": frozenset(("fg_threshold", *Foreground.__dataclass_fields__)),
    "hypotheses": frozenset(("label_count", *Hypotheses.__dataclass_fields__)),
}  # fmt: skip


def make_seeds(
    out: Path,
    *,
    model: Path | None = None,
    cams: Path | None = None,
    method: Literal["cam", "self-guided", "foreground", "hypotheses"] = "cam",
    cam: Literal["cam", "grad-cam", "grad-cam++", "layer-cam"] = "cam",
    class_map: Path | None = None,
    scales: tuple[float, ...] | None = None,
    flip: bool | None = None,
    output_stride: int | None = None,
    fg_rule: Literal["max-fraction", "quantile"] | None = None,
    fg_threshold: float | None = None,
    bg_threshold: float = 0.06,
    bg_heat: float | None = None,
    saliency: Path | None = None,
    saliency_supervision: str | None = None,
    self_guiding: SelfGuiding = SelfGuiding(),
    class_free: Foreground = Foreground(),
    hypothesising: Hypotheses = Hypotheses(),
    bf16: bool = False,
    device: str = "auto",
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Find the pixels of each image's classes: heatmaps as scores, masks of the surest pixels (255 elsewhere) or, with
    the other methods than cam, of all pixels.

    Only the classes of an image's own labels are looked for. Options left out take the value of the recipe that the
    model was trained with.

    Args:
        out: The directory to write: scores of type `cam` (of --method hypotheses `soft-label`) and masks.
        model: A directory of `train-cls`, or `imagenet` for the embedded classifier (no training; see --class-map); of
            --method foreground a directory of `train-seg --arch student` (or --foreground); of --method hypotheses one
            of `train-cls --arch hcp`.
        cams: Instead of a model: a directory of cam scores (an earlier make-seeds, `wss import cam-npy`), for other
            seeds from the same heatmaps (left-out options are those of recipe modern); of --method cam masks alone are
            written then.
        method: cam = class activation maps and the hard seeds in them; self-guided = whole labels (no 255) from the
            maps of `train-cls --arch self-guided`, refined by affinity and by the photo itself; foreground = whole
            labels, the foreground that a class-free net finds taking the image's one class (or none, see
            --label-count); hypotheses = whole labels from region proposals that a net of `train-cls --arch hcp` scores,
            and localization maps as soft labels.
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
            when left out. Of --method foreground: pixels above it are foreground, Otsu's of each map when left out.
        bg_threshold: Pixels of smaller saliency are background seeds, where --bg-heat allows.
        bg_heat: Background seeds lie where every heatmap is below this share of its maximum, 1 = anywhere but on
            foreground seeds; the recipe's when left out.
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

    Source: DSRG (Huang et al., CVPR 2018), section 3.1; Zhou et al. 2016; Ke and Hsu 2018, sections 3.2 to 3.4; Jing et
        al., Coarse-to-fine, section III-B; Wei et al., Learning to segment with image-level annotations, section 3.
    """
    from wsscli.data.dataset import require_labels
    from wsscli.nets.store import model_manifest

    _check_method(
        method,
        {
            "cams": cams, "class_map": class_map, "cam": None if cam == "cam" else cam, "scales": scales, "flip": flip,
            "output_stride": output_stride, "fg_rule": fg_rule, "fg_threshold": fg_threshold,
            "bg_threshold": None if bg_threshold == 0.06 else bg_threshold, "bg_heat": bg_heat, "saliency": saliency,
            "saliency_supervision": saliency_supervision, "bf16": bf16 or None,
        },
        [*changed(self_guiding), *changed(class_free), *changed(hypothesising)],
    )  # fmt: skip
    if method == "foreground":
        check_threshold(fg_threshold)
        source = foreground_source(model, class_free, device, data)
        ids = run.select(source.ids)
        known = None if class_free.label_count == "none" else require_labels(source.dataset, ids)
        made = foreground(source, known, class_free, fg_threshold)
        return _write(out, method, made, source.dataset, ids, run)
    if method == "hypotheses":
        if class_free.label_count == "none":
            raise UsageError("--label-count none: is of --method foreground; --method hypotheses needs labels")
        return _hypotheses(out, model, hypothesising, class_free.label_count or "all", device, data, run)
    if (model is None) == (cams is None):
        raise UsageError("give one of --model and --cams: where the heatmaps come from")
    asked = {"scales": scales, "flip": flip, "output_stride": output_stride}
    guided = method == "self-guided"
    if guided:
        check_self_guiding(self_guiding, stored=cams is not None)
    stored, imagenet = None, str(model) == "imagenet"
    if cams is not None:
        made_there = {**asked, "class_map": class_map, "cam": None if cam == "cam" else cam, "bf16": bf16 or None}
        refuse_options(cams, made_there | {"device": None if device == "auto" else device})
        stored = open_cams(cams)
        manifest = stored.manifest
    else:
        assert model is not None
        if guided and imagenet:
            raise UsageError(
                "--model imagenet: --method self-guided needs a model of `wss train-cls --arch self-guided`, or "
                "--cams DIR --no-affinity"
            )
        if class_map is not None and not imagenet:
            raise UsageError(f"--class-map {class_map}: only --model imagenet takes it; {model} has classes of its own")
        manifest = None if imagenet else model_manifest(model, arch="self-guided" if guided else "cam")
    recipe = "modern" if stored else "imagenet" if manifest is None else manifest.options.get("recipe", "modern")
    options = _resolve(str(recipe), method, fg_rule=fg_rule, fg_threshold=fg_threshold, bg_heat=bg_heat, **asked)
    thresholds = {name: options[name] for name in ("fg_rule", "fg_threshold", "bg_heat")}
    thresholds["bg_threshold"] = bg_threshold
    _check(thresholds)
    another = stored is None and manifest is not None and data.split not in (None, manifest.split)
    dataset = dataset_for(data, manifest, other_split=another)
    ids = run.select(dataset.ids if stored is None else shared_ids(stored, dataset))
    labels = require_labels(dataset, ids)
    if guided:
        made = self_guided(model, manifest, stored, dataset, labels, options, self_guiding, device)
    else:
        salient = saliency_source(saliency, saliency_supervision, ids)
        heatmaps: FromScores | FromModel
        if stored is not None:
            heatmaps = FromScores.of(stored, dataset)
        else:
            heatmaps = FromModel.of(model, manifest, class_map, dataset, labels, cam, options, device, bf16=bf16)
        made = _hard(heatmaps, salient, thresholds, dataset, labels, keep=stored is None)
    return _write(out, method, made, dataset, ids, run)


def _hypotheses(
    out: Path,
    model: Path | None,
    options: Hypotheses,
    label_count: Literal["single", "all"],
    device: str,
    data: Data,
    run: Run,
) -> Path:
    from wsscli.data.dataset import require_labels
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.nets.device import pick_device
    from wsscli.nets.store import model_manifest
    from wsscli.steps._classifier import check_labels, load_trained

    directory, proposals = check_hypotheses(model, options)
    manifest = model_manifest(directory, arch="hcp")
    if options.crop_hypotheses is None:
        options = replace(options, crop_hypotheses=bool(manifest.options.get("crop_hypotheses")))
    opened = open_maskdir(proposals, need="proposals")
    dataset = dataset_for(data, opened.manifest)
    ids = run.select(shared_ids(opened, dataset))
    labels = require_labels(dataset, ids)
    where = pick_device(device)
    loaded = load_trained(directory, manifest, dataset.classes, None, where, arch="hcp")
    check_labels(labels, dataset.classes, loaded.channels, directory)
    made = hypotheses(loaded, opened, dataset, ids, labels, options, label_count, where, run)
    return _write(out, "hypotheses", made, dataset, ids, run)


def _write(out: Path, method: str, made: Made, dataset: Dataset, ids: Sequence[str], run: Run) -> Path:
    plan = Plan(
        step="make-seeds",
        out=out,
        kind=made.kind,
        options={"method": method, **made.options},
        classes=FOREGROUND if made.class_free else dataset.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=made.inputs,
        supervision=made.supervision if made.class_free else ("image-labels", *made.supervision),
        score_type=made.score_type if made.kind == "masks+scores" else None,
    )
    with made.threads:
        return per_image(plan, run, ids, made.work, around=made.around)


def _hard(
    heatmaps: FromScores | FromModel,
    source: SaliencySource,
    thresholds: dict[str, Any],
    dataset: Dataset,
    labels: Mapping[str, tuple[int, ...]],
    *,
    keep: bool,
) -> Made:
    """Hard seeds in heatmaps; `keep`: the heatmaps are written too."""

    def work(name: str) -> Output:
        import numpy as np

        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output
        from wsscli.seeds.hard import hard_seeds

        image = dataset.image(name)
        size = (image.shape[0], image.shape[1])
        maps, classes = heatmaps(name, image, labels[name])
        seeds = hard_seeds(maps, classes, size, source.of(name, image), **thresholds)
        scores = Scores(maps, np.asarray(classes, np.int64), size) if keep else None
        lacking = [dataset.classes.names[c] for c in labels[name] if c not in classes]
        reason = f"{heatmaps.lacking}, so no seeds: {', '.join(lacking)}" if lacking else None
        return Output(mask=seeds, scores=scores, fell_back=reason)

    return Made(
        work,
        "masks+scores" if keep else "masks",
        {**heatmaps.options, **thresholds, "saliency": source.name},
        (*heatmaps.inputs, *source.inputs),
        (*heatmaps.supervision, *source.supervision),
        heatmaps.threads(),
    )


def _check_method(method: str, given: Mapping[str, Any], changed: Sequence[str]) -> None:
    """Raises UsageError for an option that the method does not take; None is not given."""
    for name in [*(name for name, value in given.items() if value is not None), *changed]:
        if name not in TAKEN[method]:
            takers = [f"--method {other}" for other, options in TAKEN.items() if name in options]
            do = "does" if len(takers) == 1 else "do"
            raise UsageError(f"{flag(name)}: --method {method} does not take it, {' and '.join(takers)} {do}")


def _resolve(recipe: str, method: str, **given: Any) -> dict[str, Any]:
    """The recipe's values, overridden by the options that were given."""
    values = dict(RECIPES.get(recipe, RECIPES["modern"]))
    if method == "self-guided":  # a net's own sizes and stride
        values |= {"scales": (0.5, 0.75, 1.0) if recipe == "modern" else (1.0,), "output_stride": None}
    values.update({name: value for name, value in given.items() if value is not None})
    values["scales"] = tuple(sorted(set(values["scales"])))
    return values


def _check(thresholds: Mapping[str, Any]) -> None:
    for name, least in (("fg_threshold", False), ("bg_threshold", True), ("bg_heat", False)):
        value = thresholds[name]
        if not 0 <= value <= 1 or (value == 0 and not least):
            allowed = "from 0 to 1" if least else "above 0 and at most 1"
            raise UsageError(f"{flag(name)} {value:g}: give a number {allowed}")
