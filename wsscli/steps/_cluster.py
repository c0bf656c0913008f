"""CPU steps on a Dask cluster: its workers take chunks of images and write into the one directory themselves.

Only names and journal lines travel; photos, masks and scores are read and written by the workers, at the same paths
as here. joblib's own Dask backend is not used: it does not bound what is in flight, and knows nothing of a chunk
that a lost worker had half done.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wsscli.errors import UsageError, WssError
from wsscli.steps._run import Run

if TYPE_CHECKING:
    from distributed import Client, Future

    from wsscli.maskdir.writer import Output, Record

T = TypeVar("T")
Made = tuple["list[Record]", WssError | None]
Call = Callable[[int, Sequence[str]], T]
"""A chunk's number and its images -> anything; runs on a worker."""

MOST = 32  # images a chunk: a scheduler takes about a millisecond a chunk, whatever is in it
_CONNECT = 10  # seconds for the scheduler to answer
_FETCH = 60  # seconds for a result to travel
_LOOK = 5  # seconds between looks at the workers while nothing comes back
PATIENCE = 60  # seconds to wait when no worker is left
_PREFIX = "dask://"
# torch takes no part in these steps, and its CPU and CUDA builds have versions of their own
_ALIKE = ("wsscli", "python", "numpy", "opencv-python-headless", "numba", "Pillow", "scipy", "scikit-image", "dask")


@dataclass(frozen=True)
class Cluster:
    """Where a step works that needs no accelerator.

    Attributes:
        cluster: Work on a Dask cluster, whose scheduler is dask://HOST:PORT, instead of here; it reads and writes the
            same paths as this machine. --workers is then how many chunks of images it works on at a time.
    """

    cluster: str | None = None

    @property
    def scheduler(self) -> str | None:
        """The scheduler's address as Dask has it; None: work here.

        Raises:
            UsageError: the option is no dask://HOST:PORT.
        """
        if self.cluster is None:
            return None
        rest = self.cluster.removeprefix(_PREFIX)
        if rest == self.cluster or not re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s/:\[\]]+):[0-9]{1,5}", rest):
            raise UsageError(f"--cluster {self.cluster}: give the scheduler as dask://HOST:PORT")
        return f"tcp://{rest}"


def fill(
    root: Path, work: Callable[[str], Output], names: Sequence[str], run: Run, cluster: Cluster, title: str,
    note: Callable[[Record], None],
) -> None:  # fmt: skip
    """Fill a directory on a cluster.

    Args:
        root: the directory, begun.
        work: id -> Output; must be picklable.
        names: the images that are to do.
        run: the common options.
        cluster: which.
        title: of the progress.
        note: gets the journal line of each image, in the calling thread.

    Raises:
        WssError: the first image that failed, or see `spread`. What is done stays for the next run.
    """
    from wsscli.maskdir.chunks import close_place, open_place, stop

    place = open_place(root)

    def done(_: int, made: Made) -> None:
        records, error = made
        for record in records:
            note(record)
        if error is not None:
            raise error

    try:
        spread(cluster, _Filling(root, place, work, run.keep_going), names, run, title, done)
    except BaseException:
        stop(place)
        raise
    close_place(place)


