"""wss eval"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.cli.options import command
from wsscli.errors import FailUnderError, UsageError
from wsscli.steps._eval_proposals import ProposalEvaluation
from wsscli.steps._evaluation import Evaluation, csv_text, write_confusion
from wsscli.steps.eval import evaluate

if TYPE_CHECKING:
    from rich.table import Table

_LOG_WIDTH = 1000
_AP = {
    "ap50": "AP50", "ap70": "AP70", "ap75": "AP75", "ap50_voc07": "AP50 VOC07", "ap_coco": "AP COCO",
    "ap50_coco": "AP50 COCO", "ap75_coco": "AP75 COCO",
}  # fmt: skip
_PROTOCOLS = {
    "sds": "protocol sds (more than the overlap, the best object that none has hit before, area under the curve)",
    "fcis": "protocol fcis (the overlap or more, the best object, eleven points)",
}
_COLUMNS = {
    **_AP,
    "jaccard": "Jaccard", "miou": "mIoU", "boundary_miou": "boundary", "pixel_accuracy": "pixel acc",
    "mean_accuracy": "mean acc", "mean_precision": "precision", "mean_recall": "recall", "coverage": "coverage",
    "foreground_precision": "fg prec", "foreground_recall": "fg recall", "foreground_coverage": "fg cover",
}  # fmt: skip
_CLASS_COLUMNS = {
    **_AP, "objects": "objects",
    "jaccard": "Jaccard", "images": "images", "iou": "IoU", "boundary_iou": "boundary", "accuracy": "accuracy",
    "precision": "precision", "recall": "recall",
}  # fmt: skip


def finish(
    result: Evaluation | ProposalEvaluation | None,
    *,
    json: bool = False,
    csv: Path | None = None,
    per_class: bool = False,
    confusion: Path | None = None,
    curve: Path | None = None,
    fail_under: float | None = None,
) -> None:
    """Print the numbers.

    Args:
        json: Print the numbers as one JSON document on stdout.
        csv: Write the numbers to this CSV file; - is stdout.
        per_class: Also the numbers of every class (table and CSV; JSON has them always).
        confusion: Write the confusion matrix to this file, numbers (.csv) or a picture (.png).
        curve: Of --proposals: write the average best overlap over the number kept to this file (.svg).
        fail_under: Exit with 4 when a directory's mIoU (with --foreground its Jaccard, with --proposals its average
            best overlap, with --detections or --instances its AP50) is below this.
    """
    if json and csv == Path("-"):
        raise UsageError("--json and --csv -: both would go to stdout; give --csv a file")
    if result is None:
        return
    if isinstance(result, ProposalEvaluation):
        if confusion is not None:
            raise UsageError(
                f"--confusion {confusion}: proposals have no classes, so no confusion matrix; leave it out"
            )
        show_proposals(result, per_class=per_class)
    else:
        if curve is not None:
            raise UsageError(f"--curve {curve}: is of --proposals; leave it out")
        show(result, per_class=per_class)
    if json:
        from json import dumps

        sys.stdout.write(dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if csv is not None:
        write_csv(csv, result, per_class=per_class)
    if confusion is not None and isinstance(result, Evaluation):
        write_confusion(result, confusion)
    if curve is not None and isinstance(result, ProposalEvaluation):
        write_curve(curve, result)
    if fail_under is not None:
        check(result, fail_under)


def write_csv(path: Path, result: Evaluation | ProposalEvaluation, *, per_class: bool) -> None:
    """The rows as CSV, to a file or stdout."""
    text = csv_text(result.to_table(per_class=per_class))
    if path == Path("-"):
        sys.stdout.write(text)
    else:
        from wsscli.maskdir.files import write_atomic

        write_atomic(path, text.encode())


def write_curve(path: Path, result: ProposalEvaluation) -> None:
    """The curve as an SVG file."""
    from wsscli.maskdir.files import write_atomic

    if path.suffix != ".svg":
        raise UsageError(f"--curve {path}: the file's name must end in .svg")
    write_atomic(path, result.curve().encode())


def check(result: Evaluation | ProposalEvaluation, fail_under: float) -> None:
    """Raise FailUnderError when a directory (of a sweep its best threshold) is below, or has no mIoU at all."""
    key, what = result.measure if isinstance(result, Evaluation) else ("", "average best overlap")
    if not 0 <= fail_under <= 1:
        raise UsageError(f"--fail-under {fail_under:g}: {what} lies between 0 and 1")
    if isinstance(result, ProposalEvaluation):
        for found in result.rows:
            best = found.qualities[-1]
            if best.average_best_overlap < fail_under:
                raise FailUnderError(
                    f"{found.directory}: {what} {best.average_best_overlap:.4f} of {best.kept} proposals on split "
                    f"{result.split} is under --fail-under {fail_under:g}"
                )
        return
    for row in result.judged:
        value = row.numbers[key]
        if value != value:
            raise FailUnderError(
                f"{row.directory}: none of the classes occurs on split {row.split}, so nothing reaches "
                f"--fail-under {fail_under:g}"
            )
        if value < fail_under:
            raise FailUnderError(
                f"{row.directory}: {what} {value:.4f} on split {row.split} is under --fail-under {fail_under:g}"
            )


def show(result: Evaluation, *, per_class: bool) -> None:
    """The tables, on stderr: always with split, images, the rule for unlabelled, ledger and classes averaged."""
    from rich.console import Console

    from wsscli.cli.output import console

    out = console()
    # A log has no width: there the table is as wide as it needs to be. A terminal wraps the directory's name.
    tables = out if out.is_terminal else Console(stderr=True, width=_LOG_WIDTH, highlight=False)
    tables.print(_table(result))
    if per_class:
        for row in result.judged:
            tables.print(_class_table(result, row.directory, row.per_class))
    for line in notes(result):
        out.print(line, markup=False, highlight=False)


def show_proposals(result: ProposalEvaluation, *, per_class: bool) -> None:
    """The tables, on stderr: a row for each directory and number of proposals kept."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from wsscli.cli.output import console

    out = console()
    tables = out if out.is_terminal else Console(stderr=True, width=_LOG_WIDTH, highlight=False)
    title = f"split {result.split}, {result.images} images, {result.objects} objects"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("directory", overflow="fold")
    for name in ("kept", "average best overlap", "recall 0.5", "recall 0.7"):
        table.add_column(name, justify="right")
    for row in result.rows:
        for q in row.qualities:
            shares = map(_text, (q.average_best_overlap, q.recall_50, q.recall_70))
            table.add_row(Text(row.directory), str(q.kept), *shares)
    tables.print(table)
    for row in result.rows if per_class else ():
        kept = row.qualities[-1].kept
        each = Table(title=Text(f"{row.directory}, {kept} kept"), title_justify="left", box=box.SIMPLE_HEAD)
        each.add_column("class")
        for name in ("objects", "average best overlap", "recall 0.5", "recall 0.7"):
            each.add_column(name, justify="right")
        for name, numbers in row.per_class.items():
            shares = map(_text, (numbers["average_best_overlap"], numbers["recall_50"], numbers["recall_70"]))
            each.add_row(Text(name), f"{numbers['objects']:.0f}", *shares)
        tables.print(each)
    out.print(f"objects: {result.rule}, truth {result.truth}", markup=False, highlight=False)
    for row in result.rows:
        absent = f"; {row.missing} images without proposals count as found by none" if row.missing else ""
        line = f"{row.directory}: ledger: {', '.join(row.ledger) or 'nothing'}{absent}"
        out.print(line, markup=False, highlight=False)


