"""`wss import masks`: a folder of masks becomes a mask directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError
from wsscli.steps._coding import refuse_black_and_white
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._ledger import ledger_entries
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps._sources import check_values, shared_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.maskdir.writer import Output


def import_masks(
    source: Path,
    out: Path,
    *,
    rgb: str | None = None,
    binary: bool = False,
    supervision: tuple[str, ...] = ("external-model:unknown",),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Turn a folder of indexed or colour-coded PNGs into a mask directory.

    Args:
        source: Folder of PNG masks; their paths under it, without suffix, are the ids.
        out: Mask directory to write.
        rgb: Colour table of RGB masks: voc, or a JSON file {"background": [0, 0, 0], "cat": [64, 0, 0], ...}.
        binary: The masks are black and white: 255 is foreground, not unlabelled. The result is class-free.
        supervision: What the masks were made from, for the ledger, separated by commas.
        data: The data set the masks belong to (its class table is used).
        run: Common options.

    Returns:
        The mask directory.

    Raises:
        UsageError: no class table is named, options that do not go together, or `supervision` holds a word that no
            ledger knows.
        WssError: unreadable masks, colours that the table lacks, ids that the data set lacks, black and white masks
            without `binary`, or other ones with it.
    """
    from wsscli.maskdir.maskdir import MaskDir, input_file
    from wsscli.maskdir.png import read_mask
    from wsscli.maskdir.rgb import read_colours, read_rgb_mask, voc_colours
    from wsscli.maskdir.writer import Output

    if binary and rgb is not None:
        raise UsageError(f"--binary: black and white masks have no colours; leave --rgb {rgb} out, or --binary")
    if binary and data.class_names and not data.data:
        raise UsageError("--binary: its masks are class-free, foreground is their only class; leave --class-names out")
    if not source.is_dir():
        raise WssError(f"{source}: no such folder of masks; check the path")
    folder = MaskDir(source, None)
    if not folder.ids:
        raise WssError(f"{source}: no PNG here; give the folder that the masks lie in")
    ledger = ledger_entries("--supervision", supervision)
    dataset = dataset_for(data) if data.data else None
    ids = run.select(folder.ids if dataset is None else shared_ids(folder, dataset))
    inputs = [folder.as_input("masks")]
    classes: ClassTable | None = dataset.classes if dataset else None
    colours = None
    if rgb == "voc":
        colours = voc_colours(len(classes) if classes else 21)
    elif rgb is not None:
        table, colours = read_colours(Path(rgb))
        inputs.append(input_file("colours", Path(rgb)))
        if classes is not None and table != classes:
            raise WssError(f"{rgb}: its classes are not those of {data.data}; name the same classes in the same order")
        classes = table
    if binary:
        classes = FOREGROUND
    elif colours is None:
        refuse_black_and_white(folder)
    if classes is None:
        from wsscli.classes import ClassTable
        from wsscli.data.voc import VOC_NAMES

        if data.class_names:
            classes = ClassTable.of(data.class_names)
        elif rgb == "voc":
            classes = ClassTable.of(VOC_NAMES)
        else:
            raise UsageError("no class table: give --data, or --class-names cat,dog,... in the order of the ids")

    def work(name: str) -> Output:
        path = folder.mask_path(name)
        mask = read_mask(path) if colours is None else read_rgb_mask(path, colours)
        if binary:
            return Output(mask=_white(mask, path))
        check_values(mask, path, classes)
        return Output(mask=mask)

    options = {"rgb": rgb if rgb in (None, "voc") else "table"} | ({"binary": True} if binary else {})
    plan = Plan(
        "import masks", out, "masks", options, classes, data_ref(dataset) if dataset else None,
        dataset.split if dataset else data.split, inputs, ledger,
    )  # fmt: skip
    return per_image(plan, run, ids, work)


def _white(mask: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """1 where a mask of 0 and 255 is 255."""
    strange = mask[(mask != 0) & (mask != 255)]
    if strange.size:
        raise WssError(
            f"{path}: holds the value {int(strange[0])}, but --binary is for masks of 0 and 255 only; leave it out "
            "where values are class ids"
        )
    return mask // 255
