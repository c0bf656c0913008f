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
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError, MatReadError, zlib.error) as error:
        raise WssError(f"{path}: not readable as a MATLAB file ({str(error).splitlines()[0]}); get it again") from error
    for entry in ("superpixels", "labels"):
        if entry not in found:
            raise WssError(f"{path}: no entry '{entry}'; MCG's files hold superpixels and labels")
    try:
        return _of_mat(found)
    except (ValueError, TypeError, IndexError) as error:
        raise WssError(f"{path}: not proposals as MCG writes them: {error}") from error


def _of_mat(found: dict[str, Any]) -> ProposalSet:
    superpixels = np.asarray(found["superpixels"]).astype(np.int64)
    values, cells = np.unique(superpixels, return_inverse=True)  # MATLAB counts from 1, and may leave numbers out
    lists = []
    for k, entry in enumerate(np.asarray(found["labels"], object).ravel()):
        members = np.unique(np.asarray(entry).astype(np.int64))
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


ROLE = "mcg"  # of a folder of such files in a lineage


@dataclass(frozen=True)
class CocoProposals:
    """A JSON list of RLE masks.

    Attributes:
        path: the file.
        entries: image id as text -> its entries, in the file's order.
    """

    path: Path
    entries: dict[str, list[dict[str, Any]]]

    def read(self, name: str) -> tuple[ProposalSet | None, int]:
        """The proposals of an image by their `score`, and how many masks without a pixel were left out.

        Returns:
            None in place of a set that would be empty.

        Raises:
            WssError: a mask cannot be decoded, or masks of one image differ in size.
        """
        entries = self.entries[name]
        masks = _Masks(self, name, entries)
        filled = [k for k in range(len(entries)) if masks[k].any()]
        sizes = {tuple(entries[k]["segmentation"]["size"]) for k in filled}
        if len(sizes) > 1:
            raise WssError(f"{self.path}: masks of image '{name}' differ in size: {sorted(sizes)[:2]}")
        if not filled:
            return None, len(entries)
        scores = [float(entries[k].get("score", -k)) for k in filled]
        some = _Masks(self, name, [entries[k] for k in filled])
        return ProposalSet.of_masks(some, scores), len(entries) - len(filled)


class _Masks(Sequence[NDArray[np.bool_]]):
    """Masks that are decoded when they are asked for."""

    def __init__(self, owner: CocoProposals, name: str, entries: Sequence[dict[str, Any]]):
        self._owner, self._name, self._entries = owner, name, entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        segmentation = self._entries[index]["segmentation"]
        try:
            return decode_rle(segmentation)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise WssError(
                f"{self._owner.path}: mask {index + 1} of image '{self._name}' is no RLE mask "
                f'({error}); need {{"size": [H, W], "counts": ...}}'
            ) from error


def read_coco_proposals(path: Path) -> CocoProposals:
    """The list of a JSON file, by image; masks are decoded later.

    Raises:
        WssError: not readable, or no list of objects with `image_id` and `segmentation`.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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
