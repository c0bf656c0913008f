"""`wss verify`: is a directory what its manifest says?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import PartialError, UsageError, WssError
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._run import Run, failed_in

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Input, Manifest
    from wsscli.maskdir.maskdir import MaskDir

log = logging.getLogger("wsscli")


def verify(
    source: Path,
    *,
    finish: bool = False,
    photos: bool = True,
    most: int = 20,
    workers: int = 0,
    data: Data = Data(),
) -> Path:
    """Check a directory: manifest, completeness, ids, sizes, values, palettes, scores, digests, left-over files.

    Args:
        source: A directory that wss wrote (masks, scores, proposals, detections, CAM files or a model), or a plain
            folder of indexed PNGs.
        finish: First complete a directory that a step has filled with --shard, when all its images are there.
        photos: Compare ids and sizes with the data set's photos.
        most: Print at most so many problems; all are counted.
        workers: Images at a time, 0 = one a core.
        data: The data set; from the manifest by default.

    Returns:
        `source`, when nothing is wrong.

    Raises:
        UsageError: `most` below 1.
        PartialError: nothing is wrong, but images of the directory that `finish` has completed had failed.
        WssError: something is wrong; each problem is logged, the message counts them. Or `finish` finds images
            missing, or a process still at work.
    """
    from wsscli.maskdir.shard_writer import finish as complete

    if most < 1:
        raise UsageError(f"--most {most}: give 1 or more")
    if finish:
        made = complete(source)
        log.info("%s: complete, %d images", source, made.images)
    found = problems(source, photos=photos, workers=workers, data=data)
    count = 0
    for problem in found:
        count += 1
        if count <= most:
            log.error("%s", problem)
    if count > most:
        log.error("... and %d more problems (--most N prints more)", count - most)
    if count:
        noun = "problem" if count == 1 else "problems"
        advice = "write it again with --overwrite, or mend the files named above"
        raise WssError(f"{source}: {count} {noun}; {'do as said above' if _begun(source) else advice}")
    failed = failed_in(source) if finish else []
    if failed:
        raise PartialError(
            f"{source}: {len(failed)} of {made.images} images failed and are listed as dropped in its wss.json", source
        )
    return source


def _begun(source: Path) -> bool:
    """Whether a directory waits for its step to end."""
    from wsscli.maskdir.manifest import read_manifest

    with suppress(WssError):
        manifest = read_manifest(source)
        return manifest is not None and not manifest.complete
    return False


def problems(source: Path, *, photos: bool = True, workers: int = 0, data: Data = Data()) -> Iterator[str]:
    """Everything that is wrong with a directory, a sentence each, naming the file.

    Args:
        source: the directory.
        photos: compare ids and sizes with the data set's photos.
        workers: images at a time, 0 = one a core.
        data: the data set; from the manifest by default.

    Raises:
        WssError: no such directory, or one that is neither wss's nor holds PNGs.
    """
    from wsscli.maskdir.manifest import NAME, read_manifest
    from wsscli.maskdir.shards import by_shards, unfinished

    if not source.is_dir():
        raise WssError(f"{source}: no such directory")
    try:
        manifest = read_manifest(source)
    except WssError as error:
        yield str(error)
        return
    if manifest is None:
        log.info("%s: no %s, a plain folder of PNGs: only its masks are checked", source, NAME)
    elif not manifest.complete:
        if by_shards(source):
            yield f"{source}: incomplete, {unfinished(source)}; when all shards are done, add --finish"
        else:
            yield f"{source}: incomplete (`wss {manifest.step}` was stopped before its end); run that command again"
        return
    else:
        yield from _manifest_problems(source, manifest)
        if manifest.kind == "model":
            yield from _model_problems(source, manifest)
            return
        yield from _part_problems(source, manifest, photos=photos, workers=workers, data=data)
        if manifest.kind == "rounds":
            return
    yield from _Check(source, manifest, Run(workers=workers).threads).problems(data, photos)


def _manifest_problems(source: Path, manifest: Manifest) -> Iterator[str]:
    from wsscli.maskdir.manifest import KINDS, NAME, SCORE_TYPES

    path = source / NAME
    if manifest.kind not in KINDS:
        yield f"{path}: kind '{manifest.kind}' is none of {', '.join(KINDS)}"
    if "scores" in manifest.kind and manifest.score_type not in SCORE_TYPES:
        yield f"{path}: score type '{manifest.score_type}' is none of {', '.join(SCORE_TYPES)}"
    for item in manifest.inputs:
        yield from _input_problem(path, item)


def _input_problem(path: Path, item: Input) -> Iterator[str]:
    """An input that is gone is no fault of this directory; one that has changed is."""
    from wsscli.data import cam_folder, mcg
    from wsscli.maskdir.manifest import file_digest, read_manifest
    from wsscli.maskdir.maskdir import folder_digest, open_maskdir

    where = Path(item.path)
    if not where.exists():
        log.info("%s: the input '%s' is no longer at %s; its digest is not compared", path, item.role, where)
        return
    try:
        if where.is_file():
            digest = file_digest(where)
        elif manifest := read_manifest(where):
            digest = manifest.digest()
        elif item.role == cam_folder.KIND:
            digest = cam_folder.open_cam_folder(where).as_input().digest
        elif item.role == mcg.ROLE:
            digest = folder_digest(where, ".mat")
        else:
            digest = open_maskdir(where).as_input(item.role).digest
    except WssError as error:
        yield f"{path}: the input '{item.role}' cannot be compared: {error}"
        return
    if digest != item.digest:
        yield (
            f"{path}: the input '{item.role}' at {where} has changed since (digest {digest[7:19]}, was "
            f"{item.digest[7:19]})"
        )


def _part_problems(source: Path, manifest: Manifest, *, photos: bool, workers: int, data: Data) -> Iterator[str]:
    """The directories within one of `refine-round`; those of a round may be taken away, rounds of several may not."""
    from wsscli.maskdir.writer import parts_of

    parts = parts_of(source, manifest)
    if manifest.kind == "rounds":
        wanted = [f"round-{k}" for k in range(1, manifest.options.get("rounds", 0) + 1)]
        yield from (f"{source / name}: missing" for name in wanted if name not in parts)
    for name in parts:
        yield from problems(source / name, photos=photos, workers=workers, data=data)


def _model_problems(source: Path, manifest: Manifest) -> Iterator[str]:
    from wsscli.maskdir.manifest import content_digest, file_digest

    weights = source / "model.safetensors"
    if not weights.exists():
        yield f"{weights}: missing"
    elif manifest.content != content_digest({weights.name: file_digest(weights).removeprefix("sha256:")}):
        yield f"{weights}: not the file that `wss {manifest.step}` wrote (its digest differs)"


@dataclass
class _Check:
    """The result files of a directory against its manifest and the photos."""

    root: Path
    manifest: Manifest | None
    threads: int
    digests: dict[str, str] = field(default_factory=dict)

    def problems(self, data: Data, photos: bool) -> Iterator[str]:
        from wsscli.data.cam_folder import KIND, SUFFIX
        from wsscli.maskdir.maskdir import MaskDir, ids_under

        opened = MaskDir(self.root, self.manifest)
        kinds = [("masks", ".png")] if opened.has_masks else []
        kinds += [("scores", ".npz")] if opened.has_scores else []
        kinds += [("proposals", ".npz")] if opened.has_proposals else []
        kinds += [(KIND, SUFFIX)] if self.manifest is not None and self.manifest.kind == KIND else []
        if self.manifest is None:
            files = {"masks": sorted(ids_under(self.root, ".png"))}
            if not files["masks"]:
                raise WssError(f"{self.root}: neither a wss.json nor any PNG here; name a mask directory")
        else:
            files = {kind: sorted(ids_under(self.root / kind, suffix)) for kind, suffix in kinds}
        ids = sorted(set().union(*files.values()))
        if self.manifest is not None and "detections" in self.manifest.kind:
            yield from self._detection_problems(self.manifest)
        for kind, there in files.items():
            for name in sorted(set(ids) - set(there)):
                yield f"{self.root / kind}: nothing for '{name}', which the other folder has"
        if self.manifest is not None and (kinds or "detections" not in self.manifest.kind):
            yield from self._id_problems(self.manifest, ids)
        dataset, fault = self._dataset(data) if photos else (None, None)
        if fault is not None:
            yield fault
        known = frozenset(dataset.ids) if dataset is not None else None
        yield from self._file_problems(opened, ids, files, dataset, known)
        if self.manifest is not None:
            yield from self._whole_problems(self.manifest)

    def _detection_problems(self, manifest: Manifest) -> Iterator[str]:
        """The files of what was found; an image in which nothing was found is in none of them."""
        from wsscli.maskdir.detections import BOXES, INSTANCES, read_boxes
        from wsscli.maskdir.manifest import file_digest

        for name in (BOXES, INSTANCES):
            path = self.root / name
            if path.exists():
                self.digests[name] = file_digest(path).removeprefix("sha256:")
        if BOXES not in self.digests:
            yield f"{self.root / BOXES}: missing"
            return
        try:
            read_boxes(self.root / BOXES, len(manifest.classes) if manifest.classes else None)
        except WssError as error:
            yield str(error)

    def _id_problems(self, manifest: Manifest, ids: list[str]) -> Iterator[str]:
        from wsscli.maskdir.manifest import NAME, ids_digest

        path = self.root / NAME
        dropped = {entry["id"] for entry in manifest.dropped}
        for name in sorted(dropped & set(ids)):
            yield f"{path}: lists '{name}' as dropped, but its file is there"
        everything = dropped | set(ids)
        if len(everything) != manifest.images:
            yield f"{path}: speaks of {manifest.images} images, but {len(ids)} are there and {len(dropped)} are dropped"
        elif ids_digest(everything) != manifest.ids_digest:
            yield f"{path}: the ids here are not the {manifest.images} that it was written for (their digest differs)"

    def _dataset(self, data: Data) -> tuple[Dataset | None, str | None]:
        if data.data is None and (self.manifest is None or self.manifest.data is None):
            log.info("%s: no data set is known, sizes are not compared; name it with --data", self.root)
            return None, None
        try:
            return dataset_for(data, self.manifest), None
        except WssError as error:
            hint = "name it with --data, or leave the photos out with --no-photos"
            return None, f"{self.root}: cannot be compared with its data set: {error}; {hint}"

    def _file_problems(
        self, opened: MaskDir, ids: list[str], files: dict[str, list[str]], dataset: Dataset | None,
        known: frozenset[str] | None,
    ) -> Iterator[str]:  # fmt: skip
        from joblib import Parallel, delayed

        from wsscli.progress import track

        there = {kind: frozenset(names) for kind, names in files.items()}
        # A plain folder may cover several splits: what the split lacks is passed over, not a fault.
        if self.manifest is None and known is not None:
            ids = [name for name in ids if name in known]
            if not ids:
                yield f"{self.root}: holds no mask of an image of the data set; name the right --data and --split"
        table = opened.classes or (dataset.classes if dataset is not None else None)
        n_classes = len(table) if table is not None else None

        def check(name: str) -> tuple[list[str], dict[str, str]]:
            return self._one(opened, name, there, dataset, known, n_classes)

        parallel = Parallel(
            n_jobs=min(self.threads, max(1, len(ids))), backend="threading", return_as="generator",
            pre_dispatch="2*n_jobs",
        )  # fmt: skip
        with track(len(ids), "verify") as progress:
            for found, digests in parallel(delayed(check)(name) for name in ids):
                yield from found
                self.digests |= digests
                progress.advance()

    def _one(
        self, opened: MaskDir, name: str, there: dict[str, frozenset[str]], dataset: Dataset | None,
        known: frozenset[str] | None, n_classes: int | None,
    ) -> tuple[list[str], dict[str, str]]:  # fmt: skip
        from wsscli.data.cam_folder import cams_faults
        from wsscli.maskdir.check import mask_faults, proposals_faults, scores_faults
        from wsscli.maskdir.manifest import file_digest

        found: list[str] = []
        digests: dict[str, str] = {}
        size = None
        if dataset is not None and known is not None:
            if name not in known:
                found.append(f"{self.root}: '{name}' is no image of split {dataset.split} of {dataset.root}")
            else:
                try:
                    size = dataset.size(name)
                except WssError as error:
                    found.append(f"{self.root}: '{name}' cannot be compared with its photo: {error}")
        own = self.manifest is not None
        if name in there.get("masks", ()):
            path = opened.mask_path(name)
            faults = mask_faults(path, size=size, n_classes=n_classes, palette=own)
            found += [f"{path}: {fault}" for fault in faults]
            digests[f"masks/{name}.png"] = file_digest(path).removeprefix("sha256:") if own else ""
        if name in there.get("scores", ()):
            path = opened.scores_path(name)
            kind = self.manifest.score_type if self.manifest else None
            faults = scores_faults(path, size=size, n_classes=n_classes, score_type=kind)
            found += [f"{path}: {fault}" for fault in faults]
            digests[f"scores/{name}.npz"] = file_digest(path).removeprefix("sha256:")
        if name in there.get("proposals", ()):
            path = opened.proposals_path(name)
            found += [f"{path}: {fault}" for fault in proposals_faults(path, size=size)]
            digests[f"proposals/{name}.npz"] = file_digest(path).removeprefix("sha256:")
        if name in there.get("cams", ()) and self.manifest is not None:
            path = self.root / "cams" / f"{name}.npy"
            found += [f"{path}: {fault}" for fault in cams_faults(path, self.manifest, size)]
            digests[f"cams/{name}.npy"] = file_digest(path).removeprefix("sha256:")
        return found, digests

    def _whole_problems(self, manifest: Manifest) -> Iterator[str]:
        from wsscli.maskdir.check import is_temporary, strays
        from wsscli.maskdir.manifest import NAME, content_digest
        from wsscli.maskdir.writer import parts_of

        if content_digest(self.digests) != manifest.content:
            yield (
                f"{self.root / NAME}: the files are not those that `wss {manifest.step}` wrote (their common digest "
                "differs); something changed, added or took away a file"
            )
        for relative in strays(self.root, self.digests, parts_of(self.root, manifest)):
            what = "left behind by a stopped run" if is_temporary(relative) else "does not belong here"
            yield f"{self.root / relative}: {what}; remove it"
