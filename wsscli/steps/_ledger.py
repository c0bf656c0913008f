"""The ledger: what supervision went into a directory, anywhere in its lineage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import UsageError

if TYPE_CHECKING:
    from wsscli.maskdir.maskdir import MaskDir

_LEDGER = re.compile(r"none|image-labels|boxes|unlabelled-images|(masks|external-model|tuned-on-masks):.+")


def inherit(*manifests: Any, add: Iterable[str] = ()) -> list[str]:
    """The ledger of a step: the union of its inputs' and its own.

    Args:
        manifests: manifests of the inputs; None (a plain folder) counts as `external-model:unknown`.
        add: what this step itself uses.
    """
    ledger = set(add)
    for manifest in manifests:
        ledger |= set(manifest.supervision) if manifest is not None else {"external-model:unknown"}
    return sorted(ledger)


def of_masks(masks: MaskDir, root: Path, images: int) -> list[str]:
    """What supervision masks stand for; a plain folder within the data set holds its true masks.

    Args:
        masks: the directory.
        root: of the data set.
        images: how many of its masks are learnt from.
    """
    if masks.manifest is None and masks.path.resolve().is_relative_to(root.resolve()):
        return [f"masks:{images}"]
    return inherit(masks.manifest)


def ledger_entries(option: str, given: Sequence[str]) -> tuple[str, ...]:
    """What a user says of the supervision of files from elsewhere, as ledger entries; `none` says there was none.

    Args:
        option: for the message.
        given: the words.

    Raises:
        UsageError: a word that no ledger knows.
    """
    for entry in given:
        if not _LEDGER.fullmatch(entry):
            raise UsageError(
                f"{option} {entry}: give none, external-model:NAME, masks:N, boxes, image-labels, unlabelled-images "
                "or tuned-on-masks:SPLIT"
            )
    return tuple(entry for entry in given if entry != "none")
