"""`wss eval --detections`: boxes of a small devkit, found by hand."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from wsscli.cli.eval import check, finish
from wsscli.errors import FailUnderError, UsageError, WssError
from wsscli.maskdir.detections import Detected, entries_of
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.writer import Output
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._evaluation import csv_text
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.eval import Part, evaluate

NAMES = ("cat", "dog", "cow")
TRUTH = {  # class, corners with exclusive ends
    "a": [("cat", 0, 0, 20, 20)],
    "b": [("cat", 30, 10, 60, 40), ("dog", 5, 5, 25, 35)],
    "c": [("dog", 0, 0, 40, 30)],
    "d": [],
}


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / "devkit"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(NAMES))
    for name, objects in TRUTH.items():
        Image.new("RGB", (80, 60)).save(root / f"JPEGImages/{name}.jpg")
        xml = "".join(
            f"<object><name>{cls}</name><difficult>{int(name == 'c')}</difficult><bndbox><xmin>{x0 + 1}</xmin>"
            f"<ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            for cls, x0, y0, x1, y1 in objects
        )
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{xml}</annotation>")
    (root / "ImageSets/Segmentation/val.txt").write_text("a\nb\nc\nd\n")
    (root / "ImageSets/Segmentation/train.txt").write_text("a\n")
    return root


def found_in(name):
    """Every true box, those of dogs moved by half their width; a wrong cat in d, better than the right ones."""
    rows = [
        ([x0 + (x1 - x0) / 2 * (cls == "dog"), y0, x1 + (x1 - x0) / 2 * (cls == "dog"), y1], cls, 0.8)
        for cls, x0, y0, x1, y1 in TRUTH[name]
    ]
    rows += [([1, 1, 9, 9], "cat", 0.9)] if name == "d" else []
    boxes = np.array([row[0] for row in rows], float).reshape(-1, 4)
    labels = np.array([NAMES.index(row[1]) + 1 for row in rows], int)
    return Output(boxes=entries_of(name, Detected(boxes, labels, np.array([row[2] for row in rows], float))))


def directory(devkit, name="found", work=found_in, *, ids=tuple(TRUTH), split="val", ledger=("boxes",)):
    dataset = dataset_for(Data(devkit, split=split))
    plan = Plan("detect", devkit.parent / name, "detections", {}, dataset.classes, data_ref(dataset), split, (), ledger)
    return per_image(plan, Run(workers=1), ids, work)


def message(kind, *arguments, **options):
    with pytest.raises(kind) as error:
        evaluate(*arguments, **{"detections": True, **options})
    assert type(error.value) is kind
    return str(error.value)


def test_the_numbers(devkit):
    out = directory(devkit)
    result = evaluate([out], detections=True)
    (row,) = result.rows
    assert (result.split, result.images, result.kind) == ("val", 4, "boxes")
    assert result.measured() == [(str(out), "AP50", row.numbers["ap50"], "")]
    assert row.ledger == ["boxes"]
    assert row.classes == ["cat", "dog"]  # no cow in the truth; the difficult dog of c is passed over
    cat, dog = row.per_class["cat"], row.per_class["dog"]
    # one miss, then two hits of two: precision 1/2 and 2/3 at recalls 1/2 and 1
    assert (cat["ap50"], cat["ap50_voc07"], cat["objects"]) == pytest.approx((2 / 3, 2 / 3, 2))
    assert (dog["ap50"], dog["ap50_coco"], dog["objects"]) == (0, 0, 1)  # a third is no half
    assert row.numbers["ap50"] == pytest.approx(1 / 3)
    assert 0.6 < cat["ap_coco"] < 2 / 3 + 1e-9


def test_json_csv_notes_and_fail_under(devkit):
    result = evaluate([directory(devkit)], detections=True, classes=("background", "cat", "cow"))
    plain = json.loads(json.dumps(result.to_json()))
    assert plain["objects"] == "boxes"
    assert plain["rows"][0]["classes"] == ["cat"]
    assert plain["rows"][0]["ap50"] == pytest.approx(2 / 3)
    assert list(plain["rows"][0]["per_class"]) == ["cat"]
    header, row = csv.reader(io.StringIO(csv_text(result.to_table(per_class=True))))
    assert float(row[header.index("ap50:cat")]) == pytest.approx(2 / 3)
    assert result.notes() == [
        f"split val, 4 images, truth {devkit}",
        "AP50: overlap 0.5, VOC 2012's area under the curve (VOC07: at eleven points), difficult objects and crowds "
        "passed over; COCO: mean over overlaps 0.5 to 0.95, crowds passed over",
        f"{devkit.parent}/found: mean over 1 class (cat), asked for, where they occur; ledger: boxes",
    ]
    check(result, 0.6)
    with pytest.raises(FailUnderError) as error:
        check(result, 0.7)
    assert str(error.value) == (f"{devkit.parent}/found: AP50 0.6667 on split val is under --fail-under 0.7")
    with pytest.raises(UsageError) as error:
        finish(result, confusion=devkit / "x.csv")
    assert str(error.value) == f"--confusion {devkit}/x.csv: there is no confusion matrix of boxes; leave it out"


def test_part_of_the_images_and_several_directories(devkit):
    whole = directory(devkit)
    part = directory(devkit, "part", ids=("a", "b"))
    ids = devkit.parent / "ids.txt"
    ids.write_text("a\nb\n")
    result = evaluate([whole, part], detections=True, part=Part(ids=ids))
    assert result.images == 2
    assert [row.numbers["ap50"] for row in result.rows] == [0.5, 0.5]
    assert message(WssError, [part]) == (
        f"{part}: is about 2 images, which are neither the 4 of split val nor the 4 to judge; name them with --ids"
    )


def test_a_file_of_another_tool_and_boxes_of_a_list(devkit):
    out = directory(devkit)
    path = devkit.parent / "results.json"
    path.write_bytes((out / "boxes.json").read_bytes())
    data = Data(devkit, split="val")
    same = evaluate([path], detections=True, data=data).rows[0]
    assert same.numbers == evaluate([out], detections=True).rows[0].numbers
    assert same.ledger == ["unknown"]
    listed = devkit.parent / "boxes.txt"
    listed.write_text("a.jpg 1 1 20 20 0\nb.jpg\nc.jpg\nd.jpg\n")
    result = evaluate([out], detections=True, boxes=listed)
    assert result.truth == str(listed)
    assert result.rows[0].numbers["ap50"] == pytest.approx(1 / 2)  # the wrong cat of d, then the right one
    path.write_text(json.dumps([{"image_id": "z", "category_id": 1, "bbox": [0, 0, 2, 2], "score": 1}]))
    assert message(WssError, [path], data=data) == (
        f"{path}: its image 'z' is not in split val of {devkit}; judge it on the images it was made from"
    )


def test_dropped_images(devkit):
    def work(name):
        return Output(dropped="its photo is broken") if name == "d" else found_in(name)

    out = directory(devkit, work=work)
    assert message(WssError, [out]) == (
        f"{out}: 1 of 4 images were dropped, the first is 'd'; --missing skip leaves them out, --missing background "
        "counts them as without a box"
    )
    skipped = evaluate([out], detections=True, missing="skip")
    assert (skipped.images, skipped.skipped, skipped.rows[0].missing) == (3, 1, 0)
    counted = evaluate([out], detections=True, missing="background")
    assert (counted.images, counted.rows[0].missing) == (4, 1)
    assert counted.rows[0].per_class["cat"]["ap50"] == 1
    assert counted.notes()[-1].endswith("ledger: boxes; 1 dropped image counts as without boxes")


@pytest.mark.parametrize(
    "option",
    [
        {"truth": "x"}, {"unlabelled": "skip"}, {"background": "const:0.2"}, {"sweep": "0.1,0.2"}, {"boundary": True},
        {"foreground": True}, {"bootstrap": True},
    ],
)  # fmt: skip
def test_options_of_masks(devkit, option):
    (name,) = option
    assert message(UsageError, [devkit], **option) == f"--{name}: does not go with --detections; leave one of them out"


def test_boxes_judge_detections_only(devkit):
    assert message(UsageError, [devkit], boxes=devkit, detections=False) == (
        "--boxes: is an option of --detections; add that, or leave --boxes out"
    )


def test_what_holds_no_detections(devkit):
    assert message(WssError, [devkit]) == (
        f"{devkit}: no detections here; give a directory of `wss detect`, or a file of COCO results"
    )
    dataset = dataset_for(Data(devkit, split="val"))
    plan = Plan("predict", devkit.parent / "masks", "masks", {}, dataset.classes, data_ref(dataset), "val")
    masks = per_image(plan, Run(workers=1), ["a"], lambda name: Output(mask=np.zeros((60, 80), np.uint8)))
    assert message(WssError, [masks]) == (
        f"{masks}: holds masks (written by `wss predict`), but detections are needed; give a directory of `wss detect`"
    )
    out = directory(devkit)
    write_manifest(out, replace(read_manifest(out), complete=False))
    assert message(WssError, [out]) == (
        f"{out}: incomplete (`wss detect` was stopped before its end); run that command again, it goes on where it "
        "stopped"
    )


def test_another_split_other_classes_and_no_objects(devkit):
    out = directory(devkit)
    train = directory(devkit, "train", ids=("a",), split="train")
    assert message(WssError, [out, train]) == (
        f"{train}: is of split 'train', the others or --split say 'val'; splits are never mixed, judge each by itself"
    )
    assert message(WssError, [out], data=Data(devkit, class_names=("cow", "cat", "dog"))) == (
        f"{out}: its class table is not the one of {devkit}: class 1 is 'cow' there and 'cat' here; use the table of "
        "one data set"
    )
    assert message(WssError, [out], classes=("cow",)) == (
        f"{devkit}: no object of the classes to judge in 4 images of split val"
    )
    assert message(WssError, [out], classes=("bird",)).startswith("unknown class 'bird'")


def test_a_dry_run(devkit, caplog):
    caplog.set_level("INFO")
    assert evaluate([directory(devkit)], detections=True, part=Part(dry_run=True)) is None
    assert f"would judge {devkit.parent}/found on 4 images against the boxes of {devkit}" in caplog.text


def test_masks_beside_do_not_matter(devkit):
    write_mask(devkit / "SegmentationClass/a.png", np.zeros((60, 80), np.uint8))
    assert evaluate([directory(devkit)], detections=True).rows[0].numbers["ap50"] == pytest.approx(1 / 3)
