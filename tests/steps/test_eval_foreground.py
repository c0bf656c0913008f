"""`wss eval --foreground`: on MIT Object Discovery's layout, and on any data set with true masks."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from wsscli.classes import FOREGROUND
from wsscli.cli.eval import check
from wsscli.errors import FailUnderError, UsageError, WssError
from wsscli.maskdir.classfree import class_free
from wsscli.maskdir.manifest import DataRef
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.writer import Output
from wsscli.steps._data import Data
from wsscli.steps._evaluation import csv_text
from wsscli.steps._mask_evaluation import write_confusion
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.eval import evaluate

SHAPE = (20, 30)


def box(left, right):
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:15, left:right] = 255  # MIT's masks have 0 and 255
    return mask


# truth and prediction of every image: Jaccard 1, 0.5, (no object), 0.25
MIT = {
    "Airplane100/0001": (box(4, 12), box(4, 12)),
    "Airplane100/0002": (box(4, 12), box(8, 12)),
    "Airplane100/0003": (box(0, 0), box(3, 9)),
    "Horse100/0001": (box(4, 12), box(6, 8)),
}


@pytest.fixture
def mit(tmp_path):
    root = tmp_path / "mit"
    for name, (truth, _) in MIT.items():
        folder, stem = name.split("/")
        (root / folder / "GroundTruth").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SHAPE[1], SHAPE[0])).save(root / folder / f"{stem}.jpg")
        Image.fromarray(truth).save(root / folder / "GroundTruth" / f"{stem}.png")
    return root


@pytest.fixture
def found(mit):
    """Class-free masks, one of them with an unlabelled pixel in the object."""
    plan = Plan("predict", mit.parent / "fg", "masks", {}, FOREGROUND, DataRef(str(mit), "folders"), "all",
                supervision=["unlabelled-images"])  # fmt: skip
    return per_image(plan, Run(workers=1), list(MIT), lambda name: Output(mask=(MIT[name][1] > 0).astype(np.uint8)))


def message(kind, *arguments, **options):
    with pytest.raises(kind) as caught:
        evaluate(*arguments, **options)
    return str(caught.value)


def test_mean_per_class_folder_then_over_the_folders(mit, found):
    result = evaluate([found], foreground=True)
    row = result.rows[0]
    assert row.numbers == {"jaccard": (0.75 + 0.25) / 2}
    assert row.per_class == {
        "Airplane100": {"jaccard": 0.75, "images": 2.0}, "Horse100": {"jaccard": 0.25, "images": 1.0}
    }  # fmt: skip
    assert (row.empty, row.images, row.missing, row.ledger) == (1, 4, 0, ["unlabelled-images"])
    assert (result.truth, result.split, row.classes) == (str(mit), "all", ["Airplane100", "Horse100"])
    assert row.matrix.tolist()[1] == [100, 140, 0]  # pixels of the object, over all images
    line = result.notes()[2]
    assert line == (
        f"{found}: mean over 2 classes (Airplane100, Horse100) of their images' mean; left out: 1 image without "
        "foreground in the truth; ledger: unlabelled-images"
    )


def test_json_and_csv(found, tmp_path):
    result = evaluate([found], foreground=True)
    plain = json.loads(json.dumps(result.to_json()))
    assert plain["foreground"] is True
    row = plain["rows"][0]
    assert (row["jaccard"], row["empty"], row["per_class"]["Horse100"]) == (0.5, 1, {"jaccard": 0.25, "images": 1.0})
    lines = list(csv.DictReader(io.StringIO(csv_text(result.to_table(per_class=True)))))
    assert (lines[0]["jaccard"], lines[0]["jaccard:Horse100"], lines[0]["images:Airplane100"]) == ("0.5", "0.25", "2.0")
    write_confusion(result, tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().splitlines()[2] == "foreground,100,140,0"
    write_confusion(result, tmp_path / "m.png")
    assert (tmp_path / "m.png").stat().st_size > 1000


def test_classes_restrict_the_mean(found):
    result = evaluate([found], foreground=True, classes=("Horse100",))
    assert result.rows[0].numbers == {"jaccard": 0.25} and result.rows[0].classes == ["Horse100"]
    assert message(UsageError, [found], foreground=True, classes=("Car100",)) == (
        "--classes Car100: no image to judge is of that class; here are Airplane100, Horse100"
    )


def test_fail_under(found):
    result = evaluate([found], foreground=True)
    check(result, 0.5)
    with pytest.raises(FailUnderError) as caught:
        check(result, 0.6)
    assert str(caught.value) == f"{found}: foreground Jaccard 0.5000 on split all is under --fail-under 0.6"
    with pytest.raises(UsageError) as usage:
        check(result, 6)
    assert str(usage.value) == "--fail-under 6: foreground Jaccard lies between 0 and 1"


def test_a_set_without_any_foreground(found, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("Airplane100/0003\n")
    from wsscli.steps.eval import Part

    result = evaluate([found], foreground=True, part=Part(ids=ids))
    assert result.to_json()["rows"][0]["jaccard"] is None and result.rows[0].empty == 1
    with pytest.raises(FailUnderError, match="none of the classes occurs on split all, so nothing reaches"):
        check(result, 0.1)


def test_the_truth_is_its_own_best(mit, found):
    plan = Plan("import masks", mit.parent / "best", "masks", {}, FOREGROUND, DataRef(str(mit), "folders"), "all")
    best = per_image(plan, Run(workers=1), list(MIT), lambda name: Output(mask=(MIT[name][0] > 0).astype(np.uint8)))
    result = evaluate([found, best], foreground=True, bootstrap=True, draws=50)
    assert [row.numbers["jaccard"] for row in result.rows] == [0.5, 1.0]
    assert result.comparisons[0].difference == 0.5 and result.comparisons[0].low < 0.5
    assert f"{best} - {found}: foreground Jaccard +0.5000, 95 % interval" in result.notes()[-1]


def test_a_missing_ground_truth(mit, found):
    (mit / "Horse100/GroundTruth/0001.png").unlink()
    bare = f"'Horse100/0001' ({mit}/Horse100/GroundTruth/0001.png is missing)"
    assert message(WssError, [found], foreground=True) == (
        f"{mit}: 1 of 4 images have no true mask, the first is {bare}; --missing-truth skip leaves them out, --ids judges "
        "a part"
    )
    result = evaluate([found], foreground=True, missing_truth="skip")
    assert result.rows[0].per_class == {"Airplane100": {"jaccard": 0.75, "images": 2.0}}
    assert (result.images, result.skipped, result.untrue, result.to_json()["without_truth"]) == (3, 0, 1, 1)
    assert result.notes()[0] == f"split all, 3 images, 1 without a true mask left out, truth {mit}"
    (found / "masks/Horse100/0001.png").unlink()  # nor does it need a prediction
    (found / "wss.json").unlink()
    options = {"foreground": True, "missing_truth": "skip"}
    assert evaluate([found / "masks"], data=Data(mit), **options).images == 3
    from wsscli.steps.eval import Part

    (mit.parent / "ids.txt").write_text("Horse100/0001\n")
    part = Part(ids=mit.parent / "ids.txt")
    assert message(WssError, [found / "masks"], data=Data(mit), part=part, **options) == (
        f"{mit}: none of the 1 images has a true mask, the first is {bare}; name the truth's place or split"
    )


def test_ground_truth_of_another_name_is_never_left_out(mit, found):
    truth = mit / "Horse100/GroundTruth/0001.png"
    truth.rename(truth.with_suffix(".jpg"))
    assert message(WssError, [found], foreground=True, missing_truth="skip").startswith(
        f"{truth.with_suffix('.jpg')}: true masks are read from PNGs named as their photo, 0001.png; "
    )


def test_a_folder_of_truth_that_lacks_some(scenes):
    """With classes, too."""
    for name in ("a", "b", "d"):
        write_mask(scenes.out / f"truth/{name}.png", scenes.truth[name])
    masks, truth = scenes.masks("m", scenes.truth.get), scenes.out / "truth"
    assert message(WssError, [masks], truth=truth) == (
        f"{truth}: 1 of 4 images have no true mask, the first is 'c' ({truth}/c.png is missing); --missing-truth skip "
        "leaves them out, --ids judges a part"
    )
    assert evaluate([masks], truth=truth, missing_truth="skip").untrue == 1


def test_missing_predictions(mit, found):
    (found / "wss.json").unlink()
    (found / "masks/Horse100/0001.png").unlink()
    masks, data = found / "masks", Data(mit)
    assert "1 of 4 images have no mask, the first is 'Horse100/0001'" in message(
        WssError, [masks], foreground=True, data=data
    )
    skipped = evaluate([masks], foreground=True, data=data, missing="skip")
    assert skipped.rows[0].numbers == {"jaccard": 0.75} and skipped.skipped == 1
    background = evaluate([masks], foreground=True, data=data, missing="background")
    assert background.rows[0].numbers == {"jaccard": 0.375} and background.rows[0].missing == 1


def test_several_labels_count_in_each_and_ids_do_not_matter(scenes):
    """a: disc, b: square, c and d: both. Predictions by another class table, 255 included."""

    def work(name):
        mask = np.where(scenes.truth[name] > 0, 3, 0).astype(np.uint8)
        mask[:, ::2] = 255 if name == "c" else mask[:, ::2]
        return mask

    masks = scenes.masks("m", work)
    ones = class_free(scenes.truth["c"])
    half = (ones[:, 1::2] > 0).sum() / (ones > 0).sum()
    result = evaluate([masks], foreground=True)
    assert result.rows[0].per_class == {
        "disc": {"jaccard": pytest.approx((1 + half + 1) / 3), "images": 3.0},
        "square": {"jaccard": pytest.approx((1 + half + 1) / 3), "images": 3.0},
    }
    assert evaluate([masks], foreground=True, unlabelled="skip").rows[0].numbers == {"jaccard": 1.0}
    (scenes.root / "Annotations/b.xml").write_text("<annotation></annotation>")
    per_class = evaluate([masks], foreground=True).rows[0].per_class
    assert {name: numbers["images"] for name, numbers in per_class.items()} == {
        "disc": 3.0, "square": 2.0, "(no label)": 1.0
    }  # fmt: skip


def test_without_labels_there_is_one_class(scenes):
    for name in scenes.ids:
        (scenes.root / f"Annotations/{name}.xml").unlink()
    masks = scenes.masks("m", scenes.truth.get)
    assert evaluate([masks], foreground=True).rows[0].per_class == {"all": {"jaccard": 1.0, "images": 4.0}}
    folder = scenes.out / "plain"
    for name in scenes.ids:
        write_mask(folder / f"{name}.png", scenes.truth[name])
    (masks / "wss.json").unlink()
    result = evaluate([folder], foreground=True, truth=masks / "masks")
    assert result.rows[0].per_class == {"all": {"jaccard": 1.0, "images": 4.0}}


def test_an_object_that_is_all_unlabelled_is_no_empty_truth(mit):
    """One image finds nothing and says so (255), one has something beside it, one has no object."""
    masks = {name: (mask > 0).astype(np.uint8) for name, (_, mask) in MIT.items()}
    masks["Airplane100/0001"][:] = 255
    masks["Horse100/0001"][MIT["Horse100/0001"][0] > 0] = 255
    masks["Horse100/0001"][0, 0] = 1
    plan = Plan("predict", mit.parent / "void", "masks", {}, FOREGROUND, DataRef(str(mit), "folders"), "all")
    found = per_image(plan, Run(workers=1), list(MIT), lambda name: Output(mask=masks[name]))
    result = evaluate([found], foreground=True, unlabelled="skip")
    row = result.rows[0]
    assert (row.empty, row.undecided, row.numbers) == (1, 1, {"jaccard": 0.25})
    assert row.per_class == {
        "Airplane100": {"jaccard": 0.5, "images": 1.0}, "Horse100": {"jaccard": 0.0, "images": 1.0}
    }  # fmt: skip
    assert result.to_json()["rows"][0]["undecided"] == 1
    assert result.notes()[2] == (
        f"{found}: mean over 2 classes (Airplane100, Horse100) of their images' mean; left out: 1 image without "
        "foreground in the truth; left out: 1 image whose foreground is all unlabelled; ledger: nothing"
    )
    missed = evaluate([found], foreground=True).rows[0]
    assert (missed.empty, missed.undecided, missed.numbers) == (1, 0, {"jaccard": 0.125})


def test_truth_by_another_class_table(scenes):
    plan = Plan("x", scenes.out / "t", "masks", {}, FOREGROUND, DataRef(str(scenes.root), "voc"), "train")
    truth = per_image(plan, Run(workers=1), scenes.ids, lambda n: Output(mask=class_free(scenes.truth[n])))
    result = evaluate([scenes.masks("m", scenes.truth.get)], foreground=True, truth=truth)
    assert result.rows[0].numbers == {"jaccard": 1.0} and set(result.rows[0].per_class) == {"disc", "square"}


def test_the_truths_255_is_dropped(scenes):
    truth = scenes.truth["a"].copy()
    truth[:20] = 255
    write_mask(scenes.root / "SegmentationClass/a.png", truth)
    masks = scenes.masks("m", lambda n: np.where(np.arange(40)[:, None] < 20, 0, scenes.truth[n]).astype(np.uint8))
    from wsscli.steps.eval import Part

    ids = scenes.out / "ids.txt"
    ids.write_text("a\n")
    assert evaluate([masks], foreground=True, part=Part(ids=ids)).rows[0].numbers == {"jaccard": 1.0}


def test_options_without_a_meaning(found):
    for name, options in (("--boundary", {"boundary": True}), ("--sweep", {"sweep": "0.1,0.2"})):
        assert message(UsageError, [found], foreground=True, **options) == (
            f"{name}: judges classes; leave it out with --foreground"
        )


def test_class_free_masks_without_the_option(mit, found):
    assert message(WssError, [found]) == f"{found}: its masks are class-free, {mit} has classes; add --foreground"
