"""A folder per class, ImageNet style, and a plain folder (or file) of photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.base import Dataset, LabelList, Labels, WithoutObjects
from wsscli.data.classfolders import read_class_folders
from wsscli.data.classlist import read_class_list
from wsscli.data.files import folders_in, has_images, is_image_name, list_images
from wsscli.data.ids import check_id, first_few, split_suffix
from wsscli.data.images import SUFFIXES
from wsscli.data.labels import open_labels
from wsscli.data.splits import choose_split
from wsscli.errors import WssError

# fmt: off
SPLIT_NAMES = frozenset((
    "train", "training", "val", "valid", "validation", "dev", "test", "testing", "trainval", "train_val",
    "train_aug", "minival", "unlabeled",
))
PAIRED_NAMES = frozenset((
    "images", "image", "imgs", "img", "masks", "mask", "labels", "annotations", "gt", "ground_truth", "segmentation",
))
# fmt: on


TRUTH = "GroundTruth"  # beside the photos of a class, in MIT Object Discovery's layout


@dataclass(frozen=True)
class FolderSource(WithoutObjects):
    """Images below a root; `classes` maps folder names at `depth` of the id to class ids, None: no labels.

    The true mask of `DATA/horse/1.jpg` is `DATA/horse/GroundTruth/1.png`: 0 background, every other value, 255 too,
    an object of the folder's class.
    """

    root: Path
    suffixes: dict[str, str]
    classes: dict[str, int] | None = None
    depth: int = 0

    def image_path(self, name: str) -> Path:
        if name not in self.suffixes:
            raise WssError(f"{self.root}: no image with the id '{name}' in this split; check the id list")
        return self.root / f"{name}{self.suffixes[name]}"

    def labels(self, name: str) -> Labels | None:
        if self.classes is None:
            return None
        return (self.classes[name.split("/")[self.depth]],)

    def truth(self, name: str) -> NDArray[np.uint8] | None:
        from wsscli.maskdir.png import read_mask

        labels, path = self.labels(name), self._truth_path(name)
        if labels is None or not path.is_file():
            return None
        mask = read_mask(path)
        mask[mask != 0] = labels[0]
        return mask

    def truth_missing(self, name: str) -> str | None:
        path = self._truth_path(name)
        if path.is_file():
            return None
        for suffix in sorted({*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)}):
            other = path.with_name(path.stem + suffix)
            if other.is_file():
                raise WssError(
                    f"{other}: true masks are read from PNGs named as their photo, {path.name}; write it as one (a "
                    "JPEG's greys are no mask: make the mask again), or take it away"
                )
        return str(path)

    def _truth_path(self, name: str) -> Path:
        folder, _, stem = name.rpartition("/")
        return self.root / folder / TRUTH / f"{stem}.png"


def looks_like_folders(path: Path) -> bool:
    """Folders with images in them, no image beside them."""
    if not path.is_dir() or has_images(path, deep=False):
        return False
    names = folders_in(path)
    return any(has_images(path / name) for name in names)


def looks_like_images(path: Path) -> bool:
    """One image file, or a folder that holds images itself."""
    if path.is_file():
        return is_image_name(path.name)
    return has_images(path, deep=False)


def open_folders(
    path: Path,
    split: str | None,
    labels: Path | None,
    classes: ClassTable | None,
    class_folders: Path | None = None,
) -> Dataset:
    """Open `root/<class>/.../photo.jpg` or `root/<split>/<class>/.../photo.jpg`.

    Each image has the one label of its class folder; nested folders below it belong to it. An id is the path
    under the root, with the split and the class in it, so the same file name in two classes is two images. The
    folders at the top are splits when all of them are named like splits (train, val, test, ...).

    Class names are those of `classes`, else of classes.txt in the root, else the folders' names over all splits,
    sorted. With `class_folders` (JSON, class -> folders) several folders may make up a class, folders that it does
    not name are left out, and classes are numbered by `classes`, else in its own order.

    A folder GroundTruth beside photos holds their true masks.

    Raises:
        WssError: no class folders, folders that look like splits beside others, images outside class folders,
            a folder (or a class of `class_folders`) that is not in the class table, a named folder that is not
            there, no such split.
    """
    if not path.is_dir():
        raise WssError(f"{path}: not a folder; a folder per class is needed for --format folders")
    chosen_folders = read_class_folders(class_folders) if class_folders else None
    given = classes or (ClassTable.of(chosen_folders) if chosen_folders else read_class_list(path))
    tops = [name for name in folders_in(path) if has_images(path / name)]
    if not tops:
        raise WssError(f"{path}: no folder with images in it; put each class's images into a folder of its name")
    known = frozenset(given.foreground if given else ())
    if chosen_folders:
        known = frozenset(folder for folders in chosen_folders.values() for folder in folders)
        tops = tops if known.isdisjoint(tops) else [name for name in tops if name in known]
    by_split = _top_are_splits(path, tops, known)
    chosen = choose_split(path, tops if by_split else ["all"], split)
    names = _class_folders(path, tops) if by_split else tops
    table = given or ClassTable.of(names)
    depth = 1 if by_split else 0
    under = f"{chosen}/" if by_split else ""
    if chosen_folders and class_folders:
        ids = _mapped(path, class_folders, chosen_folders, table, names)
        parts = [list_images(path, under + name, leave=TRUTH) for name in ids if (path / under / name).is_dir()]
        suffixes = dict(sorted(item for part in parts for item in part.items()))
    else:
        ids = _named(path, table, names)
        suffixes = list_images(path, chosen if by_split else "", leave=TRUTH)
        _check_inside(path, suffixes, depth)
    label_list: LabelList | None = open_labels(labels, table) if labels else None
    has_truth = any((path / folder / TRUTH).is_dir() for folder in {name.rpartition("/")[0] for name in suffixes})
    source = FolderSource(path, suffixes, ids, depth)
    return Dataset(path, "folders", chosen, table, tuple(suffixes), source, label_list, has_truth)


def _named(path: Path, table: ClassTable, names: list[str]) -> dict[str, int]:
    """Folder -> class id, where a folder has its class's name."""
    ids = {}
    for name in names:
        try:
            ids[name] = table.id(name)
        except WssError as error:
            raise WssError(
                f"{path}: the folder '{name}' is no class of the table: {error}; rename the folder "
                "or add it to the table"
            ) from error
    return ids


