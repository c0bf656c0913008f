"""Images side by side: workers, the threads of libraries, and the cores there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from wsscli.launch import launched

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


def side_by_side(
    call: Callable[[str], T],
    names: Sequence[str],
    workers: int,
    title: str,
    done: Callable[[T], None],
    *,
    backend: str = "threads",
) -> None:
    """Call a function of every image, some at a time, in any order; the first error ends it.

    Args:
        call: id -> anything; in a thread or process of its own.
        names: the images.
        workers: how many at a time.
        title: of the progress.
        done: gets each result, in the calling thread.
        backend: threads or processes.
    """
    from joblib import Parallel, delayed

    from wsscli.progress import track

    parallel = Parallel(
        n_jobs=min(workers, max(1, len(names))),
        backend="threading" if backend == "threads" else "loky",
        return_as="generator_unordered",  # bounded: at most two tasks a worker are in flight
        pre_dispatch="2*n_jobs",
        batch_size=1,
    )
    waiting = _waiting(call, parallel.n_jobs) if backend == "threads" else nullcontext(call)
    with one_thread_libraries(), track(len(names), title) as progress, waiting as counted:
        for found in parallel(delayed(counted)(name) for name in names):
            done(found)
            progress.advance()


@contextmanager
def _waiting(call: Callable[[str], T], most: int) -> Iterator[Callable[[str], T]]:
    """The call, of which none is still at work when the block is left.

    joblib does not wait for its threads when one of them fails. The interpreter would end in the middle of their
    C++ code, which aborts the process: exit code 134 in place of the error's.
    """
    import threading

    turns = threading.Semaphore(most)

    def counted(name: str) -> T:
        with turns:
            return call(name)

    try:
        yield counted
    finally:
        for _ in range(most):  # and none can begin from here on
            turns.acquire()


@contextmanager
def one_thread_libraries() -> Iterator[None]:
    """OpenCV on one thread while images run side by side: its own threads would only get in their way."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def cores() -> int:
    """Cores this process may use; macOS knows no affinity and has all of them. Ranks of one host share them."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    launch = launched()
    return max(1, available // launch.sharing) if launch is not None else available
