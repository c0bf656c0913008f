import pickle

import numpy as np
import pytest
from PIL import Image

from wsscli.data.dataset import open_dataset, require_labels
from wsscli.data.voc import VOC_NAMES, object_names, split_lists
from wsscli.errors import WssError
from wsscli.maskdir.png import write_mask


def _xml(*names: str) -> str:
    objects = "".join(f"<object><name>{n}</name><part><name>head</name></part></object>" for n in names)
    return f"<annotation><filename>x.jpg</filename>{objects}</annotation>"


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name, names in {"a": ["dog", "cat", "dog"], "b": [], "c": ["person"]}.items():
        Image.new("RGB", (6, 4)).save(root / f"JPEGImages/{name}.jpg")
        (root / f"Annotations/{name}.xml").write_text(_xml(*names))
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 1:4] = 12, 255, 8
    write_mask(root / "SegmentationClass/a.png", mask)
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("c\n")
    return root


def _fails(*args, **options) -> str:
    with pytest.raises(WssError) as error:
        open_dataset(*args, **options)
    return str(error.value)


def test_a_devkit(devkit):
    train = open_dataset(devkit, split="train")
    assert (train.format, train.split, train.ids, len(train)) == ("voc", "train", ("a", "b"), 2)
    assert train.classes.foreground == VOC_NAMES
    assert train.labels("a") == (8, 12)  # ascending, each once, the parts' names left out
    assert train.labels("b") == ()
    assert train.image_path("a") == devkit / "JPEGImages/a.jpg"
    assert train.image("a").shape == (4, 6, 3)
    assert train.size("a") == (4, 6)
    assert train.has_truth
    assert train.truth("a")[1, :5].tolist() == [0, 12, 255, 8, 0]
    assert train.labels_file is None
    assert pickle.loads(pickle.dumps(train)).labels("a") == (8, 12)  # noqa: S301 - travels to worker processes


def test_the_devkit_is_found_below(devkit, tmp_path):
    assert open_dataset(tmp_path, split="val").ids == ("c",)
    (tmp_path / "VOC2007/JPEGImages").mkdir(parents=True)
    assert _fails(tmp_path, split="val") == (
        f"{tmp_path}: holds several VOC sets: {tmp_path}/VOC2007, {tmp_path}/VOC2012; give one of them"
    )


def test_splits_are_never_guessed(devkit):
    assert _fails(devkit) == f"{devkit}: has the splits train, val; say which with --split"
    assert _fails(devkit, split="test") == f"{devkit}: no split 'test'; splits here: train, val"


def test_main_lists(devkit):
    main = devkit / "ImageSets/Main"
    main.mkdir()
    (main / "trainval.txt").write_text("a\nb\nc\n")
    (main / "dog_trainval.txt").write_text("a  1\nb -1\nc -1\n")
    assert list(split_lists(devkit)) == ["train", "val", "Main/trainval"]
    assert open_dataset(devkit, split="Main/trainval").ids == ("a", "b", "c")
    for path in (devkit / "ImageSets/Segmentation").iterdir():
        path.unlink()
    assert open_dataset(devkit).split == "trainval"


def test_without_lists_there_is_one_split(devkit):
    for path in (devkit / "ImageSets/Segmentation").iterdir():
        path.unlink()
    both = open_dataset(devkit)
    assert (both.split, both.ids) == ("all", ("a", "b", "c"))


def test_images_without_labels(devkit):
    (devkit / "Annotations/b.xml").unlink()
    train = open_dataset(devkit, split="train")
    assert train.labels("b") is None
    assert require_labels(train, ["a"]) == {"a": (8, 12)}
    with pytest.raises(WssError) as error:
        require_labels(train, train.ids)
    assert str(error.value) == (
        f"{devkit}: no image-level labels for 1 of 2 images of split train (b); give them with --labels FILE or leave "
        "the images out with --ids"
    )


def test_labels_without_images(devkit):
    path = devkit / "ImageSets/Segmentation/train.txt"
    path.write_text("a\nx\ny\n")
    assert _fails(devkit, split="train") == (
        f"{path}: 2 of 3 ids have no image in {devkit}/JPEGImages: x, y; add the images or take the lines out"
    )


def test_ids_outside_the_root_in_a_list(devkit):
    path = devkit / "ImageSets/Segmentation/train.txt"
    path.write_text("a\n../../secret\n")
    assert _fails(devkit, split="train").startswith(f"{path}, line 2: the id '../../secret' has a part '..'")


def test_an_id_twice_in_a_list(devkit):
    path = devkit / "ImageSets/Segmentation/train.txt"
    path.write_text("a\nb\na\n")
    assert _fails(devkit, split="train") == (
        f"{path}, line 3: the id 'a' stands already in line 1; list every image once"
    )


