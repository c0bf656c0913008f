"""`wss eval`: masks, seeds or score maps against true masks, pixel by pixel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.errors import UsageError
from wsscli.steps._cluster import Cluster, in_order, spread
from wsscli.steps._coding import refuse_black_and_white, refuse_black_and_white_truth
from wsscli.steps._data import Data
from wsscli.steps._jaccard import check_options, chosen_groups, compare, foreground_row, groups_of
from wsscli.steps._judge import Judge, Side, Tally, choose_side
from wsscli.steps._mask_evaluation import Comparison, MaskEvaluation, Row
from wsscli.steps._run import Run
from wsscli.steps._target import class_table, find_target, images_to_judge
from wsscli.steps._workers import one_thread_libraries

if TYPE_CHECKING:
    from wsscli.classes import ClassTable

log = logging.getLogger("wsscli")
_CHUNK = 16  # images a task: little overhead, still enough tasks to keep all workers busy
_NO_TABLE = 255  # classes to count where nobody names them


def evaluate_masks(
    directories: Sequence[Path],
    *,
    truth: Path | None,
    classes: tuple[str, ...] | None,
    unlabelled: Literal["miss", "background", "skip"],
    missing: Literal["error", "background", "skip"],
    missing_truth: Literal["error", "skip"],
    background: str | None,
    sweep: str | None,
    boundary: bool,
    foreground: bool,
    bootstrap: bool,
    draws: int,
    data: Data,
    run: Run,
    on: Cluster,
) -> MaskEvaluation | None:
    """Score masks: one confusion matrix over the whole set; see `wsscli.steps.eval.evaluate`."""
    from wsscli.classes import FOREGROUND
    from wsscli.evaluate.sweep import parse_range
    from wsscli.maskdir.maskdir import open_maskdir

    there = on if on.scheduler else None
    if bootstrap and (len(directories) < 2 or sweep):
        have = "a sweep" if sweep else f"{len(directories)} directory"
        raise UsageError(f"--bootstrap compares two or more directories, but there is {have}; leave it out")
    if foreground:
        check_options(boundary=boundary, sweep=sweep)
    if boundary and sweep:
        raise UsageError("--boundary and --sweep: outlines are judged at one background; give it with --background")
    thresholds = parse_range(sweep) if sweep else []
    sides = [choose_side(open_maskdir(path), background, thresholds) for path in directories]
    if foreground:
        for side in sides:
            if not side.scores:
                refuse_black_and_white(side.folder)
    target = find_target(truth, data, [side.folder for side in sides], foreground=foreground)
    table = FOREGROUND if foreground else class_table(target, data, sides)
    chosen = [table.id(name) for name in classes] if classes and table and not foreground else None
    if classes and table is None:
        raise UsageError("--classes needs a class table: give --data, or --class-names cat,dog,... in the order of ids")
    if foreground and truth is None:
        refuse_black_and_white_truth(target)
    names, lacking = images_to_judge(target, sides, missing, missing_truth, run)
    if run.dry_run:
        log.info(
            "would judge %s on %d images against %s",
            ", ".join(map(str, directories)),
            len(names),
            target.name,
        )
        return None
    per_image = bootstrap or foreground
    judge = Judge(target.read, sides, len(table) if table else _NO_TABLE, unlabelled, boundary, per_image, foreground)
    groups = groups_of(target, names) if foreground else None
    chosen = chosen_groups(groups, classes) if groups else chosen
    tallies = _count(judge, names, run, there)
    table = table or _found_classes(tallies)
    rows: list[Row] = []
    for side, tally, absent in zip(sides, tallies, lacking, strict=True):
        if groups:
            rows.append(foreground_row(side, tally, groups, chosen, target.split, absent))
        else:
            rows += _rows(side, tally, table, chosen, unlabelled, target.split, len(names), absent)
    comparisons: list[Comparison] = []
    if bootstrap and groups:
        comparisons = compare(sides, tallies, groups, chosen, draws, run.seed)
    elif bootstrap:
        comparisons = _compare(judge, tallies, directories, chosen, draws, run.seed)
    asked = run.select(target.ids)
    untrue = len(target.without(asked))
    return MaskEvaluation(
        target.split,
        target.name,
        len(names),
        len(asked) - untrue - len(names),
        unlabelled,
        missing,
        bool(classes),
        table,
        rows,
        comparisons,
        foreground,
        untrue,
    )


def _found_classes(tallies: Sequence[Tally]) -> ClassTable:
    """Classes named by their ids, up to the largest that occurs; the matrices are cut to them."""
    import numpy as np

    from wsscli.classes import ClassTable

    seen = [m[..., :_NO_TABLE].any(axis=(0, 1)) | m.any(axis=(0, 2)) for m in (t.matrices for t in tallies)]
    n = int(np.flatnonzero(np.any(seen, axis=0)).max(initial=0)) + 1
    for tally in tallies:
        tally.matrices = np.concatenate([tally.matrices[:, :n, :n], tally.matrices[:, :n, -1:]], axis=2)
        if tally.boundary is not None:
            tally.boundary = type(tally.boundary)(*(part[:n] for part in tally.boundary))
    log.warning("nobody names the classes here: they go by their ids; --class-names cat,dog,... names them")
    return ClassTable.of(str(i) for i in range(1, n))


def _count(judge: Judge, names: Sequence[str], run: Run, there: Cluster | None) -> list[Tally]:
    """Sum the tallies of all images, those of each image in order."""
    totals = judge.empty()

    def add(tallies: Sequence[Tally]) -> None:
        for total, tally in zip(totals, tallies, strict=True):
            total.add(tally)

    if there is not None:
        spread(there, lambda _, chunk: judge.chunk(chunk), names, run, "eval", in_order(add))
    else:
        _count_here(judge, names, run.threads, add)
    return totals


def _count_here(judge: Judge, names: Sequence[str], threads: int, add: Callable[[list[Tally]], None]) -> None:
    """Chunks come back in order, a few at a time."""
    from joblib import Parallel, delayed

    from wsscli.progress import track

    chunks = [names[i : i + _CHUNK] for i in range(0, len(names), _CHUNK)]
    parallel = Parallel(
        n_jobs=min(threads, len(chunks)),
        backend="threading",
        return_as="generator",
        pre_dispatch="3*n_jobs",
        batch_size=1,
    )
    with one_thread_libraries(), track(len(names), "eval") as progress:
        for chunk, tallies in zip(chunks, parallel(delayed(judge.chunk)(c) for c in chunks), strict=True):
            add(tallies)
            progress.advance(len(chunk))


def _rows(
    side: Side, tally: Tally, table: ClassTable, chosen: list[int] | None,
    unlabelled: Literal["miss", "background", "skip"], split: str, images: int, absent: int,
) -> list[Row]:  # fmt: skip
    """A row for each matrix of a directory."""
    from wsscli.evaluate.confusion import iou, mean
    from wsscli.evaluate.summary import summarise
    from wsscli.steps._mask_evaluation import NUMBERS, PER_CLASS

    manifest = side.folder.manifest
    ledger = list(manifest.supervision) if manifest else ["unknown"]
    if side.thresholds:
        ledger = sorted({*ledger, f"tuned-on-masks:{split}"})
    outlines = iou(tally.boundary) if tally.boundary is not None else None
    rows = []
    summaries = [summarise(m, unlabelled=unlabelled, classes=chosen) for m in tally.matrices]
    top = max((s.miou for s in summaries if s.miou == s.miou), default=None)
    best = next((i for i, s in enumerate(summaries) if s.miou == top), 0)
    for i, (matrix, summary) in enumerate(zip(tally.matrices, summaries, strict=True)):
        numbers = {name: getattr(summary, name) for name in NUMBERS if hasattr(summary, name)}
        arrays = {key: getattr(summary, key) for key in PER_CLASS if hasattr(summary, key)}
        if outlines is not None:
            numbers["boundary_miou"] = mean(outlines, chosen)
            arrays["boundary_iou"] = outlines
        rule = f"const:{side.thresholds[i]:g}" if side.thresholds else side.background
        per_class = {
            name: {key: float(arrays[key][c]) for key in PER_CLASS if key in arrays}
            for c, name in enumerate(table.names)
        }
        names = [table.names[c] for c in summary.classes]
        source, where = "scores" if side.scores else "masks", str(side.folder.path)
        marked = bool(side.thresholds) and i == best
        rows.append(Row(where, source, rule, ledger, split, images, absent, names, numbers, per_class, matrix, marked))
    return rows


def _compare(
    judge: Judge,
    tallies: Sequence[Tally],
    directories: Sequence[Path],
    chosen: list[int] | None,
    draws: int,
    seed: int,
) -> list[Comparison]:
    from wsscli.evaluate.bootstrap import PerImage, paired_interval

    sides = []
    for tally in tallies:
        side = PerImage(judge.n)
        for item in tally.images:
            side.add(item)
        sides.append(side)
    found = [paired_interval(sides[0], other, classes=chosen, draws=draws, seed=seed) for other in sides[1:]]
    return [
        Comparison(str(directories[0]), str(path), f.difference, f.low, f.high, f.level, f.draws, f.resolved)
        for path, f in zip(directories[1:], found, strict=True)
    ]
