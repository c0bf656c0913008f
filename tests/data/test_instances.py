import numpy as np
import pytest
from PIL import Image

from wsscli.data.boxes import Boxes
from wsscli.data.instances import instances_in, object_classes, true_instances
from wsscli.data.voc import open_voc
from wsscli.errors import WssError
from wsscli.maskdir.png import write_mask


def boxes_of(*rows):
    corners = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    none = np.zeros(len(rows), bool)
    return Boxes(corners, np.array([row[4] for row in rows], np.int64), none, none.copy())


def strip(text):
    """A mask of one row; `.` is 0, `x` is 255."""
    return np.array([[{".": 0, "x": 255}.get(c) if c in ".x" else int(c) for c in text]], np.uint8)


def rows_of(found):
    return ["".join({0: ".", 255: "x"}.get(int(v), str(v)) for v in one[0]) for one in found]


def test_a_lone_box_has_the_class_inside_it():
    found = instances_in(boxes_of((1, 0, 5, 1, 1)), strip(".11x2.11"), None)
    assert rows_of(found) == [".11x..xx"]  # class pixels beyond the box may be of it


def test_where_boxes_of_a_class_overlap_nobody_knows():
    found = instances_in(boxes_of((0, 0, 4, 1, 1), (2, 0, 7, 1, 1), (1, 0, 3, 1, 2)), strip("1111111."), None)
    assert rows_of(found) == ["11xxxxx.", "xxxx111.", "........"]


def test_objects_are_found_by_class_and_box():
    objects, mask = strip("1122x33."), strip("1111x22.")
    found = instances_in(boxes_of((2, 0, 4, 1, 1), (0, 0, 2, 1, 1), (5, 0, 7, 1, 2)), mask, objects)
    assert rows_of(found) == ["..11x...", "11..x...", "....x11."]
    # half of the box or less is shared: what the class and the boxes say
    assert rows_of(instances_in(boxes_of((3, 0, 7, 1, 1)), mask, objects)) == ["xxx1x..."]


def test_the_class_of_an_object_is_that_of_most_of_its_pixels():
    # background and void say nothing, an object all of them has no class
    assert object_classes(strip("222555.x"), strip("..1x221x")) == {2: 1, 5: 2}
    assert object_classes(strip("3377"), strip(".x21")) == {3: 0, 7: 1}


@pytest.fixture
def devkit(tmp_path):
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (8, 1)).save(tmp_path / "JPEGImages/a.jpg")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")

    def write(mask, *objects):
        write_mask(tmp_path / "SegmentationClass/a.png", strip(mask))
        boxes = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>1</ymin><xmax>{x1}</xmax><ymax>1</ymax>"
            "</bndbox></object>"
            for name, x0, x1 in objects
        )
        (tmp_path / "Annotations/a.xml").write_text(f"<annotation>{boxes}</annotation>")
        return open_voc(tmp_path, None, None, None)

    write.root = tmp_path
    return write


def test_truth_of_classes_with_one_box(devkit):
    dataset = devkit("11.22x11", ("cat", 0, 3), ("dog", 3, 5), ("dog", 4, 5))
    found = true_instances(dataset, "a")
    assert found.labels.tolist() == [1] and found.judged == {1}
    assert found.masks[0, 0].tolist() == [True, True, *[False] * 6]
    assert found.void[0].tolist() == [*[False] * 5, True, False, False]


def test_a_box_without_a_pixel_of_its_class_is_left_out(devkit):
    found = true_instances(devkit("........", ("cat", 0, 3)), "a")
    assert len(found.labels) == 0 and found.masks.shape == (0, 1, 8) and found.judged == frozenset()


def test_truth_of_an_object_map(devkit):
    dataset = devkit("11.1x22.", ("cat", 0, 3))
    write_mask(devkit.root / "SegmentationObject/a.png", strip("11.2x33."))
    found = true_instances(dataset, "a")
    assert found.labels.tolist() == [1, 1, 2] and found.judged == {1, 2}
    assert [mask[0].nonzero()[0].tolist() for mask in found.masks] == [[0, 1], [3], [5, 6]]
    assert found.void[0].nonzero()[0].tolist() == [4]
    np.testing.assert_array_equal(dataset.instances("a"), strip("11.2x33."))


def test_an_object_map_of_another_size(devkit):
    dataset = devkit("11......", ("cat", 0, 2))
    write_mask(devkit.root / "SegmentationObject/a.png", strip("11."))
    with pytest.raises(WssError) as caught:
        true_instances(dataset, "a")
    assert str(caught.value) == (
        f"{devkit.root}/SegmentationObject/a.png: is 1 x 3 (height x width), but its photo is 1 x 8; both must be of one "
        "size"
    )
