"""What an evaluation found, as plain numbers: for tables, JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.maskdir.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = "wss-eval"
VERSION = 1

# in the order of table and CSV; each is documented at wsscli.evaluate.summary.Summary
NUMBERS = (
    "ap50", "ap70", "ap75", "ap50_voc07", "ap_coco", "ap50_coco", "ap75_coco",
    "jaccard", "miou", "boundary_miou", "pixel_accuracy", "mean_accuracy", "mean_precision", "mean_recall", "coverage",
    "foreground_precision", "foreground_recall", "foreground_coverage", "background_precision", "pixels",
    "unlabelled_pixels",
)  # fmt: skip
PER_CLASS = (
    "ap50", "ap70", "ap75", "ap50_voc07", "ap_coco", "ap50_coco", "ap75_coco", "objects", "jaccard", "images", "iou",
    "boundary_iou", "accuracy", "precision", "recall",
)  # fmt: skip


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
class Evaluation:
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
        objects: what was judged one by one instead of pixels: `boxes` or `instances`; None for masks.
        protocol: by which rule instances were judged.
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
    objects: str | None = None
    protocol: str | None = None

    @property
    def measure(self) -> tuple[str, str]:
        """The number that counts: its key among `numbers`, and its name."""
        if self.objects:
            return "ap50", "AP50" if self.objects == "boxes" else "AP^r at 0.5"
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
            plain |= {name: _finite(value) for name, value in row.numbers.items()}
            if any(other.best for other in self.rows):
                plain["best"] = row.best
            if self.foreground:
                plain |= {"empty": row.empty, "undecided": row.undecided}
            if per_class:
                plain["per_class"] = {
                    name: {key: _finite(value) for key, value in numbers.items()}
                    for name, numbers in row.per_class.items()
                }
            rows.append(plain)
        return {
            "format": FORMAT,
            "version": VERSION,
            **({"foreground": True} if self.foreground else {}),
            **({"objects": self.objects} if self.objects else {}),
            **({"protocol": self.protocol} if self.protocol else {}),
            "split": self.split,
            "truth": self.truth,
            "images": self.images,
            "skipped": self.skipped,
            "without_truth": self.untrue,
            "unlabelled": self.unlabelled,
            "missing": self.missing,
            "rows": rows,
            "comparisons": [{key: _finite(value) for key, value in asdict(item).items()} for item in self.comparisons],
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
            table.append(["" if _finite(cell) is None else str(cell) for cell in cells])
        return table


def matrix_table(row: Row, classes: ClassTable) -> list[list[str]]:
    """A confusion matrix for CSV: a line a true class, a column a predicted one, unlabelled last."""
    header = ["truth", *classes.names, "unlabelled"]
    lines = zip(classes.names, row.matrix.tolist(), strict=True)
    return [header, *([name, *map(str, counts)] for name, counts in lines)]


def csv_text(table: list[list[str]]) -> str:
    """Lines of cells as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(table)
    return buffer.getvalue()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_confusion(evaluation: Evaluation, path: Path) -> None:
    """Write the confusion matrix of an evaluation's only directory, as CSV or as a picture, by the suffix.

    Args:
        evaluation: of one directory; of a sweep the best threshold is taken.
        path: ends in .csv or .png.

    Raises:
        UsageError: another suffix, or several directories.
    """
    if path.suffix not in (".csv", ".png"):
        raise UsageError(f"--confusion {path}: the file's name must end in .csv (numbers) or .png (a picture)")
    if evaluation.objects:
        raise UsageError(f"--confusion {path}: there is none of {evaluation.objects}; leave it out")
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