def _mapped(
    path: Path, where: Path, folders: dict[str, tuple[str, ...]], table: ClassTable, there: list[str]
) -> dict[str, int]:
    """Folder -> class id, as `--class-folders` says."""
    missing = [folder for part in folders.values() for folder in part if folder not in there]
    if missing:
        raise WssError(
            f"{where}: {len(missing)} of its folders hold no image in {path}: {first_few(missing)}; mend the names, or "
            "take them out"
        )
    try:
        return {folder: table.id(name) for name, part in folders.items() for folder in part}
    except WssError as error:
        raise WssError(f"{where}: {error}; name its classes with --class-names") from error


def _check_inside(path: Path, suffixes: dict[str, str], depth: int) -> None:
    for name, suffix in suffixes.items():
        if name.count("/") <= depth:
            raise WssError(f"{path / (name + suffix)}: an image outside the class folders; move it into one of them")


def _class_folders(path: Path, splits: list[str]) -> list[str]:
    return sorted({name for split in splits for name in folders_in(path / split) if has_images(path / split / name)})


def _top_are_splits(path: Path, tops: list[str], known: frozenset[str]) -> bool:
    if known.issuperset(tops):
        return False
    like = [name for name in tops if name.lower() in SPLIT_NAMES and name not in known and _class_folders(path, [name])]
    if not like:
        paired = [name for name in tops if name.lower() in PAIRED_NAMES and name not in known]
        if paired and len(paired) == len(tops):
            raise WssError(
                f"{path}: the folders {', '.join(tops)} look like images and masks, not like classes; give "
                f"{path / paired[0]} as the data set, or name the classes in {path / 'classes.txt'}"
            )
        return False
    if len(like) < len(tops):
        others = [name for name in tops if name not in like]
        raise WssError(
            f"{path}: the folders {', '.join(like)} look like splits, but {', '.join(others)} beside them do not; "
            f"give one split's folder, or name the classes in {path / 'classes.txt'}"
        )
    return True


def open_images(path: Path, split: str | None, labels: Path | None, classes: ClassTable | None) -> Dataset:
    """Open a folder of photos (nested ones too) or a single photo: no labels, no masks, the one split `all`.

    Class names are those of `classes` or of classes.txt, else there are none: the network that predicts brings
    its own.

    Raises:
        WssError: no image there, another split than `all`.
    """
    chosen = choose_split(path, ["all"], split)
    if path.is_file():
        name, suffix = split_suffix(path.name)
        if not is_image_name(path.name):
            raise WssError(f"{path}: not the name of an image; check the path (known are .jpg, .png and the like)")
        root, suffixes = path.parent, {check_id(name, str(path)): suffix}
    else:
        root, suffixes = path, list_images(path, leave=TRUTH)
    if not suffixes:
        raise WssError(f"{path}: no image in this folder; check the path (known are .jpg, .png and the like)")
    table = classes or read_class_list(root) or ClassTable.of(())
    label_list: LabelList | None = open_labels(labels, table) if labels else None
    return Dataset(path, "images", chosen, table, tuple(suffixes), FolderSource(root, suffixes), label_list)
