"""`last.ckpt`: everything a training needs to go on bit by bit as if it had not been killed."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic
from wsscli.train.ranks import Ranks

NAME = "last.ckpt"


@dataclass(frozen=True)
class Position:
    """Where a training stands.

    Attributes:
        iteration: iterations done.
        log_bytes: length of `log.jsonl` then; what was written behind it is cut off on resuming.
        loss_sum, loss_count: the running mean of the epoch's loss.
        row_losses: of the iterations since the last row of the log.
        meter: what a meter has counted of the epoch.
    """

    iteration: int = 0
    log_bytes: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    row_losses: list[float] = field(default_factory=list)
    meter: list[int] = field(default_factory=list)


def save_checkpoint(directory: Path, model: nn.Module, optimizer: torch.optim.Optimizer, position: Position) -> None:
    """Write the checkpoint atomically.

    Random numbers need no state in it: samples, their order and dropout are drawn from the seed and the
    iteration. The learning rate is a function of the iteration too.
    """
    buffer = io.BytesIO()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "position": vars(position).copy()}, buffer
    )
    write_atomic(directory / NAME, buffer.getvalue())


def load_checkpoint(
    directory: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ranks: Ranks = Ranks(),  # noqa: B008 - one process alone has no state
) -> Position:
    """Put model and optimiser back as the checkpoint has them; without one, the start.

    Args:
        directory: where it is.
        model, optimizer: of this process.
        ranks: the processes of the training; the first one alone needs to see the directory.

    Raises:
        WssError: when it is damaged or of another net.
    """
    path = directory / NAME
    found = ranks.told(_read(path) if ranks.leads else None)
    if found is None:
        return Position()
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(found), map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return Position(**state["position"])
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.exists() else None
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> WssError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return WssError(f"{path}: the checkpoint cannot be read ({reason}); start again with --overwrite")


def remove_checkpoint(directory: Path) -> None:
    """Take the checkpoint away, and what a kill left of writing one."""
    for name in (NAME, f".{NAME}.part"):
        (directory / name).unlink(missing_ok=True)
