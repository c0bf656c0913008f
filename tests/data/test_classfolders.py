"""A folder per synset, gathered into classes."""

import json

import pytest
from PIL import Image

from wsscli.data.classfolders import read_class_folders
from wsscli.data.dataset import open_dataset
from wsscli.errors import UsageError, WssError

MAP = {"cat": ["n02123045", "n02124075"], "aeroplane": ["n02690373"]}


@pytest.fixture
def imagenet(tmp_path):
    for split in ("train", "val"):
        for folder in ("n02123045", "n02124075", "n02690373", "n03770679"):
            (tmp_path / "imagenet" / split / folder).mkdir(parents=True)
            Image.new("RGB", (4, 3)).save(tmp_path / "imagenet" / split / folder / f"{folder}_{split}.JPEG")
    return tmp_path / "imagenet"


@pytest.fixture
def write(tmp_path):
    def make(content, name="map.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make


def fails(kind, function, *arguments, **options):
    with pytest.raises(kind) as caught:
        function(*arguments, **options)
    return str(caught.value)


def test_folders_become_classes_in_the_order_of_the_map(imagenet, write):
    data = open_dataset(imagenet, split="train", class_folders=write(MAP))
    assert data.classes.foreground == ("cat", "aeroplane") and data.format == "folders"
    assert {name: data.labels(name) for name in data.ids} == {
        "train/n02123045/n02123045_train": (1,),
        "train/n02124075/n02124075_train": (1,),
        "train/n02690373/n02690373_train": (2,),  # n03770679 is no class of the map
    }
    assert data.ids == tuple(sorted(data.ids))
    assert open_dataset(imagenet, split="val", class_folders=write(MAP)).classes == data.classes


def test_class_names_give_the_ids_and_may_name_more(imagenet, write):
    names = ("aeroplane", "bicycle", "cat")
    data = open_dataset(imagenet, split="val", class_folders=write(MAP), class_names=names)
    assert data.classes.foreground == names
    assert sorted(data.labels(name) for name in data.ids) == [(1,), (3,), (3,)]


def test_without_splits(imagenet, write):
    data = open_dataset(imagenet / "train", class_folders=write(MAP))
    assert (data.split, len(data.ids), data.ids[0]) == ("all", 3, "n02123045/n02123045_train")
    Image.new("RGB", (4, 3)).save(imagenet / "train" / "readme.png")  # outside the folders of the map
    assert len(open_dataset(imagenet / "train", class_folders=write(MAP))) == 3


def test_a_folder_that_a_split_lacks(imagenet, write):
    next((imagenet / "val/n02690373").iterdir()).unlink()
    (imagenet / "val/n02690373").rmdir()
    assert len(open_dataset(imagenet, split="val", class_folders=write(MAP))) == 2


def test_folders_that_are_not_there(imagenet, write):
    path = write({"cat": ["n02123045", "n0"], "dog": ["n1"]})
    for root, split in ((imagenet, "train"), (imagenet / "train", None)):
        assert fails(WssError, open_dataset, root, split=split, class_folders=path) == (
            f"{path}: 2 of its folders hold no image in {root}: n0, n1; mend the names, or take them out"
        )


def test_a_class_that_is_not_in_the_table(imagenet, write):
    path = write(MAP)
    assert fails(WssError, open_dataset, imagenet, split="val", class_folders=path, class_names=("cats", "dog")) == (
        f"{path}: unknown class 'cat'; did you mean cats?; name its classes with --class-names"
    )


def test_other_layouts(imagenet, write):
    assert fails(UsageError, open_dataset, imagenet, format="voc", class_folders=write(MAP)) == (
        "--class-folders: needs a folder per class, not --format voc; leave one of them out"
    )


def test_a_data_set_of_another_layout(write, tmp_path):
    """A VOC devkit and a table: their folders are no classes."""
    path, voc, table = write(MAP), tmp_path / "voc", tmp_path / "table"
    (voc / "JPEGImages").mkdir(parents=True)
    Image.new("RGB", (4, 3)).save(voc / "JPEGImages/a.jpg")
    table.mkdir()
    (table / "images.csv").write_text("image,labels\na.jpg,cat\n")
    for root, layout in ((voc, "voc"), (table, "csv"), (table / "images.csv", "csv")):
        assert fails(UsageError, open_dataset, root, class_folders=path) == (
            f"--class-folders: needs a folder per class, but {root} looks like {layout}; leave it out, or say --format "
            "folders if it is one"
        )
    assert fails(WssError, open_dataset, voc, format="folders", class_folders=path).startswith(
        f"{path}: 3 of its folders"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("background", "class table: the name 'background' stands twice; names must differ"),
        ("", "class table: a class name is empty; give every class a name"),
    ],
)
def test_names_that_no_class_has(imagenet, write, name, text):
    path = write({"cat": ["n02123045"], name: ["n02124075"]})
    for names in (None, ("cat",)):
        assert fails(WssError, open_dataset, imagenet, split="val", class_folders=path, class_names=names) == (
            f"{path}: {text}"
        )


FORM = 'write {"class": ["folder", ...], ...}'


def test_files_of_another_form(write, tmp_path):
    missing = tmp_path / "no.json"
    assert fails(WssError, read_class_folders, missing) == (
        f"{missing}: no such file; check the path given with --class-folders"
    )
    path = write("{oops")
    assert fails(WssError, read_class_folders, path).startswith(f"{path}: cannot be read as JSON (Expecting")
    path = write("[" * 100_000)
    assert fails(WssError, read_class_folders, path).startswith(f"{path}: cannot be read as JSON (maximum recursion")
    for content in ([], {}, ["cat"], {"cat": "n1"}, {"cat": [1]}, {"cat": ["a/b"]}, {"cat": [""]}, {"a": {"b": []}}):
        path = write(content)
        assert fails(WssError, read_class_folders, path) == (
            f"{path}: not an object of classes with lists of folder names; {FORM}"
        )


def test_classes_and_folders_stand_once(write):
    path = write('{"cat": ["n1"], "cat": ["n2"]}')
    assert fails(WssError, read_class_folders, path) == (
        f"{path}: the class 'cat' stands twice; put all its folders into one list"
    )
    path = write({"cat": ["n1"], "dog": ["n2", "n1"]})
    assert fails(WssError, read_class_folders, path) == (
        f"{path}: the folder 'n1' is listed twice, for 'cat' and 'dog'; an image has the one class of its folder"
    )
    path = write({"cat": []})
    assert fails(WssError, read_class_folders, path) == (
        f"{path}: the class 'cat' has no folder; name one, or take the class out"
    )
