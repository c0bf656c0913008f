"""CPU steps on a Dask cluster: two worker processes on this machine, with another working directory than the run's."""

import logging
import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from wsscli.classes import ClassTable
from wsscli.data.generated import write_generated
from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.writer import Output
from wsscli.steps import _cluster
from wsscli.steps._clips import Clips
from wsscli.steps._cluster import Cluster, chunked, in_order, packed
from wsscli.steps._data import Data
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.argmax import argmax
from wsscli.steps.crf import crf
from wsscli.steps.eval import Part, evaluate
from wsscli.steps.grabcut import grabcut
from wsscli.steps.grow import grow
from wsscli.steps.guided_filter import guided_filter
from wsscli.steps.propose import propose
from wsscli.steps.saliency import saliency

IDS = [f"i{k:02}" for k in range(64)]
NOWHERE = Cluster("dask://127.0.0.1:1")


@pytest.fixture(scope="module")
def cluster():
    """A worker may die once over a chunk."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as started,
    ):
        yield started


@pytest.fixture
def on(cluster):
    """A worker is there, also after a test that has killed some."""
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=300)
    return Cluster(cluster.scheduler_address.replace("tcp://", "dask://"))


def plan(out):
    return Plan("crf", out, "masks", {"iterations": 3}, ClassTable.of(["cat"]))


STEPS = {
    "saliency": lambda at, out, on: saliency(out, data=Data(Path("devkit"), "train"), on=on),
    "propose": lambda at, out, on: propose(
        out, method="selective-search", count=20, data=Data(Path("devkit"), "train"), on=on
    ),
    "argmax": lambda at, out, on: argmax(Path("cams"), out, on=on),
    "crf": lambda at, out, on: crf(Path("cams"), out, scores=True, on=on),
    "crf of masks": lambda at, out, on: crf(Path("loose"), out, on=on),
    "grabcut": lambda at, out, on: grabcut(Path("loose"), out, on=on),
    "guided-filter": lambda at, out, on: guided_filter(Path("cams"), out, on=on),
    "guided-filter of masks": lambda at, out, on: guided_filter(Path("loose"), out, on=on),
    "grow": lambda at, out, on: grow(Path("loose"), out, scores=Path("probable"), on=on),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_step_makes_the_same_bytes(scenes, on, step, monkeypatch, tree):
    scenes.masks("loose"), scenes.cams("cams"), scenes.probabilities("probable")
    monkeypatch.chdir(scenes.out)
    here = STEPS[step](scenes, Path("here"), Cluster())
    there = STEPS[step](scenes, Path("there"), on)
    assert tree(there) == tree(here) and len(tree(here)) == 5 + 4 * (step == "crf")


@pytest.mark.slow
def test_saliency_of_clips(tmp_path, on, tree):
    write_generated(tmp_path / "voc", images=6, val=1, size=(40, 60))
    for k, photo in enumerate(sorted((tmp_path / "voc/JPEGImages").glob("*.jpg"))[:6]):
        folder = tmp_path / "clips" / f"c{k % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        photo.rename(folder / f"f{k}.jpg")
    data = Data(tmp_path / "clips")
    here, there = (
        saliency(tmp_path / name, video=True, data=data, on=where) for name, where in (("h", Cluster()), ("t", on))
    )
    assert tree(there) == tree(here) and len(tree(here)) == 7


@pytest.mark.slow
def test_eval_counts_the_same(scenes, on):
    loose, other = scenes.masks("loose"), scenes.masks("other", lambda name: scenes.loose(name, 5))
    for options in ({"bootstrap": True, "boundary": True}, {"foreground": True}):
        here, there = (evaluate([loose, other], on=where, **options) for where in (Cluster(), on))
        assert there.to_json() == here.to_json() and there.rows[0].numbers[here.measure[0]] > 0.5
    found = propose(scenes.out / "regions", count=20, data=Data(scenes.root, "train"))
    here, there = (evaluate([found], proposals=True, on=where) for where in (Cluster(), on))
    assert there.to_json() == here.to_json()


@pytest.mark.slow
def test_failures_of_images(tmp_path, on, message):
    def work(name):
        if name == "i03":
            raise WssError("photos/i03.jpg: truncated")
        return Output(mask=np.zeros((2, 3), np.uint8))

    assert message(WssError, per_image, plan(tmp_path / "a"), Run(), IDS, work, on=on) == "photos/i03.jpg: truncated"
    assert not read_manifest(tmp_path / "a").complete
    text = message(PartialError, per_image, plan(tmp_path / "b"), Run(keep_going=True, workers=1), IDS, work, on=on)
    assert "1 of 64 images failed" in text
    assert read_manifest(tmp_path / "b").dropped == ({"id": "i03", "reason": "failed: photos/i03.jpg: truncated"},)


@pytest.mark.slow
def test_other_versions_there(tmp_path, on, monkeypatch, message):
    from importlib.metadata import version

    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1" if name == "Pillow" else version(name))
    text = message(WssError, per_image, plan(tmp_path), Run(), IDS, str, on=on)
    assert text.startswith("worker tcp://127.0.0.1:")
    assert text.endswith(
        f": Pillow is {version('Pillow')} there and 0.1 here; install the same versions on all machines"
    )


@pytest.mark.slow
def test_a_scheduler_without_workers(tmp_path, monkeypatch, message):
    monkeypatch.setattr(_cluster, "_CONNECT", 3)
    with LocalCluster(n_workers=0, dashboard_address=None, processes=True) as cluster:
        on = Cluster(cluster.scheduler_address.replace("tcp://", "dask://"))
        text = message(WssError, per_image, plan(tmp_path), Run(), IDS, str, on=on)
    start = on.cluster.removeprefix("dask://")
    assert text == f"--cluster {on.cluster}: the scheduler has no workers; start some with `dask worker {start}`"


@pytest.mark.parametrize("silent", [True, False])
def test_nobody_answers(tmp_path, monkeypatch, silent, message):
    monkeypatch.setattr(_cluster, "_CONNECT", 1)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if silent:  # takes the connection and says nothing
            server.listen()
        on = Cluster(f"dask://127.0.0.1:{server.getsockname()[1]}")
        text = message(WssError, per_image, plan(tmp_path), Run(), IDS, str, on=on)
    assert text == (
        f"--cluster {on.cluster}: no Dask scheduler answers there within 1 seconds; start one with `dask scheduler`, or "
        "check host and port"
    )


def test_without_dask(tmp_path, monkeypatch, message):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    text = message(WssError, per_image, plan(tmp_path), Run(), IDS, str, on=NOWHERE)
    assert text.startswith("--cluster dask://127.0.0.1:1: Dask is not installed here (")
    assert text.endswith("); pip install 'wsscli[dask]'")


@pytest.mark.parametrize("text", ["10.0.0.1:8786", "dask://10.0.0.1", "tcp://a:1", "dask://a:b", "dask://a:1/x"])
def test_what_is_no_scheduler(tmp_path, text, message):
    for call in (
        lambda: per_image(plan(tmp_path), Run(dry_run=True), IDS, str, on=Cluster(text)),
        lambda: evaluate([tmp_path], part=Part(dry_run=True), on=Cluster(text)),
        lambda: evaluate([tmp_path], proposals=True, on=Cluster(text)),
    ):
        assert message(UsageError, call) == f"--cluster {text}: give the scheduler as dask://HOST:PORT"


def test_what_is_a_scheduler():
    assert Cluster().scheduler is None
    assert Cluster("dask://node-1.lan:8786").scheduler == "tcp://node-1.lan:8786"
    assert Cluster("dask://[fe80::1]:8786").scheduler == "tcp://[fe80::1]:8786"


def test_a_dry_run_asks_no_scheduler(tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    per_image(plan(tmp_path / "out"), Run(dry_run=True), IDS, str, on=NOWHERE)
    assert "would read images only (64 images" in caplog.text


def test_eval_of_boxes_is_no_work_for_a_cluster(tmp_path, message):
    text = message(UsageError, evaluate, [tmp_path], detections=True, on=NOWHERE)
    assert text == "--cluster: does not go with --detections; leave one of them out"


def test_a_cluster_that_goes_away(monkeypatch, message):
    client = SimpleNamespace(status="running", nthreads=lambda: {"a": 2})
    assert _cluster._idle(client, NOWHERE, 5.0) == 0
    client.nthreads = dict
    since = _cluster._idle(client, NOWHERE, 0)
    assert since > 0 and _cluster._idle(client, NOWHERE, since) == since
    monkeypatch.setattr(_cluster, "PATIENCE", 0)
    assert message(WssError, _cluster._idle, client, NOWHERE, since) == (
        "--cluster dask://127.0.0.1:1: for 0 seconds no worker is left; start some and run the same command again, it "
        "goes on where it stopped"
    )
    client.status = "closed"
    assert message(WssError, _cluster._idle, client, NOWHERE, since) == (
        "--cluster dask://127.0.0.1:1: the connection to the scheduler is lost; start it again and run the same "
        "command, it goes on where it stopped"
    )


def test_a_worker_without_wsscli(message):
    lacks = ModuleNotFoundError("No module named 'wsscli'")
    client = SimpleNamespace(
        wait_for_workers=lambda n, timeout: None,
        run=lambda call, on_error: {"tcp://a:1": OSError("gone"), "tcp://b:1": lacks},
    )
    end = "cannot import what the step needs (No module named 'wsscli'); install the same wsscli there"
    assert message(WssError, _cluster._check_workers, client, NOWHERE, {}) == f"worker tcp://b:1: {end}"

    def result(timeout):
        raise lacks

    future = SimpleNamespace(result=result)
    assert message(WssError, _cluster._result, future, NOWHERE, IDS) == f"worker of the cluster: {end}"


def test_chunks_hold_every_image_once_and_are_small_where_there_is_little():
    for n, threads, most in ((1, 4, 1), (64, 2, 4), (1000, 2, 32), (1000, 0, 32), (7, 100, 1)):
        names = [str(k) for k in range(n)]
        chunks = list(chunked(names, threads))
        assert [name for chunk in chunks for name in chunk] == names and max(map(len, chunks)) == most


def test_workers_below_zero(tmp_path, message):
    text = message(UsageError, per_image, plan(tmp_path), Run(workers=-1), IDS, str, on=NOWHERE)
    assert text == "--workers -1: give 0 (one a core) or more"


def test_results_in_order():
    found = []
    put = in_order(found.append)
    for number in (2, 0, 3, 1):
        put(number, f"r{number}")
    assert found == ["r0", "r1", "r2", "r3"]


def test_paths_are_absolute_when_they_travel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, absolute = Path("voc"), tmp_path / "x"
    call = _cluster._unpacked(packed(lambda: (data, absolute, {"in": [data]})))
    assert call() == (tmp_path / "voc", absolute, {"in": [tmp_path / "voc"]})


def test_clips_travel(tmp_path):
    dataset = SimpleNamespace(ids=("c/f1", "c/f2"))
    clips = _cluster._unpacked(packed(Clips(dataset, 3, keep_going=True)))
    assert (clips.frames, clips.most, clips.keep_going) == ({"c": ["c/f1", "c/f2"]}, 3, True)
    assert set(clips._making) == {"c"} and not clips._known


# last, for workers take a while to come back


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_the_image_in_hand(tmp_path, on, tree):
    calls = tmp_path / "calls"
    calls.mkdir()

    def work(name):
        first = not list(calls.glob(f"{name}-*"))
        (calls / f"{name}-{os.getpid()}").touch()
        if name == "i13" and first:  # the second of its chunk
            os.kill(os.getpid(), signal.SIGKILL)
        return Output(mask=np.full((2, 3), int(name[1:]) % 2, np.uint8))

    there = per_image(plan(tmp_path / "there"), Run(), IDS, work, on=on)
    made = sorted(path.name.split("-")[0] for path in calls.iterdir())
    assert made == sorted([*IDS, "i13"])  # nothing twice but what was in the dead one's hands
    here = per_image(plan(tmp_path / "here"), Run(), IDS, work)
    assert tree(there) == tree(here) and len(tree(here)) == 65


@pytest.mark.slow
def test_images_that_kill_every_worker(tmp_path, on, monkeypatch, message, tree):
    monkeypatch.setattr(_cluster, "PATIENCE", 600)  # on a busy machine they take long to come back

    def work(name):
        if name == "i13":
            os.kill(os.getpid(), signal.SIGKILL)
        return Output(mask=np.zeros((2, 3), np.uint8))

    text = message(WssError, per_image, plan(tmp_path / "out"), Run(), IDS, work, on=on)
    assert text.startswith(f"--cluster {on.cluster}: workers die again and again, the last one (tcp://127.0.0.1:")
    assert text.endswith(
        "' in hand; its log says why (out of memory, most often: fewer threads a worker), then run the same command again"
    )

    def harmless(name):
        return Output(mask=np.zeros((2, 3), np.uint8))

    per_image(plan(tmp_path / "out"), Run(), IDS, harmless)  # and here it goes on
    per_image(plan(tmp_path / "here"), Run(), IDS, harmless)
    assert tree(tmp_path / "out") == tree(tmp_path / "here")
