"""`train-seg --loss soft` and `--label-count` on the tiny net."""

import numpy as np
import pytest

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.scores import Scores
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps._seeding import Seeding
from wsscli.steps._train import Training, resolve
from wsscli.steps.predict import predict
from wsscli.steps.train_seg import train_seg

SHORT = Training(iterations=4, batch_size=2, crop_size=33, device="cpu", bf16=False, log_every=2)


def soft(scenes, name="soft", work=None, **options):
    values = {"kind": "scores", "score_type": "soft-label", "supervision": ["image-labels"], **options}
    return scenes.directory(name, work or scenes.sure, **values)


def train(scenes, source, name="seg", **options):
    values = {"loss": "soft", "backbone": "tiny", "init": "none", "training": SHORT, "run": Run(workers=2), **options}
    return train_seg(source, scenes.out / name, **values)


def refused(kind, *args, **options):
    with pytest.raises(kind) as caught:
        train(*args, **options)
    return str(caught.value)


def test_the_net_and_its_manifest(scenes):
    source = soft(scenes)
    manifest = read_manifest(train(scenes, source))
    assert manifest.options["loss"] == "soft" and "label_count" not in manifest.options
    assert manifest.supervision == ("image-labels",) and manifest.images == 4
    assert [(i.role, i.digest) for i in manifest.inputs] == [("masks", read_manifest(source).digest())]


@pytest.mark.slow
def test_it_learns_what_the_shares_say(scenes):
    """Shares of 0.6 for one class and 0.4 for another end in probabilities like that."""

    def work(name):
        truth = scenes.truth[name]
        other = np.where(truth == 0, 1, 0)  # what has the smaller share
        maps = [np.where(truth == c, 0.6, np.where(other == c, 0.4, 0)) for c in range(3)]
        return Scores(np.stack(maps).astype(np.float32), np.arange(3), truth.shape)

    how = Training(
        iterations=200, batch_size=4, lr=5e-3, head_lr=1.0, crop_size=65, scale_range="1,1", dropout=0.0, jitter=0.0,
        device="cpu", bf16=False,
    )  # fmt: skip
    net = train(scenes, soft(scenes, work=work), training=how, size=65)
    found = open_maskdir(
        predict(net, scenes.out / "p", data=Data(scenes.root, split="train"), device="cpu", scores=True)
    )
    assert np.mean([(found.mask(n) == scenes.truth[n]).mean() for n in scenes.ids]) > 0.9
    assert 0.5 < np.mean([found.scores(n).full().max(0).mean() for n in scenes.ids]) < 0.7


def test_scores_of_a_directory_with_masks_as_well(scenes):
    def both(name):
        return scenes.loose(name), scenes.sure(name)

    source = soft(scenes, work=both, kind="masks+scores")
    one, other = train(scenes, source), train(scenes, soft(scenes, "alone"), "other")
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    masks = train(scenes, source, "masks", loss="ce")
    assert (masks / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_images_of_one_class(scenes, caplog):
    import logging

    caplog.set_level(logging.INFO, "wsscli")
    for loss, source in (("soft", soft(scenes, supervision=())), ("ce", scenes.masks("loose"))):
        manifest = read_manifest(train(scenes, source, f"single-{loss}", loss=loss, label_count="single"))
        assert (manifest.images, manifest.options["label_count"]) == (2, "single")
        assert "image-labels" in manifest.supervision
        assert f"{source}: 2 of 4 images have not exactly one class and are passed over" in caplog.text
    assert refused(WssError, scenes, soft(scenes, "cd", ids=["c", "d"]), "x", label_count="single") == (
        f"{scenes.out}/cd: none of its 2 images has exactly one class; --label-count all takes images of several"
    )
    text = refused(UsageError, scenes, scenes.masks("m"), "x", loss="ce", label_count="single", foreground=True)
    assert text == "--label-count single: --foreground looks at no labels; leave one of them out"
    text = refused(UsageError, scenes, scenes.masks("n"), "x", loss="ce", label_count="single", arch="student")
    assert text == "--backbone: --arch student does not take it; leave it out"
    (scenes.root / "Annotations/b.xml").unlink()
    text = refused(WssError, scenes, scenes.masks("o"), "x", loss="ce", label_count="single")
    assert "no image-level labels for 1 of 2 images of split train (b)" in text


def test_what_is_no_soft_label(scenes):
    cams = scenes.cams("cams")
    assert refused(WssError, scenes, cams) == (
        f"{cams}: holds cam scores, but --loss soft learns from soft labels or probabilities; take those of "
        "`wss make-seeds --method hypotheses`, `wss predict --scores` or `wss crf --scores`"
    )
    empty = soft(
        scenes, "empty", lambda name: Scores(np.zeros((1, 4, 5), np.float32), np.array([0]), scenes.truth[name].shape)
    )
    assert refused(WssError, scenes, empty) == f"{empty}: all scores of its 4 images are 0; nothing to learn from"
    masks = scenes.masks("masks")
    assert refused(WssError, scenes, masks).startswith(f"{masks}: holds masks but no scores; name a directory")
    assert refused(UsageError, scenes, soft(scenes), seeding=Seeding(grow=True)) == (
        "--grow: --loss soft has no seeds; take --loss balanced-seed or seed"
    )
    small = soft(scenes, "small", lambda name: Scores(np.ones((1, 4, 5), np.float32), np.array([0]), (8, 9)))
    assert refused(WssError, scenes, small, run=Run(workers=1)).startswith(f"{small}/scores/")


def test_the_paper_s_recipe():
    import torch

    paper = resolve(
        Training(recipe="hypotheses"), "segmentation", 800, backbone="vgg16", init="imagenet", output_stride=None,
        device=torch.device("cpu"),
    )  # fmt: skip
    wanted = {
        "iterations": 1500, "batch_size": 8, "lr": 1e-3, "head_lr": 10.0, "step_every": 500, "step_factor": 0.1,
        "schedule": "step", "weight_decay": 5e-4, "optimizer": "sgd",
    }  # fmt: skip
    assert paper | wanted == paper and "step_epochs" not in paper
    hcp = resolve(
        Training(recipe="hcp"), "hcp", 600, backbone="vgg16", init="imagenet", output_stride=None,
        device=torch.device("cpu"),
    )  # fmt: skip
    wanted = {
        "iterations": 600, "batch_size": 30, "lr": 1e-4, "head_lr": 10.0, "image_head_lr": 100.0, "step_every": 200,
        "step_factor": 0.1, "schedule": "step", "weight_decay": 5e-4, "optimizer": "sgd", "output_stride": 16,
    }  # fmt: skip
    assert hcp | wanted == hcp
