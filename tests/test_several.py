"""Steps in three processes of the real command line, one of them killed (SIGKILL): an undisturbed process's bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsscli.data.generated import write_generated
from wsscli.maskdir.manifest import read_manifest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import killed
from killed import STEPS, files, finish

pytestmark = pytest.mark.slow
PYTHON = [sys.executable, "-m"]
TORCHRUN = [*PYTHON, "torch.distributed.run", "--standalone", "--nproc-per-node", "3", "-m"]
CHAIN = ("train-cls", "make-seeds", "crf", "train-seg", "predict", "train-det", "detect")


@pytest.fixture(scope="module")
def places(tmp_path_factory, start_wss):
    """What one process makes of each step, by the step's name."""
    root = tmp_path_factory.mktemp("several")
    write_generated(root / "voc", preset="tiny")
    made = {"voc": root / "voc"}
    before, killed.WSS = killed.WSS, [str(start_wss() / "wss")]
    for step in CHAIN:
        made[step] = root / step
        finish(words(step, made), made[step])
    killed.WSS = before
    return made


def words(step, places):
    return [word.format(**{name: str(path) for name, path in places.items()}) for word in STEPS[step].split()]


def start(launcher, step, places, out, *more):
    command = [*launcher, "wsscli", *words(step, places), "--workers", "1", "-o", str(out), *more]
    environment = {k: v for k, v in killed.ENVIRONMENT.items() if k not in ("RANK", "WORLD_SIZE")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_once_begun(journal, process):
    """Kill the process that writes a journal as soon as it has begun it."""
    while process.poll() is None:
        if journal.exists() and (lines := journal.read_text().splitlines()):
            pid = json.loads(lines[0])["pid"]
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.002)
    raise AssertionError(process.communicate())


@pytest.mark.parametrize("step", ["make-seeds", "predict", "detect"])
def test_three_ranks_one_killed(places, tmp_path, step):
    out = tmp_path / step
    launched = start(TORCHRUN, step, places, out)
    kill_once_begun(out / ".shards/2-of-3.jsonl", launched)
    said, errors = launched.communicate()
    assert launched.returncode and not said, errors
    assert not read_manifest(out).complete
    again = start(TORCHRUN, step, places, out)
    said, errors = again.communicate()
    assert again.returncode == 0 and said == f"{out}\n", errors
    assert files(out) == files(places[step])


def test_three_shards_one_killed(places, tmp_path):
    out = tmp_path / "crf"
    shards = [start(PYTHON, "crf", places, out, "--shard", f"{index}/3") for index in (1, 2, 3)]
    kill_once_begun(out / ".shards/2-of-3.jsonl", shards[1])
    for shard in shards:
        shard.communicate()
    assert [shard.returncode for shard in shards] == [0, -signal.SIGKILL, 0]
    closing = [*PYTHON, "wsscli", "verify", str(out), "--finish"]
    early = subprocess.run(closing, capture_output=True, text=True, check=False)
    assert early.returncode == 1 and "shard 2/3 was stopped before its end; run these shards again" in early.stderr
    again = start(PYTHON, "crf", places, out, "--shard", "2/3")
    assert again.communicate()[0] == f"{out}\n"
    done = subprocess.run(closing, capture_output=True, text=True, check=True)
    assert done.stdout == f"{out}\n"
    assert files(out) == files(places["crf"])