def notes(result: Evaluation) -> list[str]:
    """What the numbers of the table mean: images, rules, classes, ledger, intervals."""
    left = f", {result.skipped} without a mask left out" if result.skipped else ""
    left += f", {result.untrue} without a true mask left out" if result.untrue else ""
    if result.objects:
        return _object_notes(result, left)
    lines = [
        f"split {result.split}, {_images(result.images)}{left}, truth {result.truth}",
        f"unlabelled predictions: {result.unlabelled}"
        + ("" if result.foreground else " (in IoU and accuracies; precision counts labelled pixels only)"),
    ]
    for row in result.judged:
        absent = f"; {row.missing} missing masks count as background" if row.missing else ""
        end = f"ledger: {', '.join(row.ledger) or 'nothing'}{absent}"
        if result.foreground:
            out = f"; left out: {_images(row.empty)} without foreground in the truth" if row.empty else ""
            out += f"; left out: {_images(row.undecided)} whose foreground is all unlabelled" if row.undecided else ""
            classes = _number(len(row.classes), "class", "classes")
            of = f"mean over {classes} ({', '.join(row.classes)}) of their images' mean{out}"
            lines.append(f"{row.directory}: {of}; {end}")
            continue
        of = (
            f"{len(row.classes)} classes"
            if len(row.classes) == len(result.classes)
            else (f"{len(row.classes)} of {len(result.classes)} classes ({', '.join(row.classes)})")
        )
        why = "asked for, where they occur" if result.restricted else "those in truth or prediction"
        lines.append(f"{row.directory}: mean over {of}, {why}; {end}")
    for c in result.comparisons:
        verdict = "resolved" if c.resolved else "not resolved"
        lines.append(
            f"{c.second} - {c.first}: {result.measure[1]} {c.difference:+.4f}, {100 * c.level:g} % interval "
            f"[{c.low:+.4f}, {c.high:+.4f}] over images ({c.draws} draws): {verdict}"
        )
    return lines


