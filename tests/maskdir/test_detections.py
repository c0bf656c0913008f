import json

import numpy as np
import pytest

from wsscli.errors import WssError
from wsscli.maskdir.detections import Detected, entries_of, gathered, read_boxes, write_entries

GOOD = {"image_id": "a/1", "category_id": 2, "bbox": [1.5, 2, 3, 4], "score": 0.25}


def test_what_is_written_is_read(tmp_path):
    found = Detected(np.array([[0.126, 1, 10, 20.5], [3, 4, 5, 6]]), np.array([2, 1]), np.array([0.9, 0.123456]))
    entries = entries_of("a/1", found)
    assert entries == [
        {"image_id": "a/1", "category_id": 2, "bbox": [0.13, 1.0, 9.87, 19.5], "score": 0.9},
        {"image_id": "a/1", "category_id": 1, "bbox": [3.0, 4.0, 2.0, 2.0], "score": 0.12346},
    ]
    path = tmp_path / "boxes.json"
    path.write_bytes(write_entries([*entries, GOOD | {"image_id": "b"}]))
    assert path.read_text().count("\n") == 5
    back = read_boxes(path, classes=3)
    assert list(back) == ["a/1", "b"]
    np.testing.assert_allclose(back["a/1"].boxes, [[0.13, 1, 10, 20.5], [3, 4, 5, 6]])
    assert back["a/1"].labels.tolist() == [2, 1]
    assert back["a/1"].scores.tolist() == [0.9, 0.12346]


def test_nothing_found(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_bytes(write_entries([]))
    assert json.loads(path.read_text()) == []
    assert read_boxes(path) == {}


def test_gathered_in_the_order_of_the_images():
    records = [{"id": "a", "boxes": [1, 2]}, {"id": "b"}, {"id": "c", "boxes": [3], "instances": [4]}]
    assert gathered(records, "boxes") == [1, 2, 3]
    assert gathered(records, "instances") == [4]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"bbox": [1, 2, 3, 4], "score": 1},
            "detection 2 lacks or garbles image_id, category_id, bbox or score (KeyError('image_id')); mend it",
        ),
        (
            GOOD | {"bbox": [1, 2]},
            "detection 2 lacks or garbles image_id, category_id, bbox or score (ValueError('not enough values to "
            "unpack (expected 4, got 2)')); mend it",
        ),
        (
            GOOD | {"bbox": [1, 2, 0, 4]},
            "detection 2 has the bbox [1, 2, 0, 4] and the score 0.25, which cannot be; mend it",
        ),
        (
            GOOD | {"score": float("nan")},
            "detection 2 has the bbox [1.5, 2, 3, 4] and the score nan, which cannot be; mend it",
        ),
        (
            GOOD | {"category_id": 3},
            "detection 2 has the category 3, but the class table ends at 2; judge it with the classes of its data set",
        ),
    ],
)
def test_entries_that_are_none(tmp_path, entry, message):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([GOOD, entry]))
    with pytest.raises(WssError) as error:
        read_boxes(path, classes=3)
    assert str(error.value) == f"{path}: {message}"


def test_files_that_are_none(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text("[{")
    with pytest.raises(WssError) as error:
        read_boxes(path)
    assert str(error.value).startswith(f"{path}: cannot be read as json (")
    assert str(error.value).endswith("); write it again")
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(WssError) as error:
        read_boxes(path)
    assert str(error.value) == (
        f"{path}: no list of detections, so not COCO's results form; give what `wss detect` wrote"
    )
