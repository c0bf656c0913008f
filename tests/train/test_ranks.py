"""Two processes (gloo, CPU) against one."""

import re
import runpy
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import nn

from wsscli.errors import ToldElsewhereError, UsageError, WssError
from wsscli.train import ranks
from wsscli.train.checkpoint import NAME

RANKED = runpy.run_path(str(Path(__file__).with_name("ranked.py")))
CASES = sorted(RANKED["cases"]())
SILENCE = (
    r": no word from the other 1 of 2 processes any more \(.+\); one has ended or hangs, and says why itself; the same "
)
SILENCE += r"command goes on from the last checkpoint, with any number of processes$"
launch, one, rows = (RANKED[name] for name in ("launch", "one", "rows"))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes make, all at one start; `watched` goes on from a checkpoint of one."""
    directory = tmp_path_factory.mktemp("two")
    with pytest.raises(WssError, match="stopped"):
        train(directory / "watched", accumulate=2, fail_at=23)
    assert 0 < torch.load(directory / "watched" / NAME)["position"]["iteration"] < 9
    assert launch("gradients,split,stopped,watched", directory) == [0, 0]
    return directory


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_one_process(name, two, tmp_path):
    alone = one(name, tmp_path)
    assert max(value.abs().max() for value in alone.values()) > 1e-4
    for rank in range(2):
        for key, value in torch.load(two / "gradients" / f"{name}-{rank}.pt").items():
            torch.testing.assert_close(value, alone[key], rtol=1e-5, atol=1e-5)
    for found, expected in zip(rows(two / "gradients" / name), rows(tmp_path), strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ["cam", "ssd", "joint"])
def test_parts_one_after_another_are_the_batch_at_once(name, tmp_path):
    whole = one(name, tmp_path / "whole")
    for parts in (2, 4):
        for key, value in one(name, tmp_path / f"{parts}", accumulate=parts).items():
            torch.testing.assert_close(value, whole[key], rtol=1e-5, atol=1e-5)
        assert rows(tmp_path / f"{parts}")[0]["loss"] == pytest.approx(rows(tmp_path / "whole")[0]["loss"], rel=1e-5)


def test_dropout_is_drawn_for_each_part_wherever_it_is_worked_on(two, tmp_path):
    for name in ("cam", "ssd"):
        found = torch.load(two / "split" / f"{name}.pt")
        parts = one(name, tmp_path / f"{name}-parts", dropout=0.5, accumulate=2)
        for key, value in found.items():
            torch.testing.assert_close(value, parts[key], rtol=1e-5, atol=1e-5)
    at_once = one("cam", tmp_path / "once", dropout=0.5)
    assert max((value - at_once[key]).abs().max() for key, value in parts.items() if key in at_once) > 1e-3


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """One process's training with dropout in two parts, as two processes draw it."""
    directory = tmp_path_factory.mktemp("undisturbed")
    train(directory, accumulate=2)
    return directory


def train(directory, **changes):
    meter = RANKED["SupervisionMeter"](3)
    return one("cues", directory, meter=meter, **RANKED["LONG"] | changes)


def same(found, expected):
    """The same weights, and the same log: losses nearly, and what a meter has counted exactly."""
    from safetensors.torch import load_file

    weights, others = (load_file(path / "model.safetensors") for path in (found, expected))
    for key, value in weights.items():
        torch.testing.assert_close(value, others[key], rtol=1e-4, atol=1e-4)
    for row, other in zip(rows(found), rows(expected), strict=True):
        assert row.pop("loss") == pytest.approx(other.pop("loss"), rel=1e-4)
        assert row == other


def test_a_checkpoint_of_two_goes_on_with_one(undisturbed, two):
    directory = two / "stopped"
    assert [(directory / f"said-{rank}").read_text() for rank in range(2)].count("stopped") == 2
    assert (directory / NAME).exists() and not (directory / "model.safetensors").exists()
    done = torch.load(directory / NAME)["position"]
    assert 0 < done["iteration"] < 9 and sum(done["meter"]) > 0
    train(directory, accumulate=2)
    same(directory, undisturbed)


def test_a_checkpoint_of_one_goes_on_with_two(undisturbed, two):
    same(two / "watched", undisturbed)
    assert (two / "watched" / "log.jsonl").read_text().count('"processes": 2') == 1


