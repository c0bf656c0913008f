"""Every step beside what a user would run otherwise, and with two workers beside one: images a second.

    python benchmarks/bench_steps.py [--data DIR] [--step crf] [--rounds 3] [--share 1] [--record]

One process; candidates take turns in every round, and ratios are medians over rounds with their least and most. A step is
timed by its own log, from the first image to the closed directory (eval, show and verify by the clock): reading, the work,
writing, manifest; loading a network is left out on both sides. The alternative (plain.py) reads and writes too, in one process,
a photo at a time, its library on as many threads as it takes by itself. Slow alternatives get fewer photos. Nothing is
trained: inputs are made from the true masks (inputs.py). --share makes all counts smaller, --record writes the rows to
speed.csv, from which `python benchmarks/speed.py` makes README's table.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import plain
import torch
from common import add_data, cores, data_set, in_turn, median, name_of, ratios, spread
from inputs import Inputs
from rows import put_speed

from wsscli.steps._run import Run

Step = Callable[[Inputs, Path, Run], object]
ASKED = {  # two workers over one, at least
    **dict.fromkeys(("saliency", "crf", "grabcut", "guided-filter", "propose"), 1.8), "eval": 1.5, "grow": 1.5,
}  # fmt: skip


def saliency(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.saliency import saliency as step

    return step(out, data=inputs.option, run=run)


def make_seeds(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.make_seeds import make_seeds as step

    return step(
        out, model=Path("imagenet"), class_map=inputs.class_map, saliency=inputs.saliency, device="cpu",
        data=inputs.option, run=run,
    )  # fmt: skip


def argmax(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.argmax import argmax as step

    return step(inputs.probabilities, out, run=run)


def crf(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.crf import crf as step

    return step(inputs.probabilities, out, run=run)


def grabcut(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.grabcut import grabcut as step

    return step(inputs.masks, out, run=run)


def guided_filter(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.guided_filter import guided_filter as step

    return step(inputs.masks, out, run=run)


def propose(inputs: Inputs, out: Path, run: Run, *, method: str) -> Path:
    from wsscli.steps.propose import propose as step

    return step(out, method=method, data=inputs.option, run=run)  # type: ignore[arg-type]


def grow(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.grow import grow as step

    return step(inputs.seeds, out, scores=inputs.probabilities, run=run)


def predict(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.predict import predict as step

    return step(inputs.segmenter, out, device="cpu", data=inputs.option, run=run)


def detect(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.detect import detect as step

    return step(inputs.detector, out, device="cpu", data=inputs.option, run=run)


def evaluate(inputs: Inputs, _: Path, run: Run) -> None:
    from wsscli.steps.eval import Part
    from wsscli.steps.eval import evaluate as step

    step([inputs.masks], missing="skip", part=Part(limit=run.limit, workers=run.workers))


def import_masks(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.import_masks import import_masks as step

    return step(inputs.masks / "masks", out, data=inputs.option, run=run)


def export_cam_npy(inputs: Inputs, out: Path, run: Run) -> Path:
    from wsscli.steps.export_cam_npy import export_cam_npy as step

    return step(inputs.cams, out, schema="irn", run=run)


def show(inputs: Inputs, out: Path, run: Run) -> None:
    from wsscli.steps.show import show as step

    step([inputs.masks], out, run=run)


def verify(inputs: Inputs, _: Path, run: Run) -> None:
    from wsscli.steps.verify import verify as step

    step(inputs.masks, workers=run.workers)


@dataclass(frozen=True)
class Case:
    """A step, on how many photos, and its alternatives: what they are, the work, on how many photos."""

    images: int
    step: Step
    alternatives: dict[str, tuple[Callable[[Inputs, Path], plain.Work], int]] = field(default_factory=dict)


SEARCH = {"cv2.ximgproc's selective search": (plain.propose, 4)}
CASES = {
    "saliency": Case(60, saliency),
    "make-seeds": Case(
        24, make_seeds, {"a plain torch loop": (plain.cams, 12), "pytorch-grad-cam": (plain.grad_cams, 12)}
    ),
    "argmax": Case(200, argmax, {"numpy and torch": (plain.argmax, 100)}),
    "crf": Case(40, crf, {"pydensecrf, all labels": (plain.crf, 12)}),
    "grabcut": Case(24, grabcut, {"cv2.grabCut": (plain.grabcut, 12)}),
    "guided-filter": Case(60, guided_filter, {"cv2.ximgproc.guidedFilter": (plain.guided_filter, 60)}),
    "propose": Case(24, partial(propose, method="hierarchical"), SEARCH),
    "propose --method selective-search": Case(12, partial(propose, method="selective-search"), SEARCH),
    "grow": Case(200, grow, {"the published layer in Python": (plain.grow, 4)}),
    "predict": Case(120, predict, {"a plain torch loop": (plain.predict, 40)}),
    "detect": Case(120, detect, {"a plain torch loop": (plain.detect, 40)}),
    "eval": Case(
        600, evaluate,
        {"sklearn": (plain.judge_sklearn, 60), "torchmetrics": (plain.judge_torchmetrics, 60)},
    ),
    "import masks": Case(600, import_masks),
    "export cam-npy": Case(60, export_cam_npy),
    "show": Case(60, show),
    "verify": Case(600, verify),
}  # fmt: skip

# commands that are no work on photos of their own, or a chain of steps that stand above or in bench_train.py
UNTIMED = (
    "demo", "methods", "doctor", "refine-round", "import sec-cues", "import cam-npy", "import proposals", "export voc-server",
)  # fmt: skip


def measure(name: str, case: Case, inputs: Inputs, given: argparse.Namespace) -> list[dict[str, object]]:
    """Lines of the table of one step."""
    count = max(2, min(len(inputs.ids), round(case.images * given.share)))
    scratch = inputs.root / "out"

    def step(workers: int) -> object:
        shutil.rmtree(scratch, ignore_errors=True)
        return case.step(inputs, scratch, Run(limit=count, workers=workers))

    def other(work: plain.Work, ids: list[str]) -> float:
        torch.set_num_threads(cores())
        cv2.setNumThreads(cores())
        begun = time.perf_counter()
        for item in ids:
            work(item)
        return time.perf_counter() - begun

    calls: dict[str, Callable[[], object]] = {str(n): partial(step, n) for n in (1, 2)}
    counts = {}
    for number, (title, (make, most)) in enumerate(case.alternatives.items()):
        folder = inputs.root / f"plain-{number}"
        folder.mkdir(exist_ok=True)
        try:
            work = make(inputs, folder)
        except (ImportError, AttributeError) as error:
            print(f"{name}: no {title} here ({error})", file=sys.stderr)
            continue
        ids = inputs.ids[: max(1, min(count, round(most * given.share)))]
        counts[title], calls[title] = len(ids), partial(other, work, ids)
    step(2)  # compiles, and makes what it reads
    times = in_turn(calls, given.rounds, warm=False)
    shutil.rmtree(scratch, ignore_errors=True)
    scaling = ratios(times["1"], times["2"])
    lines = []
    for title in list(counts) or [""]:
        line: dict[str, object] = {
            "step": name, "device": "cpu", "images": count, "images_per_second": f"{count / median(times['2']):.3g}",
            "scaling": f"{statistics.median(scaling):.2f}", "scaling_low": f"{min(scaling):.2f}",
            "scaling_high": f"{max(scaling):.2f}", "scaling_asked": ASKED.get(name.split(" --")[0], ""), "alternative": title,
            **dict.fromkeys(("alternative_per_second", "ratio", "ratio_low", "ratio_high", "ratio_processor"), ""),
        }  # fmt: skip
        if title:
            share = count / counts[title]
            faster = [share * ratio for ratio in ratios(times[title], times["2"])]
            line |= {
                "alternative_per_second": f"{counts[title] / median(times[title]):.3g}",
                "ratio": f"{statistics.median(faster):.2f}", "ratio_low": f"{min(faster):.2f}", "ratio_high": f"{max(faster):.2f}",
                "ratio_processor": f"{share * statistics.median(ratios(times[title], times['1'], 1)):.2f}",
            }  # fmt: skip
        print(
            f"| {name} | {count} | {line['images_per_second']} | {title or '-'} | {line['alternative_per_second'] or '-'} | "
            f"{spread(faster) if title else '-'} | {line['ratio_processor'] or '-'} | {spread(scaling)} | {line['scaling_asked'] or '-'} |",
            flush=True,
        )
        lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--step", choices=CASES, action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--record", action="store_true", help="write the rows to speed.csv")
    given = parser.parse_args()
    logging.getLogger("wsscli").setLevel(logging.ERROR)
    named = given.step or list(CASES)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        most = max(2, round(max(CASES[name].images for name in named) * given.share))
        data = data_set(given, root, min(most, 600))
        inputs = Inputs(data, given.split, root, most)
        print(
            f"{len(inputs.ids)} {name_of(data, root)} or as many as stand in the line, {len(inputs.dataset.classes)} classes, "
            f"{cores()} cores, medians of {given.rounds} rounds (least-most).\n\n"
            "| step | images | images/s, 2 workers | alternative | images/s | times | of processor time | 2 workers over 1 | asked |\n"
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        )
        for name in named:
            lines = measure(name, CASES[name], inputs, given)
            if given.record:
                put_speed(*lines)


if __name__ == "__main__":
    main()
