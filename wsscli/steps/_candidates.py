"""The candidates behind `make-seeds --method hypotheses`: found in each image, compared between images.

Equation 1 compares an image's candidates with those of all other images of the class. So every image is seen twice: the
first time its proposals are scored, and the features of the candidates go to a file of the output directory; the second
time they come from there. In between all files are read twice, for the principal components and for the sums of the
classes. Memory is that of the images in hand; a run that was killed finds its files and goes on.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wsscli.errors import WssError
from wsscli.steps._sources import check_size
from wsscli.steps._workers import side_by_side

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.maskdir.proposals import ProposalSet
    from wsscli.seeds.cross_image import Basis, ClassSums
    from wsscli.seeds.localization import Selection
    from wsscli.steps._classifier import Loaded
    from wsscli.steps._hypotheses import Hypotheses
    from wsscli.steps._run import Job, Run

FEATURES = "features"  # of the candidates, in the output directory while it is made


class Seen(NamedTuple):
    """What the first look finds in an image of K classes with n proposals."""

    scores: NDArray[np.float32]
    """(n,K) of the image's classes."""
    large: NDArray[np.bool_]
    """(n,), of an area that a candidate must have."""
    features: NDArray[np.float32]
    """(m,D) of all candidates of any class, ascending by rank; of length 1 if so wanted."""

    def encode(self) -> bytes:
        """An npz file: stored, no pickle; features as float16 where they fit."""
        import numpy as np

        fits = float(np.abs(self.features).max(initial=0)) <= float(np.finfo(np.float16).max)
        buffer = io.BytesIO()
        features = self.features.astype(np.float16 if fits else np.float32)
        np.savez(buffer, scores=self.scores, large=self.large, features=features)
        return buffer.getvalue()

    @classmethod
    def read(cls, path: Path) -> Seen:
        """Raises WssError when the file is damaged."""
        import numpy as np

        try:
            with np.load(path, allow_pickle=False) as archive:
                return cls(archive["scores"], archive["large"], archive["features"].astype(np.float32))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise WssError(
                f"{path}: cannot be read as features of candidates ({str(error).splitlines()[0]}); remove it and run "
                "the same command again"
            ) from error


class Finder:
    """Scores the proposals of images; called from several threads at once."""

    def __init__(
        self,
        loaded: Loaded,
        proposals: MaskDir,
        dataset: Dataset,
        labels: Mapping[str, tuple[int, ...]],
        options: Hypotheses,
        device: torch.device,
    ):
        import threading

        self.loaded, self.proposals, self.dataset, self.labels = loaded, proposals, dataset, labels
        self.options, self.device = options, device
        self.turn = nullcontext() if device.type == "cpu" else threading.Lock()  # memory stays that of one image

    def regions(self, name: str) -> ProposalSet:
        """Raises WssError when the proposals are of another photo."""
        found = self.proposals.proposals(name)
        path, photo = self.proposals.proposals_path(name), self.dataset.image_path(name)
        check_size(found.size, path, self.dataset.size(name), photo)
        return found

    def look(self, name: str, regions: ProposalSet) -> Seen:
        import numpy as np
        import torch

        from wsscli.nets.hcp import score_hypotheses

        if self.device.type == "cpu":
            torch.set_num_threads(1)  # counts for the calling thread
        image, crop = self.dataset.image(name), bool(self.options.crop_hypotheses)
        with self.turn:
            scores, features = score_hypotheses(self.loaded.net, image, regions.boxes, crop=crop)
        scores = scores[:, [self.loaded.channels[c] for c in self.labels[name]]]
        height, width = regions.size
        seen = Seen(scores, regions.areas >= self.options.min_area * height * width, features[:0])
        features = features[rows_of(self.select(seen), len(scores))]
        if self.options.unit_features:
            features /= np.linalg.norm(features, axis=1, keepdims=True).clip(np.finfo(np.float32).tiny)
        return seen._replace(features=features)

    def select(self, seen: Seen) -> list[Selection]:
        """The candidates of each class."""
        from wsscli.seeds.localization import select

        return [select(column, self.options.min_score, seen.large) for column in seen.scores.T]


def rows_of(chosen: Sequence[Selection], n: int) -> NDArray[np.int64]:
    """Which of n proposals are candidates of some class, ascending."""
    import numpy as np

    flags = np.zeros(n, bool)
    for selection in chosen:
        flags[selection.rows] = True
    return np.flatnonzero(flags)


class CrossImage:
    """The features of the candidates of all images, on disk, and what their comparison needs of them."""

    def __init__(self, finder: Finder, run: Run, ids: Sequence[str]):
        self.finder, self.run, self.ids = finder, run, ids
        self.failed: dict[str, WssError] = {}
        self.folder = Path()
        self.basis: Basis | None = None
        self.sums: dict[int, ClassSums] = {}

    @contextmanager
    def around(self, job: Job) -> Iterator[None]:
        """The first look, the sums; when all is done the files go."""
        self.folder = job.path / FEATURES
        if job.todo:
            todo = frozenset(job.todo)
            names = [name for name in self.ids if name in todo and not self._path(name).exists()]
            side_by_side(self._store, names, self.run.threads, "make-seeds: candidates", lambda _: None)
            self._sum_up()
        yield
        shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, name: str) -> Seen:
        """What the first look found.

        Raises:
            WssError: what it failed with.
        """
        if name in self.failed:
            raise self.failed[name]
        return Seen.read(self._path(name))

    def refined(self, c: int, rows: NDArray[np.float32]) -> NDArray[np.int64] | None:
        """Which of an image's candidates (n,D) of a class stay; None: there is no other image."""
        from wsscli.seeds.cross_image import kept

        if self.sums[c].images < 2:
            return None
        assert self.basis is not None
        distances = self.sums[c].distances(self.basis.project(rows))
        options = self.finder.options
        return kept(distances, keep=options.keep, share=options.keep_share)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _store(self, name: str) -> None:
        from wsscli.maskdir.files import write_atomic

        try:
            regions = self.finder.regions(name)
            write_atomic(self._path(name), self.finder.look(name, regions).encode())
        except WssError as error:
            if not self.run.keep_going:
                raise
            self.failed[name] = error  # the second look says so

    def _sum_up(self) -> None:
        """Principal components of all candidates, then the sums of each class; in the order of the ids."""
        from wsscli.progress import track
        from wsscli.seeds.cross_image import ClassSums, Moments

        names = [name for name in self.ids if self._path(name).exists()]
        moments = Moments()
        with track(2 * len(names), "make-seeds: comparing") as progress:
            for name in names:
                moments.add(Seen.read(self._path(name)).features)
                progress.advance()
            if not moments.count:
                return
            self.basis = moments.basis(self.finder.options.pca_energy)
            for name in names:
                seen = Seen.read(self._path(name))
                projected = self.basis.project(seen.features)
                for c, rows in own_rows(self.finder.labels[name], self.finder.select(seen), len(seen.scores)):
                    if len(rows):
                        self.sums.setdefault(c, ClassSums()).add(projected[rows])
                progress.advance()


def own_rows(classes: Sequence[int], chosen: Sequence[Selection], n: int) -> list[tuple[int, NDArray[np.int64]]]:
    """For each class the rows of its candidates among the features of all candidates."""
    import numpy as np

    together = rows_of(chosen, n)
    return [(c, np.searchsorted(together, selection.rows)) for c, selection in zip(classes, chosen, strict=True)]
