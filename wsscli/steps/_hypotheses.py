"""`make-seeds --method hypotheses`: its options, and what it makes of the candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._candidates import CrossImage, Finder, own_rows
from wsscli.steps._foreground import not_one_class
from wsscli.steps._heatmaps import Made, threads_on
from wsscli.steps._ledger import inherit

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.writer import Output
    from wsscli.steps._classifier import Loaded
    from wsscli.steps._run import Run


@dataclass(frozen=True)
class Hypotheses:
    """Options of `--method hypotheses`.

    Attributes:
        proposals: A directory of `wss propose` or `wss import proposals`.
        crop_hypotheses: Send the crop of every proposal through the net, as the paper does, in place of one feature
            map of the photo for all: slow. As the model was trained, when left out.
        min_score: Proposals of a higher score are candidates of a class of the image.
        min_area: Proposals of a smaller share of the image are no candidates.
        cross_image: Keep the half of the candidates that is most like the candidates of the class's other images;
            --no-cross-image keeps all.
        keep: nearest = those most like the other images' stay (what the paper argues for); farthest = those least
            like them (what it says).
        keep_share: Of an image's candidates of a class this share stays, rounded up.
        pca_energy: Features are compared in the principal components that hold this share of their variance.
        unit_features: Compare the directions of features alone: each is divided by its length.
        normalise: Divide the localization map of each class by its maximum.
        candidates: What the rough masks choose from: selected = all candidates, before the half is taken; refined =
            those that stayed; all = all proposals of the image.
        joined: Proposals of a class that make up its part of the rough mask.
    """

    proposals: Path | None = None
    crop_hypotheses: bool | None = None
    min_score: float = 0.5
    min_area: float = 0.02
    cross_image: bool = True
    keep: Literal["nearest", "farthest"] = "nearest"
    keep_share: float = 0.5
    pca_energy: float = 0.98
    unit_features: bool = True
    normalise: bool = True
    candidates: Literal["selected", "refined", "all"] = "selected"
    joined: int = 100

    def recorded(self) -> dict[str, Any]:
        """The options that take part."""
        names = ["crop_hypotheses", "min_score", "min_area", "cross_image", "normalise", "candidates", "joined"]
        names += ["keep", "keep_share", "pca_energy", "unit_features"] if self.cross_image else []
        return {name: getattr(self, name) for name in names}


def check_hypotheses(model: Path | None, options: Hypotheses) -> tuple[Path, Path]:
    """The directories of the model and of the proposals.

    Raises:
        UsageError: one is not given, or a value is out of range.
    """
    from wsscli.seeds import cross_image, localization

    if model is None or str(model) == "imagenet":
        raise UsageError("--method hypotheses needs a model of `wss train-cls --arch hcp`: name it with --model")
    if options.proposals is None:
        raise UsageError(
            "--method hypotheses needs proposals: make them with `wss propose` and name the directory with --proposals"
        )
    cross_image.check_options(energy=options.pca_energy, share=options.keep_share)
    localization.check_options(threshold=options.min_score, joined=options.joined, min_area=options.min_area)
    return model, options.proposals


def hypotheses(
    loaded: Loaded,
    proposals: MaskDir,
    dataset: Dataset,
    ids: Sequence[str],
    labels: Mapping[str, tuple[int, ...]],
    options: Hypotheses,
    label_count: Literal["single", "all"],
    device: torch.device,
    run: Run,
) -> Made:
    """The method: localization maps as scores, rough masks as masks.

    Raises:
        WssError: no image has exactly one class, and others are not wanted.
    """
    single, names = label_count == "single", dataset.classes.names
    wanted = [name for name in ids if labels[name] and (len(labels[name]) == 1 or not single)]
    if single and not wanted:
        raise WssError(f"{dataset.root}: none of the {len(ids)} images has exactly one class; take --label-count all")
    finder = Finder(loaded, proposals, dataset, labels, options, device)
    others = CrossImage(finder, run, wanted) if options.cross_image else None

    def work(name: str) -> Output:
        import numpy as np

        from wsscli.maskdir.writer import Output
        from wsscli.seeds.localization import localization_maps, rough_mask

        classes = labels[name]
        if single and len(classes) != 1:
            return Output(dropped=not_one_class(classes, names))
        regions = finder.regions(name)
        if not classes:
            return _output(localization_maps(regions, []), np.zeros(regions.size, np.uint8), (), ["no class"])
        seen = others.read(name) if others is not None else finder.look(name, regions)
        chosen = finder.select(seen)
        refined, alone = [selection.rows for selection in chosen], []
        if others is not None:
            for k, (c, rows) in enumerate(own_rows(classes, chosen, len(regions))):
                stay = others.refined(c, seen.features[rows]) if len(rows) else None
                if stay is not None:
                    refined[k] = refined[k][stay]
                elif len(rows):
                    alone.append(names[c])
        maps = localization_maps(regions, refined, normalise=options.normalise)
        pools = {
            "selected": [selection.rows for selection in chosen], "refined": refined,
            "all": [np.arange(len(regions))] * len(classes),
        }[options.candidates]  # fmt: skip
        mask = rough_mask(regions, seen.scores, maps, classes, pools, joined=options.joined)
        poor = [names[c] for c, selection in zip(classes, chosen, strict=True) if selection.fell_back]
        reasons = []
        if not len(regions):
            reasons = ["no proposals"]
        elif poor:
            large = " large enough" if options.min_area else ""
            reasons = [f"no proposal{large} scores above {options.min_score:g}, the best one taken: {', '.join(poor)}"]
        if alone:
            reasons.append(f"the only image of its class, all candidates kept: {', '.join(alone)}")
        return _output(maps, mask, classes, reasons)

    return Made(
        work,
        "masks+scores",
        {"model": "trained", **options.recorded(), "label_count": label_count, "device": device.type},
        (*loaded.inputs, proposals.as_input("proposals")),
        (*loaded.supervision, *inherit(proposals.manifest)),
        threads_on(device),
        "soft-label",
        around=others.around if others is not None else None,
    )


def _output(
    maps: NDArray[np.float32], mask: NDArray[np.uint8], classes: Sequence[int], reasons: Sequence[str]
) -> Output:
    """The maps at half their resolution, which keeps a quarter of the bytes."""
    import cv2
    import numpy as np

    from wsscli.maskdir.scores import Scores
    from wsscli.maskdir.writer import Output

    height, width = mask.shape
    half = (-(-width // 2), -(-height // 2))
    small = np.stack([cv2.resize(m, half, interpolation=cv2.INTER_AREA) for m in maps])
    scores = Scores(small, np.array([0, *classes], np.int64), (height, width))
    return Output(mask=mask, scores=scores, fell_back="; ".join(reasons) or None)
