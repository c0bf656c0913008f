"""PASCAL VOC's devkit layout."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.base import Dataset, LabelList, Labels
from wsscli.data.boxes import RawBox
from wsscli.data.classlist import read_class_list
from wsscli.data.files import list_images
from wsscli.data.ids import first_few, read_ids
from wsscli.data.images import read_size
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
        return tuple(sorted({self._id(found, path) for found in names}))

    def _id(self, name: str, path: Path) -> int:
        try:
            return self.classes.id(name)
        except WssError as error:
            raise WssError(
                f"{path}: {error}; if the class is meant, list all class names in {self.root / 'classes.txt'}"
            ) from error

    def boxes(self, name: str) -> list[RawBox] | None:
        path = self.root / "Annotations" / f"{name}.xml"
        objects = objects_of(path)
        if objects is None:
            return None
        return [
            RawBox(
                self._id(_name_of(item), path),
                *_corners(item, f"{path}: object {number}"),
                difficult=_marked(item),
            )
            for number, item in enumerate(objects, start=1)
        ]

    def truth(self, name: str) -> NDArray[np.uint8] | None:
        from wsscli.maskdir.png import read_mask

        path = next((path for path in self._truth_paths(name) if path.exists()), None)
        return None if path is None else read_mask(path)

    def truth_missing(self, name: str) -> str | None:
        if any(path.exists() for path in self._truth_paths(name)):
            return None
        return str(next(self._truth_paths(name)))

    def _truth_paths(self, name: str) -> Iterator[Path]:
        # one after the other: the first is there nearly always, and `wss eval` asks three times an image
        return (self.root / folder / f"{name}.png" for folder in TRUTH_FOLDERS)

    @property
    def has_instances(self) -> bool:
        return (self.root / INSTANCES).is_dir()

    def instances(self, name: str) -> NDArray[np.uint8] | None:
        from wsscli.maskdir.png import read_mask

        path = self.root / INSTANCES / f"{name}.png"
        if not path.exists():
            return None
        mask = read_mask(path)
        size = read_size(self.image_path(name))
        if mask.shape != size:
            raise WssError(
                f"{path}: is {mask.shape[0]} x {mask.shape[1]} (height x width), but its photo is {size[0]} x "
                f"{size[1]}; both must be of one size"
            )
        return mask


def object_names(path: Path) -> list[str] | None:
    """The names of an annotation's objects (not of their parts), None when there is no such file.

    Raises:
        WssError: when the file is not an annotation.
    """
    objects = objects_of(path)
    return None if objects is None else [_name_of(item) for item in objects]


def objects_of(path: Path) -> list[ElementTree.Element] | None:
    """An annotation's objects, each with a name; None when there is no such file.

    Raises:
        WssError: when the file is not an annotation.
    """
    try:
        tree = ElementTree.parse(path)
    except FileNotFoundError:
        return None
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise WssError(f"{path}: not readable as XML ({error}); mend or delete it") from error
    objects = tree.getroot().findall("object")
    if not all(map(_name_of, objects)):
        raise WssError(f"{path}: an object has no name; mend the annotation")
    return objects


def _name_of(item: ElementTree.Element) -> str:
    return (item.findtext("name") or "").strip()


def _marked(item: ElementTree.Element) -> bool:
    return (item.findtext("difficult") or "").strip() == "1"


def _corners(item: ElementTree.Element, where: str) -> tuple[tuple[float, float, float, float], str, str]:
    """Corners with exclusive ends of VOC's pixels, which count from 1 and are both inside; where; the words."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    found = {side: (item.findtext(f"bndbox/{side}") or "").strip() for side in sides}
    text = ", ".join(f"{side} {word or '(missing)'}" for side, word in found.items())
    try:
        xmin, ymin, xmax, ymax = (float(found[side]) for side in sides)
    except ValueError as error:
        raise WssError(f"{where} has the box {text}; give its four sides in pixels") from error
    return (xmin - 1, ymin - 1, xmax, ymax), where, text


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
