"""`wss refine-round` with the tiny net: what a round holds, which images take part, and images that fail."""

from dataclasses import replace

import numpy as np
import pytest

from wsscli.classes import FOREGROUND
from wsscli.errors import PartialError, WssError
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.refine.own_class import own_classes
from wsscli.steps._data import Data
from wsscli.steps._round import Cutting, Predicting
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.grabcut import grabcut
from wsscli.steps.predict import predict
from wsscli.steps.train_seg import train_seg
from wsscli.steps.verify import problems


def files(out):
    return {
        str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and p.name != "log.jsonl"
    }


def masks(out):
    folder = open_maskdir(out)
    return {name: folder.mask(name) for name in folder.ids}


def test_a_round_is_its_steps_one_after_the_other(shared, one, tmp_path):
    """The same commands by hand give the same files."""
    scenes = shared.scenes
    net = train_seg(
        shared.loose(), tmp_path / "net", backbone="tiny", init="none", training=shared.training(), run=Run(workers=2)
    )
    predicted = predict(net, tmp_path / "predicted", data=Data(split="train"), bf16=False, device="cpu")
    assert (one / "model/model.safetensors").read_bytes() == (net / "model.safetensors").read_bytes()
    assert masks(one / "predicted").keys() == set(scenes.ids)
    assert any((mask == c).any() for c in (1, 2) for mask in masks(predicted).values())
    for name, mask in masks(predicted).items():
        labels = set(np.unique(scenes.truth[name]).tolist()) - {0}
        assert (open_maskdir(one / "predicted").mask(name) == mask).all()
        assert (open_maskdir(one / "refined").mask(name) == own_classes(mask, labels)).all()
    cut = grabcut(one / "refined", tmp_path / "cut")
    assert files(one / "masks") == files(cut / "masks")
    assert read_manifest(one).fell_back == read_manifest(cut).fell_back
    assert not (one / "cut").exists()


def test_the_manifest_and_its_lineage(shared, one):
    found = read_manifest(one)
    assert (found.kind, found.step, found.images, found.complete) == ("masks", "refine-round", 4, True)
    assert [(item.role, item.path) for item in found.inputs] == [("masks", str(shared.loose()))]
    assert found.inputs[0].digest == read_manifest(shared.loose()).digest()
    assert found.supervision == ("image-labels", "unlabelled-images")
    shown = ("rounds", "arch", "init", "iterations", "min_foreground", "grabcut", "grabcut_iterations")
    assert {name: found.options[name] for name in shown} == {
        "rounds": 1, "arch": "deeplab", "init": "none", "iterations": 30, "min_foreground": 0.0, "grabcut": True,
        "grabcut_iterations": 5,
    }  # fmt: skip
    assert read_manifest(one / "model").inputs == found.inputs
    assert read_manifest(one / "predicted").inputs[0].path == str(one / "model")
    assert read_manifest(one / "refined").inputs[0].path == str(one / "predicted")
    assert list(problems(one)) == []


def test_options_reach_their_steps(shared, tmp_path):
    out = shared(
        tmp_path / "o", arch="deeplab-largefov", hidden=8, size=64, loss_step=4, output_stride=16,
        predicting=Predicting((0.5, 1.0), True), cutting=Cutting(True, 2, "mask", 0.5),
        training=shared.training(iterations=None, epochs=2),
    )  # fmt: skip
    net, predicted = read_manifest(out / "model").options, read_manifest(out / "predicted").options
    assert (net["arch"], net["hidden"], net["longer"], net["loss_step"], net["output_stride"], net["iterations"]) == (
        "deeplab-largefov", 8, 64, 4, 16, 2,
    )  # fmt: skip
    assert (predicted["scales"], predicted["flip"], predicted["size"]) == ([0.5, 1.0], True, 64)
    cut = grabcut(out / "refined", tmp_path / "by-hand", iterations=2, init="mask", scale=0.5)
    assert files(out / "masks") == files(cut / "masks")


def test_without_grabcut_the_refined_masks_are_the_result(shared, one, tmp_path):
    out = shared(tmp_path / "o", cutting=Cutting(grabcut=False))
    assert files(out / "masks") == files(out / "refined/masks") == files(one / "refined/masks")
    assert read_manifest(out).fell_back == ()


