"""The optimiser and which parameters learn how fast."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from wsscli.train.settings import Settings


def build_optimiser(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW or SGD with one group for each combination of learning rate and weight decay.

    The learning rate of a parameter is `lr`, times `head_lr` in the fast part (`settings.fast`), times `bias_lr`
    for a bias; biases and normalisation layers have no weight decay. Each group keeps its own rate as `base_lr`;
    `set_rate` multiplies it by the schedule's factor. Frozen parameters are left out.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr = settings.lr
        if name.startswith(settings.fast):
            lr *= settings.head_lr
        if name.endswith("bias"):
            lr *= settings.bias_lr
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((lr, decay), []).append(parameter)
    options = [
        {"params": parameters, "lr": lr, "base_lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(options, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(options, lr=settings.lr)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times its own."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def freeze(model: nn.Module, prefixes: Iterable[str]) -> None:
    """Keep the parameters with these prefixes as they are; `train_mode` keeps their batch statistics too."""
    chosen = tuple(prefixes)
    for name, parameter in model.named_parameters():
        if chosen and name.startswith(chosen):
            parameter.requires_grad = False


def train_mode(model: nn.Module, prefixes: Iterable[str], *, norms_frozen: bool) -> None:
    """Set the net to training, but batch norms of frozen parts (or all) to their stored statistics."""
    chosen = tuple(prefixes)
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
            norms_frozen or (chosen and f"{name}.".startswith(chosen))
        ):
            module.eval()
