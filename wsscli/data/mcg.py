"""Region proposals that other tools wrote: MCG's .mat files, and JSON lists of COCO RLE masks.

Source: Arbelaez et al., "Multiscale Combinatorial Grouping", CVPR 2014 (files of their code and downloads: a matrix
    `superpixels` and a cell `labels`, per proposal the superpixels it is made of); COCO's results format for
    segmentation (`image_id`, `segmentation` = {"size": [H, W], "counts": ...}, `score`).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsscli.data.rle import decode_rle
from wsscli.errors import WssError
from wsscli.maskdir.proposals import ProposalSet, proposals_fault


def read_mat(path: Path) -> ProposalSet:
    """Proposals of one of MCG's files, ranked as they stand there (best first), or by `scores` where it has them.

    Raises:
        WssError: no such file, not a MATLAB file up to version 7, or without the two entries in their form.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise WssError(f"{path}: no such file of proposals")
    try:
        found = loadmat(path)  # plain numbers and cells; nothing in it is run
    except NotImplementedError as error:
        raise WssError(
            f"{path}: a MATLAB file of version 7.3, which is not read; save it with `save(FILE, '-v7')`"
        ) from error
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, EOFError, MemoryError, UnboundLocalError, MatReadError,
        zlib.error,
    ) as error:  # fmt: skip
        raise WssError(f"{path}: not readable as a MATLAB file ({str(error).splitlines()[0]}); get it again") from error
    for entry in ("superpixels", "labels"):
        if entry not in found:
            raise WssError(f"{path}: no entry '{entry}'; MCG's files hold superpixels and labels")
    try:
        return _of_mat(found)
    except (ValueError, TypeError, IndexError) as error:
        raise WssError(f"{path}: not proposals as MCG writes them: {error}") from error


def _of_mat(found: dict[str, Any]) -> ProposalSet:
    superpixels = _whole(found["superpixels"], "superpixels")
    if superpixels.ndim != 2 or not superpixels.size:
        raise ValueError(f"superpixels of the shape {superpixels.shape}, need (H, W)")
    values, cells = np.unique(superpixels, return_inverse=True)  # MATLAB counts from 1, and may leave numbers out
    labels = np.asarray(found["labels"])
    if labels.size and labels.dtype != object:
        raise ValueError("labels is no cell of lists")
    lists = []
    for k, entry in enumerate(labels.ravel()):
        members = np.unique(_whole(entry, f"proposal {k + 1}"))
        place = np.minimum(np.searchsorted(values, members), len(values) - 1)
        if (values[place] != members).any():
            raise ValueError(f"proposal {k + 1} names the superpixel {members[values[place] != members][0]}, not there")
        if not len(members):
            raise ValueError(f"proposal {k + 1} has no superpixel")
        lists.append(place.astype(np.int32))
    scores = 1 / np.arange(1, len(lists) + 1)
    if "scores" in found and len(lists):
        scores = np.asarray(found["scores"], np.float64).ravel()
        if scores.shape != (len(lists),):
            raise ValueError(f"{len(scores)} scores for {len(lists)} proposals")
        if not (np.abs(scores) <= LARGEST).all():  # NaN is not <= either
            raise ValueError(f"the score {scores[~(np.abs(scores) <= LARGEST)][0]:g} is no number that can be kept")
    order = np.argsort(-scores, kind="stable")
    lists = [lists[k] for k in order]
    starts = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    joined = np.concatenate([*lists, np.zeros(0, np.int32)]).astype(np.int32)
    numbered: NDArray[np.int32] = np.reshape(cells, superpixels.shape).astype(np.int32)
    item = ProposalSet(numbered, starts, joined, scores[order].astype(np.float32))
    fault = proposals_fault(item)
    if fault is not None:
        raise ValueError(fault)
    return item


def _whole(numbers: Any, what: str) -> NDArray[np.int64]:
    """Numbers of superpixels; MATLAB's are doubles unless told otherwise."""
    given = np.asarray(numbers)
    if given.dtype.kind in "biu":
        return given.astype(np.int64)
    if given.dtype.kind != "f" or not (np.isfinite(given) & (given == np.floor(given))).all():
        raise ValueError(f"{what}: not all of it are whole numbers")
    return given.astype(np.int64)


