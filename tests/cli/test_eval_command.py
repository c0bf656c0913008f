"""`wss eval` in the shell: what goes to stdout, what to stderr, and the exit codes."""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from wsscli.cli.app import main
from wsscli.maskdir.png import read_mask, write_mask

IDS = ["a", "b", "c"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("WSS_DATA", "WSS_SPLIT")}


def process(*words, **more):
    command = [sys.executable, "-m", "wsscli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, **more)


@pytest.fixture
def wss(monkeypatch, capfd):
    """As `process`, but in this one, which has loaded everything."""
    for name in ("WSS_DATA", "WSS_SPLIT"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["wss", *map(str, words)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return subprocess.CompletedProcess(words, code, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation", "guess"):
        (root / folder).mkdir(parents=True)
    for i, name in enumerate(IDS):
        Image.new("RGB", (8, 6)).save(root / f"JPEGImages/{name}.jpg")
        mask = np.zeros((6, 8), np.uint8)
        mask[1:5, 2:6] = 8 + i % 2
        write_mask(root / f"SegmentationClass/{name}.png", mask)
        mask[2] = 0
        mask[3, 0] = 255
        write_mask(root / f"guess/{name}.png", mask)
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(IDS) + "\n")
    return root


def test_without_json_stdout_is_empty_and_the_table_says_all(voc, wss):
    done = wss(
        "eval",
        voc / "guess",
        voc / "SegmentationClass",
        "--data",
        voc,
        "--split",
        "train",
        "--per-class",
        "--bootstrap",
    )
    assert (done.returncode, done.stdout) == (0, "")
    for part in (
        "split train, 3 images",
        "mIoU",
        f"truth {voc}",
        "unlabelled predictions: miss",
        "mean over 3 of 21 classes (background, cat, chair), those in truth or prediction; ledger: unknown",
        "tvmonitor",
        f"{voc / 'SegmentationClass'} - {voc / 'guess'}: mIoU +0.",
        "95 % interval [+0.",
    ):
        assert part in done.stderr
    assert re.search(rf"{voc / 'SegmentationClass'} +1\.0000", done.stderr)  # not cut, not wrapped, in a log


def test_json_is_one_document_and_reads_its_directory_from_the_pipe(voc):
    done = process("eval", "-", "--data", voc, "--split", "train", "--json", input=f"{voc / 'guess'}\n")
    plain = json.loads(done.stdout)
    assert done.returncode == 0
    assert (plain["split"], plain["images"], plain["rows"][0]["directory"]) == ("train", 3, str(voc / "guess"))
    assert plain["rows"][0]["per_class"]["dog"]["iou"] is None
    assert "NaN" not in done.stdout
    truth, guess = ([read_mask(voc / folder / f"{i}.png") for i in IDS] for folder in ("SegmentationClass", "guess"))
    same = sum(int((t == g).sum()) for t, g in zip(truth, guess, strict=True))
    assert plain["rows"][0]["pixel_accuracy"] == same / (3 * 48)


def test_csv_on_stdout_and_in_a_file(voc, wss, tmp_path):
    words = ("eval", voc / "guess", "--data", voc, "--split", "train", "--per-class", "--csv")
    printed = wss(*words, "-")
    assert wss(*words, tmp_path / "t.csv").stdout == ""
    assert (tmp_path / "t.csv").read_text() == printed.stdout
    rows = list(csv.DictReader(printed.stdout.splitlines()))
    assert (rows[0]["split"], rows[0]["ledger"], rows[0]["iou:dog"]) == ("train", "unknown", "")
    assert float(rows[0]["iou:cat"]) == 0.75


def test_fail_under(voc, wss):
    words = ("eval", voc / "guess", "--data", voc, "--split", "train", "--json", "--fail-under")
    assert wss(*words, "0.5").returncode == 0
    done = wss(*words, "0.9")
    assert done.returncode == 4
    assert json.loads(done.stdout)["images"] == 3  # the numbers come all the same
    assert re.fullmatch(
        rf"wss: error: {voc / 'guess'}: mIoU 0\.\d{{4}} on split train is under --fail-under 0\.9",
        done.stderr.splitlines()[-1],
    )
    done = wss(*words, "40")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "wss: error: --fail-under 40: mIoU lies between 0 and 1"
    done = wss("eval", voc / "guess", "--data", voc, "--split", "train", "--classes", "dog", "--fail-under", "0")
    assert done.returncode == 4  # no class to average is no success
    assert done.stderr.splitlines()[-1] == (
        f"wss: error: {voc / 'guess'}: none of the classes occurs on split train, so nothing reaches --fail-under 0"
    )


def test_json_and_csv_do_not_share_stdout(voc, wss):
    done = wss("eval", voc / "guess", "--data", voc, "--split", "train", "--json", "--csv", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "wss: error: --json and --csv -: both would go to stdout; give --csv a file\n"


def test_errors_are_one_line(voc, tmp_path):
    done = process("eval", tmp_path / "none", "--data", voc, "--split", "train", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"wss: error: {tmp_path / 'none'}: no such directory\n"


def test_export(voc, wss, tmp_path):
    done = wss("export", "voc-server", voc / "SegmentationClass", "-o", tmp_path / "a.tgz")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'a.tgz'}\n")
    assert wss("export", "voc-server", voc / "guess", "-o", tmp_path / "b.tgz").returncode == 1
    assert not (tmp_path / "b.tgz").exists()
