"""How good the masks of rounds are: figures against true masks, round by round. Nothing of them enters a training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.maskdir import MaskDir

CURVE, TABLE = "rounds.svg", "rounds.csv"
NUMBERS = ("miou", "precision", "recall", "coverage", "miou_kept")
HEADER = ("round", "masks", "images", "dropped", *NUMBERS)
_NAMES = {"input": "input masks", "refined": "refined", "grabcut": "after GrabCut"}


def figures(
    sides: Mapping[str, MaskDir],
    ids: Sequence[str],
    truth: Callable[[str], NDArray[np.uint8]],
    classes: int,
    foreground: bool = False,
) -> dict[str, Any]:
    """The quality of mask directories over the same images.

    Args:
        sides: name -> directory. An image that it lacks counts as unlabelled, so that all figures are of one set.
        ids: the images.
        truth: reads a true mask; 255 is left out.
        classes: number of classes with the background.
        foreground: whatever the classes, judge foreground against background.

    Returns:
        For each name: images, dropped (images without a mask), miou, precision, recall (means over the classes that
        occur), coverage (share of labelled pixels), and miou_kept, over the images that have a mask. None where there
        is nothing to judge.
    """
    import numpy as np

    from wsscli.evaluate.confusion import confusion
    from wsscli.evaluate.summary import summarise
    from wsscli.maskdir.classfree import class_free

    # (with a mask, without) x classes x (classes + unlabelled)
    counts = {name: np.zeros((2, classes, classes + 1), np.int64) for name in sides}
    there = {name: frozenset(folder.ids) for name, folder in sides.items()}
    for image in ids:
        true = class_free(truth(image)) if foreground else truth(image)
        for name, folder in sides.items():
            kept = image in there[name]
            mask = folder.mask(image) if kept else np.full_like(true, 255)
            mask = class_free(mask) if foreground else mask
            where = (f"the true mask of '{image}'", str(folder.mask_path(image)))
            counts[name][0 if kept else 1] += confusion(true, mask, classes, names=where)
    found = {}
    for name, matrices in counts.items():
        whole, kept_only = summarise(matrices.sum(0)), summarise(matrices[0])
        numbers = (
            whole.miou, whole.mean_precision, whole.mean_recall, whole.coverage, kept_only.miou,
        )  # fmt: skip
        images = sum(image in there[name] for image in ids)
        # JSON has no NaN
        rounded = [None if value != value else round(value, 6) for value in numbers]
        found[name] = {"images": len(ids), "dropped": len(ids) - images} | dict(zip(NUMBERS, rounded, strict=True))
    return found


@dataclass(frozen=True)
class Watch:
    """True masks that rounds are measured by.

    Attributes:
        where: `truth`, or a directory of them.
        inputs: the directory; none for the data set's own.
        read: reads one; its values are those of `classes`, or of any table where only foreground counts.
        classes: number of classes with the background.
        foreground: whether only foreground counts.
    """

    where: str
    inputs: tuple[Input, ...]
    read: Callable[[str], NDArray[np.uint8]]
    classes: int
    foreground: bool

    @classmethod
    def of(
        cls, where: str | None, dataset: Dataset, classes: ClassTable, ids: list[str], foreground: bool
    ) -> Watch | None:
        """Open the true masks; None when nobody watches.

        Args:
            where: the option.
            dataset: of the photos.
            classes: the masks' table.
            ids: the images of the rounds.
            foreground: whether only foreground counts: then the true masks may have any class table.

        Raises:
            WssError: an image has none, or the class table does not fit.
        """
        from wsscli.steps._seeding import truth_reader, watched_by

        read = truth_reader(where, dataset, None if foreground else classes, ids, "--watch")
        if where is None or read is None:
            return None
        return cls(where, tuple(watched_by(where)), read, len(classes), foreground)

    def check(self, ids: Sequence[str]) -> None:
        """Raises WssError when the true mask of one of the images cannot be read: that must show before a training."""
        for name in ids:
            self.read(name)

    @property
    def _digest(self) -> str | None:
        return self.inputs[0].digest if self.inputs else None

    def figures_in(self, directory: Path) -> dict[str, Any] | None:
        """The figures by these true masks in the log of a round; None when it was not measured by them."""
        from wsscli.train.loop import read_log

        rows = (row for row in read_log(directory) if row["event"] == "watch" and row.get("digest") == self._digest)
        return next(rows, None)

    def measure(self, source: Path, directory: Path, ids: Sequence[str]) -> None:
        """Write the figures of a complete round into its log.

        Args:
            source: the masks that it was trained on.
            directory: the round.
            ids: the images.
        """
        from wsscli.maskdir.maskdir import open_maskdir
        from wsscli.maskdir.writer import append_log
        from wsscli.steps._round import REFINED

        made = open_maskdir(directory, need="masks")
        sides = {"input": open_maskdir(source, need="masks"), "refined": made}
        if made.manifest is not None and made.manifest.options["grabcut"]:
            del sides["refined"]
            if (directory / REFINED).exists():  # a user may take it away
                sides["refined"] = open_maskdir(directory / REFINED, need="masks")
            sides["grabcut"] = made
        found = figures(sides, ids, self.read, self.classes, self.foreground)
        append_log(
            directory,
            {"time": round(time.time(), 3), "event": "watch", "truth": self.where, "digest": self._digest, **found},
        )

    def collect(self, directories: Sequence[Path]) -> list[dict[str, Any]]:
        """The figures of rounds: a row a kind of masks; round 0 = the masks that the first trained on."""
        rows: list[dict[str, Any]] = []
        for k, directory in enumerate(directories, start=1):
            found = self.figures_in(directory) or {}
            names = [name for name in _NAMES if name in found and (name != "input" or k == 1)]
            rows += [{"round": 0 if name == "input" else k, "masks": name, **found[name]} for name in names]
        return rows

    def write_curves(self, out: Path, directories: Sequence[Path]) -> None:
        """Write `rounds.csv` and `rounds.svg` of the rounds so far."""
        from wsscli.maskdir.files import write_atomic
        from wsscli.steps._evaluation import csv_text

        rows = self.collect(directories)
        cells = [["" if row[name] is None else str(row[name]) for name in HEADER] for row in rows]
        write_atomic(out / TABLE, csv_text([list(HEADER), *cells]).encode())
        title = f"Masks of {rows[0]['images']} training images, round by round"
        write_atomic(out / CURVE, curve(rows, title).encode())


def curve(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """mIoU of refined and cut masks over the rounds, in percent, as an SVG file.

    Source: Jing et al., Coarse-to-fine, figure 6 (there: of the nets, on val).
    """
    from wsscli.report.curve import line_plot

    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["miou"] is not None:
            series.setdefault(_NAMES[row["masks"]], []).append((row["round"], 100 * row["miou"]))
    values = [value for points in series.values() for _, value in points]
    low, high = (5 * int(min(values) // 5), 5 * int(max(values) // 5 + 1)) if values else (0, 100)
    images = rows[0]["images"]
    return line_plot(
        series, title=title, x_label="round (0: the masks it began with)", y_label="mIoU, percent",
        y_range=(float(low), float(high)), size=(520, 330), whole_x=True, alone=True,
        notes=(
            f"{images} training images, the same in every round; no training sees the true masks.",
            "Dropped images count as unlabelled: they lower IoU and recall.",
        ),
    )  # fmt: skip