def _object_notes(result: Evaluation, left: str) -> list[str]:
    """What the numbers of boxes, or of instances, mean."""
    rule = (
        "AP50: overlap 0.5, VOC 2012's area under the curve (VOC07: at eleven points), difficult objects and crowds "
        "passed over; COCO: mean over overlaps 0.5 to 0.95, crowds passed over"
    )
    if result.protocol is not None:
        rule = f"AP50, AP70, AP75: AP^r, {_PROTOCOLS[result.protocol]}; COCO: mean over overlaps 0.5 to 0.95"
    lines = [f"split {result.split}, {result.images} images{left}, truth {result.truth}", rule]
    why = "asked for, where they occur" if result.restricted else "those in the truth"
    for row in result.rows:
        absent = f"; {row.missing} dropped images count as without a box" if row.missing else ""
        lines.append(
            f"{row.directory}: mean over {len(row.classes)} classes ({', '.join(row.classes)}), {why}; ledger: "
            f"{', '.join(row.ledger) or 'nothing'}{absent}"
        )
    return lines


def _images(number: int) -> str:
    return _number(number, "image", "images")


def _number(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _table(result: Evaluation) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = [name for name in _COLUMNS if name in result.rows[0].numbers]
    rules = any(row.background for row in result.rows)
    table = Table(
        title=f"split {result.split}, {_images(result.images)}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("directory", overflow="fold")
    if rules:
        table.add_column("background")
    for name in columns:
        table.add_column(_COLUMNS[name].replace(" ", "\n"), justify="right", no_wrap=True)
    for row in result.rows:
        rule = [row.background or "-"] if rules else []
        numbers = [_text(row.numbers[name]) for name in columns]
        table.add_row(Text(row.directory), *rule, *numbers, style="bold" if row.best else None)
    return table


def _class_table(result: Evaluation, directory: str, per_class: dict[str, dict[str, float]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    keys = list(next(iter(per_class.values())))
    table = Table(title=Text(f"{directory}, split {result.split}"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("class", overflow="fold")
    for key in keys:
        table.add_column(_CLASS_COLUMNS[key], justify="right")
    for name, numbers in per_class.items():
        table.add_row(Text(name), *(_text(numbers[key], key) for key in keys))
    return table


def _text(value: float, key: str = "") -> str:
    if key in ("images", "objects"):
        return f"{value:.0f}"
    return "-" if value != value else f"{value:.4f}"


main = command(evaluate, finish=finish)
