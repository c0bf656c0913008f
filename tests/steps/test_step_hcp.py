"""`train-cls --arch hcp` on the tiny net: two stages, one training."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.proposals import ProposalSet
from wsscli.maskdir.writer import Output
from wsscli.nets.hcp import HCP, score_hypotheses
from wsscli.nets.store import load_model
from wsscli.steps._data import Data, data_ref
from wsscli.steps._hcp import STAGE, Hcp
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps._train import Training
from wsscli.steps.train_cls import train_cls

SHORT = Training(iterations=6, batch_size=2, crop_size=33, device="cpu", bf16=False, log_every=2)


def regions(shape):
    """Overlapping rectangles over the whole photo, the larger ones first."""
    height, width = shape
    boxes = [(0, 0, width, height)]
    boxes += [(x, y, x + 20, y + 20) for side in (0, 3) for x in range(side, width - 20, 6) for y in (0, 10, 20)]
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return ProposalSet.of_masks(masks, np.arange(len(boxes))[::-1])


def proposals(scenes, name="proposals", ids=None, work=None) -> Path:
    from wsscli.data.dataset import open_dataset

    dataset = open_dataset(scenes.root, split="train")
    plan = Plan(
        "propose", scenes.out / name, "proposals", {}, dataset.classes, data_ref(dataset), "train", (), ("unlabelled-images",)
    )  # fmt: skip

    def output(image):
        return Output(proposals=(work or (lambda image: regions(scenes.truth[image].shape)))(image))

    return per_image(plan, Run(workers=1), ids or scenes.ids, output)


@pytest.fixture
def where(scenes):
    return proposals(scenes)


def train(scenes, source, name="hcp", *, hcp=None, **options):
    values = {
        "arch": "hcp", "backbone": "tiny", "init": "none", "training": SHORT, "val_split": "none",
        "data": Data(scenes.root, split="train"), "run": Run(workers=2), "hcp": hcp or Hcp(source, hypotheses=4),
        **options,
    }  # fmt: skip
    return train_cls(scenes.out / name, **values)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_net_and_its_manifest(scenes, where):
    out = train(scenes, where)
    manifest = read_manifest(out)
    assert manifest.supervision == ("image-labels", "unlabelled-images")
    assert [(i.role, i.digest) for i in manifest.inputs] == [("proposals", read_manifest(where).digest())]
    wanted = {
        "arch": "hcp", "hypotheses": 4, "crop_hypotheses": False, "loss": "squared", "image_share": 0.5,
        "head_lr": 10.0, "image_head_lr": 10.0, "iterations": 6, "output_stride": 16,
    }  # fmt: skip
    assert wanted.items() <= manifest.options.items() and "proposals" not in manifest.options
    model = load_model(out, arch="hcp")
    assert isinstance(model, HCP) and model.config == manifest.model and model.activation == "softmax"
    photo = np.array(Image.open(scenes.root / "JPEGImages/a.jpg"))
    scores, features = score_hypotheses(model, photo, regions(scenes.truth["a"].shape).boxes)
    assert scores.shape[1] == 3 and features.shape[1] == 32


def test_two_stages_and_what_is_left_of_the_first(scenes, where):
    out = train(scenes, where)
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "wss.json", "log.jsonl", STAGE}
    assert [p.name for p in (out / STAGE).iterdir()] == ["log.jsonl"]
    lengths = [max(row.get("iteration", 0) for row in rows(path / "log.jsonl")) for path in (out / STAGE, out)]
    assert lengths == [3, 3]
    third = train(scenes, where, "third", hcp=Hcp(where, hypotheses=4, image_share=0.0))
    assert not (third / STAGE).exists() and max(row.get("iteration", 0) for row in rows(third / "log.jsonl")) == 6


def test_each_stage_has_its_own_rate_for_the_last_layer(scenes, where, monkeypatch):
    from wsscli.train import loop

    seen = []
    monkeypatch.setattr(loop, "fit", lambda *args, **_: seen.append((args[3].head_lr, args[3].iterations, args[4])))
    paper = Training(recipe="hcp", epochs=30.0, crop_size=33, device="cpu", bf16=False)
    with pytest.raises(WssError):  # nothing has been written
        train(scenes, where, training=paper)
    assert seen == [(100.0, 2, scenes.out / "hcp" / STAGE), (10.0, 2, scenes.out / "hcp")]
    seen.clear()
    with pytest.raises(WssError):
        train(scenes, where, "given", training=Training(**{**vars(paper), "head_lr": 3.0}))
    assert [head for head, *_ in seen] == [3.0, 3.0]


def test_it_goes_on_where_it_was(scenes, where, monkeypatch):
    """StoppedError in either stage, it ends with the bytes of the undisturbed training."""
    from wsscli.train import loop

    every = Training(**{**vars(SHORT), "checkpoint_seconds": 0.0})
    expected = (train(scenes, where, "whole", training=every) / "model.safetensors").read_bytes()
    save, count = loop.save_checkpoint, []

    class StoppedError(Exception):
        pass

    def failing(*args, **kwargs):
        save(*args, **kwargs)
        count.append(None)
        raise StoppedError

    monkeypatch.setattr(loop, "save_checkpoint", failing)
    for _ in range(6):  # an iteration at a time: three of each stage
        with pytest.raises(StoppedError):
            train(scenes, where, training=every)
    monkeypatch.undo()
    out = train(scenes, where, training=every)
    assert (out / "model.safetensors").read_bytes() == expected and len(count) == 6
    assert [p.name for p in (out / STAGE).iterdir()] == ["log.jsonl"]


def test_a_late_kill_leaves_nothing_behind(scenes, where):
    out = train(scenes, where)
    (out / STAGE / "model.safetensors").touch()
    train(scenes, where, run=Run(dry_run=True))
    assert (out / STAGE / "model.safetensors").exists()
    train(scenes, where)
    assert not (out / STAGE / "model.safetensors").exists() and (out / STAGE / "log.jsonl").exists()


def test_hypotheses_are_trained_on(scenes, where):
    """Other boxes, another net; crops, another one still; workers change nothing."""
    nets = {
        "wide": train(scenes, where, "wide"),
        "again": train(scenes, where, "again", run=Run(workers=1)),
        "crops": train(scenes, where, "crops", hcp=Hcp(where, hypotheses=4, crop_hypotheses=True)),
        "few": train(scenes, where, "few", hcp=Hcp(where, hypotheses=1)),
        "sigmoid": train(scenes, where, "sigmoid", hcp=Hcp(where, hypotheses=4, loss="sigmoid")),
    }
    weights = {name: load_file(path / "model.safetensors")["classifier.weight"] for name, path in nets.items()}
    assert np.array_equal(weights["wide"], weights["again"])
    for name in ("crops", "few", "sigmoid"):
        assert not np.allclose(weights["wide"], weights[name], atol=1e-7), name
    assert load_model(nets["sigmoid"]).activation == "sigmoid"


@pytest.mark.slow
def test_it_learns_where_the_classes_are(scenes, where):
    """The hypothesis around the disc looks like a disc, the one around the square like a square."""
    how = Training(
        iterations=300, batch_size=4, crop_size=65, lr=5e-3, head_lr=1.0, dropout=0.0, jitter=0.0, device="cpu",
        bf16=False, schedule="constant", scale_range="none",
    )  # fmt: skip
    model = load_model(train(scenes, where, training=how, output_stride=4), arch="hcp")
    photo = np.array(Image.open(scenes.root / "JPEGImages/c.jpg"))
    scores, _ = score_hypotheses(model, photo, np.array([[7, 10, 23, 26], [32, 16, 46, 34]]))
    assert scores[0].argmax() == 0 and scores[1].argmax() == 1


def test_an_image_without_proposals_is_one_box(scenes):
    def work(image):
        whole = regions(scenes.truth[image].shape)
        return whole.first(0) if image == "a" else whole

    assert read_manifest(train(scenes, proposals(scenes, work=work))).complete


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hypotheses": 0}, "--hypotheses 0: give 1 or more"),
        ({"image_share": 1.0}, "--image-share 1: give 0 or more, less than 1"),
        ({"proposals": None}, "--arch hcp: needs --proposals DIR; `wss propose` writes one"),
    ],
)
def test_options_out_of_range(scenes, where, options, expected):
    with pytest.raises(UsageError) as caught:
        train(scenes, where, hcp=Hcp(**{"proposals": where, **options}))
    assert str(caught.value) == expected
    assert not (scenes.out / "hcp").exists()


def test_other_architectures_take_no_hypotheses(scenes, where):
    with pytest.raises(UsageError) as caught:
        train(scenes, where, arch="cam", hcp=Hcp(loss="sigmoid"))
    assert str(caught.value) == "--loss: only --arch hcp takes it, not --arch cam"


def test_images_without_proposals(scenes):
    source = proposals(scenes, ids=["a", "c"])
    with pytest.raises(WssError) as caught:
        train(scenes, source)
    assert str(caught.value) == (
        f"{source}: has no proposals of 2 of 4 images, the first is 'b'; make them with `wss propose`, or leave the "
        "images out with --ids"
    )


def test_proposals_of_another_photo(scenes):
    source = proposals(scenes, work=lambda image: regions((30, 30)))
    with pytest.raises(WssError) as caught:
        train(scenes, source)
    assert str(caught.value) == (
        f"{source}/proposals/a.npz: is 30 x 30 (height x width), but {scenes.root}/JPEGImages/a.jpg is 40 x 52; both "
        "must be of the photo's size"
    )
