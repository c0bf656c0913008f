"""`wss train-cls` and `wss train-seg` on the tiny net."""

import json
import logging

import numpy as np
import pytest
import torch

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.png import write_mask
from wsscli.nets.segmenter import DeepLab
from wsscli.nets.store import load_model
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps._train import Training, resolve
from wsscli.steps.train_cls import train_cls
from wsscli.steps.train_seg import train_seg

SHORT = Training(iterations=4, batch_size=2, crop_size=33, device="cpu", bf16=False, log_every=2)


def changed(**options):
    from dataclasses import replace

    return replace(SHORT, **options)


def data(scenes, **options):
    return Data(scenes.root, **{"split": "train", **options})


def cls(scenes, name="cls", **options):
    values = {"backbone": "tiny", "init": "none", "training": SHORT, "data": data(scenes), "run": Run(workers=2)}
    return train_cls(scenes.out / name, **{**values, **options})


def seg(scenes, source, name="seg", **options):
    values = {"backbone": "tiny", "init": "none", "training": SHORT, "run": Run(workers=2)}
    return train_seg(source, scenes.out / name, **{**values, **options})


def test_a_classifier(scenes):
    out = cls(scenes, run=Run(workers=2, seed=7))
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "wss.json", "log.jsonl"}
    manifest = read_manifest(out)
    assert (manifest.kind, manifest.step, manifest.split, manifest.images) == ("model", "train-cls", "train", 4)
    assert manifest.supervision == ("image-labels",) and manifest.seed == 7 and manifest.complete
    assert manifest.options == {
        "arch": "cam", "backbone": "tiny", "init": "none", "output_stride": 8, "device": "cpu", "batch_size": 2,
        "lr": 3e-4, "weight_decay": 0.05, "optimizer": "adamw", "schedule": "one-cycle", "head_lr": 10.0,
        "bias_lr": 1.0, "fast": "fresh", "crop_size": 33, "longer": 0, "scale": [0.3, 1.0], "flip": True,
        "jitter": 0.2, "dropout": 0.2, "freeze": 0, "iterations": 4, "bf16": False, "channels_last": True,
        "freeze_norm": False, "recipe": "modern",
    }  # fmt: skip
    model = load_model(out, arch="cam")
    assert model.size == 33 and model.classes == ClassTable.of(["disc", "square", "moon"])
    assert manifest.model == model.config


def test_validation_map_is_logged(scenes):
    rows = [json.loads(line) for line in (cls(scenes) / "log.jsonl").read_text().splitlines()]
    epochs = [row for row in rows if row["event"] == "epoch"]
    assert len(epochs) == 2 and all(row["val_map"] == 1.0 for row in epochs)  # one image, all its classes known
    rows = (cls(scenes, "none", val_split="none") / "log.jsonl").read_text()
    assert "val_map" not in rows
    assert "val_map" not in (cls(scenes, "val", data=data(scenes, split="val")) / "log.jsonl").read_text()


