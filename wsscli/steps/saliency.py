"""`wss saliency`: how much each pixel stands out, from the photo alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    from wsscli.maskdir.writer import Output


def saliency(
    out: Path,
    *,
    method: Literal["rbd"] = "rbd",
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Write a saliency map of each photo: scores of type `saliency`, values in [0, 1], the maximum of each map 1.

    Nothing but the photos is read, so the supervision is none. The one map of an image stands under class id 0 and
    speaks of the foreground as a whole. A photo without contrast has an all-zero map.

    Args:
        out: The directory to write.
        method: rbd = Robust Background Detection.
        data: The data set.
        run: Common options.

    Returns:
        The directory.

    Raises:
        WssError: a photo cannot be read.

    Source: Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014.
    """
    from wsscli.methods import resolve

    algorithm = resolve(method)
    dataset = dataset_for(data)
    ids = run.select(dataset.ids)
    plan = Plan(
        step="saliency",
        out=out,
        kind="scores",
        options={"method": method},
        data=data_ref(dataset),
        split=dataset.split,
        score_type="saliency",
    )

    def work(name: str) -> Output:
        import numpy as np

        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output

        found = algorithm(dataset.image(name))  # (H, W)
        return Output(scores=Scores(found[None], np.zeros(1, np.int64), found.shape))

    return per_image(plan, run, ids, work)
