"""`wss grabcut` over a directory."""

import cv2
import numpy as np

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.grabcut import grabcut


def digests(out):
    folder = open_maskdir(out)
    return [folder.mask_path(name).read_bytes() for name in folder.ids]


def test_loose_masks_become_tight(scenes):
    out = grabcut(scenes.masks("loose", lambda n: scenes.loose(n, 3), supervision=["boxes"]), scenes.out / "o")
    folder = open_maskdir(out)
    for name in scenes.ids:
        assert (folder.mask(name) == scenes.truth[name]).mean() > 0.98
    manifest = folder.manifest
    assert manifest.options == {"iterations": 5, "init": "box", "scale": 1.0}
    assert (manifest.step, manifest.kind, manifest.supervision) == ("grabcut", "masks", ("boxes",))
    assert manifest.fell_back == ()


def test_what_cannot_be_cut_is_passed_on_and_listed(scenes):
    def work(name):
        mask = np.zeros_like(scenes.truth[name])
        if name == "b":
            mask[:] = 2
        if name == "c":
            mask[3, 3] = 1
        if name == "d":
            mask[:] = 255
        return mask

    source = scenes.masks("m", work)
    out = grabcut(source, scenes.out / "o")
    assert {entry["id"]: entry["reason"] for entry in read_manifest(out).fell_back} == {
        "a": "no foreground in the mask",
        "b": "class 2: its box is the whole image",
        "c": "class 1: a single pixel",
        "d": "no foreground in the mask",
    }
    for name in scenes.ids:
        assert (open_maskdir(out).mask(name) == open_maskdir(source).mask(name)).all()


def test_workers_and_parts_give_the_same_bytes(scenes):
    source = scenes.masks("loose", lambda n: scenes.loose(n, 5))
    one = grabcut(source, scenes.out / "one", run=Run(workers=1))
    assert digests(grabcut(source, scenes.out / "four", run=Run(workers=4))) == digests(one)
    ids = scenes.out / "ids.txt"
    ids.write_text("c\n")
    part = grabcut(source, scenes.out / "part", run=Run(ids=ids))
    assert open_maskdir(part).mask_path("c").read_bytes() == digests(one)[2]


def test_the_seed_reaches_opencv(scenes, monkeypatch):
    seen = []
    original = cv2.setRNGSeed
    monkeypatch.setattr(cv2, "setRNGSeed", lambda seed: (seen.append(seed), original(seed)))
    source = scenes.masks("loose")
    for seed, out in ((0, "s0"), (1, "s1"), (0, "again")):
        grabcut(source, scenes.out / out, run=Run(seed=seed, workers=1))
    first, second, third = seen[:6], seen[6:12], seen[12:]  # a and b have one class, c and d two
    assert first == third
    assert not set(first) & set(second)
    assert len(set(first)) == 4
    assert digests(scenes.out / "s0") == digests(scenes.out / "again")


def test_options(scenes):
    out = grabcut(scenes.masks("loose"), scenes.out / "o", init="mask", scale=0.5, iterations=2)
    assert read_manifest(out).options == {"iterations": 2, "init": "mask", "scale": 0.5}


def test_option_errors_leave_nothing_behind(scenes, message):
    source, o = scenes.masks("m"), scenes.out / "o"
    assert message(UsageError, grabcut, source, o, iterations=0).startswith("grabcut: 0 iterations")
    assert message(UsageError, grabcut, source, o, scale=2.0).startswith("grabcut: a scale of 2.0")
    assert not o.exists()


def test_a_mask_of_another_size_is_an_error(scenes, message):
    source = scenes.masks("m", lambda name: scenes.truth[name].T.copy())
    assert message(WssError, grabcut, source, scenes.out / "o", run=Run(workers=1)) == (
        f"{source}/masks/a.png: is 52 x 40 (height x width), but {scenes.root}/JPEGImages/a.jpg is 40 x 52; "
        "both must be of the photo's size"
    )


def test_a_value_beyond_the_class_table_is_an_error(scenes, message):
    write_mask(scenes.out / "plain/a.png", np.full(scenes.truth["a"].shape, 77, np.uint8))
    text = message(
        WssError, grabcut, scenes.out / "plain", scenes.out / "o", data=Data(data=scenes.root, split="train")
    )
    assert text.startswith(f"{scenes.out}/plain/a.png: holds the class id 77, but the class table ends at 3 (moon);")


def test_scores_without_masks_are_an_error(scenes, message):
    source = scenes.cams("cams")
    assert message(WssError, grabcut, source, scenes.out / "o").startswith(f"{source}: holds cam scores but no masks;")
