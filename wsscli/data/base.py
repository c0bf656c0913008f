"""What a data set is to every step: ids, photos, image-level labels, true masks where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import ClassTable
from wsscli.data.boxes import Boxes, BoxList, RawBox, check_boxes
from wsscli.data.ids import first_few
from wsscli.data.images import Photo, read_image, read_size
from wsscli.errors import WssError

Labels = tuple[int, ...]
T = TypeVar("T")


class Source(Protocol):
    """Where a format finds things. One small picklable class a format; ids are those of the split."""

    def image_path(self, name: str) -> Path: ...

    def labels(self, name: str) -> Labels | None: ...

    def truth(self, name: str) -> NDArray[np.uint8] | None: ...

    def truth_missing(self, name: str) -> str | None:
        """The file that lacks where an image has no true mask, without reading any; None where it has one."""
        ...

    def boxes(self, name: str) -> list[RawBox] | None: ...

    @property
    def has_instances(self) -> bool: ...

    def instances(self, name: str) -> NDArray[np.uint8] | None: ...


class WithoutObjects:
    """The part of a source whose format knows neither boxes nor single objects."""

    has_instances = False

    def boxes(self, name: str) -> list[RawBox] | None:
        del name
        return None

    def instances(self, name: str) -> NDArray[np.uint8] | None:
        del name
        return None


class LabelList(Protocol):
    """Image-level labels from a file of their own."""

    @property
    def path(self) -> Path: ...

    def labels(self, name: str) -> Labels | None: ...


@dataclass(frozen=True)
class Dataset:
    """One split of a data set. Nothing is read before it is asked for.

    Attributes:
        root: the folder (or file) that was opened.
        format: voc, coco, csv, folders or images.
        split: the one split these ids belong to; `all` where the data set has no splits.
        classes: the class table, background first.
        ids: the images' ids, in the order of the split's list.
        source: the format's way to files.
        label_list: labels from a file of their own, instead of the format's.
        has_truth: whether true masks are there (of some images at least).
        class_names: the foreground classes, where they were named on opening instead of the data set's own.
        class_folders: the file that says which folders make up a class, where one was given.
        box_list: boxes from a file of their own, instead of the format's.
    """

    root: Path
    format: str
    split: str
    classes: ClassTable
    ids: tuple[str, ...]
    source: Source
    label_list: LabelList | None = None
    has_truth: bool = False
    class_names: tuple[str, ...] | None = None
    class_folders: Path | None = None
    box_list: BoxList | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels_file(self) -> Path | None:
        return self.label_list.path if self.label_list else None

    def image_path(self, name: str) -> Path:
        """The file of an image. Raises WssError for an id that is not in this split."""
        return self.source.image_path(name)

    def image(self, name: str) -> Photo:
        """The photo, uint8 RGB (H, W, 3), upright. Raises WssError when it cannot be read."""
        return read_image(self.source.image_path(name))

    def size(self, name: str) -> tuple[int, int]:
        """(H, W) of the photo, from the file's head."""
        return read_size(self.source.image_path(name))

    def labels(self, name: str) -> Labels | None:
        """The image's foreground classes, ids ascending; () when it has none, None when nothing is known."""
        return (self.label_list or self.source).labels(name)

    def boxes(self, name: str) -> Boxes | None:
        """The boxes of the image's objects; empty when it has none, None when nothing is known.

        Raises:
            WssError: a box cannot be one; see `check_boxes`.
        """
        raw = (self.box_list or self.source).boxes(name)
        return None if raw is None else check_boxes(raw, self.size(name))

    def truth(self, name: str) -> NDArray[np.uint8]:
        """The true mask, uint8 (H, W), 255 = not to be judged.

        Raises:
            WssError: when there is none for this image, or it holds an id beyond the class table.
        """
        mask = self.source.truth(name)
        if mask is None:
            raise WssError(
                f"{self.root}: no true mask for image '{name}' (split {self.split}): {self.source.truth_missing(name)} "
                "is missing; leave the image out with --ids, or add the mask"
            )
        top = int((mask + np.uint8(1)).max(initial=0)) - 1  # 255 wraps to 0; a boolean index takes as long as decoding
        if top >= len(self.classes):
            raise WssError(
                f"{self.root}: the true mask of '{name}' holds the id {top}, but the class table ends at "
                f"{len(self.classes) - 1} ({self.classes.names[-1]}); list all classes in {self.root / 'classes.txt'}"
            )
        return mask

    def without_truth(self, ids: Iterable[str]) -> dict[str, str]:
        """Images that have no true mask -> the file that lacks. No mask is read.

        Raises:
            WssError: a true mask is there under a name that is not read.
        """
        missing = ((name, self.source.truth_missing(name)) for name in ids)
        return {name: what for name, what in missing if what is not None}

    @property
    def has_instances(self) -> bool:
        """Whether instance maps are there (of some images at least)."""
        return self.source.has_instances

    def instances(self, name: str) -> NDArray[np.uint8] | None:
        """The instance map of an image, uint8 (H, W) of the photo's size: 0 no object, 1..254 one each, 255 void.

        None where the image has none.

        Raises:
            WssError: it cannot be read, or is not of the photo's size.
        """
        return self.source.instances(name)

    def subset(self, ids: Iterable[str]) -> Dataset:
        """The same split with these ids only. Raises WssError for ids that are not in it."""
        chosen = tuple(ids)
        known = frozenset(self.ids)
        strangers = [name for name in chosen if name not in known]
        if strangers:
            raise WssError(
                f"{self.root}: not in split {self.split}: {first_few(strangers)}; take them out of the id list"
            )
        return replace(self, ids=chosen)


def require_labels(dataset: Dataset, ids: Iterable[str]) -> dict[str, Labels]:
    """The labels of all these images.

    Raises:
        WssError: when the data set tells nothing about some of them; the message names the first few.
    """
    labels, unknown = _known(dataset.labels, ids)
    if unknown:
        where = dataset.labels_file or dataset.root
        raise WssError(
            f"{where}: no image-level labels for {len(unknown)} of {len(unknown) + len(labels)} images of split "
            f"{dataset.split} ({first_few(unknown)}); give them with --labels FILE or leave the images out with --ids"
        )
    return labels


def require_boxes(dataset: Dataset, ids: Iterable[str]) -> dict[str, Boxes]:
    """The boxes of all these images.

    Raises:
        WssError: when the data set has none for some of them; the message names the first few.
    """
    boxes, unknown = _known(dataset.boxes, ids)
    if unknown:
        where = dataset.box_list.path if dataset.box_list else dataset.root
        raise WssError(
            f"{where}: no boxes for {len(unknown)} of {len(unknown) + len(boxes)} images of split {dataset.split} "
            f"({first_few(unknown)}); give them with --boxes FILE or leave the images out with --ids"
        )
    return boxes


def _known(ask: Callable[[str], T | None], ids: Iterable[str]) -> tuple[dict[str, T], list[str]]:
    """What is known of each image, and the images of which nothing is."""
    known: dict[str, T] = {}
    unknown: list[str] = []
    for name in ids:
        found = ask(name)
        if found is None:
            unknown.append(name)
        else:
            known[name] = found
    return known, unknown
