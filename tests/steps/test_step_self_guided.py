"""The self-guided chain on the tiny net: `train-cls --arch self-guided`, `make-seeds --method self-guided`, and back."""

import logging
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.nets.self_guided import SelfGuided
from wsscli.nets.store import load_model
from wsscli.seeds.self_guided import self_guided_labels
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps._self_guided import SelfGuiding
from wsscli.steps._train import Training
from wsscli.steps.make_seeds import make_seeds
from wsscli.steps.train_cls import Affinity, train_cls
from wsscli.steps.train_seg import train_seg

SHORT = Training(iterations=4, batch_size=2, crop_size=33, device="cpu", bf16=False, log_every=2)
SMALL = Affinity(affinity_size=6)


def train(scenes, name="self", **options):
    values = {
        "arch": "self-guided", "backbone": "tiny", "init": "none", "training": SHORT, "affinity": SMALL,
        "val_split": "none", "data": Data(scenes.root, split="train"), "run": Run(workers=2), **options,
    }  # fmt: skip
    return train_cls(scenes.out / name, **values)


def labels(scenes, model=None, name="labels", guiding=SelfGuiding(window=9, iterations=2), **options):
    values = {"method": "self-guided", "run": Run(workers=2), "self_guiding": guiding, **options}
    if model is not None:
        values["device"] = "cpu"
    return make_seeds(scenes.out / name, model=model, **values)


def test_the_net_and_its_manifest(scenes):
    manifest = read_manifest(train(scenes))
    assert manifest.supervision == ("image-labels",)
    wanted = {"arch": "self-guided", "affinity_weight": 1.0, "affinity_target": "w", "affinity_size": 6, "hidden": None}
    assert wanted.items() <= manifest.options.items()
    model = load_model(scenes.out / "self", arch="self-guided")
    assert isinstance(model, SelfGuided) and model.config == manifest.model


def test_validation_sees_the_class_logits(scenes):
    assert "val_map" in (train(scenes, val_split=None) / "log.jsonl").read_text()


def test_the_affinity_loss_trains_the_features(scenes):
    with_it, without = train(scenes, "with"), train(scenes, "without", affinity=Affinity(0.0, affinity_size=6))
    one, other = (load_file(path / "model.safetensors") for path in (with_it, without))
    # nothing else asks anything of these three features: without the loss they stay as they were drawn
    assert not np.array_equal(one["aggregate.weight"], other["aggregate.weight"])
    assert np.abs(one["aggregate.weight"] - other["aggregate.weight"]).max() > 1e-3


