"""Killed with SIGKILL at random moments and run again, a training ends with the bytes of the undisturbed one."""

import multiprocessing
import random
import shutil
import time
from functools import partial

import numpy as np
import pytest
import torch

from wsscli.data.dataset import open_dataset
from wsscli.maskdir.proposals import ProposalSet
from wsscli.maskdir.writer import Output
from wsscli.steps._data import Data, data_ref
from wsscli.steps._hcp import Hcp
from wsscli.steps._run import Plan, Run, per_image
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
    if step == "hcp":
        options |= {"arch": "hcp", "hcp": Hcp(source, hypotheses=4), "val_split": "none"}
    if step == "train-seg":
        return partial(with_two_threads, train_seg, source, out, **options)
    if step in ("train-cls", "hcp"):
        return partial(train_cls, out, **options)
    return partial(train_seg, source, out, **options)


def proposals(scenes):
    """Nine boxes of every photo."""
    dataset = open_dataset(scenes.root, split="train")

    def work(name):
        masks = np.zeros((9, *dataset.size(name)), bool)
        for number, mask in enumerate(masks):
            mask[10 * (number // 3) :, 12 * (number % 3) :] = True
        return Output(proposals=ProposalSet.of_masks(masks, np.arange(9)[::-1]))

    plan = Plan("propose", scenes.out / "proposals", "proposals", {}, None, data_ref(dataset), "train")
    return per_image(plan, Run(workers=1), scenes.ids, work)


def with_two_threads(step, *words, **options):
    torch.set_num_threads(2)  # however many the tests themselves have
    step(*words, **options)


def files(out):
    """The log has times; of a training of two stages the first one's folder keeps its own."""
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "log.jsonl"}


@pytest.mark.parametrize("step", ["train-cls", "hcp", "train-seg", "student"])
def test_killed_and_run_again(scenes, step):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "timm", "torchvision", "wsscli.train.loop", "wsscli.nets.store"])

    def start(out):
        process = context.Process(target=training(step, scenes.root, source, out))
        process.start()
        return process

    source = proposals(scenes) if step == "hcp" else scenes.masks("loose")
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
