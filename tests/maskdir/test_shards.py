import errno
import fcntl
import json
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir import manifest as manifests
from wsscli.maskdir.journal import is_held, open_locked
from wsscli.maskdir.manifest import Manifest, create_manifest, ids_digest, read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.shard_writer import begin_shard, finish
from wsscli.maskdir.shards import Share, how_to_complete, unfinished
from wsscli.maskdir.writer import Output, begin

MASK = np.array([[0, 1, 255]], np.uint8)
IDS = [f"{folder}/{k}" for folder in "ab" for k in range(5)]
PLAN = Manifest(
    kind="masks", step="crf", options={"iterations": 10}, classes=ClassTable.of(["cat"]), split="train",
    images=len(IDS), ids_digest=ids_digest(IDS), supervision=("image-labels",),
)  # fmt: skip


def output(name):
    return (
        Output(dropped="no label") if name == "a/3" else Output(mask=MASK, fell_back="flat" if name == "b/1" else None)
    )


def fill(root, share, *, most=None, plan=PLAN):
    """What was left to do of a share; `most`: stop after so many images, as by a kill."""
    writer = begin_shard(root, plan, share, share.of(IDS))
    todo = [name for name in share.of(IDS) if name not in writer.done]
    for name in todo[:most]:
        writer.put(name, output(name))
    if most is None:
        writer.close()
    else:
        writer._journal.close()
    return todo


def whole(root):
    with begin(root, PLAN) as writer:
        for name in IDS:
            writer.put(name, output(name))
        writer.close()
    return tree(root)


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != "log.jsonl"}


