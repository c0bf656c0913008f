import numpy as np
import pytest
from PIL import Image

from wsscli.data.dataset import open_dataset
from wsscli.errors import WssError
from wsscli.maskdir.png import write_mask


@pytest.fixture
def table(tmp_path):
    for name in ("a.jpg", "x/b.png", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    return tmp_path / "set.csv"


def _open(table, text, **options):
    table.write_text(text)
    return open_dataset(table, **options)


def _fails(table, text, **options) -> str:
    with pytest.raises(WssError) as error:
        _open(table, text, **options)
    return str(error.value)


def test_a_table(table):
    data = _open(table, "image,labels\na.jpg,dog cat\n./x/b.png,\nc.jpg,cat cat\n")
    assert (data.format, data.split, data.ids) == ("csv", "all", ("a", "x/b", "c"))
    assert data.classes.foreground == ("cat", "dog")
    assert [data.labels(name) for name in data.ids] == [(1, 2), (), (1,)]
    assert data.image("x/b").shape == (3, 4, 3)
    assert not data.has_truth
    assert open_dataset(table.parent).ids == data.ids  # the folder that holds it


@pytest.mark.parametrize(
    "cell", ["cat;traffic light", "cat|traffic light", '"cat; traffic light"', "traffic light;cat;"]
)
def test_strong_separators_leave_blanks_in_names(table, cell):
    data = _open(table, f"image,labels\na.jpg,{cell}\nc.jpg,traffic light\n")
    assert data.classes.foreground == ("cat", "traffic light")
    assert data.labels("a") == (1, 2)
    assert data.labels("c") == (2,)


def test_a_class_list_settles_names_with_blanks(table):
    (table.parent / "classes.txt").write_text("traffic light\ncat\n")
    data = _open(table, "image,labels\na.jpg,traffic light\nc.jpg,cat\n")
    assert [data.labels(name) for name in data.ids] == [(1,), (2,)]


def test_splits(table):
    text = "split,image,label\ntrain,a.jpg,cat\nval,x/b.png,dog\ntrain,c.jpg,cat\n"
    assert _fails(table, text) == f"{table}: has the splits train, val; say which with --split"
    train = _open(table, text, split="train")
    assert train.ids == ("a", "c")
    assert train.classes.foreground == ("cat", "dog")  # over all splits
    with pytest.raises(WssError) as error:
        train.labels("x/b")
    assert str(error.value) == (f"{table}: no row for an image with the id 'x/b' in this split; check the id list")
    assert _fails(table, "image,labels,split\na.jpg,cat,train\nc.jpg,cat,\n", split="train") == (
        f"{table}, line 3: no split in this row, others have one; fill the column"
    )


def test_without_labels_nothing_is_known(table):
    assert _open(table, "image\na.jpg\n").labels("a") is None


def test_masks(table):
    write_mask(table.parent / "m/a.png", np.ones((3, 4), np.uint8))
    data = _open(table, "image,labels,mask\na.jpg,cat,m/a.png\nc.jpg,cat,\n")
    assert data.has_truth
    assert data.truth("a")[0, 0] == 1
    with pytest.raises(WssError) as error:
        data.truth("c")
    assert str(error.value) == (
        f"{table}: no true mask for image 'c' (split all): a mask in its row of {table} is missing; leave the image out "
        "with --ids, or add the mask"
    )
    assert list(data.without_truth(data.ids)) == ["c"]


def test_an_image_twice_or_with_two_suffixes(table):
    Image.new("RGB", (4, 3)).save(table.parent / "a.png")
    for second in ("a.jpg", "a.png"):
        assert _fails(table, f"image,labels\na.jpg,cat\n{second},cat\n") == (
            f"{table}, line 3: the id 'a' stands already in line 2; list every image once"
        )
    # in two splits as well: they would be mixed
    assert "stands already in line 2" in _fails(
        table, "image,labels,split\na.jpg,cat,train\na.jpg,cat,val\n", split="train"
    )


@pytest.mark.parametrize("image", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "x\\..\\a.jpg"])
def test_images_outside_the_folder(table, image):
    message = _fails(table, f"image,labels\n{image},cat\n")
    assert message.startswith(f"{table}, line 2: the id ")
    assert message.endswith("; rename the image or mend the list")


def test_masks_outside_the_folder(table):
    assert _fails(table, "image,labels,mask\na.jpg,cat,../m.png\n").startswith(f"{table}, line 2: the id '../m.png'")


def test_labels_without_images(table):
    assert _fails(table, "image,labels\na.jpg,cat\nno.jpg,cat\nx/c.jpg,cat\n") == (
        f"{table}: 2 files of the table are not in {table.parent}: no.jpg, x/c.jpg; paths are relative to the table's "
        "folder: add the files or take the rows out"
    )
    assert _fails(table, "image,labels\na,cat\n") == (
        f"{table}, line 2: the image 'a' has no suffix; write the file's whole name"
    )


def test_an_unknown_class(table):
    (table.parent / "classes.txt").write_text("cat\ndog\n")
    assert _fails(table, "image,labels\na.jpg,cat\nc.jpg,dgo\n") == (
        f"{table}, line 3: unknown class 'dgo'; did you mean dog?"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ": the first line must name a column 'image' (it names: nothing); write image,labels"),
        ("a.jpg,cat\n", ": the first line must name a column 'image' (it names: a.jpg, cat); write image,labels"),
        ("image,labels\n", ": no rows; write one image a line"),
        (
            "image,labels,label\na.jpg,cat,cat\n",
            ": the first line names a column twice (image, labels, label); keep one of them",
        ),
        ("image,labels\na.jpg,cat,dog\n", ", line 2: 3 cells, the header has 2; quote cells that hold commas"),
    ],
)
def test_bad_tables(table, text, reason):
    assert _fails(table, text) == f"{table}{reason}"


def test_unreadable_tables(table):
    table.write_bytes(b"image,labels\n\xff\xfe,cat\n")
    with pytest.raises(WssError) as error:
        open_dataset(table)
    assert str(error.value).startswith(f"{table}: cannot be read as CSV (")
    assert str(error.value).endswith("); save it with commas, as UTF-8")
    assert _fails(table, 'image,labels\n"a.jpg,cat\n').startswith(f"{table}: cannot be read as CSV (")


def test_a_folder_without_a_single_table(table):
    with pytest.raises(WssError) as error:
        open_dataset(table.parent, format="csv")
    assert str(error.value) == f"{table.parent}: no table with a column 'image'; give the .csv file itself"
    for name in ("a.csv", "b.csv"):
        (table.parent / name).write_text("image,labels\na.jpg,cat\n")
    with pytest.raises(WssError) as error:
        open_dataset(table.parent, format="csv")
    assert str(error.value) == f"{table.parent}: several tables (a.csv, b.csv); give the .csv file itself"
