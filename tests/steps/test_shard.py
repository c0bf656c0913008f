"""Shares of a step's images: `--shard`, and the ranks of a launcher, here as threads that each see a rank of their own."""

import json
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.errors import PartialError, ToldElsewhereError, UsageError, WssError
from wsscli.launch import Launch
from wsscli.maskdir import ranks, writer
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.shards import Share
from wsscli.maskdir.writer import Output
from wsscli.steps import _shard, _workers
from wsscli.steps._cluster import Cluster
from wsscli.steps._run import Plan, Run, open_job, per_image
from wsscli.steps.show import show
from wsscli.steps.verify import verify

IDS = [f"i{k:02}" for k in range(11)]


def plan(out, **options):
    return Plan("crf", out, "masks", {"iterations": 3, **options}, ClassTable.of(["cat"]), supervision=["image-labels"])


def work(name):
    return Output(mask=np.full((2, 3), int(name[1:]) % 2, np.uint8))


@pytest.fixture
def one(tmp_path, tree):
    """What one process makes."""
    return tree(per_image(plan(tmp_path / "one"), Run(workers=1), IDS, work))


# --shard


def test_shards_and_finish_end_with_the_bytes_of_one_process(tmp_path, one, caplog, tree):
    caplog.set_level(logging.INFO, "wsscli")
    out = tmp_path / "out"
    for index in (2, 3, 1):
        assert per_image(plan(out), Run(workers=2, shard=f"{index}/3"), IDS, work) == out
    assert caplog.messages[:2] == [
        f"{out}: 0 of the 4 images of shard 2/3 are done",
        f"{out}: shard 2/3 is done; `wss verify {out} --finish` closes the directory when all shards are done",
    ]
    assert verify(out, finish=True, photos=False) == out
    assert tree(out) == one
    caplog.clear()
    per_image(plan(out), Run(shard="2/3"), IDS, work)
    assert caplog.messages == [f"{out} is complete with the same options: nothing to do"]


def test_a_dry_run_of_a_shard(tmp_path, caplog, message):
    caplog.set_level(logging.INFO, "wsscli")
    out = tmp_path / "out"
    assert per_image(plan(out), Run(shard="3/3", dry_run=True), IDS, work) == out
    assert not out.exists()
    assert "would read images only (11 images of split" in caplog.messages[0]
    assert caplog.messages[1] == "3 of these images are shard 3/3's"
    per_image(plan(out), Run(shard="1/3"), IDS, work)
    before = sorted(out.rglob("*"))
    assert "was begun with other options than shard 3/3: --iterations was 3, now 4;" in message(
        WssError, per_image, plan(out, iterations=4), Run(shard="3/3", dry_run=True), IDS, work
    )
    assert sorted(out.rglob("*")) == before


def test_what_fails_in_a_shard_reaches_the_manifest(tmp_path, message):
    def sometimes(name):
        if name == "i03":
            raise WssError("photos/i03.jpg: truncated")
        return Output(dropped="no label") if name == "i06" else work(name)

    out = tmp_path / "out"
    closes = f"`wss verify {out} --finish` closes the directory when all shards are done"
    for _ in range(2):  # again: nothing to do, but not a success either
        assert message(PartialError, per_image, plan(out), Run(shard="1/3", keep_going=True), IDS, sometimes) == (
            f"{out}: 1 of the 4 images of shard 1/3 failed; {closes}, and lists them as dropped"
        )
    for index in (2, 3):
        per_image(plan(out), Run(shard=f"{index}/3", keep_going=True), IDS, sometimes)
    assert message(PartialError, verify, out, finish=True, photos=False) == (
        f"{out}: 1 of 11 images failed and are listed as dropped in its wss.json"
    )
    assert read_manifest(out).dropped == (
        {"id": "i03", "reason": "failed: photos/i03.jpg: truncated"}, {"id": "i06", "reason": "no label"}
    )  # fmt: skip
    assert "1 of 11 images failed" in message(PartialError, per_image, plan(out), Run(shard="2/3"), IDS, work)


