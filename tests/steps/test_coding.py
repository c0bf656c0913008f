"""Masks of black and white, as other tools write them: refused where they would be void, converted by `import masks`."""

import numpy as np
import pytest
from PIL import Image

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.classfree import black_and_white, class_free
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.steps._data import Data
from wsscli.steps._foreground import Foreground
from wsscli.steps._run import Run
from wsscli.steps.eval import evaluate
from wsscli.steps.grabcut import grabcut
from wsscli.steps.import_masks import import_masks
from wsscli.steps.make_seeds import make_seeds
from wsscli.steps.refine_round import refine_round
from wsscli.steps.train_seg import train_seg


def white(scenes, name):
    return class_free(scenes.truth[name]) * np.uint8(255)


@pytest.fixture
def folder(scenes):
    """Grey PNGs of 0 and 255, as no tool of class ids writes them."""
    (scenes.out / "white").mkdir()
    for name in scenes.ids:
        Image.fromarray(white(scenes, name)).save(scenes.out / f"white/{name}.png")
    return scenes.out / "white"


@pytest.fixture
def data(scenes):
    return Data(scenes.root, split="train")


def refused(folder):
    return (
        f"{folder}: its 4 masks hold 0 and 255 only, and 255 is unlabelled, so there is no object in any; if 255 is "
        f"foreground here, convert the folder once with `wss import masks {folder} --binary -o OUT`"
    )


@pytest.mark.parametrize(
    ("masks", "wanted"),
    [
        ([[0, 0], [0, 255], [255, 255]], True),
        ([[0, 0], [255, 255], [0, 1]], False),
        ([[254, 255]], False),
        ([[0, 0]], False),  # nothing is there that could be white
        ([], False),
    ],
)
def test_what_is_black_and_white(masks, wanted):
    assert black_and_white(np.array([mask], np.uint8) for mask in masks) is wanted


def test_one_mask_of_ids_is_enough():
    def masks():
        yield np.array([[0, 255]], np.uint8)
        yield np.array([[3, 255]], np.uint8)
        raise AssertionError("read on")

    assert black_and_white(masks()) is False


def steps(scenes, folder, data):
    out = scenes.out / "o"
    yield lambda: evaluate([folder], foreground=True, data=data)
    yield lambda: evaluate([scenes.masks("m")], foreground=True, truth=folder, data=data)
    yield lambda: grabcut(folder, out, data=data)
    yield lambda: train_seg(folder, out, arch="student", data=data)
    yield lambda: train_seg(folder, out, foreground=True, backbone="tiny", init="none", data=data)
    yield lambda: refine_round(folder, out, foreground=True, backbone="tiny", first_init="none", data=data)
    yield lambda: make_seeds(out, method="foreground", class_free=Foreground(folder), data=data)
    yield lambda: import_masks(folder, out, data=data)


def test_they_are_refused_before_anything_is_made(scenes, folder, data, message):
    for step in steps(scenes, folder, data):
        assert message(WssError, step) == refused(folder)
        assert not (scenes.out / "o").exists()


def test_a_data_sets_own_truth(scenes, data, message):
    for name in scenes.ids[:3]:
        write_mask(scenes.root / f"SegmentationClass/{name}.png", white(scenes, name))
    masks = scenes.masks("m", scenes.truth.get)
    evaluate([masks], foreground=True)  # one of them has ids
    (scenes.root / "SegmentationClass/d.png").unlink()
    assert message(WssError, evaluate, [masks], foreground=True, missing_truth="skip") == (
        f"{scenes.root}: its 3 true masks of split train hold 0 and 255 only, and 255 is unlabelled, so there is no object "
        "in any; if 255 is foreground there, convert their folder once with `wss import masks FOLDER --binary -o OUT` "
        "and judge by --truth OUT"
    )
    out = scenes.out / "truth"
    import_masks(scenes.root / "SegmentationClass", out, binary=True, data=data)
    found = evaluate([masks], foreground=True, truth=out, missing_truth="skip")
    assert found.rows[0].numbers == {"jaccard": 1.0} and found.images == 3


def test_directories_of_wss_hold_ids(scenes):
    """All objects unlabelled, on purpose: the tool knows what it wrote."""
    masks = scenes.masks("void", lambda name: white(scenes, name))
    assert evaluate([masks], foreground=True).rows[0].numbers == {"jaccard": 0.0}
    assert len(read_manifest(grabcut(masks, scenes.out / "o")).fell_back) == 4


def test_binary_makes_them_class_free(scenes, folder, data):
    out = open_maskdir(import_masks(folder, scenes.out / "o", binary=True, data=data))
    assert (out.manifest.classes, out.manifest.options) == (FOREGROUND, {"rgb": None, "binary": True})
    assert (out.manifest.split, out.manifest.data.path) == ("train", str(scenes.root))
    for name in scenes.ids:
        np.testing.assert_array_equal(out.mask(name), class_free(scenes.truth[name]))
    assert evaluate([out.path], foreground=True).rows[0].numbers == {"jaccard": 1.0}
    bare = import_masks(folder, scenes.out / "bare", binary=True, supervision=("none",), run=Run(limit=2))
    assert read_manifest(bare).classes == FOREGROUND and open_maskdir(bare).ids == ["a", "b"]


def test_binary_takes_nothing_else(scenes, folder, data, message):
    out = scenes.out / "o"
    mask = white(scenes, "b")
    mask[0, 0] = 7
    Image.fromarray(mask).save(folder / "b.png")
    assert message(WssError, import_masks, folder, out, binary=True, run=Run(workers=1)) == (
        f"{folder}/b.png: holds the value 7, but --binary is for masks of 0 and 255 only; leave it out where values are "
        "class ids"
    )
    assert message(UsageError, import_masks, folder, out, binary=True, rgb="voc") == (
        "--binary: black and white masks have no colours; leave --rgb voc out, or --binary"
    )
    assert message(UsageError, import_masks, folder, out, binary=True, data=Data(class_names=("cat",))) == (
        "--binary: its masks are class-free, foreground is their only class; leave --class-names out"
    )


def test_the_ledger_of_a_folder_within_the_data_set(scenes, data):
    """Its true masks, as for the trainings."""
    own = grabcut(scenes.root / "SegmentationClass", scenes.out / "own", data=data, run=Run(limit=3))
    assert read_manifest(own).supervision == ("masks:3",)
    write_mask(scenes.out / "other/a.png", scenes.truth["a"])
    other = grabcut(scenes.out / "other", scenes.out / "o", data=data)
    assert read_manifest(other).supervision == ("external-model:unknown",)
