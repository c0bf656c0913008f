"""The one training loop, for classifiers and segmentation nets."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wsscli.errors import ToldElsewhereError, WssError
from wsscli.maskdir.files import writing_failed
from wsscli.maskdir.writer import LOG, append_log
from wsscli.nets.store import save_model
from wsscli.progress import Track, track
from wsscli.train.checkpoint import Position, load_checkpoint, save_checkpoint
from wsscli.train.feed import Order, ahead
from wsscli.train.net_with_loss import Forward, Loss, NetWithLoss, compiling
from wsscli.train.optimiser import build_optimiser, freeze, set_rate, train_mode
from wsscli.train.ranks import Ranks, current, synchronised
from wsscli.train.schedule import rate
from wsscli.train.settings import Settings

log = logging.getLogger("wsscli")

Sample = tuple[NDArray[Any], ...]
Watcher = Callable[[dict[str, Any]], None]


class Samples(Protocol):
    """What is trained on. A sample depends on its epoch and index alone, so that any of them can be made again."""

    def __len__(self) -> int: ...

    def __call__(self, epoch: int, index: int) -> Sample:
        """Image uint8 (H,W,3), then targets; the same shapes for all samples."""
        ...


class Meter(Protocol):
    """What counts over an epoch and has to go on where it was after a kill."""

    def end_epoch(self) -> dict[str, Any]:
        """Numbers for the epoch's log row; counting starts again."""
        ...

    def state(self) -> list[int]:
        """What the checkpoint keeps."""
        ...

    def restore(self, state: list[int]) -> None:
        """Take up a state; an empty one is the start."""
        ...


def fit(
    model: nn.Module,
    samples: Samples,
    loss: Loss,
    settings: Settings,
    directory: Path,
    *,
    device: torch.device,
    workers: int = 2,
    validate: Callable[[nn.Module, int], dict[str, float]] | None = None,
    meter: Meter | None = None,
    watch: Watcher | None = None,
    forward: Forward | None = None,
) -> None:
    """Train a net and write `model.safetensors`; go on from `last.ckpt` where there is one.

    Killed at any moment and called again, it ends with the same bytes as if it had not been killed, on the CPU
    with the same number of threads: every checkpoint is a whole position, and all that is random is drawn from
    the seed, the epoch, the sample's index or the iteration.

    The processes that `train.ranks` has joined share every batch; each sees its part of what one alone would see. The
    first of them writes, logs and validates; a checkpoint says nothing of how many there were.

    Args:
        model: has `backbone.normalise`.
        samples: what is trained on.
        loss: (outputs of the net in float32, the batch: images uint8 (N,3,H,W), then targets) -> scalar, a mean over
            images. If it is another mean, it has a method `divisor` of the batch: the number that it divides by. It
            may be several terms (T,), whose sum is the loss; then there are as many divisors.
        settings: all numbers.
        directory: where `model.safetensors`, `last.ckpt` and `log.jsonl` go.
        device: see `nets.device`.
        workers: threads that prepare samples.
        validate: called after every epoch with the net in evaluation and the iterations done; its numbers go into
            the log.
        meter: counts over an epoch; its numbers go into the log.
        watch: called with every log row.
        forward: how the net is asked, when it sees some of the targets beside the images; it sees the images alone
            when left out.

    Raises:
        WssError: the loss is not a number any more; a sample cannot be read; the checkpoint is damaged; torch.compile
            cannot compile; another process has ended.
    """
    ranks = current()
    model.to(device)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if ranks.world > 1 and device.type == "cuda":
        synchronised(model)
    freeze(model, settings.frozen)
    optimizer = build_optimiser(model, settings)
    with ranks.hearing(directory):
        start = load_checkpoint(directory, model, optimizer, ranks)
        run = _Training(model, optimizer, loss, settings, directory, device, start, meter, watch, forward, ranks)
        if meter is not None and ranks.leads:
            meter.restore(start.meter)
        order = Order(len(samples), settings.batch_size, settings.seed)
        todo = range(start.iteration, settings.iterations)
        if start.iteration:
            log.info("%s: going on at iteration %d of %d", directory, start.iteration, settings.iterations)
        run.begin_log()
        share = settings.batch_size // ranks.world
        keys = (key for iteration in todo for key in order.batch(iteration, ranks.rank, ranks.world))
        ready = ahead(lambda key: samples(*key), keys, workers=workers, depth=3 * share)
        with closing(ready), track(settings.iterations * settings.batch_size, "train") as progress:
            progress.advance(start.iteration * settings.batch_size)
            for iteration in todo:
                run.step(iteration, [next(ready) for _ in range(share)], progress)
                done = iteration + 1
                if order.epochs_done(done) > order.epochs_done(iteration) or done == settings.iterations:
                    run.end_epoch(order.epochs_done(done), validate)
                elif run.checkpoint_due:
                    run.checkpoint()
        if ranks.leads:
            save_model(directory, model)
        ranks.told(None)  # all is written when the others go on


