"""A share of a step's images: `--shard I/N`, and the ranks of a launcher."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import PartialError, UsageError, WssError
from wsscli.launch import launched

if TYPE_CHECKING:
    from wsscli.maskdir.manifest import Manifest
    from wsscli.maskdir.shard_writer import ShardWriter
    from wsscli.maskdir.shards import Share
    from wsscli.maskdir.writer import Record, Writer
    from wsscli.steps._run import Plan, Run

log = logging.getLogger("wsscli")
Fill = Callable[[Sequence[str], "Callable[[Record], None]"], None]


def share_of(plan: Plan, run: Run, *, together: bool, cluster: bool) -> tuple[Share | None, bool]:
    """Which images are this process's, and whether a launcher has said so. None: all of them.

    Args:
        plan: of the step.
        run: its options.
        together: the step looks at all images at once before it works on each.
        cluster: the images go to a cluster.

    Raises:
        UsageError: a share cannot be had here.
    """
    from wsscli.maskdir.shards import Share

    launch = launched()
    several = launch is not None and launch.world > 1
    if run.shard is None and (launch is None or not several):
        return None, False
    share = Share.parse(run.shard) if run.shard is not None else None
    if launch is not None and several:
        if share is not None:
            raise UsageError(f"--shard {share}: {launch} has a share of its own already; leave it out")
        share = Share(launch.world, launch.rank + 1)
    assert share is not None
    called = f"--shard {share}" if run.shard is not None else str(launch)
    if together:
        raise UsageError(
            f"{called}: `wss {plan.step}` compares all images with each other here (--cross-image), so one process "
            "does them all; run it in one, or with --no-cross-image"
        )
    if cluster:
        raise UsageError(f"{called}: with --cluster the cluster shares the images out; leave one of them out")
    if run.overwrite and run.shard is not None:
        raise UsageError(
            f"--overwrite with --shard {share}: a shard would take away what the others have written; remove "
            f"{plan.out} first, then start the shards without it"
        )
    return share, run.shard is None


def refuse_shard(run: Run, step: str) -> None:
    """Raises UsageError for `--shard` where a step does not go image by image."""
    if run.shard is not None:
        raise UsageError(f"--shard {run.shard}: `wss {step}` does not work image by image; leave it out")


def fill_share(
    plan: Plan, run: Run, ids: Sequence[str], share: Share, fill: Fill, *, ranked: bool
) -> Path:  # fmt: skip
    """Fill a share of the output directory of a plan, see `wsscli.steps._run.per_image`.

    Args:
        plan: what all of the directory will be.
        run: the common options.
        ids: all images.
        share: which of them are this process's.
        fill: works on images and has their journal lines noted.
        ranked: whether a launcher has started the processes of the other shares as well. Then rank 0 waits for them
            and completes the directory, and they wait for that; a shard leaves it incomplete.

    Returns:
        The output directory.

    Raises:
        PartialError: some images of the shard failed under `keep_going`; under a launcher rank 0 says so.
        WssError: see `wsscli.maskdir.shard_writer.begin_shard`; another rank has failed or died.
    """
    from wsscli.maskdir.shard_writer import standing_shard
    from wsscli.maskdir.writer import standing, tidy_complete
    from wsscli.steps._run import announce, manifest_of, refuse_inputs, report_failures

    refuse_inputs(plan.out, plan.inputs)
    manifest, first = manifest_of(plan, run, ids), share.index == 1
    if ranked:
        present = standing(plan.out, manifest, overwrite=run.overwrite)
    else:
        present = standing_shard(plan.out, manifest, share)
    if run.dry_run and (present is None or not present.complete):
        announce(plan, ids)
        log.info("%d of these images are %s's", len(share.of(ids)), _name(share, ranked))
        return plan.out
    filled = False
    if present is not None and present.complete:
        if not run.dry_run:
            tidy_complete(plan.out)
    else:
        act = _shard if not ranked else _first_rank if first else _other_rank
        filled = act(_Part(plan.out, run, manifest, share, list(share.of(ids)), fill))
    if not filled:
        log.info("%s is complete with the same options: nothing to do", plan.out)
    if run.dry_run or (ranked and not first) or (filled and not ranked):
        return plan.out
    return report_failures(plan.out, len(ids))


@dataclass(frozen=True)
class _Part:
    out: Path
    run: Run
    manifest: Manifest
    share: Share
    ids: list[str]
    fill: Fill

    def work(self, writer: Writer | ShardWriter, *, ranked: bool) -> None:
        done = writer.done
        todo = [name for name in self.ids if name not in done]
        log.info(
            "%s: %d of the %d images of %s are done",
            self.out, len(self.ids) - len(todo), len(self.ids), _name(self.share, ranked),
        )  # fmt: skip
        self.fill(todo, writer.note)


def _name(share: Share, ranked: bool) -> str:
    return f"rank {share.index - 1} of {share.count}" if ranked else f"shard {share}"


def _shard(part: _Part) -> bool:
    """Each of these returns whether there was anything to do."""
    from wsscli.maskdir.shard_writer import begin_shard
    from wsscli.steps._run import FAILED

    writer = begin_shard(part.out, part.manifest, part.share, part.ids)
    if writer is None:
        return False
    with writer:
        part.work(writer, ranked=False)
        writer.close()
    failed = sum(reason.startswith(FAILED) for reason in writer.dropped.values())
    closes = f"`wss verify {part.out} --finish` closes the directory when all shards are done"
    if failed:
        raise PartialError(
            f"{part.out}: {failed} of the {len(part.ids)} images of shard {part.share} failed; {closes}, and lists "
            "them as dropped"
        )
    log.info("%s: shard %s is done; %s", part.out, part.share, closes)
    return True


def _first_rank(part: _Part) -> bool:
    from wsscli.maskdir.ranks import Leader
    from wsscli.maskdir.writer import begin, lock

    lock(part.out, alone=False).close()  # before a word: another launch may be at work here, and have its own
    leader = Leader(part.out, part.share)
    leader.say("here", answered={})  # beginning may take long, where there is much to clear
    with leader.living():
        writer = begin(part.out, part.manifest, overwrite=part.run.overwrite, alone=False)
        if writer is None:
            return False
        with writer, leader.leading():
            part.work(writer, ranked=True)
            leader.wait()
            writer.take_in()
            missing = part.manifest.images - len(writer.done)
            if missing:
                raise WssError(
                    f"{part.out}: {missing} of {part.manifest.images} images are missing though every rank has ended; "
                    "the same command goes on with them"
                )
            writer.close()
    return True


def _other_rank(part: _Part) -> bool:
    from wsscli.maskdir.ranks import Follower
    from wsscli.maskdir.shard_writer import begin_shard

    follower = Follower(part.out, part.share)
    with follower.living():
        if not follower.arrive(overwrite=part.run.overwrite):
            return False
        writer = begin_shard(part.out, part.manifest, part.share, part.ids, led=True)
        if writer is not None:
            with writer:
                part.work(writer, ranked=True)
                writer.close()
        follower.say("ended")
    follower.wait()
    return True
