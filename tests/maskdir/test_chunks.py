"""What workers of a cluster make of a chunk, and what a killed run leaves to the next."""

import json

import numpy as np
import pytest

from wsscli.errors import WssError
from wsscli.maskdir.chunks import Chunk, close_place, left_behind, open_place, remove_places, stop
from wsscli.maskdir.manifest import Manifest
from wsscli.maskdir.writer import Output, begin, write_output


def made(name, value=1):
    return lambda root: write_output(root, name, Output(mask=np.full((2, 3), value, np.uint8)))


def test_an_image_is_moved_in_when_it_is_whole_and_noted(tmp_path):
    place = open_place(tmp_path)
    with Chunk(tmp_path, place, 7) as chunk:
        record = chunk.put(made("d/a"))
    alone = write_output(tmp_path / "alone", "d/a", Output(mask=np.full((2, 3), 1, np.uint8)))
    assert (
        record == alone and (tmp_path / "masks/d/a.png").read_bytes() == (tmp_path / "alone/masks/d/a.png").read_bytes()
    )
    assert [path.name for path in (place / "7").iterdir()] == [next((place / "7").glob("*.jsonl")).name]
    assert list(left_behind(tmp_path)) == [record]


def test_a_chunk_that_begins_anew_knows_what_is_done_and_a_torn_line_is_not(tmp_path):
    place = open_place(tmp_path)
    first = Chunk(tmp_path, place, 0)
    record = first.put(made("a"))
    with next((place / "0").glob("*.jsonl")).open("a") as stream:
        stream.write(json.dumps({"id": "b", "files": {}})[:-3])
    assert Chunk(tmp_path, place, 0).done == {"a": record}
    assert Chunk(tmp_path, place, 1).done == {}


def test_a_worker_whose_run_has_ended_moves_nothing_in(tmp_path):
    place = open_place(tmp_path)
    text = (
        rf"^{place}: not seen by a worker of the cluster; --cluster needs data and output on a file system that all "
        r"machines have under the same path$"
    )

    def late(root):
        stop(place)
        return made("a")(root)

    chunk = Chunk(tmp_path, place, 0)
    with pytest.raises(WssError, match=text), chunk:
        chunk.put(late)
    assert not (tmp_path / "masks").exists()
    with pytest.raises(WssError, match=text):
        Chunk(tmp_path, place, 0)


def test_what_comes_back_after_it_was_removed_goes_with_the_straggler(tmp_path):
    place = open_place(tmp_path)
    chunk = Chunk(tmp_path, place, 0)

    def late(root):
        close_place(place)
        return made("a")(root)

    with pytest.raises(WssError, match="not seen by a worker"), chunk:
        chunk.put(late)
    assert not place.exists() and list(tmp_path.iterdir()) == []


def test_the_next_run_takes_over_what_a_killed_one_has_left(tmp_path):
    out, manifest = tmp_path / "out", Manifest("masks", "crf", images=3)
    begin(out, manifest).__exit__()  # killed: nothing is noted
    with Chunk(out, open_place(out), 0) as chunk:
        chunk.put(made("a"))
        chunk.put(made("b"))
    (out / "masks/b.png").unlink()
    with begin(out, manifest) as writer:
        assert writer.done == {"a"}
    assert sorted(path.name for path in out.iterdir()) == ["journal.jsonl", "masks", "wss.json"]
    with begin(out, manifest) as writer:  # noted once and for all
        assert writer.done == {"a"}
    with Chunk(out, open_place(out), 0) as chunk:
        chunk.put(made("c"))
    with begin(out, manifest, overwrite=True) as writer:
        assert writer.done == set()
    assert not list(out.glob(".cluster-*"))


def test_a_place_that_cannot_be_made(tmp_path):
    with pytest.raises(WssError, match=r"^cannot write .*/none/\.cluster-[0-9a-f]{32}: No such file or directory; "):
        open_place(tmp_path / "none")
    remove_places(tmp_path / "none")


def test_an_image_that_cannot_be_moved_in(tmp_path):
    place = open_place(tmp_path)
    (tmp_path / "masks/a.png").mkdir(parents=True)
    with (
        pytest.raises(WssError, match=rf"^cannot write {tmp_path}: Is a directory; check the path and the file system"),
        Chunk(tmp_path, place, 0) as chunk,
    ):
        chunk.put(made("a"))


def test_a_worker_that_cannot_write_says_where(tmp_path):
    place = open_place(tmp_path)
    (place / "3").write_text("in the way")
    with pytest.raises(WssError, match=r"cannot write .*/3: "):
        Chunk(tmp_path, place, 3)
