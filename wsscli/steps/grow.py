"""`wss grow`: seeds spread into the pixels that a network is sure of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import UsageError, WssError
from wsscli.steps._cluster import Cluster
from wsscli.steps._data import Data
from wsscli.steps._run import Run

if TYPE_CHECKING:
    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Manifest
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output
    from wsscli.steps._sources import Probabilities


def grow(
    seeds: Path,
    out: Path,
    *,
    scores: Path,
    theta_fg: float = 0.85,
    theta_bg: float = 0.99,
    original_quirks: bool = False,
    background: str | None = None,
    data: Data = Data(),
    run: Run = Run(),
    on: Cluster = Cluster(),
) -> Path:
    """Grow seeds into neighbouring pixels whose class a network is sure of (DSRG).

    An unlabelled pixel beside a pixel of class c takes c where c is the most probable of the image's classes and its
    probability reaches the threshold; labelled pixels never change. The image's classes are its image-level labels
    where the data set has them, else every class that the scores have.

    Args:
        seeds: A mask directory; 255 is unlabelled.
        out: The directory to write.
        scores: A directory with probabilities (`wss predict --scores`, `wss crf --scores`), or with cam scores.
        theta_fg: Threshold of the foreground classes; inf: they do not grow.
        theta_bg: Threshold of the background; inf: it does not grow.
        original_quirks: Grow as the authors' code does: strict thresholds, both of them for the background, sure
            pixels change sides.
        background: For cam scores only: const:T or power:A (see `wss argmax`); power:7 when left out.
        data: The data set, for its image-level labels; from the manifests by default.
        run: Options of every step.
        on: Where to work.

    Returns:
        `out`. Images without seeds, and seeds of classes that take no part, are listed under `fell_back`.

    Raises:
        UsageError: a threshold is out of range, or `background` does not fit the scores.
        WssError: sizes, ids, splits or classes do not fit.
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.seeds.background import REFINED_BACKGROUND
    from wsscli.steps._data import data_ref
    from wsscli.steps._ledger import inherit
    from wsscli.steps._run import Plan, per_image
    from wsscli.steps._sources import Probabilities, check_table, shared_ids

    for name, value in (("--theta-fg", theta_fg), ("--theta-bg", theta_bg)):
        if not value >= 0:
            raise UsageError(f"{name} {value}: give a probability (0.85 and 0.99 are usual) or inf")
    folder, probable = open_maskdir(seeds, need="masks"), open_maskdir(scores, need="scores")
    _same_split(folder, probable)
    check_table(folder.classes, folder.path, probable.classes, probable.path, class_free=False)
    source = Probabilities.of(probable, background, default=REFINED_BACKGROUND)
    dataset = _dataset(data, folder.manifest, probable.manifest)
    classes = folder.classes or probable.classes
    if dataset is not None:
        check_table(probable.classes, probable.path, dataset.classes, dataset.root, class_free=False)
        classes = dataset.classes

    ids = run.select(shared_ids(folder, dataset) if dataset is not None else folder.ids)
    _check_scores(ids, folder, probable)
    labels = {name: dataset.labels(name) for name in ids} if dataset is not None else {}
    known = {name: frozenset(found) for name, found in labels.items() if found is not None}
    reference = folder.manifest or probable.manifest
    plan = Plan(
        step="grow", out=out, kind="masks", classes=classes,
        options={
            "theta_fg": _plain(theta_fg), "theta_bg": _plain(theta_bg), "original_quirks": original_quirks,
            "background": source.rule,
        },
        data=data_ref(dataset) if dataset is not None else reference.data if reference else None,
        split=dataset.split if dataset is not None else reference.split if reference else None,
        inputs=[folder.as_input("seeds"), probable.as_input("scores")],
        supervision=inherit(folder.manifest, probable.manifest, add=["image-labels"] if known else []),
    )  # fmt: skip
    return per_image(plan, run, ids, _Grow(folder, source, known, classes, theta_fg, theta_bg, original_quirks), on=on)


def _plain(theta: float) -> float | str:
    return "inf" if theta == float("inf") else theta  # JSON has no infinity


def _same_split(folder: MaskDir, probable: MaskDir) -> None:
    one = folder.manifest.split if folder.manifest else None
    other = probable.manifest.split if probable.manifest else None
    if one is not None and other is not None and one != other:
        raise WssError(
            f"{folder.path} is of split '{one}', but {probable.path} of split '{other}'; "
            f"make scores of the seeds' split (`wss predict --split {one} --scores`)"
        )


def _dataset(data: Data, *manifests: Manifest | None) -> Dataset | None:
    """The data set whose image-level labels count; None when nobody names one."""
    from wsscli.steps._data import dataset_for

    manifest = next((m for m in manifests if m is not None and m.data is not None), None)
    if data.data is None and manifest is None:
        return None
    return dataset_for(data, manifest)


def _check_scores(ids: list[str], folder: MaskDir, probable: MaskDir) -> None:
    there = frozenset(probable.ids)
    missing = [name for name in ids if name not in there]
    if missing:
        raise WssError(
            f"{probable.path}: no scores of {len(missing)} of the {len(ids)} images that {folder.path} has seeds of, "
            f"the first is '{missing[0]}'; make them, or take a part with --ids"
        )


@dataclass(frozen=True)
class _Grow:
    folder: MaskDir
    source: Probabilities
    labels: dict[str, frozenset[int]]
    classes: ClassTable | None
    theta_fg: float
    theta_bg: float
    original_quirks: bool

    def __call__(self, name: str) -> Output:
        import numpy as np

        from wsscli.grow.dsrg import grow
        from wsscli.maskdir.writer import Output
        from wsscli.steps._sources import check_size, check_values

        seeds, path = self.folder.mask(name), self.folder.mask_path(name)
        if self.classes is not None:
            check_values(seeds, path, self.classes)
        labels = self.labels.get(name)
        p, rows = self.source.read(name, only=labels)
        where = self.source.folder.scores_path(name)
        check_size((seeds.shape[0], seeds.shape[1]), path, (p.shape[1], p.shape[2]), where)
        grown = grow(
            seeds, p, rows, theta_fg=self.theta_fg, theta_bg=self.theta_bg, original_quirks=self.original_quirks
        )
        present = set(np.unique(seeds).tolist()) - {255}
        return Output(mask=grown, fell_back=self._reason(present, set(rows.tolist()), labels))

    def _reason(self, present: set[int], rows: set[int], labels: frozenset[int] | None) -> str | None:
        if not present:
            return "no seeds"
        outside = sorted(present - rows)
        if not outside:
            return None
        c = outside[0]
        name = f"'{self.classes.names[c]}'" if self.classes is not None else str(c)
        why = "is not among the image's labels" if labels is not None and c not in labels else "has no scores"
        return f"class {name} {why}: its seeds stay and do not grow"
