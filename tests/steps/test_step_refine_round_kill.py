"""Killed with SIGKILL in any of its parts and run again, `refine-round` ends with the bytes of the undisturbed one."""

import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from wsscli.maskdir.manifest import read_manifest
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.refine_round import refine_round
from wsscli.steps.verify import problems

pytestmark = pytest.mark.slow

# where it is killed: as soon as this is there
PLACES = [
    "round-1/wss.json",
    "round-1/model/last.ckpt",
    "round-1/model/model.safetensors",
    "round-1/predicted/masks/b.png",
    "round-1/refined/masks/a.png",
    "round-1/cut/masks/a.png",
    "round-1/masks/a.png",
    "round-2/model/last.ckpt",
    "round-2/cut/masks/c.png",
    "rounds.csv",
]


def work(source, out, stop):
    """Two rounds; the process kills itself when `stop` has been written."""
    if stop is not None:
        replace = Path.replace

        def killing(self, target):
            moved = replace(self, target)
            if Path(target) == out / stop:
                os.kill(os.getpid(), signal.SIGKILL)
            return moved

        Path.replace = killing
    how = Training(iterations=12, batch_size=4, crop_size=65, lr=5e-3, device="cpu", bf16=False, scale_range="none",
                   jitter=0.0, checkpoint_seconds=0.02)  # fmt: skip
    refine_round(
        source, out, rounds=2, backbone="tiny", first_init="none", label_count="all", min_foreground=0.0,
        max_foreground=1.0, watch="truth", training=how, run=Run(workers=2),
    )  # fmt: skip


def files(out):
    return {
        str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and p.name != "log.jsonl"
    }


@pytest.fixture
def start():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "timm", "torchvision", "wsscli.train.loop", "wsscli.nets.store"])

    def go(*arguments):
        process = context.Process(target=partial(work, *arguments))
        process.start()
        return process

    return go


def assert_same(torn, whole):
    """Equal files, and manifests that differ in paths only."""
    found, expected = files(torn), files(whole)
    assert found.keys() == expected.keys()
    for name in expected:
        if name.endswith("wss.json"):
            assert read_manifest((torn / name).parent).digest() == read_manifest((whole / name).parent).digest(), name
        else:
            assert found[name] == expected[name], name


def test_killed_in_every_part(scenes, start):
    source = scenes.masks("loose")
    whole, torn = scenes.out / "whole", scenes.out / "torn"
    undisturbed = start(source, whole, None)
    undisturbed.join()
    assert undisturbed.exitcode == 0
    for place in PLACES:  # one after the other in the same directory
        process = start(source, torn, place)
        process.join()
        assert process.exitcode == -signal.SIGKILL, place
        assert (torn / place).exists()
    process = start(source, torn, None)
    process.join()
    assert process.exitcode == 0
    assert_same(torn, whole)
    assert list(problems(torn)) == []


def test_killed_while_it_replaces_another(scenes, start):
    """Under --overwrite no part of the old one may be taken for the new one's."""
    source = scenes.masks("loose")
    whole, torn = scenes.out / "whole", scenes.out / "torn"
    for out in (whole, torn):
        process = start(source, out, None)
        process.join()
        assert process.exitcode == 0
    context = multiprocessing.get_context("forkserver")
    killed = context.Process(target=partial(replacing, source, torn))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert '"complete": false' in (torn / "wss.json").read_text()
    process = start(source, torn, None)
    process.join()
    assert process.exitcode == 0
    assert_same(torn, whole)


def replacing(source, out):
    """Begin to overwrite, and be killed when one of the parts is gone."""
    import shutil

    remove = shutil.rmtree

    def killing(path, *more, **options):
        remove(path, *more, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    shutil.rmtree = killing
    refine_round(
        source, out, rounds=2, backbone="tiny", first_init="none", label_count="all", hidden=8,
        run=Run(workers=2, overwrite=True), training=Training(iterations=2, batch_size=4, crop_size=65, device="cpu"),
    )  # fmt: skip