def test_a_process_that_dies_ends_the_others_and_leaves_a_checkpoint(undisturbed, tmp_path):
    first, second = launch("stopped", tmp_path, wait=False)
    while not (tmp_path / NAME).exists():
        time.sleep(0.01)
    second.send_signal(signal.SIGKILL)
    assert (second.wait(), first.wait()) == (-signal.SIGKILL, 0)
    said = (tmp_path / "said-0").read_text()
    assert said == "stopped" or said.startswith(f"{tmp_path}: no word from the other 1 of 2 processes any more (")
    train(tmp_path, accumulate=2)
    same(tmp_path, undisturbed)


def test_a_process_that_hangs_is_given_up(tmp_path):
    first, second = launch("hanging", tmp_path, wait=False)
    assert first.wait(500) == 0
    second.kill()
    second.wait()
    assert re.match(re.escape(str(tmp_path)) + SILENCE, (tmp_path / "said").read_text())


@pytest.fixture
def launched(monkeypatch):
    """This process as the second of two."""
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))


def test_they_train_on_cuda_or_cpu(launched):
    with pytest.raises(UsageError) as caught:
        ranks.join(torch.device("mps"))
    assert str(caught.value) == "--device mps: 2 processes train on cuda or cpu; give one of these"
    assert ranks.current() == ranks.Ranks()


def test_they_do_not_find_each_other(launched, monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")  # nobody is there
    monkeypatch.setattr(ranks, "PATIENCE", timedelta(seconds=1))
    with pytest.raises(WssError) as caught:
        ranks.join(torch.device("cpu"))
    said = str(caught.value)
    assert said.startswith("rank 1 of 2: the processes do not find each other (")
    assert said.endswith("); check MASTER_ADDR and MASTER_PORT, and that all of them were started")


def test_one_process_alone_joins_nobody():
    alone = ranks.join(torch.device("cpu"))
    assert alone == ranks.current() == ranks.Ranks() and alone.leads
    assert alone.sums([1, 2]) == [1, 2] and alone.told("x") == "x"
    module = nn.Linear(1, 1)
    assert alone.wrap(module) is module
    with pytest.raises(RuntimeError, match="gloo"), alone.hearing(Path("x")):
        raise RuntimeError("gloo")


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="out of memory"), ranks.Ranks(0, 2, object()).hearing(Path("x")):
        raise RuntimeError("out of memory")


def test_batch_norms_of_several_gpus():
    from timm.layers import BatchNormAct2d

    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), BatchNormAct2d(4, act_layer=nn.ReLU)).eval()
    image = torch.randn(2, 3, 5, 5)
    before, names = net(image), list(net.state_dict())
    weights = [id(parameter) for parameter in net.parameters()]
    made = ranks.synchronised(net)
    assert made is net and list(net.state_dict()) == names
    assert [id(parameter) for parameter in net.parameters()] == weights
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in (net[1], net[2]))
    torch.testing.assert_close(net(image), before)
    assert (before >= 0).all()
    torch.testing.assert_close(ranks.synchronised(net)(image), before)  # of a net that is trained twice


def test_a_loss_that_is_no_number_is_told_by_the_first_process(tmp_path, monkeypatch):
    for rank, error in enumerate((WssError, ToldElsewhereError)):
        monkeypatch.setattr("wsscli.train.loop.current", lambda rank=rank: ranks.Ranks(rank, 2))
        with pytest.raises(WssError, match="the loss became nan at iteration") as raised:
            one("cam", tmp_path / str(rank), lr=1e30, iterations=3)
        assert raised.type is error


@pytest.mark.parametrize(
    ("environment", "address", "port"),
    [
        ({"MASTER_ADDR": "head", "MASTER_PORT": "29500"}, "head", 29500),
        ({"SLURM_STEP_NODELIST": "gpu[07-09,12]", "SLURM_JOB_ID": "1234567"}, "gpu07", 19567),
        ({"SLURM_JOB_NODELIST": "a3,b1", "SLURM_JOB_ID": "42"}, "a3", 15042),
        ({}, "127.0.0.1", 15000),
    ],
)
def test_where_they_meet(environment, address, port, monkeypatch):
    from wsscli.launch import Launch
    from wsscli.train.fabric import Environment

    for name in ("MASTER_ADDR", "MASTER_PORT", "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = Environment(Launch(5, 8, 1))
    assert (found.main_address, found.main_port) == (address, port)
    assert (found.global_rank(), found.world_size(), found.local_rank()) == (5, 8, 1)
    assert found.creates_processes_externally
