"""Trainings in several processes, as steps: who writes, what is refused, and a whole one under torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wsscli.errors import ToldElsewhereError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.png import read_mask
from wsscli.steps import _ranks
from wsscli.steps._ranks import Follower, leads, open_training, training_device
from wsscli.steps._run import Job, Plan, Run
from wsscli.steps._train import Training, resolve
from wsscli.steps.train_seg import train_seg
from wsscli.train import ranks

CPU = torch.device("cpu")
SHORT = Training(
    iterations=6, batch_size=4, crop_size=33, device="cpu", bf16=False, log_every=2, dropout=0.0, scale_range="none"
)


def launch(monkeypatch, rank, world=2):
    for name, value in {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world}.items():
        monkeypatch.setenv(name, str(value))


def numbers(training, images=10):
    return resolve(training, "segmentation", images, backbone="tiny", init="none", output_stride=None, device=CPU)


@pytest.mark.parametrize(
    ("world", "options", "text"),
    [
        (3, {}, "--batch-size 4: is not 3 equal parts (3 processes, --accumulate 1); give a multiple of 3"),
        (2, {"accumulate": 4}, "--batch-size 4: is not 8 equal parts (2 processes, --accumulate 4); give a multiple of 8"),
        (1, {"accumulate": 3}, "--batch-size 4: is not 3 equal parts (1 processes, --accumulate 3); give a multiple of 3"),
        (1, {"accumulate": 0}, "--accumulate 0: give 1 or more"),
    ],
)  # fmt: skip
def test_a_batch_is_shared_equally(world, options, text, monkeypatch, message):
    launch(monkeypatch, 0, world)
    assert message(UsageError, numbers, replace(SHORT, **options)) == text


def test_the_number_of_processes_is_no_option(monkeypatch):
    alone = numbers(SHORT)
    assert "accumulate" not in alone and "compile" not in alone  # models made before have neither
    launch(monkeypatch, 1)
    assert numbers(SHORT) == alone
    assert numbers(replace(SHORT, accumulate=2, compile=True)) == alone | {"accumulate": 2, "compile": True}


def test_each_process_has_a_gpu_of_its_own(monkeypatch, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert training_device("auto") == torch.device("cuda")
    launch(monkeypatch, 1)
    assert training_device("auto") == training_device("cuda") == torch.device("cuda", 1)
    assert training_device("cpu") == CPU
    assert message(UsageError, training_device, "cuda:0") == (
        "--device cuda:0: of 2 processes each trains on a GPU of its own; give cuda, auto or cpu"
    )
    launch(monkeypatch, 2, world=4)
    assert message(WssError, training_device, "auto") == (
        "rank 2 of 4: number 3 of its host, where torch finds 2 CUDA devices; start at most one process a device, or "
        "pass --device cpu"
    )
    # srun can show each task one device only
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert training_device("cuda") == torch.device("cuda", 0)


class Told:
    """Two processes of which this is one; what rank 0 has said is given."""

    def __init__(self, rank, said=None):
        self.leads, self.said, self.heard = rank == 0, said, []

    def told(self, value):
        self.heard.append(value)
        return value if self.leads else self.said

    def hearing(self, directory):
        from contextlib import nullcontext

        return nullcontext()


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """What `open_training` gives, and whether a directory was made."""

    def found(rank, said=None, run=Run(), **options):
        launch(monkeypatch, rank)
        told = Told(rank, said)
        monkeypatch.setattr(ranks, "join", lambda device: told)
        plan = Plan("train-seg", tmp_path / "out", "model", {"lr": 1, **options})
        return told, lambda: open_training(plan, run, ["a"], CPU)

    return found


def test_the_first_process_has_the_directory_and_says_so(opened, tmp_path, message):
    told, call = opened(0)
    with call() as job:
        assert isinstance(job, Job) and told.heard == ["begun"] and leads()
        job.close()
    told, call = opened(0)
    assert call() is None and told.heard == ["done"]
    told, call = opened(0, lr=2)
    assert "was made with other options" in message(WssError, call) and told.heard == ["failed"]


def test_the_others_hold_nothing(opened, tmp_path, message):
    _, call = opened(1, "begun")
    with call() as job:
        assert job == Follower(tmp_path / "out") and not leads()
        job.put("a", None)
        assert job.close(files=["x"], model={}) == tmp_path / "out"
    assert opened(1, "done")[1]() is None
    assert message(ToldElsewhereError, opened(1, "failed")[1]) == f"{tmp_path / 'out'}: rank 0 could not begin it"
    assert not (tmp_path / "out").exists()


def test_a_dry_run_joins_nobody(opened, tmp_path):
    for rank in range(2):
        told, call = opened(rank, run=Run(dry_run=True))
        assert call() is None and told.heard == [] and not (tmp_path / "out").exists()


WORDS = """
    train-seg seeds --loss balanced-seed --grow --watch-supervision truth --snapshot-supervision b --backbone tiny
    --init none --loss-step 4 --crop-size 65 --scale-range none --dropout 0 --batch-size 2 --lr 0.005 --device cpu
    --no-bf16 --log-every 2 --checkpoint-seconds 0 --workers 1 --iterations
