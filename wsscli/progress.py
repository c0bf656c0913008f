"""Where steps report how far they are. Silent until somebody (the command line) installs a sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Track(Protocol):
    """One running count. `advance` may carry numbers worth showing (loss, mAP)."""

    def advance(self, n: int = 1, **fields: float) -> None: ...


class _Silent:
    def advance(self, n: int = 1, **fields: float) -> None:
        del n, fields


Sink = Callable[[int, str], AbstractContextManager[Track]]


@contextmanager
def _silent(total: int, description: str) -> Iterator[Track]:
    del total, description
    yield _Silent()


_sink: Sink = _silent


def set_sink(sink: Sink | None) -> None:
    """Install what shows progress; None makes steps silent again."""
    global _sink
    _sink = sink or _silent


def track(total: int, description: str) -> AbstractContextManager[Track]:
    """A count of `total` items (images, iterations) under this description."""
    return _sink(total, description)