class _Training:
    def __init__(
        self,
        model: Any,
        optimizer: torch.optim.Optimizer,
        loss: Loss,
        settings: Settings,
        directory: Path,
        device: torch.device,
        position: Position,
        meter: Meter | None,
        watch: Watcher | None,
        forward: Forward | None,
        ranks: Ranks,
    ) -> None:
        self.model, self.optimizer, self.loss, self.settings, self.ranks = model, optimizer, loss, settings, ranks
        self.directory, self.device, self.position = directory, device, position
        self.meter, self.watch = meter, watch
        self.net_with_loss = ranks.wrap(
            NetWithLoss(model, loss, forward, bf16=settings.bf16, compiled=settings.compiled)
        )
        self.checkpoint_due = False
        self._saved = self._row_time = time.monotonic()
        self._row_losses = list(position.row_losses)
        self._row_steps = 0  # of this process: those before a kill say nothing about the time
        train_mode(model, settings.frozen, norms_frozen=settings.norms_frozen)

    def step(self, iteration: int, batch: list[Sample], progress: Track) -> None:
        """One optimiser step."""
        settings = self.settings
        factor = rate(
            settings.schedule, iteration, settings.iterations, every=settings.step_every, factor=settings.step_factor
        )
        set_rate(self.optimizer, factor)
        share = len(batch) // settings.accumulate
        parts = [self._tensors(batch[start : start + share]) for start in range(0, len(batch), share)]
        factors = self._factors(parts)
        self.optimizer.zero_grad(set_to_none=True)
        values = []
        for k, (part, weight) in enumerate(zip(parts, factors, strict=True)):
            self._seed(iteration, self.ranks.rank * len(parts) + k)
            with self.ranks.apart(self.net_with_loss, k + 1 < len(parts)), self._compiling():
                value = self.net_with_loss(*part)
                value = (value * weight).sum()
                self.ranks.backward(value)
            values.append(value.detach())
        if settings.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        mine = sum(value.item() for value in values)
        due = time.monotonic() - self._saved >= settings.checkpoint_seconds and self.ranks.leads
        total, anyone = self.ranks.sums([mine, float(due)])
        self.checkpoint_due = anyone > 0
        self._account(iteration, total / self.ranks.world, factor, progress)

    def _seed(self, iteration: int, part: int) -> None:
        """Dropout's numbers depend on the iteration and the part of the batch: a resumed training draws the same."""
        entropy = [self.settings.seed, 1, iteration, *([part] if part else [])]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1))

    def _factors(self, parts: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        """What the losses of this process's parts are multiplied by, so that all of a batch's make its loss.

        Returns:
            For each part float32 () or, of a loss of several terms, (T,).
        """
        divisor = getattr(self.loss, "divisor", None)
        count = len(parts) * self.ranks.world
        if divisor is None or count == 1:
            return [torch.tensor(1 / len(parts), device=self.device)] * len(parts)
        mine = torch.stack([divisor(part) for part in parts])
        total = torch.tensor(self.ranks.sums(mine.sum(0).reshape(-1).tolist()), device=self.device)
        # gradients are a mean over processes
        return list(self.ranks.world * mine / total.clamp(min=1).reshape(mine.shape[1:]))

    def _compiling(self) -> AbstractContextManager[None]:
        return compiling() if self.settings.compiled else nullcontext()

    def _tensors(self, batch: list[Sample]) -> list[torch.Tensor]:
        images, *targets = (torch.from_numpy(np.stack(part)).to(self.device) for part in zip(*batch, strict=True))
        images = images.permute(0, 3, 1, 2)  # (N,H,W,3) -> channels last in memory
        if not self.settings.channels_last:
            images = images.contiguous()
        return [images, *targets]

    def _account(self, iteration: int, value: float, factor: float, progress: Track) -> None:
        settings = self.settings
        if not math.isfinite(value):
            raise (WssError if self.ranks.leads else ToldElsewhereError)(
                f"{self.directory}: the loss became {value} at iteration {iteration + 1} of {settings.iterations} "
                f"(learning rate {settings.lr * factor:.3g}); use --overwrite and --lr below {settings.lr:g}"
                + (", or --no-bf16" if settings.bf16 else "")
            )
        self.position = replace(
            self.position,
            iteration=iteration + 1,
            loss_sum=self.position.loss_sum + value,
            loss_count=self.position.loss_count + 1,
        )
        self._row_losses.append(value)
        self._row_steps += 1
        progress.advance(settings.batch_size, loss=value)
        if (iteration + 1) % settings.log_every == 0:
            now = time.monotonic()
            speed = self._row_steps * settings.batch_size / max(now - self._row_time, 1e-9)
            self.row(
                event="iterations",
                iteration=iteration + 1,
                loss=sum(self._row_losses) / len(self._row_losses),
                lr=settings.lr * factor,
                images_per_second=round(speed, 2),
            )
            self._row_losses, self._row_steps, self._row_time = [], 0, now

    def end_epoch(self, epoch: int, validate: Callable[[nn.Module, int], dict[str, float]] | None) -> None:
        """Validate, log, save."""
        numbers: dict[str, Any] = {}
        if validate is not None and self.ranks.leads:
            self.model.eval()
            with torch.inference_mode():
                numbers = validate(self.model, self.position.iteration)
            train_mode(self.model, self.settings.frozen, norms_frozen=self.settings.norms_frozen)
        if self.meter is not None:
            self.meter.restore(self.ranks.sums(self.meter.state()))
            numbers |= self.meter.end_epoch()
        position = self.position
        self.row(
            event="epoch",
            epoch=epoch,
            iteration=position.iteration,
            loss=position.loss_sum / max(position.loss_count, 1),
            **numbers,
        )
        shown = "".join(f", {name} {value:.4f}" for name, value in numbers.items() if isinstance(value, float))
        log.info("epoch %d: loss %.4f%s", epoch, position.loss_sum / max(position.loss_count, 1), shown)
        self.position = replace(position, loss_sum=0.0, loss_count=0)
        self._row_losses, self._row_steps = [], 0
        self.checkpoint()
        self._row_time = time.monotonic()  # validation is not training time

    def checkpoint(self) -> None:
        """Save the position; all processes come here together."""
        path = self.directory / LOG
        self.position = replace(
            self.position,
            log_bytes=path.stat().st_size if path.exists() else 0,
            row_losses=list(self._row_losses),
            meter=self.ranks.sums(self.meter.state()) if self.meter is not None else [],
        )
        if self.ranks.leads:
            save_checkpoint(self.directory, self.model, self.optimizer, self.position)
        self._saved = time.monotonic()

    def row(self, **fields: Any) -> None:
        """Append a row to `log.jsonl`."""
        if not self.ranks.leads:
            return
        append_log(self.directory, {"time": round(time.time(), 3), **fields})
        if self.watch is not None:
            self.watch(fields)

    def begin_log(self) -> None:
        """Take off what was logged behind the checkpoint (without one, all of it): it comes again."""
        path = self.directory / LOG
        if path.exists() and self.ranks.leads:
            try:
                with path.open("r+b") as stream:
                    stream.truncate(min(self.position.log_bytes, path.stat().st_size))
            except OSError as error:
                raise writing_failed(path, error) from error
        if self.ranks.world > 1:
            self.row(event="processes", iteration=self.position.iteration, processes=self.ranks.world)


def read_log(directory: Path) -> list[dict[str, Any]]:
    """The rows of a `log.jsonl`, oldest first; none when there is no log."""
    path = directory / LOG
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