def spread(
    cluster: Cluster, call: Call[T], names: Sequence[str], run: Run, title: str, done: Callable[[int, T], None]
) -> None:
    """Call a function of every chunk of images on a cluster, in any order; the first error ends it.

    Args:
        cluster: which.
        call: goes to the workers; what it holds must be picklable, paths in it are made absolute.
        names: the images.
        run: of its options `workers`: how many chunks at a time, 0 = two a thread of the cluster.
        title: of the progress.
        done: gets each chunk's number and result, in the calling thread.

    Raises:
        WssError: Dask is not installed, no scheduler answers, it has no workers, a worker has other versions, one
            chunk has brought several workers down, or the cluster is gone; also what `call` raises.
    """
    from wsscli.progress import track

    most = run.threads if run.workers else 0
    with _connected(cluster) as client, track(len(names), title) as progress:
        from distributed import wait

        versions = versions_here()
        _check_workers(client, cluster, versions)
        threads = _threads(client)
        chunks = list(chunked(names, threads))
        given = client.submit(_unpacked, packed(call), pure=False)
        running: dict[Future[T], int] = {}
        try:
            begun, idle = 0, 0.0
            while begun < len(chunks) or running:
                # two a thread: the next chunk is there when one is done
                while begun < len(chunks) and len(running) < (most or 2 * max(1, threads)):
                    future = client.submit(_chunk, given, begun, chunks[begun], versions, pure=False)
                    running[future] = begun
                    begun += 1
                try:
                    ready = wait(list(running), timeout=_LOOK, return_when="FIRST_COMPLETED").done
                except TimeoutError:
                    idle = _idle(client, cluster, idle)
                    threads = _threads(client)
                    continue
                idle = 0.0
                for future in ready:
                    number = running[future]
                    try:
                        made = _result(future, cluster, chunks[number])
                    except TimeoutError:
                        if future.status == "error":  # it is the chunk's own
                            raise
                        continue  # its worker died before this could be fetched: it is being made again
                    del running[future]
                    future.release()  # nobody wants it any more, should its worker die
                    done(number, made)
                    progress.advance(len(chunks[number]))
        except CancelledError as error:
            raise _gone(cluster) from error
        finally:
            with suppress(Exception):  # of a cluster that is gone; the error that ends this says more
                client.cancel([*running, given])


def in_order(done: Callable[[T], None]) -> Callable[[int, T], None]:
    """What `spread` can call for results that count in the order of the images."""
    held: dict[int, T] = {}
    due = 0

    def put(number: int, result: T) -> None:
        nonlocal due
        held[number] = result
        while due in held:
            done(held.pop(due))
            due += 1

    return put


