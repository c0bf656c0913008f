"""`wss import sec-cues`: the published seeds of SEC and DSRG become a mask directory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._ledger import ledger_entries
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.writer import Output

log = logging.getLogger("wsscli")
MOST_CELLS = 4096  # rows and columns; memory is 9 bytes a cell


def import_sec_cues(
    source: Path,
    out: Path,
    *,
    ids: Path,
    grid: int = 41,
    supervision: tuple[str, ...] = ("image-labels",),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Turn a seed file of SEC or DSRG into a mask directory of hard seeds, at the photos' sizes.

    The file is a pickled dictionary: `<n>_cues` holds the class, row and column of each cue on a 41 x 41 grid over the
    whole image. Images of the split without cues are left out and listed as dropped.

    Args:
        source: The seed file (localization_cues.pickle), gzip or not.
        out: Mask directory to write.
        ids: The list that numbers the images (input_list.txt), a line an image: 2008_007028.jpg 0.
        grid: Rows and columns of the cues' grid.
        supervision: What the cues were made from, for the ledger, separated by commas.
        data: The data set that the images are of; its photos give the sizes.
        run: Common options.

    Returns:
        The mask directory: class ids, 0 background seeds, 255 the rest. A cell's class stands on every pixel whose
        centre lies in the cell, so the mask taken back to the grid at pixel centres gives the cues. Where a cell has
        cues of several classes, foreground goes over background and the class with fewer cells over the others;
        `fell_back` counts such cells.

    Raises:
        UsageError: no data set is named, `grid` is out of range, or `supervision` holds a word that no ledger knows.
        WssError: an unreadable file or list, a pickle that would run code, cues of unknown classes or outside the
            grid, or no image of the split with cues.

    Source: SEC (Kolesnikov and Lampert, ECCV 2016), section 3.1; DSRG (Huang et al., CVPR 2018), section 4.1.
    """
    from wsscli.data.cues import open_cues, read_numbers
    from wsscli.maskdir.maskdir import input_file
    from wsscli.maskdir.writer import Output
    from wsscli.seeds.cue_grid import cells_without_pixel, enlarge, paint_cues

    if not 1 <= grid <= MOST_CELLS:
        raise UsageError(f"--grid {grid}: give 1 to {MOST_CELLS}")
    ledger = ledger_entries("--supervision", supervision)
    dataset = dataset_for(data)
    names = run.select(dataset.ids)
    numbers = read_numbers(ids)
    cues = open_cues(source)
    faults = {name: cues.fault(numbers.get(name)) for name in names}
    _report(dataset, source, ids, faults, strangers=len(numbers.keys() - set(dataset.ids)))

    def work(name: str) -> Output:
        reason = faults[name]
        if reason is not None:
            return Output(dropped=reason)
        cells, shared = paint_cues(cues.read(numbers[name], dataset.classes, grid), grid)
        size = dataset.size(name)
        notes = []
        if shared:
            notes.append(f"{shared} cells have cues of several classes, and one class each in the mask")
        lost = cells_without_pixel(cells, size)
        if lost:
            notes.append(f"{lost} cells with cues have no pixel in a photo of {size[1]}x{size[0]}")
        return Output(mask=enlarge(cells, size), fell_back="; ".join(notes) or None)

    plan = Plan(
        "import sec-cues", out, "masks", {"grid": grid}, dataset.classes, data_ref(dataset), dataset.split,
        [input_file("cues", source), input_file("ids", ids)], ledger,
    )  # fmt: skip
    return per_image(plan, run, names, work)


def _report(dataset: Dataset, source: Path, ids: Path, faults: dict[str, str | None], *, strangers: int) -> None:
    """Say which images have no cues; none with cues is an error."""
    without = [name for name, reason in faults.items() if reason]
    if len(without) == len(faults):
        raise WssError(
            f"{source}: no cues for any of the {len(faults)} images of split {dataset.split} of {dataset.root} (the "
            f"first, '{without[0]}': {faults[without[0]]}); name the list of this file with --ids ({ids}) and the "
            "right --data and --split"
        )
    if strangers:
        log.info("%s: %d images are not in split %s and are passed over", ids, strangers, dataset.split)
    if without:
        log.info(
            "%d of %d images of split %s have no cues and are left out, the first is '%s' (%s)",
            len(without), len(faults), dataset.split, without[0], faults[without[0]],
        )  # fmt: skip
