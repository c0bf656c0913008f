"""A training in several processes: the first one has the directory, the others help to fill it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wsscli.errors import ToldElsewhereError, UsageError, WssError
from wsscli.launch import launched
from wsscli.steps._run import Job, Plan, Run, open_job

if TYPE_CHECKING:
    import torch

    from wsscli.maskdir.writer import Output


def leads() -> bool:
    """Whether this process writes what only one may write."""
    launch = launched()
    return launch is None or launch.rank == 0


def training_device(name: str) -> torch.device:
    """The device that this process trains on.

    Raises:
        UsageError: several processes cannot train there.
        WssError: this machine does not have it.
    """
    from wsscli.nets.device import pick_device

    device, launch = pick_device(name), launched()
    if launch is not None and launch.world > 1 and name not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"--device {name}: of {launch.world} processes each trains on a GPU of its own; give cuda, auto or cpu"
        )
    return device


@dataclass(frozen=True)
class Follower:
    """What a process holds that takes part in a training whose directory is another's.

    Attributes:
        path: the directory; nothing is read or written there.
    """

    path: Path

    def put(self, name: str, output: Output) -> None:
        """The first process does."""

    def close(self, *, files: Sequence[str] = (), **extras: Any) -> Path:
        """The first process does."""
        del files, extras
        return self.path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is held."""


def open_training(plan: Plan, run: Run, ids: Sequence[str], device: torch.device) -> Job | Follower | None:
    """Begin (or resume) the directory of a training, in every process of it.

    Args:
        plan: what to write.
        run: the common options.
        ids: the images.
        device: that this process trains on.

    Returns:
        None when there is nothing to do, in all processes alike; see `open_job`.

    Raises:
        WssError: see `open_job`; also when the processes do not find each other.
    """
    launch = launched()
    if launch is None or launch.world == 1:
        return open_job(plan, run, ids)
    if run.dry_run:
        return open_job(plan, run, ids) if launch.rank == 0 else None

    from wsscli.train.ranks import join

    ranks = join(device)
    with ranks.hearing(plan.out):
        if not ranks.leads:
            state = ranks.told("")
            if state == "failed":
                raise ToldElsewhereError(f"{plan.out}: rank 0 could not begin it")
            return Follower(plan.out) if state == "begun" else None
        try:
            job = open_job(plan, run, ids)
        except WssError:
            ranks.told("failed")
            raise
        ranks.told("begun" if job is not None else "done")
        return job
