from pathlib import Path

import cv2
import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import DataRef, Manifest
from wsscli.steps._data import Data, dataset_for


@pytest.fixture
def pets(tmp_path):
    """A folder per class."""
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "pets" / name / "a.png"), np.zeros((4, 4, 3), np.uint8))
    return tmp_path / "pets"


def manifest(path: Path, layout: str, split: str = "all", names=("cat", "dog")) -> Manifest:
    where = DataRef(str(path), layout)
    return Manifest(kind="model", step="train-seg", classes=ClassTable.of(names), data=where, split=split)


def test_the_manifest_names_the_data_set(pets):
    found = dataset_for(Data(), manifest(pets, "folders"))
    assert (found.root, found.format, found.split, found.ids) == (pets, "folders", "all", ("cat/a", "dog/a"))


def test_another_data_set_has_a_layout_of_its_own(pets, tmp_path):
    (tmp_path / "devkit").mkdir()
    trained_on = manifest(tmp_path / "devkit", "voc", split="train")
    assert dataset_for(Data(data=pets), trained_on, other_split=True).format == "folders"
    # named again, the same place keeps the layout that was once given for it
    with pytest.raises(WssError, match="no JPEGImages folder, so not a VOC devkit"):
        dataset_for(Data(data=tmp_path / "devkit"), trained_on)


def test_splits_are_never_mixed(pets):
    with pytest.raises(WssError, match=r"--split val, but the directory read here was made by `wss train-seg` on"):
        dataset_for(Data(split="val"), manifest(pets, "folders"))


def test_nobody_names_a_data_set():
    with pytest.raises(UsageError, match=r"no data set: name it with --data \(or WSS_DATA\)"):
        dataset_for(Data())