ROLE = "mcg"  # of a folder of such files in a lineage
LARGEST = float(np.finfo(np.float32).max)  # score


@dataclass(frozen=True)
class CocoProposals:
    """A JSON list of RLE masks.

    Attributes:
        path: the file.
        entries: image id as text -> its entries, in the file's order.
    """

    path: Path
    entries: dict[str, list[dict[str, Any]]]

    def size(self, name: str) -> tuple[int, int]:
        """(H, W) that an image's masks say they have; none is decoded for it, however large.

        Raises:
            WssError: a mask does not say, or they differ.
        """
        sizes = []
        for k, entry in enumerate(self.entries[name]):
            try:
                if not isinstance(entry["segmentation"], dict):
                    raise TypeError("no object")
                height, width = entry["segmentation"]["size"]
                sizes.append((int(height), int(width)))
            except _BROKEN as error:
                raise self._no_mask(name, k, error) from error
        if len(set(sizes)) > 1:
            raise WssError(f"{self.path}: masks of image '{name}' differ in size: {sorted(set(sizes))[:2]}")
        return sizes[0]

    def read(self, name: str) -> tuple[ProposalSet | None, int]:
        """The proposals of an image by their `score`, and how many masks without a pixel were left out.

        Returns:
            None in place of a set that would be empty.

        Raises:
            WssError: a mask cannot be decoded, masks of one image differ in size, or a score is no finite number.
        """
        self.size(name)
        count = len(self.entries[name])
        filled = [k for k in range(count) if self.mask(name, k).any()]
        if not filled:
            return None, count
        some = _Masks(self, name, filled)
        return ProposalSet.of_masks(some, [self._score(name, k) for k in filled]), count - len(filled)

    def mask(self, name: str, k: int) -> NDArray[np.bool_]:
        """bool (H, W): an image's mask number k, from 0.

        Raises:
            WssError: it cannot be decoded.
        """
        try:
            return decode_rle(self.entries[name][k]["segmentation"])
        except _BROKEN as error:
            raise self._no_mask(name, k, error) from error

    def _no_mask(self, name: str, k: int, error: Exception) -> WssError:
        return WssError(
            f"{self.path}: mask {k + 1} of image '{name}' is no RLE mask "
            f'({error}); need {{"size": [H, W], "counts": ...}}'
        )

    def _score(self, name: str, k: int) -> float:
        given = self.entries[name][k].get("score", -k)
        try:
            score = float(given)
        except (TypeError, ValueError, OverflowError):
            score = float("nan")
        if not abs(score) <= LARGEST:
            raise WssError(
                f"{self.path}: the score {given!r} of mask {k + 1} of image '{name}' is no finite number; mend it, or "
                "leave out all scores to keep the order of the file"
            )
        return score


_BROKEN = (KeyError, TypeError, ValueError, OverflowError)


class _Masks(Sequence[NDArray[np.bool_]]):
    """Some of an image's masks, decoded when they are asked for."""

    def __init__(self, owner: CocoProposals, name: str, chosen: Sequence[int]):
        self._owner, self._name, self._chosen = owner, name, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        return self._owner.mask(self._name, self._chosen[index])


def read_coco_proposals(path: Path) -> CocoProposals:
    """The list of a JSON file, by image; masks are decoded later.

    Raises:
        WssError: not readable, or no list of objects with `image_id` and `segmentation`.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WssError(f"{path}: not readable as JSON ({error})") from error
    form = '[{"image_id": ..., "segmentation": {"size": [H, W], "counts": ...}, "score": ...}, ...]'
    if not isinstance(plain, list) or not plain:
        raise WssError(f"{path}: no list of proposals; need {form}")
    entries: dict[str, list[dict[str, Any]]] = {}
    for k, entry in enumerate(plain):
        if not isinstance(entry, dict) or not {"image_id", "segmentation"} <= entry.keys():
            raise WssError(f"{path}: entry {k + 1} has no image_id or no segmentation; need {form}")
        entries.setdefault(str(entry["image_id"]), []).append(entry)
    return CocoProposals(path, entries)
