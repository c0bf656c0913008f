"""Counting a chunk of images against their truth, for several directories at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsscli.errors import UsageError, WssError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.evaluate.confusion import Counts, Unlabelled
    from wsscli.maskdir.maskdir import MaskDir

Truth = Callable[[str], "tuple[NDArray[np.uint8], str]"]


@dataclass(frozen=True)
class Side:
    """One directory as it is to be judged.

    Attributes:
        folder: the directory.
        ids: the images it has.
        scores: judge the argmax of its scores instead of its masks.
        background: the rule that puts the background beside cam scores.
        thresholds: judge a constant background at each of these instead.
    """

    folder: MaskDir
    ids: frozenset[str]
    scores: bool = False
    background: str | None = None
    thresholds: tuple[float, ...] = ()


@dataclass
class Tally:
    """Sums of one directory over images: matrices (rules, n, n + 1), and what else was asked for.

    Attributes:
        matrices: as above.
        boundary: counts of boundary pixels.
        images: counts of every image.
        objects: without classes: pixels of every image's true foreground.
    """

    matrices: NDArray[np.int64]
    boundary: Counts | None = None
    images: list[Counts] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.matrices += other.matrices
        if self.boundary is not None and other.boundary is not None:
            for mine, theirs in zip(self.boundary, other.boundary, strict=True):
                mine += theirs
        self.images += other.images
        self.objects += other.objects


@dataclass(frozen=True)
class Judge:
    """What to count. `chunk` may run in any thread, in any order: integer sums do not mind.

    Attributes:
        truth: id -> true mask, and what to call it in an error.
        sides: the directories.
        n: number of classes with the background.
        unlabelled: the rule for unlabelled predictions (matters to boundaries and per-image counts here).
        boundary: count boundary pixels too.
        per_image: keep the counts of every image (for the bootstrap).
        foreground: any class is foreground, id 1, on both sides.
    """

    truth: Truth
    sides: Sequence[Side]
    n: int
    unlabelled: Unlabelled
    boundary: bool = False
    per_image: bool = False
    foreground: bool = False

    def empty(self) -> list[Tally]:
        """Zero sums, one a directory."""
        import numpy as np

        from wsscli.evaluate.confusion import Counts

        return [
            Tally(
                np.zeros((max(1, len(side.thresholds)), self.n, self.n + 1), np.int64),
                Counts(*np.zeros((3, self.n), np.int64)) if self.boundary else None,
            )
            for side in self.sides
        ]

    def chunk(self, names: Sequence[str]) -> list[Tally]:
        """The sums over these images; every true mask is read once, whatever the number of directories."""
        from wsscli.maskdir.classfree import class_free

        tallies = self.empty()
        for name in names:
            truth, where = self.truth(name)
            if self.foreground:
                truth = class_free(truth)
            for side, tally in zip(self.sides, tallies, strict=True):
                if side.thresholds:
                    self._sweep(side, tally, name, truth, where)
                else:
                    self._count(side, tally, name, truth, where)
        return tallies

    def _count(self, side: Side, tally: Tally, name: str, truth: NDArray[np.uint8], where: str) -> None:
        from wsscli.evaluate.boundary import boundary_counts
        from wsscli.evaluate.confusion import confusion, counts
        from wsscli.maskdir.classfree import class_free

        mask, what = prediction(side, name, truth.shape)
        if self.foreground:
            mask = class_free(mask)
        matrix = confusion(truth, mask, self.n, names=(where, what))
        tally.matrices[0] += matrix
        if self.per_image:
            tally.images.append(counts(matrix, self.unlabelled))
        if self.foreground:
            tally.objects.append(int(matrix[1].sum()))
        if tally.boundary is not None:
            found = boundary_counts(truth, mask, self.n, unlabelled=self.unlabelled)
            for total, part in zip(tally.boundary, found, strict=True):
                total += part

    def _sweep(self, side: Side, tally: Tally, name: str, truth: NDArray[np.uint8], where: str) -> None:
        import numpy as np

        from wsscli.evaluate.sweep import best_class, sweep_confusion

        if name in side.ids:
            scores = side.folder.scores(name)
            winner, strength = best_class(scores.full(), scores.classes)
        else:
            winner, strength = np.zeros(truth.shape, np.uint8), np.zeros(truth.shape, np.float32)
        what = str(side.folder.scores_path(name))
        tally.matrices += sweep_confusion(truth, winner, strength, list(side.thresholds), self.n, names=(where, what))


def prediction(side: Side, name: str, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], str]:
    """The predicted mask of an image and its file; all background where there is none (`--missing`)."""
    import numpy as np

    from wsscli.maskdir.png import read_mask

    path = side.folder.scores_path(name) if side.scores else side.folder.mask_path(name)
    if name not in side.ids:
        return np.zeros(shape, np.uint8), str(path)
    if not side.scores:
        return read_mask(path), str(path)
    from wsscli.seeds.background import add_background

    scores = side.folder.scores(name)
    full, ids = scores.full(), scores.classes
    if side.background is not None:
        full, ids = add_background(full, side.background), np.append(0, ids)
    if not len(full):
        return np.zeros(scores.size, np.uint8), str(path)
    return ids.astype(np.uint8)[full.argmax(axis=0)], str(path)


def choose_side(folder: MaskDir, background: str | None, thresholds: Sequence[float]) -> Side:
    """How a directory is to be judged: its masks, unless a background rule or a sweep asks for its scores.

    Raises:
        WssError: it has only cam scores and no rule, or a rule or sweep is asked of anything but cam scores.
        UsageError: both a rule and a sweep.
    """
    kind = folder.manifest.score_type if folder.manifest else None
    if background and thresholds:
        raise UsageError(f"--background {background} and --sweep: give one of them; a sweep tries all backgrounds")
    option = f"--background {background}" if background else "--sweep"
    if background or thresholds:
        if not folder.has_scores or kind != "cam":
            holds = f"{kind} scores" if folder.has_scores else "masks"
            raise WssError(
                f"{folder.path}: {option} puts a background beside cam scores, but here are {holds}; give a "
                "directory of make-seeds, or leave the option out"
            )
    elif not folder.has_masks:
        if kind == "cam":
            raise WssError(
                f"{folder.path}: cam scores without a background are no masks; add --background const:T or "
                "power:A, or --sweep 0.05:0.95:0.05"
            )
        if kind == "saliency":
            raise WssError(f"{folder.path}: holds saliency, which names no classes; evaluate the seeds made of it")
    use_scores = bool(background or thresholds) or not folder.has_masks
    return Side(folder, frozenset(folder.ids), use_scores, background or None, tuple(thresholds))