def test_a_validation_split_that_is_not_there(scenes, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    with pytest.raises(WssError, match="no split 'tset'"):
        cls(scenes, val_split="tset")
    (scenes.root / "ImageSets/Segmentation/val.txt").unlink()
    assert "val_map" not in (cls(scenes) / "log.jsonl").read_text()
    assert f"no validation: {scenes.root}: no split 'val'; splits here: train" in caplog.text


def test_the_same_again_does_nothing(scenes, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    out = cls(scenes)
    before = (out / "model.safetensors").stat().st_mtime_ns
    cls(scenes)
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    assert "complete with the same options: nothing to do" in caplog.text
    with pytest.raises(WssError, match=r"--lr was 0\.0003, now 0\.01"):
        cls(scenes, training=changed(lr=0.01))
    cls(scenes, training=changed(lr=0.01), run=Run(overwrite=True, workers=1))
    assert read_manifest(out).options["lr"] == 0.01


def test_a_checkpoint_left_by_a_late_kill_goes_away(scenes):
    out = cls(scenes)
    for name in ("last.ckpt", ".last.ckpt.part"):
        (out / name).touch()
    cls(scenes, run=Run(dry_run=True))
    assert (out / "last.ckpt").exists()
    cls(scenes)
    assert not (out / "last.ckpt").exists() and not (out / ".last.ckpt.part").exists()


def test_options_that_change_nothing(scenes):
    expected = (cls(scenes) / "model.safetensors").read_bytes()
    other = cls(scenes, "other", training=changed(checkpoint_seconds=0.0, log_every=1), run=Run(workers=5))
    assert (other / "model.safetensors").read_bytes() == expected
    assert read_manifest(other).digest() == read_manifest(scenes.out / "cls").digest()


def test_dry_run_writes_nothing(scenes):
    out = cls(scenes, run=Run(dry_run=True))
    assert not out.exists()


def test_images_without_labels(scenes, message):
    (scenes.root / "Annotations/b.xml").unlink()
    text = message(WssError, cls, scenes)
    assert "no image-level labels for 1 of 4 images of split train (b)" in text
    for name in "acd":
        (scenes.root / f"Annotations/{name}.xml").write_text("<annotation></annotation>")
    (scenes.root / "Annotations/b.xml").write_text("<annotation></annotation>")
    assert message(WssError, cls, scenes) == (
        f"{scenes.root}: none of the 4 images of split train holds any class; check the labels"
    )


def test_a_damaged_image_is_named(scenes, message):
    path = scenes.root / "JPEGImages/c.jpg"
    path.write_bytes(path.read_bytes()[:300])
    assert str(path) in message(WssError, cls, scenes)


def test_a_loss_that_is_not_a_number(scenes, message):
    text = message(WssError, cls, scenes, training=changed(lr=1e30, iterations=40))
    assert "the loss became " in text and "use --overwrite and --lr below 1e+30" in text
    assert not (scenes.out / "cls/model.safetensors").exists()
    assert not read_manifest(scenes.out / "cls").complete


def test_init(scenes, message, tmp_path):
    first = cls(scenes)
    second = cls(scenes, "second", init=str(first))
    manifest = read_manifest(second)
    assert manifest.options["init"] == "model"
    assert [(i.role, i.digest) for i in manifest.inputs] == [("init", read_manifest(first).digest())]
    weights = tmp_path / "weights.pth"
    torch.save(load_model(first).backbone.body.state_dict(), weights)
    third = read_manifest(cls(scenes, "third", init=str(weights)))
    assert third.options["init"] == "file" and third.supervision == ("external-model:weights.pth", "image-labels")
    assert message(WssError, cls, scenes, "x", init="imagnet") == (
        "--init imagnet: no such file or directory; give imagenet, none, a weights file or a model directory"
    )
    assert message(UsageError, cls, scenes, "x", init="imagenet") == (
        "backbone tiny has no ImageNet weights; pass --init none or --init FILE"
    )
    assert not (scenes.out / "x").exists()


def test_tensorboard(scenes, monkeypatch, message):
    import sys

    pytest.importorskip("tensorboard")
    out = cls(scenes, training=changed(tensorboard=True))
    assert list((out / "tensorboard").iterdir())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert message(WssError, cls, scenes, "x", training=changed(tensorboard=True)) == (
        "--tensorboard: the package is not installed; pip install 'wsscli[tensorboard]'"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 2.0}, "--epochs and --iterations both say how long to train; give one of them"),
        ({"iterations": 0}, "--epochs None --iterations 0: give more than 0"),
        ({"lr": -1.0}, "--lr -1.0: give 0 or more"),
        ({"batch_size": 0}, "--batch-size 0: give 1 or more"),
        ({"dropout": 1.0}, "--dropout 1.0: give 0 to 0.95"),
        ({"crop_size": 8}, "--crop-size 8: give 33 or more"),
        ({"freeze": 1}, "--freeze 1: backbone tiny has 0 stages that can be frozen"),
        ({"scale_range": "big"}, "--scale-range big: give two numbers, least,largest, or none"),
        ({"scale_range": "0.5,2"}, "--scale-range 0.5,2: give 0 < least <= largest <= 1"),
    ],
)
def test_options_out_of_range(scenes, message, options, expected):
    assert message(UsageError, cls, scenes, training=changed(**options)) == expected
    assert not (scenes.out / "cls").exists()


