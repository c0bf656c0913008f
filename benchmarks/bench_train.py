"""The training steps beside their bare network, and beside a plain torch loop; what loading, CRF and growing take.

    python benchmarks/bench_train.py [--data DIR] [--case train-seg] [--iterations 12] [--rounds 2] [--device cpu] [--record]

A step trains as a user starts it (lite0, its recipe's batch and size); its time is that of the iterations after the first
four, while which the feed has a lead. The bare network is the same one, in the same precision: forward, backward and the
optimiser's step on one batch that lies ready, its loss a mean of the outputs. Waiting, CRF and growing are timed where they
are called, within the step. The plain loop has a DataLoader of two processes over the same samples, float32, the same loss.
Rounds take turns. `from memory`: the samples are made once and come from memory, which leaves what the loop itself costs; on
a CUDA device that is the row to look at. Without one there are no rows of it.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from common import add_data, cores, data_set, name_of, spread
from inputs import Inputs
from rows import put_speed
from torch.utils.data import DataLoader, RandomSampler

from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.train import loop, objectives

LEAD = 4  # iterations for which the feed has samples from before the first
IMAGES = 200
Step = Callable[[Inputs, Path, Training, Run], object]


def train_cls(inputs: Inputs, out: Path, training: Training, run: Run) -> Path:
    from wsscli.steps.train_cls import train_cls as step

    return step(out, val_split="none", training=training, data=inputs.option, run=run)


def train_seg(inputs: Inputs, out: Path, training: Training, run: Run) -> Path:
    from wsscli.steps.train_seg import train_seg as step

    return step(inputs.seeds, out, training=training, run=run)


def train_dsrg(inputs: Inputs, out: Path, training: Training, run: Run) -> Path:
    from wsscli.steps.train_seg import train_seg as step

    return step(inputs.seeds, out, loss="balanced-seed", training=training, run=run)


def train_det(inputs: Inputs, out: Path, training: Training, run: Run) -> Path:
    from wsscli.steps.train_det import train_det as step

    return step(out, training=training, data=inputs.option, run=run)


CASES: dict[str, Step] = {
    "train-cls": train_cls,
    "train-seg": train_seg,
    "train-seg --loss balanced-seed": train_dsrg,
    "train-det": train_det,
}
ASKED = {("cpu", True): "", ("cuda", True): "0.9", ("cpu", False): "", ("cuda", False): ""}


@dataclass
class Spy:
    """What is seen of a training: the arguments of `fit`, and seconds of its parts, iteration by iteration."""

    memory: bool
    given: dict[str, Any] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    ends: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **options: Any) -> Any:
            self.wait_for_device()
            begun = time.perf_counter()
            found = call(*args, **options)
            self.wait_for_device()
            self.spent[part] = self.spent.get(part, 0.0) + time.perf_counter() - begun
            return found

        return instead

    def wait_for_device(self) -> None:
        if self.given["device"].type == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def watching(self) -> Iterator[None]:
        fit, ahead, step = loop.fit, loop.ahead, loop._Training.step

        def seen_fit(model: Any, samples: Any, loss: Any, settings: Any, *args: Any, **options: Any) -> None:
            samples = InMemory(samples) if self.memory else samples
            self.given = {"model": model, "samples": samples, "loss": loss, "settings": settings, **options}
            fit(model, samples, loss, settings, *args, **options)

        def seen_ahead(*args: Any, **options: Any) -> Iterator[Any]:
            source = ahead(*args, **options)
            following = self.timed("waiting", lambda: next(source, None))
            try:
                while (item := following()) is not None:
                    yield item
            finally:
                source.close()

        def seen_step(training: Any, *args: Any) -> None:
            step(training, *args)
            self.given["optimizer"] = training.optimizer
            self.wait_for_device()
            self.ends.append((time.perf_counter(), dict(self.spent)))

        with ExitStack() as stack:
            for owner, name, instead in (
                (loop, "fit", seen_fit), (loop, "ahead", seen_ahead), (loop._Training, "step", seen_step),
                (objectives, "grid_crf", self.timed("CRF", objectives.grid_crf)),
                (objectives, "grow_batch", self.timed("growing", objectives.grow_batch)),
            ):  # fmt: skip
                stack.enter_context(mock.patch.object(owner, name, instead))
            yield

    @property
    def seconds(self) -> float:
        """Of an iteration."""
        (first, _), (last, _) = self.ends[LEAD - 1], self.ends[-1]
        return (last - first) / (len(self.ends) - LEAD)

    def share(self, part: str) -> float:
        """Of an iteration's time."""
        (first, before), (last, after) = self.ends[LEAD - 1], self.ends[-1]
        return (after.get(part, 0.0) - before.get(part, 0.0)) / (last - first)


class InMemory:
    """Samples that are made once."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples
        self.made = [samples(0, index) for index in range(min(32, len(samples)))]

    def __len__(self) -> int:
        return len(self.samples)

    def __call__(self, epoch: int, index: int) -> Any:
        return self.made[(epoch + index) % len(self.made)]


class Set(torch.utils.data.Dataset[Any]):
    """Samples as DataLoader wants them."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return tuple(part.copy() if hasattr(part, "copy") else part for part in self.samples(0, index))


def mean_of(outputs: Any) -> torch.Tensor:
    """A loss of no weight in which all outputs take part."""
    parts = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    total: torch.Tensor = sum((0 * part.float()).mean() for part in parts)  # type: ignore[assignment]
    return total


