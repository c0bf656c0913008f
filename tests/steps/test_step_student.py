"""`train-seg --arch student`: teachers of every kind, what the model says of itself, and what can be done with it."""

import numpy as np
import pytest

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.nets.store import load_segmenter
from wsscli.nets.student import Student
from wsscli.seeds.otsu import otsu_threshold
from wsscli.steps._data import Data
from wsscli.steps._foreground import Foreground
from wsscli.steps._run import Run
from wsscli.steps._seeding import Seeding
from wsscli.steps._student import foreground_reader
from wsscli.steps._train import Training
from wsscli.steps.make_seeds import make_seeds
from wsscli.steps.predict import predict
from wsscli.steps.saliency import saliency
from wsscli.steps.train_seg import train_seg
from wsscli.train.loop import read_log

SHORT = Training(iterations=4, batch_size=2, crop_size=33, device="cpu", bf16=False, log_every=2)


@pytest.fixture
def teacher(scenes):
    return saliency(scenes.out / "sal", data=Data(scenes.root, split="train"), run=Run(workers=2))


def train(scenes, source, name="student", **options):
    return train_seg(
        source, scenes.out / name, **{"arch": "student", "training": SHORT, "run": Run(workers=2), **options}
    )


def test_the_net_and_its_manifest(scenes, teacher):
    for name in scenes.ids:  # no label enters
        (scenes.root / f"Annotations/{name}.xml").unlink()
    out = train(scenes, teacher)
    manifest = read_manifest(out)
    assert manifest.supervision == ("unlabelled-images",) and manifest.classes == FOREGROUND
    assert [i.role for i in manifest.inputs] == ["masks"]
    wanted = {"arch": "student", "init": "none", "crop_size": 33, "iterations": 4, "schedule": "one-cycle"}
    assert wanted.items() <= manifest.options.items()
    model = load_segmenter(out)
    assert isinstance(model, Student) and model.config == manifest.model and model.side == 33


def test_it_learns_what_its_teacher_says(scenes, teacher):
    how = Training(epochs=30, batch_size=2, crop_size=33, scale_range="none", jitter=0.0, device="cpu", bf16=False)
    out = train(scenes, teacher, training=how)
    losses = [row["loss"] for row in read_log(out) if row["event"] == "epoch"]
    assert losses[-1] < 0.5 * losses[0]
    found = open_maskdir(
        predict(
            out, scenes.out / "fg", scores=True, device="cpu", bf16=False, data=Data(split="train"), run=Run(workers=2)
        )
    )
    assert found.classes == FOREGROUND and found.manifest.supervision == ("unlabelled-images",)
    for name in scenes.ids:
        soft, truth = found.scores(name).full()[1], scenes.truth[name] > 0
        np.testing.assert_array_equal(found.mask(name) == 1, soft > 1 - soft)
        assert soft[truth].mean() > soft[~truth].mean() + 0.2


def test_seeds_of_its_foreground(scenes, teacher):
    model = train(scenes, teacher)
    out = make_seeds(scenes.out / "coarse", method="foreground", model=model, device="cpu", run=Run(workers=2))
    found = open_maskdir(out, need="scores")
    assert found.manifest.supervision == ("image-labels", "unlabelled-images")
    assert [i.role for i in found.manifest.inputs] == ["model"] and found.ids == ["a", "b"]
    assert found.manifest.options == {
        "method": "foreground", "foreground": "model", "device": "cpu", "label_count": "single", "fg_threshold": "otsu",
    }  # fmt: skip
    scores = predict(
        model,
        scenes.out / "fg",
        masks=False,
        scores=True,
        device="cpu",
        bf16=False,
        data=Data(split="train"),
        run=Run(workers=1),
    )
    for name, label in {"a": 1, "b": 2}.items():
        soft = open_maskdir(scores).scores(name).full()[1]
        np.testing.assert_array_equal(found.mask(name), np.where(soft > otsu_threshold(soft), label, 0))
    again = make_seeds(
        scenes.out / "again", method="foreground", class_free=Foreground(scores), run=Run(workers=1)
    )  # its stored soft masks instead of itself
    for name in ("a", "b"):
        assert (again / f"masks/{name}.png").read_bytes() == (out / f"masks/{name}.png").read_bytes()


