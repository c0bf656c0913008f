"""The resolved numbers of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wsscli.train.schedule import Schedule


@dataclass(frozen=True)
class Settings:
    """What `fit` needs to know; every number is resolved, nothing is looked up later.

    Attributes:
        iterations: optimiser steps of the whole training.
        batch_size: images a step.
        lr: base learning rate; `head_lr` and `bias_lr` multiply it for the parameters whose names start with
            `fast`, and for biases.
        frozen: prefixes of parameters that stay as they are.
        norms_frozen: batch norms use their stored statistics everywhere.
        step_every, step_factor: of the `step` schedule.
        clip: gradients longer than this are scaled down to it; 0 leaves them.
        checkpoint_seconds: a checkpoint at least this often, and after every epoch.
        log_every: iterations a row of `log.jsonl`.
        accumulate: parts of a process's share of a batch, one after another, so that only one is in memory.
        compiled: the net by torch.compile.
    """

    iterations: int
    batch_size: int
    lr: float
    weight_decay: float
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    schedule: Schedule = "one-cycle"
    step_every: int = 2000
    step_factor: float = 0.1
    head_lr: float = 1.0
    bias_lr: float = 1.0
    fast: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    norms_frozen: bool = False
    clip: float = 0.0
    bf16: bool = False
    channels_last: bool = True
    seed: int = 0
    checkpoint_seconds: float = 60.0
    log_every: int = 20
    accumulate: int = 1
    compiled: bool = False
