import json

import numpy as np
import pytest
from PIL import Image

from wsscli.data.dataset import open_dataset
from wsscli.errors import WssError

SQUARE = [[1, 1, 7, 1, 7, 7, 1, 7]]
SMALL = [[3, 3, 5, 3, 5, 5, 3, 5]]


def _content():
    return {
        "images": [
            {"id": 7, "file_name": "000007.jpg", "height": 8, "width": 10},
            {"id": 9, "file_name": "000009.jpg", "height": 8, "width": 10},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "segmentation": SMALL, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 3, "segmentation": SQUARE, "iscrowd": 0},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
    }


@pytest.fixture
def root(tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    for name in ("000007", "000009"):
        Image.new("RGB", (10, 8)).save(tmp_path / f"val2017/{name}.jpg")
    return tmp_path


def _open(root, content, **options):
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return open_dataset(root, **options)


def _fails(root, content, **options) -> str:
    with pytest.raises(WssError) as error:
        _open(root, content, **options)
    return str(error.value).replace(f"{root}/annotations/instances_val2017.json", "JSON")


def test_a_coco_set(root):
    data = _open(root, _content())
    assert (data.format, data.split, data.ids) == ("coco", "val2017", ("000007", "000009"))
    assert data.classes.foreground == ("car", "dog")  # in the order of COCO's ids 3, 18: contiguous from 1
    assert data.labels("000007") == (1, 2)
    assert data.labels("000009") == ()
    assert data.image("000007").shape == (8, 10, 3)
    assert data.has_truth
    assert not data.truth("000009").any()


def test_smaller_objects_lie_on_top(root):
    mask = _open(root, _content()).truth("000007")
    expected = np.zeros((8, 10), np.uint8)
    expected[1:7, 1:7] = 1
    expected[3:5, 3:5] = 2
    np.testing.assert_array_equal(mask, expected)


def test_rle_crowds_and_several_polygons(root):
    content = _content()
    crowd = np.zeros((8, 10), np.uint8)
    crowd[:, 8:] = 1
    counts = [64, 16]  # column by column
    content["annotations"] += [
        {"id": 3, "image_id": 9, "category_id": 18, "segmentation": {"size": [8, 10], "counts": counts}, "iscrowd": 1},
        {"id": 4, "image_id": 9, "category_id": 3, "segmentation": [*SMALL, [0, 0, 2, 0, 2, 2, 0, 2]], "iscrowd": 0},
    ]
    data = _open(root, content)
    mask = data.truth("000009")
    np.testing.assert_array_equal(mask == 2, crowd.astype(bool))
    assert mask[:2, :2].tolist() == [[1, 1], [1, 1]]
    assert mask[4, 4] == 1
    assert data.labels("000009") == (1, 2)


def test_compressed_rle_equals_the_polygon(root):
    from pycocotools import mask as coco_mask

    content = _content()
    rle = coco_mask.merge(coco_mask.frPyObjects(SQUARE, 8, 10))
    content["annotations"][1]["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode()}
    np.testing.assert_array_equal(_open(root, content).truth("000007"), _open(root, _content()).truth("000007"))


def test_objects_of_polygons_and_crowds(root):
    from wsscli.data.instances import true_instances

    content = _content()
    crowd = {"size": [8, 10], "counts": [64, 16]}
    content["annotations"] += [
        {"id": 3, "image_id": 7, "category_id": 18, "segmentation": crowd, "iscrowd": 1},
        {"id": 4, "image_id": 7, "category_id": 18, "segmentation": [[0, 0, 1, 0, 1, 8, 0, 8]], "iscrowd": 0},
    ]
    data = _open(root, content)
    assert data.has_instances
    expected = np.zeros((8, 10), np.uint8)
    expected[:, 8:] = 255
    expected[1:7, 1:7], expected[3:5, 3:5], expected[:, 0] = 2, 1, 3
    np.testing.assert_array_equal(data.instances("000007"), expected)
    assert not data.instances("000009").any()  # no object is not the same as nothing known
    found = true_instances(data, "000007")
    assert found.labels.tolist() == [2, 1, 2] and found.masks.sum((1, 2)).tolist() == [4, 32, 8]
    assert found.judged == {1, 2} and found.void.sum() == 16


def test_boxes_alone_are_no_objects_known(root):
    content = _content()
    content["annotations"][0] = {"id": 1, "image_id": 7, "category_id": 18, "bbox": [3, 3, 2, 2], "segmentation": []}
    data = _open(root, content)
    assert not data.has_instances
    assert data.instances("000007") is None and data.instances("000009") is not None


def test_objects_of_a_photo_of_another_size(root):
    data = _open(root, _content())
    Image.new("RGB", (8, 10)).save(root / "val2017/000007.jpg")
    with pytest.raises(WssError) as error:
        data.instances("000007")
    assert str(error.value) == (
        f"{root}/annotations/instances_val2017.json: image '000007' is 8 x 10 (height x width), but its photo is 10 x 8; "
        "mend the json"
    )


def test_more_objects_than_a_map_can_number(root):
    content = _content()
    content["annotations"] = [
        {"id": k, "image_id": 7, "category_id": 3, "segmentation": SMALL, "iscrowd": 0} for k in range(254)
    ]
    assert int(_open(root, content).instances("000007").max()) == 254
    content["annotations"].append({**content["annotations"][0], "id": 254})
    data = _open(root, content)
    with pytest.raises(WssError) as error:
        data.instances("000007")
    assert str(error.value) == (
        f"{root}/annotations/instances_val2017.json: image '000007' has 255 objects, but an instance map numbers 254; "
        "leave the image out with --ids"
    )


def test_the_json_itself_and_other_places(root, tmp_path):
    _open(root, _content())
    path = root / "annotations/instances_val2017.json"
    assert open_dataset(path).ids == ("000007", "000009")
    assert open_dataset(path, split="val2017").split == "val2017"
    (root / "images").mkdir()
    (root / "val2017").rename(root / "images/val2017")
    assert open_dataset(root).image_path("000007") == root / "images/val2017/000007.jpg"
    beside = root / "images/val2017/set.json"
    beside.write_text(json.dumps(_content()))
    data = open_dataset(beside)
    assert (data.split, data.image_path("000009")) == ("set", root / "images/val2017/000009.jpg")


def test_splits(root):
    _open(root, _content())
    (root / "annotations/instances_train2017.json").write_text("{}")
    with pytest.raises(WssError) as error:
        open_dataset(root)
    assert str(error.value) == f"{root}: has the splits train2017, val2017; say which with --split"


def test_missing_images(root):
    (root / "val2017/000009.jpg").unlink()
    assert _fails(root, _content()) == f"JSON: 1 of 2 images are not in {root}/val2017: 000009.jpg; add them"
    (root / "val2017/000007.jpg").unlink()
    message = _fails(root, _content())
    assert message == (
        f"JSON: the image 000007.jpg is in none of {root}/val2017, {root}/images/val2017, {root}/images, {root}, "
        f"{root}/annotations; put the images into one of them"
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda c: c.pop("categories"),
            "no list 'categories' in it, so not COCO's instances form; export it as COCO instances",
        ),
        (lambda c: c.update(images=[], annotations=[]), "no images in it; export it as COCO instances with its images"),
        (lambda c: c["categories"].append({"id": 5}), "a category without id or name; mend the json"),
        (
            lambda c: c["categories"].append({"id": 5, "name": "dog"}),
            "class table: the name 'dog' stands twice; names must differ",
        ),
        (
            lambda c: c["annotations"][0].update(category_id=99),
            "annotation 1 has the category 99, which is not in the list of categories; mend the json",
        ),
        (
            lambda c: c["annotations"][0].update(image_id=99),
            "annotation 1 belongs to image 99, which is not in the list of images; mend the json",
        ),
        (
            lambda c: c["images"][1].update(file_name="000007.png"),
            "two images have the id '000007'; list every image once",
        ),
        (
            lambda c: c["images"][1].update(file_name="../000009.jpg"),
            "the id '../000009.jpg' has a part '..', ids never leave the image folder; rename the image or mend the "
            "list",
        ),
        (
            lambda c: c["images"][1].pop("height"),
            "not COCO's instances form (KeyError('height')); export it as COCO instances",
        ),
    ],
)
def test_bad_json(root, change, reason):
    content = _content()
    change(content)
    assert _fails(root, content) == f"JSON: {reason}"


