"""Where a net runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from wsscli.errors import UsageError, WssError
from wsscli.launch import launched


def native_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself; where it is emulated it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        known = torch.cpu.get_capabilities()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16"))
    return False


def halve_convolutions(net: nn.Module) -> None:
    """Store the weights of convolutions in bfloat16, for inference only.

    Under autocast the result is the same bit for bit, without converting every weight again for every image.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(torch.bfloat16)


def pick_device(name: str) -> torch.device:
    """The device of this name, checked to be there.

    Args:
        name: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, `cuda:N` or `mps`. With `auto` and `cuda`
            each process that a launcher has started gets a GPU of its own.

    Raises:
        UsageError: no such kind of device.
        WssError: this machine does not have it, or not one for every process.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return _own_gpu()
    if name == "auto":
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: no such device; give auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise WssError(
                f"--device {name}: torch finds {count} CUDA devices here; pass --device cpu (see `wss doctor`)"
            )
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise WssError(f"--device {name}: torch finds no Apple GPU here; pass --device cpu")
    elif device.type != "cpu":
        raise UsageError(f"--device {name}: wss runs on cpu, cuda or mps")
    return device


def _own_gpu() -> torch.device:
    launch = launched()
    if launch is None or launch.world == 1:
        return torch.device("cuda")
    count = torch.cuda.device_count()
    if launch.local_rank < count:
        return torch.device("cuda", launch.local_rank)
    if count == 1 and launch.sharing == 1:  # srun shows each task the GPU that is its own
        return torch.device("cuda", 0)
    raise WssError(
        f"{launch}: number {launch.local_rank + 1} of its host, where torch finds {count} CUDA devices; start at most "
        "one process a device, or pass --device cpu"
    )


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch on one thread while images run side by side: more images a second, and results that do not depend on
    the number of workers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
