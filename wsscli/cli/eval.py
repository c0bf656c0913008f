"""wss eval"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from wsscli.cli.options import command
from wsscli.errors import FailUnderError, UsageError
from wsscli.steps._eval_proposals import ProposalEvaluation
from wsscli.steps._evaluation import Judged, csv_text
from wsscli.steps._mask_evaluation import MaskEvaluation, write_confusion
from wsscli.steps.eval import evaluate

_LOG_WIDTH = 1000


def finish(
    result: Judged | None,
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
    if confusion is not None and not isinstance(result, MaskEvaluation):
        raise UsageError(f"--confusion {confusion}: there is no confusion matrix of {result.kind}; leave it out")
    if curve is not None and not isinstance(result, ProposalEvaluation):
        raise UsageError(f"--curve {curve}: is of --proposals; leave it out")
    show(result, per_class=per_class)
    if json:
        from json import dumps

        sys.stdout.write(dumps(result.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if csv is not None:
        write_csv(csv, result, per_class=per_class)
    if confusion is not None and isinstance(result, MaskEvaluation):
        write_confusion(result, confusion)
    if curve is not None and isinstance(result, ProposalEvaluation):
        write_curve(curve, result)
    if fail_under is not None:
        check(result, fail_under)


def write_csv(path: Path, result: Judged, *, per_class: bool) -> None:
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


def check(result: Judged, fail_under: float) -> None:
    """Raise FailUnderError when a directory's number is below, or there is none."""
    found = result.measured()
    if not 0 <= fail_under <= 1:
        raise UsageError(f"--fail-under {fail_under:g}: {found[0].name} lies between 0 and 1")
    for directory, name, value, of in found:
        if math.isnan(value):
            raise FailUnderError(
                f"{directory}: none of the classes occurs on split {result.split}, so nothing reaches "
                f"--fail-under {fail_under:g}"
            )
        if value < fail_under:
            raise FailUnderError(
                f"{directory}: {name} {value:.4f}{of} on split {result.split} is under --fail-under {fail_under:g}"
            )


def show(result: Judged, *, per_class: bool) -> None:
    """The tables, on stderr, and below them what they mean."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from wsscli.cli.output import console

    out = console()
    # A log has no width: there the table is as wide as it needs to be. A terminal wraps the directory's name.
    tables = out if out.is_terminal else Console(stderr=True, width=_LOG_WIDTH, highlight=False)
    for grid in result.grids(per_class=per_class):
        table = Table(title=Text(grid.title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for i, name in enumerate(grid.header):
            if i < grid.texts:
                table.add_column(name, overflow="fold")
            else:
                table.add_column(name, justify="right", no_wrap=True)
        for i, cells in enumerate(grid.rows):
            table.add_row(*map(Text, cells), style="bold" if i == grid.best else None)
        tables.print(table)
    for line in result.notes():
        out.print(line, markup=False, highlight=False)


main = command(evaluate, finish=finish)
