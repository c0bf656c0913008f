"""`wss train-seg` on seeds: losses, growing, what the manifest says, and what is refused."""

import json
import multiprocessing
import random
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.writer import Output
from wsscli.nets.store import load_model
from wsscli.steps._data import Data
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps._seeding import Seeding, check_seeding, seeding_options, truth_reader
from wsscli.steps._train import Training, resolve
from wsscli.steps.train_seg import train_seg
from wsscli.train.loop import read_log
from wsscli.train.recipes import RECIPES

KILLS = 5
INF = float("inf")


def epochs(out):
    return [row for row in read_log(out) if row["event"] == "epoch"]


def options(out):
    return read_manifest(out).options


@pytest.mark.parametrize("loss", ["seed", "balanced-seed"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"boundary": 0.0},
        {"grow": True},
        {"grow": True, "boundary": 0.0, "original_quirks": True},
        {"grow": True, "crf_engine": "dense", "crf_unary": "log-probability", "crf_grad": "dsrg", "crf_scale": 6.0},
    ],
)
def test_every_form_trains(seeded, loss, how):
    out = seeded.train(loss=loss, options=how)
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "wss.json", "log.jsonl"}
    manifest = read_manifest(out)
    assert manifest.complete and manifest.supervision == ("image-labels",)
    assert manifest.options["loss"] == loss
    assert {name: manifest.options[name] for name in how} == how
    losses = [row["loss"] for row in epochs(out)]
    assert len(losses) == 4 and all(np.isfinite(losses))
    assert load_model(out, arch="segmentation").classes == ClassTable.of(["disc", "square", "moon"])


@pytest.mark.slow
def test_each_option_of_the_objective_reaches_it(seeded):
    weights = {
        str(how): (seeded.train(str(i), options=how, iterations=24) / "model.safetensors").read_bytes()
        for i, how in enumerate(
            [
                {},
                {"boundary": 0.0},
                {"boundary": 2.0},
                {"grow": True},
                {"crf_grad": "dsrg"},
                {"crf_unary": "log-probability"},
                {"crf_unary": "log-probability", "grow": True},
                {"crf_unary": "log-probability", "grow": True, "theta_fg": INF},
                {"crf_unary": "log-probability", "grow": True, "theta_bg": INF},
                {"crf_engine": "dense"},
                {"crf_scale": 3.0},
            ]
        )
    }
    assert len(set(weights.values())) == len(weights)
    neither = seeded.train("neither", options={"grow": True, "theta_fg": INF, "theta_bg": INF}, iterations=24)
    assert (neither / "model.safetensors").read_bytes() == weights["{}"]
    assert (seeded.train("seed", options={}, loss="seed", iterations=24) / "model.safetensors").read_bytes() != weights[
        "{}"
    ]


def test_the_seed_loss_alone_is_cross_entropy(seeded):
    seed = seeded.train("seed", loss="seed", options={"boundary": 0.0})
    ce = train_seg(
        seeded.source, seeded.out / "ce", backbone="tiny", init="none", loss_step=4, run=Run(workers=1),
        training=Training(
            iterations=8, batch_size=2, crop_size=65, lr=5e-3, device="cpu", bf16=False, scale_range="none"
        ),
    )  # fmt: skip
    # equal but for the order of sums
    first, second = (dict(load_model(out).named_parameters()) for out in (seed, ce))
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


@pytest.mark.slow
def test_growing_finds_what_the_seeds_leave_out(seeded):
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.steps.predict import predict

    out = seeded.train(watch="truth", iterations=120, batch_size=4, dropout=0.0, options={"grow": True})
    rows = epochs(out)
    first, last = rows[0]["seeds"], rows[-1]["supervision"]
    assert first["precision"] > 0.99 and last["precision"] > 0.8
    assert last["recall"] > first["recall"] + 0.4 and last["iou"] > first["iou"] + 0.3
    found = open_maskdir(predict(out, seeded.out / "p", data=Data(seeded.scenes.root, split="train"), device="cpu"))
    assert np.mean([(found.mask(n) == seeded.scenes.truth[n]).mean() for n in seeded.scenes.ids]) > 0.85


