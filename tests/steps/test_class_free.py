"""Class-free masks beside a data set of three classes: every step takes them and writes class-free masks."""

import re

import numpy as np
import pytest

from wsscli.classes import FOREGROUND, ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.classfree import class_free
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.writer import Output
from wsscli.nets.store import ARCHITECTURES, load_model
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._pictures import image_iou
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps._train import Training
from wsscli.steps.argmax import argmax
from wsscli.steps.crf import crf
from wsscli.steps.grabcut import grabcut
from wsscli.steps.grow import grow
from wsscli.steps.guided_filter import guided_filter
from wsscli.steps.predict import predict
from wsscli.steps.show import show
from wsscli.steps.train_seg import train_seg

SHORT = Training(iterations=4, batch_size=2, crop_size=33, device="cpu", bf16=False, log_every=2)


@pytest.fixture
def free(scenes):
    """Loose class-free masks of the scenes."""
    dataset = dataset_for(Data(scenes.root, split="train"))
    plan = Plan("saliency", scenes.out / "free", "masks", {}, FOREGROUND, data_ref(dataset), "train", (), ())
    return per_image(plan, Run(workers=1), scenes.ids, lambda name: Output(mask=class_free(scenes.loose(name))))


def seg(scenes, source, name="seg", **options):
    values = {"backbone": "tiny", "init": "none", "training": SHORT, "run": Run(workers=2)}
    return train_seg(source, scenes.out / name, **{**values, **options})


def values_in(out):
    folder = open_maskdir(out)
    return {int(value) for name in folder.ids for value in np.unique(folder.mask(name))}


def test_any_class_is_foreground():
    mask = np.array([[0, 1, 254], [255, 3, 0]], np.uint8)
    assert class_free(mask).tolist() == [[0, 1, 1], [255, 1, 0]] and class_free(mask).dtype == np.uint8
    assert mask.tolist() == [[0, 1, 254], [255, 3, 0]]


@pytest.mark.parametrize("step", [grabcut, crf, guided_filter])
def test_refining_keeps_the_class_free_table(scenes, free, step):
    out = step(free, scenes.out / "o")
    manifest = read_manifest(out)
    assert manifest.classes == FOREGROUND and manifest.data.path == str(scenes.root)
    assert values_in(out) == {0, 1} and set(manifest.pixels) == {"background", "foreground"}
    again = step(out, scenes.out / "again")  # and from there: the data set opens with its own classes
    assert read_manifest(again).classes == FOREGROUND


def test_grabcut_cuts_all_objects_as_one(scenes, free):
    out = open_maskdir(grabcut(free, scenes.out / "o"))
    for name in scenes.ids:
        assert ((out.mask(name) == 1) == (scenes.truth[name] > 0)).mean() > 0.97


def test_the_table_beside_it_still_counts(scenes, free, message):
    other = Data(scenes.root, "train", class_names=("cat", "dog"))
    assert read_manifest(grabcut(free, scenes.out / "o", data=other)).classes == FOREGROUND  # they hold no class of it
    masks = scenes.masks("loose")
    assert "loose: its class table is not the one of" in message(WssError, grabcut, masks, scenes.out / "p", data=other)


def test_growing_is_of_classes(scenes, free, message):
    text = message(WssError, grow, free, scenes.out / "o", scores=scenes.probabilities("p"))
    assert text.startswith(f"{free}: its class table is not the one of {scenes.out / 'p'}: ")


@pytest.fixture
def message():
    def text(kind, step, *arguments, **options):
        with pytest.raises(kind) as caught:
            step(*arguments, **options)
        return str(caught.value)

    return text


def test_show_draws_the_truth_without_classes(scenes, free):
    page = show([free], scenes.out / "page.html", truth=True).read_text()
    expected = [image_iou(class_free(scenes.truth[name]), class_free(scenes.loose(name))) for name in scenes.ids]
    assert re.findall(r"IoU (\d\.\d\d)", page) == [f"{value:.2f}" for value in expected]
    assert ">foreground<" in page and ">square<" not in page


