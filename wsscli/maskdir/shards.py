"""The journals of processes that fill one directory together, each its own share of the images.

    OUT/.shards/2-of-4.jsonl   journal of shard 2/4: a line at each start, a line an image, a line when it is done

The folder goes when the directory is completed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.journal import JOURNAL, Record, is_held, lines_in
from wsscli.maskdir.records import InPlace

SHARDS = ".shards"
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Share:
    """One of `count` parts of the images: the `index`-th (from 1), and from there every `count`-th."""

    count: int
    index: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """`I/N` as a share.

        Raises:
            UsageError: it is none.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard {text}: give I/N, for four parts 1/4 to 4/4")
        return cls(int(found[2]), int(found[1]))

    def of(self, ids: Sequence[T]) -> Sequence[T]:
        """Its part of all ids: of N shares every id is in one. Which it is does not depend on what is done."""
        return ids[self.index - 1 :: self.count]

    def file(self, root: Path, suffix: str = "jsonl") -> Path:
        """Its journal in a directory."""
        return root / SHARDS / f"{self.index}-of-{self.count}.{suffix}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def shares_in(root: Path, suffix: str = "jsonl") -> list[tuple[Share, Path]]:
    """The shares that have a journal, and it, sorted."""
    found = []
    for path in (root / SHARDS).glob(f"*-of-*.{suffix}"):
        numbers = re.fullmatch(r"([0-9]{1,9})-of-([0-9]{1,9})", path.stem)
        if numbers:
            found.append((Share(int(numbers[2]), int(numbers[1])), path))
    return sorted(found)


def shard_records(
    root: Path, plan: str, *, but: Share | None = None, wanted: Container[str] | None = None, look: bool = True
) -> Iterator[Record]:
    """The journal lines of the images that shards have done.

    Args:
        root: the directory.
        plan: the digest of its manifest.
        but: a share whose journal is not read.
        wanted: only these ids.
        look: pass over images whose files are not there. A process that has just written them may be asked not to:
            on a network file system they can take a while to be seen.

    Raises:
        WssError: a shard was begun with other options. Only where nothing could keep it out.
    """
    in_place = InPlace(root)
    for share, path in shares_in(root):
        if share == but:
            continue
        for line in lines_in(path):
            refuse_other_plan(root, share, line, plan)
            if "id" in line and (wanted is None or line["id"] in wanted) and (not look or in_place(line)):
                yield line


def refuse_other_plan(root: Path, share: Share, line: Record, plan: str) -> None:
    """Raises WssError for the first line of a shard that was begun with other options."""
    if line.get("plan", plan) != plan:
        raise WssError(
            f"{root}: shard {share} was begun with other options than the others; remove the directory and start all "
            "shards with the same"
        )


def refuse_company(root: Path, share: Share | None) -> None:
    """Raises WssError when a process is at work here that could take the same images as this one."""
    if share is not None and is_held(root / JOURNAL):
        raise WssError(f"{root}: another wss process is writing all of it; wait for it, or use another -o")
    for other, path in shares_in(root):
        # shares of as many parts have other images
        if (share is None or other.count != share.count) and is_held(path):
            raise WssError(f"{root}: another wss process is writing shard {other} here; wait for it, or use another -o")


def ended_shards(root: Path) -> list[Record]:
    """What shards said when they were done, for `log.jsonl`, in the order of time."""
    found = [
        {"time": line["ended"], "event": "shard", "shard": str(share), **line["figures"]}
        for share, path in shares_in(root)
        for line in lines_in(path)
        if "ended" in line
    ]
    return sorted(found, key=lambda line: float(line["time"]))


def forget_shards(root: Path) -> None:
    """Remove the journals of all shards; what waits to begin stays."""
    for _, path in shares_in(root):
        path.unlink(missing_ok=True)


def remove_shards(root: Path) -> None:
    """Remove all that shards have left beside the results."""
    with suppress(OSError):
        shutil.rmtree(root / SHARDS)


def in_shards(root: Path) -> bool:
    """Whether shards fill this directory."""
    return bool(shares_in(root))


def unfinished(root: Path) -> str:
    """What shards have left to do, in words: those that have not ended, of the number of parts begun last."""
    begun: dict[int, float] = {}
    states: dict[Share, str] = {}
    for share, path in shares_in(root):
        for line in lines_in(path):
            if "begun" in line:
                begun[share.count] = max(float(line["begun"]), begun.get(share.count, 0.0))
                states[share] = "was stopped before its end"
            elif "failed" in line:
                states[share] = f"failed ({line['failed']})"
            elif "ended" in line:
                states[share] = ""
        if is_held(path):
            states[share] = "is at work"
    if not begun:
        return "no shard has begun"
    count = max(begun, key=lambda n: (begun[n], n))
    open_ = [
        f"shard {share} {states.get(share, 'has not begun')}"
        for share in (Share(count, index) for index in range(1, count + 1))
        if states.get(share, "has not begun")
    ]
    if not open_:
        return f"all {count} shards have ended"
    return "; ".join(open_[:8]) + (f"; and {len(open_) - 8} more" if len(open_) > 8 else "")


def by_shards(root: Path) -> bool:
    """Whether shards fill this directory that are started one by one; ranks of a launch are started together."""
    shares = shares_in(root)
    begun = [line for _, path in shares for line in lines_in(path) if "begun" in line]
    return bool(shares) and not (begun and max(begun, key=lambda line: float(line["begun"])).get("led"))


def how_to_complete(root: Path, step: str) -> str:
    """What to do with an incomplete directory."""
    if by_shards(root):
        return f"incomplete: shards of `wss {step}` fill it; when all are done, `wss verify {root} --finish` closes it"
    return f"incomplete (`wss {step}` was stopped before its end); run that command again, it goes on where it stopped"
