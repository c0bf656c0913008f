"""A full disk, a place that cannot be written: one clear line, nothing half-written, and the same command goes on."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask

CLASSES = ["--class-names", "cat,dog"]


def wss(*words, command=(sys.executable, "-m", "wsscli")):
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def masks(tmp_path):
    """Masks that do not compress: about 40 KB each."""
    rng = np.random.default_rng(0)
    for k in range(8):
        write_mask(tmp_path / "masks" / f"{k}.png", rng.integers(0, 3, (400, 400), np.uint8))
    return tmp_path / "masks"


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def whole(root):
    """Every PNG under a name of its own can be read."""
    for path in root.rglob("*.png"):
        if not path.name.startswith("."):
            np.asarray(Image.open(path))
    return list(root.rglob("*.part"))


def test_a_full_disk(masks, small_disk):
    out = small_disk / "out"
    done = wss("import", "masks", masks, *CLASSES, "-o", out)
    assert done.returncode == 1 and done.stdout == ""
    assert "cannot write" in done.stderr and "No space left on device; free some space and run the same" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert whole(out) == []
    subprocess.run(["mount", "-o", "remount,size=2m", small_disk], check=True)
    assert wss("import", "masks", masks, *CLASSES, "-o", out).returncode == 0
    assert len(open_maskdir(out).ids) == 8


def test_a_disk_without_room_for_a_manifest(masks, small_disk):
    (small_disk / "ballast").write_bytes(b"0" * 159_000)
    done = wss("import", "masks", masks, *CLASSES, "-o", small_disk / "out")
    assert done.returncode == 1 and "No space left on device" in done.stderr


@pytest.mark.parametrize("place", ["/proc/wss-out", "/dev/null/out"])
def test_a_place_that_cannot_be_written(masks, place):
    done = wss("import", "masks", masks, *CLASSES, "-o", place)
    assert done.returncode == 1 and "cannot write" in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_place(masks, tmp_path):
    tmp_path.chmod(0o500)
    done = wss("import", "masks", masks, *CLASSES, "-o", tmp_path / "out")
    tmp_path.chmod(0o700)
    assert done.returncode == 1 and "choose another -o, or make it writable" in done.stderr


@pytest.mark.slow
def test_a_full_disk_under_a_training(small_disk, tmp_path, warm_wss):
    from wsscli.data.generated import write_generated

    write_generated(tmp_path / "voc", preset="tiny")
    words = ["train-cls", "--data", tmp_path / "voc", "--split", "train", "--backbone", "tiny", "--init", "none"]
    words += ["--epochs", "2", "--val-split", "none", "-o", small_disk / "cls"]
    (small_disk / "ballast").write_bytes(b"0" * 130_000)
    done = wss(*words, command=[warm_wss / "wss"])
    assert done.returncode == 1 and "No space left on device; free some space" in done.stderr
    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert wss(*words, command=[warm_wss / "wss"]).returncode == 0
