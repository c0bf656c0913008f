"""`wss refine-round --watch`: figures of rounds by true masks, which take no part in them."""

import csv
import json
import shutil

import numpy as np
import pytest

from wsscli.classes import FOREGROUND
from wsscli.errors import WssError
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.steps._data import Data
from wsscli.steps._round import Cutting
from wsscli.steps.verify import problems


def files(out):
    return {
        str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and p.name != "log.jsonl"
    }


def rows(out, event="watch"):
    return [row for row in map(json.loads, (out / "log.jsonl").open()) if row["event"] == event]


@pytest.fixture(scope="module")
def watched(shared):
    """Two rounds that are watched."""
    return shared("watched", rounds=2, watch="truth").parent


@pytest.fixture(scope="module")
def truth(shared):
    """The true masks as a directory."""
    return shared.scenes.masks("truth", lambda name: shared.scenes.truth[name])


def test_watching_changes_nothing_and_is_no_supervision(watched, two):
    whole = {name: data for name, data in files(watched).items() if not name.endswith("wss.json")}
    curves = {name: whole.pop(name) for name in ("rounds.csv", "rounds.svg")}
    assert all(curves.values())
    assert whole == {name: data for name, data in files(two.parent).items() if not name.endswith("wss.json")}
    for folder in ("", "round-1", "round-2", "round-2/model", "round-2/refined"):
        assert read_manifest(watched / folder).digest() == read_manifest(two.parent / folder).digest()
    assert read_manifest(watched / "round-2").supervision == ("image-labels", "unlabelled-images")
    assert read_manifest(watched / "round-1/model").supervision == ("unlabelled-images",)
    assert list(problems(watched)) == []


def test_figures_are_those_of_eval(shared, watched):
    from wsscli.steps.eval import evaluate

    out = watched / "round-2"
    found = {int(k): {} for k in range(3)}
    for row in csv.DictReader((watched / "rounds.csv").open()):
        found[int(row["round"])][row["masks"]] = row
    assert {k: set(row) for k, row in found.items()} == {
        0: {"input"}, 1: {"refined", "grabcut"}, 2: {"refined", "grabcut"},
    }  # fmt: skip
    for row, folder in (
        (found[0]["input"], shared.loose()), (found[2]["refined"], out / "refined"), (found[2]["grabcut"], out),
    ):  # fmt: skip
        numbers = evaluate([folder], data=Data(shared.scenes.root, "train")).rows[0].numbers
        assert row["images"] == "4" and row["dropped"] == "0" and float(row["coverage"]) == 1
        assert float(row["miou"]) == float(row["miou_kept"]) == pytest.approx(numbers["miou"], abs=1e-6)
        assert float(row["precision"]) == pytest.approx(numbers["mean_precision"], abs=1e-6)
        assert float(row["recall"]) == pytest.approx(numbers["mean_recall"], abs=1e-6)
    picture = (watched / "rounds.svg").read_text()
    assert picture.startswith("<svg") and "after GrabCut" in picture and "Masks of 4 training images" in picture


def test_dropped_images_count_as_unlabelled(shared, one, tmp_path):
    refined = open_maskdir(one / "refined")
    shares = sorted((float((refined.mask(name) > 0).mean()), name) for name in refined.ids)
    assert shares[0][0] < shares[1][0]
    limit, name = (shares[0][0] + shares[1][0]) / 2, shares[0][1]
    out = shared(tmp_path / "o", min_foreground=limit, watch="truth", cutting=Cutting(grabcut=False))
    [row] = rows(out)
    assert set(row) == {"time", "event", "truth", "digest", "input", "refined"}
    assert (row["truth"], row["digest"]) == ("truth", None)
    sizes = {image: mask.size for image, mask in shared.scenes.truth.items()}
    assert row["refined"]["dropped"] == 1
    assert row["refined"]["coverage"] == pytest.approx(1 - sizes[name] / sum(sizes.values()), abs=1e-6)
    assert row["refined"]["miou"] < row["refined"]["miou_kept"]


