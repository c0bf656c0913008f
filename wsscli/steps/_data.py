"""Which photos a step works on: named by option, or carried by the manifest of what it reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import DataRef, Manifest

Format = Literal["voc", "coco", "csv", "folders", "images"]


@dataclass(frozen=True)
class Data:
    """The data set. Steps behind another one take it from that one's manifest.

    Attributes:
        data: The data set: a folder (VOC devkit, folder per class, COCO) or a file (CSV, COCO json).
        split: The split of the data set.
        format: The layout, when looking does not find it.
        labels: Image-level labels from this file (cls_labels.npy or CSV) instead of the data set's own.
        class_names: The foreground classes in the order of their ids, separated by commas.
        class_folders: JSON, class name -> list of folder names (ImageNet's synsets), of a data set with a folder per
            class: these folders make up the class; those that it does not name are left out.
    """

    data: Path | None = None
    split: str | None = None
    format: Format | None = None
    labels: Path | None = None
    class_names: tuple[str, ...] | None = None
    class_folders: Path | None = None


def dataset_for(data: Data, manifest: Manifest | None = None, *, other_split: bool = False) -> Dataset:
    """Open the data set of a step.

    Args:
        data: the options.
        manifest: of the directory the step reads; what the options leave out comes from it.
        other_split: whether the step may leave the manifest's split (a network predicts another split than it
            was trained on). Without it a split that differs is an error: splits are never mixed silently.

    Raises:
        UsageError: no data set is named anywhere.
        WssError: the splits differ, or the data set cannot be opened.
    """
    from wsscli.data.dataset import open_dataset

    known = manifest.data if manifest is not None else None
    split = data.split
    if manifest is not None and not other_split:
        if split is not None and manifest.split is not None and split != manifest.split:
            raise WssError(
                f"--split {split}, but the directory read here was made by `wss {manifest.step}` on split "
                f"'{manifest.split}'; splits are never mixed: "
                "leave --split (or WSS_SPLIT) out, or give the right directory"
            )
        split = split or manifest.split
    path = data.data or (Path(known.path) if known else None)
    if path is None:
        raise UsageError("no data set: name it with --data (or WSS_DATA); what is read here has no manifest that does")
    same_place = known is not None and (data.data is None or Path(known.path) == data.data.resolve())
    here = known if same_place else None
    labels = data.labels or (Path(here.labels) if here and here.labels else None)
    folders = data.class_folders or (Path(here.class_folders) if here and here.class_folders else None)
    named = data.class_names or (here.class_names if here else None)
    names = named
    if names is None and manifest is not None and known is not None and not other_split:
        # a class-free directory says nothing of the data set's classes
        names = manifest.classes.foreground if manifest.classes and manifest.classes != FOREGROUND else None
    layout = data.format or (here.format if here else None)  # elsewhere it is found by looking
    found = open_dataset(path, split=split, format=layout, labels=labels, class_names=names, class_folders=folders)
    return replace(found, class_names=named)  # the manifest's class table carries the others


def photos_or_data(images: Path | None, data: Data, manifest: Manifest) -> Dataset:
    """What a net is shown: the photos of `--images`, else the data set, any split of it.

    Raises:
        UsageError: labels are named for photos that have none.
        WssError: see `dataset_for`.
    """
    if images is None:
        return dataset_for(data, manifest, other_split=True)
    for name, given in (("--labels", data.labels), ("--class-folders", data.class_folders)):
        if given is not None:
            raise UsageError(f"--images are photos without labels; leave {name} out, or name the data set with --data")
    return dataset_for(replace(data, data=images, format="images", split=None, class_names=None))


def data_ref(dataset: Dataset) -> DataRef:
    """The data set as the manifest names it."""
    from wsscli.maskdir.manifest import DataRef

    labels = dataset.labels_file
    folders = dataset.class_folders
    return DataRef(
        str(dataset.root.resolve()),
        dataset.format,
        str(labels.resolve()) if labels else None,
        dataset.class_names,
        str(folders.resolve()) if folders else None,
    )
