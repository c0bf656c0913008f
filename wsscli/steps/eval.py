"""`wss eval`: how good masks, seeds or score maps are, against true masks."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from wsscli.errors import UsageError
from wsscli.steps._cluster import Cluster
from wsscli.steps._data import Data
from wsscli.steps._eval_detections import evaluate_detections
from wsscli.steps._eval_instances import evaluate_instances
from wsscli.steps._eval_masks import evaluate_masks
from wsscli.steps._eval_proposals import evaluate_proposals
from wsscli.steps._evaluation import Judged
from wsscli.steps._run import Run

_MASKS = "masks"  # what is judged where no kind is named
_TAKEN_BY = {  # options that not all kinds take
    **dict.fromkeys(
        ("truth", "unlabelled", "missing_truth", "background", "sweep", "boundary", "foreground", "bootstrap", "draws"),
        (_MASKS,),
    ),
    "classes": (_MASKS, "detections", "instances"),
    "keep": ("proposals",), "min_object": ("proposals",), "protocol": ("instances",),
    "boxes": ("detections", "instances"),
    "cluster": (_MASKS, "proposals"),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Which images to judge, and how many at a time.

    Attributes:
        ids: Only the image ids listed in this file, one a line.
        limit: Only the first N images (of the sorted ids).
        seed: Seed of the bootstrap's draws.
        workers: Images at a time, 0 = one a core. Results do not depend on it.
        dry_run: Say what would be judged, and do nothing.
    """

    ids: Path | None = None
    limit: int | None = None
    seed: int = 0
    workers: int = 0
    dry_run: bool = False

    @property
    def run(self) -> Run:
        return Run(self.ids, self.limit, self.seed, self.workers, self.dry_run)


def evaluate(
    directories: list[Path],
    *,
    truth: Path | None = None,
    classes: tuple[str, ...] | None = None,
    unlabelled: Literal["miss", "background", "skip"] = "miss",
    missing: Literal["error", "background", "skip"] = "error",
    missing_truth: Literal["error", "skip"] = "error",
    background: str | None = None,
    sweep: str | None = None,
    boundary: bool = False,
    foreground: bool = False,
    proposals: bool = False,
    keep: tuple[int, ...] | None = None,
    min_object: float = 0.02,
    detections: bool = False,
    instances: bool = False,
    protocol: Literal["sds", "fcis"] = "sds",
    boxes: Path | None = None,
    bootstrap: bool = False,
    draws: int = 1000,
    data: Data = Data(),
    part: Part = Part(),
    on: Cluster = Cluster(),
) -> Judged | None:
    """Score masks, seeds or score maps against true masks: one confusion matrix over the whole set.

    With --proposals region proposals are judged instead, against true objects; with --detections boxes, against true
    ones; with --instances the masks of single objects.

    Args:
        directories: Mask directories, score directories, or plain folders of indexed PNGs; - reads one from stdin.
        truth: True masks from this directory instead of the data set's own.
        classes: Classes that the means run over, separated by commas; the matrix stays that of all classes.
        unlabelled: What an unlabelled prediction counts as in IoU and accuracies: miss (a missed pixel of its
            true class), background, or skip (as if it had no truth).
        missing: What an image without a mask is: error, background (all of it), or skip (left out everywhere).
        missing_truth: What an image without a true mask is: error, or skip (left out, and counted in the notes).
        background: Judge the argmax of cam scores beside this background, const:T or power:A.
        sweep: Judge cam scores at each of these constant backgrounds, 0.05:0.95:0.05 or 0.1,0.2,0.3.
        boundary: Add boundary IoU (outlines as wide as 2 % of the image's diagonal).
        foreground: Judge foreground against background, without classes: Jaccard index of every image (but those whose
            truth has no foreground), averaged per class of the images' labels (a class folder), then over these.
        proposals: Judge region proposals: average best overlap with the objects, and recall at 0.5 and 0.7, over the
            number of proposals kept. Objects are the instances of SegmentationObject, or COCO's, where the data set has
            them, else connected components of a class.
        keep: Of --proposals: how many of the best are kept, several numbers; 10 to 2000 by default.
        min_object: Of --proposals: smallest share of the image that makes a connected component an object.
        detections: Judge boxes that `wss detect` found: average precision, VOC 2012's, VOC 2007's and COCO's.
        instances: Judge single objects that `wss detect --instances` cut out: AP^r at overlaps 0.5, 0.7, 0.75, and
            COCO's. The truth is VOC's SegmentationObject or COCO's annotations, and without it every object that is
            alone of its class in its image: the class's pixels inside its box.
        protocol: Of AP^r. sds: more than the overlap, with the best object that none has hit before, area under the
            curve; fcis: the overlap or more, with the best object, eleven points.
        boxes: With --detections or --instances: true boxes from this list instead of the data set's own.
        bootstrap: Add the paired interval of each further directory's mIoU (or Jaccard) against the first's.
        draws: Draws of the bootstrap.
        data: The data set with the true masks; taken from the directories' manifests where it is left out.
        part: Which images.
        on: Where to work; of masks and of --proposals.

    Returns:
        The numbers; None under `dry_run`.

    Raises:
        WssError: splits or class tables differ, masks are missing or have other sizes or values than they may.
        UsageError: options that do not go together.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2015, section 4.3.
    """
    named = {"proposals": proposals, "detections": detections, "instances": instances}
    kind = _kind([name for name, given in named.items() if given])
    special = {
        "truth": truth, "classes": classes, "unlabelled": unlabelled, "missing_truth": missing_truth,
        "background": background, "sweep": sweep, "boundary": boundary, "foreground": foreground, "keep": keep,
        "min_object": min_object, "protocol": protocol, "boxes": boxes, "bootstrap": bootstrap, "draws": draws,
        "cluster": on.cluster,
    }  # fmt: skip
    _refuse(kind, special)
    if kind == "proposals":
        return evaluate_proposals(
            directories, keep=keep, missing=missing, least=min_object, data=data, run=part.run, on=on
        )  # fmt: skip
    if kind == "detections":
        return evaluate_detections(
            directories, boxes=boxes, classes=classes, missing=missing, data=data, run=part.run
        )  # fmt: skip
    if kind == "instances":
        return evaluate_instances(
            directories, protocol=protocol, boxes=boxes, classes=classes, missing=missing, data=data, run=part.run
        )  # fmt: skip
    return evaluate_masks(
        directories, truth=truth, classes=classes, unlabelled=unlabelled, missing=missing, missing_truth=missing_truth,
        background=background, sweep=sweep, boundary=boundary, foreground=foreground, bootstrap=bootstrap, draws=draws,
        data=data, run=part.run, on=on,
    )  # fmt: skip


def _kind(named: list[str]) -> str:
    """What is to be judged.

    Raises:
        UsageError: several things are.
    """
    if len(named) > 1:
        raise UsageError(f"--{named[0]} and --{named[1]}: judge each by itself, leave one of them out")
    return named[0] if named else _MASKS


def _refuse(kind: str, options: dict[str, Any]) -> None:
    """Raises UsageError for an option that was given and that is none of this kind's."""
    defaults = signature(evaluate).parameters
    for name, value in options.items():
        default = defaults[name].default if name in defaults else None  # --cluster is of a group
        if kind in _TAKEN_BY[name] or value == default:
            continue
        option = f"--{name.replace('_', '-')}"
        if kind == _MASKS:
            raise UsageError(f"{option}: is an option of --{_TAKEN_BY[name][0]}; add that, or leave {option} out")
        raise UsageError(f"{option}: does not go with --{kind}; leave one of them out")
