"""Training on seeds: its options, its objective, and who watches the supervision."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError, WssError
from wsscli.steps._options import changed, flag

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.manifest import Input
    from wsscli.train.objectives import Seeds, Watch


@dataclass(frozen=True)
class Seeding:
    """Options of a training on seeds (`--loss seed` or `balanced-seed`).

    Attributes:
        boundary: Weight of the boundary loss (the net's maps against their own CRF); 0 leaves it out.
        grow: Seeds grow, in every step anew, into what the net is sure of after the CRF (DSRG).
        theta_fg: With --grow: probability from which a foreground class takes a pixel; inf: it does not grow.
        theta_bg: With --grow: the same of the background.
        original_quirks: With --grow: grow as the authors' code does (see `wss grow`).
        crf_engine: The CRF of the boundary loss and of growing: lattice (CPU threads), dense (exact, a matrix
            product), auto = dense on a GPU, else lattice.
        crf_unary: The CRF's unary term: probability = minus the net's probabilities, as DSRG's code has it (an
            unsure net stays unsure), log-probability = -log of them, as SEC's.
        crf_scale: Photo pixels a step of the loss's grid, which divide the CRF's distances 80 and 3.
        crf_grad: Gradient of the boundary loss through the CRF: none (SEC), or as the DSRG code has it.
        watch_supervision: True masks (a directory of them, or `truth` for the data set's own) that the supervision
            is measured by, per epoch, in log.jsonl and supervision.svg. They do not enter the training.
        snapshot_supervision: Image ids whose supervision is drawn after every epoch, under supervision/.
    """

    boundary: float = 1.0
    grow: bool = False
    theta_fg: float = 0.85
    theta_bg: float = 0.99
    original_quirks: bool = False
    crf_engine: Literal["auto", "lattice", "dense"] = "auto"
    crf_unary: Literal["probability", "log-probability"] = "probability"
    crf_scale: float = 12.0
    crf_grad: Literal["none", "dsrg"] = "none"
    watch_supervision: str | None = None
    snapshot_supervision: tuple[str, ...] = ()


def check_seeding(seeding: Seeding, loss: str) -> None:
    """Raises UsageError for a value out of range, or an option that this loss does not take."""
    given = changed(seeding)
    if loss in ("ce", "soft"):
        if given:
            raise UsageError(f"{flag(given[0])}: --loss {loss} has no seeds; take --loss balanced-seed or seed")
        return
    growing = [name for name in ("theta_fg", "theta_bg", "original_quirks") if name in given]
    if growing and not seeding.grow:
        raise UsageError(f"{flag(growing[0])}: nothing grows; add --grow")
    if not (seeding.grow or seeding.boundary):
        unused = [name for name in ("crf_engine", "crf_unary", "crf_scale") if name in given]
        if unused:
            raise UsageError(f"{flag(unused[0])}: there is no CRF without --grow and with --boundary 0")
    if seeding.crf_grad != "none" and not seeding.boundary:
        raise UsageError("--crf-grad: there is no boundary loss with --boundary 0")
    for name in ("theta_fg", "theta_bg"):
        if not getattr(seeding, name) >= 0:
            raise UsageError(
                f"{flag(name)} {getattr(seeding, name)}: give a probability (0.85 and 0.99 are usual) or inf"
            )
    if not 0 <= seeding.boundary < float("inf"):
        raise UsageError(f"--boundary {seeding.boundary}: give 0 or more")
    if not 1e-3 <= seeding.crf_scale <= 1e3:
        raise UsageError(f"--crf-scale {seeding.crf_scale:g}: give 0.001 to 1000")


def seeding_options(seeding: Seeding, device: str) -> dict[str, Any]:
    """What the manifest says of them; JSON has no infinity."""
    values = {field.name: getattr(seeding, field.name) for field in fields(seeding)}
    for name in ("theta_fg", "theta_bg"):
        if values[name] == float("inf"):
            values[name] = "inf"
    if values["crf_engine"] == "auto":
        values["crf_engine"] = "lattice" if device == "cpu" else "dense"
    values["watch_supervision"] = seeding.watch_supervision is not None
    values["snapshot_supervision"] = list(seeding.snapshot_supervision)
    return values


def objective_of(seeding: Seeding, loss: Any, stride: int, step: int, watch: Watch | None) -> Seeds:
    """The training's objective."""
    from wsscli.train.objectives import Seeds

    return Seeds(
        stride,
        step,
        loss=loss,
        boundary=seeding.boundary,
        boundary_gradient=seeding.crf_grad,
        grow=seeding.grow,
        theta_fg=seeding.theta_fg,
        theta_bg=seeding.theta_bg,
        original_quirks=seeding.original_quirks,
        crf_engine=seeding.crf_engine,
        crf_unary=seeding.crf_unary,
        crf_scale=seeding.crf_scale,
        watch=watch,
    )


def watched_by(where: str | None) -> list[Input]:
    """The directory of true masks as an entry of the lineage: another one is another training's log."""
    from wsscli.maskdir.maskdir import open_maskdir

    if where is None or where == "truth":
        return []
    return [open_maskdir(Path(where), need="masks").as_input("watch")]


def truth_reader(
    where: str | None, dataset: Dataset, classes: ClassTable | None, ids: list[str], option: str = "--watch-supervision"
) -> Callable[[str], NDArray[np.uint8]] | None:
    """What reads the true masks that supervision is watched with; None when nobody watches.

    Args:
        where: a directory of them, or `truth` for the data set's own.
        dataset: of the photos.
        classes: the table of the supervision; None: only foreground counts, masks of any table do.
        ids: the images that need one.
        option: what `where` is called on the command line, for the messages.

    Raises:
        WssError: the data set has none, or an image has none, or a mask does not fit its image or the table.
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.steps._sources import check_table, class_free_reader, mask_reader

    if where is None:
        return None
    if where == "truth":
        if not dataset.has_truth:
            raise WssError(f"{dataset.root}: has no true masks; give a directory of them with {option} DIR")

        def own(name: str) -> NDArray[np.uint8]:
            mask, (height, width) = dataset.truth(name), dataset.size(name)
            if mask.shape != (height, width):
                raise WssError(
                    f"{dataset.root}: the true mask of '{name}' is {mask.shape[0]} x {mask.shape[1]} (height x "
                    f"width), but {dataset.image_path(name)} is {height} x {width}; both must be of the photo's size"
                )
            return mask

        return own
    folder = open_maskdir(Path(where), need="masks")
    check_table(folder.classes, folder.path, classes, dataset.root, class_free=False)
    there = frozenset(folder.ids)
    missing = [name for name in ids if name not in there]
    if missing:
        raise WssError(
            f"{folder.path}: no true mask of {len(missing)} of the {len(ids)} images, the first is '{missing[0]}'; "
            f"train on a part with --ids, or leave {option} out"
        )
    return class_free_reader(folder, dataset) if classes is None else mask_reader(folder, dataset, classes)