def test_workers_do_not_matter(shared, one, tmp_path):
    other = shared(tmp_path / "other", run=Run(workers=1))
    assert {name: data for name, data in files(one).items() if not name.endswith("wss.json")} == {
        name: data for name, data in files(other).items() if not name.endswith("wss.json")
    }
    assert read_manifest(one).digest() == read_manifest(other).digest()


def test_a_round_is_gone_on_from_with_its_net(shared, one, tmp_path):
    short = shared.training(iterations=1)
    out = shared(tmp_path / "next", source=one, first_init=None, training=short)
    assert [(item.role, item.path) for item in read_manifest(out).inputs] == [
        ("masks", str(one)), ("init", str(one / "model")),
    ]  # fmt: skip
    anew = shared(tmp_path / "anew", source=one, training=short)  # --first-init none
    assert [item.role for item in read_manifest(anew).inputs] == ["masks"]
    bare = shared(tmp_path / "bare", source=one / "refined", init="none", training=short)  # masks like any others
    assert [(item.role, item.path) for item in read_manifest(bare).inputs] == [("masks", str(one / "refined"))]


# --- which images ---


@pytest.fixture(scope="module")
def least(one):
    """The image with the least foreground after a round, and a limit that drops just that."""
    shares = {name: float((mask > 0).mean()) for name, mask in masks(one / "refined").items()}
    order = sorted(shares, key=shares.get)
    assert shares[order[0]] < shares[order[1]], "the tiny net must tell the images apart"
    return order[0], (shares[order[0]] + shares[order[1]]) / 2


@pytest.fixture(scope="module")
def dropping(shared, least):
    """Two rounds with that limit."""
    return shared("dropping", rounds=2, min_foreground=least[1]).parent


def test_dropped_images_are_listed_and_come_back(shared, dropping, least, tmp_path):
    name, limit = least
    first = dropping / "round-1"
    for folder in (first, first / "refined"):
        assert [item["id"] for item in read_manifest(folder).dropped] == [name]
        assert read_manifest(folder).dropped[0]["reason"].endswith(f", below {100 * limit:g}%")
        assert name not in open_maskdir(folder).ids and len(open_maskdir(folder).ids) == 3
    assert list(problems(first)) == []
    assert read_manifest(dropping / "round-2").images == 4
    assert read_manifest(dropping / "round-2/model").images == 3
    second = shared(tmp_path / "second", source=first, first_init=None)  # no limits: what was dropped is valid again
    assert read_manifest(second / "model").images == 3
    assert name in open_maskdir(second / "predicted").ids and name in open_maskdir(second).ids
    assert read_manifest(second).images == 4 and read_manifest(second).dropped == ()


def test_only_dropped_images_are_asked_for(shared, dropping, least, tmp_path, message):
    first, ids = dropping / "round-1", tmp_path / "ids.txt"
    ids.write_text(f"{least[0]}\n")
    assert message(WssError, shared, tmp_path / "o", source=first, first_init=None, run=Run(ids=ids)) == (
        f"{first}: has no mask of any of the 1 images (left out of training: see `dropped` in its wss.json); nothing is "
        "left to train on, name other images with --ids"
    )
    assert not (tmp_path / "o").exists()


def test_nothing_left_is_an_error_that_names_the_round(shared, tmp_path, message):
    out, options = tmp_path / "o", {"rounds": 2, "min_foreground": 0.99, "training": shared.training(iterations=1)}
    text = message(WssError, shared, out, **options)
    reason = read_manifest(out / "round-1/refined").dropped[0]["reason"]
    assert text == (
        f"{out}/round-1: nothing is left to train on after this round, all 4 images are dropped ('a': {reason}); train "
        "longer (--epochs or --iterations), or move --min-foreground and --max-foreground, with --overwrite or another -o"
    )
    assert reason.endswith(", below 99%")
    assert not read_manifest(out).complete
    assert message(WssError, shared, out, **options) == text


def test_images_of_one_class_by_default(shared, tmp_path, caplog):
    short = shared.training(iterations=1)
    with caplog.at_level("INFO", "wsscli"):
        out = shared(tmp_path / "o", label_count="single", training=short)
    assert open_maskdir(out).ids == ["a", "b"] and read_manifest(out / "model").images == 2
    assert (
        f"{shared.loose()}: 2 of 4 images have not exactly one class and are passed over (--label-count all takes them)"
    ) in caplog.text
    limited = shared(tmp_path / "limited", label_count="single", run=Run(limit=1), training=short)
    assert open_maskdir(limited).ids == open_maskdir(limited / "predicted").ids == ["a"]


