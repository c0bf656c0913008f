import json
import os
import time

import pytest

from wsscli.errors import WssError
from wsscli.maskdir import ranks
from wsscli.maskdir.ranks import Follower, Leader, Rank
from wsscli.maskdir.shards import Share

# what ranks do together is in tests/steps/test_shard.py


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    now = [1000.0]
    monkeypatch.setattr(ranks.time, "monotonic", lambda: now[0])
    return now


def test_a_sign_of_life_is_a_change_of_the_file_whatever_its_time(tmp_path, clock):
    rank = Rank(tmp_path, Share(2, 2))
    rank.say("here")
    watch = ranks._Watch(rank.path)
    assert watch.look()["state"] == "here"
    clock[0] += ranks.PATIENCE + 1
    watch.look()
    assert watch.silent, "nothing has changed"
    os.utime(rank.path, (1, 1))  # another host's clock, far behind
    watch.look()
    assert not watch.silent
    clock[0] += ranks.PATIENCE + 1
    rank.touch()
    watch.look()
    assert not watch.silent


def test_an_error_beside_a_complete_directory_is_said_to_nobody(tmp_path, monkeypatch):
    leader = Leader(tmp_path, Share(2, 1))
    for complete in (False, True):
        monkeypatch.setattr(leader, "_complete", lambda complete=complete: complete)
        leader.say("here")
        with pytest.raises(KeyboardInterrupt), leader.living():
            raise KeyboardInterrupt
        assert json.loads(leader.path.read_text())["state"] == ("here" if complete else "failed")


def test_what_is_said_twice_in_one_instant_is_seen(tmp_path):
    rank = Rank(tmp_path, Share(2, 2))
    rank.say("here", answered={"2": "x"})
    os.utime(rank.path, (1, 1))
    watch = ranks._Watch(rank.path)
    watch.look()
    rank.say("ended")
    os.utime(rank.path, (1, 1))
    assert watch.look() == {"token": rank.token, "state": "ended", "answered": {"2": "x"}}


def test_a_file_that_is_gone_or_torn(tmp_path):
    rank = Rank(tmp_path, Share(2, 2))
    watch = ranks._Watch(rank.path)
    assert watch.look() == {}
    rank.touch()  # nothing is made by it
    assert watch.look() == {} and not rank.path.exists()
    rank.say("here")
    assert watch.look()["state"] == "here"
    rank.path.write_text("{")
    assert watch.look()["state"] == "here", "the next look sees the whole"
    rank.path.unlink()
    assert watch.look() == {}


def test_signs_of_life_come_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "BEAT", 0.01)
    rank = Rank(tmp_path, Share(2, 2))
    rank.say("here")
    os.utime(rank.path, (1, 1))
    with rank.living():
        while rank.path.stat().st_mtime == 1:  # for ever, if none came
            time.sleep(0.01)
    os.utime(rank.path, (1, 1))
    time.sleep(0.1)
    assert rank.path.stat().st_mtime == 1, "none after the end"


def test_an_error_is_said_to_the_others(tmp_path):
    rank = Rank(tmp_path, Share(2, 2))
    for error, why in (
        (WssError("bad photo"), "bad photo"),
        (KeyboardInterrupt(), "stopped"),
        (ValueError(), "ValueError"),
    ):
        with pytest.raises(type(error)), rank.living():
            raise error
        assert json.loads(rank.path.read_text()) == {"token": rank.token, "state": "failed", "why": why}


def test_only_tokens_of_this_launch_are_answered(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "LOOK", 0.01)
    leader, follower = Leader(tmp_path, Share(2, 1)), Follower(tmp_path, Share(2, 2))
    old = Follower(tmp_path, Share(2, 2))
    old.say("ended")  # of a launch before
    with leader.leading():
        assert not old.path.exists()
        assert follower.arrive() is True
        follower.say("ended")
        leader.wait()
        said = json.loads(leader.path.read_text())
    assert said == {"token": leader.token, "state": "here", "answered": {"2": follower.token}}
