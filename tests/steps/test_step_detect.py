"""`wss train-det` and `wss detect` on the tiny net."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.detections import read_boxes
from wsscli.maskdir.manifest import read_manifest
from wsscli.nets.store import load_detector, load_model
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.detect import detect, detections
from wsscli.steps.train_det import train_det
from wsscli.steps.verify import problems, verify

SHORT = Training(iterations=3, batch_size=2, crop_size=129, device="cpu", bf16=False, log_every=1)


def box_of(truth, label):
    """VOC's box of a class's pixels: from 1, both ends inside."""
    rows, columns = np.nonzero(truth == label)
    return columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1


def annotate(scenes, name, boxes):
    objects = "".join(
        f"<object><name>{cls}</name><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin><xmax>{b[2]}</xmax>"
        f"<ymax>{b[3]}</ymax></bndbox></object>"
        for cls, b in boxes
    )
    (scenes.root / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")


@pytest.fixture
def boxed(scenes):
    for name, truth in scenes.truth.items():
        present = [(label, cls) for label, cls in ((1, "disc"), (2, "square")) if (truth == label).any()]
        annotate(scenes, name, [(cls, box_of(truth, label)) for label, cls in present])
    return scenes


def det(scenes, name="det", **options):
    run = options.pop("run", Run(workers=2))
    values = {"backbone": "tiny", "init": "none", "training": SHORT, "data": Data(scenes.root, split="train")}
    return train_det(scenes.out / name, **{**values, **options}, run=run)


def found(scenes, model, name="found", **options):
    values = {"device": "cpu", "data": Data(scenes.root, split="train"), "run": Run(workers=2), "bf16": False}
    return detect(model, scenes.out / name, **{**values, **options})


def files(out):
    return {p.name: p.read_bytes() for p in out.iterdir() if p.name != "log.jsonl"}


def test_a_detector(boxed):
    out = det(boxed, run=Run(workers=2, seed=7))
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "wss.json", "log.jsonl"}
    manifest = read_manifest(out)
    assert (manifest.kind, manifest.step, manifest.split, manifest.images) == ("model", "train-det", "train", 4)
    assert manifest.supervision == ("boxes",) and manifest.seed == 7 and manifest.complete
    options = manifest.options
    assert (options["arch"], options["crop_size"], options["expand"], options["recipe"]) == ("ssd", 129, 2.0, "modern")
    model = load_detector(out)
    assert model.size == 129
    assert model.classes.foreground == ("disc", "square", "moon")
    assert manifest.model == model.config


def test_the_same_command_again_and_another_seed(boxed):
    first = files(det(boxed))
    assert files(det(boxed)) == first
    assert files(det(boxed, "other"))["model.safetensors"] == first["model.safetensors"]
    assert files(det(boxed, "seed", run=Run(seed=1)))["model.safetensors"] != first["model.safetensors"]
    with pytest.raises(WssError) as error:
        det(boxed, expand=1.0)
    assert str(error.value) == (
        f"{boxed.out}/det: was made with other options: --expand was 2.0, now 1.0; use another -o, or --overwrite to "
        "replace it"
    )


def test_one_detector_starts_from_another(boxed, caplog):
    first = det(boxed)
    second = det(boxed, "second", init=str(first), training=replace(SHORT, lr=0.0))
    a, b = (load_model(out).state_dict() for out in (first, second))
    assert all((a[key] == b[key]).all() for key in a if "running" not in key and "num_batches" not in key)
    assert read_manifest(second).inputs[0].role == "init"


def test_a_dry_run_writes_nothing(boxed, caplog):
    caplog.set_level(logging.INFO)
    det(boxed, run=Run(dry_run=True))
    assert not (boxed.out / "det").exists()
    assert "would read images only (4 images of split train) and write model to" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expand": 0.5}, "--expand 0.5: give 1 to 8"),
        ({"training": replace(SHORT, dropout=0.1)}, "--dropout: a detector has none; leave it out"),
        (
            {"training": replace(SHORT, crop_size=65)},
            "--crop-size 65: give 129 or more; the published size is 320",
        ),
        (
            {"training": replace(SHORT, recipe="dsrg")},
            "--recipe dsrg: has no numbers for this training; take modern, ssd",
        ),
        (
            {"training": replace(SHORT, scale_range="0.5,2")},
            "--scale-range 0.5,2: give 0 < least <= largest <= 1",
        ),
    ],
)
def test_usage(boxed, options, message):
    with pytest.raises(UsageError) as error:
        det(boxed, **options)
    assert str(error.value) == message


def test_a_bad_box_stops_or_leaves_its_image_out(boxed, caplog):
    annotate(boxed, "b", [("square", (60, 1, 70, 9))])
    message = (
        f"{boxed.root}/Annotations/b.xml: object 1 has the box xmin 60, ymin 1, xmax 70, ymax 9, outside its photo of "
        "53x40 (width x height); mend or delete it"
    )
    with pytest.raises(WssError) as error:
        det(boxed)
    assert str(error.value) == message
    for _ in range(2):
        with pytest.raises(PartialError) as error:
            det(boxed, run=Run(keep_going=True))
        assert str(error.value) == (
            f"{boxed.out}/det: 1 of 4 images failed and are listed as dropped in its wss.json; --overwrite makes all "
            "of it again"
        )
    assert f"{message}; the image is left out" in caplog.text
    manifest = read_manifest(boxed.out / "det")
    assert manifest.complete and manifest.images == 4
    assert manifest.dropped == ({"id": "b", "reason": f"failed: {message}"},)


def test_clipped_boxes_are_told_and_no_boxes_are_an_error(boxed, caplog):
    annotate(boxed, "b", [("square", (40, 1, 70, 9))])
    det(boxed)
    assert "1 boxes reach beyond their photos and are cut to them" in caplog.text
    for name in boxed.ids:
        annotate(boxed, name, [])
    with pytest.raises(WssError) as error:
        det(boxed, "none")
    assert str(error.value) == f"{boxed.root}: none of the 4 images of split train holds any box"
    (boxed.root / "Annotations/a.xml").unlink()
    with pytest.raises(WssError) as error:
        det(boxed, "none")
    assert str(error.value) == (
        f"{boxed.root}: no boxes for 1 of 4 images of split train (a); give them with --boxes FILE or leave the "
        "images out with --ids"
    )


def test_boxes_of_a_list(boxed):
    listed = boxed.out / "boxes.txt"
    lines = []
    for name, truth in boxed.truth.items():
        objects = [(*box_of(truth, label), label - 1) for label in (1, 2) if (truth == label).any()]
        lines.append(f"{name}.jpg " + " ".join(str(value) for item in objects for value in item))
    listed.write_text("\n".join(lines))
    own, other = det(boxed), det(boxed, "listed", boxes=listed)
    assert files(own)["model.safetensors"] == files(other)["model.safetensors"]
    assert [item.role for item in read_manifest(other).inputs] == ["boxes"]


def test_detections_of_a_split(boxed):
    model = det(boxed)
    out = found(boxed, model)
    assert {p.name for p in out.iterdir()} == {"boxes.json", "wss.json", "log.jsonl"}
    manifest = read_manifest(out)
    assert (manifest.kind, manifest.step, manifest.images) == ("detections", "detect", 4)
    assert manifest.supervision == ("boxes",) and manifest.classes.foreground == ("disc", "square", "moon")
    assert [item.role for item in manifest.inputs] == ["model"]
    entries = json.loads((out / "boxes.json").read_text())
    names = [entry["image_id"] for entry in entries]
    assert names == sorted(names) and set(names) <= set(boxed.ids)
    net = load_detector(model)
    for name, one in read_boxes(out / "boxes.json", 4).items():
        height, width = boxed.truth[name].shape
        assert (one.boxes >= 0).all() and (one.boxes <= np.array([width, height] * 2) + 0.011).all()
        assert (np.diff(one.scores) <= 0).all() and one.scores.min() > 0.0099
        alone = detections(net, np.asarray(Image.open(boxed.root / f"JPEGImages/{name}.jpg")))
        np.testing.assert_allclose(alone.boxes, one.boxes, atol=0.02)


def test_fewer_boxes_and_none(boxed):
    model = det(boxed)
    entries = json.loads((found(boxed, model, most=3) / "boxes.json").read_text())
    assert len(entries) == 12
    none = found(boxed, model, "none", threshold=0.999)
    assert json.loads((none / "boxes.json").read_text()) == []
    assert read_manifest(none).images == 4


def test_killed_detections_go_on_and_end_with_the_same_bytes(boxed, monkeypatch):
    model = det(boxed)
    whole = files(found(boxed, model, run=Run(workers=1)))
    from wsscli.data.base import Dataset

    real, count = Dataset.image, []

    def stop(self, name):
        count.append(name)
        if len(count) == 3:
            raise KeyboardInterrupt
        return real(self, name)

    monkeypatch.setattr(Dataset, "image", stop)
    with pytest.raises(KeyboardInterrupt):
        found(boxed, model, "torn", run=Run(workers=1))
    torn = boxed.out / "torn"
    journal = (torn / "journal.jsonl").read_text()
    assert journal.count("\n") == 2
    (torn / "journal.jsonl").write_text(journal + '{"id": "c", "boxes": [{"ima')  # a torn line
    found(boxed, model, "torn", run=Run(workers=1))
    assert count == ["a", "b", "c", "c", "d"]
    assert files(torn) == whole


def test_a_folder_of_photos(boxed):
    out = found(boxed, det(boxed), data=Data(), images=boxed.root / "JPEGImages")
    assert read_manifest(out).images == 4
    assert read_manifest(out).data.format == "images"
    with pytest.raises(UsageError) as error:
        found(boxed, boxed.out / "det", "x", data=Data(labels=boxed.root), images=boxed.root / "JPEGImages")
    assert str(error.value) == (
        "--images are photos without labels; leave --labels out, or name the data set with --data"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "--threshold 1: give 0 or more, below 1"),
        ({"nms": 0.0}, "--nms 0: give more than 0, at most 1"),
        ({"most": 0}, "--most 0: give 1 or more"),
    ],
)
def test_usage_of_detect(boxed, options, message):
    with pytest.raises(UsageError) as error:
        found(boxed, boxed.out, **options)
    assert str(error.value) == message


def test_another_net_is_refused(boxed):
    from wsscli.steps.train_cls import train_cls

    model = train_cls(
        boxed.out / "cls", backbone="tiny", init="none", training=replace(SHORT, crop_size=33),
        data=Data(boxed.root, split="train"), run=Run(workers=2),
    )  # fmt: skip
    with pytest.raises(WssError) as error:
        found(boxed, model)
    assert str(error.value) == f"{model}: holds a 'cam' net, a detector is needed; pass what train-det wrote"


def test_verify(boxed):
    out = found(boxed, det(boxed))
    assert verify(out) == out
    path = out / "boxes.json"
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entries[0], "category_id": 9}]))
    assert list(problems(out)) == [
        f"{path}: detection 1 has the category 9, but the class table ends at 3; judge it with the classes of its data "
        "set",
        f"{out}/wss.json: the files are not those that `wss detect` wrote (their common digest differs); something "
        "changed, added or took away a file",
    ]
    path.unlink()
    (out / "instances.json").write_text("[]")
    assert next(problems(out)) == f"{path}: missing"
