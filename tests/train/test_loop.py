import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.losses.sigmoid_cross_entropy import sigmoid_cross_entropy as loss_of_logits
from wsscli.nets.classifier import CamNet
from wsscli.train.checkpoint import NAME, Position, load_checkpoint, save_checkpoint
from wsscli.train.loop import fit, read_log
from wsscli.train.optimiser import build_optimiser, freeze, set_rate, train_mode
from wsscli.train.settings import Settings

CPU = torch.device("cpu")


def sigmoid_cross_entropy(logits, batch):
    return loss_of_logits(logits, batch[1])


def net(dropout=0.5):
    torch.manual_seed(3)
    return CamNet.build("tiny", ClassTable.of(["a", "b"]), dropout=dropout, size=33)


class Samples:
    """Images whose colour tells the class; `fail_at` stands for a kill."""

    def __init__(self, count=10, fail_at=None):
        self.count, self.fail_at, self.calls = count, fail_at, 0

    def __len__(self):
        return self.count

    def __call__(self, epoch, index):
        self.calls += 1
        if self.fail_at is not None and self.calls > self.fail_at:
            raise WssError("stopped")
        rng = np.random.default_rng([epoch, index])
        image = rng.integers(0, 60, (33, 33, 3), dtype=np.uint8)
        image[..., index % 2] += 150
        target = np.zeros(2, np.float32)
        target[index % 2] = 1
        return image, target


def settings(**changes):
    return Settings(**{"iterations": 12, "batch_size": 3, "lr": 3e-3, "weight_decay": 0.05, "log_every": 2, **changes})


def train(directory, samples=None, **changes):
    directory.mkdir(exist_ok=True)
    fit(net(), samples or Samples(), sigmoid_cross_entropy, settings(**changes), directory, device=CPU, workers=2)
    return (directory / "model.safetensors").read_bytes()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_stopped_training_ends_with_the_same_bytes(tmp_path, optimizer):
    expected = train(tmp_path / "whole", optimizer=optimizer)
    for fail_at in (1, 7, 20, 33):
        directory = tmp_path / f"stopped{fail_at}"
        with pytest.raises(WssError, match="stopped"):
            train(directory, Samples(fail_at=fail_at), optimizer=optimizer, checkpoint_seconds=0)
        assert not (directory / "model.safetensors").exists()
        assert train(directory, optimizer=optimizer) == expected
        assert (directory / NAME).exists()


def test_stopped_again_and_again(tmp_path):
    expected = train(tmp_path / "whole")
    directory = tmp_path / "often"
    for _ in range(40):
        try:
            assert train(directory, Samples(fail_at=13), checkpoint_seconds=0) == expected
            break
        except WssError:
            continue
    else:
        pytest.fail("never came to an end")


def test_the_seed_matters_and_nothing_else(tmp_path):
    assert train(tmp_path / "a") == train(tmp_path / "b", checkpoint_seconds=0, log_every=5)
    torch.manual_seed(99)
    assert train(tmp_path / "c") == train(tmp_path / "a2")
    assert train(tmp_path / "d", seed=1) != train(tmp_path / "a3")


def test_log_has_no_row_twice_after_a_stop(tmp_path):
    train(tmp_path / "whole")
    directory = tmp_path / "stopped"
    with pytest.raises(WssError):
        train(directory, Samples(fail_at=28), checkpoint_seconds=1e9)
    train(directory)
    keys = [(row["event"], row["iteration"]) for row in read_log(directory)]
    assert keys == [(row["event"], row["iteration"]) for row in read_log(tmp_path / "whole")]
    assert len(keys) == len(set(keys))


def test_log_has_the_same_numbers_after_a_stop_within_a_row(tmp_path):
    train(tmp_path / "whole", log_every=3)
    for fail_at in (14, 26):  # of 36 samples; rows end with every ninth
        directory = tmp_path / f"stopped{fail_at}"
        with pytest.raises(WssError, match="stopped"):
            train(directory, Samples(fail_at=fail_at), checkpoint_seconds=0, log_every=3)
        train(directory, log_every=3)
        losses = [(row["event"], row["iteration"], row["loss"]) for row in read_log(directory)]
        assert losses == [(row["event"], row["iteration"], row["loss"]) for row in read_log(tmp_path / "whole")]
        assert all(row["images_per_second"] > 0 for row in read_log(directory) if row["event"] == "iterations")


def test_log_rows(tmp_path):
    train(tmp_path)
    rows = read_log(tmp_path)
    first = rows[0]
    assert first["event"] == "iterations" and first["iteration"] == 2
    assert first["lr"] > 0 and first["loss"] > 0 and first["images_per_second"] > 0
    epochs = [row for row in rows if row["event"] == "epoch"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 3]  # the last is the end, 36 of 40 samples into epoch 4
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert read_log(tmp_path / "nothing") == []


def test_validation_runs_after_each_epoch_and_leaves_training_alone(tmp_path):
    seen = []

    def validate(model, iteration):
        seen.append(model.training)
        torch.rand(7)
        return {"val_map": 0.5}

    fit(net(), Samples(), sigmoid_cross_entropy, settings(), tmp_path, device=CPU, validate=validate)
    assert seen == [False] * 4
    assert [row["val_map"] for row in read_log(tmp_path) if row["event"] == "epoch"] == [0.5] * 4
    assert (tmp_path / "model.safetensors").read_bytes() == train(tmp_path / "plain")


def test_watch_gets_every_row(tmp_path):
    rows = []
    fit(net(), Samples(), sigmoid_cross_entropy, settings(), tmp_path, device=CPU, watch=rows.append)
    assert [row["event"] for row in rows] == [row["event"] for row in read_log(tmp_path)]


