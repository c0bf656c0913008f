"""What an evaluation of masks found, as plain numbers: for tables, JSON and CSV."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.maskdir.files import write_atomic
from wsscli.steps._evaluation import FORMAT, VERSION, Grid, Measured, counted, csv_text, finite, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# in the order of table and CSV; each is documented at wsscli.evaluate.summary.Summary
NUMBERS = (
    "jaccard", "miou", "boundary_miou", "pixel_accuracy", "mean_accuracy", "mean_precision", "mean_recall", "coverage",
    "foreground_precision", "foreground_recall", "foreground_coverage", "background_precision", "pixels",
    "unlabelled_pixels",
)  # fmt: skip
PER_CLASS = ("jaccard", "images", "iou", "boundary_iou", "accuracy", "precision", "recall")
_COLUMNS = {
    "jaccard": "Jaccard", "miou": "mIoU", "boundary_miou": "boundary", "pixel_accuracy": "pixel acc",
    "mean_accuracy": "mean acc", "mean_precision": "precision", "mean_recall": "recall", "coverage": "coverage",
    "foreground_precision": "fg prec", "foreground_recall": "fg recall", "foreground_coverage": "fg cover",
}  # fmt: skip
_CLASS_COLUMNS = {
    "jaccard": "Jaccard", "images": "images", "iou": "IoU", "boundary_iou": "boundary", "accuracy": "accuracy",
    "precision": "precision", "recall": "recall",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """The numbers of one directory (of one of its thresholds, in a sweep).

    Attributes:
        directory: as it was given.
        source: `masks` or `scores`.
        background: the background rule for scores (`const:0.2`), None for masks and probabilities.
        ledger: what supervision went in anywhere in its lineage; `unknown` for a plain folder.
        split: of the directory's manifest, else of the data set.
        missing: images without a file there, and under `--missing background` counted as background.
        classes: names that the means run over: those asked for that occur in truth or prediction.
        numbers: see NUMBERS; NaN where there was nothing to judge.
        per_class: class name -> see PER_CLASS.
        matrix: int64 (n, n + 1), not part of the JSON.
        best: the highest mIoU of this directory's sweep.
        empty: of a foreground evaluation: images left out since their truth has no foreground.
        undecided: of a foreground evaluation under `--unlabelled skip`: images left out since all of their true
            foreground is unlabelled, and none is predicted elsewhere.
    """

    directory: str
    source: str
    background: str | None
    ledger: list[str]
    split: str
    images: int
    missing: int
    classes: list[str]
    numbers: dict[str, float]
    per_class: dict[str, dict[str, float]]
    matrix: NDArray[np.int64] = field(repr=False, compare=False)
    best: bool = False
    empty: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Comparison:
    """The paired bootstrap of one directory against the first: mIoU `second - first`."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    level: float
    draws: int
    resolved: bool