def chunked(names: Sequence[str], threads: int) -> Iterator[Sequence[str]]:
    """Chunks of at most MOST images, of fewer where the cluster would otherwise wait for its last chunks."""
    size = max(1, min(MOST, len(names) // (8 * max(1, threads))))
    return (names[start : start + size] for start in range(0, len(names), size))


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Client]:
    """A client of the scheduler."""
    try:
        from distributed import Client
    except ImportError as error:
        raise WssError(
            f"--cluster {cluster.cluster}: Dask is not installed here ({error}); pip install 'wsscli[dask]'"
        ) from error
    try:
        _hear(cluster)
        client = Client(cluster.scheduler, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:  # ValueError: what answers is no scheduler
        raise WssError(
            f"--cluster {cluster.cluster}: no Dask scheduler answers there within {_CONNECT} seconds; start one with "
            "`dask scheduler`, or check host and port"
        ) from error
    try:
        with client.as_current():
            yield client
    finally:
        client.close(timeout=_CONNECT)


def _hear(cluster: Cluster) -> None:
    """Raises OSError when nobody says anything there: Dask's client waits for ever on a server that keeps silent."""
    import socket

    host, _, port = str(cluster.scheduler).removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT) as stream:
        stream.recv(1)  # a scheduler speaks first


def _check_workers(client: Client, cluster: Cluster, versions: dict[str, str]) -> None:
    """Raises WssError when the cluster has no workers, or one with other versions than here."""
    try:
        client.wait_for_workers(1, timeout=_CONNECT)
    except TimeoutError as error:
        raise WssError(
            f"--cluster {cluster.cluster}: the scheduler has no workers; start some with "
            f"`dask worker {str(cluster.cluster).removeprefix(_PREFIX)}`"
        ) from error
    found = client.run(versions_here, on_error="return")
    for worker, theirs in sorted(found.items()):
        if isinstance(theirs, ImportError):
            raise _not_there(worker, theirs) from theirs
        if not isinstance(theirs, Exception):  # a worker that went away meanwhile
            refuse_other_versions(worker, theirs, versions)


def versions_here() -> dict[str, str]:
    """Versions of what can change a result, here or on a worker."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _ALIKE:
        try:
            found.setdefault(name, version(name))
        except PackageNotFoundError:
            found.setdefault(name, "missing")
    return found


def refuse_other_versions(worker: str, theirs: dict[str, str], ours: dict[str, str]) -> None:
    """Raises WssError when a worker has other versions than here: the bytes of a result could depend on who made it."""
    for name, version in ours.items():
        if theirs.get(name) != version:
            raise WssError(
                f"worker {worker}: {name} is {theirs.get(name, 'missing')} there and {version} here; install the same "
                "versions on all machines"
            )


def _not_there(worker: str, error: ImportError) -> WssError:
    return WssError(f"worker {worker}: cannot import what the step needs ({error}); install the same wsscli there")


def _threads(client: Client) -> int:
    return sum(client.nthreads().values())


def _idle(client: Client, cluster: Cluster, since: float) -> float:
    """When the cluster was first seen without a worker; 0 while it has some."""
    if client.status != "running":
        raise _gone(cluster)
    try:
        if _threads(client):
            return 0.0
    except OSError as error:
        raise _gone(cluster) from error
    since = since or time.monotonic()
    if time.monotonic() - since >= PATIENCE:
        raise WssError(
            f"--cluster {cluster.cluster}: for {PATIENCE} seconds no worker is left; start some and run the same "
            "command again, it goes on where it stopped"
        )
    return since


def _gone(cluster: Cluster) -> WssError:
    return WssError(
        f"--cluster {cluster.cluster}: the connection to the scheduler is lost; start it again and run the same "
        "command, it goes on where it stopped"
    )


def _result(future: Future[Any], cluster: Cluster, names: Sequence[str]) -> Any:
    """What a chunk has become. Raises TimeoutError when that does not come over."""
    from distributed import KilledWorker

    try:
        return future.result(timeout=_FETCH)
    except KilledWorker as error:
        raise WssError(
            f"--cluster {cluster.cluster}: workers die again and again, the last one ({error.last_worker.address}) "
            f"with the images '{names[0]}' to '{names[-1]}' in hand; its log says why (out of memory, most often: "
            "fewer threads a worker), then run the same command again"
        ) from error
    except ImportError as error:
        raise _not_there("of the cluster", error) from error


def packed(call: Callable[..., Any]) -> bytes:
    """A function with all that it holds; its paths are absolute, for a worker has another working directory."""
    from cloudpickle import Pickler

    class Absolute(Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, Path) and not obj.is_absolute():
                return Path, (str(obj.absolute()),)
            return super().reducer_override(obj)

    buffer = io.BytesIO()
    Absolute(buffer).dump(call)
    return buffer.getvalue()


# What follows runs on the workers.


def _unpacked(data: bytes) -> Any:
    import pickle

    return pickle.loads(data)  # noqa: S301 - came by Dask, which runs whatever its clients send


def _chunk(call: Call[Any], number: int, names: Sequence[str], versions: dict[str, str]) -> Any:
    """A chunk of images, on a worker."""
    from distributed import get_worker

    _prepared(get_worker().address, tuple(versions.items()))
    return call(number, names)


@cache
def _prepared(worker: str, versions: tuple[tuple[str, str], ...]) -> None:
    """Once a worker: refuse other versions (it may have come late), keep OpenCV's threads off the other chunks."""
    import cv2

    refuse_other_versions(worker, versions_here(), dict(versions))
    cv2.setNumThreads(1)


@dataclass(frozen=True)
class _Filling:
    root: Path
    place: Path
    work: Callable[[str], Output]
    keep_going: bool

    def __call__(self, number: int, names: Sequence[str]) -> Made:
        """The journal lines of a chunk's images, up to the first failure, and that."""
        from wsscli.maskdir.chunks import Chunk
        from wsscli.steps._run import one_image

        records: list[Record] = []
        try:
            with Chunk(self.root, self.place, number) as chunk:
                for name in names:
                    record = chunk.done.get(name)
                    if record is None:
                        record = chunk.put(partial(one_image, work=self.work, keep_going=self.keep_going, name=name))
                    records.append(record)
        except WssError as error:
            return records, error
        return records, None
