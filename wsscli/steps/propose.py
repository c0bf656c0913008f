"""`wss propose`: regions of each photo that may be objects, ranked, without classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wsscli.errors import UsageError
from wsscli.steps._cluster import Cluster
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    from wsscli.maskdir.writer import Output


def propose(
    out: Path,
    *,
    method: Literal["hierarchical", "selective-search"] = "hierarchical",
    count: int = 2000,
    min_area: float = 0.004,
    longest: int = 500,
    mode: Literal["fast", "quality"] | None = None,
    data: Data = Data(),
    run: Run = Run(),
    on: Cluster = Cluster(),
) -> Path:
    """Write ranked region proposals of each photo: masks of what may be an object, best first, without classes.

    Nothing but the photos is read, so the supervision is none.

    Args:
        out: The directory to write.
        method: hierarchical = nodes, pairs and triples of several superpixel hierarchies; selective-search = Uijlings
            et al.
        count: At most so many proposals an image.
        min_area: Smallest share of the photo that a proposal may take.
        longest: Photos with a longer side (pixels) are shrunk to it while they are looked at.
        mode: Of selective-search: fast (the default; 8 hierarchies), or quality (80).
        data: The data set.
        run: Common options.
        on: Where to work.

    Returns:
        The directory.

    Raises:
        UsageError: an option out of its range, or `mode` for another method.
        WssError: a photo cannot be read.

    Source: Arbelaez et al., "Multiscale Combinatorial Grouping", CVPR 2014; Uijlings et al., "Selective Search for
        Object Recognition", IJCV 2013.
    """
    if count < 1:
        raise UsageError(f"--count {count}: give 1 or more")
    if not 0 <= min_area < 1:
        raise UsageError(f"--min-area {min_area:g}: give a share of the photo, 0 or more and below 1")
    if longest < 16:
        raise UsageError(f"--longest {longest}: give 16 pixels or more")
    if mode is not None and method != "selective-search":
        raise UsageError(f"--mode is of --method selective-search, not of {method}; leave it out")
    dataset = dataset_for(data)
    ids = run.select(dataset.ids)
    options: dict[str, Any] = {"count": count, "min_area": min_area, "longest": longest}
    if method == "selective-search":
        options["mode"] = mode or "fast"
    drawn = {"seed": run.seed} if method == "selective-search" else {}  # the other ranks without chance

    def work(name: str) -> Output:
        from wsscli.maskdir.proposals import ProposalSet
        from wsscli.maskdir.writer import Output
        from wsscli.methods import resolve

        return Output(proposals=ProposalSet(*resolve(method)(dataset.image(name), **options, **drawn)))

    plan = Plan(
        "propose", out, "proposals", {"method": method, **options}, data=data_ref(dataset), split=dataset.split,
    )  # fmt: skip
    return per_image(plan, run, ids, work, on=on)