def test_a_shard_that_stopped_is_named_by_verify(tmp_path, caplog, message):
    def stopped(name):
        if name == "i05":
            raise WssError("i05: bad photo")
        return work(name)

    out = tmp_path / "out"
    assert message(WssError, per_image, plan(out), Run(shard="2/2", workers=1), IDS, stopped) == "i05: bad photo"
    per_image(plan(out), Run(shard="1/2"), IDS, work)
    assert message(WssError, verify, out, photos=False) == f"{out}: 1 problem; do as said above"
    assert caplog.messages[-1] == (
        f"{out}: incomplete, shard 2/2 failed (i05: bad photo); when all shards are done, add --finish"
    )
    assert message(WssError, verify, out, finish=True, photos=False).startswith(f"{out}: 3 of 11 images are missing: ")
    per_image(plan(out), Run(shard="2/2"), IDS, work)
    assert verify(out, finish=True, photos=False) == out


def test_where_a_share_cannot_be_had(tmp_path, message):
    out = tmp_path / "out"
    shard = Run(shard="2/4")
    assert message(UsageError, per_image, plan(out), Run(shard="5/4"), IDS, work) == (
        "--shard 5/4: give I/N, for four parts 1/4 to 4/4"
    )
    assert message(UsageError, per_image, plan(out), Run(shard="2/4", overwrite=True), IDS, work) == (
        "--overwrite with --shard 2/4: a shard would take away what the others have written; remove "
        f"{out} first, then start the shards without it"
    )
    assert message(UsageError, per_image, plan(out), shard, IDS, work, around=lambda job: None) == (
        "--shard 2/4: `wss crf` compares all images with each other here (--cross-image), so one process does them all; "
        "run it in one, or with --no-cross-image"
    )
    assert message(UsageError, per_image, plan(out), shard, IDS, work, on=Cluster("dask://host:1")) == (
        "--shard 2/4: with --cluster the cluster shares the images out; leave one of them out"
    )
    assert message(UsageError, open_job, plan(out), shard, IDS) == (
        "--shard 2/4: `wss crf` does not work image by image; leave it out"
    )
    assert not out.exists()


def test_show_takes_no_share(scenes, message):
    assert message(UsageError, show, [scenes.masks("masks")], scenes.out / "page.html", run=Run(shard="1/2")) == (
        "--shard 1/2: `wss show` does not work image by image; leave it out"
    )


# ranks


@pytest.fixture
def launch(monkeypatch):
    """Start ranks: (rank -> anything, how many) -> what each returned or raised."""
    own = threading.local()
    monkeypatch.setattr(_shard, "launched", lambda: getattr(own, "launch", None))
    monkeypatch.setattr(ranks, "LOOK", 0.01)
    monkeypatch.setattr(ranks, "BEAT", 0.1)

    def start(call, world, present=None):
        def rank(number):
            own.launch = Launch(number, world, number)
            try:
                return call(number)
            except (WssError, KeyboardInterrupt) as error:
                return error

        with ThreadPoolExecutor(world) as pool:
            return list(pool.map(rank, present or range(world)))

    return start


@pytest.mark.parametrize("world", [2, 3, 13])
def test_ranks_fill_one_directory(tmp_path, one, launch, world, tree):
    out, done = tmp_path / "out", []

    def noted(name):
        done.append(name)
        return work(name)

    made = launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, noted), world)
    assert made == [out] * world
    assert sorted(done) == IDS, "no image twice, none missing"
    assert tree(out) == one
    events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events] == ["shard"] * (world - 1) + ["end"]


def test_a_rank_that_comes_late_is_waited_for(tmp_path, one, launch, tree):
    out = tmp_path / "out"

    def late(rank):
        time.sleep(0.3 * (rank != 0))
        return per_image(plan(out), Run(workers=1), IDS, work)

    assert launch(late, 3) == [out] * 3 and tree(out) == one


def test_ranks_wait_for_the_first(tmp_path, one, launch, tree):
    """Files of a launch that was killed are there: nobody takes them for this one's."""
    out = tmp_path / "out"
    fill_some(out)
    for index, state in ((1, "here"), (2, "ended"), (3, "failed")):
        answered = {"2": "old", "3": "old"}
        Share(3, index).file(out, "rank").write_text(json.dumps({"token": "old", "state": state, "answered": answered}))

    def first_late(rank):
        time.sleep(0.3 * (rank == 0))
        return per_image(plan(out), Run(workers=1), IDS, work)

    assert launch(first_late, 3) == [out] * 3 and tree(out) == one


