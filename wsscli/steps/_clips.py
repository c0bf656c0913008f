"""Frames of clips, and the model of each clip that VideoPCA needs for any of its frames."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from wsscli.errors import WssError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wsscli.data.dataset import Dataset
    from wsscli.saliency.video_pca import ClipModel


def natural(name: str) -> list[tuple[str, int]]:
    """A key that sorts numbers in names as numbers: f2 before f10."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


class Clips:
    """VideoPCA on the clips of a data set; called from several threads at once.

    A clip is the images of one folder (one id up to its last slash), all of them, whatever part of them a run is
    about. Its model is made when its first frame is asked for and kept while the neighbours are worked on.

    Args:
        dataset: the frames, ids `clip/frame`.
        most: models kept at a time, each some megabytes.
    """

    def __init__(self, dataset: Dataset, most: int) -> None:
        self.dataset, self.most = dataset, most
        self.frames: dict[str, list[str]] = {}
        for name in sorted(dataset.ids, key=natural):
            self.frames.setdefault(name.rpartition("/")[0], []).append(name)
        self._models: OrderedDict[str, ClipModel] = OrderedDict()
        self._making: dict[str, threading.Lock] = {clip: threading.Lock() for clip in self.frames}
        self._turn = threading.Lock()

    def __call__(self, name: str) -> tuple[npt.NDArray[np.float32], tuple[int, int], str | None]:
        """A frame's map (h, w) at the working size, the frame's (H, W), and why the map is empty, if it is."""
        from wsscli.saliency.video_pca import shrink, video_saliency

        clip = name.rpartition("/")[0]
        model = self.model(clip)
        found = video_saliency(model, shrink(self.dataset.image(name)))
        frames = len(self.frames[clip])
        why = f"nothing moves in the {frames} frames of its clip" if frames > 1 else "the only frame of its clip"
        return found, model.size, None if model.colors is not None else why

    def model(self, clip: str) -> ClipModel:
        """The clip's model, made once."""
        with self._making[clip]:  # the other frames of the clip wait, those of other clips do not
            with self._turn:
                if clip in self._models:
                    self._models.move_to_end(clip)
                    return self._models[clip]
            made = self._learn(clip)
            with self._turn:
                self._models[clip] = made
                while len(self._models) > self.most:
                    self._models.popitem(last=False)
            return made

    def _learn(self, clip: str) -> ClipModel:
        from wsscli.saliency.video_pca import learn, shrink, thinned

        names = self.frames[clip]
        first = self.dataset.size(names[0])
        for name in names:
            height, width = self.dataset.size(name)
            if (height, width) != first:
                raise WssError(
                    f"{self.dataset.image_path(name)}: {height} x {width} (height x width), but the first frame of its "
                    f"clip, {self.dataset.image_path(names[0])}, is {first[0]} x {first[1]}; a clip's frames are of "
                    "one size"
                )
        return learn([shrink(self.dataset.image(names[k])) for k in thinned(len(names))], first)
