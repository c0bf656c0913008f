"""`wss grabcut`: masks refined by GrabCut on the photo."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.steps._cluster import Cluster
from wsscli.steps._data import Data
from wsscli.steps._run import Run

if TYPE_CHECKING:
    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output


def grabcut(
    source: Path,
    out: Path,
    *,
    iterations: int = 5,
    init: Literal["box", "mask"] = "box",
    scale: float = 1.0,
    data: Data = Data(),
    run: Run = Run(),
    on: Cluster = Cluster(),
) -> Path:
    """Refine masks with GrabCut: each class is cut out anew from the smallest box around it.

    Args:
        source: A mask directory.
        out: The directory to write.
        iterations: GrabCut's iterations.
        init: Start from the smallest box around a class, or from the mask's own pixels.
        scale: Size of the working copy, at most 1; 0.5 is about ten times faster and gives other masks.
        data: The data set; from the manifest by default.
        run: Options of every step.
        on: Where to work.

    Returns:
        `out`. Where GrabCut has nothing to work on (an empty mask, a single pixel, a box of the whole image) the
        input is passed on and listed under `fell_back`.

    Raises:
        UsageError: an option is out of range.
        WssError: sizes, ids or classes do not fit, or a folder's masks are black and white.
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.refine.grabcut import check_options
    from wsscli.steps._coding import refuse_black_and_white
    from wsscli.steps._data import data_ref, dataset_for
    from wsscli.steps._ledger import of_masks
    from wsscli.steps._run import Plan, per_image
    from wsscli.steps._sources import shared_ids, table_beside

    folder = open_maskdir(source, need="masks")
    dataset = dataset_for(data, folder.manifest)
    classes = table_beside(folder, dataset)
    options: dict[str, Any] = {"iterations": iterations, "init": init, "scale": scale}
    check_options(**options)
    refuse_black_and_white(folder)
    ids = run.select(shared_ids(folder, dataset))
    plan = Plan(
        step="grabcut", out=out, kind="masks", options=options, classes=classes, data=data_ref(dataset),
        split=dataset.split, inputs=[folder.as_input("masks")],
        supervision=of_masks(folder, dataset.root, len(ids)),
    )  # fmt: skip
    return per_image(plan, run, ids, _GrabCut(folder, dataset, classes, options, run.seed), on=on)


@dataclass(frozen=True)
class _GrabCut:
    folder: MaskDir
    dataset: Dataset
    classes: ClassTable
    options: dict[str, Any]
    seed: int

    def __call__(self, name: str) -> Output:
        import numpy as np

        from wsscli.maskdir.writer import Output
        from wsscli.refine.grabcut import grabcut
        from wsscli.steps._sources import check_size, check_values

        image, mask, path = self.dataset.image(name), self.folder.mask(name), self.folder.mask_path(name)
        check_values(mask, path, self.classes)
        check_size(
            (mask.shape[0], mask.shape[1]), path, (image.shape[0], image.shape[1]), self.dataset.image_path(name)
        )
        # a seed of the image's own, so that neither order nor number of workers counts
        seed = int(np.random.default_rng([self.seed, zlib.crc32(name.encode())]).integers(2**31))
        cut, reason = grabcut(image, mask, **self.options, seed=seed)
        return Output(mask=cut, fell_back=reason)