@pytest.mark.parametrize("arch", ["deeplab", "fpn", "dfpn"])
def test_a_net_of_the_foreground(scenes, arch):
    source = scenes.masks("loose", supervision=["boxes"])
    out = seg(scenes, source, arch=arch, foreground=True)
    manifest = read_manifest(out)
    assert manifest.classes == FOREGROUND and manifest.supervision == ("boxes",)
    assert (manifest.options["foreground"], manifest.options["arch"]) == (True, arch)
    assert manifest.options["output_stride"] == (8 if arch == "deeplab" else 16)
    assert manifest.options["loss_step"] == 2
    net = load_model(out, arch="segmentation")
    assert net.config == manifest.model and net.stride == (8 if arch == "deeplab" else 4)
    masks = predict(out, scenes.out / "fg", scores=True, scales=(0.75, 1.0), flip=True, data=Data(split="val"))
    assert read_manifest(masks).classes == FOREGROUND and values_in(masks) <= {0, 1}
    with np.load(masks / "scores/d.npz") as stored:
        assert stored["classes"].tolist() == [0, 1]
        # twice the net's resolution of the photo at size 500 x 0.75 and 500
        assert stored["scores"].shape[0] == 2 and stored["scores"].shape[2] > (200 if arch != "deeplab" else 100)
    assert read_manifest(argmax(masks, scenes.out / "argmax")).classes == FOREGROUND
    assert read_manifest(crf(masks, scenes.out / "crf")).classes == FOREGROUND


def test_class_free_masks_give_a_class_free_net(scenes, free):
    out = seg(scenes, free, arch="fpn")
    assert read_manifest(out).classes == FOREGROUND
    other = seg(scenes, scenes.masks("loose"), "other", arch="fpn", foreground=True)
    same = seg(scenes, free, "same", arch="fpn", foreground=True)
    weights = [(path / "model.safetensors").read_bytes() for path in (out, other, same)]
    assert weights[0] == weights[1] == weights[2]


@pytest.mark.slow
def test_a_foreground_net_learns_what_the_masks_say(scenes):
    training = Training(
        iterations=60, batch_size=4, crop_size=65, device="cpu", bf16=False, scale_range="none", jitter=0
    )
    out = seg(scenes, scenes.masks("m", scenes.truth.get), arch="dfpn", foreground=True, training=training, size=64)
    masks = open_maskdir(predict(out, scenes.out / "fg", data=Data(split="train")))
    right = [((masks.mask(name) == 1) == (scenes.truth[name] > 0)).mean() for name in scenes.ids]
    assert min(right) > 0.95


def test_masks_of_ids_beyond_the_table(scenes):
    def strange(name):
        return np.where(scenes.truth[name] > 0, 200, 0).astype(np.uint8)

    out = seg(scenes, scenes.masks("strange", strange), foreground=True)
    assert read_manifest(out).classes == FOREGROUND


def test_masks_of_another_size(scenes, message):
    source = scenes.masks("m", lambda name: scenes.truth[name][:30])
    text = message(WssError, seg, scenes, source, foreground=True)
    assert text.endswith("both must be of the photo's size") and "is 30 x " in text


def test_what_does_not_go_together(scenes, free, message):
    source = scenes.masks("loose")
    assert message(UsageError, seg, scenes, source, foreground=True, loss="balanced-seed") == (
        "--foreground: --loss balanced-seed needs the images' classes; take --loss ce"
    )
    known = ", ".join(name for name, row in ARCHITECTURES.items() if row.use in ("segmentation", "boxes"))
    assert message(UsageError, seg, scenes, source, arch="unet") == f"--arch unet: train-seg builds {known}"
    assert "its class table is not the one of" in message(WssError, seg, scenes, free, loss="seed")
    net = seg(scenes, free)
    assert message(WssError, predict, net, scenes.out / "fg", labels_only=True, data=Data(split="val")) == (
        "--labels-only: the net tells foreground from background and knows no classes; leave it out"
    )


def test_the_command_knows_the_tables_architectures():
    from typing import get_args, get_type_hints

    names = {name for name, row in ARCHITECTURES.items() if row.use in ("segmentation", "boxes")}
    assert set(get_args(get_type_hints(train_seg)["arch"])) == names


def test_a_data_set_of_that_one_class(tmp_path):
    assert ClassTable.of(["foreground"]) == FOREGROUND
