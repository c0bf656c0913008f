"""wss demo"""

from __future__ import annotations

import sys

from wsscli.cli.options import command
from wsscli.steps.demo import Demo, demo


def finish(result: Demo) -> None:
    """Print the table on stderr and the page's path on stdout."""
    from rich import box
    from rich.table import Table

    from wsscli.cli.output import console

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("step")
    table.add_column("split")
    for name in ("precision", "recall", "IoU", "labelled", "seconds"):
        table.add_column(name, justify="right")
    for s in result.scores:
        numbers = [f"{value:.3f}" for value in (s.precision, s.recall, s.iou, s.coverage)]
        table.add_row(s.step, s.split, *numbers, "-" if s.seconds != s.seconds else f"{s.seconds:.0f}")
    out = console()
    out.print(table)
    out.print("means over the classes and the background; unlabelled pixels count as missed", style="dim")
    kept = f", everything else in {result.folder}" if result.folder else ""
    out.print(f"{result.seconds:.0f} s; the page is below{kept}", style="dim", markup=False)
    sys.stdout.write(f"{result.page}\n")


main = command(demo, finish=finish)
