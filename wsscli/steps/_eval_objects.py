"""What judging boxes and judging instances have in common: the images, the data set, and the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wsscli.errors import WssError
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._evaluation import FORMAT, VERSION, Grid, Measured, counted, finite, shown
from wsscli.steps._run import Run
from wsscli.steps._sources import check_table

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.detections import DetectionDir

NUMBERS = {  # in the order of table and CSV
    "ap50": "AP50", "ap70": "AP70", "ap75": "AP75", "ap50_voc07": "AP50 VOC07", "ap_coco": "AP COCO",
    "ap50_coco": "AP50 COCO", "ap75_coco": "AP75 COCO",
}  # fmt: skip


@dataclass(frozen=True)
class ObjectRow:
    """The numbers of one directory.

    Attributes:
        directory: as it was given.
        ledger: what supervision went in anywhere in its lineage; `unknown` for a file.
        missing: images that were dropped there and count as images in which nothing was found.
        classes: names that the means run over: those asked for that occur in the truth.
        numbers: see NUMBERS.
        per_class: class name -> its NUMBERS and `objects`, how many there are.
    """

    directory: str
    ledger: list[str]
    missing: int
    classes: list[str]
    numbers: dict[str, float]
    per_class: dict[str, dict[str, float]]

    @classmethod
    def of(cls, side: DetectionDir, per_class: dict[str, dict[str, float]], missing: int) -> ObjectRow:
        """The row of a directory, its numbers the means of the classes'."""
        import numpy as np

        keys = [key for key in NUMBERS if key in next(iter(per_class.values()))]
        numbers = {key: float(np.mean([values[key] for values in per_class.values()])) for key in keys}
        ledger = list(side.manifest.supervision) if side.manifest is not None else ["unknown"]
        return cls(str(side.path), ledger, missing, list(per_class), numbers, per_class)


@dataclass(frozen=True)
class ObjectEvaluation:
    """One table: all its rows are about the same images and objects.

    Attributes:
        kind: what was judged, `boxes` or `instances`.
        split: of the truth; `truth`: where it is.
        images: how many were looked at; `skipped`: left out by `--missing skip`.
        restricted: whether `--classes` restricts the means.
        rule: what the numbers mean; `name`: what AP50 is called there.
        protocol: of instances.
    """

    kind: str
    split: str
    truth: str
    images: int
    skipped: int
    restricted: bool
    rule: str
    name: str
    rows: list[ObjectRow]
    protocol: str | None = None

    def to_json(self) -> dict[str, Any]:
        """See `Judged`, also for all the others."""
        rows = [
            {
                "directory": row.directory, "ledger": row.ledger, "split": self.split, "images": self.images,
                "missing": row.missing, "classes": row.classes, **_plain(row.numbers),
                "per_class": {name: _plain(values) for name, values in row.per_class.items()},
            }
            for row in self.rows
        ]  # fmt: skip
        return {
            "format": FORMAT, "version": VERSION, "objects": self.kind,
            **({"protocol": self.protocol} if self.protocol else {}),
            "split": self.split, "truth": self.truth, "images": self.images, "skipped": self.skipped, "rows": rows,
        }  # fmt: skip

    def to_table(self, *, per_class: bool = False) -> list[list[str]]:
        """A row a directory; with `per_class` a column for each number and class."""
        first = self.rows[0]
        columns = [(name, key) for name, values in first.per_class.items() for key in values] if per_class else []
        header = ["directory", "split", "images", "missing", "ledger", "classes"]
        table = [[*header, *first.numbers, *(f"{key}:{name}" for name, key in columns)]]
        for row in self.rows:
            values = [*row.numbers.values(), *(row.per_class[name][key] for name, key in columns)]
            head = [row.directory, self.split, str(self.images), str(row.missing), " ".join(row.ledger)]
            cells = ("" if finite(value) is None else str(value) for value in values)
            table.append([*head, " ".join(row.classes), *cells])
        return table

    def grids(self, *, per_class: bool = False) -> list[Grid]:
        """The table, with `per_class` one for each directory too."""
        titles = [NUMBERS[key].replace(" ", "\n") for key in self.rows[0].numbers]
        rows = [[row.directory, *map(shown, row.numbers.values())] for row in self.rows]
        title = f"split {self.split}, {counted(self.images, 'image', 'images')}"
        grids = [Grid(title, ["directory", *titles], rows)]
        for row in self.rows if per_class else ():
            lines = [
                [name, f"{values['objects']:.0f}", *(shown(values[key]) for key in row.numbers)]
                for name, values in row.per_class.items()
            ]
            grids.append(Grid(f"{row.directory}, split {self.split}", ["class", "objects", *titles], lines))
        return grids

    def notes(self) -> list[str]:
        """Images, rule, and of each directory its classes and ledger."""
        images = counted(self.images, "image", "images")
        left = f", {self.skipped} that were dropped left out" if self.skipped else ""
        lines = [f"split {self.split}, {images}{left}, truth {self.truth}", self.rule]
        why = "asked for, where they occur" if self.restricted else "those in the truth"
        for row in self.rows:
            of = f"mean over {counted(len(row.classes), 'class', 'classes')} ({', '.join(row.classes)}), {why}"
            dropped = counted(row.missing, "dropped image counts", "dropped images count")
            absent = f"; {dropped} as without {self.kind}" if row.missing else ""
            lines.append(f"{row.directory}: {of}; ledger: {', '.join(row.ledger) or 'nothing'}{absent}")
        return lines

    def measured(self) -> list[Measured]:
        """The mean of AP50 of each directory."""
        return [Measured(row.directory, self.name, row.numbers["ap50"]) for row in self.rows]


