"""`wss export cam-npy`: what other code finds, the way there and back, killed and run again, `wss verify`."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from wsscli.errors import WssError
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.scores import Scores, resize_maps
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.export_cam_npy import export_cam_npy
from wsscli.steps.import_cam_npy import import_cam_npy
from wsscli.steps.verify import problems, verify

SCHEMAS = ("psa", "irn", "puzzlecam", "clip-es", "toco")
ENTRY = {"psa": None, "irn": "high_res", "puzzlecam": "hr_cam", "clip-es": "attn_highres", "toco": "high_res"}


@pytest.fixture
def seeds(scenes):
    return scenes.cams("seeds", supervision=("image-labels",))


@pytest.fixture
def full(scenes):
    """Cam scores at the photos' sizes, each map's maximum 1."""

    def work(name):
        item = scenes.cam(name)
        maps = item.full() / item.full().max((1, 2), keepdims=True)
        return Scores(maps, item.classes, item.size)

    return scenes.directory("full", work, kind="scores", score_type="cam")


def load(out, name):
    return np.load(out / "cams" / f"{name}.npy", allow_pickle=True).item()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_there_and_back(full, scenes, schema):
    out = export_cam_npy(full, scenes.out / "npy", schema=schema)
    back = import_cam_npy(out, scenes.out / "back")
    before, after = open_maskdir(full), open_maskdir(back)
    assert before.ids == after.ids == scenes.ids
    for name in scenes.ids:
        a, b = before.scores(name), after.scores(name)
        np.testing.assert_array_equal(a.scores, b.scores)
        np.testing.assert_array_equal(a.classes, b.classes)
        assert a.size == b.size
    assert after.manifest.options == {"schema": schema, "map": ENTRY[schema]}
    assert after.manifest.supervision == before.manifest.supervision == ()
    assert (after.manifest.split, after.manifest.data) == (before.manifest.split, before.manifest.data)
    assert verify(out) == out and verify(back) == back


@pytest.mark.parametrize("schema", SCHEMAS)
def test_maps_come_to_the_photos_size(seeds, scenes, schema):
    """Scores at half the photo's size, not normalised, are enlarged; as they are under --no-normalise."""
    out = export_cam_npy(seeds, scenes.out / "npy", schema=schema, normalise=False)
    back = open_maskdir(import_cam_npy(out, scenes.out / "back"))
    for name in scenes.ids:
        item = open_maskdir(seeds).scores(name)
        np.testing.assert_array_equal(back.scores(name).scores, item.full().astype(np.float16))
    out = export_cam_npy(seeds, scenes.out / "normal", schema=schema)
    for name in scenes.ids:
        item = open_maskdir(seeds).scores(name)
        expected = item.full() / item.full().max((1, 2), keepdims=True)
        content = load(out, name)
        if schema == "psa":
            maps, keys = np.stack(list(content.values())), np.array(list(content)) + 1
        else:
            maps, keys = content[ENTRY[schema]], np.asarray(content["keys"]) + 1
        np.testing.assert_array_equal(maps, expected.astype(maps.dtype))
        assert maps.max() == 1
        keys = keys[1:] - 1 if schema == "puzzlecam" else keys
        np.testing.assert_array_equal(keys, item.classes)


