"""Learning from a few masks of every class: `--masks-per-class`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wsscli.errors import UsageError

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset

log = logging.getLogger("wsscli")


def draw(masks_per_class: str, dataset: Dataset, ids: list[str], seed: int) -> list[str]:
    """The images whose masks are learnt from.

    Args:
        masks_per_class: a number, or `all`.
        dataset: whose image-level labels say what an image shows.
        ids: the images there are.
        seed: of the draw.

    Returns:
        The images, sorted.

    Raises:
        UsageError: neither a number from 1 on nor `all`.
        WssError: an image without labels.
    """
    from wsscli.data.dataset import require_labels
    from wsscli.data.few import few_per_class

    if masks_per_class == "all":
        return ids
    if not masks_per_class.isdecimal() or int(masks_per_class) < 1:
        raise UsageError(f"--masks-per-class {masks_per_class}: give a number from 1 on, or all")
    drawn = few_per_class(require_labels(dataset, ids), int(masks_per_class), seed)
    log.info("--masks-per-class %s: %d of %d images drawn", masks_per_class, len(drawn), len(ids))
    return drawn


def recounted(ledger: Iterable[str], masks_per_class: str, drawn: int) -> list[str]:
    """The ledger when only some masks were learnt from: `masks:N` holds their number.

    Args:
        ledger: of the masks' directory.
        masks_per_class: as the option says.
        drawn: how many masks are learnt from.
    """
    if masks_per_class == "all":
        return list(ledger)
    return [f"masks:{drawn}" if entry.startswith("masks:") else entry for entry in ledger]
