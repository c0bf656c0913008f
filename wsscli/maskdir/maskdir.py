"""Reading mask directories, and plain folders of indexed PNGs in their place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.maskdir.manifest import Input, Manifest, file_digest, ids_digest, read_manifest
from wsscli.maskdir.png import Mask, read_mask
from wsscli.maskdir.proposals import ProposalSet, read_proposals
from wsscli.maskdir.scores import Scores, read_scores
from wsscli.maskdir.shards import how_to_complete


@dataclass(frozen=True)
class MaskDir:
    """A directory of masks and/or scores, or of proposals, open for reading.

    Attributes:
        path: the directory.
        manifest: None for a plain folder of PNGs.
    """

    path: Path
    manifest: Manifest | None

    @property
    def has_masks(self) -> bool:
        return self.manifest is None or "masks" in self.manifest.kind

    @property
    def has_scores(self) -> bool:
        return self.manifest is not None and "scores" in self.manifest.kind

    @property
    def has_proposals(self) -> bool:
        return self.manifest is not None and self.manifest.kind == "proposals"

    @property
    def classes(self) -> ClassTable | None:
        return self.manifest.classes if self.manifest else None

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all images that have a file here, sorted.

        Raises:
            WssError: there are fewer than the manifest says: files were taken away.
        """
        if self.manifest is None:
            return sorted(ids_under(self.path, ".png"))
        folder, suffix = ("masks", ".png") if self.has_masks else ("scores", ".npz")
        folder = "proposals" if self.has_proposals else folder
        found = sorted(ids_under(self.path / folder, suffix))
        written = self.manifest.images - len(self.manifest.dropped)
        if len(found) < written:
            raise WssError(
                f"{self.path}: its manifest speaks of {written} images, but {len(found)} are in {folder}/; put the "
                "others back (`wss verify` names them), or make it again with --overwrite"
            )
        return found

    def mask_path(self, name: str) -> Path:
        return (self.path if self.manifest is None else self.path / "masks") / f"{name}.png"

    def scores_path(self, name: str) -> Path:
        return self.path / "scores" / f"{name}.npz"

    def proposals_path(self, name: str) -> Path:
        return self.path / "proposals" / f"{name}.npz"

    def mask(self, name: str) -> Mask:
        """uint8 (H, W) of one image."""
        return read_mask(self.mask_path(name))

    def scores(self, name: str) -> Scores:
        """The score maps of one image."""
        return read_scores(self.scores_path(name))

    def proposals(self, name: str) -> ProposalSet:
        """The ranked region proposals of one image."""
        return read_proposals(self.proposals_path(name))

    def as_input(self, role: str) -> Input:
        """This directory as an entry of another one's lineage.

        A plain folder has no digest of its content: its id list and file sizes stand in for it.
        """
        if self.manifest is not None:
            return Input(role, str(self.path.resolve()), self.manifest.digest())
        return Input(role, str(self.path.resolve()), folder_digest(self.path, ".png"))


def open_maskdir(
    path: Path | str, *, need: Literal["masks", "scores", "proposals", "any", "anything"] = "any"
) -> MaskDir:
    """Open a directory for reading.

    Args:
        path: a directory written by wss, or any folder of indexed PNGs.
        need: what the caller will read; any = masks or scores, anything = these or proposals.

    Raises:
        WssError: missing, incomplete, of another kind, or without what is needed.
    """
    root = Path(path)
    if not root.exists():
        raise WssError(f"{root}: no such directory")
    if not root.is_dir():
        raise WssError(f"{root}: a file, but a mask directory is needed")
    manifest = read_manifest(root)
    if manifest is None:
        return _open_plain(root, need)
    if manifest.kind == "rounds":
        last = root / f"round-{manifest.options.get('rounds')}"
        raise WssError(f"{root}: holds several rounds of `wss {manifest.step}`; name one of them, such as {last}")
    if need == "proposals" and manifest.kind != "proposals":
        raise WssError(
            f"{root}: holds {manifest.kind} (written by `wss {manifest.step}`), but proposals are needed; make them "
            "with `wss propose`"
        )
    kinds = {"masks", "scores"} | ({"proposals"} if need in ("proposals", "anything") else set())
    if not kinds & set(manifest.kind.split("+")):
        holds = "a model" if manifest.kind == "model" else manifest.kind
        raise WssError(f"{root}: holds {holds} (written by `wss {manifest.step}`), but a mask directory is needed")
    if not manifest.complete:
        raise WssError(f"{root}: {how_to_complete(root, manifest.step)}")
    opened = MaskDir(root, manifest)
    if need == "masks" and not opened.has_masks:
        make = f"`wss argmax {root} -o OUT` or `wss crf`"
        if manifest.score_type == "saliency":  # scores of no class, which argmax and crf refuse
            make = f"`wss make-seeds --method foreground --label-count none --foreground {root} -o OUT`"
        raise WssError(f"{root}: holds {manifest.score_type} scores but no masks; make them with {make}")
    if need == "scores" and not opened.has_scores:
        raise WssError(
            f"{root}: holds masks but no scores; name a directory that has them (`wss predict --scores`, "
            "`wss crf --scores`)"
        )
    return opened


def _open_plain(root: Path, need: str) -> MaskDir:
    if need == "proposals":
        raise WssError(
            f"{root}: no wss.json here, so no proposals; make them with `wss propose`, or `wss import proposals`"
        )
    if need == "scores":
        raise WssError(f"{root}: no wss.json here, and scores are read from directories written by wss only")
    opened = MaskDir(root, None)
    if next(ids_under(root, ".png"), None) is None:
        raise WssError(
            f"{root}: neither a wss.json nor any PNG here; give a mask directory or a folder of indexed PNGs"
        )
    return opened


def ids_under(root: Path, suffix: str) -> Iterator[str]:
    if not root.is_dir():
        return
    prefix = len(str(root)) + 1
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.endswith(suffix) and not name.startswith("."):
                yield f"{folder}/{name}"[prefix : -len(suffix)].replace(os.sep, "/")


def folder_digest(root: Path, suffix: str) -> str:
    """What stands in for the digest of a plain folder's content: its ids and the sizes of their files."""
    return ids_digest(f"{name} {(root / f'{name}{suffix}').stat().st_size}" for name in ids_under(root, suffix))


def input_file(role: str, path: Path) -> Input:
    """A single file as an entry of the lineage."""
    return Input(role, str(path.resolve()), file_digest(path))
