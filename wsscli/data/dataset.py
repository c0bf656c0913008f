"""Opening a data set: the format is found by looking, or named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from wsscli.classes import ClassTable
from wsscli.data.base import Dataset as Dataset
from wsscli.data.base import require_boxes as require_boxes
from wsscli.data.base import require_labels as require_labels
from wsscli.data.coco import looks_like_coco, open_coco
from wsscli.data.csvfile import looks_like_csv, open_csv
from wsscli.data.folders import looks_like_folders, looks_like_images, open_folders, open_images
from wsscli.data.voc import looks_like_voc, open_voc
from wsscli.errors import UsageError, WssError

Opener = Callable[[Path, str | None, Path | None, ClassTable | None], Dataset]

FORMATS: dict[str, tuple[Callable[[Path], bool], Opener]] = {
    "voc": (looks_like_voc, open_voc),
    "coco": (looks_like_coco, open_coco),
    "csv": (looks_like_csv, open_csv),
    "folders": (looks_like_folders, open_folders),
    "images": (looks_like_images, open_images),
}
# A folder of images lies below each of these as well, so they are asked first.
_DECLARED = ("voc", "coco", "csv")


def open_dataset(
    path: Path | str,
    *,
    split: str | None = None,
    format: str | None = None,  # noqa: A002 - the option's name
    labels: Path | str | None = None,
    class_names: Sequence[str] | None = None,
    class_folders: Path | str | None = None,
) -> Dataset:
    """Open one split of a data set.

    Args:
        path: a VOC devkit, a COCO folder or json, a CSV or the folder that holds it, a folder per class, a folder
            of photos, or one photo.
        split: which split; may be left out where there is only one.
        format: voc, coco, csv, folders or images, where looking does not settle it.
        labels: image-level labels from this file (`cls_labels.npy`, or a CSV `image,labels`) instead of the data
            set's own.
        class_names: the foreground classes in the order of their ids, instead of the data set's own.
        class_folders: which folders make up a class (JSON, class name -> folder names), of a folder per class.

    Raises:
        UsageError: an unknown format, or `class_folders` for a layout other than folders.
        WssError: no such path, no format or several fit, no such split, or what the format's opener says.
    """
    root = Path(path)
    if not root.exists():
        raise WssError(f"{root}: no such data set; check the path given with --data (or WSS_DATA)")
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown data set format '{format}'; known: {', '.join(FORMATS)}")
    classes = ClassTable.of(class_names) if class_names is not None else None
    names = tuple(class_names) if class_names is not None else None
    label_file = Path(labels) if labels is not None else None
    if class_folders is not None:
        if format not in (None, "folders"):
            raise UsageError(f"--class-folders: needs a folder per class, not --format {format}; leave one of them out")
        other = next((name for name in _DECLARED if FORMATS[name][0](root)), None) if format is None else None
        if other:
            raise UsageError(
                f"--class-folders: needs a folder per class, but {root} looks like {other}; leave it out, or say "
                "--format folders if it is one"
            )
        where = Path(class_folders)
        dataset = open_folders(root, split, label_file, classes, where)
        return replace(dataset, class_names=names, class_folders=where)
    chosen = format or find_format(root)
    return replace(FORMATS[chosen][1](root, split, label_file, classes), class_names=names)


def find_format(root: Path) -> str:
    """The format of a data set, by looking at its files.

    Raises:
        WssError: none fits, or several do; the message lists them.
    """
    found = [name for name in _DECLARED if FORMATS[name][0](root)]
    if not found:
        found = [name for name in FORMATS if name not in _DECLARED and FORMATS[name][0](root)]
    if len(found) == 1:
        return found[0]
    if found:
        raise WssError(f"{root}: looks like {' and '.join(found)}; say which with --format {'|'.join(found)}")
    raise WssError(
        f"{root}: not a data set that wss knows ({', '.join(FORMATS)}); see docs/datasets.md for their layouts"
    )
