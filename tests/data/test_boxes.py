import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsscli.data.boxes import RawBox, check_boxes, open_box_list
from wsscli.data.dataset import open_dataset, require_boxes
from wsscli.errors import WssError

REAL = Path(os.environ.get("WSS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def xml(*objects: str) -> str:
    return f"<annotation>{''.join(objects)}</annotation>"


def thing(name, xmin, ymin, xmax, ymax, extra=""):
    sides = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{extra}<bndbox>{sides}</bndbox><part><bndbox><xmin>9</xmin></bndbox></part></object>"


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name in "abc":
        Image.new("RGB", (20, 10)).save(root / f"JPEGImages/{name}.jpg")
    dog = thing("dog", 1, 2, 20, 10, "<difficult>1</difficult>")
    (root / "Annotations/a.xml").write_text(xml(dog, thing("cat", 3, 4.5, 3, 6, "<difficult>0</difficult>")))
    (root / "Annotations/b.xml").write_text(xml())
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nb\nc\n")
    return root


def test_voc_boxes_count_from_0_and_end_behind_their_last_pixel(devkit):
    found = open_dataset(devkit).boxes("a")
    assert found.boxes.dtype == np.float32
    assert found.boxes.tolist() == [[0, 1, 20, 10], [2, 3.5, 3, 6]]
    assert (found.labels.tolist(), found.labels.dtype) == ([12, 8], np.int64)
    assert found.difficult.tolist() == [True, False]
    assert found.crowd.tolist() == [False, False]
    assert (len(found), found.clipped) == (2, 0)


def test_no_object_is_not_the_same_as_nothing_known(devkit):
    data = open_dataset(devkit)
    empty = data.boxes("b")
    assert empty.boxes.shape == (0, 4)
    assert len(empty) == 0
    assert data.boxes("c") is None
    with pytest.raises(WssError) as error:
        require_boxes(data, data.ids)
    assert str(error.value) == (
        f"{devkit}: no boxes for 1 of 3 images of split train (c); give them with --boxes FILE or leave the images "
        "out with --ids"
    )
    assert list(require_boxes(data, ["a", "b"])) == ["a", "b"]


def test_boxes_beyond_the_photo_are_cut_and_counted(devkit):
    (devkit / "Annotations/a.xml").write_text(xml(thing("dog", 0, -3, 30, 11), thing("cat", 1, 1, 20, 10)))
    found = open_dataset(devkit).boxes("a")
    assert found.boxes.tolist() == [[0, 0, 20, 10], [0, 0, 20, 10]]
    assert found.clipped == 1


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((5, 5, 4, 9), "has the box xmin 5, ymin 5, xmax 4, ymax 9, which holds no pixel; mend or delete it"),
        (("nan", 5, 4, 9), "has the box xmin nan, ymin 5, xmax 4, ymax 9, which is not of numbers; mend or delete it"),
        ((5, 5, "inf", 9), "has the box xmin 5, ymin 5, xmax inf, ymax 9, which is not of numbers; mend or delete it"),
        (
            (21, 5, 30, 9),
            "has the box xmin 21, ymin 5, xmax 30, ymax 9, outside its photo of 20x10 (width x height); mend or "
            "delete it",
        ),
        (
            (1, "", "x", 9),
            "has the box xmin 1, ymin (missing), xmax x, ymax 9; give its four sides in pixels",
        ),
    ],
)
def test_boxes_that_are_none(devkit, sides, message):
    (devkit / "Annotations/a.xml").write_text(xml(thing("dog", 1, 1, 2, 2), thing("cat", *sides)))
    with pytest.raises(WssError) as error:
        open_dataset(devkit).boxes("a")
    assert str(error.value) == f"{devkit}/Annotations/a.xml: object 2 {message}"


def test_an_unknown_class(devkit):
    (devkit / "classes.txt").write_text("cat\n")
    with pytest.raises(WssError) as error:
        open_dataset(devkit).boxes("a")
    assert str(error.value) == (
        f"{devkit}/Annotations/a.xml: unknown class 'dog'; known: background, cat; if the class is meant, list all "
        f"class names in {devkit}/classes.txt"
    )


def coco(root, *annotations):
    (root / "images").mkdir(exist_ok=True)
    Image.new("RGB", (20, 10)).save(root / "images/a.jpg")
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 10, "width": 20}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 18, "segmentation": [], **item}
            for i, item in enumerate(annotations, start=1)
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    }
    (root / "set.json").write_text(json.dumps(content))
    return open_dataset(root / "set.json")


def test_coco_boxes(tmp_path):
    data = coco(tmp_path, {"bbox": [1.5, 2, 3, 4]}, {"bbox": [0, 0, 30, 10], "iscrowd": 1, "category_id": 3})
    found = data.boxes("a")
    assert found.boxes.tolist() == [[1.5, 2, 4.5, 6], [0, 0, 20, 10]]
    assert found.labels.tolist() == [2, 1]
    assert found.crowd.tolist() == [False, True]
    assert not found.difficult.any()
    assert found.clipped == 1
    assert len(coco(tmp_path).boxes("a")) == 0


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        (None, "has the bbox None; give x, y, width and height"),
        ("1234", "has the bbox '1234'; give x, y, width and height"),
        ([1, 2, 3], "has the bbox [1, 2, 3]; give x, y, width and height"),
        ([1, 2, 0, 3], "has the box [1, 2, 0, 3], which holds no pixel; mend or delete it"),
        ([1, 2, float("nan"), 3], "has the box [1, 2, nan, 3], which is not of numbers; mend or delete it"),
        (
            [-5, 2, 4, 3],
            "has the box [-5, 2, 4, 3], outside its photo of 20x10 (width x height); mend or delete it",
        ),
    ],
)
def test_coco_boxes_that_are_none(tmp_path, bbox, message):
    data = coco(tmp_path, {"bbox": bbox})
    with pytest.raises(WssError) as error:
        data.boxes("a")
    assert str(error.value) == f"{tmp_path}/set.json: image 'a': annotation 1 {message}"