def says(call, *args, **options):
    with pytest.raises(WssError) as caught:
        call(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_of_n_shares_every_id_is_in_one(count):
    shares = [Share(count, index).of(IDS) for index in range(1, count + 1)]
    assert sorted(name for share in shares for name in share) == IDS
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/4/2", "a/b", "1/0", " 1/4", "-1/4"])
def test_what_is_no_share(text):
    with pytest.raises(UsageError) as caught:
        Share.parse(text)
    assert str(caught.value) == f"--shard {text}: give I/N, for four parts 1/4 to 4/4"


def test_a_share_is_read_back():
    assert Share.parse("2/4") == Share(4, 2) and str(Share(4, 2)) == "2/4"


def test_shards_in_any_order_end_with_the_bytes_of_one_process(tmp_path):
    expected = whole(tmp_path / "one")
    for index in (3, 1, 2):
        fill(tmp_path / "out", Share(3, index))
        assert read_manifest(tmp_path / "out").complete is False
    assert finish(tmp_path / "out").complete
    assert tree(tmp_path / "out") == expected
    assert finish(tmp_path / "out") == read_manifest(tmp_path / "out"), "again: nothing to do"
    events = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert [(e["event"], e.get("shard"), e["images"]) for e in events] == [
        ("shard", "3/3", 3), ("shard", "1/3", 4), ("shard", "2/3", 3), ("end", None, 10)
    ]  # fmt: skip


def test_a_killed_shard_goes_on_and_so_does_another_number_of_them(tmp_path):
    expected = whole(tmp_path / "one")
    root = tmp_path / "out"
    assert fill(root, Share(2, 1), most=2) == ["a/0", "a/2", "a/4", "b/1", "b/3"]
    with Share(2, 1).file(root).open("a") as journal:
        journal.write('{"id": "a/4", "fil')  # killed while writing this line
    (root / "masks/a/2.png").unlink()  # and somebody removed a result
    assert fill(root, Share(2, 1), most=1) == ["a/2", "a/4", "b/1", "b/3"]
    lines = Share(2, 1).file(root).read_text().splitlines()
    assert all(json.loads(line) for line in lines), "the torn line is gone"
    assert fill(root, Share(3, 2)) == ["a/1", "a/4", "b/2"]
    assert fill(root, Share(2, 2)) == ["a/3", "b/0", "b/4"], "what shards of another number have done counts"
    with begin(root, PLAN) as writer:  # and one process goes on with what is left
        assert set(IDS) - writer.done == {"b/1", "b/3"}
        for name in ("b/1", "b/3"):
            writer.put(name, output(name))
        writer.close()
    assert tree(root) == expected


def test_a_shard_goes_on_with_what_one_process_has_left(tmp_path):
    expected = whole(tmp_path / "one")
    root = tmp_path / "out"
    with begin(root, PLAN) as writer:
        for name in IDS[:4]:
            writer.put(name, output(name))
    assert fill(root, Share(2, 1)) == ["a/4", "b/1", "b/3"]
    assert fill(root, Share(2, 2)) == ["b/0", "b/2", "b/4"]
    finish(root)
    assert tree(root) == expected


def test_finish_says_what_is_missing(tmp_path):
    root = tmp_path / "out"
    assert says(finish, root) == (
        f"{root}: no wss.json here, so no shard has begun; --finish closes what steps with --shard fill"
    )
    fill(root, Share(4, 1))
    fill(root, Share(4, 2), most=1)
    writer = begin_shard(root, PLAN, Share(4, 4), Share(4, 4).of(IDS))
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError("by zero")
    shards = "shard 2/4 was stopped before its end; shard 3/4 has not begun; shard 4/4 failed (by zero)"
    assert says(finish, root) == (
        f"{root}: 6 of 10 images are missing: {shards}; run these shards again, then this (a shard that is done ends "
        "at once)"
    )
    assert says(open_maskdir, root) == (
        f"{root}: incomplete: shards of `wss crf` fill it; when all are done, `wss verify {root} --finish` closes it"
    )
    for index in (2, 3, 4):
        fill(root, Share(4, index))
    (root / "masks/a/0.png").unlink()
    assert "1 of 10 images are missing: all 4 shards have ended; run these" in says(finish, root)
    fill(root, Share(4, 1))
    assert finish(root).complete


def test_many_open_shards_are_not_all_named(tmp_path):
    fill(tmp_path, Share(12, 1))
    assert unfinished(tmp_path).endswith("shard 9/12 has not begun; and 3 more")
    assert unfinished(tmp_path / "nowhere") == "no shard has begun"


def test_finish_refuses_what_is_not_of_shards_or_of_other_images(tmp_path):
    with begin(tmp_path / "one", PLAN) as writer:
        writer.put("a/0", output("a/0"))
    assert says(finish, tmp_path / "one") == (
        f"{tmp_path}/one: no shards here, `wss crf` was stopped before its end; run that command again"
    )
    root = tmp_path / "out"
    fill(root, Share(1, 1))
    line = Share(1, 1).file(root).read_text().replace('"id": "a/3"', '"id": "a/9"')
    Share(1, 1).file(root).write_text(line)
    assert says(finish, root) == (
        f"{root}: the 10 images here are not those that wss.json speaks of; the data set has changed between shards, so "
        "remove the directory and run them again"
    )


def test_who_is_at_work_keeps_others_out(tmp_path):
    root = tmp_path / "out"
    with begin_shard(root, PLAN, Share(2, 1), Share(2, 1).of(IDS)):
        busy = f"{root}: another wss process is writing shard 1/2 here; wait for it, or "
        assert says(begin_shard, root, PLAN, Share(2, 1), []) == f"{busy}start another shard"
        assert says(begin_shard, root, PLAN, Share(3, 2), []) == f"{busy}use another -o", (
            "it could take the same images"
        )
        assert says(begin, root, PLAN) == f"{busy}use another -o"
        assert says(begin, root, PLAN, overwrite=True) == f"{busy}use another -o"
        assert says(finish, root) == f"{busy}use another -o"
        assert "shard 1/2 is at work" in unfinished(root)
        fill(root, Share(2, 2))
    with begin(root, PLAN):
        assert says(begin_shard, root, PLAN, Share(2, 1), []) == (
            f"{root}: another wss process is writing all of it; wait for it, or use another -o"
        )
    fill(root, Share(2, 1))
    finish(root)


def test_a_directory_that_a_shard_must_leave_alone(tmp_path):
    fill(tmp_path / "out", Share(2, 1))
    other = replace(PLAN, options={"iterations": 5})
    assert says(begin_shard, tmp_path / "out", other, Share(2, 2), []) == (
        f"{tmp_path}/out: was begun with other options than shard 2/2: --iterations was 10, now 5; start every shard "
        "with the same options, or use another -o"
    )
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.tex").touch()
    assert says(begin_shard, tmp_path / "foreign", PLAN, Share(2, 2), []) == (
        f"{tmp_path}/foreign: not empty and not written by wss (holds thesis.tex); use another -o"
    )
    assert sorted(p.name for p in (tmp_path / "foreign").iterdir()) == ["thesis.tex"]
    (tmp_path / "file").touch()
    assert (
        says(begin_shard, tmp_path / "file", PLAN, Share(2, 2), []) == f"{tmp_path}/file: a file; -o names a directory"
    )


def test_a_complete_directory_is_left_alone(tmp_path):
    expected = whole(tmp_path)
    assert begin_shard(tmp_path, PLAN, Share(2, 1), []) is None
    assert tree(tmp_path) == expected


def test_closed_between_two_looks_of_a_shard(tmp_path, monkeypatch):
    """--finish closes the directory while a shard that is done starts once more."""
    fill(tmp_path, Share(1, 1))

    def closing(path, root, **options):
        finish(root)
        return open_locked(path, root, **options)

    monkeypatch.setattr("wsscli.maskdir.shard_writer.open_locked", closing)
    assert begin_shard(tmp_path, PLAN, Share(1, 1), IDS) is None
    assert read_manifest(tmp_path).complete and not (tmp_path / ".shards").exists()


@pytest.mark.parametrize("trial", range(5))
def test_all_start_at_once_and_one_writes_the_manifest(tmp_path, trial):
    """Half of them with other options: all of those are refused, or all of the others."""
    ready, seen = threading.Barrier(8), []

    def start(index):
        ready.wait()
        plan = PLAN if index % 2 else replace(PLAN, options={"iterations": 5})
        try:
            with begin_shard(tmp_path, plan, Share(8, index), []) as writer:
                writer.close()
        except WssError as error:
            seen.append((index % 2, str(error)))
        else:
            seen.append((index % 2, ""))

    threads = [threading.Thread(target=start, args=(index,)) for index in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = 1 if read_manifest(tmp_path).options == {"iterations": 10} else 0
    assert sorted(kind for kind, error in seen if not error) == [kept] * 4, seen
    assert all("was begun with other options than shard" in error for kind, error in seen if kind != kept)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part")]


def test_the_first_manifest_stays(tmp_path):
    create_manifest(tmp_path, PLAN)
    create_manifest(tmp_path, replace(PLAN, seed=3))
    assert read_manifest(tmp_path) == PLAN and [p.name for p in tmp_path.iterdir()] == ["wss.json"]
    assert says(create_manifest, tmp_path / "nowhere", PLAN).startswith(f"cannot write {tmp_path}/nowhere/wss.json: ")


def test_the_first_manifest_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def no_links(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(manifests.os, "link", no_links)
    create_manifest(tmp_path, PLAN)
    create_manifest(tmp_path, replace(PLAN, seed=3))
    assert read_manifest(tmp_path) == PLAN and [p.name for p in tmp_path.iterdir()] == ["wss.json"]


def test_other_options_that_no_lock_and_no_link_kept_out(tmp_path):
    """Two shards wrote the manifest at one moment, one after the other, and neither saw the other's."""
    fill(tmp_path, Share(2, 1))
    other = replace(PLAN, options={"iterations": 5})
    write_manifest(tmp_path, other)
    told = (
        f"{tmp_path}: shard 1/2 was begun with other options than the others; remove the directory and start all "
        "shards with the same"
    )
    assert says(begin_shard, tmp_path, other, Share(2, 1), []) == told
    assert says(begin_shard, tmp_path, other, Share(2, 2), []) == told
    assert says(finish, tmp_path) == told


def test_without_locks_shards_go_on_and_say_so(tmp_path, monkeypatch, caplog):
    expected = whole(tmp_path / "one")

    def no_locks(stream, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    root = tmp_path / "out"
    for index in (1, 2):
        fill(root, Share(2, index))
    assert caplog.messages[0] == (
        f"{root}: its file system cannot lock files (No locks available), so nothing keeps two runs of one part apart; "
        "start each once"
    )
    finish(root)
    assert tree(root) == expected


def test_without_locks_one_shard_twice_repeats_work_and_no_more(tmp_path, monkeypatch):
    """A process that the scheduler took for dead still writes beside its successor, lines mixed and torn."""
    expected = whole(tmp_path / "one")
    monkeypatch.setattr(fcntl, "flock", lambda stream, how: None)
    root, share = tmp_path / "out", Share(1, 1)
    first = begin_shard(root, PLAN, share, IDS)
    second = begin_shard(root, PLAN, share, IDS)
    for name in IDS:
        first.put(name, output(name))
        second.put(name, output(name))
    text = share.file(root).read_text().splitlines(keepends=True)
    share.file(root).write_text("".join([*text[:4], text[4][:20], text[5], "7\n", *text[6:9], text[9][:-1]]))
    assert set(fill(root, share)) < set(IDS)
    finish(root)
    assert tree(root) == expected


def test_overwrite_takes_what_shards_have_left(tmp_path):
    fill(tmp_path, Share(3, 2))
    with begin(tmp_path, PLAN, overwrite=True) as writer:
        assert not writer.done and not (tmp_path / "masks").exists()
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("again", ["begin", "begin_shard", "finish"])
def test_what_a_kill_at_the_very_end_has_left_is_removed(tmp_path, again):
    complete = whole(tmp_path / "x")
    root = tmp_path / "x"
    (root / ".shards").mkdir()
    (root / ".shards/1-of-3.rank").write_text("{}")
    (root / "journal.jsonl").write_text("")
    (root / ".wss.json.0123.part").write_text("{")
    if again == "begin":
        assert begin(root, PLAN) is None
    elif again == "begin_shard":
        assert begin_shard(root, PLAN, Share(3, 1), IDS) is None
    else:
        assert finish(root).complete
    assert tree(root) == complete


def test_one_who_waits_for_the_lock_sees_that_all_is_done_meanwhile(tmp_path, monkeypatch):
    """Another process completes the directory between the first look and the lock."""
    from wsscli.maskdir import shard_writer, writer

    fill(tmp_path / "x", Share(1, 1))
    real = writer.lock

    def late(root, **options):
        monkeypatch.setattr(writer, "lock", real)
        monkeypatch.setattr(shard_writer, "lock", real)
        finish(tmp_path / "x")
        return real(root, **options)

    for call in (lambda: begin(tmp_path / "x", PLAN), lambda: finish(tmp_path / "x")):
        shutil.rmtree(tmp_path / "x")
        fill(tmp_path / "x", Share(1, 1))
        monkeypatch.setattr(writer, "lock", late)
        monkeypatch.setattr(shard_writer, "lock", late)
        made = call()
        assert made is None or made.complete
        assert tree(tmp_path / "x") == whole(tmp_path / "y")
        shutil.rmtree(tmp_path / "y")


def test_a_journal_torn_within_a_letter_goes_on(tmp_path):
    writer = begin_shard(tmp_path / "x", PLAN, Share(1, 1), IDS)
    writer.put("a/0", Output(dropped="é"))
    writer._journal.close()
    path = tmp_path / "x/.shards/1-of-1.jsonl"
    whole_lines = path.read_bytes()
    path.write_bytes(whole_lines + '{"id": "é'.encode()[:-1])
    again = begin_shard(tmp_path / "x", PLAN, Share(1, 1), IDS)
    assert again.done == {"a/0"} and again.dropped == {"a/0": "é"}
    again._journal.close()
    assert path.read_bytes().startswith(whole_lines + b'{"begun"')


def test_a_full_disk_has_one_message(tmp_path):
    writer = begin_shard(tmp_path / "x", PLAN, Share(1, 1), IDS)
    writer._journal.close()
    writer._journal = open("/dev/full", "a")  # noqa: PTH123, SIM115
    with pytest.raises(WssError, match="No space left on device"), writer:
        writer.note({"id": "a/0", "files": {}})


def test_ranks_are_told_to_start_their_command_again(tmp_path):
    ids = Share(2, 2).of(IDS)
    begin_shard(tmp_path / "x", PLAN, Share(2, 2), ids)._journal.close()
    assert "--finish" in how_to_complete(tmp_path / "x", "crf")
    shutil.rmtree(tmp_path / "x")
    begin_shard(tmp_path / "x", PLAN, Share(2, 2), ids, led=True)._journal.close()
    assert how_to_complete(tmp_path / "x", "crf").endswith("run that command again, it goes on where it stopped")


def test_a_journal_that_cannot_be_read_is_no_living_process(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(WssError, match=r"x: cannot be read \(Is a directory\)"):
        is_held(tmp_path / "x")
    assert not is_held(tmp_path / "none")


def test_what_others_have_put_in_the_place_of_journals(tmp_path):
    fill(tmp_path / "x", Share(3, 2))
    (tmp_path / "x/.shards/1-of-3.jsonl").mkdir()
    with pytest.raises(WssError, match=r"1-of-3\.jsonl: cannot be read \(Is a directory\); who has written it\?"):
        fill(tmp_path / "x", Share(3, 3))
    (tmp_path / "x/.shards/1-of-3.jsonl").rmdir()
    for index in (1, 3):
        (tmp_path / f"x/.shards/{index}-of-3.jsonl").write_text('[1]\n5\n{"a": 1}\n{"id": "a/0"}\n')
    for index in (1, 3):
        fill(tmp_path / "x", Share(3, index))
    assert finish(tmp_path / "x").complete