def resolved(training, task="classification", images=100, **options):
    values = {"backbone": "lite0", "init": "imagenet", "output_stride": None, "device": torch.device("cpu")}
    return resolve(training, task, images, **{**values, **options})


def test_recipes():
    modern = resolved(Training())
    assert (modern["iterations"], modern["optimizer"], modern["freeze"], modern["output_stride"]) == (
        50,
        "adamw",
        3,
        32,
    )
    assert resolved(Training(epochs=1.5))["iterations"] == 10
    assert resolved(Training(), init="none")["freeze"] == 0
    assert resolved(Training(freeze=1), init="none")["freeze"] == 1
    dsrg = resolved(Training(recipe="dsrg"), backbone="vgg16")
    wanted = {
        "iterations": 8000, "batch_size": 20, "lr": 5e-4, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_every": 2000, "step_factor": 0.1, "crop_size": 321, "dropout": 0.5, "output_stride": 8, "freeze": 0,
        "scale": None, "bias_lr": 1.0, "head_lr": 1.0,
    }  # fmt: skip
    assert dsrg | wanted == dsrg
    retrain = resolved(Training(recipe="dsrg"), "segmentation", backbone="vgg16")
    wanted = {
        "iterations": 20000, "batch_size": 10, "lr": 1e-3, "schedule": "poly", "crop_size": 321, "head_lr": 10.0,
        "bias_lr": 2.0, "fast": "last", "loss_step": 8,
    }  # fmt: skip
    assert retrain | wanted == retrain
    given = resolved(
        Training(recipe="dsrg", epochs=2, lr=1e-2, flip=False, scale_range="none"), "segmentation", images=55
    )
    assert (given["iterations"], given["lr"], given["flip"], given["scale"]) == (11, 1e-2, False, None)


def test_a_segmentation_net(scenes):
    source = scenes.masks("loose", supervision=["image-labels"])
    out = seg(scenes, source, size=65)
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "wss.json", "log.jsonl"}
    manifest = read_manifest(out)
    assert (manifest.kind, manifest.step, manifest.split) == ("model", "train-seg", "train")
    assert manifest.supervision == ("image-labels",)
    assert [(i.role, i.digest) for i in manifest.inputs] == [("masks", read_manifest(source).digest())]
    assert (manifest.options["arch"], manifest.options["loss"], manifest.options["hidden"]) == ("deeplab", "ce", 16)
    model = load_model(out, arch="segmentation")
    assert isinstance(model, DeepLab) and model.size == 65 and manifest.model == model.config


@pytest.mark.parametrize(
    "options", [{"arch": "deeplab-largefov"}, {"loss_step": 1}, {"training": changed(scale_range="none")}]
)
def test_forms_of_segmentation_nets(scenes, options):
    assert read_manifest(seg(scenes, scenes.masks("loose"), **options)).complete


def test_it_learns_what_the_masks_say(scenes):
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.steps.predict import predict

    training = changed(iterations=150, batch_size=4, lr=5e-3, head_lr=1.0, crop_size=65, scale_range="1,1", dropout=0.0)
    source = scenes.masks("truth", lambda name: np.where(np.arange(40)[:, None] % 4, scenes.truth[name], 255))
    out = predict(seg(scenes, source, size=65, training=training), scenes.out / "p", data=data(scenes), device="cpu")
    found = open_maskdir(out)
    assert np.mean([(found.mask(n) == scenes.truth[n]).mean() for n in scenes.ids]) > 0.9


