"""`train-seg --loss soft`: score maps of a directory as what a net is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsscli.errors import WssError
from wsscli.steps._sources import check_score_rows, check_size

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir

KINDS = ("soft-label", "probability")


def check_soft(folder: MaskDir) -> None:
    """Raises WssError when a directory's scores are no shares of classes."""
    kind = folder.manifest.score_type if folder.manifest else None
    if kind not in KINDS:
        raise WssError(
            f"{folder.path}: holds {kind} scores, but --loss soft learns from soft labels or probabilities; take those "
            "of `wss make-seeds --method hypotheses`, `wss predict --scores` or `wss crf --scores`"
        )


def require_shares(folder: MaskDir, ids: list[str]) -> None:
    """Raises WssError when no map has anything above 0."""
    if not any((folder.scores(name).scores > 0).any() for name in ids):  # ends at the first share
        raise WssError(f"{folder.path}: all scores of its {len(ids)} images are 0; nothing to learn from")


def soft_reader(
    folder: MaskDir, dataset: Dataset, classes: ClassTable
) -> Callable[[str], tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """What reads an image's maps, float32 (k,h,w) >= 0, and their class ids.

    Raises (when called) WssError where they do not fit the class table or the photo.
    """

    def read(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        item, path = folder.scores(name), folder.scores_path(name)
        check_score_rows(item, path, classes)
        check_size(item.size, path, dataset.size(name), dataset.image_path(name))
        return item.scores.clip(0), item.classes

    return read
