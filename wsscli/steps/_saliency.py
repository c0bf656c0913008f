"""Where a step gets its saliency from: computed, another tool's grey pictures, or a directory of `wss saliency`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import UsageError, WssError
from wsscli.steps._ledger import ledger_entries

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.maskdir import MaskDir

    Photo = npt.NDArray[np.uint8]
    Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SaliencySource:
    """Saliency of an image's pixels.

    Attributes:
        name: what the manifest's options say of it.
        of: (id, photo) -> float32 (H, W), each map's maximum 1 (or 0 where nothing is salient).
        inputs: the directory read, for the lineage.
        supervision: what it adds to the ledger.
    """

    name: str
    of: Callable[[str, Photo], Map]
    inputs: tuple[Input, ...] = ()
    supervision: tuple[str, ...] = ()


def saliency_source(path: Path | None, supervision: str | None, ids: Sequence[str]) -> SaliencySource:
    """The source that `--saliency` and `--saliency-supervision` name, checked to have a map of every image.

    Args:
        path: a directory of `wss saliency`, or a folder of grey PNGs `<id>.png`; None computes RBD.
        supervision: the ledger entry of a folder of PNGs; None is `external-model:` and the folder's name.
        ids: the images.

    Raises:
        UsageError: `supervision` is no ledger entry, or is given where it is known already.
        WssError: the directory cannot be read, holds something else, or lacks images.
    """
    named = ledger_entries("--saliency-supervision", [supervision] if supervision is not None else [])
    if path is None:
        if supervision is not None:
            raise UsageError("--saliency-supervision is about the pictures of --saliency; give both, or neither")
        return SaliencySource("rbd", _computed)
    from wsscli.maskdir.maskdir import open_maskdir

    opened = open_maskdir(path)
    missing = sorted(set(ids) - set(opened.ids))
    if missing:
        raise WssError(
            f"{path}: no saliency map for {len(missing)} of {len(ids)} images, the first is '{missing[0]}'; make them "
            "with `wss saliency`, or leave the images out with --ids"
        )
    inputs = (opened.as_input("saliency"),)
    if opened.manifest is None:
        found = (f"external-model:{path.resolve().name}",) if supervision is None else named
        return SaliencySource("pictures", lambda name, photo: _picture(opened, name, photo), inputs, found)
    if opened.manifest.score_type != "saliency":
        kind = opened.manifest.score_type or opened.manifest.kind
        raise WssError(f"{path}: holds {kind} (written by `wss {opened.manifest.step}`), not saliency")
    if supervision is not None:
        raise UsageError(f"--saliency-supervision {supervision}: the manifest of {path} says it already; leave it out")
    return SaliencySource(
        "scores", lambda name, photo: _scores(opened, name, photo), inputs, opened.manifest.supervision
    )


def _computed(name: str, photo: Photo) -> Map:
    from wsscli.saliency.rbd import saliency

    del name
    return saliency(photo)


def _picture(opened: MaskDir, name: str, photo: Photo) -> Map:
    import numpy as np

    from wsscli.data.images import read_image

    path = opened.mask_path(name)
    pixels = read_image(path)
    if (pixels != pixels[..., :1]).any():
        raise WssError(f"{path}: a colour picture, but saliency is grey (black = 0, white = 1)")
    _check_size(path, pixels, photo)
    grey = pixels[..., 0].astype(np.float32)
    return np.asarray(grey / max(np.float32(1), grey.max()), dtype=np.float32)


def _scores(opened: MaskDir, name: str, photo: Photo) -> Map:
    scores = opened.scores(name)
    full: Map = scores.full()[0]
    _check_size(opened.scores_path(name), full, photo)
    return full


def _check_size(path: Path, found: npt.NDArray[np.generic], photo: Photo) -> None:
    if found.shape[:2] != photo.shape[:2]:
        raise WssError(
            f"{path}: {found.shape[1]} x {found.shape[0]} pixels, but the photo has {photo.shape[1]} x "
            f"{photo.shape[0]}; make the saliency from the photo itself"
        )