def test_an_id_that_is_not_in_the_split(devkit):
    train = open_dataset(devkit, split="train")
    with pytest.raises(WssError) as error:
        train.image_path("nobody")
    assert str(error.value) == f"{devkit}/JPEGImages: no image with the id 'nobody'; check the id list"
    with pytest.raises(WssError) as error:
        train.subset(["a", "c"])
    assert str(error.value) == f"{devkit}: not in split train: c; take them out of the id list"
    assert train.subset(["b"]).ids == ("b",)


def test_no_truth_for_an_image(devkit):
    with pytest.raises(WssError) as error:
        open_dataset(devkit, split="train").truth("b")
    assert str(error.value) == (
        f"{devkit}: no true mask for image 'b' (split train): {devkit}/SegmentationClass/b.png is missing; leave the "
        "image out with --ids, or add the mask"
    )
    assert open_dataset(devkit, split="train").without_truth(["a", "b"]) == {
        "b": f"{devkit}/SegmentationClass/b.png"
    }  # fmt: skip


def test_truth_in_the_augmented_folder(devkit):
    write_mask(devkit / "SegmentationClassAug/b.png", np.full((4, 6), 3, np.uint8))
    assert open_dataset(devkit, split="train").truth("b")[0, 0] == 3


def test_truth_beyond_the_class_table(devkit):
    write_mask(devkit / "SegmentationClass/a.png", np.full((4, 6), 21, np.uint8))
    with pytest.raises(WssError) as error:
        open_dataset(devkit, split="train").truth("a")
    assert str(error.value) == (
        f"{devkit}: the true mask of 'a' holds the id 21, but the class table ends at 20 (tvmonitor); list all classes "
        f"in {devkit}/classes.txt"
    )


def test_other_names_are_found_over_all_splits_and_sorted(devkit):
    (devkit / "Annotations/a.xml").write_text(_xml("zebra"))
    (devkit / "Annotations/c.xml").write_text(_xml("gnu"))
    train = open_dataset(devkit, split="train")
    assert train.classes.foreground == ("gnu", "zebra")
    assert train.labels("a") == (2,)


def test_classes_txt_gives_names_and_order(devkit):
    (devkit / "classes.txt").write_text("background\nperson\ndog\n\ncat\n")
    train = open_dataset(devkit, split="train")
    assert train.classes.foreground == ("person", "dog", "cat")
    assert train.labels("a") == (2, 3)


def test_class_names_given_win(devkit):
    assert open_dataset(devkit, split="train", class_names=["dog", "cat", "person"]).labels("a") == (1, 2)


def test_an_unknown_class_in_an_annotation(devkit):
    (devkit / "classes.txt").write_text("doggo\ncat\nperson\n")
    with pytest.raises(WssError) as error:
        open_dataset(devkit, split="train").labels("a")
    assert str(error.value) == (
        f"{devkit}/Annotations/a.xml: unknown class 'dog'; did you mean doggo?; if the class is meant, list all class "
        f"names in {devkit}/classes.txt"
    )


def test_damaged_annotations(devkit):
    path = devkit / "Annotations/a.xml"
    path.write_text("<annotation><object>")
    with pytest.raises(WssError) as error:
        object_names(path)
    assert str(error.value).startswith(f"{path}: not readable as XML (")
    assert str(error.value).endswith("; mend or delete it")
    path.write_text("<annotation><object><part><name>head</name></part></object></annotation>")
    with pytest.raises(WssError) as error:
        object_names(path)
    assert str(error.value) == f"{path}: an object has no name; mend the annotation"


def test_no_devkit(tmp_path):
    assert (
        _fails(tmp_path, format="voc") == f"{tmp_path}: no JPEGImages folder, so not a VOC devkit; see docs/datasets.md"
    )


def test_two_images_of_one_id(devkit):
    Image.new("RGB", (6, 4)).save(devkit / "JPEGImages/a.png")
    message = _fails(devkit, split="train")
    assert message.startswith(f"{devkit}/JPEGImages: two images have the id 'a': ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\n \n", "no class name in it; write one a line, or delete the file"),
        ("cat\ncat\n", "class table: the name 'cat' stands twice; names must differ"),
    ],
)
def test_a_bad_class_list(devkit, content, reason):
    (devkit / "classes.txt").write_text(content)
    assert _fails(devkit, split="train") == f"{devkit}/classes.txt: {reason}"


def test_an_unreadable_class_list(devkit):
    (devkit / "classes.txt").write_bytes(b"\xff\xfe\x00x")
    message = _fails(devkit, split="train")
    assert message.startswith(f"{devkit}/classes.txt: cannot be read (")
    assert message.endswith("; write one class name a line, UTF-8")


def test_254_classes_and_no_more(devkit):
    names = [f"class {n}" for n in range(254)]
    (devkit / "classes.txt").write_text("\n".join(names))
    assert len(open_dataset(devkit, split="val").classes) == 255
    (devkit / "classes.txt").write_text("\n".join([*names, "one more"]))
    assert "255 foreground classes, but 8-bit masks hold at most 254" in _fails(devkit, split="val")
