"""What evaluation costs beside decoding the PNGs, and beside other ways of counting.

    python benchmarks/bench_eval.py [--data ../shared/data/voc] [--pairs 700] [--rounds 7]

One process, the same files and arrays, medians over rounds that go through all candidates in turn. `wss eval` is the
whole step: opening the data set and the directory, decoding, counting, summing up. Without the real photos a generated
set of the same size takes their place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from common import REAL
from PIL import Image

from wsscli.evaluate.confusion import confusion
from wsscli.maskdir.png import read_mask, write_mask
from wsscli.steps._data import Data
from wsscli.steps.eval import Part, evaluate

N = 21


def decode(path: Path) -> np.ndarray:
    """The least a reader of indexed masks can do."""
    with Image.open(path) as image:
        return np.array(image)


def guess(truth: np.ndarray, seed: int, classes: int = N) -> np.ndarray:
    """A prediction as nets make them: smooth outlines, some regions of another class, nothing unlabelled."""
    moved = np.roll(np.where(truth == 255, 0, truth).astype(np.uint8), (3, 5), (0, 1))
    out = cv2.medianBlur(moved, 9)
    rng = np.random.default_rng(seed)
    y, x = (int(rng.integers(0, max(1, side - 60))) for side in out.shape)
    out[y : y + 60, x : x + 60] = rng.integers(0, classes)
    return out


def prepare(data: Path, root: Path, pairs: int) -> tuple[Path, list[str]]:
    """A devkit of `pairs` true masks (repeated where there are fewer) and a plain folder of predictions."""
    files = sorted((data / "SegmentationClass").glob("*.png")) if data.exists() else []
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation", "guess"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{i:06d}" for i in range(pairs)]
    for i, name in enumerate(names):
        if files:
            truth = read_mask(files[i % len(files)])
        else:
            field = cv2.resize(rng.random((6, 8), np.float32), (500, 375), interpolation=cv2.INTER_CUBIC)
            truth = np.where(field > 0.6, rng.integers(1, N), 0).astype(np.uint8)
        write_mask(root / f"SegmentationClass/{name}.png", truth)
        write_mask(root / f"guess/{name}.png", guess(truth, i))
        (root / f"JPEGImages/{name}.jpg").touch()  # ids come from here; no photo is read
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(names) + "\n")
    return root / "guess", names


def timed(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every candidate in every round; one unmeasured round first."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, call in candidates.items():
            begun = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - begun)
    return times


def with_bincount(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    keep = truth != 255
    joint = truth[keep].astype(np.int64) * N + prediction[keep]
    return np.bincount(joint, minlength=N * N).reshape(N, N)


def with_histogram(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return cv2.calcHist([truth, prediction], [0, 1], None, [N, N], [0, N, 0, N]).astype(np.int64)


def with_sklearn(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    from sklearn.metrics import confusion_matrix

    keep = truth != 255
    return confusion_matrix(truth[keep], prediction[keep], labels=np.arange(N))


def torchmetrics_total(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    import torch
    from torchmetrics.classification import MulticlassConfusionMatrix

    torch.set_num_threads(1)
    metric = MulticlassConfusionMatrix(N, ignore_index=255)
    for truth, prediction in pairs:
        metric.update(torch.from_numpy(prediction)[None].long(), torch.from_numpy(truth)[None].long())
    return metric.compute().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL)
    parser.add_argument("--pairs", type=int, default=700)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(*prepare(given.data, Path(folder) / "voc", given.pairs), given.rounds)


def report(folder: Path, names: list[str], rounds: int) -> None:
    root = folder.parent
    files = [path for i in names for path in (root / f"SegmentationClass/{i}.png", folder / f"{i}.png")]
    pairs = [(decode(t), decode(p)) for t, p in zip(files[::2], files[1::2], strict=True)]
    data = Data(root, "train", class_names=tuple(f"class {i}" for i in range(1, N)))

    def decoding(threads: int) -> None:
        if threads == 1:
            for path in files:
                decode(path)
            return
        with ThreadPoolExecutor(threads) as pool:
            chunks = [files[i : i + 32] for i in range(0, len(files), 32)]
            list(pool.map(lambda chunk: [decode(path).size for path in chunk], chunks))

    def whole(threads: int) -> np.ndarray:
        result = evaluate([folder], data=data, part=Part(workers=threads))
        assert result is not None
        return result.rows[0].matrix

    cv2.setNumThreads(1)
    reference = sum(with_bincount(t, p) for t, p in pairs)
    for found in (whole(1)[:, :N], sum(confusion(t, p, N) for t, p in pairs)[:, :N], torchmetrics_total(pairs)):
        assert np.array_equal(found, reference), "candidates disagree"

    kinds = (("decode", decoding), ("eval", whole))
    ends = timed({f"{kind} {n}": partial(call, n) for n in (1, 2) for kind, call in kinds}, rounds)
    print(f"{len(names)} pairs, {N} classes, median of {rounds} rounds [least, most].\n")
    print("| the whole step | decoding alone, s | `wss eval`, s | ratio |\n| --- | --- | --- | --- |")
    for n in (1, 2):
        a, b = ends[f"decode {n}"], ends[f"eval {n}"]
        each = statistics.median(y / x for x, y in zip(a, b, strict=True))
        print(f"| {n} thread{'s' if n > 1 else ''} | {span(a)} | {span(b)} | {each:.2f} |")
    counting = timed(
        {
            "runs of equal pairs (`wss eval`)": lambda: [confusion(t, p, N) for t, p in pairs],
            "cv2.calcHist (no check of values)": lambda: [with_histogram(t, p) for t, p in pairs],
            "numpy.bincount": lambda: [with_bincount(t, p) for t, p in pairs],
        },
        rounds,
    )
    counting |= timed(
        {
            "sklearn.metrics.confusion_matrix": lambda: [with_sklearn(t, p) for t, p in pairs],
            "torchmetrics.MulticlassConfusionMatrix": lambda: torchmetrics_total(pairs),
        },
        min(rounds, 2),
    )
    own = statistics.median(counting["runs of equal pairs (`wss eval`)"])
    print("\n| counting alone, 1 thread | s | times `wss eval` |\n| --- | --- | --- |")
    for name, seconds in counting.items():
        print(f"| {name} | {span(seconds)} | {statistics.median(seconds) / own:.1f} |")


def span(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3f} [{min(seconds):.3f}, {max(seconds):.3f}]"


if __name__ == "__main__":
    main()
