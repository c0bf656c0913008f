"""Frames of clips, and the model of each clip that VideoPCA needs for any of its frames."""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsscli.errors import WssError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wsscli.data.dataset import Dataset
    from wsscli.saliency.video_pca import ClipModel


def natural(name: str) -> list[tuple[str, int]]:
    """A key that sorts numbers in names as numbers: f2 before f10."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


@dataclass(frozen=True)
class _Clip:
    """What is known of a clip once it was looked at.

    Attributes:
        model: None where no frame can be read.
        frames: how many are of one size and can be read, as far as they were.
        faults: what is wrong with the others.
    """

    model: ClipModel | None
    frames: int
    faults: Mapping[str, str]


class Clips:
    """VideoPCA on the clips of a data set; called from several threads at once.

    A clip is the images of one folder (one id up to its last slash), all of them, whatever part of them a run is
    about. Its model is made when its first frame is asked for and kept while the neighbours are worked on. What is
    wrong with a clip is found once, too.

    Args:
        dataset: the frames, ids `clip/frame`.
        most: models kept at a time, each some megabytes.
        keep_going: a frame that cannot be read, or is of another size than most of its clip, is left out of the
            clip's model, and is an error when it is asked for itself; without it, it is one for the whole clip.
    """

    def __init__(self, dataset: Dataset, most: int, *, keep_going: bool = False) -> None:
        self.dataset, self.most, self.keep_going = dataset, most, keep_going
        self.frames: dict[str, list[str]] = {}
        for name in sorted(dataset.ids, key=natural):
            self.frames.setdefault(name.rpartition("/")[0], []).append(name)
        self._begin()

    def _begin(self) -> None:
        self._known: OrderedDict[str, _Clip] = OrderedDict()
        self._failed: dict[str, str] = {}
        self._making: dict[str, threading.Lock] = {clip: threading.Lock() for clip in self.frames}
        self._turn = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """For another machine: what is known stays here, as the locks must."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def __call__(self, name: str) -> tuple[npt.NDArray[np.float32], tuple[int, int], str | None]:
        """A frame's map (h, w) at the working size, the frame's (H, W), and why the map is empty, if it is.

        Raises:
            WssError: something is wrong with the frame, or (unless `keep_going`) with any of its clip.
        """
        from wsscli.saliency.video_pca import shrink, video_saliency

        found = self._look(name.rpartition("/")[0])
        if name in found.faults:
            raise WssError(found.faults[name])
        model = found.model
        assert model is not None  # some frame is without fault
        values = video_saliency(model, shrink(self.dataset.image(name)))
        few = found.frames == 1
        why = "the only frame of its clip" if few else f"nothing moves in the {found.frames} frames of its clip"
        return values, model.size, None if model.colors is not None else why

    def _look(self, clip: str) -> _Clip:
        """What is known of a clip, found out once."""
        with self._making[clip]:  # the other frames of the clip wait, those of other clips do not
            with self._turn:
                if clip in self._failed:
                    raise WssError(self._failed[clip])
                if clip in self._known:
                    self._known.move_to_end(clip)
                    return self._known[clip]
            try:
                made = self._learn(clip)
            except WssError as error:
                self._failed[clip] = str(error)
                raise
            with self._turn:
                self._known[clip] = made
                while len(self._known) > self.most:
                    self._known.popitem(last=False)
            return made

    def _learn(self, clip: str) -> _Clip:
        from wsscli.saliency.video_pca import learn, shrink, thinned

        names = self.frames[clip]
        faults: dict[str, str] = {}

        def read(call: Callable[[str], Any], name: str) -> Any:
            try:
                return call(name)
            except WssError as error:
                if not self.keep_going:
                    raise
                faults[name] = str(error)
                return None

        sizes = {name: size for name in names if (size := read(self.dataset.size, name)) is not None}
        if not sizes:
            return _Clip(None, 0, faults)
        counted = Counter(sizes.values())  # of equal numbers the first frame's
        usual, agreeing = counted.most_common(1)[0]
        for name, (height, width) in sizes.items():
            if (height, width) != usual:
                faults[name] = (
                    f"{self.dataset.image_path(name)}: {height} x {width} (height x width), but {agreeing} of the "
                    f"{len(names)} frames of its clip are {usual[0]} x {usual[1]}; a clip's frames are of one size"
                )
                if not self.keep_going:
                    raise WssError(faults[name])
        there = [name for name in names if name not in faults]
        copies: list[Any] = []
        while there and not copies:  # more than once only where none of many frames spread evenly can be read
            photos = (read(self.dataset.image, there[k]) for k in thinned(len(there)))
            copies = [shrink(photo) for photo in photos if photo is not None]
            there = [name for name in there if name not in faults]
        return _Clip(learn(copies, usual) if copies else None, len(there), faults)
