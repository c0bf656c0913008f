"""`make-seeds --method foreground`: its options, and where the class-free foreground comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.classes import FOREGROUND, IGNORE
from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._heatmaps import Made, threads_on
from wsscli.steps._ledger import inherit, of_masks
from wsscli.steps._sources import shared_ids
from wsscli.steps._student import foreground_reader, soft_row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.scores import Scores
    from wsscli.maskdir.writer import Output

Labels = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Foreground:
    """Options of `--method foreground`.

    Attributes:
        foreground: Instead of a model: a directory of saliency, of class-free probabilities or of masks, or a folder
            of indexed PNGs; in masks every class is foreground, 255 is not.
        label_count: single = only images of exactly one class, the others are dropped; all = the others too (of
            --method foreground the foreground of an image of several classes is 255, since nobody knows whose it is);
            none = no label is looked at, and the masks are class-free: 1 is foreground, in any image (--method
            foreground only); when left out single, of --method hypotheses all.
    """

    foreground: Path | None = None
    label_count: Literal["single", "all", "none"] | None = None


@dataclass(frozen=True)
class Source:
    """Where an image's foreground comes from.

    Attributes:
        of: id -> one map in [0, 1] and the photo's size.
        soft: whether the maps are more than masks, and so worth writing.
        dataset, ids, inputs, supervision, options: for the plan.
        threads: what holds while images run side by side.
    """

    of: Callable[[str], Scores]
    soft: bool
    dataset: Dataset
    ids: Sequence[str]
    inputs: Sequence[Input]
    supervision: Sequence[str]
    options: Mapping[str, Any]
    threads: AbstractContextManager[None] = field(default_factory=nullcontext)


def check_threshold(threshold: float | None) -> None:
    """Raises UsageError for a threshold that cuts nothing."""
    if threshold is not None and not 0 <= threshold < 1:
        raise UsageError(f"--fg-threshold {threshold:g}: give a number from 0 to below 1, or leave it out for Otsu's")


def foreground_source(model: Path | None, options: Foreground, device: str, data: Data) -> Source:
    """What `--model` or `--foreground` names.

    Raises:
        UsageError: both, or neither.
        WssError: a net of classes, or a directory that tells no foreground.
    """
    if (model is None) == (options.foreground is None):
        raise UsageError("give one of --model and --foreground: where the foreground comes from")
    if model is not None:
        return _of_model(model, device, data)
    assert options.foreground is not None
    return _of_directory(options.foreground, data)


def _of_model(path: Path, device: str, data: Data) -> Source:
    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.scores import Scores
    from wsscli.nets.device import pick_device
    from wsscli.nets.store import load_segmenter, model_manifest
    from wsscli.steps.predict import probabilities

    manifest = model_manifest(path, arch="segmentation")
    if manifest.classes != FOREGROUND:
        raise WssError(
            f"{path}: a net of classes, but a foreground is needed; train one with `wss train-seg --arch student`, or "
            "with --foreground"
        )
    another = data.split not in (None, manifest.split)
    dataset = dataset_for(data, manifest, other_split=another)
    where = pick_device(device)
    net = load_segmenter(path, where)

    def of(name: str) -> Scores:
        found = probabilities(net, dataset.image(name), device=where)
        return Scores(found.scores[1:], found.classes[1:], found.size)

    return Source(
        of, True, dataset, dataset.ids, [Input("model", str(path.resolve()), manifest.digest())], inherit(manifest),
        {"foreground": "model", "device": where.type}, threads_on(where),
    )  # fmt: skip


def _of_directory(path: Path, data: Data) -> Source:
    import numpy as np

    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.maskdir.scores import Scores

    opened = open_maskdir(path)
    dataset = dataset_for(data, opened.manifest)
    ids = shared_ids(opened, dataset)
    read, soft = foreground_reader(opened, dataset), soft_row(opened) is not None

    def of(name: str) -> Scores:
        return Scores(np.nan_to_num(read(name), nan=0.0)[None], np.ones(1, np.int64), dataset.size(name))

    return Source(
        of, soft, dataset, ids, [opened.as_input("foreground")], of_masks(opened, dataset.root, len(ids)),
        {"foreground": "scores" if soft else "masks"},
    )  # fmt: skip


def foreground(source: Source, labels: Labels | None, options: Foreground, threshold: float | None) -> Made:
    """The method: the foreground takes the class of the image's one label, or 1 where `labels` is None.

    Raises:
        WssError: no image has exactly one class, and others are not wanted.
    """
    label_count = options.label_count or "single"
    single = label_count == "single"
    if labels is not None and single and not any(len(found) == 1 for found in labels.values()):
        raise WssError(
            f"{source.dataset.root}: none of the {len(labels)} images has exactly one class, so no foreground has a "
            "name; take --label-count all"
        )
    names = source.dataset.classes.names
    # what a mask says is no matter of Otsu, which finds no threshold in a mask of one value
    cut = threshold if threshold is not None or source.soft else 0.5

    def work(name: str) -> Output:
        from wsscli.maskdir.writer import Output
        from wsscli.seeds.foreground import centred, foreground_labels

        classes = (1,) if labels is None else labels[name]
        if single and len(classes) != 1:
            return Output(dropped=not_one_class(classes, names))
        found = source.of(name)
        label = classes[0] if len(classes) == 1 else IGNORE if classes else 0
        made = foreground_labels(found.full()[0], label, cut)
        reason = made.reason if classes else "no class, so no foreground"
        # so that what is likelier than not in the scores is what the mask has
        soft = centred(found.scores[0], made.threshold)
        return Output(made.labels, _shared(soft, found.size, classes) if source.soft else None, fell_back=reason)

    rule = "otsu" if cut is None else cut
    return Made(
        work,
        "masks+scores" if source.soft else "masks",
        {**source.options, "label_count": label_count, "fg_threshold": rule},
        source.inputs,
        source.supervision,
        source.threads,
        "probability",
        class_free=labels is None,
    )


def not_one_class(classes: Sequence[int], names: Sequence[str]) -> str:
    """Why an image is dropped where only images of one class are wanted."""
    held = ", ".join(names[c] for c in classes)
    return f"{len(classes)} classes, not one: {held}" if classes else "no class"


def _shared(soft: npt.NDArray[np.float32], size: tuple[int, int], classes: tuple[int, ...]) -> Scores:
    """Probabilities of background and the image's classes, which share the foreground's (h,w) evenly."""
    import numpy as np

    from wsscli.maskdir.scores import Scores

    background = 1 - soft if classes else np.ones_like(soft)
    each = [soft / np.float32(len(classes)) for _ in classes]
    return Scores(np.stack([background, *each]), np.array([0, *classes], np.int64), size)
