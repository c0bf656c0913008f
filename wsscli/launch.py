"""Which of several processes of one command this is: told from the environment that a launcher sets.

`torchrun` (and everything that speaks its words) and SLURM's `srun` start the same command several times. Nothing is
imported here, so that every room may ask.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wsscli.errors import WssError

# srun counts the steps of a job from 0; what it runs outside of any step (a batch script) has one of the last numbers
_NO_STEP = 0xFFFFFFF0


@dataclass(frozen=True)
class Launch:
    """A process among those of one launch.

    Attributes:
        rank: Its number, from 0.
        world: How many there are.
        local_rank: Its number among those of this host, from 0: which of the host's GPUs is its own.
        sharing: How many processes share the cores that this one may use, itself included.
    """

    rank: int
    world: int
    local_rank: int
    sharing: int = 1

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world}"


def launched(environment: Mapping[str, str] | None = None) -> Launch | None:
    """This process among those that a launcher has started.

    torchrun: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE. srun: SLURM_STEP_ID, SLURM_PROCID, SLURM_NTASKS (of the
    step: SLURM_STEP_NUM_TASKS), SLURM_LOCALID; torchrun within srun counts. A batch script of SLURM has most of them
    too, but no step: there a command runs once.

    Args:
        environment: The environment; this process's by default.

    Returns:
        None without a launcher. One process alone may be launched as well: its world is 1.

    Raises:
        WssError: A variable holds no number, or one that cannot be.
    """
    env = os.environ if environment is None else environment
    if env.get("RANK") and env.get("WORLD_SIZE"):
        # without LOCAL_RANK a host (or container) has one process, as where an operator of Kubernetes sets the rest
        return _checked(env, ("RANK", "WORLD_SIZE", "LOCAL_RANK"), _number(env, "LOCAL_WORLD_SIZE", 1))
    if env.get("SLURM_STEP_ID") and env.get("SLURM_PROCID") and _number(env, "SLURM_STEP_ID", 0) < _NO_STEP:
        tasks = "SLURM_STEP_NUM_TASKS" if env.get("SLURM_STEP_NUM_TASKS") else "SLURM_NTASKS"
        return _checked(env, ("SLURM_PROCID", tasks, "SLURM_LOCALID"), 1)  # srun gives each task cores of its own
    return None


def _checked(env: Mapping[str, str], names: tuple[str, str, str], sharing: int) -> Launch:
    rank, world, local = (_number(env, name, default) for name, default in zip(names, (0, 1, 0), strict=True))
    if not rank < world:
        raise WssError(
            f"{names[0]}={rank}, {names[1]}={world}: ranks end at {world - 1}; start the command with torchrun or "
            "srun, or unset both"
        )
    return Launch(rank, world, local, max(1, sharing))


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isdecimal():
        raise WssError(f"{name}={text}: no number; start the command with torchrun or srun, which set it, or unset it")
    return int(text)
