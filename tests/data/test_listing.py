import os

import pytest

from wsscli.data.files import folders_in, has_images, list_images, missing_files
from wsscli.data.splits import choose_split
from wsscli.errors import WssError


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_are_listed_nested_sorted_with_their_suffix(tmp_path):
    _touch(tmp_path, "b.JPG", "a/z.png", "a/c/d.jpeg", "notes.txt", ".hidden.jpg", ".thumbs/x.jpg", "a/._z.png")
    assert list_images(tmp_path) == {"a/c/d": ".jpeg", "a/z": ".png", "b": ".JPG"}
    assert list_images(tmp_path, "a") == {"a/c/d": ".jpeg", "a/z": ".png"}
    assert folders_in(tmp_path) == ["a"]
    assert has_images(tmp_path)
    assert has_images(tmp_path, deep=False)
    assert not has_images(tmp_path / "a/c", deep=False) or (tmp_path / "a/c/d.jpeg").exists()


def test_two_suffixes_of_one_id(tmp_path):
    _touch(tmp_path, "x/a.jpg", "x/a.png")
    with pytest.raises(WssError) as error:
        list_images(tmp_path)
    first, second = sorted(["x/a.jpg", "x/a.png"], key=lambda n: n in str(error.value).split(" and ")[1])
    assert str(error.value) == f"{tmp_path}: two images have the id 'x/a': {first} and {second}; keep one of them"


def test_unsafe_names_on_disk(tmp_path):
    _touch(tmp_path, "a\\b.jpg")
    with pytest.raises(WssError, match="holds a backslash; rename the image or mend the list"):
        list_images(tmp_path)


def test_a_name_that_is_not_utf8_gives_a_printable_message(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.jpg")).touch()
    with pytest.raises(WssError) as error:
        list_images(tmp_path)
    assert (
        str(error.value).encode()
        == (f"{tmp_path}: the id 'a\\udcff' is not UTF-8; rename the image or mend the list").encode()
    )


def test_links_are_followed_but_not_in_circles(tmp_path):
    _touch(tmp_path, "store/a.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/linked").symlink_to(tmp_path / "store")
    (tmp_path / "set/b.jpg").symlink_to(tmp_path / "store/a.jpg")
    assert list_images(tmp_path / "set") == {"b": ".jpg", "linked/a": ".jpg"}
    (tmp_path / "store/back").symlink_to(tmp_path / "store")
    with pytest.raises(WssError) as error:
        list_images(tmp_path / "set")
    assert str(error.value) == (
        f"{tmp_path}/set/linked/back: a link leads back to a folder above it; take the link out"
    )


def test_a_folder_that_cannot_be_listed(tmp_path):
    with pytest.raises(WssError) as error:
        list_images(tmp_path / "none")
    assert str(error.value) == (
        f"{tmp_path}/none: cannot be listed (No such file or directory); mend its permissions or path"
    )


def test_missing_files(tmp_path):
    _touch(tmp_path, "a.jpg", "x/b.jpg")
    assert missing_files(tmp_path, ["a.jpg", "c.jpg", "x/b.jpg", "y/b.jpg"]) == ["c.jpg", "y/b.jpg"]


def test_choosing_a_split(tmp_path):
    assert choose_split(tmp_path, ["train", "val"], "val") == "val"
    assert choose_split(tmp_path, ["all"], None) == "all"
    with pytest.raises(WssError) as error:
        choose_split(tmp_path, ["train", "val"], None)
    assert str(error.value) == f"{tmp_path}: has the splits train, val; say which with --split"
    with pytest.raises(WssError) as error:
        choose_split(tmp_path, ["train", "val"], "trian")
    assert str(error.value) == f"{tmp_path}: no split 'trian'; did you mean 'train'? splits here: train, val"
    with pytest.raises(WssError) as error:
        choose_split(tmp_path, ["all"], "test")
    assert str(error.value) == f"{tmp_path}: no split 'test'; splits here: all"
