"""`wss export cam-npy`: cam scores as the CAM dictionaries that other code reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.errors import WssError
from wsscli.steps._ledger import inherit
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output

Schema = Literal["psa", "irn", "puzzlecam", "clip-es", "toco"]


def export_cam_npy(source: Path, out: Path, *, schema: Schema, normalise: bool = True, run: Run = Run()) -> Path:
    """Write cam scores as CAM dictionaries, OUT/cams/NAME.npy, for other code to go on with.

    Maps are written at the photo's size (irn and puzzlecam: also at a quarter of it), as that code expects them; psa's
    take about 0.75 MB a class and photo.

    Args:
        source: A directory of cam scores (make-seeds, import cam-npy).
        out: The directory to write.
        schema: Whose form: psa (SEAM, EPS, MCTformer, WeakTr), irn (AdvCAM, ReCAM), puzzlecam, clip-es, toco.
        normalise: Divide each map by its maximum; the thresholds of that code count on it.
        run: Options of every step.

    Returns:
        `out`: point the other code at its folder `cams`. irn and puzzlecam hold torch tensors.

    Raises:
        WssError: the directory has no scores, or scores of another type, or of classes beyond its table.

    Differs: that code adds 1e-5 to the maximum it divides by; here a map that is 0 everywhere stays so.
    """
    from wsscli.maskdir.maskdir import open_maskdir

    folder = open_maskdir(source, need="scores")
    manifest = folder.manifest
    assert manifest is not None  # scores are read from directories written by wss only
    if manifest.score_type != "cam" or manifest.classes is None:
        raise WssError(
            f"{source}: holds {manifest.score_type} scores, but CAM dictionaries hold class maps without a background; "
            "export cam scores, as `wss make-seeds` writes them"
        )
    plan = Plan(
        step="export cam-npy", out=out, kind="cams", options={"schema": schema, "normalise": normalise},
        classes=manifest.classes, data=manifest.data, split=manifest.split, inputs=[folder.as_input("scores")],
        supervision=inherit(manifest),
    )  # fmt: skip
    return per_image(plan, run, run.select(folder.ids), _Export(folder, manifest.classes, schema, normalise))


@dataclass(frozen=True)
class _Export:
    """One image."""

    folder: MaskDir
    classes: ClassTable
    schema: Schema
    normalise: bool

    def __call__(self, name: str) -> Output:
        import numpy as np

        from wsscli.data.cam_npy import encode_maps, strided_size
        from wsscli.maskdir.scores import resize_maps
        from wsscli.maskdir.writer import Output
        from wsscli.steps._sources import check_score_rows

        item = self.folder.scores(name)
        path = self.folder.scores_path(name)
        check_score_rows(item, path, self.classes)
        if (item.classes < 1).any():
            raise WssError(f"{path}: has scores of the background, which cam scores do not have; make them again")
        order = np.argsort(item.classes, kind="stable")
        maps = [resize_maps(item.scores[order], size) for size in (item.size, strided_size(item.size))]
        if self.normalise:
            maps = [_normalised(m) for m in maps]
        return Output(cams=encode_maps(self.schema, item.classes[order].tolist(), *maps))


def _normalised(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(K, h, w), each map divided by its maximum; a map that is 0 everywhere stays so."""
    top: NDArray[np.float32] = maps.max(axis=(1, 2), initial=0, keepdims=True)
    top[top == 0] = 1
    return maps / top
