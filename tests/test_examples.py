"""The examples run on the tiny set."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wsscli.data.dataset import open_dataset
from wsscli.data.generated import write_generated
from wsscli.maskdir.maskdir import open_maskdir

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
QUICK = {"BACKBONE": "tiny", "CLS": "--init none --epochs 2", "SEG": "--init none --epochs 2"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    return write_generated(tmp_path_factory.mktemp("examples") / "VOC2012", preset="tiny")


def bash(script, cwd, **variables):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WSS_")}
    env = clean | variables | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_cam_chain(voc, tmp_path):
    script = f"{EXAMPLES / 'cam_chain.sh'} {voc} runs/cam"
    done = bash(script, tmp_path, **QUICK)
    assert done.returncode == 0, done.stderr
    for name in ("seeds", "cam", "crf", "grabcut", "probs", "grown", "val"):
        assert open_maskdir(tmp_path / "runs" / "cam" / name).ids
    assert "split train" in done.stderr and "split val" in done.stderr
    again = bash(script, tmp_path, **QUICK)
    assert again.returncode == 0 and again.stderr.count("nothing to do") == 9


def test_own_photos(voc, tmp_path):
    data = open_dataset(voc, split="train")
    for name in data.ids:
        folder = tmp_path / "photos" / data.classes.names[data.labels(name)[0]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jpg").write_bytes(data.image_path(name).read_bytes())
    done = bash(f"{EXAMPLES / 'own_photos.sh'} photos runs/own", tmp_path, **QUICK)
    assert done.returncode == 0, done.stderr
    assert len(open_maskdir(tmp_path / "runs" / "own" / "new").ids) == len(data.ids)
    assert (tmp_path / "runs" / "own" / "new.html").stat().st_size > 10_000


@pytest.mark.parametrize(("floor", "code"), [("0.40", 0), ("0.999", 4)])
def test_github_actions(voc, tmp_path, floor, code):
    """Its `wss` lines, with its variables: true masks pass, worse ones fail with 4."""
    text = (EXAMPLES / "github_actions.yml").read_text()
    names = re.findall(r"^      ([A-Z_]+): ", text, re.MULTILINE)
    assert names == ["WSS_DATA", "MASKS", "FLOOR"]
    lines = re.findall(r"run: (wss .*)", text)
    assert len(lines) == 2
    masks = tmp_path / "masks"
    bash(f"wss import masks {voc}/SegmentationClass --data {voc} --split val -o {masks}", tmp_path)
    if code:  # worse ones
        bash(f"wss grabcut {masks} -o {masks}-worse", tmp_path)
        masks = tmp_path / "masks-worse"
    script = "set -euo pipefail\n" + "\n".join(lines)
    done = bash(script, tmp_path, WSS_DATA=str(voc), MASKS=str(masks), FLOOR=floor)
    assert done.returncode == code, done.stderr
    assert json.loads((tmp_path / "eval.json").read_text())["split"] == "val"
