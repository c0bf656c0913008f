"""From a batch to its loss: the net is asked, and judged in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from wsscli.errors import WssError

Loss = Callable[[Any, Sequence[torch.Tensor]], torch.Tensor]
Forward = Callable[[Any, torch.Tensor, Sequence[torch.Tensor]], Any]  # (net, its images, the batch) -> outputs


class NetWithLoss(nn.Module):
    """A net and its loss as one module, so that several processes average all gradients that come of it.

    Args:
        net: has `backbone.normalise`.
        loss: (outputs of the net in float32, the batch) -> scalar.
        forward: how the net is asked; it sees the images alone when None.
        bf16: the net computes in bfloat16.
        compiled: by torch.compile.
    """

    def __init__(self, net: Any, loss: Loss, forward: Forward | None, *, bf16: bool, compiled: bool) -> None:
        super().__init__()
        self.net, self.loss, self.bf16 = net, loss, bf16
        ask = forward or _images_alone
        self.ask = torch.compile(ask) if compiled else ask

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        """Images uint8 (N,3,H,W), then targets -> the loss, a scalar."""
        images = self.net.backbone.normalise(batch[0])
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            outputs = self.ask(self.net, images, batch)
        return self.loss(_in_float32(outputs), batch)


def _images_alone(net: Any, images: torch.Tensor, batch: Sequence[torch.Tensor]) -> Any:
    del batch
    return net(images)


def _in_float32(outputs: Any) -> Any:
    """What a net gave, a tensor or a named tuple of them."""
    return outputs.float() if isinstance(outputs, torch.Tensor) else type(outputs)(*(part.float() for part in outputs))


@contextmanager
def compiling() -> Iterator[None]:
    """Within it, torch.compile's own failures are an error of the user's kind.

    Raises:
        WssError: what it compiles with is not there, or does not take this net.
    """
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WssError(
            f"--compile: torch cannot compile this net here ({reason}); it needs a C++ compiler (g++), or on a GPU "
            "triton; install it, or leave --compile out"
        ) from error
