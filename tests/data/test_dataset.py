import json

import pytest
from PIL import Image

from wsscli.data.dataset import FORMATS, find_format, open_dataset
from wsscli.errors import UsageError, WssError


def test_no_such_path(tmp_path):
    with pytest.raises(WssError) as error:
        open_dataset(tmp_path / "no")
    assert str(error.value) == (f"{tmp_path}/no: no such data set; check the path given with --data (or WSS_DATA)")


def test_an_unknown_format(tmp_path):
    with pytest.raises(UsageError) as error:
        open_dataset(tmp_path, format="ade20k")
    assert str(error.value) == "unknown data set format 'ade20k'; known: voc, coco, csv, folders, images"


def test_nothing_fits(tmp_path):
    (tmp_path / "notes.txt").touch()
    expected = "not a data set that wss knows (voc, coco, csv, folders, images); see docs/datasets.md for their layouts"
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(WssError) as error:
            find_format(path)
        assert str(error.value) == f"{path}: {expected}"


def test_several_fit(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "JPEGImages/a.jpg")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val.json").write_text(json.dumps({}))
    (tmp_path / "list.csv").write_text("image,labels\nJPEGImages/a.jpg,cat\n")
    with pytest.raises(WssError) as error:
        open_dataset(tmp_path)
    assert str(error.value) == f"{tmp_path}: looks like voc and coco and csv; say which with --format voc|coco|csv"
    assert open_dataset(tmp_path, format="csv").ids == ("JPEGImages/a",)


def test_the_formats_are_those_of_the_options():
    from typing import get_args

    from wsscli.steps._data import Format

    assert tuple(FORMATS) == get_args(Format)
