"""Region proposals of one image: a map of superpixels, and for each proposal the superpixels it is made of."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic

_BITS = 32  # masks taken together when cells are made: with 24 bits for the cells so far they fit in an int64
_ENTRIES = ("superpixels", "counts", "steps", "scores")


@dataclass(frozen=True, eq=False)
class ProposalSet:
    """Ranked region proposals, best first.

    Attributes:
        superpixels: int32 (H, W), values 0..S-1.
        starts: int64 (n + 1); proposal i is made of the superpixels `members[starts[i]:starts[i + 1]]`.
        members: int32 (m,), the superpixels of all proposals one after the other; each proposal has at least one, in
            ascending order.
        scores: float32 (n,), descending. They rank; they are no probabilities.
    """

    superpixels: NDArray[np.int32]
    starts: NDArray[np.int64]
    members: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the photo."""
        return self.superpixels.shape[0], self.superpixels.shape[1]

    @cached_property
    def n_superpixels(self) -> int:
        """S."""
        return int(self.superpixels.max()) + 1

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """int64 (S,), pixels of each superpixel."""
        return np.bincount(self.superpixels.ravel(), minlength=self.n_superpixels)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """int64 (n,), pixels of each proposal."""
        return self._sums(self.sizes)

    @cached_property
    def boxes(self) -> NDArray[np.int32]:
        """int32 (n, 4): x0, y0, x1, y1 of each proposal's bounding box, x1 and y1 exclusive."""
        rows, columns = np.indices(self.size, dtype=np.int32).reshape(2, -1)
        flat = self.superpixels.ravel()
        ends = []
        for positions in (columns, rows):
            first = np.full(self.n_superpixels, np.iinfo(np.int32).max, np.int32)
            last = np.zeros(self.n_superpixels, np.int32)
            np.minimum.at(first, flat, positions)
            np.maximum.at(last, flat, positions + 1)
            ends.append((np.minimum.reduceat(first[self.members], self.starts[:-1]),
                         np.maximum.reduceat(last[self.members], self.starts[:-1])))  # fmt: skip
        (x0, x1), (y0, y1) = ends
        return np.stack([x0, y0, x1, y1], axis=1)

    def mask(self, index: int) -> NDArray[np.bool_]:
        """bool (H, W): the pixels of one proposal."""
        inside = np.zeros(self.n_superpixels, bool)
        inside[self.members[self.starts[index] : self.starts[index + 1]]] = True
        return inside[self.superpixels]

    def masks(self, chosen: ArrayLike) -> NDArray[np.bool_]:
        """bool (m, H, W): the pixels of the proposals with these indices, in their order."""
        found = np.empty((len(np.asarray(chosen)), *self.size), bool)
        for row, index in zip(found, np.asarray(chosen, np.int64), strict=True):
            row[:] = self.mask(int(index))
        return found

    def coverage(self, weights: ArrayLike) -> NDArray[np.float64]:
        """float64 (H, W): at each pixel the sum of the weights of the proposals that cover it.

        Args:
            weights: (n,), any numbers.
        """
        each = np.repeat(np.asarray(weights, np.float64), np.diff(self.starts))
        total: NDArray[np.float64] = np.bincount(self.members, each, self.n_superpixels).astype(np.float64, copy=False)
        return total[self.superpixels]

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """float64 (n,): the mean of a map (H, W) over each proposal."""
        sums = np.bincount(self.superpixels.ravel(), np.asarray(values, np.float64).ravel(), self.n_superpixels)
        return self._sums(sums) / self.areas

    def overlaps(
        self, labels: NDArray[np.integer], values: Sequence[int] | NDArray[np.integer], *, ignore: int | None = None
    ) -> NDArray[np.float64]:
        """float64 (n, len(values)): intersection over union of every proposal with each region of a label map.

        Args:
            labels: (H, W), integers >= 0.
            values: the labels whose regions are compared; one that does not occur has the overlap 0.
            ignore: pixels of this label count for nothing, neither in the proposals nor in the regions. A proposal
                that lies on them alone has the overlap 0.
        """
        wanted = np.asarray(values, np.int64)
        column = np.full(max(int(labels.max()), int(wanted.max(initial=0))) + 1, len(wanted), np.int64)
        column[wanted] = np.arange(len(wanted))
        if ignore is not None and ignore < len(column):
            column[ignore] = len(wanted) + 1
        width = len(wanted) + 2  # the regions, all else, what is ignored
        cells = self.superpixels.astype(np.int64).ravel() * width + column[labels].ravel()
        table = np.bincount(cells, minlength=self.n_superpixels * width).reshape(-1, width)
        both = self._sums(table[:, : len(wanted)])
        areas = self._sums(table[:, :-1].sum(axis=1))
        union = areas[:, None] + table[:, : len(wanted)].sum(axis=0) - both
        found: NDArray[np.float64] = both / np.maximum(union, 1)
        return found

    def first(self, count: int) -> ProposalSet:
        """The `count` best ones (all, when there are fewer), over the same superpixels."""
        kept = min(count, len(self))
        starts = self.starts[: kept + 1]
        return ProposalSet(self.superpixels, starts, self.members[: starts[-1]], self.scores[:kept])

    def _sums(self, of_superpixels: NDArray[np.integer] | NDArray[np.floating]) -> NDArray[np.int64]:
        """(n, ...): values of superpixels (S, ...) summed over each proposal."""
        found: NDArray[np.int64] = np.add.reduceat(of_superpixels[self.members], self.starts[:-1], axis=0)
        return found

    @classmethod
    def of_masks(cls, masks: Sequence[NDArray[np.bool_]] | NDArray[np.bool_], scores: ArrayLike) -> ProposalSet:
        """The set of these very regions: its superpixels are the cells into which their outlines cut the photo.

        Args:
            masks: bool (n, H, W), or a sequence of bool (H, W) that may make each one when it is asked for (each is
                asked for twice); at least one.
            scores: (n,), the higher the better; of equal scores the first mask stays first.

        Raises:
            WssError: a mask without a pixel.
        """
        given = np.asarray(scores, np.float32)
        shape = np.asarray(masks[0]).shape
        cells = np.zeros(shape[0] * shape[1], np.int64)
        for start in range(0, len(masks), _BITS):
            for bit in range(start, min(start + _BITS, len(masks))):
                cells = cells << 1 | np.asarray(masks[bit], bool).ravel()
            cells = np.unique(cells, return_inverse=True)[1].astype(np.int64)
        _, first, cells = np.unique(cells, return_index=True, return_inverse=True)
        order = np.argsort(first)  # numbered in the order of reading: neighbours get like numbers
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        superpixels = place[cells].astype(np.int32).reshape(shape)
        found = []
        for index in np.argsort(-given, kind="stable"):
            inside = np.flatnonzero(np.asarray(masks[int(index)], bool).ravel()[first[order]])
            if not len(inside):
                raise WssError(f"mask {index} of {len(masks)} has no pixel; leave it out")
            found.append(inside.astype(np.int32))
        starts = np.cumsum([0, *map(len, found)], dtype=np.int64)
        return cls(superpixels, starts, np.concatenate(found), -np.sort(-given))