def test_it_learns(tmp_path):
    model = net(dropout=0.1)
    fit(model, Samples(40), sigmoid_cross_entropy, settings(iterations=60, batch_size=8), tmp_path, device=CPU)
    model.eval()
    images = torch.stack([torch.from_numpy(Samples()(9, i)[0]) for i in range(10)]).permute(0, 3, 1, 2)
    found = model(model.backbone.normalise(images)).argmax(1)
    assert found.tolist() == [i % 2 for i in range(10)]


def test_loss_that_is_not_a_number(tmp_path):
    def broken(outputs, batch):
        return sigmoid_cross_entropy(outputs, batch) * float("nan")

    with pytest.raises(WssError) as caught:
        fit(net(), Samples(), broken, settings(), tmp_path, device=CPU)
    assert str(caught.value) == (
        f"{tmp_path}: the loss became nan at iteration 1 of 12 (learning rate 0.00012); "
        "use --overwrite and --lr below 0.003"
    )
    assert not (tmp_path / "model.safetensors").exists() and not (tmp_path / NAME).exists()
    with pytest.raises(WssError, match=r"use --overwrite and --lr below 0\.003, or --no-bf16"):
        fit(net(), Samples(), broken, settings(bf16=True), tmp_path, device=CPU)


def test_bf16_and_contiguous_memory(tmp_path):
    plain = train(tmp_path / "plain")
    assert train(tmp_path / "bf16", bf16=True) != plain
    train(tmp_path / "contiguous", channels_last=False)


def test_gradient_clipping_changes_the_result(tmp_path):
    assert train(tmp_path / "clipped", clip=1e-3, optimizer="sgd") != train(tmp_path / "plain", optimizer="sgd")


def test_checkpoint_round_trip(tmp_path):
    model = net()
    optimizer = build_optimiser(model, settings())
    assert load_checkpoint(tmp_path, model, optimizer) == Position()
    model(torch.zeros(1, 3, 33, 33)).sum().backward()
    optimizer.step()
    position = Position(5, 17, 1.25, 3)
    save_checkpoint(tmp_path, model, optimizer, position)
    other = net()
    with torch.no_grad():
        other.classifier.weight.zero_()
    other_optimizer = build_optimiser(other, settings())
    assert load_checkpoint(tmp_path, other, other_optimizer) == position
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(optimizer.state[a]["exp_avg"], other_optimizer.state[b]["exp_avg"])


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04cut"])
def test_damaged_checkpoint(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    model = net()
    with pytest.raises(
        WssError, match=r"last\.ckpt: the checkpoint cannot be read \(.*\); start again with --overwrite"
    ):
        load_checkpoint(tmp_path, model, build_optimiser(model, settings()))


def test_checkpoint_of_another_net(tmp_path):
    model = net()
    save_checkpoint(tmp_path, nn.Linear(2, 2), torch.optim.SGD(nn.Linear(2, 2).parameters()), Position(1))
    with pytest.raises(WssError, match="the checkpoint cannot be read"):
        load_checkpoint(tmp_path, model, build_optimiser(model, settings()))


def rates(model, optimizer):
    by_id = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    return {
        n: (by_id[id(p)]["lr"], by_id[id(p)]["weight_decay"]) for n, p in model.named_parameters() if id(p) in by_id
    }


def test_learning_rates_and_decay_of_each_parameter():
    model = nn.Sequential()
    model.add_module("body", nn.Conv2d(1, 1, 1))
    model.add_module("head", nn.Conv2d(1, 1, 1))
    chosen = settings(lr=0.1, head_lr=10.0, bias_lr=2.0, fast=("head.",), optimizer="sgd")
    optimizer = build_optimiser(model, chosen)
    assert rates(model, optimizer) == {
        "body.weight": (0.1, 0.05), "body.bias": (0.2, 0.0), "head.weight": (1.0, 0.05), "head.bias": (2.0, 0.0),
    }  # fmt: skip
    set_rate(optimizer, 0.5)
    assert rates(model, optimizer)["head.bias"][0] == 1.0
    set_rate(optimizer, 1.0)
    assert rates(model, optimizer)["head.bias"][0] == 2.0


def test_frozen_parts_stay_as_they_are():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    freeze(model, ("0.", "1."))
    optimizer = build_optimiser(model, settings())
    assert set(rates(model, optimizer)) == {"2.weight", "2.bias", "3.weight", "3.bias"}
    train_mode(model, ("0.", "1."), norms_frozen=False)
    assert not model[1].training and model[3].training
    train_mode(model, (), norms_frozen=True)
    assert not model[1].training and not model[3].training and model[2].training
    train_mode(model, (), norms_frozen=False)
    assert model[1].training


def test_unwritable_log(tmp_path):
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / "log.jsonl").mkdir()
    with pytest.raises(WssError, match=r"cannot write .*log\.jsonl"):
        train(directory)


def test_rows_before_the_first_checkpoint_stand_once(tmp_path):
    with pytest.raises(WssError, match="stopped"):
        train(tmp_path, Samples(40, fail_at=15), batch_size=2, log_every=1)
    assert (tmp_path / "log.jsonl").read_text() and not (tmp_path / NAME).exists()
    train(tmp_path, Samples(40), batch_size=2, log_every=1)
    assert [row["iteration"] for row in read_log(tmp_path) if row["event"] == "iterations"] == list(range(1, 13))


def test_log_is_json_lines(tmp_path):
    train(tmp_path)
    for line in (tmp_path / "log.jsonl").read_text().splitlines():
        assert not math.isnan(json.loads(line)["loss"])
