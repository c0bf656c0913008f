import numpy as np
import pytest
from PIL import Image

from wsscli.data.dataset import open_dataset
from wsscli.errors import WssError


def _images(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3)).save(root / name)


def _fails(*args, **options) -> str:
    with pytest.raises(WssError) as error:
        open_dataset(*args, **options)
    return str(error.value)


def test_a_folder_per_class_nested(tmp_path):
    _images(tmp_path, "dog/a.jpg", "cat/a.jpg", "cat/deep/er/b.png")
    (tmp_path / "empty").mkdir()
    data = open_dataset(tmp_path)
    assert (data.format, data.split) == ("folders", "all")
    assert data.classes.foreground == ("cat", "dog")
    assert data.ids == ("cat/a", "cat/deep/er/b", "dog/a")  # one file name in two classes: two ids
    assert [data.labels(name) for name in data.ids] == [(1,), (1,), (2,)]
    assert data.image("cat/deep/er/b").shape == (3, 4, 3)
    assert not data.has_truth
    with pytest.raises(WssError) as error:
        data.truth("cat/a")
    assert str(error.value).startswith(f"{tmp_path}: no true mask for image 'cat/a' (split all)")


def test_the_split_level(tmp_path):
    _images(tmp_path, "train/cat/a.jpg", "train/dog/b.jpg", "val/dog/a.jpg", "val/gnu/x.jpg")
    assert _fails(tmp_path) == f"{tmp_path}: has the splits train, val; say which with --split"
    train, val = open_dataset(tmp_path, split="train"), open_dataset(tmp_path, split="val")
    assert train.classes == val.classes  # over all splits: ids mean the same in both
    assert val.classes.foreground == ("cat", "dog", "gnu")
    assert (train.ids, val.ids) == (("train/cat/a", "train/dog/b"), ("val/dog/a", "val/gnu/x"))
    assert [val.labels(name) for name in val.ids] == [(2,), (3,)]
    assert not set(train.ids) & set(val.ids)


def test_a_class_called_like_a_split(tmp_path):
    _images(tmp_path, "train/a.jpg", "bus/b.jpg")
    assert open_dataset(tmp_path).classes.foreground == ("bus", "train")
    _images(tmp_path, "train/steam/c.jpg")
    assert _fails(tmp_path) == (
        f"{tmp_path}: the folders train look like splits, but bus beside them do not; give one split's folder, or name "
        f"the classes in {tmp_path}/classes.txt"
    )
    (tmp_path / "classes.txt").write_text("train\nbus\n")
    data = open_dataset(tmp_path)
    assert data.classes.foreground == ("train", "bus")
    assert data.labels("train/steam/c") == (1,)


def test_images_and_masks_are_no_classes(tmp_path):
    _images(tmp_path, "images/a.jpg", "masks/a.png")
    assert _fails(tmp_path) == (
        f"{tmp_path}: the folders images, masks look like images and masks, not like classes; give {tmp_path}/images "
        f"as the data set, or name the classes in {tmp_path}/classes.txt"
    )
    assert open_dataset(tmp_path / "images").format == "images"


def test_true_masks_are_no_photos_of_a_plain_folder_either(tmp_path):
    _images(tmp_path, "0001.jpg", "GroundTruth/0001.png", "more/2.jpg", "more/GroundTruth/2.png")
    data = open_dataset(tmp_path)
    assert (data.format, data.ids) == ("images", ("0001", "more/2"))


def test_an_image_outside_the_class_folders(tmp_path):
    _images(tmp_path, "cat/a.jpg", "b.jpg")
    assert _fails(tmp_path, format="folders") == (
        f"{tmp_path}/b.jpg: an image outside the class folders; move it into one of them"
    )


def test_a_folder_that_is_no_class_of_the_table(tmp_path):
    _images(tmp_path, "cat/a.jpg", "dgo/a.jpg")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert _fails(tmp_path) == (
        f"{tmp_path}: the folder 'dgo' is no class of the table: unknown class 'dgo'; did you mean dog?; rename the "
        f"folder or add it to the table"
    )


