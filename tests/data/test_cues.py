"""Seed files of SEC and DSRG, and the list that numbers their images: read, and refused by name."""

import gzip
import os
import pickle

import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.data.cues import open_cues, read_numbers
from wsscli.errors import WssError

CLASSES = ClassTable.of(("cat", "dog"))


def write(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def told(call, *args):
    with pytest.raises(WssError) as caught:
        call(*args)
    return str(caught.value)


# python 2's cPickle, protocol 0, of {'3_cues': array([[0, 2], [0, 1], [1, 1]], dtype=int64)}
PYTHON2 = (
    b"(dp1\nS'3_cues'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntRp5\n(I1\n"
    b"(I3\nI2\ntcnumpy\ndtype\np6\n(S'i8'\nI0\nI1\ntRp7\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'"
    b"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
    b"\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00"
    b"\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\ntbs."
)


@pytest.mark.parametrize("packed", [False, True])
def test_python_2_pickles_gzip_or_not(tmp_path, packed):
    path = tmp_path / "cues"
    path.write_bytes(gzip.compress(PYTHON2) if packed else PYTHON2)
    cues = open_cues(path)
    np.testing.assert_array_equal(cues.read(3, CLASSES, 2), [[0, 2], [0, 1], [1, 1]])
    assert cues.read(3, CLASSES, 2).dtype == np.int64


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64", ">i8"])
def test_every_kind_of_integers(tmp_path, dtype):
    path = write(tmp_path / "c", {"0_cues": np.array([[2], [40], [0]], dtype), "0_labels": np.array([2])})
    assert open_cues(path).read(0, CLASSES, 41).tolist() == [[2], [40], [0]]


def test_images_without_cues(tmp_path):
    cues = open_cues(write(tmp_path / "c", {"0_cues": np.zeros((3, 0), int), "1_cues": np.zeros((3, 1), int)}))
    assert cues.fault(None) == "not in the list of the cues' images"
    assert cues.fault(7) == "no cues in the file"
    assert cues.fault(0) == "no cue in its entry"
    assert cues.fault(1) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a list, but cues are a dictionary '<n>_cues' -> integers (3, N)"),
        ({}, "none of its 0 entries is called '<n>_cues'; give SEC's seed file"),
        ({"a": 1, 2: 3}, "none of its 2 entries is called '<n>_cues', the first is 'a'; give SEC's seed file"),
    ],
)
def test_files_that_hold_no_cues(tmp_path, content, message):
    path = write(tmp_path / "c", content)
    assert told(open_cues, path) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("cues", "message"),
    [
        ([[1, 2], [3]], "is a list, but cues are integers of shape (3, N): class, row, column"),
        ([[1], [2], [3]], "is a list, but cues are integers of shape (3, N): class, row, column"),
        (np.zeros((3, 1)), "is a float64 of shape (3, 1), but cues are integers of shape (3, N): class, row, column"),
        (np.zeros((2, 5), int), "is a int64 of shape (2, 5), but cues are integers of shape (3, N): class, row, column"),
        (np.zeros(3, int), "is a int64 of shape (3,), but cues are integers of shape (3, N): class, row, column"),
        (
            np.array([[1, 3], [0, 0], [0, 0]]),
            "holds the class 3, but the class table goes from 0 to 2 (dog); name the data set (or --class-names) that "
            "the cues are of",
        ),
        (
            np.array([[-1], [0], [0]]),
            "holds the class -1, but the class table goes from 0 to 2 (dog); name the data set (or --class-names) that "
            "the cues are of",
        ),
        (
            np.array([[1], [41], [0]]),
            "holds the row 41, but the grid goes from 0 to 40; give the cues' rows and columns with --grid",
        ),
        (
            np.array([[1, 1], [0, 0], [0, -3]]),
            "holds the column -3, but the grid goes from 0 to 40; give the cues' rows and columns with --grid",
        ),
    ],
)  # fmt: skip
def test_cues_that_cannot_be_right(tmp_path, cues, message):
    path = write(tmp_path / "c", {"5_cues": cues})
    assert told(open_cues(path).read, 5, CLASSES, 41) == f"{path}: '5_cues' {message}"


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("nested", [False, True])
def test_code_is_refused_by_name_and_not_run(tmp_path, nested):
    evil = Evil(tmp_path / "trace")
    path = write(tmp_path / "c", {"0_cues": np.array([[evil]], object) if nested else evil})
    assert f"{path}: names {os.system.__module__}.system, which wss does not load" in told(open_cues, path)
    assert not (tmp_path / "trace").exists()


def test_the_list(tmp_path):
    path = tmp_path / "list"
    path.write_text("\ufeff2008_1.jpg 0\n\nsub/a b.PNG\t7\r\nplain 00012\nv1.2 3\n", encoding="utf-8")
    assert read_numbers(path) == {"2008_1": 0, "sub/a b": 7, "plain": 12, "v1.2": 3}


HOW = "has no number behind the image's name; a line is '2008_007028.jpg 0', the number is that of '0_cues' in the cue file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 0\nb.jpg\n", f", line 2: 'b.jpg' {HOW}"),
        ("a.jpg -1\n", f", line 1: 'a.jpg -1' {HOW}"),
        ("a.jpg 1.5\n", f", line 1: 'a.jpg 1.5' {HOW}"),
        ("a.jpg ٣\n", f", line 1: 'a.jpg ٣' {HOW}"),
        ("/JPEGImages/a.jpg /SegmentationClass/a.png\n", f", line 1: '/JPEGImages/a.jpg /SegmentationClass/a.png' {HOW}"),
        ("a.jpg 0\na.png 1\n", ", line 2: the image 'a' stands twice; list every image once"),
        ("a.jpg 4\n\nb.jpg 4\n", ", line 3: the number 4 stands already in line 1"),
        (" \n", ": no image in this list; write '2008_007028.jpg 0', a line an image"),
    ],
)  # fmt: skip
def test_lists_that_cannot_be_right(tmp_path, text, message):
    path = tmp_path / "list"
    path.write_text(text, encoding="utf-8")
    assert told(read_numbers, path) == f"{path}{message}"


def test_ids_stay_inside(tmp_path):
    path = tmp_path / "list"
    path.write_text("../a.jpg 0\n")
    assert told(read_numbers, path).startswith(f"{path}, line 1: the id '../a' has a part '..'")
