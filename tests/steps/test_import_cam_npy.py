"""`wss import cam-npy`: other code's class maps as cam scores, who is left out, what is refused."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.argmax import argmax
from wsscli.steps.crf import crf
from wsscli.steps.grow import grow
from wsscli.steps.import_cam_npy import import_cam_npy
from wsscli.steps.make_seeds import make_seeds
from wsscli.steps.verify import problems, verify


@pytest.fixture
def cams(scenes):
    """A folder of irn's files of the four photos; `maps[name]` is what they hold, `classes[name]` whose."""

    class Cams:
        root = scenes.out / "irn"
        out = scenes.out / "scores"
        maps, low, classes = {}, {}, {}

        def write(self, name, content):
            path = self.root / f"{name}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, content)
            return path

        def run(self, source=None, **options):
            options.setdefault("data", Data(scenes.root, "train"))
            return import_cam_npy(source or self.root, self.out, **options)

    cams = Cams()
    for name in scenes.ids:
        item = scenes.cam(name)
        full = item.full() / item.full().max((1, 2), keepdims=True)
        half = full.astype(np.float16).astype(np.float32)  # so that scores keep every bit
        cams.maps[name], cams.low[name], cams.classes[name] = half, item.scores, item.classes.tolist()
        keys = torch.tensor(item.classes) - 1
        cams.write(name, {"keys": keys, "cam": torch.tensor(item.scores), "high_res": half})
    return cams