def test_a_part_of_the_images(shared, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("c\nb\n")
    out = shared(tmp_path / "o", run=Run(ids=ids), training=shared.training(iterations=1))
    assert open_maskdir(out).ids == ["b", "c"] and read_manifest(out / "model").images == 2


def test_class_free(shared, tmp_path, message):
    out = shared(tmp_path / "o", foreground=True, label_count="single", rounds=2, watch="truth")
    found = read_manifest(out)
    assert found.classes.names == ("background", "foreground") and found.images == 4
    assert found.supervision == ("unlabelled-images",)  # no label was looked at
    assert read_manifest(out / "model").classes.names == ("background", "foreground")
    assert {int(v) for mask in masks(out / "refined").values() for v in np.unique(mask)} <= {0, 1}
    assert files(out / "refined/masks") == files(out / "predicted/masks")  # no rule b
    assert list(problems(tmp_path / "o")) == []
    assert message(WssError, shared, tmp_path / "classes", source=out) == (
        f"{out}: class-free masks, but a round needs the images' classes; give them with `wss make-seeds --method "
        "foreground`, or refine them as they are with --foreground"
    )


@pytest.mark.parametrize("arch", ["fpn", "dfpn"])
def test_class_free_with_a_feature_pyramid(shared, tmp_path, arch):
    """From class-free masks to class-free masks, with nets of the round before."""
    short = shared.training(iterations=2)
    source = shared.scenes.masks(f"free-{arch}", lambda name: np.minimum(shared.scenes.truth[name], 1))
    write_manifest(source, replace(read_manifest(source), classes=FOREGROUND))
    out = shared(
        tmp_path / "o", source=source, arch=arch, foreground=True, label_count="single", rounds=2, training=short
    )
    assert read_manifest(out / "model").options["arch"] == arch
    assert read_manifest(out).classes.names == ("background", "foreground")
    assert list(problems(tmp_path / "o")) == []


def test_the_paper_s_numbers_reach_the_training(shared, tmp_path):
    training = Training(recipe="coarse-to-fine", iterations=1, device="cpu", bf16=False)
    found = read_manifest(shared(tmp_path / "o", training=training) / "model").options
    shown = ("optimizer", "lr", "weight_decay", "batch_size", "crop_size", "longer", "iterations")
    assert [found[name] for name in shown] == ["sgd", 2.5e-4, 5e-4, 12, 256, 321, 1]


def test_plain_folders_and_true_masks_in_the_ledger(shared, tmp_path):
    scenes, short = shared.scenes, shared.training(iterations=1)
    data = Data(scenes.root, "train")
    out = shared(tmp_path / "o", source=scenes.root / "SegmentationClass", data=data, training=short)
    assert read_manifest(out).supervision == ("image-labels", "masks:4")
    assert read_manifest(out / "model").supervision == ("masks:4",)
    write_mask(tmp_path / "outside/a.png", scenes.truth["a"])
    out = shared(tmp_path / "other", source=tmp_path / "outside", data=data, training=short)
    assert read_manifest(out).supervision == ("external-model:unknown", "image-labels")


# --- images that fail ---


def tear(path):
    path.write_bytes(b"\xff\xd8\xff\xe0 torn")


@pytest.mark.parametrize("watch", [None, "truth"])
def test_a_photo_that_cannot_be_read_takes_part_in_no_round(refine, message, watch):
    photo = refine.scenes.root / "JPEGImages/d.jpg"
    options = {"rounds": 2, "source": refine.loose(), "training": refine.training(iterations=2), "watch": watch}
    tear(photo)
    assert str(photo) in message(WssError, refine, **options)
    out = refine.scenes.out / "round"
    assert not out.exists()
    options["run"] = Run(workers=2, keep_going=True)
    text = message(PartialError, refine, **options)
    assert text == (
        f"{out}: 1 of 4 images failed (1 in round-1, 1 in round-2) and are listed as dropped in the wss.json there; "
        "--overwrite makes all of it again"
    )
    for folder in (out / "round-1", out / "round-2"):
        assert open_maskdir(folder).ids == open_maskdir(folder / "predicted").ids == ["a", "b", "c"]
        assert read_manifest(folder / "model").images == 3
        [dropped] = read_manifest(folder).dropped
        assert dropped["id"] == "d" and dropped["reason"].startswith(f"failed: {photo}: ")
    assert list(problems(out / "round-1/refined")) == []
    with pytest.raises(PartialError) as caught:
        refine(**options)
    assert str(caught.value) == text and caught.value.made == out / "round-2"
    single = message(PartialError, refine, "single", **(options | {"rounds": 1}))
    assert single == (
        f"{refine.scenes.out}/single: 1 of 4 images failed and are listed as dropped in its wss.json; --overwrite makes "
        "all of it again"
    )
    assert read_manifest(refine.scenes.out / "single").digest() == read_manifest(out / "round-1").digest()


def test_a_mask_that_cannot_be_read_either(refine, message):
    source = refine.loose()
    tear(source / "masks/b.png")
    options = {"source": source, "training": refine.training(iterations=1), "run": Run(workers=2, keep_going=True)}
    assert message(PartialError, refine, **options).startswith(f"{refine.scenes.out}/round: 1 of 4 images failed")
    assert open_maskdir(refine.scenes.out / "round").ids == ["a", "c", "d"]


def test_no_photo_can_be_read(refine, message):
    source = refine.loose()
    for name in refine.scenes.ids:
        tear(refine.scenes.root / f"JPEGImages/{name}.jpg")
    text = message(WssError, refine, source=source, run=Run(keep_going=True))
    assert text.startswith(
        f"{source}: none of its 4 images can be read ('a': failed: {refine.scenes.root}/JPEGImages/a.jpg: "
    )
    assert text.endswith("); nothing is left to train on")
    assert not (refine.scenes.out / "round").exists()


def test_a_round_that_goes_on_keeps_to_its_images(refine, monkeypatch, message):
    """What could not be read at its beginning is left out to its end; the next round begins with what can be then."""
    photo, source = refine.scenes.root / "JPEGImages/d.jpg", refine.loose()
    whole = photo.read_bytes()
    tear(photo)
    options = {
        "rounds": 2, "source": source, "training": refine.training(iterations=1),
        "run": Run(workers=2, keep_going=True),
    }  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("wsscli.steps.predict.predict", interrupt)
        message(KeyboardInterrupt, refine, **options)
    photo.write_bytes(whole)
    out = refine.scenes.out / "round"
    assert "1 of 4 images failed (1 in round-1) and" in message(PartialError, refine, **options)
    assert open_maskdir(out / "round-1").ids == ["a", "b", "c"]
    assert open_maskdir(out / "round-2").ids == ["a", "b", "c", "d"]


def interrupt(*args, **options):
    raise KeyboardInterrupt


def test_other_processes_meet_before_a_part_is_removed(refine, monkeypatch):
    """One that still looks at the masks of GrabCut would wait for them in vain."""
    there = []
    monkeypatch.setattr(
        "wsscli.train.ranks.Ranks.meet", lambda _: there.append((refine.scenes.out / "round/cut/wss.json").exists())
    )
    out = refine(training=refine.training(iterations=1), run=Run(workers=1, keep_going=True))
    assert there == [True] and not (out / "cut").exists()


def test_failures_of_every_round_are_told(refine, monkeypatch, message):
    """GrabCut fails on an image in the first round only."""
    from wsscli.refine.grabcut import grabcut as cut

    calls = []

    def failing(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise WssError("no cut")
        return cut(*args, **options)

    monkeypatch.setattr("wsscli.refine.grabcut.grabcut", failing)
    run = Run(workers=1, keep_going=True)
    text = message(PartialError, refine, rounds=2, training=refine.training(iterations=1), run=run)
    assert text.startswith(f"{refine.scenes.out}/round: 1 of 4 images failed (1 in round-1) and are listed as dropped")
    assert read_manifest(refine.scenes.out / "round/round-2").dropped == ()


def test_an_image_dropped_before_fails(refine, message):
    """d is dropped by the round that is read, so that no training needs it."""
    source = refine.loose()
    (source / "masks/d.png").unlink()
    dropped = ({"id": "d", "reason": "too little"},)
    write_manifest(source, replace(read_manifest(source), step="refine-round", dropped=dropped))
    tear(refine.scenes.root / "JPEGImages/d.jpg")
    options = {"source": source, "training": refine.training(iterations=1), "run": Run(workers=2, keep_going=True)}
    assert message(PartialError, refine, **options).startswith(f"{refine.scenes.out}/round: 1 of 4 images failed")
    assert [item["id"] for item in read_manifest(refine.scenes.out / "round").dropped] == ["d"]
