import errno
import fcntl
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic
from wsscli.maskdir.manifest import Input, Manifest, ids_digest, read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.writer import Output, begin, parts_of, rewrite, standing

MASK = np.array([[0, 1, 255]], np.uint8)
IDS = ["a", "b", "c/d"]
PLAN = Manifest(
    kind="masks", step="crf", options={"iterations": 10, "scales": [1.0]}, classes=ClassTable.of(["cat"]),
    split="train", images=3, ids_digest=ids_digest(IDS), supervision=("image-labels",),
    inputs=(Input("masks", "/x", "sha256:1"),),
)  # fmt: skip


def fill(root, ids=IDS, **changes):
    with begin(root, PLAN) as writer:
        for name in ids:
            if name not in writer.done:
                writer.put(name, Output(mask=MASK, fell_back="flat" if name == "b" else None))
        return writer.close(**changes)


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != "log.jsonl"}


def test_a_whole_run(tmp_path):
    root = tmp_path / "deep" / "out"
    manifest = fill(root)
    assert manifest.complete and manifest == read_manifest(root)
    assert manifest.pixels == {"background": 3, "cat": 3, "unlabelled": 3}
    assert manifest.fell_back == ({"id": "b", "reason": "flat"},) and manifest.dropped == ()
    assert open_maskdir(root).ids == IDS
    assert sorted(tree(root)) == ["masks/a.png", "masks/b.png", "masks/c/d.png", "wss.json"]
    assert json.loads((root / "log.jsonl").read_text().splitlines()[-1])["event"] == "end"


def test_order_does_not_matter(tmp_path):
    fill(tmp_path / "x")
    fill(tmp_path / "y", ids=IDS[::-1])
    assert tree(tmp_path / "x") == tree(tmp_path / "y")


def test_complete_with_the_same_options_is_left_alone(tmp_path):
    fill(tmp_path)
    before = tree(tmp_path)
    assert begin(tmp_path, PLAN) is None
    assert tree(tmp_path) == before


def test_goes_on_where_it_stopped(tmp_path):
    fill(tmp_path / "whole")
    root = tmp_path / "torn"
    with begin(root, PLAN) as writer:
        assert not writer.resuming
        writer.put("b", Output(mask=MASK, fell_back="flat"))
        writer.put("a", Output(mask=MASK))
    with (root / "journal.jsonl").open("a") as journal:
        journal.write('{"id": "c/d", "fil')  # killed while writing this line
    (root / "masks" / "a.png").unlink()  # and somebody removed a result
    with begin(root, PLAN) as writer:
        assert writer.resuming and writer.done == {"b"}
    fill(root)
    assert tree(root) == tree(tmp_path / "whole")


def test_leftover_journal_of_a_kill_at_the_very_end_does_no_harm(tmp_path):
    fill(tmp_path)
    (tmp_path / "journal.jsonl").write_text("")
    assert begin(tmp_path, PLAN) is None
    assert not (tmp_path / "journal.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"iterations": 5, "scales": [1.0]}}, "--iterations was 10, now 5"),
        ({"options": {"iterations": 10, "scales": [2.0]}}, r"--scales was \[1.0\], now \[2.0\]"),
        ({"step": "grabcut"}, "it is the output of `wss crf`, not of `wss grabcut`"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"split": "val"}, "split was 'train', now 'val'"),
        ({"images": 2}, "the number of images was 3, now 2"),
        ({"ids_digest": "x"}, "the image list was"),
        ({"classes": ClassTable.of(["dog"])}, "the class table differs"),
        ({"inputs": (Input("masks", "/x", "sha256:2"),)}, "its input 'masks' has changed"),
        ({"supervision": ()}, r"the supervision was \['image-labels'\], now \[\]"),
    ],
)
def test_other_options_are_an_error_that_shows_the_difference(tmp_path, change, message):
    from dataclasses import replace

    fill(tmp_path)
    with pytest.raises(WssError, match=f"was made with other options: {message}.*--overwrite to replace"):
        begin(tmp_path, replace(PLAN, **change))


def test_who_watched_makes_no_other_run(tmp_path):
    write_manifest(tmp_path, replace(PLAN, options={**PLAN.options, "watch": True}, complete=True))
    assert begin(tmp_path, PLAN) is None


def test_overwrite_leaves_directories_that_are_no_parts(tmp_path):
    """Only refine-round keeps directories of its own in its output."""
    for name in ("model", "refined", "round-1"):
        (tmp_path / name).mkdir()
    write_manifest(tmp_path, PLAN)
    with begin(tmp_path, PLAN, overwrite=True):
        pass
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"model", "refined", "round-1"}
    write_manifest(tmp_path, replace(PLAN, step="refine-round"))
    (tmp_path / "mine").mkdir()
    with begin(tmp_path, PLAN, overwrite=True):
        pass
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"mine", "round-1"}  # of one round, no part


def test_overwrite_of_rounds_takes_those_that_were_made(tmp_path):
    """A folder that only has a round's name is somebody's."""
    rounds = replace(PLAN, step="refine-round", kind="rounds", options={"rounds": 3})
    for name in ("round-1", "round-2", "round-3", "round-4"):
        (tmp_path / name).mkdir()
    write_manifest(tmp_path / "round-1", PLAN)
    (tmp_path / "round-1/masks").mkdir()
    (tmp_path / "round-2/journal.jsonl").touch()  # killed when it had just begun
    for name in ("round-3", "round-4"):
        (tmp_path / name / "mine.txt").write_text("mine")
    write_manifest(tmp_path, rounds)
    assert parts_of(tmp_path, rounds) == ["round-1", "round-2"]
    with begin(tmp_path, rounds, overwrite=True):
        pass
    assert sorted(path.name for path in tmp_path.rglob("mine.txt")) == ["mine.txt"] * 2
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"round-3", "round-4"}