def test_whole_labels_of_the_images_own_classes(scenes):
    out = labels(scenes, train(scenes))
    found = open_maskdir(out, need="scores")
    manifest = found.manifest
    assert (manifest.kind, manifest.score_type, manifest.split) == ("masks+scores", "cam", "train")
    assert manifest.supervision == ("image-labels",)  # no saliency, no other model
    assert [i.role for i in manifest.inputs] == ["model"]
    assert manifest.options == {
        "method": "self-guided", "model": "trained", "scales": [0.5, 0.75, 1.0], "flip": True, "output_stride": 8,
        "device": "cpu", "stop_at": "G", "affinity": True, "iterations": 2, "window": 9, "eps": 1e-6,
        "rebinarise": False,
    }  # fmt: skip
    for name, classes in {"a": [1], "b": [2], "c": [1, 2], "d": [1, 2]}.items():
        mask, scores = found.mask(name), found.scores(name)
        assert set(np.unique(mask)) <= {0, *classes} and mask.shape == scenes.truth[name].shape
        height, width = mask.shape
        assert scores.scores.shape == (len(classes), -(-height // 2), -(-width // 2)) and scores.size == mask.shape


def test_stages_differ_and_bytes_do_not_depend_on_workers(scenes):
    model = train(scenes)
    stages = {
        stage: labels(scenes, model, stage, SelfGuiding(stop_at=stage, window=9, iterations=2)) for stage in "ARG"
    }
    maps = {stage: open_maskdir(path).scores("c").scores for stage, path in stages.items()}
    assert maps["R"].shape == (2, 6, 6) and maps["A"].shape != maps["R"].shape
    assert np.ptp(maps["R"][0]) < np.ptp(maps["A"][0])  # weighted means of A
    again = labels(scenes, model, "again", run=Run(workers=1))
    assert all(
        (again / f"masks/{name}.png").read_bytes() == (stages["G"] / f"masks/{name}.png").read_bytes()
        for name in scenes.ids
    )


def test_from_stored_maps(scenes):
    from PIL import Image

    cams = scenes.cams("cams")
    out = labels(scenes, None, "guided", SelfGuiding(affinity=False, window=9, iterations=2), cams=cams)
    assert [i.role for i in read_manifest(out).inputs] == ["cams"]
    given, found = open_maskdir(cams), open_maskdir(out)
    for name in scenes.ids:
        stored, photo = given.scores(name), np.array(Image.open(scenes.root / f"JPEGImages/{name}.jpg"))
        classes = found.scores(name).classes.tolist()
        maps = stored.scores[[stored.classes.tolist().index(c) for c in classes]]
        assert np.array_equal(found.mask(name), self_guided_labels(maps, classes, photo, window=9, iterations=2).labels)


def test_algorithm_1_there_and_back(scenes, caplog):
    """Step 2 goes on from step 1's net, and the next step 1 from both."""
    first = train(scenes)
    masks = labels(scenes, first)
    caplog.set_level(logging.INFO, "wsscli")
    seg = train_seg(masks, scenes.out / "seg", backbone="tiny", init=str(first), training=SHORT, run=Run(workers=2))
    assert f"--init {first}: not taken: aggregate.bias, aggregate.weight, localize.bias, localize.weight" in caplog.text
    assert "stay random" not in caplog.text
    caplog.clear()
    still = Training(**{**vars(SHORT), "lr": 0.0, "weight_decay": 0.0})
    second = train(scenes, "second", init=f"{seg},{first}", training=still)
    assert "stay random" not in caplog.text
    one, two, three = (load_file(path / "model.safetensors") for path in (first, seg, second))
    for key, tensor in three.items():
        assert np.array_equal(tensor, two[key] if key in two else one[key]), key
    assert [i.role for i in read_manifest(second).inputs] == ["init", "init-2"]


def test_the_two_steps_train_one_network(scenes):
    """Dilations go along with the weights, at the stride where the two nets have others by default."""
    import torch

    still = Training(**{**vars(SHORT), "lr": 0.0, "weight_decay": 0.0, "crop_size": 65, "freeze_norm": True})
    small = Affinity(affinity_size=4, hidden=16)
    first = train(scenes, backbone="lite0", output_stride=16, affinity=small, training=still)
    seg = train_seg(
        labels(scenes, first), scenes.out / "seg", backbone="lite0", hidden=16, init=str(first), training=still,
        run=Run(workers=2),
    )  # fmt: skip
    guided, segmenter = load_model(first), load_model(seg)
    assert segmenter.config["rates"] == guided.config["rates"] == [3, 6, 9, 12]
    images = torch.rand(1, 3, 129, 129)
    with torch.no_grad():
        torch.testing.assert_close(guided.localize(segmenter(images)), guided.maps(images), atol=1e-4, rtol=1e-4)
        finer = load_model(seg, output_stride=8)
    assert finer.config["rates"] == [6, 12, 18, 24]  # as far in pixels


def test_stored_maps_give_the_same_labels(scenes):
    model = train(scenes)
    maps = labels(scenes, model, "A", SelfGuiding(stop_at="A"))
    direct = labels(scenes, model, "direct", SelfGuiding(affinity=False, window=9, iterations=2))
    stored = labels(scenes, None, "stored", SelfGuiding(affinity=False, window=9, iterations=2), cams=maps)
    for name in open_maskdir(direct).ids:
        assert np.array_equal(open_maskdir(direct).mask(name), open_maskdir(stored).mask(name))
        assert (direct / f"scores/{name}.npz").read_bytes() == (stored / f"scores/{name}.npz").read_bytes()


def test_options_that_take_no_part_are_no_difference(scenes, caplog):
    model = train(scenes)
    out = labels(scenes, model, "A", SelfGuiding(stop_at="A"))
    assert {"stop_at": "A", "affinity": False}.items() <= read_manifest(out).options.items()
    assert not {"iterations", "window", "eps", "rebinarise"} & read_manifest(out).options.keys()
    caplog.set_level(logging.INFO, "wsscli")
    labels(scenes, model, "A", SelfGuiding(stop_at="A", affinity=False, window=9, iterations=3))
    assert f"{out} is complete with the same options: nothing to do" in caplog.text


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_bad_stored_maps_are_named(scenes, value):
    maps = labels(scenes, train(scenes), "A", SelfGuiding(stop_at="A"))
    with np.load(maps / "scores/b.npz") as found:
        arrays = dict(found)
    arrays["scores"] = np.full_like(arrays["scores"], value)
    np.savez(maps / "scores/b.npz", **arrays)
    with pytest.raises(WssError) as caught:
        labels(scenes, None, "again", SelfGuiding(affinity=False), cams=maps, run=Run(workers=1))
    assert str(caught.value) == f"{maps}/scores/b.npz: holds NaN, infinity or a negative value; make the scores again"


def test_flat_maps_are_listed(scenes):
    import torch

    model = train(scenes)
    net = load_model(model, arch="self-guided")
    torch.nn.init.constant_(net.localize.weight, 0.0)
    torch.nn.init.constant_(net.localize.bias, 1.0)
    from wsscli.nets.store import save_model

    save_model(model, net)
    out = labels(scenes, model)
    assert {entry["id"]: entry["reason"] for entry in read_manifest(out).fell_back} == {
        "a": "flat map, labels nothing: disc", "b": "flat map, labels nothing: square",
        "c": "flat map, labels nothing: disc; flat map, labels nothing: square",
        "d": "flat map, labels nothing: disc; flat map, labels nothing: square",
    }  # fmt: skip
    assert not open_maskdir(out).mask("a").any()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"affinity": Affinity(-1.0)}, "--affinity-weight -1: give 0 or more"),
        (
            {"affinity": Affinity(affinity_size=500)},
            "--affinity-size 500: give 2 to 128; memory grows with its fourth power",
        ),
        ({"affinity": Affinity(hidden=0)}, "--hidden 0: give 1 or more"),
        (
            {"arch": "cam", "affinity": SMALL},
            "--affinity-size: only --arch self-guided takes it, not --arch cam",
        ),
        (
            {"training": Training(recipe="dsrg")},
            "--recipe dsrg: has no numbers for this training; take modern, self-guided",
        ),
    ],
)
def test_options_of_the_training(scenes, message, options, text):
    assert message(UsageError, train, scenes, **options) == text
    assert not (scenes.out / "self").exists()