def test_masks_as_teachers(scenes):
    source = scenes.masks("loose", supervision=["image-labels"])
    assert read_manifest(train(scenes, source)).supervision == ("image-labels", "unlabelled-images")
    truth = train(scenes, scenes.root / "SegmentationClass", "cheat", data=Data(scenes.root, split="train"))
    assert read_manifest(truth).supervision == ("masks:4", "unlabelled-images")


def test_what_is_read_of_masks(scenes):
    from wsscli.data.dataset import open_dataset

    def work(name):
        mask = scenes.truth[name].copy()
        mask[:2] = 255
        return mask

    read = foreground_reader(open_maskdir(scenes.masks("some", work)), open_dataset(scenes.root, split="train"))
    found = read("c")
    assert np.isnan(found[:2]).all()
    np.testing.assert_array_equal(found[2:], scenes.truth["c"][2:] > 0)


def test_from_one_student_to_the_next(scenes, teacher):
    first = train(scenes, teacher)
    soft = predict(
        first,
        scenes.out / "fg",
        masks=False,
        scores=True,
        device="cpu",
        bf16=False,
        data=Data(split="train"),
        run=Run(workers=2),
    )
    still = Training(**{**vars(SHORT), "lr": 0.0, "iterations": 1})
    second = train(scenes, soft, "second", init=str(first), training=still)
    manifest = read_manifest(second)
    assert [i.role for i in manifest.inputs] == ["masks", "init"] and manifest.options["init"] == "model"
    one, two = (load_segmenter(path).state_dict() for path in (first, second))
    for key, tensor in two.items():
        if "running" not in key and "tracked" not in key:
            np.testing.assert_array_equal(tensor.numpy(), one[key].numpy())


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"loss": "seed"}, "--loss"),
        ({"backbone": "vgg16"}, "--backbone"),
        ({"output_stride": 8}, "--output-stride"),
        ({"hidden": 8}, "--hidden"),
        ({"size": 200}, "--size"),
        ({"loss_step": 2}, "--loss-step"),
        ({"seeding": Seeding(grow=True)}, "--grow"),
        ({"training": Training(freeze=1)}, "--freeze"),
        ({"training": Training(head_lr=2.0)}, "--head-lr"),
        ({"training": Training(dropout=0.1)}, "--dropout"),
    ],
)
def test_options_that_it_does_not_take(scenes, message, options, flag):
    text = f"{flag}: --arch student does not take it; leave it out"
    assert message(UsageError, train, scenes, scenes.out / "sal", **options) == text


def test_other_beginnings_and_recipes(scenes, message, teacher):
    (scenes.out / "weights.pth").write_bytes(b"")
    assert message(UsageError, train, scenes, teacher, init=f"{scenes.out}/weights.pth") == (
        f"--init {scenes.out}/weights.pth: a student starts from nothing, or from an earlier student's directory"
    )
    assert message(UsageError, train, scenes, teacher, training=Training(recipe="dsrg")) == (
        "--recipe dsrg: has no numbers for this training; take modern"
    )
    assert message(UsageError, train, scenes, teacher, training=Training(crop_size=100)) == (
        "--crop-size 100: a student's square has a multiple of 16, plus 1; take 97 or 113"
    )


def test_teachers_that_say_nothing(scenes, message):
    cams, empty = scenes.cams("cams"), scenes.masks("empty", lambda name: np.zeros_like(scenes.truth[name]))
    assert message(WssError, train, scenes, cams) == (
        f"{cams}: holds cam scores of classes, but a foreground is needed: give saliency (`wss saliency`), or masks"
    )
    assert message(WssError, train, scenes, empty) == (
        f"{empty}: no foreground in any of its 4 images; nothing to learn from"
    )


def test_a_net_of_classes_finds_no_foreground(scenes, message):
    how = Training(iterations=1, batch_size=2, crop_size=33, device="cpu", bf16=False)
    model = train_seg(
        scenes.masks("loose"), scenes.out / "seg", backbone="tiny", init="none", training=how, run=Run(workers=2)
    )
    assert message(WssError, make_seeds, scenes.out / "s", method="foreground", model=model) == (
        f"{model}: a net of classes, but a foreground is needed; train one with `wss train-seg --arch student`, or with "
        "--foreground"
    )
