"""What an evaluation judges by: the true masks, their images, and the class table all sides share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import WssError
from wsscli.steps._coding import refuse_black_and_white
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._judge import Side, Truth
from wsscli.steps._run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.base import Labels
    from wsscli.maskdir.maskdir import MaskDir


@dataclass(frozen=True)
class Target:
    """The truth: where it is, of which images, and how to read it."""

    name: str
    split: str
    ids: tuple[str, ...]
    classes: ClassTable | None
    read: Truth
    without: Callable[[Sequence[str]], dict[str, str]]
    """Of some images those that have no true mask -> the file that lacks."""
    labels: Callable[[str], Labels | None] | None = None
    """An image's labels, ids of `classes`; None where no data set is there to know them."""


def find_target(truth: Path | None, data: Data, folders: Sequence[MaskDir], *, foreground: bool = False) -> Target:
    """The truth to judge by: of the data set (named, or the manifests'), or of the directory `--truth`.

    `foreground`: the classes of the masks of `--truth` do not matter.
    """
    from wsscli.maskdir.maskdir import open_maskdir

    manifests = [folder.manifest for folder in folders if folder.manifest is not None]
    split, owner = data.split, "--split (or WSS_SPLIT) says"
    for folder in folders:
        found = folder.manifest.split if folder.manifest else None
        if found is not None and split is not None and found != split:
            raise WssError(
                f"{folder.path}: is of split '{found}', but {owner} '{split}'; splits are never mixed, judge each "
                "by itself"
            )
        if split is None and found is not None:
            split, owner = found, f"{folder.path} is of"
    first = next((m for m in manifests if m.data is not None), manifests[0] if manifests else None)
    known = first is not None and first.data is not None and Path(first.data.path).exists()
    if truth is None:
        dataset = dataset_for(data, first)
        if not dataset.has_truth:
            raise WssError(f"{dataset.root}: has no true masks; give them with --truth DIR")
        where = str(dataset.root)

        def from_dataset(name: str) -> tuple[NDArray[np.uint8], str]:
            mask = dataset.source.truth(name)  # ids beyond the class table are found while counting
            return dataset.truth(name) if mask is None else mask, f"the true mask of '{name}' in {where}"

        return Target(
            where, dataset.split, tuple(dataset.ids), dataset.classes, from_dataset, dataset.without_truth,
            dataset.labels,
        )  # fmt: skip

    folder = open_maskdir(truth, need="masks")
    if foreground:
        refuse_black_and_white(folder)

    def from_folder(name: str) -> tuple[NDArray[np.uint8], str]:
        return folder.mask(name), str(folder.mask_path(name))

    there = frozenset(folder.ids)

    def without(names: Sequence[str]) -> dict[str, str]:
        return {name: str(folder.mask_path(name)) for name in names if name not in there}

    own = folder.manifest.split if folder.manifest else None
    if own is not None and split is not None and split != own:
        raise WssError(f"{truth}: true masks of split '{own}', but {owner} '{split}'; give the masks of that split")
    split = split or own
    if data.data is not None or known:
        dataset = dataset_for(data, first)
        if not foreground and folder.classes is not None and folder.classes != dataset.classes:
            difference = _difference(folder.classes, dataset.classes)
            raise WssError(f"{truth}: {difference} {dataset.root}; the true masks must use its class table")
        return Target(
            str(truth), dataset.split, tuple(dataset.ids), dataset.classes, from_folder, without, dataset.labels
        )
    return Target(str(truth), split or "unknown", tuple(folder.ids), folder.classes, from_folder, without)


def class_table(target: Target, data: Data, sides: Sequence[Side]) -> ClassTable | None:
    """The one class table of truth and predictions; None when nobody has one."""
    from wsscli.classes import FOREGROUND, ClassTable

    table, owner = target.classes, target.name
    if table is None and data.class_names:
        table, owner = ClassTable.of(data.class_names), "--class-names"
    for side in sides:
        other = side.folder.classes
        if other is None:
            continue
        if table is None:
            table, owner = other, str(side.folder.path)
        if other == FOREGROUND != table:
            raise WssError(f"{side.folder.path}: its masks are class-free, {owner} has classes; add --foreground")
        if other != table:
            raise WssError(f"{side.folder.path}: {_difference(other, table)} {owner}; masks must use its class table")
    return table


def _difference(one: ClassTable, other: ClassTable) -> str:
    for i, (a, b) in enumerate(zip(one.names, other.names, strict=False)):
        if a != b:
            return f"class {i} is '{a}', but it is '{b}' in"
    return f"has {len(one)} classes, but there are {len(other)} in"


def images_to_judge(
    target: Target, sides: Sequence[Side], missing: str, missing_truth: str, run: Run
) -> tuple[list[str], list[int]]:
    """The images to judge, and how many of them each directory lacks."""
    names = _with_truth(target, run.select(target.ids), missing_truth)
    for side in sides:
        absent = [name for name in names if name not in side.ids]
        if len(absent) == len(names):
            raise WssError(
                f"{side.folder.path}: has none of the {len(names)} images to judge (the first is '{names[0]}') in "
                f"{target.name}, split {target.split}; is it of another data set or split?"
            )
        if absent and missing == "error":
            raise WssError(
                f"{side.folder.path}: {len(absent)} of {len(names)} images have no mask, the first is "
                f"'{absent[0]}'{_why(side, absent[0])}; --missing skip leaves them out, --missing background counts "
                "them as background, --ids judges a part"
            )
    if missing == "skip":
        names = [name for name in names if all(name in side.ids for side in sides)]
        if not names:
            raise WssError("no image is in all directories; nothing is left to judge under --missing skip")
    return names, [sum(name not in side.ids for name in names) for side in sides]


def _with_truth(target: Target, names: list[str], missing: str) -> list[str]:
    """Those of the images that have a true mask, all of them unless `--missing-truth` allows otherwise."""
    bare = target.without(names)
    if not bare:
        return names
    name, what = next(iter(bare.items()))
    first = f"the first is '{name}' ({what} is missing)"
    if len(bare) == len(names):
        raise WssError(
            f"{target.name}: none of the {len(names)} images has a true mask, {first}; name the truth's place or split"
        )
    if missing == "error":
        raise WssError(
            f"{target.name}: {len(bare)} of {len(names)} images have no true mask, {first}; --missing-truth skip "
            "leaves them out, --ids judges a part"
        )
    return [name for name in names if name not in bare]


def _why(side: Side, name: str) -> str:
    manifest = side.folder.manifest
    reason = next((d["reason"] for d in manifest.dropped if d["id"] == name), None) if manifest else None
    return f" (dropped: {reason})" if reason else ""
