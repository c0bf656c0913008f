"""How good the supervision of a training is, counted while it is used."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wsscli.evaluate.summary import summarise


class SupervisionMeter:
    """Confusion matrices of seeds and of supervision against true masks, summed over the steps of an epoch.

    It looks and does not touch: a training with it ends with the same bytes as one without.

    Args:
        classes: number of classes with the background.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._counts = torch.zeros(2, (classes + 1) ** 2, dtype=torch.int64)

    def add(self, seeds: torch.Tensor, supervision: torch.Tensor, truth: torch.Tensor) -> None:
        """Count a batch: three uint8 (N,h,w) of class ids; 255 in the truth is left out. Does not wait for a GPU."""
        n = self.classes
        if self._counts.device != truth.device:
            self._counts = self._counts.to(truth.device)
        rows = truth.long().clamp(max=n).flatten()  # 255 -> n, a row that is dropped
        for counts, mask in zip(self._counts, (seeds, supervision), strict=True):
            pairs = rows * (n + 1) + mask.long().clamp(max=n).flatten()
            counts += torch.bincount(pairs, minlength=(n + 1) ** 2)

    def end_epoch(self) -> dict[str, Any]:
        """The epoch's numbers for the log; counting starts again.

        Returns:
            `supervision`: precision, recall, iou (means over classes that the truth or the mask holds), coverage
            (None where there is nothing to judge), and `confusion`, rows = truth, last column = unlabelled; `seeds`:
            the same of the seeds under the same crops and mirrorings. See `evaluate.summary` for what they are.
        """
        seeds, supervision = self._matrices()
        self._counts.zero_()
        return {"supervision": _numbers(supervision), "seeds": _numbers(seeds)}

    def state(self) -> list[int]:
        """What a checkpoint keeps."""
        return [int(count) for count in self._counts.flatten().cpu()]

    def restore(self, state: list[int]) -> None:
        """Take up what `state` gave; an empty list is the start."""
        if state:
            self._counts = torch.tensor(state, dtype=torch.int64).reshape(2, -1)

    def _matrices(self) -> NDArray[np.int64]:
        n = self.classes
        return self._counts.cpu().numpy().reshape(2, n + 1, n + 1)[:, :n].copy()


def _numbers(matrix: NDArray[np.int64]) -> dict[str, Any]:
    found = summarise(matrix)
    numbers = {
        "precision": found.mean_precision,
        "recall": found.mean_recall,
        "iou": found.miou,
        "coverage": found.coverage,
    }
    # JSON has no NaN: None where there was nothing to judge
    rounded = {name: None if value != value else round(value, 6) for name, value in numbers.items()}
    return rounded | {"confusion": matrix.tolist()}