@pytest.mark.parametrize("schema", ["irn", "puzzlecam"])
def test_the_low_resolution_maps_are_tensors_at_a_quarter(seeds, scenes, schema):
    out = export_cam_npy(seeds, scenes.out / "npy", schema=schema)
    for name in scenes.ids:
        item, cam = open_maskdir(seeds).scores(name), load(out, name)["cam"]
        height, width = scenes.truth[name].shape
        assert isinstance(cam, torch.Tensor) and cam.shape[1:] == ((height - 1) // 4 + 1, (width - 1) // 4 + 1)
        low = resize_maps(item.scores, tuple(cam.shape[1:]))
        np.testing.assert_array_equal(cam.numpy(), low / low.max((1, 2), keepdims=True))
        # as torch resizes
        theirs = torch.nn.functional.interpolate(
            torch.tensor(item.scores)[None], cam.shape[1:], mode="bilinear", align_corners=False
        )[0].numpy()  # fmt: skip
        np.testing.assert_allclose(low, theirs, atol=1e-5)
    back = open_maskdir(import_cam_npy(out, scenes.out / "back", map="cam"))
    np.testing.assert_array_equal(back.scores("c").scores, load(out, "c")["cam"].numpy().astype(np.float16))


def test_the_manifest(seeds, scenes):
    manifest = read_manifest(export_cam_npy(seeds, scenes.out / "npy", schema="irn"))
    assert (manifest.kind, manifest.step, manifest.complete) == ("cams", "export cam-npy", True)
    assert manifest.options == {"schema": "irn", "normalise": True} and manifest.supervision == ("image-labels",)
    assert manifest.classes.names == ("background", "disc", "square", "moon") and manifest.split == "train"
    assert [(i.role, i.digest) for i in manifest.inputs] == [("scores", read_manifest(seeds).digest())]


def test_the_ledger_survives_whatever_is_added(seeds, scenes):
    out = export_cam_npy(seeds, scenes.out / "npy", schema="toco")
    assert read_manifest(import_cam_npy(out, scenes.out / "a")).supervision == ("image-labels",)
    assert read_manifest(import_cam_npy(out, scenes.out / "b", supervision=("boxes",))).supervision == (
        "boxes",
        "image-labels",
    )
    plain = import_cam_npy(out / "cams", scenes.out / "c", data=Data(scenes.root, "train"))
    assert read_manifest(plain).supervision == ("external-model:unknown", "image-labels")


def test_a_part_comes_back_as_that_part(seeds, scenes, message):
    out = export_cam_npy(seeds, scenes.out / "npy", schema="psa", run=Run(limit=2))
    back = import_cam_npy(out, scenes.out / "back")
    assert open_maskdir(back).ids == ["a", "b"] and read_manifest(back).dropped == ()
    assert message(WssError, import_cam_npy, out, scenes.out / "other", data=Data(scenes.root, "val")).startswith(
        "--split val, but the directory read here was made by `wss export cam-npy` on split 'train'"
    )
    (scenes.root / "ImageSets/Segmentation/train.txt").write_text("b\nc\nd\n")
    assert message(WssError, import_cam_npy, out, scenes.out / "other") == (
        f"{out}: 1 of 2 images are not in split train of {scenes.root}, the first is 'a'; name the data set and split it "
        "was made from"
    )


@pytest.mark.parametrize("schema", SCHEMAS)
def test_images_without_a_class_and_flat_maps(scenes, schema):
    def work(name):
        maps = np.zeros((0 if name == "a" else 1, 5, 7), np.float32)
        return Scores(maps, np.arange(1, 1 + len(maps)), scenes.truth[name].shape)

    cams = scenes.directory("flat", work, kind="scores", score_type="cam")
    out = export_cam_npy(cams, scenes.out / "npy", schema=schema)
    back = import_cam_npy(out, scenes.out / "back", schema=schema)
    assert len(open_maskdir(back).scores("a").classes) == 0
    flat = open_maskdir(back).scores("b")
    assert flat.classes.tolist() == [1] and not flat.scores.any()
    assert verify(out) == out and verify(back) == back


def test_ids_with_folders(scenes):
    deep = scenes.root.parent / "photos"
    for name in ("x/1", "y/2"):
        (deep / name).parent.mkdir(parents=True)
        (deep / f"{name}.jpg").write_bytes((scenes.root / "JPEGImages" / "a.jpg").read_bytes())
    from wsscli.data.dataset import open_dataset
    from wsscli.maskdir.writer import Output
    from wsscli.steps._data import data_ref
    from wsscli.steps._run import Plan, per_image

    dataset = open_dataset(deep)
    plan = Plan(
        "make-seeds", scenes.out / "s", "scores", {}, dataset.classes, data_ref(dataset), "all", score_type="cam"
    )
    per_image(plan, Run(), dataset.ids, lambda _: Output(scores=scenes.cam("a")))
    out = export_cam_npy(scenes.out / "s", scenes.out / "npy", schema="psa")
    assert (out / "cams" / "x" / "1.npy").exists()
    assert open_maskdir(import_cam_npy(out, scenes.out / "back")).ids == ["x/1", "y/2"]


def test_run_again_and_equal_bytes(seeds, scenes, caplog, message):
    caplog.set_level(logging.INFO, "wsscli")
    out = export_cam_npy(seeds, scenes.out / "npy", schema="irn")
    export_cam_npy(seeds, out, schema="irn")
    assert f"{out} is complete with the same options: nothing to do" in caplog.messages
    assert "--schema was 'irn', now 'psa'" in message(WssError, export_cam_npy, seeds, out, schema="psa")
    first = {p.name: p.read_bytes() for p in (out / "cams").iterdir()}
    again = export_cam_npy(seeds, scenes.out / "again", schema="irn", run=Run(workers=1))
    assert first == {p.name: p.read_bytes() for p in (again / "cams").iterdir()}
    assert read_manifest(out).digest() == read_manifest(again).digest()
    export_cam_npy(seeds, out, schema="psa", run=Run(overwrite=True, limit=1))
    assert [p.name for p in (out / "cams").iterdir()] == ["a.npy"]


def test_a_killed_run_goes_on(seeds, scenes, caplog, message, monkeypatch):
    caplog.set_level(logging.INFO, "wsscli")
    from wsscli.steps import export_cam_npy as step

    whole = export_cam_npy(seeds, scenes.out / "whole", schema="irn")
    call = step._Export.__call__

    def dies(self, name):
        if name == "c":
            raise KeyboardInterrupt
        return call(self, name)

    monkeypatch.setattr(step._Export, "__call__", dies)
    out = scenes.out / "npy"
    with pytest.raises(KeyboardInterrupt):
        export_cam_npy(seeds, out, schema="irn", run=Run(workers=1))
    monkeypatch.undo()
    caplog.set_level(logging.INFO, "wsscli")
    assert message(WssError, import_cam_npy, out, scenes.out / "x") == (
        f"{out}: incomplete (`wss export cam-npy` was stopped before its end); run that command again, it goes on where "
        "it stopped"
    )
    export_cam_npy(seeds, out, schema="irn")
    assert f"{out}: going on, 2 of 4 images are done" in caplog.messages
    assert read_manifest(out).digest() == read_manifest(whole).digest()


def test_what_is_refused(seeds, scenes, message):
    probabilities = scenes.probabilities("probs")
    out = scenes.out / "npy"
    assert message(WssError, export_cam_npy, probabilities, out, schema="psa") == (
        f"{probabilities}: holds probability scores, but CAM dictionaries hold class maps without a background; export "
        "cam scores, as `wss make-seeds` writes them"
    )
    wrong = scenes.directory("wrong", scenes.sure, kind="scores", score_type="cam")
    assert message(WssError, export_cam_npy, wrong, out, schema="psa", run=Run(workers=1)) == (
        f"{wrong}/scores/a.npz: has scores of the background, which cam scores do not have; make them again"
    )
    done = export_cam_npy(seeds, scenes.out / "done", schema="psa")
    assert message(WssError, open_maskdir, done) == (
        f"{done}: holds cams (written by `wss export cam-npy`), but a mask directory is needed"
    )


def test_verify_finds_what_is_wrong(seeds, scenes):
    out = export_cam_npy(seeds, scenes.out / "npy", schema="toco")
    cams = out / "cams"
    (cams / "x.png").write_bytes(b"")
    np.save(cams / "a.npy", {"keys": np.array([9]), "high_res": np.ones((1, 40, 52))})
    np.save(cams / "c.npy", {"keys": np.array([0]), "high_res": np.ones((1, 99, 99))})
    (cams / "d.npy").unlink()
    assert list(problems(out)) == [
        f"{out}/wss.json: speaks of 4 images, but 3 are there and 0 are dropped",
        f"{cams}/a.npy: holds the class key 9, but keys of toco count the 3 foreground classes from 0; name the data set "
        "(or --class-names) of these CAMs, or another --schema",
        f"{cams}/c.npy: its maps are 99x99 pixels, which does not fit the photo of 54x40 (width x height); were they made "
        "from this photo, turned as its EXIF data says?",
        f"{out}/wss.json: the files are not those that `wss export cam-npy` wrote (their common digest differs); "
        "something changed, added or took away a file",
        f"{cams}/x.png: does not belong here; remove it",
    ]
    from dataclasses import replace

    write_manifest(out, replace(read_manifest(out), options={"schema": "later"}))
    assert f"{cams}/b.npy: is of the schema 'later', which this wss does not know" in list(problems(out))


class Evil:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def test_code_put_into_an_exported_directory_is_not_run(seeds, scenes):
    out = export_cam_npy(seeds, scenes.out / "npy", schema="psa")
    np.save(out / "cams" / "a.npy", {0: Evil(scenes.out / "trace")})
    assert any(f"names {os.system.__module__}.system, which wss does not load" in found for found in problems(out))
    with pytest.raises(WssError, match="which wss does not load"):
        import_cam_npy(out, scenes.out / "back", run=Run(workers=1))
    assert not (scenes.out / "trace").exists()


def test_through_the_command_line(seeds, scenes):
    command = [
        sys.executable,
        "-m",
        "wsscli",
        "export",
        "cam-npy",
        str(seeds),
        "--schema",
        "irn",
        "-o",
        str(scenes.out / "x"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{scenes.out / 'x'}\n", "")
    done = subprocess.run(command[:-4] + command[-2:], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Missing option '--schema'" in done.stderr