class Case(NamedTuple):
    """What is to be judged.

    Attributes:
        sides: the directories.
        dataset: the data set with the true objects.
        names: the images; `skipped`: how many were left out.
        lacking: of each directory how many of them were dropped there.
        wanted: class ids that are asked for.
    """

    sides: list[DetectionDir]
    dataset: Dataset
    names: list[str]
    skipped: int
    lacking: list[int]
    wanted: list[int]


def open_case(
    directories: Sequence[Path], *, boxes: Path | None = None, classes: Sequence[str] | None, missing: str, data: Data,
    run: Run,
) -> Case:  # fmt: skip
    """Open what `wss detect` wrote, or files in COCO's results form, and the data set that they speak of.

    Args:
        directories: what is judged.
        boxes: true boxes from this list instead of the data set's own.
        classes: names that the means run over; None for all. `background` is passed over.
        missing: what an image is that was dropped: `error`, `background` (nothing was found in it), or `skip`.
        data, run: the data set and which of its images.

    Raises:
        WssError: a directory is of other images, split or classes than the truth; a class that the data set does not
            have.
    """
    from wsscli.maskdir.detections import open_detections
    from wsscli.steps.train_det import with_boxes

    sides = [open_detections(path) for path in directories]
    dataset = with_boxes(_dataset_of(sides, data), boxes)
    table = dataset.classes
    wanted = [table.id(name) for name in classes if name != "background"] if classes else list(range(1, len(table)))
    for side in sides:
        if side.manifest is not None:
            check_table(side.manifest.classes, side.path, table, dataset.root)
    asked = run.select(dataset.ids)
    names, lacking = _images_of(sides, dataset, asked, missing)
    return Case(sides, dataset, names, len(asked) - len(names), lacking, wanted)


def _dataset_of(sides: Sequence[DetectionDir], data: Data) -> Dataset:
    """The data set that all directories speak of."""
    manifests = [side.manifest for side in sides if side.manifest is not None]
    split = data.split
    for side in sides:
        found = side.manifest.split if side.manifest is not None else None
        if found is not None and split is not None and found != split:
            raise WssError(
                f"{side.path}: is of split '{found}', the others or --split say '{split}'; splits are never mixed, "
                "judge each by itself"
            )
        split = split or found
    return dataset_for(replace(data, split=split), manifests[0] if manifests else None)


def _images_of(
    sides: Sequence[DetectionDir], dataset: Dataset, names: list[str], missing: str
) -> tuple[list[str], list[int]]:
    """The images to judge, and how many of them each directory has dropped."""
    from wsscli.maskdir.manifest import ids_digest

    known = {ids_digest(names), ids_digest(dataset.ids)}
    dropped: list[set[str]] = []
    for side in sides:
        manifest = side.manifest
        if manifest is not None and manifest.ids_digest not in known:
            raise WssError(
                f"{side.path}: is about {manifest.images} images, which are neither the {len(dataset)} of split "
                f"{dataset.split} nor the {len(names)} to judge; name them with --ids"
            )
        dropped.append({item["id"] for item in manifest.dropped} & set(names) if manifest is not None else set())
        if dropped[-1] and missing == "error":
            raise WssError(
                f"{side.path}: {len(dropped[-1])} of {len(names)} images were dropped, the first is "
                f"'{min(dropped[-1])}'; --missing skip leaves them out, --missing background counts them as without "
                "a box"
            )
    if missing == "skip":
        names = [name for name in names if not any(name in gone for gone in dropped)]
    return names, [0 if missing == "skip" else len(gone) for gone in dropped]


def refuse_strangers(side: DetectionDir, images: Iterable[str], dataset: Dataset) -> None:
    """Raises WssError when something was found in an image that the split does not have."""
    strangers = sorted(set(images) - set(dataset.ids))
    if strangers:
        raise WssError(
            f"{side.path}: its image '{strangers[0]}' is not in split {dataset.split} of {dataset.root}; judge it on "
            "the images it was made from"
        )


def _plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {key: finite(value) for key, value in numbers.items()}