def test_no_class_folders(tmp_path):
    (tmp_path / "cat").mkdir()
    assert _fails(tmp_path, format="folders") == (
        f"{tmp_path}: no folder with images in it; put each class's images into a folder of its name"
    )
    _images(tmp_path, "a.jpg")
    assert _fails(tmp_path / "a.jpg", format="folders") == (
        f"{tmp_path}/a.jpg: not a folder; a folder per class is needed for --format folders"
    )


def test_plain_photos_and_a_single_one(tmp_path):
    _images(tmp_path, "b.jpg", "a.png", "sub/c.jpg")
    data = open_dataset(tmp_path)
    assert (data.format, data.split, data.ids) == ("images", "all", ("a", "b", "sub/c"))
    assert data.labels("a") is None
    assert data.classes.names == ("background",)
    one = open_dataset(tmp_path / "b.jpg")
    assert (one.format, one.ids) == ("images", ("b",))
    assert one.image("b").shape == (3, 4, 3)
    assert _fails(tmp_path, split="val") == f"{tmp_path}: no split 'val'; splits here: all"


def test_photos_that_are_not_there(tmp_path):
    assert _fails(tmp_path, format="images") == (
        f"{tmp_path}: no image in this folder; check the path (known are .jpg, .png and the like)"
    )
    (tmp_path / "a.txt").touch()
    assert _fails(tmp_path / "a.txt", format="images") == (
        f"{tmp_path}/a.txt: not the name of an image; check the path (known are .jpg, .png and the like)"
    )
    _images(tmp_path, "a.jpg")
    data = open_dataset(tmp_path)
    with pytest.raises(WssError) as error:
        data.image("b")
    assert str(error.value) == f"{tmp_path}: no image with the id 'b' in this split; check the id list"


def _truth(root, name, values):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(root / name)


@pytest.mark.parametrize("split", ["", "train/"])
def test_ground_truth_beside_the_photos_of_a_class(tmp_path, split):
    _images(tmp_path, f"{split}Car100/0001.jpg", f"{split}Car100/0002.jpg", f"{split}Horse100/0001.jpg")
    _truth(tmp_path, f"{split}Car100/GroundTruth/0001.png", [[0, 255, 1, 0]] * 3)
    _truth(tmp_path, f"{split}Horse100/GroundTruth/0001.png", [[255, 0, 0, 0]] * 3)
    data = open_dataset(tmp_path)
    assert (data.format, data.has_truth, data.classes.foreground) == ("folders", True, ("Car100", "Horse100"))
    assert data.ids == (f"{split}Car100/0001", f"{split}Car100/0002", f"{split}Horse100/0001")
    assert data.truth(f"{split}Car100/0001").tolist() == [[0, 1, 1, 0]] * 3
    assert data.truth(f"{split}Horse100/0001").tolist() == [[2, 0, 0, 0]] * 3
    with pytest.raises(WssError) as error:
        data.truth(f"{split}Car100/0002")
    assert str(error.value) == (
        f"{tmp_path}: no true mask for image '{split}Car100/0002' (split {split.rstrip('/') or 'all'}): "
        f"{tmp_path}/{split}Car100/GroundTruth/0002.png is missing; leave the image out with --ids, or add the mask"
    )
    assert data.without_truth(data.ids) == {
        f"{split}Car100/0002": f"{tmp_path}/{split}Car100/GroundTruth/0002.png"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["1.jpg", "1.PNG", "1.bmp"])
def test_ground_truth_of_another_name(tmp_path, name):
    _images(tmp_path, "Car100/1.jpg", f"Car100/GroundTruth/{name}")
    data = open_dataset(tmp_path)
    text = (
        f"{tmp_path}/Car100/GroundTruth/{name}: true masks are read from PNGs named as their photo, 1.png; write it as "
        "one (a JPEG's greys are no mask: make the mask again), or take it away"
    )
    for call in (lambda: data.without_truth(data.ids), lambda: data.truth("Car100/1")):
        with pytest.raises(WssError) as error:
            call()
        assert str(error.value) == text


def test_ground_truth_of_one_bit(tmp_path):
    _images(tmp_path, "Car100/1.jpg")
    (tmp_path / "Car100/GroundTruth").mkdir()
    Image.fromarray(np.array([[True, False, False, True]] * 3)).save(tmp_path / "Car100/GroundTruth/1.png")
    assert open_dataset(tmp_path).truth("Car100/1").tolist() == [[1, 0, 0, 1]] * 3
