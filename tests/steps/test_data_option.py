from pathlib import Path

import cv2
import numpy as np
import pytest

from wsscli.classes import FOREGROUND, ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import DataRef, Manifest, read_manifest, write_manifest
from wsscli.steps._data import Data, data_ref, dataset_for


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


@pytest.fixture
def synsets(tmp_path):
    """Folders of two classes in two splits, and the map that gathers them."""
    for split in ("train", "val"):
        for name in ("n1", "n2", "n3", "other"):
            (tmp_path / "imagenet" / split / name).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / "imagenet" / split / name / "a.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "map.json").write_text('{"dog": ["n2"], "cat": ["n1", "n3"]}')
    return tmp_path / "imagenet"


def follow(found, *, table=None, **options):
    """What a step behind one that opened `found` opens; over the manifest's file."""
    manifest = Manifest(
        kind="masks", step="x", classes=table or found.classes, data=data_ref(found), split=found.split, complete=True
    )
    where = found.root.parent / "wss"
    where.mkdir(exist_ok=True)
    write_manifest(where, manifest)
    return dataset_for(Data(**options), read_manifest(where), other_split="split" in options)


def test_class_folders_travel(synsets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = dataset_for(Data(synsets, "train", class_folders=Path("map.json")))
    assert first.classes.foreground == ("dog", "cat")
    first = follow(first)
    monkeypatch.chdir("/")  # the file is kept by its whole path
    for _ in range(2):
        first = follow(first)
        assert first.ids == ("train/n1/a", "train/n2/a", "train/n3/a") and first.labels("train/n3/a") == (2,)
    other = follow(first, split="val")
    assert other.ids == ("val/n1/a", "val/n2/a", "val/n3/a")
    free = follow(first, table=FOREGROUND)
    assert free.classes.foreground == ("dog", "cat")


def test_named_classes_travel_past_class_free_masks(synsets, pets, tmp_path):
    names = ("cat", "cow", "dog")
    first = dataset_for(Data(synsets, "train", class_names=names, class_folders=tmp_path / "map.json"))
    behind = follow(follow(first, table=FOREGROUND), table=FOREGROUND)
    assert behind.classes.foreground == names and behind.labels("train/n2/a") == (3,)
    assert follow(first, split="val").classes.foreground == names
    # elsewhere neither the folders nor their names mean anything
    elsewhere = follow(first, table=FOREGROUND, data=pets, split="all")
    assert elsewhere.classes.foreground == ("cat", "dog") and elsewhere.class_folders is None


def test_names_of_a_class_table_are_not_said_twice(pets):
    found = dataset_for(Data(), manifest(pets, "folders", names=("dog", "cat")))
    assert found.classes.foreground == ("dog", "cat") and data_ref(found).class_names is None
