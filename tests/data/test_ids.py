import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsscli.data.ids import MAX_PART, check_id, first_few, parse_line, read_ids, split_suffix
from wsscli.errors import WssError

FAULTS = {
    "": "is empty",
    "a\0b": "holds a control character",
    "a\nb": "holds a control character",
    "a\x7f": "holds a control character",
    "a\udc80": "is not UTF-8",
    "a\\..\\b": "holds a backslash",
    "/etc/passwd": "is an absolute path, ids are relative to the image folder",
    "C:/x": "is an absolute path, ids are relative to the image folder",
    "..": "has a part '..', ids never leave the image folder",
    "a/../b": "has a part '..', ids never leave the image folder",
    "./a": "has a part '.', ids never leave the image folder",
    "a//b": "has a part '', ids never leave the image folder",
    "a/": "has a part '', ids never leave the image folder",
    "a /b": "has a part that begins or ends with a blank",
    "x/.a": "has a part that begins with '.', which wss keeps for its temporary files",
    " a": "has a part that begins or ends with a blank",
    "x" * (MAX_PART + 1): f"has a part of more than {MAX_PART} bytes",
    "ä" * MAX_PART: f"has a part of more than {MAX_PART} bytes",
}


@pytest.mark.parametrize(("name", "reason"), FAULTS.items())
def test_unsafe_ids_are_refused_by_reason(name, reason):
    with pytest.raises(WssError) as error:
        check_id(name, "list.txt, line 3")
    assert str(error.value) == f"list.txt, line 3: the id {name!r} {reason}; rename the image or mend the list"


@pytest.mark.parametrize("name", ["2007_000032", "cat/a b.c", "photo..x", "ein/Bild-ü", "a" * MAX_PART, "ab:c"])
def test_ordinary_ids_pass(name):
    assert check_id(name, "x") == name


@given(st.text(alphabet=st.sampled_from("ab./\\ \0:C_-é"), max_size=12))
def test_an_accepted_id_never_leaves_any_root(name):
    try:
        check_id(name, "x")
    except WssError:
        return
    root = "/some/root"
    for suffix in (".png", ".npz"):
        joined = os.path.normpath(f"{root}/masks/{name}{suffix}")
        assert joined == f"{root}/masks/{name}{suffix}"
        assert joined.startswith(f"{root}/masks/")


@given(st.text(max_size=30))
def test_the_fast_way_accepts_only_what_the_slow_way_accepts(name):
    from wsscli.data.ids import _PLAIN, _fault

    if len(name) <= MAX_PART and _PLAIN.fullmatch(name):
        assert _fault(name) is None


@pytest.mark.parametrize(
    ("relative", "parts"),
    [
        ("a.jpg", ("a", ".jpg")),
        ("x/a.b.JPG", ("x/a.b", ".JPG")),
        ("x.y/a", ("x.y/a", "")),
        (".hidden", (".hidden", "")),
        ("x/.hidden", ("x/.hidden", "")),
    ],
)
def test_the_suffix_begins_at_the_last_dot_of_the_last_part(relative, parts):
    assert split_suffix(relative) == parts


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("2007_000032\r", "2007_000032"),
        ("2007_000032 -1", "2007_000032"),
        ("2007_000032  1", "2007_000032"),
        ("/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png", "2007_000032"),
        ("my photo", "my photo"),
        ("photo 1", "photo 1"),  # known as such
        ("photo 0", "photo"),
    ],
)
def test_lines_of_id_lists(line, name):
    assert parse_line(line, {"photo 1"}) == name


def test_read_ids_keeps_the_order_and_passes_empty_lines(tmp_path: Path):
    path = tmp_path / "train.txt"
    path.write_text("\ufeffb\n\na -1\r\nc/d\n", encoding="utf-8")
    assert read_ids(path) == ("b", "a", "c/d")


def _fails(path: Path) -> str:
    with pytest.raises(WssError) as error:
        read_ids(path)
    return str(error.value)


def test_read_ids_errors(tmp_path: Path):
    path = tmp_path / "train.txt"
    assert _fails(path) == f"{path}: no such id list; check the path"
    path.write_text("\n \n")
    assert _fails(path) == f"{path}: no id in this list; write one id a line"
    path.write_text("a\nb\na\n")
    assert _fails(path) == f"{path}, line 3: the id 'a' stands already in line 1; list every image once"
    path.write_text("a\n../b\n")
    assert _fails(path).startswith(f"{path}, line 2: the id '../b' has a part '..'")
    path.write_bytes(b"\xff\xfe\x00")
    assert re.fullmatch(
        re.escape(str(path)) + r": cannot be read as an id list \(.*\); write one id a line, UTF-8", _fails(path)
    )
    assert "cannot be read as an id list" in _fails(tmp_path)


def test_first_few():
    assert first_few(["a", "b"]) == "a, b"
    assert first_few(list("abcdef")) == "a, b, c and 3 more"