def test_a_segmentation_net_from_a_classifier(scenes, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    out = seg(scenes, scenes.masks("loose"), init=str(cls(scenes)))
    assert "stay random: branches.0.0.weight" in caplog.text
    assert [i.role for i in read_manifest(out).inputs] == ["masks", "init"]
    assert read_manifest(out).supervision == ("image-labels",)


def test_true_masks_of_the_data_set(scenes):
    out = seg(scenes, scenes.root / "SegmentationClass", data=data(scenes))
    assert read_manifest(out).supervision == ("masks:4",)


def test_a_foreign_folder_of_masks(scenes, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    folder = scenes.out / "foreign"
    for name in ("a", "c", "zebra"):
        write_mask(folder / f"{name}.png", scenes.truth.get(name, np.zeros((4, 4), np.uint8)))
    out = seg(scenes, folder, data=data(scenes))
    assert read_manifest(out).supervision == ("external-model:unknown",) and read_manifest(out).images == 2
    assert f"{folder}: 2 of 4 images of split train have a mask" in caplog.text


def test_masks_of_other_images(scenes, message):
    write_mask(scenes.out / "foreign/zebra.png", np.zeros((4, 4), np.uint8))
    assert message(WssError, seg, scenes, scenes.out / "foreign", data=data(scenes)) == (
        f"{scenes.out}/foreign: none of its 1 images is in split train of {scenes.root}; name the right --data and "
        "--split"
    )


def test_a_directory_with_images_that_the_split_lacks(scenes, message):
    source = scenes.masks("loose")
    (scenes.root / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    assert message(WssError, seg, scenes, source) == (
        f"{source}: 2 of 4 images are not in split train of {scenes.root}, the first is 'c'; name the data set and "
        "split it was made from"
    )


def test_no_labelled_pixel(scenes, message):
    source = scenes.masks("blank", lambda name: np.full_like(scenes.truth[name], 255))
    assert message(WssError, seg, scenes, source) == (
        f"{source}: no labelled pixel in any of its 4 masks (all 255); nothing to learn from"
    )


def test_a_mask_that_does_not_fit(scenes, message):
    source = scenes.masks("loose")
    write_mask(source / "masks/b.png", np.zeros((10, 20), np.uint8))
    assert message(WssError, seg, scenes, source) == (
        f"{source}/masks/b.png: is 10 x 20 (height x width), but {scenes.root}/JPEGImages/b.jpg is 40 x 53; both must "
        "be of the photo's size"
    )
    write_mask(source / "masks/b.png", np.full((40, 53), 9, np.uint8))
    assert message(WssError, seg, scenes, source, run=Run(overwrite=True)) == (
        f"{source}/masks/b.png: holds the class id 9, but the class table ends at 3 (moon); use the data set's class "
        "ids, or name all classes with --class-names"
    )


def test_another_class_table(scenes, message):
    from dataclasses import replace

    source = scenes.masks("loose")
    write_manifest(source, replace(read_manifest(source), classes=ClassTable.of(["cat"])))
    text = message(WssError, seg, scenes, source, data=data(scenes, class_names=("disc", "square", "moon")))
    assert text == (
        f"{source}: its class table is not the one of {scenes.root}: class 1 is 'disc' there and 'cat' here; use the "
        "table of one data set"
    )


def test_options_of_segmentation_out_of_range(scenes, message):
    source = scenes.masks("loose")
    assert message(UsageError, seg, scenes, source, size=8) == "--size 8: give 32 or more"
    assert message(UsageError, seg, scenes, source, loss_step=9) == (
        "--loss-step 9: give 1 to the stride of the net's output, 8"
    )
    assert message(UsageError, seg, scenes, source, hidden=0) == "--hidden 0: give 1 or more"
    assert message(UsageError, seg, scenes, source, training=changed(scale_range="1,9")) == (
        "--scale-range 1,9: give 0 < least <= largest <= 8"
    )
    assert message(WssError, seg, scenes, scenes.out / "nothing") == f"{scenes.out}/nothing: no such directory"