def test_other_formats_know_no_boxes(tmp_path):
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (20, 10)).save(tmp_path / "cat/a.jpg")
    (tmp_path / "list.csv").write_text("image,labels\ncat/a.jpg,cat\n")
    for format_ in ("csv", "folders"):
        data = open_dataset(tmp_path, format=format_)
        assert data.boxes("cat/a") is None
        with pytest.raises(WssError) as error:
            require_boxes(data, data.ids)
        assert str(error.value) == (
            f"{tmp_path}: no boxes for 1 of 1 images of split all (cat/a); give them with --boxes FILE or leave the "
            "images out with --ids"
        )


def listed(devkit, text):
    path = devkit / "boxes.txt"
    path.write_text(text)
    data = open_dataset(devkit)
    return path, replace(data, box_list=open_box_list(path, data.classes))


def test_a_list_of_boxes_takes_the_place_of_the_annotations(devkit):
    path, data = listed(devkit, "c.jpg 1 2 20 10 0 3 3 3 3 19\nb.jpg\n")
    found = data.boxes("c")
    assert found.boxes.tolist() == [[0, 1, 20, 10], [2, 2, 3, 3]]
    assert found.labels.tolist() == [1, 20]
    assert len(data.boxes("b")) == 0
    with pytest.raises(WssError) as error:
        require_boxes(data, data.ids)
    assert str(error.value) == (
        f"{path}: no boxes for 1 of 3 images of split train (a); give them with --boxes FILE or leave the images out "
        "with --ids"
    )


@pytest.mark.parametrize(
    ("line", "name", "boxes"),
    [
        ("two cats.jpg 1 2 20 10 0", "two cats", [[0, 1, 20, 10]]),
        ("  on the  roof/1 2.JPG", "on the  roof/1 2", []),
        ("a.b 2.png 1 2 3 4 0 1 2 5 6 0", "a.b 2", [[0, 1, 3, 4], [0, 1, 5, 6]]),
        ("2007_000032 1 2 20 10 0", "2007_000032", [[0, 1, 20, 10]]),
    ],
)
def test_names_with_blanks_end_at_their_suffix(devkit, line, name, boxes):
    found = open_box_list(listed(devkit, line)[0], open_dataset(devkit).classes)
    assert list(found.lines) == [name]
    assert [list(box.corners) for box in found.boxes(name)] == boxes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg 1 2 x 4 0", "line 1: object 1 is '1 2 x 4 0'; give x1 y1 x2 y2 and the class's number"),
        ("a.jpg 1 2 3 4 0 1 2 3 4 0.5", "line 1: object 2 is '1 2 3 4 0.5'; give x1 y1 x2 y2 and the class's number"),
        (
            "a.jpg 1 2 3 4 20",
            "line 1: object 1 is of class 20, but there are 20 classes and the first is 0; mend the list",
        ),
        ("a.jpg 5 2 3 4 0", "line 1: object 1 has the box 5 2 3 4 0, which holds no pixel; mend or delete it"),
    ],
)
def test_objects_of_a_list_that_are_none(devkit, line, message):
    path, data = listed(devkit, line)
    with pytest.raises(WssError) as error:
        data.boxes("a")
    assert str(error.value) == f"{path}, {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.jpg 1 2 3 4",
            "line 1: 4 numbers behind 'a.jpg', not groups of five; give x1 y1 x2 y2 class for every object",
        ),
        ("a.jpg\nb.jpg\na.png\n", "line 3: the image 'a' stands already in line 1; list every image once"),
        (
            "../a.jpg",
            "line 1: the id '../a' has a part '..', ids never leave the image folder; rename the image or mend the "
            "list",
        ),
    ],
)
def test_lists_that_are_none(devkit, text, message):
    with pytest.raises(WssError) as error:
        listed(devkit, text)
    assert str(error.value) == f"{devkit}/boxes.txt, {message}"


def test_check_boxes_keeps_what_lies_within():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (40, 2))
    corners = np.hstack([low, low + rng.uniform(1, 40, (40, 2))])
    found = check_boxes([RawBox(1, tuple(c), "x", "y") for c in corners.tolist()], (60, 70))
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, 2:] <= (70, 60)).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    within = (corners[:, 2:] <= (70, 60)).all(1)
    np.testing.assert_array_equal(found.boxes[within], corners[within].astype(np.float32))
    assert found.clipped == (~within).sum()


@pytest.mark.real
@pytest.mark.skipif(not (REAL / "voc").is_dir(), reason="the real photos are not here")
def test_the_list_of_voc_and_its_annotations_say_the_same():
    data = open_dataset(REAL / "voc", split="train")
    boxes = require_boxes(data, data.ids)
    assert len(boxes) == 597
    assert all(len(found) for found in boxes.values())
    listed = open_box_list(next((REAL / "lists/boxes").glob("*.txt")), data.classes)
    same = 0
    for name, found in boxes.items():
        other = check_boxes(listed.boxes(name) or [], data.size(name))
        own = sorted(map(tuple, np.column_stack([found.labels, found.boxes]).tolist()))
        same += own == sorted(map(tuple, np.column_stack([other.labels, other.boxes]).tolist()))
    assert same == len(data)
