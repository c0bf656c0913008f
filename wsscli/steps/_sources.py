"""What per-image steps read: a mask directory beside the photos (or the labels) of its data set."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.scores import Scores

log = logging.getLogger("wsscli")


def shared_ids(folder: MaskDir, dataset: Dataset) -> list[str]:
    """The images of a directory that are of the data set's split.

    A plain folder may hold masks of several splits: those of others are passed over. A directory written by wss
    is of one split, so an image that the split lacks is an error.

    Raises:
        WssError: an image is not of the split, or none is.
    """
    known = frozenset(dataset.ids)
    ids = [name for name in folder.ids if name in known]
    strangers = len(folder.ids) - len(ids)
    if folder.manifest is not None and strangers:
        first = next(name for name in folder.ids if name not in known)
        raise WssError(
            f"{folder.path}: {strangers} of {len(folder.ids)} images are not in split {dataset.split} of "
            f"{dataset.root}, the first is '{first}'; name the data set and split it was made from"
        )
    if not ids:
        raise WssError(
            f"{folder.path}: none of its {len(folder.ids)} images is in split {dataset.split} of {dataset.root}; "
            "name the right --data and --split"
        )
    if strangers:
        log.info("%s: %d images are not in split %s and are passed over", folder.path, strangers, dataset.split)
    return ids


def of_one_class(masks: MaskDir, dataset: Dataset, names: list[str]) -> list[str]:
    """The images with exactly one label, and those whose labels nobody knows, of which the caller tells.

    Raises:
        WssError: no image has exactly one.
    """
    labels = {name: dataset.labels(name) for name in names}
    found = [name for name, own in labels.items() if own is None or len(own) == 1]
    if not found:
        raise WssError(
            f"{masks.path}: none of its {len(names)} images has exactly one class; --label-count all takes images of "
            "several"
        )
    if len(found) < len(names):
        log.info(
            "%s: %d of %d images have not exactly one class and are passed over (--label-count all takes them)",
            masks.path, len(names) - len(found), len(names),
        )  # fmt: skip
    return found


def check_table(
    mine: ClassTable | None, path: Path, other: ClassTable | None, where: Path, *, class_free: bool = True
) -> None:
    """Two sources that meet in one step must number their classes alike.

    Args:
        mine: the table of what is read at `path`.
        path: for the message.
        other: the table that it meets, most often the data set's at `where`.
        where: for the message.
        class_free: `mine` may be that of class-free masks beside any other.

    Raises:
        WssError: both have a class table, and the tables differ.
    """
    if mine is None or other is None or mine == other or (class_free and mine == FOREGROUND):
        return
    pairs = zip(mine.names, other.names, strict=False)
    i, a, b = next(((i, a, b) for i, (a, b) in enumerate(pairs) if a != b), (-1, "", ""))
    what = f"class {i} is '{b}' there and '{a}'" if i >= 0 else f"{len(other)} classes there and {len(mine)}"
    raise WssError(f"{path}: its class table is not the one of {where}: {what} here; use the table of one data set")


def table_beside(folder: MaskDir, dataset: Dataset) -> ClassTable:
    """The table of a directory's masks: FOREGROUND where they are class-free, else the data set's.

    Raises:
        WssError: the directory has another table.
    """
    check_table(folder.classes, folder.path, dataset.classes, dataset.root)
    return FOREGROUND if folder.classes == FOREGROUND else dataset.classes


def check_values(mask: NDArray[np.uint8], path: Path, classes: ClassTable) -> None:
    """Raises WssError when a mask holds an id beyond the class table."""
    top = int(mask[mask != 255].max(initial=0))
    if top >= len(classes):
        raise WssError(
            f"{path}: holds the class id {top}, but the class table ends at {len(classes) - 1} "
            f"({classes.names[-1]}); use the data set's class ids, or name all classes with --class-names"
        )


def check_size(size: tuple[int, int], path: Path, other: tuple[int, int], where: Path) -> None:
    """Raises WssError when two (height, width) that must agree differ."""
    if tuple(size) != tuple(other):
        raise WssError(
            f"{path}: is {size[0]} x {size[1]} (height x width), but {where} is {other[0]} x {other[1]}; "
            "both must be of the photo's size"
        )


def mask_reader(folder: MaskDir, dataset: Dataset, classes: ClassTable) -> Callable[[str], NDArray[np.uint8]]:
    """What reads an image's mask and raises WssError where it does not fit the class table or the photo."""

    def read(name: str) -> NDArray[np.uint8]:
        mask, path = folder.mask(name), folder.mask_path(name)
        check_values(mask, path, classes)
        check_size((mask.shape[0], mask.shape[1]), path, dataset.size(name), dataset.image_path(name))
        return mask

    return read


