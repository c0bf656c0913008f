"""`wss guided-filter`: scores or masks take over the edges of the photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._cluster import Cluster
from wsscli.steps._data import Data
from wsscli.steps._run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.scores import Scores
    from wsscli.maskdir.writer import Output

Read = Literal["scores", "masks"]

_SUM = 0.02  # by how much a sum of probabilities stored as float16 may be off 1


def guided_filter(
    source: Path,
    out: Path,
    *,
    read: Read | None = None,
    window: int = 35,
    eps: float = 1e-6,
    iterations: int = 15,
    scores: bool = False,
    data: Data = Data(),
    run: Run = Run(),
    on: Cluster = Cluster(),
) -> Path:
    """Filter score maps or masks with the photo as guide (He's guided filter).

    Within every window a map becomes a linear function of the photo's colours, so that its edges move to the
    photo's. Of scores come scores of the same kind at the photo's size; of masks come masks: every class that occurs
    is filtered as a map of its own, and the strongest wins.

    Args:
        source: A directory with scores (of any kind) or masks.
        out: The directory to write.
        read: What to use of a directory that has both; its scores when left out.
        window: Side of the square window, pixels, odd.
        eps: How much colour variance counts as an edge, for colours from 0 to 1; larger smooths more.
        iterations: Times the filter is applied, each output the next input.
        scores: For masks only: write the filtered maps as well, as probabilities (about 0.4 MB a label).
        data: The data set; from the manifest by default.
        run: Options of every step.
        on: Where to work.

    Returns:
        `out`. A mask that is all 255 is passed on (`fell_back`; under `scores` it is dropped); 255 stays where no
        label reaches (`fell_back` says how many pixels).

    Raises:
        UsageError: an option does not fit what is read, or is out of range.
        WssError: sizes, ids or classes do not fit.
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.refine.guided_filter import check_options
    from wsscli.steps._data import data_ref, dataset_for
    from wsscli.steps._ledger import inherit
    from wsscli.steps._run import Plan, per_image
    from wsscli.steps._sources import shared_ids, table_beside

    folder = open_maskdir(source, need=read or "any")
    if read is None:
        read = "scores" if folder.has_scores else "masks"
    if scores and read == "scores":
        raise UsageError("--scores is for masks; of scores the filtered maps are written anyway: leave it out")
    parameters: dict[str, Any] = {"window": window, "eps": eps, "iterations": iterations}
    check_options(**parameters)

    manifest = folder.manifest
    dataset = dataset_for(data, manifest)
    table = table_beside(folder, dataset)
    classes: ClassTable | None = table
    if read == "scores":
        assert manifest is not None  # scores are read from directories written by wss only
        kind, score_type, classes = "scores", manifest.score_type, manifest.classes
    else:
        kind, score_type = ("masks+scores", "probability") if scores else ("masks", None)
    plan = Plan(
        step="guided-filter", out=out, kind=kind, options={"read": read, **parameters}, classes=classes,
        data=data_ref(dataset), split=dataset.split, inputs=[folder.as_input(read)], supervision=inherit(manifest),
        score_type=score_type,
    )  # fmt: skip
    ids = run.select(shared_ids(folder, dataset))
    if read == "scores":
        return per_image(plan, run, ids, _Scores(folder, dataset, parameters, score_type), on=on)
    return per_image(plan, run, ids, _Masks(folder, dataset, table, parameters, scores), on=on)


@dataclass(frozen=True)
class _Scores:
    folder: MaskDir
    dataset: Dataset
    parameters: dict[str, Any]
    kind: str | None

    def __call__(self, name: str) -> Output:
        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output
        from wsscli.steps._sources import check_score_rows

        item, path = self.folder.scores(name), self.folder.scores_path(name)
        if self.folder.classes is not None:
            check_score_rows(item, path, self.folder.classes)
        sums = self.kind in ("probability", "soft-label")
        if sums:
            self._check_sums(item, path)
        maps = _filtered(self.dataset, name, item.full(), path, self.parameters)
        maps.clip(0, 1 if self.kind == "saliency" else None, out=maps)
        if sums:
            maps /= maps.sum(axis=0)  # about 1 or more: the filter keeps the sum, and clipping adds to it
        return Output(scores=Scores(maps, item.classes, item.size))

    def _check_sums(self, item: Scores, path: Path) -> None:
        import numpy as np

        off = float(np.abs(item.scores.sum(axis=0) - 1).max(initial=0))
        if not off <= _SUM:
            raise WssError(f"{path}: holds {self.kind} scores whose sum is off 1 by {off:.4g}; make the scores again")


@dataclass(frozen=True)
class _Masks:
    folder: MaskDir
    dataset: Dataset
    table: ClassTable
    parameters: dict[str, Any]
    scores: bool

    def __call__(self, name: str) -> Output:
        import numpy as np

        from wsscli.classes import IGNORE
        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output
        from wsscli.steps._sources import check_values

        mask, path = self.folder.mask(name), self.folder.mask_path(name)
        check_values(mask, path, self.table)
        classes = np.unique(mask[mask != IGNORE]).astype(np.int64)
        if not len(classes):
            reason = "the mask is all 255"
            return Output(dropped=reason) if self.scores else Output(mask=mask, fell_back=reason)
        votes = (mask == classes[:, None, None]).astype(np.float32)  # (K, H, W): 255 votes for none
        maps = _filtered(self.dataset, name, votes, path, self.parameters)
        refined = classes[maps.argmax(axis=0)].astype(np.uint8)
        silent = self._out_of_reach(mask != IGNORE)
        refined[silent] = IGNORE
        count = int(silent.sum())
        fell_back = f"no label reaches {count} pixels, which stay 255" if count else None
        if not self.scores:
            return Output(mask=refined, fell_back=fell_back)
        # as if 255 had voted for all alike: the strongest stays the same, and the maps sum to 1
        maps += (1 - maps.sum(axis=0)) / len(classes)
        maps.clip(0, None, out=maps)
        maps /= maps.sum(axis=0)
        if classes[0] != 0:  # probabilities always have a row for the background
            maps, classes = np.concatenate([np.zeros_like(maps[:1]), maps]), np.concatenate([[0], classes])
        return Output(mask=refined, scores=Scores(maps, classes, mask.shape), fell_back=fell_back)

    def _out_of_reach(self, labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Pixels at which every map is exactly 0: a pass carries a value across two half windows and no further."""
        import numpy as np
        from scipy.ndimage import distance_transform_cdt

        reach = self.parameters["iterations"] * 2 * (self.parameters["window"] // 2)
        if labelled.all() or reach >= max(labelled.shape):
            return np.zeros_like(labelled)
        return np.asarray(distance_transform_cdt(~labelled, metric="chessboard") > reach)


def _filtered(
    dataset: Dataset, name: str, maps: NDArray[np.float32], path: Path, parameters: dict[str, Any]
) -> NDArray[np.float32]:
    import numpy as np

    from wsscli.refine.guided_filter import guided_filter
    from wsscli.steps._sources import check_size

    image = dataset.image(name)
    check_size((maps.shape[1], maps.shape[2]), path, (image.shape[0], image.shape[1]), dataset.image_path(name))
    if not np.isfinite(maps).all():
        raise WssError(f"{path}: holds NaN or infinity; make the scores again")
    return guided_filter(image, maps, **parameters)
