"""`wss refine-round` with the tiny net: what a round holds, rounds in a row, and what it refuses."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.refine.own_class import own_classes
from wsscli.steps._data import Data
from wsscli.steps._round import Cutting, Predicting
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.grabcut import grabcut
from wsscli.steps.predict import predict
from wsscli.steps.refine_round import refine_round
from wsscli.steps.train_seg import train_seg
from wsscli.steps.verify import problems

TRAINING = Training(
    iterations=30, batch_size=4, crop_size=65, lr=5e-3, device="cpu", bf16=False, scale_range="none", jitter=0.0
)
NO_LIMITS = {"min_foreground": 0.0, "max_foreground": 1.0}


def refine(scenes, name="round", source=None, **options):
    """A round of the tiny net on loose masks, all images, whatever their foreground."""
    options = {"backbone": "tiny", "first_init": "none", "label_count": "all", "training": TRAINING} | options
    options = {"run": Run(workers=2), **NO_LIMITS, **options}
    if options.get("init", "previous") != "previous":
        del options["first_init"]
    return refine_round(source or loose(scenes), scenes.out / name, **options)


def loose(scenes):
    there = scenes.out / "loose"
    return there if there.exists() else scenes.masks("loose", supervision=["unlabelled-images"])


def files(out):
    return {
        str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and p.name != "log.jsonl"
    }


def masks(out):
    folder = open_maskdir(out)
    return {name: folder.mask(name) for name in folder.ids}


@pytest.fixture
def one(scenes):
    return refine(scenes)


def test_a_round_is_its_steps_one_after_the_other(scenes, one):
    """The same commands by hand give the same files."""
    net = train_seg(
        scenes.out / "loose", scenes.out / "net", backbone="tiny", init="none", training=TRAINING, run=Run(workers=2)
    )
    predicted = predict(net, scenes.out / "predicted", data=Data(split="train"), bf16=False, device="cpu")
    assert (one / "model/model.safetensors").read_bytes() == (net / "model.safetensors").read_bytes()
    assert masks(one / "predicted").keys() == set(scenes.ids)
    assert any((mask == c).any() for c in (1, 2) for mask in masks(predicted).values())
    for name, mask in masks(predicted).items():
        labels = set(np.unique(scenes.truth[name]).tolist()) - {0}
        assert (open_maskdir(one / "predicted").mask(name) == mask).all()
        assert (open_maskdir(one / "refined").mask(name) == own_classes(mask, labels)).all()
    cut = grabcut(one / "refined", scenes.out / "cut")
    assert files(one / "masks") == files(cut / "masks")
    assert read_manifest(one).fell_back == read_manifest(cut).fell_back
    assert not (one / "cut").exists()


def test_the_manifest_and_its_lineage(scenes, one):
    found = read_manifest(one)
    assert (found.kind, found.step, found.images, found.complete) == ("masks", "refine-round", 4, True)
    assert [(item.role, item.path) for item in found.inputs] == [("masks", str(scenes.out / "loose"))]
    assert found.inputs[0].digest == read_manifest(scenes.out / "loose").digest()
    assert found.supervision == ("image-labels", "unlabelled-images")
    shown = ("rounds", "arch", "init", "iterations", "min_foreground", "grabcut", "grabcut_iterations", "watch")
    assert {name: found.options[name] for name in shown} == {
        "rounds": 1, "arch": "deeplab", "init": "none", "iterations": 30, "min_foreground": 0.0, "grabcut": True,
        "grabcut_iterations": 5, "watch": False,
    }  # fmt: skip
    assert read_manifest(one / "model").inputs == found.inputs
    assert read_manifest(one / "predicted").inputs[0].path == str(one / "model")
    assert read_manifest(one / "refined").inputs[0].path == str(one / "predicted")
    assert list(problems(one)) == []


def test_options_reach_their_steps(scenes):
    out = refine(
        scenes, arch="deeplab-largefov", hidden=8, size=64, loss_step=4, output_stride=16,
        predicting=Predicting((0.5, 1.0), True), cutting=Cutting(True, 2, "mask", 0.5), training=replace(TRAINING, iterations=2),
    )  # fmt: skip
    net, predicted = read_manifest(out / "model").options, read_manifest(out / "predicted").options
    assert (net["arch"], net["hidden"], net["longer"], net["loss_step"], net["output_stride"], net["iterations"]) == (
        "deeplab-largefov", 8, 64, 4, 16, 2,
    )  # fmt: skip
    assert (predicted["scales"], predicted["flip"], predicted["size"]) == ([0.5, 1.0], True, 64)
    cut = grabcut(out / "refined", scenes.out / "by-hand", iterations=2, init="mask", scale=0.5)
    assert files(out / "masks") == files(cut / "masks")


def test_without_grabcut_the_refined_masks_are_the_result(scenes):
    out = refine(scenes, cutting=Cutting(grabcut=False))
    assert files(out / "masks") == files(out / "refined/masks")
    assert read_manifest(out).fell_back == ()


def test_run_again_it_does_nothing(scenes, one, caplog):
    before = {p: p.stat().st_mtime_ns for p in one.rglob("*")}
    with caplog.at_level("INFO", "wsscli"):
        assert refine(scenes) == one
    assert f"{one} is complete with the same options: nothing to do" in caplog.text
    assert {p: p.stat().st_mtime_ns for p in one.rglob("*")} == before


def test_other_options_are_refused_and_overwrite_replaces(scenes, one, message):
    text = message(WssError, refine, scenes, training=replace(TRAINING, iterations=3))
    assert text == (
        f"{one}: was made with other options: --iterations was 30, now 3; use another -o, or --overwrite to replace it"
    )
    text = message(WssError, refine, scenes, rounds=2)
    assert text.startswith(f"{one}: was made with other options: --first-init was None, now 'none';")
    (one / "notes.txt").write_text("mine")
    (one / "masks/stale.png").write_bytes(b"old")
    refine(scenes, training=replace(TRAINING, iterations=3), run=Run(workers=2, overwrite=True))
    assert (one / "notes.txt").read_text() == "mine"
    (one / "notes.txt").unlink()
    assert files(one) == files(refine(scenes, "fresh", training=replace(TRAINING, iterations=3))) | {
        name: data for name, data in files(one).items() if name.endswith("wss.json")
    }
    assert list(problems(one)) == []


def test_one_writer_at_a_time(scenes, monkeypatch, message):
    """A round holds its directory while its parts are made."""
    source = loose(scenes)

    def meanwhile(*args, **options):
        refine(scenes, source=source)

    monkeypatch.setattr("wsscli.steps.train_seg.train_seg", meanwhile)
    assert message(WssError, refine, scenes, source=source) == (
        f"{scenes.out}/round: another wss process is writing here; wait for it, or use another -o"
    )


def test_workers_do_not_matter(scenes, one):
    other = refine(scenes, "other", run=Run(workers=1))
    assert {name: data for name, data in files(one).items() if not name.endswith("wss.json")} == {
        name: data for name, data in files(other).items() if not name.endswith("wss.json")
    }
    assert read_manifest(one).digest() == read_manifest(other).digest()


# --- rounds in a row ---


@pytest.fixture
def two(scenes):
    return refine(scenes, "rounds", rounds=2)


def test_rounds_are_single_rounds_in_a_chain(scenes, two):
    assert two == scenes.out / "rounds/round-2"
    first = refine(scenes, "first")
    second = refine(scenes, "second", source=first, first_init=None)
    for name, made in (("round-1", first), ("round-2", second)):
        assert read_manifest(scenes.out / "rounds" / name).digest() == read_manifest(made).digest()
        assert files(scenes.out / "rounds" / name / "masks") == files(made / "masks")
    assert [(item.role, item.path) for item in read_manifest(two).inputs] == [
        ("masks", str(scenes.out / "rounds/round-1")), ("init", str(scenes.out / "rounds/round-1/model")),
    ]  # fmt: skip
    assert read_manifest(two / "model").options["init"] == "model"


def test_the_directory_of_several_rounds(scenes, two, message):
    out = scenes.out / "rounds"
    found = read_manifest(out)
    assert (found.kind, found.complete, found.images) == ("rounds", True, 4)
    assert (found.options["rounds"], found.options["init"], found.options["first_init"]) == (2, "previous", "none")
    assert list(problems(out)) == []
    assert message(WssError, open_maskdir, out) == (
        f"{out}: holds several rounds of `wss refine-round`; name one of them, such as {out}/round-2"
    )
    shutil.rmtree(out / "round-1/model")  # a net may be thrown away
    assert list(problems(out)) == []
    shutil.rmtree(out / "round-1")
    assert list(problems(out)) == [f"{out}/round-1: missing"]


def test_more_rounds_go_on_from_those_there(scenes, two, caplog):
    out = scenes.out / "rounds"
    before = files(out / "round-2")
    with caplog.at_level("INFO", "wsscli"):
        assert refine(scenes, "rounds", rounds=3) == out / "round-3"
    assert f"{out}: going on, 2 of 3 rounds are done" in caplog.text
    assert files(out / "round-2") == before
    assert files(refine(scenes, "whole", rounds=3) / "masks") == files(out / "round-3/masks")
    assert read_manifest(out).digest() == read_manifest(scenes.out / "whole").digest()
    assert list(problems(out)) == []
    caplog.clear()
    with caplog.at_level("INFO", "wsscli"):
        assert refine(scenes, "rounds", rounds=2) == two
    assert f"{out} holds 3 rounds with the same options: nothing to do" in caplog.text
    assert read_manifest(out).options["rounds"] == 3
    with caplog.at_level("INFO", "wsscli"):
        assert refine(scenes, "rounds", rounds=3) == out / "round-3"
    assert f"{out} is complete with the same options: nothing to do" in caplog.text


def test_rounds_of_other_options_are_refused_and_replaced(scenes, two, message):
    out = scenes.out / "rounds"
    text = message(WssError, refine, scenes, "rounds", rounds=3, hidden=8)
    assert text == (
        f"{out}: was made with other options: --hidden was None, now 8; use another -o, or --overwrite to replace it"
    )
    assert read_manifest(out).complete and read_manifest(out).options["rounds"] == 2
    text = message(WssError, refine, scenes, "rounds")
    assert text.startswith(f"{out}: was made with other options: --first-init was 'none', now None;")
    refine(scenes, "rounds", run=Run(workers=2, overwrite=True))  # a single round in its place
    assert not (out / "round-1").exists() and read_manifest(out).kind == "masks"
    assert list(problems(out)) == []


def test_every_round_from_the_same_start(scenes):
    out = refine(scenes, "rounds", rounds=2, init="none")
    assert [item.role for item in read_manifest(out).inputs] == ["masks"]
    assert read_manifest(out / "model").options["init"] == "none"
    assert read_manifest(scenes.out / "rounds").options["init"] == "none"


def test_a_round_is_gone_on_from_with_its_net(scenes, one):
    out = refine(scenes, "next", source=one, first_init=None)
    assert [(item.role, item.path) for item in read_manifest(out).inputs] == [
        ("masks", str(one)), ("init", str(one / "model")),
    ]  # fmt: skip
    anew = refine(scenes, "anew", source=one)  # --first-init none
    assert [item.role for item in read_manifest(anew).inputs] == ["masks"]
    bare = refine(scenes, "bare", source=one / "refined", init="none")  # refined/ is masks like any others
    assert [(item.role, item.path) for item in read_manifest(bare).inputs] == [("masks", str(one / "refined"))]


# --- which images ---


def least(scenes):
    """The image with the least foreground after the round that `refine` makes, and a limit that drops just that."""
    shares = {}
    for name, mask in masks(refine(scenes, "probe") / "refined").items():
        shares[name] = float((mask > 0).mean())
    order = sorted(shares, key=shares.get)
    assert shares[order[0]] < shares[order[1]], "the tiny net must tell the images apart"
    return order[0], (shares[order[0]] + shares[order[1]]) / 2


def test_dropped_images_are_listed_and_come_back(scenes):
    name, limit = least(scenes)
    first = refine(scenes, "first", min_foreground=limit)
    for folder in (first, first / "refined"):
        assert [item["id"] for item in read_manifest(folder).dropped] == [name]
        assert read_manifest(folder).dropped[0]["reason"].endswith(f", below {100 * limit:g}%")
        assert name not in open_maskdir(folder).ids and len(open_maskdir(folder).ids) == 3
    assert list(problems(first)) == []
    second = refine(scenes, "second", source=first, first_init=None)  # no limits: what was dropped is valid again
    assert read_manifest(second / "model").images == 3
    assert name in open_maskdir(second / "predicted").ids and name in open_maskdir(second).ids
    assert read_manifest(second).images == 4 and read_manifest(second).dropped == ()
    both = refine(scenes, "rounds", rounds=2, min_foreground=limit)
    assert read_manifest(both).images == 4
    assert read_manifest(both / "model").images == 3


def test_nothing_left_is_an_error_that_names_the_round(scenes, message):
    text = message(WssError, refine, scenes, rounds=2, min_foreground=0.99)
    out = scenes.out / "round"
    reason = read_manifest(out / "round-1/refined").dropped[0]["reason"]
    assert text == (
        f"{out}/round-1: nothing is left to train on after this round, all 4 images are dropped ('a': {reason}); train "
        "longer (--epochs or --iterations), or move --min-foreground and --max-foreground, with --overwrite or another -o"
    )
    assert reason.endswith(", below 99%")
    assert not read_manifest(out).complete
    assert message(WssError, refine, scenes, rounds=2, min_foreground=0.99) == text


def test_images_of_one_class_by_default(scenes, caplog):
    with caplog.at_level("INFO", "wsscli"):
        out = refine(scenes, label_count="single")
    assert open_maskdir(out).ids == ["a", "b"] and read_manifest(out / "model").images == 2
    assert (
        f"{scenes.out}/loose: 2 of 4 images have not exactly one class and are passed over (--label-count all takes "
        "them)"
    ) in caplog.text
    one = refine(scenes, "limited", label_count="single", run=Run(limit=1))
    assert open_maskdir(one).ids == open_maskdir(one / "predicted").ids == ["a"]


def test_a_part_of_the_images(scenes):
    ids = scenes.out / "ids.txt"
    ids.write_text("c\nb\n")
    out = refine(scenes, run=Run(ids=ids))
    assert open_maskdir(out).ids == ["b", "c"] and read_manifest(out / "model").images == 2


def test_no_image_of_one_class(scenes, message):
    source = scenes.masks("some", ids=["c", "d"])
    assert message(WssError, refine, scenes, source=source, label_count="single") == (
        f"{source}: none of its 2 images has exactly one class; --label-count all takes images of several"
    )


def test_only_dropped_images_are_asked_for(scenes, message):
    name, limit = least(scenes)
    first = refine(scenes, "first", min_foreground=limit)
    ids = scenes.out / "ids.txt"
    ids.write_text(f"{name}\n")
    assert message(WssError, refine, scenes, "second", source=first, first_init=None, run=Run(ids=ids)) == (
        f"{first}: has no mask of any of the 1 images (left out of training: see `dropped` in its wss.json); nothing is "
        "left to train on, name other images with --ids"
    )


def test_class_free(scenes, message):
    out = refine(scenes, foreground=True, label_count="single", rounds=2, watch="truth")
    found = read_manifest(out)
    assert found.classes.names == ("background", "foreground") and found.images == 4
    assert found.supervision == ("unlabelled-images",)  # no label was looked at
    assert read_manifest(out / "model").classes.names == ("background", "foreground")
    assert {int(v) for mask in masks(out / "refined").values() for v in np.unique(mask)} <= {0, 1}
    assert files(out / "refined/masks") == files(out / "predicted/masks")  # no rule b
    assert list(problems(scenes.out / "round")) == []
    assert message(WssError, refine, scenes, "classes", source=out) == (
        f"{out}: class-free masks, but a round needs the images' classes; give them with `wss make-seeds --method "
        "foreground`, or refine them as they are with --foreground"
    )


@pytest.mark.parametrize("arch", ["fpn", "dfpn"])
def test_class_free_with_a_feature_pyramid(scenes, arch):
    """From class-free masks to class-free masks, with nets of the round before."""
    from wsscli.steps.train_seg import train_seg

    first = train_seg(
        loose(scenes), scenes.out / "net", arch=arch, backbone="tiny", init="none", foreground=True,
        training=replace(TRAINING, iterations=2), run=Run(workers=2),
    )  # fmt: skip
    source = predict(first, scenes.out / "fg", data=Data(split="train"), bf16=False, device="cpu")
    out = refine(scenes, source=source, arch=arch, foreground=True, label_count="single", rounds=2)
    assert read_manifest(out / "model").options["arch"] == arch
    assert read_manifest(out).classes.names == ("background", "foreground")
    assert list(problems(scenes.out / "round")) == []


def test_the_paper_s_numbers_reach_the_training(scenes):
    training = Training(recipe="coarse-to-fine", iterations=1, device="cpu", bf16=False)
    found = read_manifest(refine(scenes, training=training) / "model").options
    shown = ("optimizer", "lr", "weight_decay", "batch_size", "crop_size", "longer", "iterations")
    assert [found[name] for name in shown] == ["sgd", 2.5e-4, 5e-4, 12, 256, 321, 1]


def test_plain_folders_and_true_masks_in_the_ledger(scenes):
    data = Data(scenes.root, "train")
    out = refine(scenes, source=scenes.root / "SegmentationClass", data=data)
    assert read_manifest(out).supervision == ("image-labels", "masks:4")
    assert read_manifest(out / "model").supervision == ("masks:4",)
    write_mask(scenes.out / "outside/a.png", scenes.truth["a"])
    out = refine(scenes, "other", source=scenes.out / "outside", data=data)
    assert read_manifest(out).supervision == ("external-model:unknown", "image-labels")


def test_images_that_fail_are_passed_over(scenes, message):
    source = loose(scenes)
    ids = scenes.out / "ids.txt"
    ids.write_text("a\nb\nc\n")
    rounds = {"rounds": 2, "source": source, "run": Run(workers=2, keep_going=True)}
    part = refine(scenes, "part", source=source, run=Run(ids=ids))
    (scenes.root / "JPEGImages/d.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    assert len(open_maskdir(part).ids) == 3
    # d is dropped already, so that no training needs it
    write_manifest_dropping(source, "d")
    out = scenes.out / "round/round-2"
    text = message(PartialError, refine, scenes, **rounds)
    assert text == (
        f"{out}: 1 of 4 images failed and are listed as dropped in its wss.json; --overwrite makes all of it again"
    )
    assert open_maskdir(out).ids == ["a", "b", "c"]
    assert [item["id"] for item in read_manifest(out).dropped] == ["d"]
    assert message(PartialError, refine, scenes, **rounds) == text


def write_manifest_dropping(source, name):
    """Make it look like a round that has dropped an image."""
    from wsscli.maskdir.manifest import write_manifest

    (source / f"masks/{name}.png").unlink()
    found = read_manifest(source)
    write_manifest(source, replace(found, step="refine-round", dropped=({"id": name, "reason": "too little"},)))


# --- watching ---


def test_watching_changes_nothing_and_is_no_supervision(scenes, two):
    out = refine(scenes, "watched", rounds=2, watch="truth")
    assert files(out / "masks") == files(two / "masks")
    assert (out / "model/model.safetensors").read_bytes() == (two / "model/model.safetensors").read_bytes()
    for folder in (scenes.out / "watched", out, out / "model", out / "refined"):
        assert read_manifest(folder).supervision == ("image-labels", "unlabelled-images")
    assert read_manifest(scenes.out / "watched/round-1/model").supervision == ("unlabelled-images",)
    assert list(problems(scenes.out / "watched")) == []


def test_figures_are_those_of_eval(scenes):
    from wsscli.steps.eval import evaluate

    out = refine(scenes, "watched", rounds=2, watch="truth")
    rows = {int(k): {} for k in range(3)}
    for row in csv.DictReader((scenes.out / "watched/rounds.csv").open()):
        rows[int(row["round"])][row["masks"]] = row
    assert {k: set(row) for k, row in rows.items()} == {
        0: {"input"}, 1: {"refined", "grabcut"}, 2: {"refined", "grabcut"},
    }  # fmt: skip
    for row, folder in (
        (rows[0]["input"], loose(scenes)), (rows[2]["refined"], out / "refined"), (rows[2]["grabcut"], out),
    ):  # fmt: skip
        numbers = evaluate([folder], data=Data(scenes.root, "train")).rows[0].numbers
        assert row["images"] == "4" and row["dropped"] == "0" and float(row["coverage"]) == 1
        assert float(row["miou"]) == float(row["miou_kept"]) == pytest.approx(numbers["miou"], abs=1e-6)
        assert float(row["precision"]) == pytest.approx(numbers["mean_precision"], abs=1e-6)
        assert float(row["recall"]) == pytest.approx(numbers["mean_recall"], abs=1e-6)
    picture = (scenes.out / "watched/rounds.svg").read_text()
    assert picture.startswith("<svg") and "after GrabCut" in picture and "Masks of 4 training images" in picture


def test_dropped_images_count_as_unlabelled(scenes):
    name, limit = least(scenes)
    out = refine(scenes, min_foreground=limit, watch="truth", cutting=Cutting(grabcut=False))
    row = next(row for row in map(json.loads, (out / "log.jsonl").open()) if row["event"] == "watch")
    assert set(row) == {"time", "event", "input", "refined"}
    sizes = {image: mask.size for image, mask in scenes.truth.items()}
    assert row["refined"]["dropped"] == 1
    assert row["refined"]["coverage"] == pytest.approx(1 - sizes[name] / sum(sizes.values()), abs=1e-6)
    assert row["refined"]["miou"] < row["refined"]["miou_kept"]


def test_a_directory_of_true_masks(scenes, message):
    truth = scenes.masks("truth", lambda name: scenes.truth[name])
    out = refine(scenes, watch=str(truth))
    assert [item.role for item in read_manifest(out).inputs] == ["masks", "watch"]
    some = scenes.masks("some", lambda name: scenes.truth[name], ids=["a", "b"])
    assert message(WssError, refine, scenes, "o", watch=str(some)) == (
        f"{some}: no true mask of 2 of the 4 images, the first is 'c'; train on a part with --ids, or leave --watch out"
    )
    shutil.rmtree(scenes.root / "SegmentationClass")
    mask = open_maskdir(truth).mask_path("d")
    mask.write_bytes(mask.read_bytes()[:40])
    assert str(mask) in message(WssError, refine, scenes, "late", watch=str(truth))
    assert not (scenes.out / "late").exists()  # told before anything was trained
    assert message(WssError, refine, scenes, "o", watch="truth") == (
        f"{scenes.root}: has no true masks; give a directory of them with --watch DIR"
    )
    assert not (scenes.out / "o").exists()


# --- what is refused before anything is trained ---


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rounds": 0}, "--rounds 0: give 1 or more"),
        (
            {"min_foreground": 0.9, "max_foreground": 0.8},
            "--min-foreground 0.9 --max-foreground 0.8: give shares of an image, 0 <= least <= most <= 1",
        ),
        ({"foreground": True}, "--label-count all: --foreground looks at no labels; leave one of them out"),
        (
            {"cutting": Cutting(grabcut=False, grabcut_scale=0.5)},
            "--grabcut-scale: --no-grabcut cuts nothing; leave one of them out",
        ),
        ({"cutting": Cutting(grabcut_iterations=0)}, "grabcut: 0 iterations; take 1 or more (5 is usual)"),
        (
            {"predicting": Predicting((9.0, 1.0))},
            "--predict-scales 9,1: give one or more from 0.25 to 4",
        ),
        (
            {"training": Training(recipe="coarse-to-fine", device="cpu")},
            "--recipe coarse-to-fine: names no length of the training; give --epochs or --iterations",
        ),
    ],
)  # fmt: skip
def test_options_out_of_range(scenes, message, options, text):
    assert message(UsageError, refine, scenes, "o", **options) == text
    assert not (scenes.out / "o").exists()


def test_two_starts(scenes, message):
    text = message(
        UsageError, refine_round, loose(scenes), scenes.out / "o", init="imagenet", first_init="none", backbone="tiny"
    )
    assert text == "--first-init none: with --init imagenet every round starts from that; leave one of them out"


def test_an_input_within_the_output(scenes, message):
    inside = loose(scenes).rename(scenes.out / "masks")
    assert message(WssError, refine, scenes, "", source=inside) == (
        f"{scenes.out}: its input 'masks', {inside}, lies in it; a step never writes into what it reads, use another -o"
    )


def test_labels_are_needed(scenes, message):
    source = loose(scenes)
    shutil.rmtree(scenes.root / "Annotations")
    for count in ("single", "all"):
        text = message(WssError, refine, scenes, "o", source=source, label_count=count)
        assert text.startswith(f"{scenes.root}: no image-level labels for 4 of 4 images of split train (a, b, c")


def test_masks_of_another_table(scenes, message):
    source = loose(scenes)
    (scenes.root / "classes.txt").write_text("disc\nstar\nmoon\n")
    found = read_manifest(source)
    text = message(
        WssError, refine, scenes, "o", source=source, data=Data(scenes.root, class_names=("disc", "star", "moon"))
    )
    assert found.classes.names[2] == "square"
    assert text == (
        f"{source}: its class table is not the one of {scenes.root}: class 2 is 'star' there and 'square' here; use the "
        "table of one data set"
    )


@pytest.mark.parametrize("rounds", [1, 2])
def test_dry_run(scenes, caplog, rounds):
    with caplog.at_level("INFO", "wsscli"):
        out = refine(scenes, "o", rounds=rounds, run=Run(dry_run=True))
    assert out == scenes.out / ("o" if rounds == 1 else "o/round-2")
    kind = "masks" if rounds == 1 else "rounds"
    assert caplog.messages == [
        f"would read masks {scenes.out}/loose (4 images of split train) and write {kind} to {scenes.out}/o"
    ]
    assert not (scenes.out / "o").exists()
