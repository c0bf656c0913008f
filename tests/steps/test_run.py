import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import Input, Manifest, read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.writer import Output
from wsscli.steps._ledger import inherit
from wsscli.steps._run import Plan, Run, open_job, per_image

IDS = [f"i{k:02}" for k in range(12)]


def plan(out, **changes):
    return Plan("crf", out, "masks", {"iterations": 3}, ClassTable.of(["cat"]), supervision=["image-labels"], **changes)


def work(name):
    return Output(mask=np.full((2, 3), int(name[1:]) % 2, np.uint8))


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_bytes_do_not_depend_on_workers_or_backend(tmp_path, backend, tree):
    per_image(plan(tmp_path / "one"), Run(workers=1), IDS, work)
    out = per_image(plan(tmp_path / "many"), Run(workers=3), IDS[::-1], work, backend=backend)
    assert out == tmp_path / "many"
    assert tree(out) == tree(tmp_path / "one") and len(tree(out)) == 13


def test_a_complete_output_is_left_alone_and_said_so(tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    per_image(plan(tmp_path), Run(), IDS, work)

    def never(name):
        raise AssertionError("nothing was to be done")

    assert per_image(plan(tmp_path), Run(), IDS, never) == tmp_path
    assert "is complete with the same options: nothing to do" in caplog.text


def test_dry_run_writes_nothing(tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    inputs = [Input("masks", "/somewhere", "sha256:0")]
    per_image(plan(tmp_path / "out", inputs=inputs, split="val"), Run(dry_run=True), IDS, work)
    assert not (tmp_path / "out").exists()
    assert "would read masks /somewhere (12 images of split val) and write masks to" in caplog.text


def test_a_dry_run_says_what_the_real_one_would(tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    per_image(plan(tmp_path), Run(), IDS, work)
    caplog.clear()
    assert per_image(plan(tmp_path), Run(dry_run=True), IDS, work) == tmp_path
    assert caplog.messages == [f"{tmp_path} is complete with the same options: nothing to do"]
    with pytest.raises(WssError, match=r"was made with other options: seed was 0, now 1; use another -o, or"):
        per_image(plan(tmp_path), Run(dry_run=True, seed=1), IDS, work)
    caplog.clear()
    per_image(plan(tmp_path), Run(dry_run=True, seed=1, overwrite=True), IDS, work)
    assert caplog.messages[0].startswith("would read images only (12 images of split ")


def test_a_failure_stops_and_the_same_command_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    broken = {"i07"}

    def sometimes(name):
        if name in broken:
            raise WssError(f"{name}: bad photo")
        return work(name)

    with pytest.raises(WssError, match="i07: bad photo"):
        per_image(plan(tmp_path), Run(workers=1), IDS, sometimes)
    with pytest.raises(WssError, match="incomplete"):
        open_maskdir(tmp_path)
    broken.clear()
    per_image(plan(tmp_path), Run(workers=1), IDS, sometimes)
    assert "going on," in caplog.text and open_maskdir(tmp_path).ids == IDS


def test_after_a_failure_no_thread_is_still_at_work(tmp_path):
    at_work = set()

    def slow(name):
        if name == "i00":
            time.sleep(0.1)  # the others have begun
            raise WssError("i00: bad photo")
        at_work.add(name)
        time.sleep(0.5)
        at_work.remove(name)
        return work(name)

    with pytest.raises(WssError, match="i00: bad photo"):
        per_image(plan(tmp_path), Run(workers=3), IDS, slow)
    assert not at_work
    time.sleep(0.1)
    assert not at_work


def test_keep_going_lists_failures(tmp_path):
    def sometimes(name):
        if name == "i03":
            raise WssError("photos/i03.jpg: truncated")
        return work(name)

    told = r"1 of 12 images failed and are listed as dropped in its wss\.json; --overwrite makes all of it again$"
    with pytest.raises(PartialError, match=told):
        per_image(plan(tmp_path), Run(keep_going=True), IDS, sometimes)
    manifest = read_manifest(tmp_path)
    assert manifest.complete and manifest.dropped == ({"id": "i03", "reason": "failed: photos/i03.jpg: truncated"},)
    assert len(open_maskdir(tmp_path).ids) == 11
    with pytest.raises(PartialError, match=told):  # nothing to do, but not a success either
        per_image(plan(tmp_path), Run(), IDS, sometimes)
    assert per_image(plan(tmp_path), Run(dry_run=True), IDS, sometimes) == tmp_path


def test_a_wrong_option_is_no_failure_of_an_image(tmp_path):
    def wrong(name):
        raise UsageError("--eps 0: give more")

    with pytest.raises(UsageError, match="--eps 0: give more"):
        per_image(plan(tmp_path), Run(keep_going=True), IDS, wrong)
    assert read_manifest(tmp_path).complete is False


def test_failures_before_a_kill_count_too(tmp_path):
    def stopped(name):
        if name == "i00":
            raise WssError("photos/i00.jpg: truncated")
        if name == "i05":
            raise KeyboardInterrupt
        return work(name)

    with pytest.raises(KeyboardInterrupt):
        per_image(plan(tmp_path), Run(keep_going=True, workers=1), IDS, stopped)
    assert read_manifest(tmp_path).complete is False
    with pytest.raises(PartialError, match="1 of 12 images failed"):
        per_image(plan(tmp_path), Run(keep_going=True, workers=1), IDS, work)


def test_other_errors_are_not_swallowed(tmp_path):
    def bug(name):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        per_image(plan(tmp_path), Run(keep_going=True), IDS, bug)


def test_never_into_its_own_input(tmp_path):
    per_image(plan(tmp_path), Run(), IDS, work)
    inputs = [open_maskdir(tmp_path).as_input("masks")]
    with pytest.raises(WssError, match="is also the input 'masks'; a step never writes into what it reads"):
        open_job(plan(tmp_path, inputs=inputs), Run(overwrite=True), IDS)
    assert len(open_maskdir(tmp_path).ids) == 12


def test_selection(tmp_path):
    listed = tmp_path / "ids.txt"
    listed.write_text("i02\n\ni01\n")
    assert Run(ids=listed).select(IDS) == ["i01", "i02"]
    assert Run(limit=2).select(IDS[::-1]) == ["i00", "i01"]
    listed.write_text("i02\nghost\n")
    with pytest.raises(WssError, match=r"ids\.txt: 1 ids are not among the 12 images, the first is 'ghost'"):
        Run(ids=listed).select(IDS)
    with pytest.raises(UsageError, match="--limit 0: give 1 or more"):
        Run(limit=0).select(IDS)
    with pytest.raises(WssError, match="no images to work on: the id list is empty"):
        Run().select([])
    with pytest.raises(UsageError, match="--workers -1: give 0"):
        _ = Run(workers=-1).threads
    assert Run().threads == len(os.sched_getaffinity(0))


def test_cores_where_there_is_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert Run().threads == 10
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert Run().threads == 1


def test_the_ledger_is_a_union():
    a = Manifest(kind="masks", step="x", supervision=("image-labels",))
    assert inherit(a, None, add=["boxes"]) == ["boxes", "external-model:unknown", "image-labels"]
    assert inherit() == []


def test_memory_stays_flat(tmp_path):
    """At most two images a worker are in flight: results are not piled up before they are written."""
    started = []

    def note(name):
        started.append(name)
        done = len(list((tmp_path / "masks").glob("*.png"))) if (tmp_path / "masks").exists() else 0
        assert len(started) - done <= 8, "images are started long before others are written"
        return work(name)

    per_image(plan(tmp_path), Run(workers=2), [f"i{k}" for k in range(60)], note)


def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path, tree):
    per_image(plan(tmp_path / "whole"), Run(), IDS, work)
    script = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import test_run
        from pathlib import Path
        def slow(name):
            time.sleep(0.03)
            return test_run.work(name)
        test_run.per_image(test_run.plan(Path({str(tmp_path / "torn")!r})), test_run.Run(workers=2), test_run.IDS, slow)
        """
    )
    rng = np.random.default_rng(0)
    kills = 0
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        begun = time.time()
        while not (tmp_path / "torn" / "journal.jsonl").exists() and child.poll() is None and time.time() - begun < 30:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.15))
        if child.poll() is not None:
            break
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills += 1
    per_image(plan(tmp_path / "torn"), Run(), IDS, work)
    assert kills >= 1
    assert tree(tmp_path / "torn") == tree(tmp_path / "whole")


def test_an_input_within_the_output_is_refused_before_overwrite_takes_it_away(tmp_path):
    inside = per_image(plan(tmp_path / "out/refined"), Run(), IDS, work)
    whole = plan(tmp_path / "out")
    whole.inputs = [Input("masks", str(inside.resolve()), read_manifest(inside).digest())]
    with pytest.raises(WssError) as caught:
        per_image(whole, Run(overwrite=True), IDS, work)
    assert str(caught.value) == (
        f"{tmp_path}/out: its input 'masks', {inside}, lies in it; a step never writes into what it reads, use another -o"
    )
    assert len(open_maskdir(inside).ids) == len(IDS)
