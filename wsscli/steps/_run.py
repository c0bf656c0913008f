"""What all steps share: their common options, the plan of their output, and the loop over images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import PartialError, UsageError, WssError
from wsscli.steps._shard import fill_share, refuse_shard, share_of
from wsscli.steps._workers import cores, side_by_side

if TYPE_CHECKING:
    from wsscli.classes import ClassTable
    from wsscli.maskdir.manifest import DataRef, Input, Manifest
    from wsscli.maskdir.writer import Output, Record, Writer
    from wsscli.steps._cluster import Cluster

log = logging.getLogger("wsscli")
FAILED = "failed: "  # how the reason of an image begins that `--keep-going` passed over


@dataclass(frozen=True)
class Run:
    """Options that every step takes.

    Attributes:
        ids: Only the image ids listed in this file, one a line.
        limit: Only the first N images (of the sorted ids).
        seed: Seed of everything random.
        workers: Images at a time, 0 = one a core. Results do not depend on it.
        dry_run: Say what would be read and written, and do nothing.
        overwrite: Replace what another run left in the output directory.
        keep_going: Go on when an image fails; failures are listed as dropped, the exit code is 3.
        shard: Do only the I-th of N parts of the images, as I/N; `wss verify OUT --finish` closes the directory when
            all parts are done.
    """

    ids: Path | None = None
    limit: int | None = None
    seed: int = 0
    workers: int = 0
    dry_run: bool = False
    overwrite: bool = False
    keep_going: bool = False
    shard: str | None = None

    @property
    def threads(self) -> int:
        """The number of workers meant."""
        if self.workers < 0:
            raise UsageError(f"--workers {self.workers}: give 0 (one a core) or more")
        return self.workers or cores()

    def select(self, ids: Iterable[str]) -> list[str]:
        """The ids this run is about, sorted.

        Raises:
            WssError: `--ids` names an id that is not there, or nothing is left.
        """
        chosen = sorted(ids)
        if self.ids is not None:
            from wsscli.data.ids import read_ids

            wanted = read_ids(self.ids, known=set(chosen))
            unknown = sorted(set(wanted) - set(chosen))
            if unknown:
                raise WssError(
                    f"{self.ids}: {len(unknown)} ids are not among the {len(chosen)} images, "
                    f"the first is '{unknown[0]}'"
                )
            chosen = sorted(wanted)
        if self.limit is not None:
            if self.limit < 1:
                raise UsageError(f"--limit {self.limit}: give 1 or more")
            chosen = chosen[: self.limit]
        if not chosen:
            raise WssError("no images to work on: the id list is empty")
        return chosen


@dataclass
class Plan:
    """What a step is about to write; becomes the manifest.

    Attributes:
        step: the subcommand.
        out: the output directory.
        kind: "masks", "scores", "masks+scores" or "model".
        options: every RESOLVED option that can change the result; Path values are kept apart.
        inputs: what it reads, for the lineage.
        supervision: the ledger (union of the inputs' and this step's own).
        left_out: images without a result from the start, and why; in the manifest they are dropped.
    """

    step: str
    out: Path
    kind: str
    options: dict[str, Any]
    classes: ClassTable | None = None
    data: DataRef | None = None
    split: str | None = None
    inputs: Sequence[Input] = ()
    supervision: Iterable[str] = ()
    score_type: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def open_job(plan: Plan, run: Run, ids: Sequence[str]) -> Job | None:
    """Begin (or resume) the output directory of a plan.

    Returns:
        None when there is nothing to do: a dry run, or the output is complete with the same options. The caller
        returns `plan.out`.

    Raises:
        WssError: see `wsscli.maskdir.writer.begin`; also when the output is one of the inputs.
    """
    from wsscli.maskdir.writer import begin, standing

    refuse_shard(run, plan.step)
    refuse_inputs(plan.out, plan.inputs)
    manifest = manifest_of(plan, run, ids)
    if run.dry_run:
        present = standing(plan.out, manifest, overwrite=run.overwrite)
        if present is None or not present.complete:
            announce(plan, ids)
            return None
    writer = None if run.dry_run else begin(plan.out, manifest, overwrite=run.overwrite)
    if writer is None:
        log.info("%s is complete with the same options: nothing to do", plan.out)
        return None
    job = Job(writer, ids)
    if writer.resuming and plan.kind not in ("model", "rounds"):
        log.info("%s: going on, %d of %d images are done", plan.out, len(ids) - len(job.todo), len(ids))
    return job


def refuse_inputs(out: Path, inputs: Iterable[Input]) -> None:
    """Raises WssError when the output is one of the inputs, or holds one."""
    for source in inputs:
        if Path(source.path) == out.resolve():
            raise WssError(
                f"{out}: is also the input '{source.role}'; a step never writes into what it reads, use another -o"
            )
        if Path(source.path).is_relative_to(out.resolve()):  # --overwrite would take it away
            raise WssError(
                f"{out}: its input '{source.role}', {source.path}, lies in it; a step never writes into what it "
                "reads, use another -o"
            )


def announce(plan: Plan, ids: Sequence[str]) -> None:
    """What a dry run says."""
    sources = ", ".join(f"{i.role} {i.path}" for i in plan.inputs) or "images only"
    log.info(
        "would read %s (%d images of split %s) and write %s to %s",
        sources, len(ids), plan.split, plan.kind, plan.out,
    )  # fmt: skip


def manifest_of(plan: Plan, run: Run, ids: Sequence[str]) -> Manifest:
    """What a plan's directory says of itself before anything is in it."""
    from wsscli.maskdir.manifest import Manifest, ids_digest

    options = {k: v for k, v in plan.options.items() if not isinstance(v, Path)}
    paths = {k: str(v) for k, v in plan.options.items() if isinstance(v, Path)}
    return Manifest(
        kind=plan.kind, step=plan.step, options=options, paths=paths, seed=run.seed, classes=plan.classes,
        data=plan.data, split=plan.split, images=len(ids), ids_digest=ids_digest(ids), inputs=tuple(plan.inputs),
        supervision=tuple(sorted(set(plan.supervision))), score_type=plan.score_type, versions=versions(),
        dropped=tuple({"id": name, "reason": plan.left_out[name]} for name in sorted(plan.left_out)),
    )  # fmt: skip