"""


def torchrun(where, *words, processes=2):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [*command, "-m", "wsscli", *map(str, words)], cwd=where, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def children(process):
    """The processes that torchrun has started, by rank."""
    found = {}
    for number in subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split():
        try:
            variables = Path(f"/proc/{number}/environ").read_text().split("\0")
        except OSError:
            continue
        found |= {int(v.removeprefix("RANK=")): int(number) for v in variables if v.startswith("RANK=")}
    return found


def kinds(out):
    return [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_whole_training_killed_and_finished(seeded):
    from safetensors.torch import load_file

    where = seeded.out
    alone = torchrun(where, *WORDS.split(), 40, "-o", "alone", processes=1)
    said = alone.communicate()
    assert alone.returncode == 0 and said[0] == "alone\n", said[1]

    first = torchrun(where, *WORDS.split(), 40, "-o", "two")
    while not (where / "two" / "last.ckpt").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    os.kill(children(first)[1], signal.SIGKILL)
    out, errors = first.communicate()
    assert first.returncode != 0 and out == ""
    assert "no word from the other 1 of 2 processes any more" in errors or "wss: stopped; the same command" in errors
    assert not read_manifest(where / "two").complete and (where / "two" / "last.ckpt").exists()

    second = torchrun(where, *WORDS.split(), 40, "-o", "two")
    out, errors = second.communicate()
    assert second.returncode == 0 and out == "two\n", errors  # once
    assert "going on at iteration" in errors
    assert kinds(where / "two").count("processes") == 2
    found, expected = (load_file(where / name / "model.safetensors") for name in ("two", "alone"))
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-3)
    names = {p.relative_to(where / "alone") for p in (where / "alone").rglob("*")}
    assert {p.relative_to(where / "two") for p in (where / "two").rglob("*")} == names
    assert read_manifest(where / "two").options == read_manifest(where / "alone").options

    again = torchrun(where, *WORDS.split(), 40, "-o", "two")
    out, errors = again.communicate()
    assert again.returncode == 0 and out == "two\n" and errors.count("nothing to do") == 1
    other = torchrun(where, *WORDS.split(), 41, "-o", "two")
    out, errors = other.communicate()
    assert other.returncode != 0 and out == "" and errors.count("was made with other options") == 1


@pytest.mark.slow
def test_rounds_of_two_processes(scenes):
    where = scenes.out
    scenes.masks("loose", supervision=["unlabelled-images"])
    words = """
        refine-round loose --rounds 2 --label-count all --min-foreground 0 --max-foreground 1 --watch truth
        --backbone tiny --first-init none --iterations 20 --batch-size 4 --crop-size 65 --lr 0.005 --dropout 0
        --scale-range none --jitter 0 --no-bf16 --device cpu --workers 1
    """.split()  # noqa: SIM905 - a command line
    outs = {}
    for name, processes in (("alone", 1), ("two", 2)):
        run = torchrun(where, *words, "-o", name, processes=processes)
        outs[name], errors = run.communicate()
        assert run.returncode == 0 and outs[name] == f"{name}/round-2\n", errors
    files = [{p.relative_to(where / name) for p in (where / name).rglob("*")} for name in outs]
    assert files[0] == files[1]
    for k in (1, 2):
        found, expected = (read_manifest(where / name / f"round-{k}") for name in ("two", "alone"))
        assert found.complete and found.options == expected.options
        for image in scenes.ids:
            masks = [read_mask(where / name / f"round-{k}" / "masks" / f"{image}.png") for name in ("two", "alone")]
            assert (masks[0] == masks[1]).mean() > 0.98
    again = torchrun(where, *words, "-o", "two")
    out, errors = again.communicate()
    assert again.returncode == 0 and out == "two/round-2\n" and errors.count("nothing to do") == 1


def test_compiled_and_in_parts(scenes, monkeypatch, message):
    """torch.compile itself is slow: what is asked of it, and what becomes of its failures."""
    from torch._dynamo.exc import TorchDynamoException

    asked = []

    def fake(function):
        asked.append(function)
        return function

    monkeypatch.setattr(torch, "compile", fake)
    source = scenes.masks("loose")
    options = {"backbone": "tiny", "init": "none", "run": Run(workers=1)}
    how = replace(SHORT, batch_size=2, compile=True, accumulate=2)
    out = train_seg(source, scenes.out / "seg", training=how, **options)
    assert len(asked) == 1
    assert {"compile": True, "accumulate": 2}.items() <= read_manifest(out).options.items()

    def broken(function):
        def fails(*batch):
            raise TorchDynamoException("no g++\nmore")

        return fails

    monkeypatch.setattr(torch, "compile", broken)
    assert message(WssError, train_seg, source, scenes.out / "other", training=how, **options) == (
        "--compile: torch cannot compile this net here (no g++); it needs a C++ compiler (g++), or on a GPU triton; "
        "install it, or leave --compile out"
    )


@pytest.mark.slow
def test_a_compiled_net_learns_the_same(scenes):
    from safetensors.torch import load_file

    source = scenes.masks("loose")
    options = {"backbone": "tiny", "init": "none", "run": Run(workers=1)}
    tensors = [
        load_file(train_seg(source, scenes.out / f"{flag}", training=replace(SHORT, compile=flag), **options) / "model.safetensors")
        for flag in (False, True)
    ]  # fmt: skip
    for key, value in tensors[0].items():
        torch.testing.assert_close(value, tensors[1][key], rtol=1e-3, atol=1e-4)


def test_open_training_of_one_process_is_open_job(tmp_path, monkeypatch):
    launch(monkeypatch, 0, world=1)
    plan = Plan("train-seg", tmp_path / "out", "model", {})
    with _ranks.open_training(plan, Run(), ["a"], CPU) as job:
        assert isinstance(job, Job)
    assert ranks.current() == ranks.Ranks()
