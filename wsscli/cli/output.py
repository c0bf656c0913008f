"""What goes to stderr: notes, warnings, tables and progress. stdout is for the result alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from wsscli.launch import launched
from wsscli.progress import Track, set_sink

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


@cache
def console() -> Console:
    """The console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        style = {"WARNING": "yellow", "ERROR": "red"}.get(record.levelname, "dim")
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        console().print(f"wss: {prefix}{record.getMessage()}", style=style, markup=False)


@cache
def install() -> None:
    """Send wss's notes to stderr, and progress bars when stderr is a terminal."""
    logger = logging.getLogger("wsscli")
    logger.addHandler(_Notes())
    launch = launched()
    first = launch is None or launch.rank == 0
    logger.setLevel(logging.INFO if first else logging.WARNING)  # the others would say the same
    logger.propagate = False
    if first and sys.stderr.isatty():
        set_sink(_bar)


class _Bar:
    def __init__(self, progress: Progress, task: TaskID):
        self._progress, self._task = progress, task

    def advance(self, n: int = 1, **fields: float) -> None:
        if fields:
            text = "  ".join(f"{name} {value:.4g}" for name, value in fields.items())
            self._progress.update(self._task, advance=n, fields=text)
        else:
            self._progress.update(self._task, advance=n)


@contextmanager
def _bar(total: int, description: str) -> Iterator[Track]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: object) -> Text:
            speed = getattr(task, "finished_speed", None) or getattr(task, "speed", None)
            return Text(f"{speed:.1f}/s" if speed else "", style="dim")

    columns = [
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(),
        TextColumn("{task.fields[fields]}", style="dim"),
    ]  # fmt: skip
    with Progress(*columns, console=console()) as progress:
        yield _Bar(progress, progress.add_task(description, total=total, fields=""))