def test_rounds_are_watched_later(shared, watched, two, truth, tmp_path, monkeypatch):
    """Without another training; by other true masks they are measured again."""
    out = shutil.copytree(two.parent, tmp_path / "copy")
    monkeypatch.setattr("wsscli.steps.train_seg.train_seg", None)
    before = files(out)
    shared(out, rounds=2, watch="truth")
    after = files(out)
    assert after.pop("rounds.csv") == (watched / "rounds.csv").read_bytes()
    assert after.pop("rounds.svg") == (watched / "rounds.svg").read_bytes()
    assert after == before
    shared(out, rounds=2, watch="truth")
    assert len(rows(out / "round-1")) == 1  # measured already
    shared(out, rounds=2, watch=str(truth))
    digest = read_manifest(truth).digest()
    assert [(row["truth"], row["digest"]) for row in rows(out / "round-1")] == [("truth", None), (str(truth), digest)]
    shutil.rmtree(out / "round-2/refined")  # it may be taken away
    (out / "round-2/log.jsonl").unlink()
    shared(out, rounds=2, watch="truth")
    assert set(rows(out / "round-2")[0]) == {"time", "event", "truth", "digest", "input", "grabcut"}
    shared(out, rounds=2)  # and nobody has to go on watching


def test_a_single_round_is_watched_later(shared, one, tmp_path):
    out = shutil.copytree(one, tmp_path / "copy")
    shared(out, watch="truth")
    assert len(rows(out)) == 1 and not (out / "rounds.csv").exists()


def test_after_watching_failed_it_goes_on_without(shared, truth, tmp_path, monkeypatch, message):
    out, short = tmp_path / "o", shared.training(iterations=1)

    def failing(*args, **options):
        raise WssError("bad figures")

    with monkeypatch.context() as patch:
        patch.setattr("wsscli.steps._round_watch.figures", failing)
        assert message(WssError, shared, out, rounds=2, training=short, watch=str(truth)) == "bad figures"
    assert not read_manifest(out).complete
    assert shared(out, rounds=2, training=short) == out / "round-2"
    assert not (out / "rounds.csv").exists() and list(problems(out)) == []


def test_a_directory_of_true_masks(refine, message):
    scenes = refine.scenes
    truth = scenes.masks("truth", lambda name: scenes.truth[name])
    out = refine(watch=str(truth), training=refine.training(iterations=1))
    assert [item.role for item in read_manifest(out).inputs] == ["masks"]
    assert message(WssError, refine, out.name, watch=str(out / "refined")).startswith(f"{out}: its input 'watch', ")
    some = scenes.masks("some", lambda name: scenes.truth[name], ids=["a", "b"])
    assert message(WssError, refine, "o", watch=str(some)) == (
        f"{some}: no true mask of 2 of the 4 images, the first is 'c'; train on a part with --ids, or leave --watch out"
    )
    shutil.rmtree(scenes.root / "SegmentationClass")
    mask = open_maskdir(truth).mask_path("d")
    mask.write_bytes(mask.read_bytes()[:40])
    assert str(mask) in message(WssError, refine, "late", watch=str(truth))
    assert not (scenes.out / "late").exists()  # told before anything was trained
    assert message(WssError, refine, "o", watch="truth") == (
        f"{scenes.root}: has no true masks; give a directory of them with --watch DIR"
    )
    assert not (scenes.out / "o").exists()


def test_class_free_true_masks(shared, truth, tmp_path, message):
    """They do for --foreground, and give the figures of true masks with classes; not for classes."""
    free = shared.scenes.masks("free", lambda name: np.minimum(shared.scenes.truth[name], 1))
    write_manifest(free, read_manifest(free).finished(classes=FOREGROUND))
    options = {"foreground": True, "label_count": "single", "training": shared.training(iterations=1)}
    out = shared(tmp_path / "o", watch=str(free), **options)
    shared(tmp_path / "o", watch=str(truth), **options)
    first, second = ({name: row[name] for name in ("input", "refined", "grabcut")} for row in rows(out))
    assert first == second
    assert message(WssError, shared, tmp_path / "classes", watch=str(free)) == (
        f"{free}: its class table is not the one of {shared.scenes.root}: class 1 is 'disc' there and 'foreground' here; "
        "use the table of one data set"
    )
