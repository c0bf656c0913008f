"""lightning-fabric on the processes that a launcher has started."""

from __future__ import annotations

import logging
import os
import warnings
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric.fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from wsscli.launch import Launch


class Environment(ClusterEnvironment):  # type: ignore[misc]
    """What Fabric asks a launcher for.

    Its own environments want as many processes on each host, and srun to be told so in one certain way.
    """

    def __init__(self, launch: Launch) -> None:
        super().__init__()
        self.launch = launch

    @property
    def creates_processes_externally(self) -> bool:
        """They are there."""
        return True

    @property
    def main_address(self) -> str:
        """The host of rank 0: torchrun says it, and of srun's it is the first."""
        hosts = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_JOB_NODELIST") or "127.0.0.1"
        return os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(hosts)

    @property
    def main_port(self) -> int:
        """A port of that host; two jobs of SLURM have different ones."""
        return int(os.environ.get("MASTER_PORT") or 15000 + int(os.environ.get("SLURM_JOB_ID", "0")[-4:]))

    @staticmethod
    def detect() -> bool:
        """It is never looked for."""
        return False

    def world_size(self) -> int:
        return self.launch.world

    def set_world_size(self, size: int) -> None:
        """The launcher has."""

    def global_rank(self) -> int:
        return self.launch.rank

    def set_global_rank(self, rank: int) -> None:
        """The launcher has."""

    def local_rank(self) -> int:
        return self.launch.local_rank

    def node_rank(self) -> int:
        return 0  # nobody asks: ranks are known


def joined(launch: Launch, device: torch.device, patience: timedelta) -> Any:
    """A Fabric whose processes have found each other.

    Args:
        launch: this process.
        device: its own.
        patience: how long one waits for the others, here and ever after.
    """
    strategy = DDPStrategy(
        parallel_devices=[device] * (launch.local_rank + 1),  # it looks at its own place
        cluster_environment=Environment(launch),
        timeout=patience,
    )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # of 1x1 convolutions in channels-last memory, whose strides say the same in two ways
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    fabric = Fabric(accelerator=device.type, strategy=strategy)
    fabric.launch()
    return fabric
