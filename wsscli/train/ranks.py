"""The processes of one training: what each does by itself, and what they settle together.

A launcher (`wsscli.launch`) starts them; lightning-fabric joins them into a group and averages their gradients. One
process alone is a group of its own that imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from wsscli.errors import UsageError, WssError
from wsscli.launch import launched

T = TypeVar("T")

# Rank 0 validates and saves while the others wait, so it is long; a launcher ends them much earlier when one has died.
PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """This process among those of a training.

    Every method but `leads` is called by all of them, in the same order.

    Attributes:
        rank: its number, from 0.
        world: how many there are.
        fabric: what joins them; None: one process alone.
    """

    rank: int = 0
    world: int = 1
    fabric: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> Callable[..., torch.Tensor]:
        """The module, whose gradients become the mean over all processes; rank 0's values are everyone's."""
        if self.fabric is None:
            return module
        wrapped: Callable[..., torch.Tensor] = self.fabric.setup_module(module, move_to_device=False)
        return wrapped

    def apart(self, module: Any, on: bool) -> AbstractContextManager[None]:
        """Within it, when `on`, gradients of a wrapped module gather up here and are not averaged yet."""
        return nullcontext() if self.fabric is None or not on else self.fabric.no_backward_sync(module)

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of a loss that a wrapped module gave."""
        if self.fabric is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self.fabric.backward(loss)

    def sums(self, numbers: Sequence[T]) -> list[T]:
        """Sums over the processes; integers stay exact."""
        if self.fabric is None:
            return list(numbers)
        kind = torch.int64 if all(isinstance(number, int) for number in numbers) else torch.float64
        mine = torch.tensor(numbers, dtype=kind, device=self.fabric.device)
        found: list[T] = self.fabric.all_reduce(mine, reduce_op="sum").tolist()
        return found

    def meet(self) -> None:
        """Go on when all processes have come here."""
        self.sums([0])

    def told(self, value: T) -> T:
        """What rank 0 says; the others' value does not count."""
        if self.fabric is None:
            return value
        said: T = self.fabric.broadcast(value)
        return said

    @contextmanager
    def hearing(self, directory: Path) -> Iterator[None]:
        """Within it, a process that can no longer be heard is an error of the user's kind.

        Raises:
            WssError: another process has ended, or has not answered for `PATIENCE`.
        """
        try:
            yield
        except RuntimeError as error:
            if self.fabric is None or not _is_silence(error):
                raise
            raise WssError(
                f"{directory}: no word from the other {self.world - 1} of {self.world} processes any more "
                f"({str(error).strip().splitlines()[0]}); one has ended or hangs, and says why itself; the same "
                "command goes on from the last checkpoint, with any number of processes"
            ) from error


_ranks = Ranks()


def current() -> Ranks:
    """The processes that `join` has joined; before that, this one alone."""
    return _ranks


def join(device: torch.device) -> Ranks:
    """Join the processes that the launcher has started; returns when all are there.

    Args:
        device: this process's own.

    Raises:
        UsageError: a kind of device that they cannot share work on.
        WssError: they do not find each other.
    """
    global _ranks
    launch = launched()
    if launch is not None and launch.world > 1 and _ranks.fabric is None:
        if device.type not in ("cpu", "cuda"):
            raise UsageError(f"--device {device}: {launch.world} processes train on cuda or cpu; give one of these")
        from wsscli.train.fabric import joined

        try:
            _ranks = Ranks(launch.rank, launch.world, joined(launch, device, PATIENCE))
        except (RuntimeError, ValueError, OSError) as error:
            raise WssError(
                f"{launch}: the processes do not find each other ({str(error).strip().splitlines()[0]}); check "
                "MASTER_ADDR and MASTER_PORT, and that all of them were started"
            ) from error
    return _ranks


def synchronised(net: nn.Module) -> nn.Module:
    """The net with batch norms that take their statistics from all processes (CUDA only); weights and names stay."""
    import timm.layers

    if any(isinstance(part, nn.SyncBatchNorm) for part in net.modules()):
        return net  # a second time timm would lose the activations that it keeps within
    # torch's own would lose the activations of timm's layers
    found: nn.Module = timm.layers.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call,attr-defined]
    return found


def _is_silence(error: RuntimeError) -> bool:
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower()
