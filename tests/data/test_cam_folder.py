"""Folders of CAM dictionaries: whose they are, their schema by looking, what is refused."""

import numpy as np
import pytest
import torch

from wsscli.data.cam_folder import find_layout, open_cam_folder
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import Manifest, write_manifest

HIGH = np.ones((1, 6, 8), np.float32)
PSA = {3: HIGH[0]}
IRN = {"keys": torch.tensor([3]), "cam": torch.zeros(1, 2, 2), "high_res": HIGH}
TOCO = {"keys": np.array([3]), "high_res": HIGH}


@pytest.fixture
def folder(tmp_path):
    """Write files and open their folder."""

    def write(**files):
        for name, content in files.items():
            (tmp_path / "npy").mkdir(exist_ok=True)
            np.save(tmp_path / "npy" / f"{name}.npy", content)
        return open_cam_folder(tmp_path / "npy")

    return write


def told(kind, call, *args):
    with pytest.raises(WssError) as caught:
        call(*args)
    assert type(caught.value) is kind
    return str(caught.value)


def layout(folder, schema=None, entry=None):
    return find_layout(folder, folder.ids, schema, entry)


def test_a_folder(folder, tmp_path):
    opened = folder(b=PSA, a=PSA)
    (tmp_path / "npy" / "deep").mkdir()
    np.save(tmp_path / "npy" / "deep" / "c.npy", PSA)
    (tmp_path / "npy" / "a.png").write_bytes(b"")
    opened = open_cam_folder(tmp_path / "npy")
    assert opened.ids == ["a", "b", "deep/c"] and opened.manifest is None
    assert list(opened.read("deep/c")) == [3] and opened.file("a") == tmp_path / "npy" / "a.npy"
    before = opened.as_input()
    assert before.role == "cams" and before.path == str((tmp_path / "npy").resolve())
    (tmp_path / "npy" / "a.png").unlink()
    assert open_cam_folder(tmp_path / "npy").as_input() == before
    np.save(tmp_path / "npy" / "a.npy", {3: HIGH[0, :2]})
    assert open_cam_folder(tmp_path / "npy").as_input().digest != before.digest


def test_the_schema_is_found_by_looking(folder):
    assert layout(folder(a=IRN)).schema == "irn" and layout(folder(a=IRN)).entry == "high_res"
    assert (layout(folder(a=PSA)).schema, layout(folder(a=PSA)).entry) == ("psa", None)


def test_files_without_a_class_tell_nothing(folder):
    found = layout(folder(a={}, b={"keys": np.zeros(0, int)}, c=TOCO))
    assert (found.schema, found.entry, found.seen_in.name) == ("toco", "high_res", "c.npy")
    found.check({}, None)  # and fit any schema


def test_named_schema_and_entry(folder):
    found = layout(folder(a={}, b=IRN), "irn", "cam")
    assert (found.schema, found.entry, found.seen_in) == ("irn", "cam", None)
    assert layout(folder(a={}, b=IRN), "irn").entry == "high_res"
    found.check(PSA, None)  # a named schema is taken at its word; reading says what does not fit
    (empty,) = {layout(folder(a={}, b={}), "clip-es")}
    assert (empty.schema, empty.entry) == ("clip-es", None)


def test_one_schema_a_folder(folder, tmp_path):
    found = layout(folder(a=IRN, b=PSA))
    path = tmp_path / "npy" / "b.npy"
    assert told(WssError, found.check, PSA, path) == (
        f"{path}: is of the schema psa, but {tmp_path}/npy/a.npy is of irn; a folder holds one schema: sort the files, or "
        "name the schema with --schema"
    )


def test_layouts_that_cannot_be(folder, tmp_path):
    where = tmp_path / "npy"
    assert told(UsageError, layout, folder(a={}, b={"keys": []})) == (
        f"{where}: none of 2 files holds a class, so they tell no schema; name it with --schema "
        "psa|irn|puzzlecam|clip-es|toco"
    )
    assert told(UsageError, layout, folder(a=PSA), "psa", "cam") == (
        "--map cam: files of the schema psa hold one map a class and no entries; leave it out"
    )
    assert told(UsageError, layout, folder(a=PSA), None, "cam") == (
        f"--map cam: {where}/a.npy is of the schema psa, one map a class and no entries; leave it out"
    )
    assert told(WssError, layout, folder(a=PSA), "irn") == (
        f"{where}/a.npy: has no entry 'high_res' or 'cam', it holds 3; name another --map or --schema"
    )
    assert f"{where}/a.npy: holds 'x': no schema that wss knows" in told(WssError, layout, folder(a={"x": 1}))


def test_folders_that_are_none(tmp_path):
    assert told(WssError, open_cam_folder, tmp_path / "no") == (
        f"{tmp_path}/no: no such folder of CAM files; check the path"
    )
    assert told(WssError, open_cam_folder, tmp_path) == (
        f"{tmp_path}: no .npy file here; give the folder that the CAM files lie in"
    )
    write_manifest(tmp_path, Manifest("masks", "crf", complete=True))
    assert told(WssError, open_cam_folder, tmp_path) == (
        f"{tmp_path}: holds masks (written by `wss crf`), but a folder of CAM files (.npy) is needed"
    )
    write_manifest(tmp_path, Manifest("cams", "export cam-npy"))
    assert told(WssError, open_cam_folder, tmp_path) == (
        f"{tmp_path}: incomplete (`wss export cam-npy` was stopped before its end); run that command again, it goes on "
        "where it stopped"
    )
