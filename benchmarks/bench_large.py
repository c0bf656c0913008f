"""Large sets: what a step costs beside its work, at 1,000 to 1,000,000 images: seconds (those of the processors) and peak MiB.

    python benchmarks/bench_large.py [--images 1000,10000,100000] [--keep FOLDER]

A VOC set of generated names in folders of a thousand, its photos (32x24), annotations and masks hard links to a few
files. The step is `wss grabcut`; its journal is written as if it had worked on all images but one, on half, on all:

- first: from the command to the first image written, nothing done before;
- resume: the same with half of the images done;
- last: one image is left: reading the journal, that image, closing the manifest;
- again: complete, nothing to do;
- verify: `wss verify`, which reads every file, a second one with --no-photos.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wsscli.classes import ClassTable
from wsscli.maskdir.manifest import Manifest, ids_digest, read_manifest, write_manifest
from wsscli.maskdir.writer import JOURNAL, Output, begin, write_output

FOLDER = 1000  # images a folder, as ImageNet has them; file systems allow some 65,000 links to a file
WSS = [sys.executable, "-m", "wsscli"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
XML = "<annotation><object><name>cat</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>20</xmax><ymax>18</ymax></bndbox></object></annotation>"


class Cost(NamedTuple):
    """Seconds by the clock and of the processors, and the peak resident size in MiB."""

    seconds: float
    busy: float
    mib: float

    @classmethod
    def of(cls, begun: float, usage: resource.struct_rusage) -> Cost:
        return cls(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.busy:.1f}), {self.mib:.0f} MiB"


def names(n: int) -> list[str]:
    return [f"d{i // FOLDER:04}/i{i:07}" for i in range(n)]


def link(root: Path, suffix: str, ids: list[str], data: bytes) -> None:
    """`root/<id><suffix>` of every id that is not there, one file a folder that the others are links to."""
    folder, there, first = "", frozenset[str](), root
    for name in ids:
        parent, _, stem = name.rpartition("/")
        if parent != folder:
            folder = parent
            (root / folder).mkdir(parents=True, exist_ok=True)
            there = frozenset(path.name for path in (root / folder).iterdir())
            first = root / folder / min(there, default=f"{stem}{suffix}")
            if not there:
                first.write_bytes(data)
                continue
        if f"{stem}{suffix}" not in there:
            os.link(first, root / folder / f"{stem}{suffix}")


def make(root: Path, n: int) -> None:
    """The data set, and a complete directory of masks of it, unless they are there."""
    if (root / "masks" / "wss.json").exists():
        return
    from io import BytesIO

    from PIL import Image

    rng = np.random.default_rng(0)
    photo = BytesIO()
    Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(photo, "JPEG")
    ids = names(n)
    link(root / "voc" / "JPEGImages", ".jpg", ids, photo.getvalue())
    link(root / "voc" / "Annotations", ".xml", ids, XML.encode())
    lists = root / "voc" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("".join(f"{name}\n" for name in ids))
    from wsscli.data.voc import VOC_NAMES

    manifest = Manifest(
        kind="masks", step="crf", classes=ClassTable.of(VOC_NAMES), split="train", images=n, ids_digest=ids_digest(ids)
    )
    fill(root / "masks", manifest, ids)


def fill(out: Path, manifest: Manifest, ids: list[str]) -> None:
    """A complete directory of masks, its manifest by the writer."""
    mask = np.zeros((24, 32), np.uint8)
    mask[6:18, 8:24] = 8
    record = write_output(out.with_name(f"{out.name}.one"), "one", Output(mask=mask))
    file = out.with_name(f"{out.name}.one") / "masks" / "one.png"
    link(out / "masks", ".png", ids, file.read_bytes())
    write_manifest(out, manifest)
    writer = begin(out, manifest)
    assert writer is not None
    digest = record["files"]["masks/one.png"]
    with writer:
        for name in ids:
            writer.note({**record, "id": name, "files": {f"masks/{name}.png": digest}})
        writer.close()


def done(out: Path, ids: list[str]) -> None:
    """Let a directory's journal say that these images are done, their files links to the first of them that is."""
    lines = (out / JOURNAL).read_text().splitlines()
    record = {key: value for key, value in json.loads(lines[0]).items() if key != "fell_back"}
    data = (out / next(iter(record["files"]))).read_bytes()
    digest = next(iter(record["files"].values()))
    link(out / "masks", ".png", ids, data)
    with (out / JOURNAL).open("w") as stream:
        for name in ids:
            line = {**record, "id": name, "files": {f"masks/{name}.png": digest}}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def run(words: list[str]) -> Cost:
    """A command as a process of its own, to its end."""
    begun = time.perf_counter()
    process = subprocess.Popen([*WSS, *words], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)}: status {status}\n{said.decode()}")
    return Cost.of(begun, usage)


def until_first(words: list[str], out: Path) -> Cost:
    """A command up to the first line that it adds to its journal; then it is killed."""
    journal = out / JOURNAL
    before = journal.stat().st_size if journal.exists() else 0
    begun = time.perf_counter()
    process = subprocess.Popen([*WSS, *words], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (journal.exists() and journal.stat().st_size > before):
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(words)}: ended with status {process.returncode} before its first image")
        time.sleep(0.02)
    process.kill()
    _, _, usage = os.wait4(process.pid, 0)
    return Cost.of(begun, usage)


def measure(root: Path, n: int) -> Iterator[tuple[str, Cost | str]]:
    """Every phase by its name."""
    make(root, n)
    ids, out = names(n), root / "out"
    words = ["grabcut", str(root / "masks"), "--data", str(root / "voc"), "--split", "train", "--workers", "1"]
    words += ["-o", str(out)]
    shutil.rmtree(out, ignore_errors=True)
    yield "first", until_first(words, out)
    done(out, ids[: n // 2])
    yield "resume", until_first(words, out)
    done(out, ids[:-1])
    size = (out / JOURNAL).stat().st_size
    yield "last", run(words)
    yield "again", run(words)
    yield "verify", run(["verify", str(out)])
    yield "verify --no-photos", run(["verify", str(out), "--no-photos"])
    manifest = read_manifest(out)
    assert manifest is not None and manifest.complete and manifest.images == n
    yield "journal", f"{size / 2**20:.1f} MiB"
    yield "wss.json", f"{(out / 'wss.json').stat().st_size / 1024:.1f} KiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="1000,10000,100000", help="1000000 takes about a GB and half an hour")
    parser.add_argument("--keep", type=Path, help="make the sets here and leave them")
    given = parser.parse_args()
    rows: dict[str, list[str]] = {}
    sizes = [int(word) for word in given.images.split(",")]
    for n in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = (given.keep or Path(folder)) / str(n)
            for name, cost in measure(root, n):
                rows.setdefault(name, []).append(str(cost))
                print(f"{n}: {name}: {cost}", file=sys.stderr, flush=True)
    print("| | " + " | ".join(f"{n:,} images" for n in sizes) + " |\n| --- |" + " --- |" * len(sizes))
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