def fill_some(out):
    def stopped(name):
        if name > "i05":
            raise KeyboardInterrupt
        return work(name)

    with pytest.raises(KeyboardInterrupt):
        per_image(plan(out), Run(workers=1, shard="1/2"), IDS, stopped)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_another_number_of_ranks_goes_on(tmp_path, one, launch, world, tree):
    out, done = tmp_path / "out", []
    fill_some(out)

    def noted(name):
        done.append(name)
        return work(name)

    assert launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, noted), world) == [out] * world
    assert sorted(done) == [name for name in IDS if name not in ("i00", "i02", "i04")]
    assert tree(out) == one


def test_overwrite_of_ranks_waits_until_the_first_has_cleared(tmp_path, one, launch, tree):
    out = per_image(
        plan(tmp_path / "out", iterations=4), Run(), IDS, lambda name: Output(mask=np.zeros((9, 9), np.uint8))
    )

    def first_late(rank):
        time.sleep(0.2 * (rank == 0))
        return per_image(plan(out), Run(overwrite=True, workers=1), IDS, work)

    assert launch(first_late, 3) == [out] * 3 and tree(out) == one


def test_the_first_rank_lives_while_it_clears(tmp_path, one, launch, monkeypatch, tree):
    out, real = tmp_path / "out", writer._clear
    per_image(plan(out), Run(workers=1), IDS, work)

    def slow(*args):
        time.sleep(1.5)
        real(*args)

    monkeypatch.setattr(writer, "_clear", slow)
    monkeypatch.setattr(ranks, "PATIENCE", 0.7)
    made = launch(lambda rank: per_image(plan(out), Run(workers=1, overwrite=True), IDS, work), 2)
    assert made == [out] * 2 and tree(out) == one


def test_a_second_launch_leaves_the_words_of_the_first(tmp_path, launch):
    out = tmp_path / "out"
    fill_some(out)
    word = Share(2, 1).file(out, "rank")
    word.write_text("the first's")
    with open_job(plan(out), Run(), IDS):
        (error,) = launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, work), 2, [0])
    assert str(error) == f"{out}: another wss process is writing here; wait for it, or use another -o"
    assert word.read_text() == "the first's"


def test_ranks_leave_a_complete_directory_alone(tmp_path, one, launch, caplog, tree):
    caplog.set_level(logging.INFO, "wsscli")
    out = tmp_path / "one"
    assert launch(lambda rank: per_image(plan(out), Run(), IDS, None), 3) == [out] * 3
    assert caplog.messages == [f"{out} is complete with the same options: nothing to do"] * 3
    assert tree(out) == one


def test_a_dry_run_of_ranks(tmp_path, launch, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    out = tmp_path / "out"
    assert launch(lambda rank: per_image(plan(out), Run(dry_run=True), IDS, work), 2) == [out] * 2
    assert not out.exists()
    assert {"6 of these images are rank 0 of 2's", "5 of these images are rank 1 of 2's"} < set(caplog.messages)


def test_a_failure_of_one_rank_ends_all_and_the_same_command_goes_on(tmp_path, one, launch, tree):
    out, broken = tmp_path / "out", {"i07"}

    def sometimes(name):
        if name in broken:
            raise WssError("i07: bad photo")
        return work(name)

    zeroth, first, second = launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, sometimes), 3)
    again = "the same command goes on where it stopped, with any number of ranks"
    assert str(first) == "i07: bad photo"
    assert type(zeroth) is WssError and str(zeroth) == f"{out}: rank 1 of 3 failed (i07: bad photo); {again}"
    assert type(second) is ToldElsewhereError and str(second) == f"{out}: rank 0 of 3 failed ({zeroth}); {again}"
    assert read_manifest(out).complete is False
    broken.clear()
    assert launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, sometimes), 3) == [out] * 3
    assert tree(out) == one