@pytest.mark.parametrize(
    ("guiding", "text"),
    [
        (SelfGuiding(iterations=0), "--iterations 0: give 1 or more"),
        (SelfGuiding(window=8), "guided filter: a window of 8; take an odd number of pixels, 3 or more (35 is usual)"),
        (SelfGuiding(eps=1e-12), "guided filter: eps is 1e-12; take 1e-10 or more (1e-6 is usual)"),
        (
            SelfGuiding(stop_at="R", affinity=False),
            "--stop-at R: R is what the affinity makes; leave --no-affinity out, or take --stop-at A",
        ),
    ],
)
def test_options_of_the_labels(scenes, message, guiding, text):
    assert message(UsageError, labels, scenes, scenes.out / "model", guiding=guiding) == text


def test_options_of_the_other_method(scenes, message):
    model = scenes.out / "model"
    assert message(UsageError, labels, scenes, model, fg_threshold=0.5) == (
        "--fg-threshold: --method self-guided does not take it, --method cam and --method foreground do"
    )
    assert message(UsageError, labels, scenes, model, method="cam") == (
        "--iterations: --method cam does not take it, --method self-guided does"
    )
    assert message(UsageError, labels, scenes, None, guiding=SelfGuiding(), cams=scenes.cams("cams")) == (
        "--cams holds maps without affinities; add --no-affinity or --stop-at A, or give --model"
    )


def test_models_of_the_wrong_sort(scenes, message):
    values = {"backbone": "tiny", "init": "none", "training": SHORT, "val_split": "none"}
    plain = train_cls(scenes.out / "cam", data=Data(scenes.root, split="train"), **values)
    assert message(WssError, labels, scenes, plain) == (
        f"{plain}: holds a 'cam' net; pass what `wss train-cls --arch self-guided` wrote"
    )
    assert message(WssError, train, scenes, init=f"{plain},{scenes.out}/none") == (
        f"--init {plain},{scenes.out}/none: '{scenes.out}/none' is no directory; each part of a list is a model directory"
    )
    assert message(WssError, train, scenes, init=f"{plain},") == (
        f"--init {plain},: '.' is no directory; each part of a list is a model directory"
    )
    assert message(UsageError, labels, scenes, Path("imagenet")) == (
        "--model imagenet: --method self-guided needs a model of `wss train-cls --arch self-guided`, or "
        "--cams DIR --no-affinity"
    )
