"""Killed with SIGKILL at random moments and run again, a training ends with the bytes of the undisturbed one."""

import multiprocessing
import random
import shutil
import time
from functools import partial

import pytest
import torch

from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.train_cls import train_cls
from wsscli.steps.train_seg import train_seg

pytestmark = pytest.mark.slow

KILLS = 10


def training(step, root, source, out):
    """What is killed: one training, in a process of its own."""
    how = Training(iterations=30, batch_size=2, crop_size=33, device="cpu", log_every=3, checkpoint_seconds=0.02)
    net = {"arch": "student"} if step == "student" else {"backbone": "tiny", "init": "none"}
    options = {**net, "training": how, "data": Data(root, split="train"), "run": Run(workers=2)}
    if step == "train-seg":
        return partial(with_two_threads, train_seg, source, out, **options)
    return partial(train_cls, out, **options) if step == "train-cls" else partial(train_seg, source, out, **options)


def with_two_threads(step, *words, **options):
    torch.set_num_threads(2)  # however many the tests themselves have
    step(*words, **options)


def files(out):
    return {p.name: p.read_bytes() for p in out.iterdir() if p.name != "log.jsonl"}


@pytest.mark.parametrize("step", ["train-cls", "train-seg", "student"])
def test_killed_and_run_again(scenes, step):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "timm", "torchvision", "wsscli.train.loop", "wsscli.nets.store"])

    def start(out):
        process = context.Process(target=training(step, scenes.root, source, out))
        process.start()
        return process

    source = scenes.masks("loose")
    whole = scenes.out / "whole"
    first = start(scenes.out / "warm-up")  # the fork server's imports take time once
    first.join()
    begun = time.monotonic()
    undisturbed = start(whole)
    undisturbed.join()
    seconds = time.monotonic() - begun
    assert undisturbed.exitcode == 0
    expected = files(whole)
    rng, out, kills, ends = random.Random(step), scenes.out / "killed", 0, 0
    while kills < KILLS or ends == 0:
        process = start(out)
        process.join(rng.uniform(0, seconds) if kills < KILLS else None)
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
            continue
        assert process.exitcode == 0
        assert files(out) == expected
        ends += 1
        if kills < KILLS:
            shutil.rmtree(out)