def test_the_failure_of_the_first_rank_ends_the_others(tmp_path, launch):
    out = tmp_path / "out"

    def stopped(name):
        if name == "i00":
            while not (out / "masks/i01.png").exists():  # the other one has begun
                time.sleep(0.01)
            raise KeyboardInterrupt
        return work(name)

    zeroth, first = launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, stopped), 2)
    assert type(zeroth) is KeyboardInterrupt and str(first).startswith(f"{out}: rank 0 of 2 failed (stopped); ")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_whose_others_are_silent(tmp_path, one, launch, monkeypatch, rank, tree):
    """Killed, without a launcher that ends the rest."""
    monkeypatch.setattr(ranks, "PATIENCE", 0.4)
    monkeypatch.setattr(ranks, "GRACE", 0.1)
    out = tmp_path / "out"
    (error,) = launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, work), 2, present=[rank])
    assert type(error) is WssError and str(error) == (
        f"{out}: no sign of rank {1 - rank} of 2 for 0 seconds; see what it said last, and that all hosts see this directory; "
        "the same command goes on where it stopped, with any number of ranks"
    )
    monkeypatch.setattr(ranks, "PATIENCE", 600.0)
    assert launch(lambda rank: per_image(plan(out), Run(workers=1), IDS, work), 2) == [out] * 2
    assert tree(out) == one


def test_the_first_rank_fails_before_the_other_comes(tmp_path, launch):
    def bad(name):
        raise WssError(f"{name}: bad photo")

    def late(rank):
        time.sleep(0.5 * rank)
        return per_image(plan(tmp_path / "out"), Run(workers=1), IDS, bad if rank == 0 else work)

    zeroth, first = launch(late, 2)
    assert str(zeroth) == "i00: bad photo"
    assert type(first) is ToldElsewhereError and "rank 0 of 2 failed (i00: bad photo)" in str(first)


def test_a_rank_does_not_wait_for_ever_for_a_directory_to_be_replaced(tmp_path, one, launch, monkeypatch):
    monkeypatch.setattr(ranks, "PATIENCE", 0.4)
    again = Run(overwrite=True)
    (error,) = launch(lambda rank: per_image(plan(tmp_path / "one"), again, IDS, work), 2, present=[1])
    assert "no sign of rank 0 of 2 for 0 seconds" in str(error)
    assert read_manifest(tmp_path / "one").complete


def test_failures_that_ranks_pass_over(tmp_path, launch):
    def sometimes(name):
        if name in ("i01", "i02"):
            raise WssError(f"photos/{name}.jpg: truncated")
        return work(name)

    out = tmp_path / "out"
    made = launch(lambda rank: per_image(plan(out), Run(keep_going=True, workers=1), IDS, sometimes), 3)
    assert type(made[0]) is PartialError and "2 of 11 images failed" in str(made[0])
    assert made[1:] == [out] * 2, "the launcher must not end the others for it"
    assert [item["id"] for item in read_manifest(out).dropped] == ["i01", "i02"]


def test_where_ranks_cannot_share(tmp_path, launch):
    out = tmp_path / "out"
    (second,) = launch(lambda rank: per_image(plan(out), Run(shard="1/4"), IDS, work), 3, present=[1])
    assert str(second) == "--shard 1/4: rank 1 of 3 has a share of its own already; leave it out"
    (first,) = launch(lambda rank: per_image(plan(out), Run(), IDS, work, around=lambda job: None), 3, present=[0])
    assert str(first).startswith("rank 0 of 3: `wss crf` compares all images with each other here (--cross-image), so ")
    (first,) = launch(lambda rank: per_image(plan(out), Run(), IDS, work, on=Cluster("dask://host:1")), 3, present=[0])
    assert str(first) == "rank 0 of 3: with --cluster the cluster shares the images out; leave one of them out"


def test_results_that_went_missing_are_no_complete_directory(tmp_path, launch):
    out = tmp_path / "out"

    def losing(rank):
        def lost(name):
            if rank == 1 and name == "i03":
                Share(2, 2).file(out).write_text("")
            return work(name)

        return per_image(plan(out), Run(workers=1), IDS, lost)

    zeroth, first = launch(losing, 2)
    assert str(zeroth) == (
        f"{out}: 1 of 11 images are missing though every rank has ended; the same command goes on with them"
    )
    assert type(first) is ToldElsewhereError
    assert launch(losing, 1) == [out] and read_manifest(out).complete


def test_ranks_of_a_host_share_its_cores(monkeypatch):
    monkeypatch.setattr(_workers, "launched", lambda: Launch(0, 4, 0, sharing=4))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(10)))
    assert Run().threads == 2
    monkeypatch.setattr(_workers, "launched", lambda: Launch(0, 4, 0, sharing=40))
    assert Run().threads == 1
