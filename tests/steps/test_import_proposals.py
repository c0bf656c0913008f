import json
import logging

import numpy as np
import pytest
from pycocotools import mask as rle
from scipy.io import savemat

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.import_proposals import import_proposals
from wsscli.steps.verify import problems


def save(folder, name, superpixels, *lists):
    labels = np.empty((len(lists), 1), object)
    for k, members in enumerate(lists):
        labels[k, 0] = np.array(members, np.int32)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    savemat(folder / f"{name}.mat", {"superpixels": superpixels, "labels": labels})


@pytest.fixture
def mats(scenes, tmp_path):
    """MCG's files of a, b and of a photo of another split: superpixels are the true regions, counted from 1."""
    for name in ("a", "b"):
        regions = (np.unique(scenes.truth[name], return_inverse=True)[1] + 1).reshape(scenes.truth[name].shape)
        save(tmp_path / "mats", name, regions, [2], [1, 2], [1])
    save(tmp_path / "mats", "other/x", np.ones((2, 2)), [1])
    return tmp_path / "mats"


def train(scenes):
    return Data(scenes.root, split="train")


def test_mat_files(scenes, mats, tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    out = import_proposals(mats, tmp_path / "out", supervision=("masks:1464",), data=train(scenes))
    opened, manifest = open_maskdir(out, need="proposals"), read_manifest(out)
    assert opened.ids == ["a", "b"] and manifest.supervision == ("masks:1464",)
    assert manifest.options == {"count": 2000} and [i.role for i in manifest.inputs] == ["mcg"]
    np.testing.assert_array_equal(opened.proposals("a").mask(0), scenes.truth["a"] == 1)
    assert opened.proposals("a").mask(1).all() and len(opened.proposals("b")) == 3
    assert f"{mats}: 1 images are not in split train and are passed over" in caplog.messages
    assert list(problems(out)) == []
    few = import_proposals(mats, tmp_path / "few", count=1, data=train(scenes))
    assert len(open_maskdir(few, need="proposals").proposals("a")) == 1
    assert read_manifest(few).supervision == ("external-model:unknown",)
    save(mats, "c", np.ones((2, 3)), [1])
    (fault,) = problems(out)
    assert fault.startswith(f"{out}/wss.json: the input 'mcg' at {mats} has changed since (digest ")


def entry(name, mask, score):
    found = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "image_id": name,
        "segmentation": {"size": found["size"], "counts": found["counts"].decode()},
        "score": score,
    }


def test_a_json_list(scenes, tmp_path):
    truth = scenes.truth
    entries = [
        entry("a", truth["a"] == 1, 0.2), entry("a", truth["a"] == 0, 0.8), entry("a", truth["a"] == 9, 0.9),
        entry("b", truth["b"] == 9, 1.0),
    ]  # fmt: skip
    (tmp_path / "p.json").write_text(json.dumps(entries))
    out = import_proposals(tmp_path / "p.json", tmp_path / "out", data=train(scenes))
    opened, manifest = open_maskdir(out, need="proposals"), read_manifest(out)
    assert opened.ids == ["a"]
    np.testing.assert_array_equal(opened.proposals("a").mask(0), truth["a"] == 0)
    assert manifest.fell_back == ({"id": "a", "reason": "1 proposals without a pixel left out"},)
    assert manifest.dropped == ({"id": "b", "reason": "no proposal has a pixel"},)
    assert list(problems(out)) == []


def test_numbers_of_coco_are_ids_of_twelve_digits(tmp_path):
    from PIL import Image

    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "photos/000000000042.png")
    (tmp_path / "p.json").write_text(json.dumps([entry(42, np.ones((4, 5)), 1.0)]))
    out = import_proposals(tmp_path / "p.json", tmp_path / "out", data=Data(tmp_path / "photos", format="images"))
    assert open_maskdir(out, need="proposals").ids == ["000000000042"]


def test_what_is_refused(scenes, mats, tmp_path, message):
    out, data = tmp_path / "out", train(scenes)
    assert message(UsageError, import_proposals, mats, out, count=0, data=data) == "--count 0: give 1 or more"
    assert message(WssError, import_proposals, tmp_path / "no", out, data=data) == (
        f"{tmp_path}/no: no such folder of .mat files or JSON file; check the path"
    )
    (tmp_path / "empty").mkdir()
    assert message(WssError, import_proposals, tmp_path / "empty", out, data=data) == (
        f"{tmp_path}/empty: no .mat file here; give the folder that they lie in, or a JSON file"
    )
    assert message(WssError, import_proposals, mats / "other", out, data=data) == (
        f"{mats}/other: none of its 1 images is in split train of {scenes.root}; name the right --data and --split"
    )
    save(mats, "a", np.ones((2, 3)), [1])
    assert message(WssError, import_proposals, mats, out, data=data, run=Run(workers=1)) == (
        f"{mats}: proposals of 'a' are for 3x2, its photo is 52x40 (width x height)"
    )
    huge = {"image_id": "a", "segmentation": {"size": [10**6, 10**6], "counts": [10**12 - 1, 1]}, "score": 1}
    (tmp_path / "huge.json").write_text(json.dumps([huge]))  # decoded, it would take a terabyte
    assert message(WssError, import_proposals, tmp_path / "huge.json", out, data=data, run=Run(overwrite=True)) == (
        f"{tmp_path}/huge.json: proposals of 'a' are for 1000000x1000000, its photo is 52x40 (width x height)"
    )