def proposals_fault(item: ProposalSet) -> str | None:
    """What is wrong with a set, in words; None when it is sound."""
    superpixels, starts, members, scores = item.superpixels, item.starts, item.members, item.scores
    shapes = f"superpixels {superpixels.shape}, starts {starts.shape}, members {members.shape}, scores {scores.shape}"
    if superpixels.ndim != 2 or not superpixels.size or any(a.ndim != 1 for a in (starts, members, scores)):
        return f"{shapes}; need (H, W), (n + 1,), (m,) and (n,)"
    if len(starts) != len(scores) + 1 or starts[0] != 0 or starts[-1] != len(members):
        return f"{shapes} do not fit each other"
    if (np.diff(starts) < 1).any():
        return f"proposal {int(np.argmin(np.diff(starts)))} has no superpixel"
    low, high = int(superpixels.min()), int(superpixels.max())
    if low < 0:
        return f"the superpixel {low} is negative"
    if len(members) and not 0 <= int(members.min()) <= int(members.max()) <= high:
        return f"members {int(members.min())}..{int(members.max())} are not among the superpixels 0..{high}"
    inner = np.ones(len(members), bool)
    inner[starts[:-1]] = False
    if (np.diff(members, prepend=0)[inner] <= 0).any():
        return "members of a proposal do not ascend"
    if not np.isfinite(scores).all() or (np.diff(scores) > 0).any():
        return "scores are not finite and descending"
    return None


def encode_proposals(item: ProposalSet) -> bytes:
    """The npz file of a set: deflated, no pickle, the smallest integers that fit, equal bytes for equal input.

    Its entries are `superpixels` (H, W), `counts` (n,) = members of each proposal, `steps` (m,) = each member less the
    one before it in its proposal (less 0 for the first), `scores` float32 (n,).

    Raises:
        WssError: the set is not sound.
    """
    fault = proposals_fault(item)
    if fault is not None:
        raise WssError(f"proposals: {fault}")
    small = np.uint16 if item.superpixels.max() < 2**16 else np.uint32
    steps = np.diff(item.members, prepend=0)
    steps[item.starts[:-1]] = item.members[item.starts[:-1]]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        superpixels=item.superpixels.astype(small),
        counts=np.diff(item.starts).astype(np.uint32),
        steps=steps.astype(small),
        scores=item.scores.astype(np.float32),
    )
    return buffer.getvalue()


def write_proposals(path: Path, item: ProposalSet) -> bytes:
    """Write a set atomically; returns the bytes of the file (for its digest)."""
    data = encode_proposals(item)
    write_atomic(path, data)
    return data


def read_proposals(path: Path) -> ProposalSet:
    """Read a set written by wss (or by anyone in the same form; pickles are refused).

    Raises:
        WssError: no such file, damaged, or an entry is missing or does not fit the others.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            superpixels, counts, steps, scores = (archive[name] for name in _ENTRIES)
            counts = np.asarray(counts, np.int64)
            steps = np.asarray(steps, np.int64)
            superpixels, scores = np.asarray(superpixels, np.int32), np.asarray(scores, np.float32)
    except FileNotFoundError as error:
        raise WssError(f"{path}: no such proposals") from error
    except KeyError as error:
        lacking = str(error.args[0]).split(" ")[0]
        raise WssError(f"{path}: proposals without the entry '{lacking}'; need {', '.join(_ENTRIES)}") from error
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise WssError(
            f"{path}: cannot be read as proposals ({str(error).splitlines()[0]}); the file is damaged, write it again"
        ) from error
    if counts.ndim != 1 or steps.ndim != 1 or counts.min(initial=1) < 1 or counts.sum() != len(steps):
        fault = f"counts {counts.shape} of the sum {counts.sum()} do not fit steps {steps.shape}"
        raise WssError(f"{path}: not sound proposals: {fault}; the file is damaged, write it again")
    starts = np.cumsum(np.concatenate([[0], counts]))
    total = np.concatenate([[0], np.cumsum(steps)])
    members = total[1:] - np.repeat(total[starts[:-1]], counts)
    item = ProposalSet(superpixels, starts, members.astype(np.int32), scores)
    wrong = proposals_fault(item)
    if wrong is not None:
        raise WssError(f"{path}: not sound proposals: {wrong}; the file is damaged, write it again")
    return item