def test_a_part_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    """Killed in the middle of its removal, no half of it is taken for a part, and the rest goes away."""
    rounds = replace(PLAN, step="refine-round", kind="rounds", options={"rounds": 1})
    write_manifest(tmp_path, rounds)
    (tmp_path / "round-1/masks").mkdir(parents=True)
    (tmp_path / ".mine.gone").mkdir()
    write_manifest(tmp_path / "round-1", PLAN)

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, rounds, overwrite=True)
    assert not (tmp_path / "round-1").exists() and (tmp_path / ".round-1.gone/masks").exists()
    with begin(tmp_path, rounds):
        assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {".mine.gone"}


def test_standing_says_what_begin_would(tmp_path):
    """And touches nothing."""
    root = tmp_path / "out"
    assert standing(root, PLAN) is None and not root.exists()
    fill(root)
    before = tree(root)
    assert standing(root, PLAN) == read_manifest(root)
    assert standing(root, PLAN, overwrite=True) is None
    with pytest.raises(WssError, match="was made with other options: seed was 0, now 1; use another -o"):
        standing(root, replace(PLAN, seed=1))
    assert standing(root, replace(PLAN, seed=1), overwrite=True) is None
    assert tree(root) == before
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/a.txt").touch()
    for overwrite in (False, True):
        with pytest.raises(
            WssError, match=r"theirs: not empty and not written by wss \(holds a.txt\); use another -o$"
        ):
            standing(tmp_path / "theirs", PLAN, overwrite=overwrite)


def test_rewrite_gives_way_to_a_writer(tmp_path):
    with begin(tmp_path, PLAN):
        with pytest.raises(WssError, match=r"another wss process is writing here; wait for it, or use another -o$"):
            rewrite(tmp_path, replace(PLAN, seed=1))
        assert read_manifest(tmp_path).seed == 0
    rewrite(tmp_path, replace(PLAN, seed=1))
    assert read_manifest(tmp_path).seed == 1


def test_overwrite_replaces_only_what_is_ours(tmp_path):
    fill(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with begin(tmp_path, PLAN, overwrite=True) as writer:
        assert writer.done == set() and not (tmp_path / "masks").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("moment", range(3))
def test_killed_while_overwriting_the_same_command_goes_on(tmp_path, monkeypatch, moment):
    """Whatever of the old directory is gone by then, it is never complete, and never taken for a stranger's."""
    fill(tmp_path / "fresh")
    root = tmp_path / "out"
    fill(root)
    (root / "last.ckpt").write_text("old")
    calls = 0

    def killed_at(remove):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls > moment:
                raise KeyboardInterrupt
            return remove(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed_at(Path.unlink))
        patch.setattr(shutil, "rmtree", killed_at(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            begin(root, PLAN, overwrite=True)
    assert read_manifest(root).complete is False
    with begin(root, PLAN, overwrite=True) as writer:
        for name in IDS:
            writer.put(name, Output(mask=MASK, fell_back="flat" if name == "b" else None))
        writer.close()
    assert tree(root) == tree(tmp_path / "fresh")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_stranger_s_folder_is_never_touched(tmp_path, overwrite):
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(WssError, match=r"not empty and not written by wss \(holds holiday.jpg\); use another -o"):
        begin(tmp_path, PLAN, overwrite=overwrite)
    assert (tmp_path / "holiday.jpg").exists()


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(WssError, match=r"f: a file; -o names a directory"):
        begin(tmp_path / "f", PLAN)
    with pytest.raises(WssError, match=r"cannot write .*a file stands where a folder is needed"):
        begin(tmp_path / "f" / "out", PLAN)


def test_two_processes_do_not_share_a_directory(tmp_path):
    with begin(tmp_path, PLAN):
        code = (
            "import fcntl,sys\n"
            f"f=open({str(tmp_path / 'journal.jsonl')!r},'a')\n"
            "try: fcntl.flock(f, fcntl.LOCK_EX|fcntl.LOCK_NB)\nexcept OSError: sys.exit(7)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
        with pytest.raises(WssError, match=r"another wss process is writing here; wait for it, or use another -o"):
            begin(tmp_path, PLAN)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(WssError) as caught:
        begin(tmp_path, PLAN)
    assert str(caught.value) == (
        f"{tmp_path}: its file system cannot lock files (No locks available), so two runs could mix there; "
        "use another -o"
    )


def test_ids_that_leave_the_root_are_not_written(tmp_path):
    with begin(tmp_path / "out", PLAN) as writer:
        for name in ("../evil", "/evil", "a/../../evil", ".hidden"):
            with pytest.raises(WssError, match=r"evil|hidden"):
                writer.put(name, Output(mask=MASK))
    assert not list(tmp_path.rglob("*evil*"))


def test_failed_writes_leave_nothing(tmp_path):
    (tmp_path / "x.png").mkdir()  # a directory where the file should go
    with pytest.raises(WssError, match=r"cannot write .*x\.png: .*check the path and the file system"):
        write_atomic(tmp_path / "x.png", b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]
