"""`wss saliency`: how much each pixel stands out, from the photo alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.steps._clips import Clips
from wsscli.steps._cluster import Cluster
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.writer import Output


def saliency(
    out: Path,
    *,
    method: Literal["rbd"] = "rbd",
    video: bool = False,
    data: Data = Data(),
    run: Run = Run(),
    on: Cluster = Cluster(),
) -> Path:
    """Write a saliency map of each photo: scores of type `saliency`, values in [0, 1], the maximum of each map 1.

    Nothing but the photos is read, so the supervision is none. The one map of an image stands under class id 0 and
    speaks of the foreground as a whole. A photo without contrast has an all-zero map.

    Args:
        out: The directory to write.
        method: Of photos: rbd = Robust Background Detection.
        video: The photos are frames of clips, a folder a clip, in the order of their names: what moves is salient
            (VideoPCA). Maps are of a working size; a clip where nothing moves has zeros and stands under fell_back.
            With --keep-going a frame that cannot be read, or is of another size than most of its clip, is left out
            of it, and the rest is done.
        data: The data set.
        run: Common options.
        on: Where to work.

    Returns:
        The directory.

    Raises:
        WssError: a photo cannot be read, or a clip's frames differ in size.

    Source: Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014; Stretcu and Leordeanu,
        "Multiple Frames Matching for Object Discovery in Video", BMVC 2015.
    """
    dataset = _clip_folders(data) if video else dataset_for(data)
    ids = run.select(dataset.ids)
    if video:
        found: Callable[[str], Found] = Clips(dataset, run.threads + 1, keep_going=run.keep_going)
    else:
        found = _of_photos(dataset, method)
    plan = Plan(
        step="saliency",
        out=out,
        kind="scores",
        options={"method": "video-pca" if video else method},
        data=data_ref(dataset),
        split=dataset.split,
        score_type="saliency",
    )

    def work(name: str) -> Output:
        import numpy as np

        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output

        values, size, reason = found(name)  # (h, w)
        return Output(scores=Scores(values[None], np.zeros(1, np.int64), size), fell_back=reason)

    return per_image(plan, run, ids, work, on=on)


Found = tuple["npt.NDArray[np.float32]", tuple[int, int], str | None]


def _of_photos(dataset: Dataset, method: str) -> Callable[[str], Found]:
    from wsscli.methods import resolve

    algorithm = resolve(method)

    def found(name: str) -> Found:
        values = algorithm(dataset.image(name))
        return values, (values.shape[0], values.shape[1]), None

    return found


def _clip_folders(data: Data) -> Dataset:
    """A folder per clip would pass for a folder per class."""
    from wsscli.data.dataset import find_format

    if data.format is None and data.data is not None and data.data.is_dir() and find_format(data.data) == "folders":
        data = replace(data, format="images")
    return dataset_for(data)
