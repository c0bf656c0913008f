"""`wss import proposals`: region proposals that other tools wrote become a directory of proposals."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._ledger import ledger_entries
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.writer import Output

log = logging.getLogger("wsscli")


def import_proposals(
    source: Path,
    out: Path,
    *,
    count: int = 2000,
    supervision: tuple[str, ...] = ("external-model:unknown",),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Turn MCG's .mat files, or a JSON list of COCO RLE masks, into a directory of proposals.

    Args:
        source: Folder of .mat files (superpixels and labels; their paths under it, without suffix, are the ids), or
            a JSON file with a list of {image_id, segmentation, score}, where image_id is the id (or its number, as
            COCO has it: then 12 digits with leading zeros are tried, too).
        out: Directory to write.
        count: At most so many proposals an image, the best-ranked ones.
        supervision: What the proposals were made from, for the ledger, separated by commas; MCG's ranking has learnt
            from masks.
        data: The data set the proposals belong to.
        run: Common options.

    Returns:
        The directory.

    Raises:
        UsageError: `count` below 1, or `supervision` holds a word that no ledger knows.
        WssError: files that cannot be read, that are of other sizes than the photos, or of none of them.
    """
    from wsscli.data.mcg import ROLE, read_coco_proposals, read_mat
    from wsscli.maskdir.manifest import Input
    from wsscli.maskdir.maskdir import folder_digest, ids_under, input_file

    if count < 1:
        raise UsageError(f"--count {count}: give 1 or more")
    ledger = ledger_entries("--supervision", supervision)
    dataset = dataset_for(data)
    if not source.exists():
        raise WssError(f"{source}: no such folder of .mat files or JSON file; check the path")
    inputs: list[Input]
    coco = None
    if source.is_dir():
        there = {name: name for name in ids_under(source, ".mat")}
        if not there:
            raise WssError(f"{source}: no .mat file here; give the folder that they lie in, or a JSON file")
        inputs = [Input(ROLE, str(source.resolve()), folder_digest(source, ".mat"))]
    else:
        coco = read_coco_proposals(source)
        there = {full: key for key in coco.entries for full in (key.zfill(12), key)}
        inputs = [input_file("proposals", source)]
    found = sorted(set(there) & set(dataset.ids))
    if not found:
        raise WssError(
            f"{source}: none of its {len(set(there.values()))} images is in split {dataset.split} of {dataset.root}; "
            "name the right --data and --split"
        )
    passed = len(set(there.values())) - len(found)
    if passed:
        log.info("%s: %d images are not in split %s and are passed over", source, passed, dataset.split)
    ids = run.select(found)

    def work(name: str) -> Output:
        from wsscli.maskdir.writer import Output

        size, mat = dataset.size(name), None
        if coco is not None:
            said = coco.size(there[name])
        else:
            mat = read_mat(source / f"{name}.mat")
            said = mat.size
        if said != size:
            raise WssError(
                f"{source}: proposals of '{name}' are for {said[1]}x{said[0]}, its photo is "
                f"{size[1]}x{size[0]} (width x height)"
            )
        item, empty = coco.read(there[name]) if coco is not None else (mat, 0)
        if item is None:
            return Output(dropped="no proposal has a pixel")
        reason = f"{empty} proposals without a pixel left out" if empty else None
        return Output(proposals=item.first(count), fell_back=reason)

    plan = Plan(
        "import proposals", out, "proposals", {"count": count}, data=data_ref(dataset), split=dataset.split,
        inputs=inputs, supervision=ledger,
    )  # fmt: skip
    return per_image(plan, run, ids, work)
