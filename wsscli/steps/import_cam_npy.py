"""`wss import cam-npy`: the CAM dictionaries of other code become a directory of scores."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.errors import WssError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._ledger import inherit, ledger_entries
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    from wsscli.data.cam_folder import CamFolder, Layout
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.writer import Output

log = logging.getLogger("wsscli")
_ELSEWHERE = ("image-labels", "external-model:unknown")
_NOT_LABELS = "its classes ("  # how a note begins


def import_cam_npy(
    source: Path,
    out: Path,
    *,
    schema: Literal["psa", "irn", "puzzlecam", "clip-es", "toco"] | None = None,
    map: str | None = None,  # noqa: A002 - the option's name
    supervision: tuple[str, ...] | None = None,
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Turn CAM dictionaries (a .npy file an image) of other code into cam scores, for argmax, crf, grow and eval.

    Images of the split without a file are left out and listed as dropped; files of other images are passed over.

    Args:
        source: Folder of .npy files, or a directory that `wss export cam-npy` wrote.
        out: Directory of scores to write.
        schema: Whose files: psa (SEAM, EPS, MCTformer, WeakTr), irn (AdvCAM, ReCAM), puzzlecam, clip-es, toco; found
            by looking when left out.
        map: The entry that the maps are read from (irn: high_res or cam; puzzlecam: hr_cam, rw or cam); the finest
            that the files have when left out.
        supervision: What the CAMs were made from, for the ledger, separated by commas; image-labels and
            external-model:unknown when left out. What an exported directory's own ledger says is kept in any case.
        data: The data set that the images are of; its photos give the sizes.
        run: Common options.

    Returns:
        The directory: `cam` scores at the maps' resolution, class ids from 1, negative values set to 0.

    Raises:
        UsageError: no data set is named, `map` is given for psa, or no file tells its schema.
        WssError: a file that is none, of another schema than the first, with unknown classes, NaN or maps of another
            photo; a pickle that would run code; no file of any image of the split.
    """
    from wsscli.data.cam_folder import find_layout, open_cam_folder
    from wsscli.maskdir.manifest import read_manifest

    folder = open_cam_folder(source)
    given = ledger_entries("--supervision", _ELSEWHERE if supervision is None else supervision)
    ledger = inherit(folder.manifest, add=() if supervision is None else given) if folder.manifest else list(given)
    dataset = dataset_for(data, folder.manifest)
    names = run.select(_wanted(folder, dataset))
    there = frozenset(folder.ids)
    missing = [name for name in names if name not in there]
    if len(missing) == len(names):
        raise WssError(
            f"{source}: no file for any of the {len(names)} images of split {dataset.split} of {dataset.root} (the "
            f"first would be {missing[0]}.npy); name the right --data and --split"
        )
    if missing:
        log.info(
            "%s: %d of %d images of split %s have no file and are left out, the first is '%s'",
            source, len(missing), len(names), dataset.split, missing[0],
        )  # fmt: skip
    layout = find_layout(folder, (name for name in names if name in there), schema, map)
    if schema is None:
        log.info("%s: the schema is %s%s", source, layout.schema, f", maps '{layout.entry}'" if layout.entry else "")
    plan = Plan(
        "import cam-npy", out, "scores", {"schema": layout.schema, "map": layout.entry}, dataset.classes,
        data_ref(dataset), dataset.split, [folder.as_input()], ledger, "cam",
    )  # fmt: skip
    result = per_image(plan, run, names, _Import(folder, layout, dataset))
    manifest = None if run.dry_run else read_manifest(out)
    odd = [item["id"] for item in manifest.fell_back if item["reason"].startswith(_NOT_LABELS)] if manifest else []
    if odd:
        log.warning(
            "%s: the classes of %d images are none of their image-level labels, the first is '%s'; are these CAMs of "
            "this data set, and their keys counted from 0?",
            out, len(odd), odd[0],
        )  # fmt: skip
    return result


def _wanted(folder: CamFolder, dataset: Dataset) -> list[str]:
    """The images to speak of: those of the split; of a directory that wss wrote only its own."""
    known = frozenset(dataset.ids)
    strangers = [name for name in folder.ids if name not in known]
    if folder.manifest is not None:
        if strangers:
            raise WssError(
                f"{folder.path}: {len(strangers)} of {len(folder.ids)} images are not in split {dataset.split} of "
                f"{dataset.root}, the first is '{strangers[0]}'; name the data set and split it was made from"
            )
        return folder.ids
    if strangers:
        log.info("%s: %d files are not of split %s and are passed over", folder.path, len(strangers), dataset.split)
    return list(dataset.ids)


@dataclass(frozen=True)
class _Import:
    """One image."""

    folder: CamFolder
    layout: Layout
    dataset: Dataset

    def __call__(self, name: str) -> Output:
        import numpy as np

        from wsscli.data.cam_npy import fit_maps, read_maps
        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output

        path = self.folder.file(name)
        if not path.exists():
            return Output(dropped="no CAM file")
        content = self.folder.read(name)
        self.layout.check(content, path)
        maps, classes = read_maps(content, path, self.layout.schema, self.layout.entry, self.dataset.classes)
        size = self.dataset.size(name)
        maps = fit_maps(maps, size, path)
        scores = Scores(np.maximum(maps, 0), classes, size)
        return Output(scores=scores, fell_back=self._note(name, classes.tolist()))

    def _note(self, name: str, classes: list[int]) -> str | None:
        """Keys that count from 1, or another data set's, are seen by their classes being all wrong."""
        labels = self.dataset.labels(name)
        if not labels or not classes or set(labels) & set(classes):
            return None
        names = self.dataset.classes.names
        have, known = (", ".join(names[c] for c in ids) for ids in (classes, labels))
        return f"{_NOT_LABELS}{have}) are none of the image's labels ({known})"