def class_free_reader(folder: MaskDir, dataset: Dataset) -> Callable[[str], NDArray[np.uint8]]:
    """What reads an image's mask as 0, 1 and 255, whatever its classes; raises WssError where the size does not fit."""
    from wsscli.maskdir.classfree import class_free
    from wsscli.steps._coding import refuse_black_and_white

    refuse_black_and_white(folder)

    def read(name: str) -> NDArray[np.uint8]:
        mask, path = folder.mask(name), folder.mask_path(name)
        check_size((mask.shape[0], mask.shape[1]), path, dataset.size(name), dataset.image_path(name))
        return class_free(mask)

    return read


def check_score_rows(item: Scores, path: Path, classes: ClassTable) -> None:
    """Raises WssError when a row of scores is of a class beyond the table."""
    top = int(item.classes.max(initial=0))
    if top >= len(classes):
        raise WssError(
            f"{path}: has scores of class id {top}, but the class table ends at {len(classes) - 1} "
            f"({classes.names[-1]}); make the scores again from this data set"
        )


@dataclass(frozen=True)
class Probabilities:
    """How to get probabilities over background and classes out of a directory of scores.

    Attributes:
        folder: the directory.
        rule: how the background of `cam` scores is made; None: the scores have one.
    """

    folder: MaskDir
    rule: str | None

    @classmethod
    def of(cls, folder: MaskDir, background: str | None, *, default: str) -> Probabilities:
        """Settle the background rule: that of the option, `default` on cam scores, none on probabilities.

        Raises:
            UsageError: a rule is given for scores that have their own background, or is no rule.
            WssError: the scores are of a kind that holds no classes.
        """
        from wsscli.seeds.background import parse_background

        kind = folder.manifest.score_type if folder.manifest else None
        if kind == "cam":
            rule = background or default
            parse_background(rule)
            return cls(folder, rule)
        if kind not in ("probability", "soft-label"):
            raise WssError(
                f"{folder.path}: holds {kind} scores, which are not scores of classes; give cam or probability scores"
            )
        if background is not None:
            raise UsageError(
                f"--background {background}: only cam scores need one made, but {folder.path} holds {kind} scores; "
                "leave it out"
            )
        return cls(folder, None)

    def read(self, name: str, only: frozenset[int] | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Probabilities (K, H, W) at the photo's size and the class ids (K,) ascending, background first.

        Args:
            name: the image.
            only: read these classes (and the background) only.

        Raises:
            WssError: the scores cannot be read, or lack the background.
        """
        import numpy as np

        from wsscli.maskdir.scores import Scores
        from wsscli.seeds.background import add_background

        item = self.folder.scores(name)
        path = self.folder.scores_path(name)
        if self.folder.classes is not None:
            check_score_rows(item, path, self.folder.classes)
        order = np.argsort(item.classes, kind="stable")
        if only is not None:
            order = order[np.isin(item.classes[order], [0, *only])]
        item = Scores(item.scores[order], item.classes[order], item.size)
        if self.rule is not None:
            # upsampled first: the background rule is not linear, and the fine edge is where it decides
            return add_background(item.full(), self.rule), np.concatenate([[0], item.classes]).astype(np.int64)
        if not len(item.classes) or item.classes[0] != 0:
            raise WssError(
                f"{path}: has no scores of the background, but its directory holds probabilities; make it again"
            )
        return item.full(), item.classes
