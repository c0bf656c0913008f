"""README's chains run as they stand there, through bash, on the tiny set."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wsscli.data.generated import write_generated

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
NAMES = {"ball": "aeroplane", "crate": "bicycle", "fish": "bird", "starfish": "boat"}
BLOCKS = re.findall(r"<!-- tested -->\n```bash\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder as README's reader has it: a VOC devkit, photos in a folder per class, some new photos."""
    root = tmp_path_factory.mktemp("readme")
    write_generated(root / "VOC2012", preset="tiny")
    # under VOC's names of the same ids, which the ImageNet classifier knows
    (root / "VOC2012" / "classes.txt").unlink()
    for path in (root / "VOC2012" / "Annotations").glob("*.xml"):
        path.write_text(re.sub(r"<name>(\w+)</name>", lambda m: f"<name>{NAMES[m[1]]}</name>", path.read_text()))
    from wsscli.data.dataset import open_dataset

    data = open_dataset(root / "VOC2012", split="train")
    for name in data.ids:
        source = data.image_path(name)
        folder = root / "photos" / data.classes.names[data.labels(name)[0]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / source.name).write_bytes(source.read_bytes())
    (root / "new_photos").mkdir()
    for name in data.ids[:2]:
        source = data.image_path(name)
        (root / "new_photos" / source.name).write_bytes(source.read_bytes())
    return root


def bash(script, cwd, wss=Path(sys.executable).parent):
    """Runs a script; `wss` is the one in the folder `wss`, as a rule the installed one."""
    path = f"{wss}:{os.environ['PATH']}"
    env = {k: v for k, v in os.environ.items() if not k.startswith("WSS_")} | {"PATH": path}
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def test_there_are_chains():
    assert len(BLOCKS) == 3 and all("wss make-seeds" in block for block in BLOCKS)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3), ids=["chain", "own photos", "no training"])
def test_a_chain_runs_as_it_stands(place, number, warm_wss):
    done = bash(BLOCKS[number], place, warm_wss) if number < 2 else bash(BLOCKS[number], place)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if number == 0:
        numbers = json.loads((place / "val.json").read_text())
        assert numbers["split"] == "val" and 0 <= numbers["rows"][0]["miou"] <= 1
        assert (place / "crf.html").stat().st_size > 10_000
    if number == 1:
        assert len(list((place / "runs/own/new/masks").glob("*.png"))) == 2


@pytest.mark.slow
def test_a_failing_step_fails_the_pipe(place):
    done = bash("wss crf nothing -o runs/x | wss grabcut - -o runs/y | wss eval - --split train", place)
    assert done.returncode != 0 and done.stdout == ""
    assert "nothing: no such directory" in done.stderr and "Traceback" not in done.stderr
    assert not (place / "runs" / "y").exists()
