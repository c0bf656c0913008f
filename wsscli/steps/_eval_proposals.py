"""`wss eval --proposals`: how good region proposals are, as plain numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import UsageError, WssError
from wsscli.steps._cluster import Cluster, in_order, spread
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._evaluation import FORMAT, VERSION, Grid, Measured, counted, shown
from wsscli.steps._run import Run
from wsscli.steps._workers import one_thread_libraries

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.data.dataset import Dataset
    from wsscli.evaluate.proposals import Objects, Quality
    from wsscli.maskdir.maskdir import MaskDir

    _Part = tuple[list[NDArray[np.float64]], tuple[int, ...]]  # of an image: best overlaps a directory, its classes

log = logging.getLogger("wsscli")


@dataclass(frozen=True)
class ProposalRow:
    """The numbers of one directory of proposals.

    Attributes:
        directory: as it was given.
        ledger: what supervision went in anywhere in its lineage.
        qualities: numbers for each count of proposals kept, ascending.
        per_class: class name -> numbers of its objects at the last count, and how many there are.
        missing: images without proposals there that count as having none.
    """

    directory: str
    ledger: list[str]
    qualities: list[Quality]
    per_class: dict[str, dict[str, float]]
    missing: int


@dataclass(frozen=True)
class ProposalEvaluation:
    """One table: all rows are about the same objects.

    Attributes:
        split: of the truth; `truth`: where it is.
        images: how many were looked at; `objects`: in all of them.
        rule: what an object is.
    """

    split: str
    truth: str
    images: int
    objects: int
    rule: str
    rows: list[ProposalRow]

    @property
    def kind(self) -> str:
        """See `Judged`, also for all the others."""
        return "proposals"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rows = [{**asdict(row), "qualities": [asdict(quality) for quality in row.qualities]} for row in self.rows]
        head = {"format": FORMAT, "version": VERSION, "proposals": True, "split": self.split, "truth": self.truth}
        return {**head, "images": self.images, "objects": self.objects, "rule": self.rule, "rows": rows}

    def to_table(self, *, per_class: bool = False) -> list[list[str]]:
        """Header and rows for CSV, a row for each directory and count; with `per_class` one for each class."""
        keys = ["kept", "average_best_overlap", "recall_50", "recall_70"]
        table = [["directory", "split", "images", "objects", "ledger", *(["class"] if per_class else []), *keys]]
        for row in self.rows:
            head = [row.directory, self.split, str(self.images), str(self.objects), " ".join(row.ledger)]
            for quality in row.qualities:
                cells = [str(getattr(quality, key)) for key in keys]
                table.append([*head, *(["all"] if per_class else []), *cells])
            for name, numbers in row.per_class.items() if per_class else ():
                cells = [str(row.qualities[-1].kept), *(str(numbers[key]) for key in keys[1:])]
                table.append([*head[:3], str(int(numbers["objects"])), head[4], name, *cells])
        return table

    def grids(self, *, per_class: bool = False) -> list[Grid]:
        """A row for each directory and number kept; with `per_class` a table for each directory too."""
        columns = ["average best overlap", "recall 0.5", "recall 0.7"]
        rows = [
            [row.directory, str(q.kept), *map(shown, (q.average_best_overlap, q.recall_50, q.recall_70))]
            for row in self.rows
            for q in row.qualities
        ]
        images, objects = counted(self.images, "image", "images"), counted(self.objects, "object", "objects")
        title = f"split {self.split}, {images}, {objects}"
        grids = [Grid(title, ["directory", "kept", *columns], rows)]
        for row in self.rows if per_class else ():
            keys = ("average_best_overlap", "recall_50", "recall_70")
            lines = [
                [name, f"{numbers['objects']:.0f}", *(shown(numbers[key]) for key in keys)]
                for name, numbers in row.per_class.items()
            ]
            title = f"{row.directory}, {row.qualities[-1].kept} kept"
            grids.append(Grid(title, ["class", "objects", *columns], lines))
        return grids

    def notes(self) -> list[str]:
        """What an object is, and of each directory its ledger."""
        lines = [f"objects: {self.rule}, truth {self.truth}"]
        for row in self.rows:
            count = counted(row.missing, "image without proposals counts", "images without proposals count")
            absent = f"; {count} as found by none" if row.missing else ""
            lines.append(f"{row.directory}: ledger: {', '.join(row.ledger) or 'nothing'}{absent}")
        return lines

    def measured(self) -> list[Measured]:
        """The average best overlap of each directory, of the largest number kept."""
        last = [(row.directory, row.qualities[-1]) for row in self.rows]
        return [
            Measured(directory, "average best overlap", best.average_best_overlap, f" of {best.kept} proposals")
            for directory, best in last
        ]

    def curve(self) -> str:
        """Average best overlap over the proposals kept, as an SVG file; the horizontal axis is logarithmic."""
        from math import log10

        from wsscli.report.curve import line_plot

        lines = {
            row.directory: [(log10(quality.kept), quality.average_best_overlap) for quality in row.qualities]
            for row in self.rows
        }
        return line_plot(
            lines, title=f"Proposals, split {self.split}, {self.objects} objects of {self.images} images",
            x_label="proposals kept, power of ten", y_label="average best overlap", y_range=(0.0, 1.0),
            notes=[f"objects: {self.rule}"], alone=True,
        )  # fmt: skip


def evaluate_proposals(
    directories: Sequence[Path],
    *,
    keep: tuple[int, ...] | None,
    missing: str,
    least: float,
    data: Data,
    run: Run,
    on: Cluster,
) -> ProposalEvaluation | None:
    """Judge proposals against the objects of a data set; see `wsscli.steps.eval.evaluate`."""
    from wsscli.evaluate.proposals import COUNTS, best_of_first
    from wsscli.maskdir.maskdir import open_maskdir

    there = on if on.scheduler else None
    counts = sorted(set(keep or COUNTS))
    if counts[0] < 1:
        raise UsageError(f"--keep {counts[0]}: give numbers of proposals, each 1 or more")
    if not 0 <= least <= 1:
        raise UsageError(f"--min-object {least:g}: give a share of the image, 0 to 1")
    folders = [open_maskdir(path, need="proposals") for path in directories]
    first = folders[0].manifest
    for folder in folders[1:]:
        if first and folder.manifest and folder.manifest.split != first.split:
            raise WssError(
                f"{folder.path}: is of split '{folder.manifest.split}', but {folders[0].path} is of '{first.split}'; "
                "splits are never mixed, judge each by itself"
            )
    dataset = dataset_for(data, first)
    if not dataset.has_truth:
        raise WssError(f"{dataset.root}: has no true masks, so no objects to find")
    names = run.select(dataset.ids)
    names, lacking = _present(folders, names, missing, str(dataset.root))
    if run.dry_run:
        log.info("would judge %s on %d images against %s", ", ".join(map(str, directories)), len(names), dataset.root)
        return None
    objects_of, rule = _objects(dataset, least)
    present = [frozenset(folder.ids) for folder in folders]

    def one(name: str) -> _Part:
        import numpy as np

        objects = objects_of(name)
        found = []
        for folder, known in zip(folders, present, strict=True):
            if not objects.classes or name not in known:
                found.append(np.zeros((len(objects.classes), len(counts))))
                continue
            item = folder.proposals(name)
            if item.size != objects.labels.shape:
                raise WssError(
                    f"{folder.proposals_path(name)}: is for {item.size[1]}x{item.size[0]}, the true mask is "
                    f"{objects.labels.shape[1]}x{objects.labels.shape[0]} (width x height)"
                )
            values = range(1, objects.void)
            found.append(best_of_first(item.overlaps(objects.labels, values, ignore=objects.void), counts))
        return found, objects.classes

    parts: list[_Part] = []
    if there is not None:
        spread(there, lambda _, chunk: [one(name) for name in chunk], names, run, "eval", in_order(parts.extend))
    else:
        parts = _in_threads(one, names, run.threads)
    classes = [c for _, found in parts for c in found]
    if not classes:
        raise WssError(f"{dataset.root}: no object in the {len(names)} images of split {dataset.split}; {rule}")
    rows = [
        _row(folder, [best[k] for best, _ in parts], classes, counts, dataset.classes.names, absent)
        for k, (folder, absent) in enumerate(zip(folders, lacking, strict=True))
    ]
    return ProposalEvaluation(dataset.split, str(dataset.root), len(names), len(classes), rule, rows)


def _objects(dataset: Dataset, least: float) -> tuple[Callable[[str], Objects], str]:
    from wsscli.data.instances import object_classes
    from wsscli.evaluate.proposals import components, instances

    def known(name: str) -> Objects:
        found = dataset.instances(name)
        if found is None:
            raise WssError(
                f"{dataset.root}: no instance map for image '{name}' (split {dataset.split}); leave the image out with "
                "--ids, or add it"
            )
        return instances(found, object_classes(found, dataset.truth(name)))

    if dataset.has_instances:
        return known, "instances of SegmentationObject" if dataset.format == "voc" else "objects of the annotations"
    rule = f"connected components of a class, at least {100 * least:g}% of the image"
    return lambda name: components(dataset.truth(name), least=least), rule


def _present(folders: Sequence[MaskDir], names: list[str], missing: str, where: str) -> tuple[list[str], list[int]]:
    present = [set(folder.ids) for folder in folders]
    for folder, there in zip(folders, present, strict=True):
        absent = [name for name in names if name not in there]
        if absent and (missing == "error" or len(absent) == len(names)):
            raise WssError(
                f"{folder.path}: {len(absent)} of {len(names)} images of {where} have no proposals, the first is "
                f"'{absent[0]}'; --missing skip leaves them out, --missing background counts them as found by none, "
                "--ids judges a part"
            )
    if missing == "skip":
        names = [name for name in names if all(name in there for there in present)]
        if not names:
            raise WssError("no image is in all directories; nothing is left to judge under --missing skip")
    return names, [len(set(names) - there) for there in present]


def _in_threads(one: Callable[[str], _Part], names: Sequence[str], threads: int) -> list[_Part]:
    from joblib import Parallel, delayed

    from wsscli.progress import track

    parallel = Parallel(
        n_jobs=min(threads, len(names)), backend="threading", return_as="generator", pre_dispatch="2*n_jobs",
        batch_size=1,
    )  # fmt: skip
    found = []
    with one_thread_libraries(), track(len(names), "eval") as progress:
        for part in parallel(delayed(one)(name) for name in names):
            found.append(part)
            progress.advance()
    return found


def _row(
    folder: MaskDir, parts: Sequence[NDArray[np.float64]], classes: Sequence[int], counts: Sequence[int],
    names: Sequence[str], absent: int,
) -> ProposalRow:  # fmt: skip
    import numpy as np

    from wsscli.evaluate.proposals import qualities

    best = np.concatenate(parts)
    per_class = {}
    for c in sorted(set(classes) - {0}):
        of = best[np.asarray(classes) == c]
        last = asdict(qualities(of[:, -1:], counts[-1:])[0])
        del last["kept"]
        per_class[names[c]] = {**last, "objects": float(len(of))}
    ledger = list(folder.manifest.supervision) if folder.manifest else []
    return ProposalRow(str(folder.path), ledger, qualities(best, counts), per_class, absent)
