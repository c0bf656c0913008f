"""PASCAL VOC's devkit layout."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.base import Dataset, LabelList, Labels
from wsscli.data.classlist import read_class_list
from wsscli.data.files import list_images
from wsscli.data.ids import first_few, read_ids
from wsscli.data.labels import open_labels
from wsscli.data.splits import choose_split
from wsscli.errors import WssError

# fmt: off
VOC_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on
TRUTH_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
INSTANCES = "SegmentationObject"
_PROBE = 64
_log = logging.getLogger("wsscli")


@dataclass(frozen=True)
class VocSource:
    """Files of a devkit: `root` holds JPEGImages, `suffixes` maps every id to its image's suffix."""

    root: Path
    suffixes: dict[str, str]
    classes: ClassTable

    def image_path(self, name: str) -> Path:
        if name not in self.suffixes:
            raise WssError(f"{self.root / 'JPEGImages'}: no image with the id '{name}'; check the id list")
        return self.root / "JPEGImages" / f"{name}{self.suffixes[name]}"

    def labels(self, name: str) -> Labels | None:
        path = self.root / "Annotations" / f"{name}.xml"
        names = object_names(path)
        if names is None:
            return None
        try:
            return tuple(sorted({self.classes.id(found) for found in names}))
        except WssError as error:
            raise WssError(
                f"{path}: {error}; if the class is meant, list all class names in {self.root / 'classes.txt'}"
            ) from error

    def truth(self, name: str) -> NDArray[np.uint8] | None:
        from wsscli.maskdir.png import read_mask

        path = next((path for path in self._truth_paths(name) if path.exists()), None)
        return None if path is None else read_mask(path)

    def truth_missing(self, name: str) -> str | None:
        first, *others = self._truth_paths(name)
        return None if any(path.exists() for path in (first, *others)) else str(first)

    def _truth_paths(self, name: str) -> list[Path]:
        return [self.root / folder / f"{name}.png" for folder in TRUTH_FOLDERS]

    @property
    def has_instances(self) -> bool:
        return (self.root / INSTANCES).is_dir()

    def instances(self, name: str) -> NDArray[np.uint8] | None:
        """The map of SegmentationObject: 0 background, 1.. an object, 255 the rim of objects."""
        from wsscli.maskdir.png import read_mask

        path = self.root / INSTANCES / f"{name}.png"
        return read_mask(path) if path.exists() else None


def object_names(path: Path) -> list[str] | None:
    """The names of an annotation's objects (not of their parts), None when there is no such file.

    Raises:
        WssError: when the file is not an annotation.
    """
    try:
        tree = ElementTree.parse(path)
    except FileNotFoundError:
        return None
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise WssError(f"{path}: not readable as XML ({error}); mend or delete it") from error
    names = [(item.findtext("name") or "").strip() for item in tree.getroot().findall("object")]
    if not all(names):
        raise WssError(f"{path}: an object has no name; mend the annotation")
    return names


def find_devkit(path: Path) -> Path | None:
    """The folder that holds JPEGImages: the path itself, or the only one below a VOCdevkit.

    Raises:
        WssError: when several years lie below.
    """
    if (path / "JPEGImages").is_dir():
        return path
    below = sorted(
        folder.parent
        for pattern in ("VOC*/JPEGImages", "VOCdevkit/VOC*/JPEGImages")
        for folder in path.glob(pattern)
        if folder.is_dir()
    )
    if len(below) > 1:
        raise WssError(f"{path}: holds several VOC sets: {', '.join(str(p) for p in below)}; give one of them")
    return below[0] if below else None


def looks_like_voc(path: Path) -> bool:
    return path.is_dir() and find_devkit(path) is not None


def open_voc(path: Path, split: str | None, labels: Path | None, classes: ClassTable | None) -> Dataset:
    """Open a devkit: JPEGImages, ImageSets/Segmentation (or Main) lists, Annotations, SegmentationClass.

    Splits are the lists of ImageSets/Segmentation; those of ImageSets/Main are `Main/<name>` beside them, or
    plain names where there is no Segmentation folder. Without lists there is one split, `all`.

    Class names are those of `classes`, else of classes.txt in the folder, else VOC's twenty when the XML files
    fit them, else the names found in all XML files, sorted.

    Raises:
        WssError: no JPEGImages, no such split, ids in the list without image.
    """
    root = find_devkit(path)
    if root is None:
        raise WssError(f"{path}: no JPEGImages folder, so not a VOC devkit; see docs/datasets.md")
    suffixes = list_images(root / "JPEGImages")
    lists = split_lists(root)
    if lists:
        chosen = choose_split(path, list(lists), split)
        ids = read_ids(lists[chosen], suffixes)
        missing = [name for name in ids if name not in suffixes]
        if missing:
            raise WssError(
                f"{lists[chosen]}: {len(missing)} of {len(ids)} ids have no image in {root / 'JPEGImages'}: "
                f"{first_few(missing)}; add the images or take the lines out"
            )
    else:
        chosen, ids = choose_split(path, ["all"], split), tuple(suffixes)
    table = classes or read_class_list(root) or classes_of(root)
    label_list: LabelList | None = open_labels(labels, table) if labels else None
    has_truth = any((root / folder).is_dir() for folder in TRUTH_FOLDERS)
    return Dataset(path, "voc", chosen, table, ids, VocSource(root, suffixes, table), label_list, has_truth)


def split_lists(root: Path) -> dict[str, Path]:
    """{split: list file}; the per-class lists of Main (`cat_train.txt`) are not splits."""
    sets = root / "ImageSets"
    lists = {path.stem: path for path in sorted((sets / "Segmentation").glob("*.txt"))}
    prefix = "Main/" if lists else ""
    stems = {path.stem: path for path in sorted((sets / "Main").glob("*.txt"))}
    for stem, path in stems.items():
        if not any(stem.endswith(f"_{other}") for other in stems):
            lists[prefix + stem] = path
    return lists


def classes_of(root: Path) -> ClassTable:
    """VOC's twenty classes when the annotations fit them, else all names found in them, sorted.

    A few files spread over the folder are looked at first: the twenty names are taken when those fit, and a
    stranger met later is an error, never a wrong label.
    """
    files = sorted((root / "Annotations").rglob("*.xml"))
    step = max(1, len(files) // _PROBE)
    if not _names_in(files[::step]) - set(VOC_NAMES):
        return ClassTable.of(VOC_NAMES)
    if len(files) > 5000:
        _log.info("%s: reading %d files for their class names; a classes.txt saves this", root, len(files))
    return ClassTable.of(sorted(_names_in(files)))


def _names_in(files: list[Path]) -> set[str]:
    return {name for path in files for name in object_names(path) or ()}
