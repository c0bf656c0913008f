"""`wss eval` as a function: what it reads, which images it judges, and every way it refuses."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.evaluate.confusion import confusion
from wsscli.evaluate.summary import summarise
from wsscli.maskdir.manifest import DataRef
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores
from wsscli.maskdir.writer import Output
from wsscli.steps._data import Data
from wsscli.steps._evaluation import csv_text
from wsscli.steps._mask_evaluation import matrix_table, write_confusion
from wsscli.steps._run import Plan, Run, open_job, per_image
from wsscli.steps.eval import Part, evaluate

IDS = [f"i{n}" for n in range(7)]
SHAPE = (12, 16)
NAMES = ("background", "cat", "dog", "cow")
TABLE = ClassTable(NAMES)


def true_mask(name):
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:9, 3:12] = 1 + IDS.index(name) % 3
    mask[0] = 255
    return mask


def noisy(name, share=0.3, seed=1):
    rng = np.random.default_rng([IDS.index(name), seed])
    mask = true_mask(name)
    hit = rng.random(SHAPE) < share
    mask[hit] = rng.choice([0, 1, 2, 3, 255], int(hit.sum()))
    return mask


def cams(name):
    rng = np.random.default_rng([IDS.index(name), 9])
    classes = np.array(sorted({int(v) for v in np.unique(true_mask(name))} - {0, 255}))
    return Scores(rng.random((len(classes), 6, 8)).astype(np.float32) * 5, classes, SHAPE)


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name in IDS:
        Image.new("RGB", (SHAPE[1], SHAPE[0])).save(root / f"JPEGImages/{name}.jpg")
        write_mask(root / f"SegmentationClass/{name}.png", true_mask(name))
    (root / "classes.txt").write_text("\n".join(NAMES[1:]) + "\n")
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(IDS[:5]) + "\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(IDS[5:]) + "\n")
    return root


@pytest.fixture
def write(tmp_path, voc):
    """Make a mask directory: `write(name, work)`; work(id) -> Output."""

    def make(name, work, *, kind="masks", ids=IDS[:5], split="train", classes=TABLE, data=True, **more):
        ref = DataRef(str(voc), "voc") if data else None
        plan = Plan("crf", tmp_path / name, kind, {}, classes, ref, split, supervision=["image-labels"], **more)
        return per_image(plan, Run(workers=1), ids, work)

    return make


@pytest.fixture
def noise(write):
    return write("noise", lambda name: Output(mask=noisy(name)))


@pytest.fixture
def scored(write):
    def work(name):
        return Output(mask=noisy(name), scores=cams(name))

    return write("scored", work, kind="masks+scores", score_type="cam")


def total(ids=IDS[:5], make=noisy):
    return sum(confusion(true_mask(i), make(i), 4) for i in ids)


def test_numbers_are_those_of_one_matrix_over_the_set(noise, voc):
    result = evaluate([noise])
    row = result.rows[0]
    expected = summarise(total())
    assert row.matrix.tolist() == total().tolist()
    assert row.numbers["miou"] == expected.miou
    assert row.numbers["foreground_precision"] == expected.foreground_precision
    assert {c: n["iou"] for c, n in row.per_class.items()} == dict(zip(NAMES, expected.iou.tolist(), strict=True))
    assert (result.split, result.images, result.truth) == ("train", 5, str(voc))
    assert (row.ledger, row.source, row.background, row.missing) == (["image-labels"], "masks", None, 0)
    assert row.classes == list(NAMES)


def test_the_truth_scores_one_and_is_a_plain_folder_of_unknown_ledger(voc):
    result = evaluate([voc / "SegmentationClass"], data=Data(voc, "train"), boundary=True)
    row = result.rows[0]
    assert (row.numbers["miou"], row.numbers["boundary_miou"], row.numbers["coverage"]) == (1.0, 1.0, 1.0)
    assert row.ledger == ["unknown"]
    assert result.images == 5  # val's masks lie in the same folder and are not judged


@pytest.mark.parametrize("rule", ["miss", "background", "skip"])
def test_rules_for_unlabelled_predictions(noise, rule):
    row = evaluate([noise], unlabelled=rule).rows[0]
    assert row.numbers["miou"] == summarise(total(), unlabelled=rule).miou


def test_several_directories_in_one_table(noise, write, voc):
    good = write("good", lambda name: Output(mask=noisy(name, 0.05)))
    result = evaluate([noise, good, voc / "SegmentationClass"], bootstrap=True, draws=50)
    assert [row.directory for row in result.rows] == [str(noise), str(good), str(voc / "SegmentationClass")]
    assert [row.ledger for row in result.rows] == [["image-labels"], ["image-labels"], ["unknown"]]
    first = result.comparisons[0]
    assert (first.first, first.second, first.draws) == (str(noise), str(good), 50)
    assert first.difference == pytest.approx(result.rows[1].numbers["miou"] - result.rows[0].numbers["miou"])
    assert first.low <= first.difference <= first.high
    assert first.resolved
    assert len(result.comparisons) == 2


@pytest.mark.parametrize("options", [{"boundary": True, "bootstrap": True}, {"sweep": "0.1:0.9:0.1"}])
def test_results_do_not_depend_on_workers_or_chunks(scored, noise, options, monkeypatch):
    folders = [scored] if "sweep" in options else [scored, noise]
    once = evaluate(folders, **options, part=Part(workers=1)).to_json()
    monkeypatch.setattr("wsscli.steps._eval_masks._CHUNK", 2)
    assert evaluate(folders, **options, part=Part(workers=3)).to_json() == once


def test_classes_restrict_means_never_the_matrix(noise):
    whole, part = evaluate([noise]).rows[0], evaluate([noise], classes=("background", "dog")).rows[0]
    assert part.matrix.tolist() == whole.matrix.tolist()
    assert part.per_class == whole.per_class
    expected = [part.per_class[name]["iou"] for name in ("background", "dog")]
    assert part.numbers["miou"] == pytest.approx(np.mean(expected))
    assert part.classes == ["background", "dog"]


def test_masks_are_judged_unless_a_rule_or_sweep_asks_for_scores(scored):
    masks = evaluate([scored]).rows[0]
    assert (masks.source, masks.matrix.tolist()) == ("masks", total().tolist())
    scores = evaluate([scored], background="const:0.4").rows[0]
    assert (scores.source, scores.background) == ("scores", "const:0.4")
    assert scores.ledger == ["image-labels"]  # a rule given beforehand is not tuned


def test_a_sweep_equals_a_run_a_threshold_and_says_so_in_the_ledger(scored):
    result = evaluate([scored], sweep="0.2:0.8:0.2")
    assert [row.background for row in result.rows] == ["const:0.2", "const:0.4", "const:0.6", "const:0.8"]
    for row in result.rows:
        assert row.matrix.tolist() == evaluate([scored], background=row.background).rows[0].matrix.tolist()
        assert row.ledger == ["image-labels", "tuned-on-masks:train"]
    top = max(result.rows, key=lambda row: row.numbers["miou"])
    assert [row for row in result.rows if row.best] == [top]
    assert result.judged == [top]


def test_power_background_and_probabilities(scored, write):
    from wsscli.seeds.background import add_background

    def argmax(name):
        scores = cams(name)
        full = add_background(scores.full(), "power:2")
        return np.append(0, scores.classes).astype(np.uint8)[full.argmax(axis=0)]

    def probabilities(name):
        scores = cams(name)
        return Output(scores=Scores(add_background(scores.scores, "const:0.3"), np.append(0, scores.classes), SHAPE))

    # stored as float16: judge what was stored
    row = evaluate([scored], background="power:2").rows[0]
    assert np.abs(row.matrix - total(make=argmax)).sum() <= 4
    probs = write("probs", probabilities, kind="scores", score_type="probability")
    found = evaluate([probs]).rows[0]
    assert (found.source, found.background, found.numbers["coverage"]) == ("scores", None, 1.0)


def test_an_image_without_any_map_is_background(write):
    empty = Scores(np.zeros((0, 2, 2), np.float32), np.zeros(0, np.int64), SHAPE)
    folder = write("empty", lambda name: Output(scores=empty), kind="scores", score_type="probability")
    assert evaluate([folder]).rows[0].per_class["background"]["recall"] == 1.0


def test_missing_masks(write, noise):
    part = write("part", lambda name: Output(mask=noisy(name)), ids=IDS[:3])
    with pytest.raises(WssError) as error:
        evaluate([part])
    assert str(error.value) == (
        f"{part}: 2 of 5 images have no mask, the first is 'i3'; --missing skip leaves them out, --missing background "
        "counts them as background, --ids judges a part"
    )
    skipped = evaluate([noise, part], missing="skip")  # both rows are about the three images that both have
    assert (skipped.images, skipped.skipped) == (3, 2)
    assert [row.matrix.tolist() for row in skipped.rows] == [total(IDS[:3]).tolist()] * 2
    filled = evaluate([part], missing="background")
    zeros = sum(confusion(true_mask(i), np.zeros(SHAPE, np.uint8), 4) for i in IDS[3:5])
    assert filled.rows[0].matrix.tolist() == (total(IDS[:3]) + zeros).tolist()
    assert (filled.images, filled.rows[0].missing) == (5, 2)


def test_missing_scores_are_background_in_a_sweep(write):
    part = write("part", lambda name: Output(scores=cams(name)), ids=IDS[:3], kind="scores", score_type="cam")
    swept = evaluate([part], sweep="0.5", missing="background").rows[0]
    assert (
        swept.matrix.tolist() == evaluate([part], background="const:0.5", missing="background").rows[0].matrix.tolist()
    )


def test_a_dropped_image_says_why(write):
    def work(name):
        return Output(dropped="no seed in it") if name == "i2" else Output(mask=noisy(name))

    with pytest.raises(WssError, match=r"1 of 5 images have no mask, the first is 'i2' \(dropped: no seed in it\);"):
        evaluate([write("dropping", work)])


def test_no_image_in_common(write, noise, tmp_path):
    folder = tmp_path / "strangers"
    folder.mkdir()
    write_mask(folder / "x.png", true_mask("i0"))
    with pytest.raises(WssError) as error:
        evaluate([noise, folder], missing="skip")
    assert str(error.value).startswith(f"{folder}: has none of the 5 images to judge (the first is 'i0') in ")
    assert str(error.value).endswith("split train; is it of another data set or split?")
    other = write("other", lambda name: Output(mask=noisy(name)), ids=IDS[3:5])
    first = write("first", lambda name: Output(mask=noisy(name)), ids=IDS[:2])
    with pytest.raises(WssError) as error:
        evaluate([first, other], missing="skip")
    assert str(error.value) == "no image is in all directories; nothing is left to judge under --missing skip"


def test_splits_are_never_mixed(write, noise, voc, tmp_path):
    with pytest.raises(WssError) as error:
        evaluate([noise], data=Data(split="val"))
    assert str(error.value) == (
        f"{noise}: is of split 'train', but --split (or WSS_SPLIT) says 'val'; splits are never mixed, judge each by "
        "itself"
    )
    val = write("val", lambda name: Output(mask=noisy(name)), ids=IDS[5:], split="val")
    with pytest.raises(WssError) as error:
        evaluate([noise, val])
    assert str(error.value) == (
        f"{val}: is of split 'val', but {noise} is of 'train'; splits are never mixed, judge each by itself"
    )
    with pytest.raises(WssError) as error:
        evaluate([noise], truth=val)
    assert str(error.value) == (
        f"{val}: true masks of split 'val', but {noise} is of 'train'; give the masks of that split"
    )


def test_truth_from_a_directory(noise, voc, write):
    assert evaluate([noise], truth=voc / "SegmentationClass").rows[0].matrix.tolist() == total().tolist()
    exact = write("exact", lambda name: Output(mask=true_mask(name)))
    result = evaluate([noise], truth=exact)
    assert (result.truth, result.rows[0].matrix.tolist()) == (str(exact), total().tolist())


def test_two_plain_folders_need_no_data_set(voc, tmp_path, caplog):
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in IDS:
        write_mask(folder / f"{name}.png", noisy(name))
    result = evaluate([folder], truth=voc / "SegmentationClass")
    assert (result.split, result.images) == ("unknown", 7)
    assert result.classes.names == ("background", "1", "2", "3")
    assert result.rows[0].matrix.tolist() == total(IDS).tolist()
    assert "nobody names the classes here" in caplog.text
    named = evaluate([folder], truth=voc / "SegmentationClass", data=Data(class_names=NAMES[1:]), boundary=True)
    assert named.classes == TABLE
    assert named.rows[0].numbers["miou"] == result.rows[0].numbers["miou"]
    found = evaluate([folder], truth=voc / "SegmentationClass", boundary=True)
    assert found.rows[0].numbers["boundary_miou"] == named.rows[0].numbers["boundary_miou"]
    with pytest.raises(UsageError) as error:
        evaluate([folder], truth=voc / "SegmentationClass", classes=("cat",))
    assert str(error.value) == (
        "--classes needs a class table: give --data, or --class-names cat,dog,... in the order of ids"
    )


def test_class_tables_must_agree(write, noise, voc):
    other = write("six", lambda name: Output(mask=true_mask(name)), classes=ClassTable.of(("cat", "cow", "dog")))
    with pytest.raises(WssError) as error:
        evaluate([other], data=Data(voc, "train", class_names=NAMES[1:]))
    assert str(error.value) == (f"{other}: class 2 is 'cow', but it is 'dog' in {voc}; masks must use its class table")
    short = write("short", lambda name: Output(mask=true_mask(name) // 255), classes=ClassTable.of(("cat",)))
    with pytest.raises(WssError) as error:
        evaluate([noise, short])
    assert str(error.value) == f"{short}: has 2 classes, but there are 4 in {voc}; masks must use its class table"
    with pytest.raises(WssError) as error:
        evaluate([noise], truth=other)
    assert str(error.value) == (
        f"{other}: class 2 is 'cow', but it is 'dog' in {voc}; the true masks must use its class table"
    )


def test_an_unknown_class(noise):
    with pytest.raises(WssError, match=r"^unknown class 'dgo'; did you mean dog"):
        evaluate([noise], classes=("cat", "dgo"))


def test_a_class_that_never_occurs_is_no_number(voc, tmp_path):
    result = evaluate(
        [voc / "SegmentationClass"], data=Data(voc, "train", class_names=(*NAMES[1:], "yak")), classes=("yak",)
    )
    assert math.isnan(result.rows[0].numbers["miou"])
    assert result.to_json()["rows"][0]["miou"] is None
    assert result.rows[0].classes == []


def test_sizes_must_agree(voc, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    for name in IDS:
        write_mask(folder / f"{name}.png", np.zeros((5, 9), np.uint8))
    with pytest.raises(WssError) as error:
        evaluate([folder], data=Data(voc, "train"))
    assert str(error.value) == (
        f"{folder}/i0.png: 5 x 9 pixels (height x width), but the true mask of 'i0' in {voc} has 12 x 16; "
        "a mask must have its image's size"
    )


def test_unreadable_and_strange_masks(voc, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for name in IDS:
        write_mask(folder / f"{name}.png", true_mask(name))
    good = (folder / "i1.png").read_bytes()
    (folder / "i1.png").write_bytes(good[: len(good) // 2])
    with pytest.raises(WssError, match=r"i1\.png: cannot be read as a mask"):
        evaluate([folder], data=Data(voc, "train"))
    Image.new("RGB", (SHAPE[1], SHAPE[0])).save(folder / "i1.png")
    with pytest.raises(WssError, match=r"i1\.png: this mask is coded by colours .*wss import masks"):
        evaluate([folder], data=Data(voc, "train"))
    write_mask(folder / "i1.png", np.full(SHAPE, 77, np.uint8))
    with pytest.raises(WssError, match=r"i1\.png: value 77 in the prediction, but the class table ends at 3"):
        evaluate([folder], data=Data(voc, "train"))


def test_folders_that_are_none(tmp_path, voc):
    with pytest.raises(WssError, match="no such directory"):
        evaluate([tmp_path / "none"], data=Data(voc, "train"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WssError, match=r"neither a wss\.json nor any PNG here"):
        evaluate([tmp_path / "empty"], data=Data(voc, "train"))


def test_an_unfinished_directory(tmp_path, voc):
    plan = Plan("crf", tmp_path / "half", "masks", {}, TABLE, DataRef(str(voc), "voc"), "train")
    with open_job(plan, Run(), IDS[:5]) as job:
        job.put("i0", Output(mask=true_mask("i0")))
    with pytest.raises(WssError, match="incomplete"):
        evaluate([tmp_path / "half"])


def test_no_true_masks(tmp_path, noise):
    photos = tmp_path / "photos" / "cat"
    photos.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(photos / "i0.jpg")
    with pytest.raises(WssError) as error:
        evaluate([noise.parent / "voc" / "SegmentationClass"], data=Data(tmp_path / "photos", format="folders"))
    assert str(error.value) == f"{tmp_path / 'photos'}: has no true masks; give them with --truth DIR"


def test_scores_that_cannot_be_judged(write, noise, scored):
    bare = write("bare", lambda name: Output(scores=cams(name)), kind="scores", score_type="cam")
    with pytest.raises(WssError) as error:
        evaluate([bare])
    assert str(error.value) == (
        f"{bare}: cam scores without a background are no masks; add --background const:T or power:A, or "
        "--sweep 0.05:0.95:0.05"
    )
    for options, option in (({"background": "const:0.2"}, "--background const:0.2"), ({"sweep": "0.5"}, "--sweep")):
        with pytest.raises(WssError) as error:
            evaluate([noise], **options)
        assert str(error.value) == (
            f"{noise}: {option} puts a background beside cam scores, but here are masks; give a directory of "
            "make-seeds, or leave the option out"
        )
    probs = write("probs", lambda name: Output(scores=cams(name)), kind="scores", score_type="probability")
    with pytest.raises(WssError, match="but here are probability scores"):
        evaluate([probs], sweep="0.5")
    salient = write("salient", lambda name: Output(scores=cams(name)), kind="scores", score_type="saliency")
    with pytest.raises(WssError) as error:
        evaluate([salient])
    assert str(error.value) == f"{salient}: holds saliency, which names no classes; evaluate the seeds made of it"
    with pytest.raises(UsageError) as error:
        evaluate([scored], background="const:0.2", sweep="0.5")
    assert str(error.value) == ("--background const:0.2 and --sweep: give one of them; a sweep tries all backgrounds")
    with pytest.raises(UsageError, match="neither const:T"):
        evaluate([scored], background="max:2")


def test_a_sweep_has_no_outlines(scored):
    with pytest.raises(UsageError) as error:
        evaluate([scored], boundary=True, sweep="0.5")
    assert str(error.value) == (
        "--boundary and --sweep: outlines are judged at one background; give it with --background"
    )


def test_bootstrap_needs_two_directories(noise, scored):
    with pytest.raises(UsageError) as error:
        evaluate([noise], bootstrap=True)
    assert str(error.value) == ("--bootstrap compares two or more directories, but there is 1 directory; leave it out")
    with pytest.raises(UsageError, match="but there is a sweep"):
        evaluate([scored, scored], bootstrap=True, sweep="0.5")


def test_a_part_of_the_images_and_a_dry_run(noise, tmp_path, caplog):
    (tmp_path / "two.txt").write_text("i1\ni3\n")
    result = evaluate([noise], part=Part(ids=tmp_path / "two.txt"))
    assert (result.images, result.rows[0].matrix.tolist()) == (2, total(["i1", "i3"]).tolist())
    assert evaluate([noise], part=Part(limit=2)).rows[0].matrix.tolist() == total(IDS[:2]).tolist()
    caplog.set_level("INFO", "wsscli")
    assert evaluate([noise], part=Part(limit=2, dry_run=True)) is None
    assert caplog.messages[-1].startswith(f"would judge {noise} on 2 images against ")


def test_json_has_no_nan_and_says_everything(voc):
    result = evaluate([voc / "SegmentationClass"], data=Data(voc, "train", class_names=(*NAMES[1:], "yak")))
    plain = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert plain["rows"][0]["per_class"]["yak"] == {"iou": None, "accuracy": None, "precision": None, "recall": None}
    assert {key: plain[key] for key in ("format", "version", "split", "images", "unlabelled", "missing")} == {
        "format": "wss-eval", "version": 1, "split": "train", "images": 5, "unlabelled": "miss", "missing": "error",
    }  # fmt: skip
    row = plain["rows"][0]
    assert (row["ledger"], row["classes"], row["miou"]) == (["unknown"], list(NAMES), 1.0)
    assert "per_class" not in result.to_json(per_class=False)["rows"][0]


def test_csv_rows(scored):
    result = evaluate([scored], sweep="0.25,0.5")
    header, *rows = result.to_table()
    assert header[:8] == ["directory", "split", "images", "missing", "unlabelled", "ledger", "classes", "background"]
    assert [row[7] for row in rows] == ["const:0.25", "const:0.5"]
    assert [float(row[8]) for row in rows] == [row.numbers["miou"] for row in result.rows]
    assert rows[0][5] == "image-labels tuned-on-masks:train"
    wide = result.to_table(per_class=True)
    assert wide[0][len(header) :][:4] == [
        "iou:background",
        "accuracy:background",
        "precision:background",
        "recall:background",
    ]
    assert {len(row) for row in wide} == {len(header) + 16}


def test_confusion_files(noise, write, tmp_path):
    result = evaluate([noise])
    write_confusion(result, tmp_path / "m.csv")
    text = (tmp_path / "m.csv").read_text()
    assert text == csv_text(matrix_table(result.rows[0], TABLE))
    lines = [line.split(",") for line in text.splitlines()]
    assert lines[0] == ["truth", *NAMES, "unlabelled"]
    assert [[int(x) for x in line[1:]] for line in lines[1:]] == total().tolist()
    write_confusion(result, tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.mode == "RGB"
    with pytest.raises(UsageError) as error:
        write_confusion(result, tmp_path / "m.txt")
    assert str(error.value) == (
        f"--confusion {tmp_path}/m.txt: the file's name must end in .csv (numbers) or .png (a picture)"
    )
    with pytest.raises(UsageError) as error:
        write_confusion(evaluate([noise, noise]), tmp_path / "m.csv")
    assert str(error.value) == (
        f"--confusion {tmp_path}/m.csv: a matrix is of one directory, here are 2; judge one by itself"
    )