def bare(spy: Spy, iterations: int) -> float:
    """Seconds of an iteration of the network alone, on a batch that lies ready."""
    model, settings, device = (spy.given[name] for name in ("model", "settings", "device"))
    batch = [spy.given["samples"](0, index % len(spy.given["samples"])) for index in range(settings.batch_size)]
    images = torch.stack([torch.from_numpy(sample[0].copy()) for sample in batch]).to(device).permute(0, 3, 1, 2)
    images = images if settings.channels_last else images.contiguous()
    times = []
    for _ in range(iterations):
        spy.wait_for_device()
        begun = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            outputs = model(model.backbone.normalise(images))
        spy.given["optimizer"].zero_grad(set_to_none=True)
        mean_of(outputs).backward()  # type: ignore[no-untyped-call]
        spy.given["optimizer"].step()
        spy.wait_for_device()
        times.append(time.perf_counter() - begun)
    return statistics.mean(times[1:])


def plain(spy: Spy, iterations: int) -> float:
    """Seconds of an iteration of the loop that everybody writes."""
    model, settings, loss, device = (spy.given[name] for name in ("model", "settings", "loss", "device"))
    data = Set(spy.given["samples"])
    batches = RandomSampler(data, replacement=True, num_samples=iterations * settings.batch_size)
    loader = DataLoader(data, settings.batch_size, sampler=batches, num_workers=2, prefetch_factor=2)
    model.float()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-6)
    ends = []
    for parts in loader:
        images, *targets = (part.to(device) for part in parts)
        images = images.permute(0, 3, 1, 2).contiguous()
        outputs = model(model.backbone.normalise(images))
        value = loss(outputs, [images, *targets])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        value.item()
        ends.append(time.perf_counter())
    return (ends[-1] - ends[LEAD - 1]) / (len(ends) - LEAD)


def measure(name: str, inputs: Inputs, given: argparse.Namespace, device: str, *, memory: bool) -> dict[str, object]:
    """A line of the table."""
    found: dict[str, list[float]] = {key: [] for key in ("step", "bare", "plain", "waiting", "CRF", "growing")}
    with_plain = not memory and "balanced" not in name  # the published design of DSRG is in bench_dsrg.py
    for _ in range(given.rounds):
        spy = Spy(memory)
        training = Training(
            iterations=given.iterations, device=device, batch_size=given.batch_size, checkpoint_seconds=1e9,
            log_every=1000,
        )  # fmt: skip
        shutil.rmtree(inputs.root / "trained", ignore_errors=True)
        with spy.watching():
            CASES[name](inputs, inputs.root / "trained", training, Run(limit=min(IMAGES, len(inputs.ids))))
        found["step"].append(spy.seconds)
        found["bare"].append(bare(spy, given.iterations - LEAD))
        for part in ("waiting", "CRF", "growing"):
            found[part].append(spy.share(part))
        if with_plain:
            found["plain"].append(plain(spy, given.iterations))
    batch, bf16 = spy.given["settings"].batch_size, spy.given["settings"].bf16
    speed = {key: batch / statistics.median(found[key]) for key in ("step", "bare", "plain") if found[key]}
    of_bare = [b / s for s, b in zip(found["step"], found["bare"], strict=True)]
    times = [p / s for s, p in zip(found["step"], found["plain"], strict=True)] if with_plain else []
    shares = {part: statistics.median(found[part]) for part in ("waiting", "CRF", "growing")}
    shown = [f"{100 * shares[part]:.1f} %" for part in shares]
    title = f"{name}, from memory" if memory else name
    print(
        f"| {title} | {device}, {'bf16' if bf16 else 'float32'} | {batch} | {speed['step']:.3g} | {speed['bare']:.3g} | "
        f"{spread(of_bare)} | {ASKED[device, memory] or '-'} | {' | '.join(shown)} | "
        f"{format(speed['plain'], '.3g') if times else '-'} | {spread(times) if times else '-'} |",
        flush=True,
    )
    line: dict[str, object] = {
        "step": title, "device": device, "images": batch * given.iterations, "images_per_second": f"{speed['step']:.3g}",
        "of_bare": f"{statistics.median(of_bare):.2f}",
    }  # fmt: skip
    if times:
        line |= {
            "alternative": "a plain torch loop, DataLoader", "alternative_per_second": f"{speed['plain']:.3g}",
            "ratio": f"{statistics.median(times):.2f}", "ratio_low": f"{min(times):.2f}", "ratio_high": f"{max(times):.2f}",
        }  # fmt: skip
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, help="the recipe's when left out")
    parser.add_argument("--device", choices=("cpu", "cuda"), action="append", help="all that are there when left out")
    parser.add_argument("--record", action="store_true", help="write the rows to speed.csv")
    given = parser.parse_args()
    if given.iterations < LEAD + 2:
        raise SystemExit(f"--iterations {given.iterations}: give {LEAD + 2} or more")
    logging.getLogger("wsscli").setLevel(logging.ERROR)
    devices = given.device or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = data_set(given, root, IMAGES)
        inputs = Inputs(data, given.split, root, IMAGES)
        print(
            f"{len(inputs.ids)} {name_of(data, root)}, lite0, {given.iterations - LEAD} iterations, medians of {given.rounds} "
            f"rounds (least-most), {cores()} cores, {', '.join(devices)}.\n\n"
            "| step | where | batch | images/s | bare network, images/s | of the bare | asked | waiting for photos | CRF | growing | "
            "plain loop, images/s | times |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        )
        for name in given.case or CASES:
            for device in devices:
                for memory in (False, True):
                    line = measure(name, inputs, given, device, memory=memory)
                    if given.record:
                        put_speed(line)
        if "cuda" not in devices:
            print("\nNo CUDA device here: its rows are left out.")


if __name__ == "__main__":
    main()