class Job:
    """An output directory being filled.

    Attributes:
        todo: ids without a result yet, sorted.
        path: the directory.
        resuming: an earlier run left part of the work.
    """

    def __init__(self, writer: Writer, ids: Sequence[str]):
        self.writer = writer
        self.path = writer.root
        self.resuming = writer.resuming
        done = writer.done
        self.todo = [name for name in ids if name not in done]

    def put(self, name: str, output: Output) -> None:
        """Write the results of one image."""
        self.writer.put(name, output)

    def close(self, *, files: Sequence[str] = (), **extras: Any) -> Path:
        """Complete the directory (see `Writer.close`)."""
        self.writer.close(files=files, **extras)
        return self.path

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *exc: object) -> None:
        self.writer.__exit__(*exc)


def per_image(
    plan: Plan,
    run: Run,
    ids: Sequence[str],
    work: Callable[[str], Output],
    *,
    backend: Literal["threads", "processes"] = "threads",
    around: Callable[[Job], AbstractContextManager[None]] | None = None,
    on: Cluster | None = None,
) -> Path:
    """Run a function over images and write what it returns: complete, resume, overwrite, workers, shares, failures.

    Under a launcher each process does its share of the images; it returns when the directory is complete.

    Args:
        plan: what to write.
        run: the common options.
        ids: the images.
        work: id -> Output; called in threads (or processes: then it must be picklable), in any order.
        backend: threads for code that releases the GIL, processes for code that holds it.
        around: what is entered before the first image that is still to do, and left when all are done and the
            directory is not complete yet.
        on: where to work, here when None; `work` must be picklable for a cluster.

    Returns:
        The output directory.

    Raises:
        UsageError: `on` is no address, or the images cannot be shared out (see `share_of`).
        PartialError: some images failed, now or in the `keep_going` run that wrote the directory; it is complete
            without them.
        WssError: the first failure otherwise.
    """
    there = on if on is not None and on.scheduler else None
    share, ranked = share_of(plan, run, together=around is not None, cluster=there is not None)
    if share is not None:

        def fill(todo: Sequence[str], note: Callable[[Record], None]) -> None:
            _fill(plan, todo, note, run, work, backend, None)

        return fill_share(plan, run, ids, share, fill, ranked=ranked)
    job = open_job(plan, run, ids)
    if job is not None:
        with job:
            with around(job) if around is not None else nullcontext():
                _fill(plan, job.todo, job.writer.note, run, work, backend, there)
            job.close()
    elif run.dry_run:
        return plan.out
    return report_failures(plan.out, len(ids))


def report_failures(out: Path, images: int) -> Path:
    """A complete directory, when none of its images failed under `keep_going`.

    Raises:
        PartialError: some did.
    """
    failed = failed_in(out)
    if failed:
        raise PartialError(
            f"{out}: {len(failed)} of {images} images failed and are listed as dropped in its wss.json; "
            "--overwrite makes all of it again"
        )
    return out


def failed_in(out: Path) -> list[str]:
    """The images of a directory that failed under `keep_going`."""
    from wsscli.maskdir.manifest import read_manifest

    # asked of the manifest: a run that only goes on, or finds all done, must not hide what failed before
    manifest = read_manifest(out)
    return [item["id"] for item in manifest.dropped if item["reason"].startswith(FAILED)] if manifest else []


def _fill(
    plan: Plan, todo: Sequence[str], note: Callable[[Record], None], run: Run, work: Callable[[str], Output],
    backend: str, there: Cluster | None,
) -> None:  # fmt: skip
    def told(record: Record) -> None:
        if record.get("dropped", "").startswith(FAILED):
            log.warning("%s", record["dropped"])
        note(record)

    if there is not None:
        from wsscli.steps._cluster import fill

        fill(plan.out, work, todo, run, there, plan.step, told)
        return
    call = partial(one_image, plan.out, work, run.keep_going)
    side_by_side(call, todo, run.threads, plan.step, told, backend=backend)


def one_image(root: Path, work: Callable[[str], Output], keep_going: bool, name: str) -> Record:
    """Make one image's files; returns its journal line."""
    from wsscli.maskdir.writer import write_output

    try:
        return write_output(root, name, work(name))
    except WssError as error:
        if not keep_going or isinstance(error, UsageError):  # a wrong option is wrong for every image
            raise
        return write_output(root, name, failed(str(error)))


def failed(reason: str) -> Output:
    """What stands for an image that `--keep-going` passes over."""
    from wsscli.maskdir.writer import Output

    return Output(dropped=f"{FAILED}{reason}")


def versions() -> dict[str, str]:
    """Versions of Python and the libraries whose numbers can differ between versions."""
    import platform
    from importlib.metadata import PackageNotFoundError, version  # here: it would cost `--help` 15 ms

    found = {"python": platform.python_version()}
    for name in ("wsscli", "torch", "numpy", "opencv-python-headless", "numba", "Pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
