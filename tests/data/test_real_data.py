"""The real photos: every image is read, both label schemas agree, the field's pickles open."""

import os
from pathlib import Path

import numpy as np
import pytest

from wsscli.data.dataset import open_dataset, require_labels
from wsscli.data.restricted import read_pickle
from wsscli.data.voc import VOC_NAMES
from wsscli.errors import WssError

ROOT = Path(os.environ.get("WSS_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [pytest.mark.real, pytest.mark.skipif(not (ROOT / "voc").is_dir(), reason="the real photos are not here")]


def test_voc_splits():
    with pytest.raises(WssError, match="has the splits train, train_official, val; say which with --split"):
        open_dataset(ROOT / "voc")
    train, val = open_dataset(ROOT / "voc", split="train"), open_dataset(ROOT / "voc", split="val")
    assert (len(train), len(val)) == (597, 104)
    assert not set(train.ids) & set(val.ids)
    assert train.classes.foreground == VOC_NAMES
    assert len(require_labels(train, train.ids)) == 597
    single = [name for name in train.ids if len(train.labels(name) or ()) == 1]
    assert len(single) > 300


def test_every_photo_and_mask_fit():
    for data in (open_dataset(ROOT / "voc", split="val"), open_dataset(ROOT / "coco_voc")):
        for name in data.ids:
            image, mask = data.image(name), data.truth(name)
            assert image.dtype == np.uint8
            assert image.shape == (*mask.shape, 3)
            assert data.size(name) == mask.shape


def test_coco_voc_has_images_without_labels():
    data = open_dataset(ROOT / "coco_voc")
    assert (data.split, len(data)) == ("all", 64)
    without = [name for name in data.ids if data.labels(name) is None]
    assert len(without) == 23
    with pytest.raises(WssError, match=r"no image-level labels for 23 of 64 images of split all \(.* and 20 more\)"):
        require_labels(data, data.ids)


def test_both_label_schemas_agree():
    irn, psa = (
        open_dataset(ROOT / "voc", split="train", labels=ROOT / f"lists/voc12_{name}/cls_labels.npy")
        for name in ("irn", "psa")
    )
    xml = open_dataset(ROOT / "voc", split="train")
    for name in irn.ids:
        labels = irn.labels(name)
        assert labels == psa.labels(name)
        assert labels is not None
        assert set(xml.labels(name) or ()) <= set(labels)  # the XML here leaves difficult objects out


def test_sec_cues_and_weights():
    cues = read_pickle(ROOT / "lists/sec/localization_cues.pickle.gz")
    assert cues["0_cues"].shape[0] == 3
    (path,) = (ROOT / "weights").glob("*.pth")
    weights = read_pickle(path)
    assert len(weights) == 52
    assert all(isinstance(value, np.ndarray) for value in weights.values())
