"""Rounds in a row: what is there of them, what is still to be made, and which images failed."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import PartialError, WssError
from wsscli.launch import launched
from wsscli.steps._ranks import leads, training_device
from wsscli.steps._round import CUT, MODEL, PREDICTED, REFINED, STEP, Round, tidy
from wsscli.steps._run import (
    Plan,
    announce,
    failed_in,
    manifest_of,
    open_job,
    refuse_inputs,
    report_failures,
)

if TYPE_CHECKING:
    from wsscli.maskdir.manifest import Manifest
    from wsscli.steps._round_watch import Watch

log = logging.getLogger("wsscli")


@dataclass(frozen=True)
class Rounds:
    """A number of rounds and their directory; a single round is that directory itself.

    Attributes:
        round: makes one.
        out: the directory.
        count: how many are asked for.
        start: what the training of the first starts from.
        previous: whether the others start from the net of the round before, else from `start` as well.
        watch: measures them; None when nobody watches.
    """

    round: Round
    out: Path
    count: int
    start: str
    previous: bool
    watch: Watch | None

    def make(self) -> Path:
        """Make them, or those that are not there.

        Returns:
            The directory of the last.

        Raises:
            PartialError: images failed in any of them.
            WssError: what is there is of other options or somebody else's; what rounds raise.
        """
        launch = launched()
        if launch is None or launch.world == 1 or (self.round.run.dry_run and leads()):
            return self._make()
        last = self._directories(self.count)[-1]
        if self.round.run.dry_run:
            return last

        from wsscli.train.ranks import join

        ranks = join(training_device(self.round.training.device))
        if not ranks.leads:
            self.round.follow(self.out)
            return last
        try:
            made = self._make()
        except PartialError:  # at the end of all
            self._dismiss()
            raise
        self._dismiss()
        return made

    def _dismiss(self) -> None:
        """Tell those that follow that there is no further round."""
        from wsscli.train.ranks import current

        with current().hearing(self.out):
            current().told(None)

    def _make(self) -> Path:
        run, ids = self.round.run, self.round.ids
        plan = self._plan()
        refuse_inputs(self.out, [*plan.inputs, *(self.watch.inputs if self.watch is not None else [])])
        present = self._present(plan)
        had = self._complete(present)
        last = self._directories(self.count)[-1]
        if self._done(present, had):
            whole = had == self.count and present is not None and present.complete
            more = "is complete" if whole or self.count == 1 else f"holds {had} rounds"
            log.info("%s %s with the same options: nothing to do", self.out, more)
            if not run.dry_run:
                tidy(last)  # killed at its very end
                self._measure(max(had, self.count))
        else:
            if present is None:
                self.round.check(self._directories(1)[0], self.start)
            if self.watch is not None:
                self.watch.check(self._readable())
            if run.dry_run:
                announce(plan, ids)
            elif self.count == 1:
                self._make_all()
            else:
                self._go_on(plan, present, had)
        return last if run.dry_run else self._report(last)

    def _directories(self, count: int) -> list[Path]:
        return [self.out] if self.count == 1 else [self.out / f"round-{k}" for k in range(1, count + 1)]

    def _plan(self) -> Plan:
        plan = self.round.plan(self.round.masks, self.out, self.start)
        if self.count > 1:
            plan.kind = "rounds"
            plan.options["rounds"] = self.count
            if self.previous:
                plan.options |= {"init": "previous", "first_init": plan.options["init"]}
        return plan

    def _present(self, plan: Plan) -> Manifest | None:
        """What the directory says of itself, when it can be gone on with, whatever its number of rounds.

        Raises:
            WssError: it cannot.
        """
        from wsscli.maskdir.manifest import read_manifest
        from wsscli.maskdir.writer import standing

        run, there = self.round.run, None
        with suppress(WssError):  # told below; --overwrite replaces a damaged one
            there = read_manifest(self.out)
        wanted = manifest_of(plan, run, self.round.ids)
        if there is not None and not run.overwrite and there.step == STEP:
            self._refuse_kind(there)
            if there.kind == "rounds":
                wanted = replace(wanted, options={**wanted.options, "rounds": there.options["rounds"]})
        found = standing(self.out, wanted, overwrite=run.overwrite)
        if self.count > 1 or found is None:
            self._refuse_strangers(there)
        return found

    def _refuse_kind(self, there: Manifest) -> None:
        out = self.out
        if there.kind == "rounds" and self.count == 1:
            last = out / f"round-{there.options['rounds']}"
            raise WssError(
                f"{out}: holds rounds in directories of their own ({last.name} is the last), but --rounds 1 makes -o a "
                f"round itself; give --rounds 2 or more, or make one more with `wss refine-round {last} -o OTHER`, or "
                "use --overwrite to replace them all"
            )
        if there.kind == "masks" and self.count > 1 and (there.options.get("rounds") == 1):
            raise WssError(
                f"{out}: is a single round, but --rounds {self.count} makes directories of rounds within -o; go on "
                f"from it with `wss refine-round {out} --rounds {self.count} -o OTHER`, or use "
                "--overwrite to replace it"
            )

    def _refuse_strangers(self, there: Manifest | None) -> None:
        """Raises WssError when somebody else's files are where a round would be written."""
        from wsscli.maskdir.writer import parts_of

        own = parts_of(self.out, there) if there is not None else []
        names = [MODEL, PREDICTED, REFINED, CUT]
        if self.count > 1:
            names = [directory.name for directory in self._directories(self.count)]
        for path in (self.out / name for name in names if name not in own):
            if path.is_file() or (path.is_dir() and any(path.iterdir())):
                raise WssError(
                    f"{path}: not made by the command that made {self.out}, but a round would be written there; move "
                    "it away, or use another -o"
                )

    def _complete(self, present: Manifest | None) -> int:
        """How many rounds are complete, from the first on."""
        from wsscli.maskdir.manifest import read_manifest

        if present is None:
            return 0
        if present.complete:  # whatever a user has taken away since
            return int(present.options["rounds"])
        made = [read_manifest(path) for path in self._directories(int(present.options["rounds"]))]
        return next((k for k, found in enumerate(made) if found is None or not found.complete), len(made))

    def _done(self, present: Manifest | None, had: int) -> bool:
        if present is None or self.count == 1:
            return present is not None and present.complete
        # with one round more begun, those that are asked for are not this run's to close
        begun = not present.complete and (self.out / f"round-{self.count + 1}").exists()
        return had >= self.count and (present.complete or begun)

    def _go_on(self, plan: Plan, present: Manifest | None, had: int) -> None:
        """Make several rounds."""
        from wsscli.maskdir.writer import rewrite

        if present is not None:
            log.info("%s: going on, %d of %d rounds are done", self.out, had, self.count)
            if present.options["rounds"] != self.count:
                options = {**present.options, "rounds": self.count}
                rewrite(self.out, replace(present, options=options, complete=False))
        job = open_job(plan, self.round.run, self.round.ids)
        if job is not None:
            with job:
                self._make_all()
                job.close()

    def _make_all(self) -> None:
        source, start, run = self.round.masks.path, self.start, self.round.run
        for k, directory in enumerate(self._directories(self.count), start=1):
            self.round.make(source, directory, start, overwrite=run.overwrite and self.count == 1)
            self._measure(k)
            source, start = directory, str(directory / MODEL) if self.previous else start

    def _readable(self) -> list[str]:
        return [name for name in self.round.ids if name not in self.round.failed]

    def _measure(self, made: int) -> None:
        """Measure the first so many rounds, those that are not measured yet."""
        if self.watch is None:
            return
        directories = self._directories(made)
        sources = [self.round.masks.path, *directories]
        for source, directory in zip(sources, directories, strict=False):
            if self.watch.figures_in(directory) is None:
                self.watch.measure(source, directory, self._readable())
        if self.count > 1:
            self.watch.write_curves(self.out, directories)

    def _report(self, last: Path) -> Path:
        """The last round's directory, when no image failed in any round."""
        images = len(self.round.ids)
        if self.count == 1:
            return report_failures(self.out, images)
        failed = {path.name: failed_in(path) for path in self._directories(self.count)}
        names = {name for found in failed.values() for name in found}
        if names:
            counts = ", ".join(f"{len(found)} in {name}" for name, found in failed.items() if found)
            raise PartialError(
                f"{self.out}: {len(names)} of {images} images failed ({counts}) and are listed as dropped in the "
                "wss.json there; --overwrite makes all of it again",
                last,
            )
        return last