@dataclass(frozen=True)
class MaskEvaluation:
    """One table: all its rows are about the same images, truth and rules.

    Attributes:
        split: of the truth.
        truth: where the true masks are.
        images: how many were judged; `skipped`: left out by `--missing skip`.
        unlabelled: what an unlabelled prediction counts as in IoU and accuracies.
        missing: what a missing mask counts as.
        restricted: whether `--classes` restricts the means.
        classes: the class table of the matrices.
        foreground: without classes: Jaccard index of every image, averaged per class, then over the classes.
        untrue: images left out by `--missing-truth skip`.
    """

    split: str
    truth: str
    images: int
    skipped: int
    unlabelled: str
    missing: str
    restricted: bool
    classes: ClassTable
    rows: list[Row]
    comparisons: list[Comparison]
    foreground: bool = False
    untrue: int = 0

    @property
    def kind(self) -> str:
        """See `Judged`, also for all the others."""
        return "masks"

    @property
    def measure(self) -> tuple[str, str]:
        """The number that counts: its key among `numbers`, and its name."""
        return ("jaccard", "foreground Jaccard") if self.foreground else ("miou", "mIoU")

    @property
    def judged(self) -> list[Row]:
        """A row a directory: the best of its sweep, or its only one."""
        swept = any(row.best for row in self.rows)
        return [row for row in self.rows if row.best or not swept]

    def to_json(self, *, per_class: bool = True) -> dict[str, Any]:
        """Plain data; None in place of NaN, which JSON does not have."""
        rows = []
        for row in self.rows:
            plain: dict[str, Any] = {
                key: getattr(row, key)
                for key in (
                    "directory",
                    "source",
                    "background",
                    "ledger",
                    "split",
                    "images",
                    "missing",
                    "classes",
                )
            }
            plain |= {name: finite(value) for name, value in row.numbers.items()}
            if any(other.best for other in self.rows):
                plain["best"] = row.best
            if self.foreground:
                plain |= {"empty": row.empty, "undecided": row.undecided}
            if per_class:
                plain["per_class"] = {
                    name: {key: finite(value) for key, value in numbers.items()}
                    for name, numbers in row.per_class.items()
                }
            rows.append(plain)
        return {
            "format": FORMAT,
            "version": VERSION,
            **({"foreground": True} if self.foreground else {}),
            "split": self.split,
            "truth": self.truth,
            "images": self.images,
            "skipped": self.skipped,
            "without_truth": self.untrue,
            "unlabelled": self.unlabelled,
            "missing": self.missing,
            "rows": rows,
            "comparisons": [{key: finite(value) for key, value in asdict(item).items()} for item in self.comparisons],
        }

    def to_table(self, *, per_class: bool = False) -> list[list[str]]:
        """Header and rows for CSV; numbers in full, empty in place of NaN, lists joined by blanks."""
        numbers = [name for name in NUMBERS if name in self.rows[0].numbers]
        header = ["directory", "split", "images", "missing", "unlabelled", "ledger", "classes", "background"]
        keys = [key for key in PER_CLASS if key in next(iter(self.rows[0].per_class.values()))]
        columns = [(name, key) for name in self.rows[0].per_class for key in keys] if per_class else []
        table = [[*header, *numbers, *(f"{key}:{name}" for name, key in columns)]]
        for row in self.rows:
            cells: list[Any] = [
                row.directory, row.split, row.images, row.missing, self.unlabelled, " ".join(row.ledger),
                " ".join(row.classes), row.background or "", *(row.numbers[name] for name in numbers),
                *(row.per_class[name][key] for name, key in columns),
            ]  # fmt: skip
            table.append(["" if finite(cell) is None else str(cell) for cell in cells])
        return table

    def grids(self, *, per_class: bool = False) -> list[Grid]:
        """The table, with `per_class` one for each directory too."""
        columns = [name for name in _COLUMNS if name in self.rows[0].numbers]
        rules = any(row.background for row in self.rows)
        header = ["directory", *(["background"] if rules else []), *(_COLUMNS[c].replace(" ", "\n") for c in columns)]
        rows = [
            [row.directory, *([row.background or "-"] if rules else []), *(shown(row.numbers[c]) for c in columns)]
            for row in self.rows
        ]
        best = next((i for i, row in enumerate(self.rows) if row.best), None)
        title = f"split {self.split}, {_images(self.images)}"
        return [
            Grid(title, header, rows, 1 + rules, best),
            *(self._class_grid(row) for row in self.judged if per_class),
        ]

    def _class_grid(self, row: Row) -> Grid:
        keys = list(next(iter(row.per_class.values())))
        rows = [
            [name, *(f"{values[key]:.0f}" if key == "images" else shown(values[key]) for key in keys)]
            for name, values in row.per_class.items()
        ]
        title = f"{row.directory}, split {self.split}"
        return Grid(title, ["class", *(_CLASS_COLUMNS[key] for key in keys)], rows)

    def measured(self) -> list[Measured]:
        """Of each directory; of a sweep its best threshold."""
        key, name = self.measure
        return [Measured(row.directory, name, row.numbers[key]) for row in self.judged]

    def notes(self) -> list[str]:
        """What the numbers of the table mean: images, rules, classes, ledger, intervals."""
        left = f", {self.skipped} without a mask left out" if self.skipped else ""
        left += f", {self.untrue} without a true mask left out" if self.untrue else ""
        lines = [
            f"split {self.split}, {_images(self.images)}{left}, truth {self.truth}",
            f"unlabelled predictions: {self.unlabelled}"
            + ("" if self.foreground else " (in IoU and accuracies; precision counts labelled pixels only)"),
        ]
        for row in self.judged:
            absent = f"; {row.missing} missing masks count as background" if row.missing else ""
            end = f"ledger: {', '.join(row.ledger) or 'nothing'}{absent}"
            if self.foreground:
                out = f"; left out: {_images(row.empty)} without foreground in the truth" if row.empty else ""
                out += (
                    f"; left out: {_images(row.undecided)} whose foreground is all unlabelled" if row.undecided else ""
                )
                classes = counted(len(row.classes), "class", "classes")
                of = f"mean over {classes} ({', '.join(row.classes)}) of their images' mean{out}"
                lines.append(f"{row.directory}: {of}; {end}")
                continue
            of = (
                f"{len(row.classes)} classes"
                if len(row.classes) == len(self.classes)
                else (f"{len(row.classes)} of {len(self.classes)} classes ({', '.join(row.classes)})")
            )
            why = "asked for, where they occur" if self.restricted else "those in truth or prediction"
            lines.append(f"{row.directory}: mean over {of}, {why}; {end}")
        for c in self.comparisons:
            verdict = "resolved" if c.resolved else "not resolved"
            lines.append(
                f"{c.second} - {c.first}: {self.measure[1]} {c.difference:+.4f}, {100 * c.level:g} % interval "
                f"[{c.low:+.4f}, {c.high:+.4f}] over images ({c.draws} draws): {verdict}"
            )
        return lines


def _images(number: int) -> str:
    return counted(number, "image", "images")


def matrix_table(row: Row, classes: ClassTable) -> list[list[str]]:
    """A confusion matrix for CSV: a line a true class, a column a predicted one, unlabelled last."""
    header = ["truth", *classes.names, "unlabelled"]
    lines = zip(classes.names, row.matrix.tolist(), strict=True)
    return [header, *([name, *map(str, counts)] for name, counts in lines)]


def write_confusion(evaluation: MaskEvaluation, path: Path) -> None:
    """Write the confusion matrix of an evaluation's only directory, as CSV or as a picture, by the suffix.

    Args:
        evaluation: of one directory; of a sweep the best threshold is taken.
        path: ends in .csv or .png.

    Raises:
        UsageError: another suffix, or several directories.
    """
    if path.suffix not in (".csv", ".png"):
        raise UsageError(f"--confusion {path}: the file's name must end in .csv (numbers) or .png (a picture)")
    rows = evaluation.judged
    if len(rows) != 1:
        raise UsageError(f"--confusion {path}: a matrix is of one directory, here are {len(rows)}; judge one by itself")
    row = rows[0]
    if path.suffix == ".csv":
        write_atomic(path, csv_text(matrix_table(row, evaluation.classes)).encode())
        return
    from PIL import Image

    from wsscli.report.matrix import matrix_picture

    key, name = evaluation.measure
    title = f"{row.directory}: split {row.split}, {row.images} images, {name} {row.numbers[key]:.4f}"
    buffer = io.BytesIO()
    Image.fromarray(matrix_picture(row.matrix, evaluation.classes.names, title=title)).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
