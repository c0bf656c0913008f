"""`make-seeds --method foreground` on soft masks and masks from elsewhere: which class, which images, what is written."""

import cv2
import numpy as np
import pytest

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores
from wsscli.maskdir.writer import Output
from wsscli.seeds.foreground import centred
from wsscli.seeds.otsu import otsu_threshold
from wsscli.steps._data import Data, data_ref
from wsscli.steps._foreground import Foreground
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.crf import crf
from wsscli.steps.eval import evaluate
from wsscli.steps.make_seeds import make_seeds


def soft(scenes, name):
    """A blurred map of everything in a scene, at half its size."""
    truth = np.float32(scenes.truth[name] > 0)
    small = cv2.resize(truth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.float16(0.9 * cv2.GaussianBlur(small, (0, 0), 1)).astype(np.float32)


def saliency_dir(scenes, name="sal", work=None, score_type="saliency", classes=None, rows=(0,)):
    from wsscli.data.dataset import open_dataset

    dataset = open_dataset(scenes.root, split="train")

    def one(image):
        found = (work or (lambda i: soft(scenes, i)))(image)
        maps = found[None] if len(rows) == 1 else np.stack([1 - found, found])
        return Output(scores=Scores(maps, np.array(rows), scenes.truth[image].shape))

    plan = Plan(
        "saliency", scenes.out / name, "scores", {"method": "rbd"}, classes, data_ref(dataset), "train",
        score_type=score_type,
    )  # fmt: skip
    return per_image(plan, Run(workers=1), scenes.ids, one)


def seeds(scenes, source=None, name="seeds", count="single", **options):
    options = {"method": "foreground", "run": Run(workers=2), **options}
    return make_seeds(scenes.out / name, class_free=Foreground(source, count), **options)


def test_the_foreground_takes_the_one_label_of_its_image(scenes):
    out = seeds(scenes, saliency_dir(scenes))
    found = open_maskdir(out, need="scores")
    manifest = found.manifest
    assert (manifest.kind, manifest.score_type, manifest.split) == ("masks+scores", "probability", "train")
    assert manifest.supervision == ("image-labels",)
    assert manifest.options == {
        "method": "foreground", "foreground": "scores", "label_count": "single", "fg_threshold": "otsu",
    }  # fmt: skip
    assert [i.role for i in manifest.inputs] == ["foreground"] and found.ids == ["a", "b"]
    assert {item["id"]: item["reason"] for item in manifest.dropped} == dict.fromkeys(
        ("c", "d"), "2 classes, not one: disc, square"
    )
    for name, label in {"a": 1, "b": 2}.items():
        mask, scores, truth = found.mask(name), found.scores(name), scenes.truth[name]
        assert set(np.unique(mask)) == {0, label}
        assert ((mask > 0) & (truth > 0)).sum() > 0.8 * ((mask > 0) | (truth > 0)).sum()
        whole = Scores(soft(scenes, name)[None], np.zeros(1, np.int64), truth.shape).full()[0]
        np.testing.assert_array_equal(mask > 0, whole > otsu_threshold(whole))
        assert scores.classes.tolist() == [0, label] and scores.size == truth.shape
        np.testing.assert_allclose(scores.scores[1], centred(soft(scenes, name), otsu_threshold(whole)), atol=1e-3)
        np.testing.assert_allclose(scores.scores.sum(0), 1, atol=1e-3)
        likelier = scores.full()[1] > 0.5  # the scores' argmax is the mask, but for the interpolation of a bend
        assert (likelier != (mask > 0)).mean() < 0.02


def test_images_of_several_classes(scenes):
    found = open_maskdir(seeds(scenes, saliency_dir(scenes), count="all", fg_threshold=0.5))
    assert found.manifest.options["fg_threshold"] == 0.5 and found.manifest.dropped == ()
    mask, scores = found.mask("c"), found.scores("c")
    assert set(np.unique(mask)) == {0, 255}
    assert scores.classes.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(scores.scores[1], scores.scores[2])
    assert set(np.unique(found.mask("a"))) == {0, 1}


def test_no_label_is_looked_at(scenes):
    """Class-free masks of all images, each cut at Otsu's threshold of its own."""
    for name in scenes.ids:
        (scenes.root / f"Annotations/{name}.xml").unlink()
    found = open_maskdir(seeds(scenes, saliency_dir(scenes), count="none"))
    manifest = found.manifest
    assert (manifest.classes, manifest.supervision, manifest.dropped) == (FOREGROUND, (), ())
    assert (manifest.kind, manifest.score_type, manifest.options["label_count"]) == (
        "masks+scores",
        "probability",
        "none",
    )
    for name in scenes.ids:
        whole = Scores(soft(scenes, name)[None], np.zeros(1, np.int64), scenes.truth[name].shape).full()[0]
        np.testing.assert_array_equal(found.mask(name), whole > otsu_threshold(whole))
        assert found.scores(name).classes.tolist() == [0, 1]
    assert evaluate([found.path], foreground=True).rows[0].numbers["jaccard"] > 0.8
    masks = open_maskdir(seeds(scenes, found.path, "again", count="none", fg_threshold=0.9))
    assert masks.mask("c").sum() < found.mask("c").sum()


def test_images_of_no_class(scenes):
    (scenes.root / "Annotations/a.xml").write_text("<annotation></annotation>")
    source = saliency_dir(scenes)
    single = read_manifest(seeds(scenes, source, "single"))
    assert {"id": "a", "reason": "no class"} in single.dropped
    every = open_maskdir(seeds(scenes, source, "all", count="all"))
    assert not every.mask("a").any() and every.scores("a").classes.tolist() == [0]
    assert every.manifest.fell_back == ({"id": "a", "reason": "no class, so no foreground"},)


def test_the_crf_goes_on_from_the_soft_masks(scenes):
    refined = open_maskdir(crf(seeds(scenes, saliency_dir(scenes)), scenes.out / "crf", run=Run(workers=2)))
    for name, label in {"a": 1, "b": 2}.items():
        mask, truth = refined.mask(name), scenes.truth[name]
        assert set(np.unique(mask)) == {0, label}
        assert ((mask > 0) & (truth > 0)).sum() > 0.7 * ((mask > 0) | (truth > 0)).sum()


def test_class_free_probabilities(scenes):
    source = saliency_dir(scenes, "fg", score_type="probability", classes=FOREGROUND, rows=(0, 1))
    found = open_maskdir(seeds(scenes, source, fg_threshold=0.5))
    assert set(np.unique(found.mask("b"))) == {0, 2}
    np.testing.assert_allclose(found.scores("b").scores[1], soft(scenes, "b"), atol=1e-3)


def test_masks_of_any_tool(scenes):
    """Every value but 0 and 255 is foreground; nothing soft is there to be written."""
    folder = scenes.out / "other"
    for name in scenes.ids:
        mask = np.where(scenes.truth[name] > 0, 77, 0).astype(np.uint8)
        mask[0, 0] = 255
        if name == "a":
            mask[:] = 1
        write_mask(folder / f"{name}.png", mask)
    out = seeds(scenes, folder, data=Data(scenes.root, split="train"))
    found = open_maskdir(out)
    assert found.manifest.kind == "masks" and found.manifest.score_type is None
    assert found.manifest.supervision == ("external-model:unknown", "image-labels")
    assert found.manifest.options["foreground"] == "masks"
    assert found.manifest.options["fg_threshold"] == 0.5
    np.testing.assert_array_equal(found.mask("b"), scenes.truth["b"])
    (label,) = np.unique(scenes.truth["a"][scenes.truth["a"] > 0])
    assert (found.mask("a") == label).all()
    assert {"id": "a", "reason": "the foreground is the whole image"} in found.manifest.fell_back


def test_the_data_sets_own_masks_stand_in_the_ledger(scenes):
    out = seeds(scenes, scenes.root / "SegmentationClass", data=Data(scenes.root, split="train"))
    assert read_manifest(out).supervision == ("image-labels", "masks:4")


def test_foregrounds_that_say_nothing_are_listed(scenes):
    maps = {"a": np.zeros((4, 4), np.float32), "b": np.linspace(0.6, 1, 16, dtype=np.float32).reshape(4, 4)}
    source = saliency_dir(scenes, work=lambda name: maps.get(name, maps["a"]))
    reasons = {item["id"]: item["reason"] for item in read_manifest(seeds(scenes, source, fg_threshold=0.5)).fell_back}
    assert reasons == {"a": "no foreground", "b": "the foreground is the whole image"}
    reasons = {item["id"]: item["reason"] for item in read_manifest(seeds(scenes, source, "otsu")).fell_back}
    assert reasons == {"a": "flat map, no foreground"}


def test_a_part_of_the_images_and_the_workers_do_not_count(scenes):
    source = saliency_dir(scenes)
    whole, part = seeds(scenes, source, "whole"), seeds(scenes, source, "part", run=Run(workers=1, limit=2))
    for file in ("masks/a.png", "masks/b.png", "scores/a.npz", "scores/b.npz"):
        assert (whole / file).read_bytes() == (part / file).read_bytes()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"method": "cam", "count": "all"},
            "--label-count: --method cam does not take it, --method foreground and --method hypotheses do",
        ),
        ({"bg_heat": 0.3}, "--bg-heat: --method foreground does not take it, --method cam does"),
        (
            {"scales": (1.0,)},
            "--scales: --method foreground does not take it, --method cam and --method self-guided do",
        ),
        ({"fg_threshold": 1.0}, "--fg-threshold 1: give a number from 0 to below 1, or leave it out for Otsu's"),
        ({}, "give one of --model and --foreground: where the foreground comes from"),
    ],
)
def test_options_that_do_not_fit(scenes, message, options, text):
    assert message(UsageError, seeds, scenes, **options) == text