def test_the_manifest_s_options(seeded):
    out = seeded.train(options={"grow": True, "theta_bg": INF}, watch="truth", snapshot=("b", "a"))
    found = options(out)
    said = {
        "loss": "balanced-seed", "boundary": 1.0, "grow": True, "theta_fg": 0.85, "theta_bg": "inf",
        "original_quirks": False, "crf_engine": "lattice", "crf_unary": "probability", "crf_scale": 12.0,
        "crf_grad": "none", "watch_supervision": True, "snapshot_supervision": ["b", "a"],
        "scale": None, "longer": 65, "loss_step": 4, "recipe": "modern",
    }  # fmt: skip
    assert found | said == found
    json.loads((out / "wss.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    read_log(out)
    for line in (out / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_cross_entropy_has_none_of_the_options(seeded):
    out = train_seg(
        seeded.source, seeded.out / "ce", backbone="tiny", init="none", run=Run(workers=1),
        training=Training(iterations=1, batch_size=2, crop_size=33, device="cpu"),
    )  # fmt: skip
    assert not set(options(out)) & set(vars(Seeding()))
    assert read_manifest(out).supervision == ("image-labels",)


def test_engines_are_resolved():
    assert seeding_options(Seeding(), "cpu")["crf_engine"] == "lattice"
    assert seeding_options(Seeding(), "cuda")["crf_engine"] == "dense"
    assert seeding_options(Seeding(crf_engine="lattice"), "cuda")["crf_engine"] == "lattice"


def test_other_options_are_another_training(seeded, message):
    seeded.train(options={"grow": True})
    assert "--theta-bg was 0.99, now 'inf'" in message(WssError, seeded.train, options={"grow": True, "theta_bg": INF})
    seeded.train(options={"grow": True})  # the same: nothing to do


def test_recipes_of_seeds():
    def resolved(recipe, backbone):
        return resolve(
            Training(recipe=recipe), "seeding", 100, backbone=backbone, init="imagenet", output_stride=None,
            device=torch.device("cpu"),
        )  # fmt: skip

    dsrg = resolved("dsrg", "vgg16")
    wanted = {
        "iterations": 8000, "batch_size": 20, "lr": 5e-4, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_every": 1000, "step_factor": 0.33, "head_lr": 10.0, "bias_lr": 2.0, "fast": "last", "crop_size": 321,
        "scale": None, "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0, "loss_step": 8, "output_stride": 8,
    }  # fmt: skip
    assert dsrg | wanted == dsrg
    modern = resolved("modern", "lite0")
    wanted = {"batch_size": 16, "optimizer": "adamw", "schedule": "one-cycle", "loss_step": 8, "freeze": 3}
    assert modern | wanted == modern
    assert modern["iterations"] == -(-RECIPES["modern", "seeding"]["epochs"] * 100 // 16)


def test_the_dsrg_recipe_as_a_training(seeded):
    out = train_seg(
        seeded.source, seeded.out / "seg", loss="balanced-seed", backbone="tiny", init="none", seeding=Seeding(grow=True),
        training=Training(recipe="dsrg", iterations=2, batch_size=2, device="cpu", bf16=False), run=Run(workers=1),
    )  # fmt: skip
    found = options(out)
    assert (found["crop_size"], found["longer"], found["loss_step"], found["output_stride"]) == (321, 321, 8, 8)
    assert load_model(out).size == 321


def test_size_stands_over_the_crop(seeded):
    out = train_seg(
        seeded.source, seeded.out / "seg", loss="seed", backbone="tiny", init="none", size=80, run=Run(workers=1),
        training=Training(iterations=1, batch_size=2, crop_size=33, device="cpu"),
    )  # fmt: skip
    assert options(out)["longer"] == 80 and load_model(out).size == 80


def test_watching_leaves_no_trace_in_the_ledger(seeded):
    assert read_manifest(seeded.train(watch="truth", snapshot=("a",))).supervision == ("image-labels",)
    folder = seeded.scenes.root / "SegmentationClass"
    out = seeded.train("folder", watch=str(folder))
    assert [i.role for i in read_manifest(out).inputs] == ["masks", "watch"]  # another truth is another log
    assert read_manifest(out).supervision == ("image-labels",)


def test_image_labels_enter_the_ledger_even_if_the_seeds_name_none(seeded):
    foreign = seeded.out / "foreign"
    shutil.copytree(seeded.source / "masks", foreign)
    out = train_seg(
        foreign, seeded.out / "seg", loss="seed", backbone="tiny", init="none", run=Run(workers=1),
        data=Data(seeded.scenes.root, split="train"), training=Training(iterations=1, batch_size=2, crop_size=33),
    )  # fmt: skip
    assert read_manifest(out).supervision == ("external-model:unknown", "image-labels")


def test_the_log_measures_seeds_and_supervision(seeded):
    from wsscli.evaluate.confusion import confusion
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.train.augment import resize_mask

    rows = epochs(seeded.train(watch="truth", flip=False))
    seeds = open_maskdir(seeded.source)
    matrix = sum(
        confusion(resize_mask(seeded.scenes.truth[n], 65, 65)[::4, ::4], resize_mask(seeds.mask(n), 65, 65)[::4, ::4], 4)
        for n in seeded.scenes.ids
    )  # fmt: skip
    assert [row["seeds"]["confusion"] for row in rows] == [matrix.tolist()] * 4  # all images once an epoch
    assert all(row["supervision"]["coverage"] > row["seeds"]["coverage"] for row in rows)
    still = epochs(seeded.train("still", watch="truth", flip=False, options={}))
    assert all(row["supervision"] == row["seeds"] == rows[0]["seeds"] for row in still)


def test_a_directory_of_true_masks_measures_the_same(seeded):
    truth = seeded.scenes.masks("truth", lambda name: seeded.scenes.truth[name])
    rows = [
        [(row["seeds"], row["supervision"]) for row in epochs(seeded.train(name, watch=where))]
        for name, where in (("a", "truth"), ("b", str(truth)), ("c", str(seeded.scenes.root / "SegmentationClass")))
    ]
    assert rows[0] == rows[1] == rows[2]


def test_images_without_labels(seeded, message):
    (seeded.scenes.root / "Annotations/b.xml").unlink()
    text = message(WssError, seeded.train)
    assert "no image-level labels for 1 of 4 images of split train (b)" in text
    assert not (seeded.out / "seg").exists()


@pytest.mark.parametrize(
    ("loss", "how", "expected"),
    [
        ("ce", {"grow": True}, "--grow: --loss ce has no seeds; take --loss balanced-seed or seed"),
        ("ce", {"boundary": 0.0}, "--boundary: --loss ce has no seeds; take --loss balanced-seed or seed"),
        (
            "ce",
            {"watch_supervision": "truth"},
            "--watch-supervision: --loss ce has no seeds; take --loss balanced-seed or seed",
        ),
        (
            "ce",
            {"snapshot_supervision": ("a",)},
            "--snapshot-supervision: --loss ce has no seeds; take --loss balanced-seed or seed",
        ),
        ("seed", {"theta_fg": 0.5}, "--theta-fg: nothing grows; add --grow"),
        ("seed", {"theta_bg": INF}, "--theta-bg: nothing grows; add --grow"),
        ("seed", {"original_quirks": True}, "--original-quirks: nothing grows; add --grow"),
        (
            "seed",
            {"boundary": 0.0, "crf_engine": "dense"},
            "--crf-engine: there is no CRF without --grow and with --boundary 0",
        ),
        (
            "seed",
            {"boundary": 0.0, "crf_unary": "log-probability"},
            "--crf-unary: there is no CRF without --grow and with --boundary 0",
        ),
        (
            "seed",
            {"boundary": 0.0, "crf_scale": 6.0},
            "--crf-scale: there is no CRF without --grow and with --boundary 0",
        ),
        (
            "seed",
            {"boundary": 0.0, "grow": True, "crf_grad": "dsrg"},
            "--crf-grad: there is no boundary loss with --boundary 0",
        ),
        (
            "seed",
            {"grow": True, "theta_fg": -0.1},
            "--theta-fg -0.1: give a probability (0.85 and 0.99 are usual) or inf",
        ),
        (
            "seed",
            {"grow": True, "theta_bg": float("nan")},
            "--theta-bg nan: give a probability (0.85 and 0.99 are usual) or inf",
        ),
        ("seed", {"boundary": -1.0}, "--boundary -1.0: give 0 or more"),
        ("seed", {"boundary": INF}, "--boundary inf: give 0 or more"),
        ("seed", {"boundary": float("nan")}, "--boundary nan: give 0 or more"),
        ("seed", {"crf_scale": 0.0}, "--crf-scale 0: give 0.001 to 1000"),
        ("seed", {"crf_scale": 1e12}, "--crf-scale 1e+12: give 0.001 to 1000"),
        ("seed", {"crf_scale": INF}, "--crf-scale inf: give 0.001 to 1000"),
        ("seed", {"crf_scale": float("nan")}, "--crf-scale nan: give 0.001 to 1000"),
    ],
)
def test_options_that_do_not_fit(seeded, message, loss, how, expected):
    how = dict(how)
    watch, snapshot = how.pop("watch_supervision", None), how.pop("snapshot_supervision", ())
    assert message(UsageError, seeded.train, loss=loss, options=how, watch=watch, snapshot=snapshot) == expected
    assert not (seeded.out / "seg").exists()


def test_a_training_that_diverges(seeded, message):
    how = {"options": {"grow": True}, "lr": 1e30, "batch_size": 2}
    text = message(WssError, seeded.train, **how)
    assert text.startswith(f"{seeded.out / 'seg'}: the loss became nan at iteration 2 of ") and "--lr below" in text
    # here the first that looks at the net is who draws it
    text = message(WssError, seeded.train, "drawn", **(how | {"batch_size": 4}), snapshot=("a",))
    assert text == f"{seeded.out / 'drawn'}: the net gives NaN or infinity; use --overwrite and a lower --lr"


def test_seeds_without_a_data_set_that_number_other_classes(seeded, message):
    def one(name):
        return Output(mask=np.full(seeded.scenes.truth[name].shape, 1, np.uint8))

    plan = Plan("import masks", seeded.out / "own", "masks", {}, ClassTable.of(["disc"]))
    own = per_image(plan, Run(workers=1), seeded.scenes.ids, one)
    data = Data(seeded.scenes.root, split="train")
    assert message(WssError, train_seg, own, seeded.out / "seg", loss="seed", backbone="tiny", data=data) == (
        f"{own}: its class table is not the one of {seeded.scenes.root}: 4 classes there and 2 here; use the table of "
        "one data set"
    )


def test_options_that_fit():
    check_seeding(Seeding(), "ce")
    check_seeding(Seeding(grow=True, theta_fg=INF, theta_bg=0.0, original_quirks=True), "seed")
    check_seeding(Seeding(grow=True, boundary=0.0, crf_scale=1.0), "balanced-seed")
    check_seeding(Seeding(boundary=0.0, watch_supervision="truth", snapshot_supervision=("a",)), "seed")


def opened(seeded):
    from wsscli.data.dataset import open_dataset

    return open_dataset(seeded.scenes.root, split="train")


def test_true_masks_that_are_not_there(seeded, message):
    dataset = opened(seeded)
    assert truth_reader(None, dataset, dataset.classes, ["a"]) is None
    few = seeded.out / "few"
    for name in ("a", "c"):
        write_mask(few / f"{name}.png", seeded.scenes.truth[name])
    assert message(WssError, seeded.train, watch=str(few)) == (
        f"{few}: no true mask of 2 of the 4 images, the first is 'b'; train on a part with --ids, or leave "
        "--watch-supervision out"
    )
    shutil.rmtree(seeded.scenes.root / "SegmentationClass")
    assert message(WssError, seeded.train, watch="truth") == (
        f"{seeded.scenes.root}: has no true masks; give a directory of them with --watch-supervision DIR"
    )
    assert not (seeded.out / "seg").exists()


def test_one_true_mask_that_is_not_there(seeded, message):
    (seeded.scenes.root / "SegmentationClass/b.png").unlink()
    assert f"{seeded.scenes.root}: no true mask for image 'b' (split train)" in message(
        WssError, seeded.train, watch="truth"
    )


def test_true_masks_that_do_not_fit(seeded, message):
    write_mask(seeded.scenes.root / "SegmentationClass/b.png", np.zeros((10, 20), np.uint8))
    photo = seeded.scenes.root / "JPEGImages/b.jpg"
    assert message(WssError, seeded.train, watch="truth") == (
        f"{seeded.scenes.root}: the true mask of 'b' is 10 x 20 (height x width), but {photo} is 40 x 53; both must be "
        "of the photo's size"
    )
    folder = seeded.scenes.root / "SegmentationClass"
    again = Run(overwrite=True, workers=1)
    assert message(WssError, seeded.train, watch=str(folder), run=again) == (
        f"{folder}/b.png: is 10 x 20 (height x width), but {photo} is 40 x 53; both must be of the photo's size"
    )
    write_mask(folder / "b.png", np.full((40, 53), 9, np.uint8))
    assert message(WssError, seeded.train, watch=str(folder), run=again) == (
        f"{folder}/b.png: holds the class id 9, but the class table ends at 3 (moon); use the data set's class ids, or "
        "name all classes with --class-names"
    )


def test_true_masks_of_another_class_table(seeded, message):
    truth = seeded.scenes.masks("truth", lambda name: seeded.scenes.truth[name])
    write_manifest(truth, replace(read_manifest(truth), classes=ClassTable.of(["cat", "square", "moon"])))
    assert message(WssError, seeded.train, watch=str(truth)) == (
        f"{truth}: its class table is not the one of {seeded.scenes.root}: class 1 is 'disc' there and 'cat' here; use "
        "the table of one data set"
    )


def files(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "log.jsonl"}


def measured(out):
    return [{key: row[key] for key in row if key != "time"} for row in epochs(out)]


@pytest.mark.slow
def test_killed_and_run_again(seeded):
    """Weights, pictures and the numbers of every epoch are those of the undisturbed training."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "timm", "torchvision", "wsscli.train.objectives", "wsscli.nets.store"])

    def start(name):
        how = {"iterations": 41, "batch_size": 1, "checkpoint_seconds": 0.02, "log_every": 3}
        process = context.Process(
            target=seeded.train, args=(name,), kwargs={"watch": "truth", "snapshot": ("a", "d"), **how}
        )
        process.start()
        return process

    first = start("warm-up")  # the fork server's imports take time once
    first.join()
    begun = time.monotonic()
    undisturbed = start("whole")
    undisturbed.join()
    seconds = time.monotonic() - begun
    assert undisturbed.exitcode == 0
    whole, out = seeded.out / "whole", seeded.out / "killed"
    expected, numbers = files(whole), measured(whole)
    assert len(numbers) == 11 and len(expected) == 2 + 1 + 2 * (1 + 1 + 11)  # 10.25 epochs
    rng, kills, ends = random.Random(7), 0, 0
    while kills < KILLS or ends == 0:
        process = start("killed")
        process.join(rng.uniform(0, seconds) if kills < KILLS else None)
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
            continue
        assert process.exitcode == 0
        assert files(out) == expected
        assert measured(out) == numbers
        ends += 1
        if kills < KILLS:
            shutil.rmtree(out)
