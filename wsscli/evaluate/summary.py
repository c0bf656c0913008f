"""From the confusion matrix to the numbers of a table: IoU, accuracies, and the quality of seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsscli.evaluate.confusion import Unlabelled, counts, iou, mean, ratio


@dataclass(frozen=True)
class Summary:
    """The numbers of one set of masks. Ratios in [0, 1]; NaN where there was nothing to judge.

    IoU and accuracies follow the rule for unlabelled predictions. Precision, recall and coverage do not: they
    judge seeds, where staying silent is the point, so precision counts labelled pixels only and an unlabelled
    pixel always lowers recall.
    """

    classes: list[int]
    """Ids of the classes that the means run over (those absent from truth and prediction drop out)."""
    miou: float
    pixel_accuracy: float
    mean_accuracy: float
    mean_precision: float
    mean_recall: float
    coverage: float
    """Labelled pixels / pixels with truth."""
    foreground_precision: float
    """Pixels of all foreground classes pooled: right / predicted foreground."""
    foreground_recall: float
    foreground_coverage: float
    """Predicted foreground pixels / pixels with truth."""
    background_precision: float
    iou: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    pixels: int
    unlabelled_pixels: int


def summarise(
    matrix: NDArray[np.int64], *, unlabelled: Unlabelled = "miss", classes: list[int] | None = None
) -> Summary:
    """Every number of the table from one confusion matrix.

    Args:
        matrix: (n, n + 1) int64 of the whole set, not a mean over images.
        unlabelled: what an unlabelled prediction counts as in IoU and accuracies.
        classes: ids that the means (mIoU, mean accuracy, precision, recall) run over; all by default. The
            matrix, and so every class's own number and the pooled ones, stays that of all classes.
    """
    n = matrix.shape[0]
    raw, ruled = counts(matrix), counts(matrix, unlabelled)
    per_class = iou(ruled)
    accuracy = ratio(ruled.hit, ruled.truth)
    precision, recall = ratio(raw.hit, raw.predicted), ratio(raw.hit, raw.truth)
    chosen = list(range(n)) if classes is None else classes
    pixels, bare = int(matrix.sum()), int(matrix[:, n].sum())

    def pooled(part: NDArray[np.int64], whole: NDArray[np.int64]) -> float:
        return float(ratio(part[1:].sum(keepdims=True), whole[1:].sum(keepdims=True))[0])

    def share(part: int, whole: int) -> float:
        return part / whole if whole else float("nan")

    return Summary(
        classes=[c for c in chosen if not np.isnan(per_class[c])],
        miou=mean(per_class, chosen),
        pixel_accuracy=share(int(ruled.hit.sum()), int(ruled.truth.sum())),
        mean_accuracy=mean(accuracy, chosen),
        mean_precision=mean(precision, chosen),
        mean_recall=mean(recall, chosen),
        coverage=share(pixels - bare, pixels),
        foreground_precision=pooled(raw.hit, raw.predicted),
        foreground_recall=pooled(raw.hit, raw.truth),
        foreground_coverage=share(int(raw.predicted[1:].sum()), pixels),
        background_precision=float(precision[0]),
        iou=per_class,
        accuracy=accuracy,
        precision=precision,
        recall=recall,
        pixels=pixels,
        unlabelled_pixels=bare,
    )
