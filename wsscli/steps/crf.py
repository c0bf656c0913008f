"""`wss crf`: scores or masks refined by a fully connected CRF on the photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError
from wsscli.steps._cluster import Cluster
from wsscli.steps._data import Data
from wsscli.steps._run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output
    from wsscli.steps._sources import Probabilities

Read = Literal["scores", "masks"]


def crf(
    source: Path,
    out: Path,
    *,
    read: Read | None = None,
    preset: Literal["koltun", "deeplab"] = "koltun",
    iterations: int = 10,
    gauss_sxy: float | None = None,
    gauss_compat: float | None = None,
    bilateral_sxy: float | None = None,
    bilateral_srgb: float | None = None,
    bilateral_compat: float | None = None,
    background: str | None = None,
    label_confidence: float | None = None,
    all_labels: bool = False,
    scores: bool = False,
    engine: Literal["lattice", "pydensecrf"] = "lattice",
    data: Data = Data(),
    run: Run = Run(),
    on: Cluster = Cluster(),
) -> Path:
    """Refine scores or masks with a fully connected CRF on the photo.

    Only labels that occur take part: of masks those in the image, of scores those that are the largest somewhere.
    The cost grows with their number, and a label that wins nowhere hardly ever wins after the CRF.

    Args:
        source: A directory with scores (its probabilities are used) or masks.
        out: The directory to write.
        read: What to use of a directory that has both; its scores when left out.
        preset: Parameters of the two kernels: koltun 3/3 and 80/13/10, deeplab 1/3 and 67/3/4.
        iterations: Mean-field iterations.
        gauss_sxy: Instead of the preset's: spread of the position kernel, pixels.
        gauss_compat: Instead of the preset's: its weight.
        bilateral_sxy: Instead of the preset's: spread of the colour kernel, pixels.
        bilateral_srgb: Instead of the preset's: spread of the colour kernel in colour, of 255.
        bilateral_compat: Instead of the preset's: its weight.
        background: For cam scores only: const:T or power:A (see `wss argmax`); power:7 when left out.
        label_confidence: For masks only: probability of the mask's label, 0.7 when left out; 255 is uniform.
        all_labels: Every row of the scores takes part, also labels that are the largest nowhere.
        scores: Write the marginals as well (at the photo's size: about 0.4 MB a label).
        engine: The built-in lattice, or pydensecrf (an extra, for comparison).
        data: The data set; from the manifest by default.
        run: Options of every step.
        on: Where to work.

    Returns:
        `out`: masks without 255; a mask that is all 255 is passed on (`fell_back`; under `scores` it is dropped).

    Raises:
        UsageError: an option does not fit what is read, or is out of range.
        WssError: sizes, ids or classes do not fit.
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.refine.crf import LABEL_CONFIDENCE, PRESETS, check_confidence, check_options
    from wsscli.seeds.background import REFINED_BACKGROUND
    from wsscli.steps._data import data_ref, dataset_for
    from wsscli.steps._ledger import inherit
    from wsscli.steps._run import Plan, per_image
    from wsscli.steps._sources import Probabilities, shared_ids, table_beside

    folder = open_maskdir(source, need=read or "any")
    if read is None:
        read = "scores" if folder.has_scores else "masks"
    probabilities = None
    if read == "scores":
        if label_confidence is not None:
            raise UsageError(
                "--label-confidence is for masks, but scores are read here; take --read masks or leave it out"
            )
        probabilities = Probabilities.of(folder, background, default=REFINED_BACKGROUND)
    else:
        if background is not None:
            raise UsageError("--background is for cam scores, but masks are read here; leave it out")
        if all_labels:
            raise UsageError("--all-labels is for scores, but masks are read here; leave it out")
        label_confidence = LABEL_CONFIDENCE if label_confidence is None else label_confidence
        check_confidence(label_confidence)
    own = {
        "gauss_sxy": gauss_sxy,
        "gauss_compat": gauss_compat,
        "bilateral_sxy": bilateral_sxy,
        "bilateral_srgb": bilateral_srgb,
        "bilateral_compat": bilateral_compat,
    }
    kernels = PRESETS[preset] | {name: value for name, value in own.items() if value is not None}
    parameters: dict[str, Any] = {"engine": engine, "iterations": iterations, **kernels}
    check_options(**parameters)

    manifest = folder.manifest
    dataset = dataset_for(data, manifest)
    classes = table_beside(folder, dataset)
    plan = Plan(
        step="crf", out=out, kind="masks+scores" if scores else "masks", classes=classes,
        options={
            "read": read, **parameters, "background": probabilities.rule if probabilities else None,
            "label_confidence": label_confidence, "all_labels": all_labels,
        },
        data=data_ref(dataset), split=dataset.split, inputs=[folder.as_input(read)], supervision=inherit(manifest),
        score_type="probability" if scores else None,
    )  # fmt: skip
    work = _Crf(folder, dataset, classes, probabilities, parameters, label_confidence, all_labels, scores)
    ids = run.select(shared_ids(folder, dataset))
    # pydensecrf holds the GIL: threads would wait for each other
    return per_image(plan, run, ids, work, backend="processes" if engine == "pydensecrf" else "threads", on=on)


@dataclass(frozen=True)
class _Crf:
    folder: MaskDir
    dataset: Dataset
    classes: ClassTable
    probabilities: Probabilities | None
    parameters: dict[str, Any]
    confidence: float | None
    all_labels: bool
    marginals: bool

    def __call__(self, name: str) -> Output:
        from wsscli.maskdir.writer import Output

        if self.probabilities is not None:
            return self._refined(name, *self._from_scores(name, self.probabilities))
        mask = self._mask(name)
        if (mask == 255).all():
            reason = "the mask is all 255"
            return Output(dropped=reason) if self.marginals else Output(mask=mask, fell_back=reason)
        return self._refined(name, *self._from_mask(mask))

    def _mask(self, name: str) -> NDArray[np.uint8]:
        from wsscli.steps._sources import check_values

        mask = self.folder.mask(name)
        check_values(mask, self.folder.mask_path(name), self.classes)
        return mask

    def _from_mask(self, mask: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        import numpy as np

        from wsscli.refine.crf import label_probabilities

        assert self.confidence is not None  # settled above for masks
        classes = np.unique(mask[mask != 255]).astype(np.int64)
        return label_probabilities(mask, classes.tolist(), self.confidence), classes

    def _from_scores(self, name: str, source: Probabilities) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        import numpy as np

        p, classes = source.read(name)
        if self.all_labels:
            return p, classes
        occurring = np.unique(p.argmax(axis=0))
        return p[occurring], classes[occurring]

    def _refined(self, name: str, p: NDArray[np.float32], classes: NDArray[np.int64]) -> Output:
        import numpy as np

        from wsscli.maskdir.scores import Scores
        from wsscli.maskdir.writer import Output
        from wsscli.refine.crf import dense_crf
        from wsscli.steps._sources import check_size

        image = self.dataset.image(name)
        size = (image.shape[0], image.shape[1])
        path = self.folder.scores_path(name) if self.probabilities is not None else self.folder.mask_path(name)
        check_size((p.shape[1], p.shape[2]), path, size, self.dataset.image_path(name))
        q = dense_crf(image, p, **self.parameters)
        mask = classes[q.argmax(axis=0)].astype(np.uint8)
        if not self.marginals:
            return Output(mask=mask)
        if classes[0] != 0:  # probabilities always have a row for the background, also where it took no part
            q = np.concatenate([np.zeros_like(q[:1]), q])
            classes = np.concatenate([[0], classes])
        return Output(mask=mask, scores=Scores(q, classes, size))