def test_both_sources(scenes, message):
    assert message(UsageError, seeds, scenes, scenes.out / "x", model=scenes.out / "y") == (
        "give one of --model and --foreground: where the foreground comes from"
    )


def test_scores_of_classes_tell_no_foreground(scenes, message):
    cams = scenes.cams("cams")
    assert message(WssError, seeds, scenes, cams) == (
        f"{cams}: holds cam scores of classes, but a foreground is needed: give saliency (`wss saliency`), or masks"
    )


def test_no_image_of_exactly_one_class(scenes, message):
    (scenes.out / "ids.txt").write_text("c\nd\n")
    run = Run(workers=1, ids=scenes.out / "ids.txt")
    assert message(WssError, seeds, scenes, saliency_dir(scenes), run=run) == (
        f"{scenes.root}: none of the 2 images has exactly one class, so no foreground has a name; take --label-count all"
    )


def test_maps_of_other_photos(scenes, message):
    source = saliency_dir(scenes)
    from PIL import Image

    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(scenes.root / "JPEGImages/a.jpg")
    assert message(WssError, seeds, scenes, source, run=Run(workers=1)) == (
        f"{source}/scores/a.npz: is 40 x 52 (height x width), but {scenes.root}/JPEGImages/a.jpg is 9 x 9; both must "
        "be of the photo's size"
    )
