"""`wss argmax`: score maps become masks, nothing else happens to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.steps._cluster import Cluster
from wsscli.steps._run import Run

if TYPE_CHECKING:
    from wsscli.maskdir.writer import Output
    from wsscli.steps._sources import Probabilities


def argmax(
    source: Path, out: Path, *, background: str | None = None, run: Run = Run(), on: Cluster = Cluster()
) -> Path:
    """Turn score maps into masks: at each pixel the class with the largest score.

    Cam scores have no background: `const:T` sets a pixel to its class where the class's map, divided by its own
    maximum, exceeds T; with `power:A` the background is (1 - largest normalised map)^A.

    Args:
        source: A directory with scores.
        out: The directory to write.
        background: For cam scores only: const:T or power:A; const:0.2 when left out.
        run: Options of every step.
        on: Where to work.

    Returns:
        `out`: masks of the photos' sizes; of equal scores the smallest class id wins.

    Raises:
        UsageError: `background` is given for scores that have their own, or is no rule.
        WssError: the directory has no scores of classes.
    """
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.seeds.background import DEFAULT_BACKGROUND
    from wsscli.steps._ledger import inherit
    from wsscli.steps._run import Plan, per_image
    from wsscli.steps._sources import Probabilities

    folder = open_maskdir(source, need="scores")
    probabilities = Probabilities.of(folder, background, default=DEFAULT_BACKGROUND)
    manifest = folder.manifest
    assert manifest is not None  # scores are read from directories written by wss only
    plan = Plan(
        step="argmax", out=out, kind="masks", options={"background": probabilities.rule}, classes=manifest.classes,
        data=manifest.data, split=manifest.split, inputs=[folder.as_input("scores")], supervision=inherit(manifest),
    )  # fmt: skip
    return per_image(plan, run, run.select(folder.ids), _Argmax(probabilities), on=on)


@dataclass(frozen=True)
class _Argmax:
    probabilities: Probabilities

    def __call__(self, name: str) -> Output:
        from wsscli.maskdir.writer import Output

        p, classes = self.probabilities.read(name)
        return Output(mask=classes[p.argmax(axis=0)].astype("uint8"))