def test_the_finest_maps_become_cam_scores(cams, scenes, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    out = cams.run()
    folder, manifest = open_maskdir(out), read_manifest(out)
    assert folder.ids == scenes.ids and manifest.score_type == "cam" and manifest.kind == "scores"
    for name in scenes.ids:
        item = folder.scores(name)
        assert item.classes.tolist() == cams.classes[name] and item.size == scenes.truth[name].shape
        np.testing.assert_array_equal(item.scores, cams.maps[name])
    assert manifest.options == {"schema": "irn", "map": "high_res"} and manifest.split == "train"
    assert manifest.supervision == ("external-model:unknown", "image-labels")
    assert [i.role for i in manifest.inputs] == ["cams"] and manifest.dropped == manifest.fell_back == ()
    assert f"{cams.root}: the schema is irn, maps 'high_res'" in caplog.messages
    assert verify(out) == out


def test_steps_go_on_from_there(cams, scenes):
    out = cams.run()
    masks = open_maskdir(argmax(out, scenes.out / "argmax"))
    assert set(np.unique(masks.mask("c"))) == {0, 1, 2}
    assert open_maskdir(crf(out, scenes.out / "crf", iterations=2)).ids == scenes.ids
    seeds = scenes.masks("seeds")
    assert open_maskdir(grow(seeds, scenes.out / "grown", scores=out)).ids == scenes.ids


def test_seeds_from_imported_maps_verify(cams, scenes):
    """make-seeds calls its input `cams` too, and it is no folder of .npy files."""
    seeds = make_seeds(scenes.out / "seeds", cams=cams.run())
    assert verify(seeds) == seeds


def test_other_maps(cams, scenes):
    item = open_maskdir(cams.run(map="cam")).scores("c")
    assert item.scores.shape == cams.low["c"].shape and item.size == scenes.truth["c"].shape
    np.testing.assert_array_equal(item.scores, cams.low["c"].astype(np.float16))
    assert read_manifest(cams.out).options == {"schema": "irn", "map": "cam"}


def test_psa_says_no_map(cams, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    for name, maps in cams.maps.items():
        cams.write(name, {c - 1: one for c, one in zip(cams.classes[name], maps, strict=True)})
    np.testing.assert_array_equal(open_maskdir(cams.run()).scores("d").scores, cams.maps["d"])
    assert read_manifest(cams.out).options == {"schema": "psa", "map": None}
    assert f"{cams.root}: the schema is psa" in caplog.messages


def test_negative_values_are_no_evidence(cams):
    cams.write("a", {"keys": torch.tensor([0]), "cam": 0, "high_res": cams.maps["a"] - 0.25})
    np.testing.assert_array_equal(open_maskdir(cams.run()).scores("a").scores, np.maximum(cams.maps["a"] - 0.25, 0))


def test_rounded_up_maps_are_cropped(cams, scenes):
    height, width = scenes.truth["b"].shape  # 40 x 53
    wide = np.pad(cams.maps["b"], ((0, 0), (0, 48 - height), (0, 64 - width)))
    cams.write("b", {"keys": torch.tensor([1]), "cam": 0, "high_res": wide})
    np.testing.assert_array_equal(open_maskdir(cams.run()).scores("b").scores, cams.maps["b"])


def test_an_image_without_a_class(cams, scenes):
    cams.write("a", {})
    out = cams.run()
    assert open_maskdir(out).scores("a").scores.shape == (0, 1, 1)
    assert verify(out) == out
    assert (open_maskdir(argmax(out, scenes.out / "m")).mask("a") == 0).all()


def test_missing_and_extra_files(cams, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    (cams.root / "a.npy").rename(cams.root / "stranger.npy")
    (cams.root / "b.npy").rename(cams.root / "other.npy")
    out = cams.run()
    assert open_maskdir(out).ids == ["c", "d"]
    reason = "no CAM file"
    assert read_manifest(out).dropped == ({"id": "a", "reason": reason}, {"id": "b", "reason": reason})
    assert (
        f"{cams.root}: 2 of 4 images of split train have no file and are left out, the first is 'a'" in caplog.messages
    )
    assert f"{cams.root}: 2 files are not of split train and are passed over" in caplog.messages
    assert verify(out) == out


def test_supervision(cams, scenes):
    assert read_manifest(cams.run(supervision=("none",))).supervision == ()
    with pytest.raises(UsageError, match=r"^--supervision CLIP: give none, external-model:NAME, "):
        cams.run(supervision=("CLIP",))
    out = cams.run(supervision=("image-labels", "external-model:CLIP"), run=Run(overwrite=True))
    assert read_manifest(out).supervision == ("external-model:CLIP", "image-labels")


def test_keys_of_another_counting_are_seen_by_the_labels(cams, caplog):
    cams.write("b", {"keys": torch.tensor([2]), "cam": 0, "high_res": cams.maps["b"]})  # counted from 1: moon
    out = cams.run()
    assert read_manifest(out).fell_back == (
        {"id": "b", "reason": "its classes (moon) are none of the image's labels (square)"},
    )
    assert (
        f"{out}: the classes of 1 images are none of their image-level labels, the first is 'b'; are these CAMs of this "
        "data set, and their keys counted from 0?" in caplog.messages
    )


def test_mixed_schemas(cams, message):
    path = cams.write("c", {0: cams.maps["c"][0]})
    assert message(WssError, cams.run) == (
        f"{path}: is of the schema psa, but {cams.root}/a.npy is of irn; a folder holds one schema: sort the files, or "
        "name the schema with --schema"
    )


def test_a_bad_file_stops_the_step_or_is_passed_over(cams, message):
    path = cams.write("c", {"keys": torch.tensor([9]), "cam": 0, "high_res": cams.maps["c"][:1]})
    cams.write("d", {"keys": torch.tensor([0]), "cam": 0, "high_res": np.full((1, 40, 52), np.nan)})
    told = (
        f"{path}: holds the class key 9, but keys of irn count the 3 foreground classes from 0; name the data set (or "
        "--class-names) of these CAMs, or another --schema"
    )
    assert message(WssError, cams.run, run=Run(workers=1)) == told
    message(PartialError, cams.run, run=Run(keep_going=True))
    assert open_maskdir(cams.out).ids == ["a", "b"]
    assert [item["reason"] for item in read_manifest(cams.out).dropped] == [
        f"failed: {told}",
        f"failed: {cams.root}/d.npy: 'high_res' holds 2080 values that are NaN or infinite; make the CAMs again",
    ]


def test_maps_of_another_photo(cams, message):
    path = cams.write("a", {"keys": torch.tensor([0]), "cam": 0, "high_res": np.ones((1, 52, 40))})
    assert message(WssError, cams.run) == (
        f"{path}: its maps are 40x52 pixels, which does not fit the photo of 52x40 (width x height); were they made from "
        "this photo, turned as its EXIF data says?"
    )


def test_what_is_refused(cams, scenes, message):
    assert message(UsageError, cams.run, data=Data()).startswith("no data set: name it with --data")
    (cams.root / "x").mkdir()
    np.save(cams.root / "x" / "y.npy", {})
    assert message(WssError, cams.run, source=cams.root / "x") == (
        f"{cams.root}/x: no file for any of the 4 images of split train of {scenes.root} (the first would be a.npy); "
        "name the right --data and --split"
    )
    assert message(UsageError, cams.run, map="cam", schema="psa").startswith("--map cam: files of the schema psa hold")


def test_run_again_changed_and_broken_off(cams, message):
    cams.run(run=Run(limit=3))
    digest = read_manifest(cams.out).digest()
    cams.run(run=Run(limit=3))
    assert read_manifest(cams.out).digest() == digest
    assert "--map was 'high_res', now 'cam'" in message(WssError, cams.run, map="cam", run=Run(limit=3))
    cams.write("a", {"keys": torch.tensor([0]), "cam": 0, "high_res": cams.maps["a"] / 2})
    assert "its input 'cams' has changed" in message(WssError, cams.run, run=Run(limit=3))
    (found,) = problems(cams.out)  # of the finished directory it says the same
    assert f"wss.json: the input 'cams' at {cams.root} has changed since" in found


def test_a_dry_run_writes_nothing(cams):
    cams.run(run=Run(dry_run=True))
    assert not cams.out.exists()


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def evils(trace):
    evil = Evil(trace)
    return {
        "bare": evil,
        "map": {0: evil},
        "object array": {"keys": np.array([0]), "high_res": np.array([[[evil]]], object)},
        "key": {"keys": [evil], "cam": np.zeros((1, 2, 2))},
        "deep": {"keys": np.array([0]), "cam": 0, "high_res": np.ones((1, 2, 2)), "more": [{"a": (evil,)}]},
    }


@pytest.mark.parametrize("kind", evils(""))
def test_code_is_refused_by_name_and_not_run(cams, scenes, message, kind):
    trace = scenes.out / "trace"
    path = cams.write("c", evils(trace)[kind])
    told = message(WssError, cams.run)
    assert told.startswith(f"{path}: names {os.system.__module__}.system, which wss does not load from a pickle (it")
    assert not trace.exists()


def test_through_the_command_line(cams, scenes):
    environment = {k: v for k, v in os.environ.items() if k not in ("WSS_DATA", "WSS_SPLIT")}

    def wss(*words):
        command = [sys.executable, "-m", "wsscli", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    words = ["import", "cam-npy", cams.root, "--data", scenes.root, "--split", "train", "--map", "cam", "-o", cams.out]
    done = wss(*words, "--schema", "irn", "--limit", 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{cams.out}\n", "")
    trace = scenes.out / "trace"
    path = cams.write("a", Evil(trace))
    done = wss(*words, "--overwrite")
    assert (done.returncode, done.stdout) == (1, "") and not trace.exists()
    assert done.stderr.startswith(f"wss: error: {path}: names {os.system.__module__}.system, which wss does not load")
