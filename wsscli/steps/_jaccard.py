"""`wss eval --foreground`: what is class-free about an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wsscli.errors import UsageError
from wsscli.steps._judge import Side, Tally
from wsscli.steps._mask_evaluation import Comparison, Row
from wsscli.steps._target import Target

if TYPE_CHECKING:
    from wsscli.evaluate.foreground import Groups

ALL = "all"
NO_LABEL = "(no label)"


def check_options(*, boundary: bool, sweep: str | None) -> None:
    """Raises UsageError for an option of eval that has no meaning without classes."""
    for name, given in (("--boundary", boundary), ("--sweep", sweep)):
        if given:
            raise UsageError(f"{name}: judges classes; leave it out with --foreground")


def groups_of(target: Target, names: Sequence[str]) -> Groups:
    """The class of every image: its image-level labels (several: it counts in each), or `all` where nobody has any.

    Images without a label among others that have one are a group of their own.
    """
    import numpy as np

    from wsscli.evaluate.foreground import Groups

    labels = [tuple(target.labels(name) or ()) if target.labels else () for name in names]
    used = sorted({c for found in labels for c in found})
    if not used or target.classes is None:
        return Groups((ALL,), np.ones((len(names), 1), np.bool_))
    member = np.array([[c in found for c in used] for found in labels], np.bool_).reshape(len(names), -1)
    titles = [target.classes.names[c] for c in used]
    bare = np.array([[not found] for found in labels], np.bool_)
    if bare.any():
        return Groups((*titles, NO_LABEL), np.hstack([member, bare]))
    return Groups(tuple(titles), member)


def chosen_groups(groups: Groups, classes: Sequence[str] | None) -> list[int] | None:
    """The columns that `--classes` names; None for all.

    Raises:
        UsageError: no image is of that class.
    """
    unknown = [name for name in classes or () if name not in groups.names]
    if unknown:
        raise UsageError(
            f"--classes {unknown[0]}: no image to judge is of that class; here are {', '.join(groups.names)}"
        )
    return [groups.names.index(name) for name in classes] if classes else None


def foreground_row(side: Side, tally: Tally, groups: Groups, chosen: list[int] | None, split: str, absent: int) -> Row:
    """The numbers of one directory."""
    import numpy as np

    from wsscli.evaluate.confusion import mean
    from wsscli.evaluate.foreground import class_means, jaccards

    values = jaccards(tally.images, tally.objects)
    means = class_means(values, groups.member)
    counted = (groups.member & np.isfinite(values)[:, None]).sum(axis=0)
    empty = tally.objects.count(0)
    manifest = side.folder.manifest
    columns = range(len(groups.names)) if chosen is None else chosen
    return Row(
        str(side.folder.path),
        "scores" if side.scores else "masks",
        side.background,
        list(manifest.supervision) if manifest else ["unknown"],
        split,
        len(values),
        absent,
        [groups.names[k] for k in columns if counted[k]],
        {"jaccard": mean(means, chosen)},
        {name: {"jaccard": float(means[k]), "images": float(counted[k])} for k, name in enumerate(groups.names)},
        tally.matrices[0],
        empty=empty,
        undecided=int(np.isnan(values).sum()) - empty,
    )


def compare(
    sides: Sequence[Side], tallies: Sequence[Tally], groups: Groups, chosen: list[int] | None, draws: int, seed: int
) -> list[Comparison]:
    """Each further directory against the first."""
    from wsscli.evaluate.foreground import jaccards, paired_jaccards

    first, *others = (jaccards(tally.images, tally.objects) for tally in tallies)
    out = []
    for side, values in zip(sides[1:], others, strict=True):
        f = paired_jaccards(first, values, groups.member, classes=chosen, draws=draws, seed=seed)
        one, other = str(sides[0].folder.path), str(side.folder.path)
        out.append(Comparison(one, other, f.difference, f.low, f.high, f.level, f.draws, f.resolved))
    return out
