import json

import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.maskdir.manifest import Manifest, write_manifest
from wsscli.maskdir.maskdir import input_file, open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores, write_scores

MASK = np.array([[0, 1], [255, 2]], np.uint8)
CLASSES = ClassTable.of(["cat", "dog"])


def make(root, kind="masks+scores", *, complete=True, ids=("b", "sub/a")):
    write_manifest(root, Manifest(kind=kind, step="crf", classes=CLASSES, complete=complete, score_type="cam"))
    for name in ids:
        if "masks" in kind:
            write_mask(root / "masks" / f"{name}.png", MASK)
        if "scores" in kind:
            write_scores(root / "scores" / f"{name}.npz", Scores(np.ones((1, 1, 1), np.float32), np.array([1]), (2, 2)))
    return root


def test_reads_masks_and_scores(tmp_path):
    opened = open_maskdir(make(tmp_path))
    assert opened.ids == ["b", "sub/a"] and opened.classes == CLASSES
    assert np.array_equal(opened.mask("sub/a"), MASK)
    assert opened.scores("b").full().shape == (1, 2, 2)
    assert opened.as_input("x").digest == opened.manifest.digest()


def test_scores_only(tmp_path):
    opened = open_maskdir(make(tmp_path, "scores"), need="scores")
    assert opened.ids == ["b", "sub/a"] and not opened.has_masks
    with pytest.raises(WssError, match=r"holds cam scores but no masks; make them with `wss argmax"):
        open_maskdir(tmp_path, need="masks")


def test_saliency_becomes_masks_by_its_own_command(tmp_path):
    write_manifest(
        tmp_path, Manifest(kind="scores", step="saliency", classes=None, complete=True, score_type="saliency")
    )
    write_scores(tmp_path / "scores" / "b.npz", Scores(np.ones((1, 1, 1), np.float32), np.array([0]), (2, 2)))
    with pytest.raises(WssError) as told:
        open_maskdir(tmp_path, need="masks")
    assert str(told.value) == (
        f"{tmp_path}: holds saliency scores but no masks; make them with `wss make-seeds --method foreground "
        f"--label-count none --foreground {tmp_path} -o OUT`"
    )


def test_plain_folder(tmp_path):
    write_mask(tmp_path / "x" / "1.png", MASK)
    (tmp_path / ".1.png.part").write_bytes(b"")
    opened = open_maskdir(tmp_path, need="masks")
    assert opened.ids == ["x/1"] and opened.manifest is None and opened.classes is None
    before = opened.as_input("x").digest
    write_mask(tmp_path / "x" / "2.png", MASK)
    assert open_maskdir(tmp_path).as_input("x").digest != before
    with pytest.raises(WssError, match=r"no wss\.json here, and scores are read from directories written by wss only"):
        open_maskdir(tmp_path, need="scores")


def test_refusals(tmp_path):
    with pytest.raises(WssError, match=r"none: no such directory"):
        open_maskdir(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(WssError, match=r"file: a file, but a mask directory is needed"):
        open_maskdir(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WssError, match=r"empty: neither a wss\.json nor any PNG here"):
        open_maskdir(tmp_path / "empty")
    with pytest.raises(WssError, match=r"incomplete \(`wss crf` was stopped before its end\); run that command again"):
        open_maskdir(make(tmp_path / "part", complete=False))
    with pytest.raises(WssError, match=r"holds a model \(written by `wss crf`\), but a mask directory is needed"):
        open_maskdir(make(tmp_path / "model", "model"))
    with pytest.raises(
        WssError,
        match=r"holds masks but no scores; name a directory that has them \(`wss predict --scores`, `wss crf --scores`\)",
    ):
        open_maskdir(make(tmp_path / "m", "masks"), need="scores")


def test_a_file_as_input(tmp_path):
    (tmp_path / "f").write_text(json.dumps(1))
    entry = input_file("class-map", tmp_path / "f")
    assert entry.role == "class-map" and entry.digest.startswith("sha256:")
