import numpy as np
import pytest
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.data.dataset import open_dataset, require_labels
from wsscli.data.labels import open_labels
from wsscli.errors import WssError

TABLE = ClassTable.of(["cat", "dog", "traffic light"])


def _npy(path, content):
    np.save(path, content, allow_pickle=True)
    return path


def _fails(function, *args) -> str:
    with pytest.raises(WssError) as error:
        function(*args)
    return str(error.value)


def test_both_schemas_of_cls_labels(tmp_path):
    vector = np.array([1, 0, 1], np.float32)
    psa = open_labels(_npy(tmp_path / "psa.npy", {"2007_000032": vector, "x/y": np.zeros(3, np.float32)}), TABLE)
    assert psa.labels("2007_000032") == (1, 3)
    assert psa.labels("x/y") == ()
    assert psa.labels("2007_000033") is None
    irn = open_labels(_npy(tmp_path / "irn.npy", {np.int32(2007000032): vector, np.int32(30): vector}), TABLE)
    assert irn.labels("2007_000032") == (1, 3)
    assert irn.labels("000000000030") == (1, 3)
    assert irn.labels("cat") is None


def test_vectors_that_do_not_fit(tmp_path):
    path = _npy(tmp_path / "a.npy", {"a": np.ones(20), "b": np.array([0, 0.5, 1]), "c": np.array(["x", "y", "z"])})
    labels = open_labels(path, TABLE)
    assert _fails(labels.labels, "a") == (
        f"{path}: the labels of 'a' have the shape (20,), but the data set has 3 foreground classes; use the label "
        "file of these classes"
    )
    for name in "bc":
        assert _fails(labels.labels, name) == (
            f"{path}: the labels of '{name}' are not zeros and ones; write 1 where the class is there"
        )


@pytest.mark.parametrize(("content", "kind"), [([1, 2], "ndarray"), ({}, "dict")])
def test_other_contents(tmp_path, content, kind):
    path = _npy(tmp_path / "a.npy", content)
    assert _fails(open_labels, path, TABLE) == (
        f"{path}: holds a {kind}, but image-level labels are a dictionary id -> vector (cls_labels.npy) or a CSV "
        "image,labels"
    )


def test_a_csv_of_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,labels\na.jpg,cat;traffic light\nx/b,dog;\nc.v2,\n")
    labels = open_labels(path, TABLE)
    assert labels.labels("a") == (1, 3)
    assert labels.labels("x/b") == (2,)
    assert labels.labels("c.v2") == ()
    assert labels.labels("d") is None


def test_csv_errors(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image\na.jpg\n")
    assert _fails(open_labels, path, TABLE) == f"{path}: no column 'labels'; write image,labels"
    path.write_text("image,labels\na.jpg,cat\na,cat\n")
    assert _fails(open_labels, path, TABLE) == f"{path}, line 3: the id 'a' stands twice; list every image once"
    path.write_text("image,labels\na.jpg,cat\nb.jpg,dgo\n")
    assert _fails(open_labels, path, TABLE) == f"{path}, line 3: unknown class 'dgo'; did you mean dog?"


def test_labels_from_a_file_win_over_the_data_set_s_own(tmp_path):
    for name in ("cat/a", "dog/b"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    path = tmp_path / "labels.csv"
    path.write_text("image,labels\ncat/a,dog;cat\n")
    data = open_dataset(tmp_path, format="folders", labels=path)
    assert data.labels_file == path
    assert data.labels("cat/a") == (1, 2)
    assert data.labels("dog/b") is None  # never mixed with the folder's
    assert _fails(require_labels, data, data.ids) == (
        f"{path}: no image-level labels for 1 of 2 images of split all (dog/b); give them with --labels FILE or leave "
        "the images out with --ids"
    )


def test_a_csv_that_is_not_there(tmp_path):
    assert _fails(open_labels, tmp_path / "no.csv", TABLE) == f"{tmp_path}/no.csv: no such file; check the path"
    assert _fails(open_labels, tmp_path / "no.npy", TABLE) == f"{tmp_path}/no.npy: no such file; check the path"
