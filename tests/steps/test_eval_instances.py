"""`wss eval --instances`: objects of a small devkit, cut out by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from wsscli.errors import UsageError, WssError
from wsscli.evaluate.instances import encode
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.writer import Output
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._eval_instances import read_instances
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.eval import evaluate

NAMES = ("cat", "dog")
TRUTH = {  # class, x0, y0, x1, y1 with exclusive ends; every object fills its box
    "a": [("cat", 0, 0, 20, 20)],
    "b": [("cat", 30, 10, 60, 40), ("dog", 0, 5, 20, 35)],
    "c": [("dog", 0, 0, 10, 30), ("dog", 40, 0, 60, 30)],
}


def box_mask(x0, y0, x1, y1):
    mask = np.zeros((60, 80), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / "devkit"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Segmentation", "SegmentationClass", "SegmentationObject"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(NAMES))
    for name, objects in TRUTH.items():
        Image.new("RGB", (80, 60)).save(root / f"JPEGImages/{name}.jpg")
        xml = "".join(
            f"<object><name>{cls}</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
            f"<ymax>{y1}</ymax></bndbox></object>"
            for cls, x0, y0, x1, y1 in objects
        )
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{xml}</annotation>")
        mask = np.zeros((60, 80), np.uint8)
        for cls, *corners in objects:
            mask[box_mask(*corners)] = NAMES.index(cls) + 1
        write_mask(root / f"SegmentationClass/{name}.png", mask)
    (root / "ImageSets/Segmentation/val.txt").write_text("a\nb\nc\n")
    return root


def entry(name, cls, corners, score):
    rle = encode(box_mask(*corners))
    coded = {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}
    return {"image_id": name, "category_id": NAMES.index(cls) + 1, "segmentation": coded, "score": score}


def right(name):
    return [entry(name, cls, corners, 0.8) for cls, *corners in TRUTH[name]]


def directory(devkit, work=right, name="found", **manifest):
    dataset = dataset_for(Data(devkit, split="val"))
    plan = Plan(
        "detect", devkit.parent / name, "detections", {}, dataset.classes, data_ref(dataset), "val", (), ("boxes",)
    )
    return per_image(plan, Run(workers=1), list(TRUTH), lambda image: Output(boxes=[], instances=work(image)))


def test_only_what_is_alone_of_its_class_is_judged(devkit):
    def work(name):
        return right(name) + ([entry(name, "dog", (50, 30, 79, 59), 0.9)] if name != "a" else [])

    result = evaluate([directory(devkit, work)], instances=True)
    (row,) = result.rows
    assert (result.kind, result.protocol, result.images) == ("instances", "sds", 3)
    assert row.classes == ["cat", "dog"] and row.ledger == ["boxes"]
    assert row.per_class["cat"]["objects"] == 2 and row.per_class["cat"]["ap50"] == 1
    # one of dog's two images is judged: a wrong one before the right one
    assert row.per_class["dog"]["objects"] == 1 and row.per_class["dog"]["ap50"] == 0.5
    assert row.numbers["ap50"] == 0.75 and result.measured()[0].name == "AP^r at 0.5"
    assert any("protocol sds (more than the overlap" in line for line in result.notes())


def test_the_three_overlaps(devkit):
    def work(name):  # 0.7 of each cat, all of the dogs
        objects = [
            (cls, (x0, y0, x1, y0 + (y1 - y0) * (18 if cls == "cat" else 25) // 25))
            for cls, x0, y0, x1, y1 in TRUTH[name]
        ]
        return [entry(name, cls, corners, 0.8) for cls, corners in objects]

    row = evaluate([directory(devkit, work)], instances=True).rows[0]
    cat = row.per_class["cat"]
    values = [cat[key] for key in ("ap50", "ap70", "ap75", "ap50_coco", "ap75_coco")]
    assert values == [1, 0, 0, 1, 0]  # not MORE than 0.7
    assert row.numbers["ap75"] == 0.5


def test_protocols_differ_at_the_very_overlap(devkit):
    def work(name):
        return [entry(name, cls, (x0, y0, x1, (y0 + y1) // 2), 0.8) for cls, x0, y0, x1, y1 in TRUTH[name]]

    out = directory(devkit, work)
    sds, fcis = (
        evaluate([out], instances=True, protocol=rule, classes=("background", "cat")) for rule in ("sds", "fcis")
    )
    assert sds.rows[0].numbers["ap50"] == 0 and fcis.rows[0].numbers["ap50"] == pytest.approx(1)
    assert fcis.to_json()["protocol"] == "fcis" and any("protocol fcis" in line for line in fcis.notes())


def test_an_object_map_judges_every_object(devkit):
    objects = np.zeros((60, 80), np.uint8)
    for number, (_, *corners) in enumerate(TRUTH["c"], start=1):
        objects[box_mask(*corners)] = number
    objects[0, 0] = 255  # void: not missed
    write_mask(devkit / "SegmentationObject/c.png", objects)
    row = evaluate([directory(devkit)], instances=True).rows[0]
    assert row.per_class["dog"]["objects"] == 3 and row.numbers["ap75"] == 1
    assert row.numbers["ap_coco"] == pytest.approx(1)


def text_of(kind, *arguments, **options):
    with pytest.raises(kind) as error:
        evaluate(*arguments, **{"instances": True, **options})
    assert type(error.value) is kind
    return str(error.value)


def test_options_that_do_not_go_together(devkit):
    out = directory(devkit)
    assert text_of(UsageError, [out], instances=False, protocol="fcis") == (
        "--protocol: is an option of --instances; add that, or leave --protocol out"
    )
    assert text_of(UsageError, [out], detections=True) == (
        "--detections and --instances: judge each by itself, leave one of them out"
    )
    assert text_of(UsageError, [out], sweep="0.1") == ("--sweep: does not go with --instances; leave one of them out")
    assert text_of(UsageError, [out], keep=(3,)) == "--keep: does not go with --instances; leave one of them out"


def test_a_list_of_boxes_says_what_is_alone(devkit):
    (devkit / "boxes.txt").write_text("a.jpg\nb.jpg 31 11 60 40 0\nc.jpg\n")
    out = directory(devkit)
    plain = evaluate([out], instances=True).rows[0]
    assert sum(values["objects"] for values in plain.per_class.values()) == 3
    row = evaluate([out], instances=True, boxes=devkit / "boxes.txt").rows[0]
    assert row.classes == ["cat"] and row.per_class["cat"]["objects"] == 1 and row.numbers["ap50"] == 1


def test_the_notes_say_when_not_every_object_is_known(devkit):
    def alone(result):
        return [line for line in result.notes() if "a class is judged in images with exactly one object of it" in line]

    out = directory(devkit)
    assert len(alone(evaluate([out], instances=True))) == 1
    for name, there in TRUTH.items():
        objects = np.zeros((60, 80), np.uint8)
        for number, (_, *corners) in enumerate(there, start=1):
            objects[box_mask(*corners)] = number
        write_mask(devkit / f"SegmentationObject/{name}.png", objects)
    assert not alone(evaluate([out], instances=True))


def test_what_is_void_wholly_is_no_miss(devkit):
    objects = np.zeros((60, 80), np.uint8)
    for number, (_, *corners) in enumerate(TRUTH["c"], start=1):
        objects[box_mask(*corners)] = number
    objects[40:, :] = 255
    write_mask(devkit / "SegmentationObject/c.png", objects)

    def work(name):
        more = [entry("c", "dog", (0, 41, 30, 60), 0.9)] if name == "c" else []
        return right(name) + more

    assert evaluate([directory(devkit, work)], instances=True).rows[0].per_class["dog"]["ap50"] == 1

    def lower(name):  # a pixel of it is not void: a miss before all others
        more = [entry("c", "dog", (0, 39, 30, 60), 0.9)] if name == "c" else []
        return right(name) + more

    row = evaluate([directory(devkit, lower, "lower")], instances=True).rows[0]
    assert row.per_class["dog"]["ap50"] == pytest.approx(0.75)


def test_instances_of_other_images_and_classes(devkit):
    path = devkit.parent / "mine.json"

    def text(**changed):
        path.write_text(json.dumps([{**right("a")[0], **changed}]))
        return text_of(WssError, [path], data=Data(devkit, split="val"))

    assert text(image_id=7) == (
        f"{path}: its image '7' is not in split val of {devkit}; judge it on the images it was made from"
    )
    assert text(category_id=3) == (
        f"{path}: an instance has the category 3, but the class table ends at 2; judge it with the classes of its data "
        "set"
    )
    assert text(score=float("nan")) == (
        f"{path}: instance 1 lacks or garbles image_id, category_id, segmentation or score (ValueError('the score "
        "nan')); mend it"
    )


def test_nothing_to_judge(devkit):
    assert text_of(WssError, [directory(devkit)], part=_only(devkit, "c")) == (
        f"{devkit}: no object to judge in 1 images of split val; without SegmentationObject only an object that is alone "
        "of its class in its image can be"
    )


def _only(devkit, name):
    from wsscli.steps.eval import Part

    path = devkit.parent / "ids.txt"
    path.write_text(f"{name}\n")
    return Part(ids=path)


def test_an_instance_of_another_size(devkit):
    def work(name):
        found = right(name)
        if name == "a":
            rle = encode(np.ones((2, 3), bool))
            found[0]["segmentation"] = {"size": [2, 3], "counts": rle["counts"].decode()}
        return found

    out = directory(devkit, work)
    assert text_of(WssError, [out]) == (
        f"{out}/instances.json: an instance of 'a' is 2 x 3 (height x width), but the truth is 60 x 80; make it again "
        "from this photo"
    )


def test_damaged_files(tmp_path):
    path = tmp_path / "instances.json"

    def text(content):
        path.write_text(content)
        with pytest.raises(WssError) as error:
            read_instances(path)
        return str(error.value)

    assert text("{") == (
        f"{path}: cannot be read as json (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); "
        "run `wss detect --instances` again"
    )
    assert text("{}") == f"{path}: no list of instances, so not COCO's results form; give what `wss detect` wrote"
    lacking = json.dumps([{"image_id": "a"}])
    assert text(lacking) == (
        f"{path}: instance 1 lacks or garbles image_id, category_id, segmentation or score (KeyError('segmentation')); "
        "mend it"
    )