def test_no_json_at_all(root):
    with pytest.raises(WssError) as error:
        open_dataset(root, format="coco")
    assert str(error.value) == f"{root}: no annotations/instances_<split>.json here; give the .json file itself"
    path = root / "x.json"
    path.write_text("{not json")
    with pytest.raises(WssError) as error:
        open_dataset(path)
    assert str(error.value).startswith(f"{path}: cannot be read as json (")
    assert str(error.value).endswith("); copy it again")


@pytest.mark.parametrize("segmentation", [None, "text", {"size": [2, 2], "counts": [4]}, {"counts": 3}, [[1, 2]]])
def test_segmentations_that_cannot_be_drawn(root, segmentation):
    content = _content()
    content["annotations"][0]["segmentation"] = segmentation
    data = _open(root, content)
    assert data.labels("000007") == (1, 2)
    with pytest.raises(WssError) as error:
        data.truth("000007")
    table = root / "annotations/instances_val2017.json"
    start = f"{table}: image '000007': the segmentation of annotation 1 cannot be drawn ("
    assert str(error.value).startswith(start)
    assert str(error.value).endswith("); mend the json")


def test_the_order_of_classes_can_be_given_but_not_other_classes(root):
    data = _open(root, _content(), class_names=["dog", "car"])
    assert data.labels("000007") == (1, 2)
    assert data.truth("000007")[1, 1] == 2
    assert _fails(root, _content(), class_names=["dog", "bus"]) == (
        "JSON: its categories are not the classes asked for; they differ in bus, car; leave --class-names "
        "out or mend it"
    )
    with pytest.raises(WssError) as error:
        data.image_path("x")
    assert str(error.value).endswith("no image with the id 'x'; check the id list")
