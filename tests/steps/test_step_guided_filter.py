"""`wss guided-filter` on scores of every kind and on masks."""

import cv2
import numpy as np
import pytest

from wsscli.cli.options import help_texts
from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores, write_scores
from wsscli.refine import guided_filter as library
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.argmax import argmax
from wsscli.steps.guided_filter import guided_filter
from wsscli.steps.saliency import saliency
from wsscli.steps.verify import verify

SMALL = {"window": 9}  # for photos of 40 x 52 pixels


def image_of(scenes, name):
    from wsscli.data.dataset import open_dataset

    return open_dataset(scenes.root, split="train").image(name)


def share(scenes, out, names=None):
    """Share of pixels equal to the truth."""
    folder = open_maskdir(out)
    return np.mean([(folder.mask(name) == scenes.truth[name]).mean() for name in names or scenes.ids])


def test_masks(scenes):
    source = scenes.masks("loose", supervision=["image-labels"])
    out = guided_filter(source, scenes.out / "o", **SMALL)
    assert share(scenes, out) > share(scenes, source) + 0.05
    manifest = read_manifest(out)
    assert manifest.options == {"read": "masks", "window": 9, "eps": 1e-6, "iterations": 15}
    assert (manifest.kind, manifest.score_type, manifest.supervision) == ("masks", None, ("image-labels",))
    assert [i.role for i in manifest.inputs] == ["masks"] and manifest.fell_back == ()
    assert (manifest.step, manifest.images, manifest.split) == ("guided-filter", 4, "train")


def test_masks_equal_the_array_function(scenes):
    out = guided_filter(scenes.masks("loose"), scenes.out / "o", window=7, eps=1e-3, iterations=2, scores=True)
    mask = scenes.loose("b")  # background and the square: classes 0 and 2
    assert verify(out) == out
    maps = library.guided_filter(
        image_of(scenes, "b"), np.float32([mask == 0, mask == 2]), window=7, eps=1e-3, iterations=2
    )
    folder = open_maskdir(out)
    assert (folder.mask("b") == np.array([0, 2])[maps.argmax(0)]).all()
    item, clipped = folder.scores("b"), maps.clip(0)
    assert item.classes.tolist() == [0, 2]
    assert np.abs(item.scores - clipped / clipped.sum(0)).max() < 1e-3  # stored as float16
    assert (folder.manifest.kind, folder.manifest.score_type) == ("masks+scores", "probability")


def test_unlabelled_pixels_vote_for_nothing(scenes):
    def half(name):
        mask = scenes.truth[name].copy()
        mask[::2] = 255
        return mask

    source = scenes.masks("half", half)
    out = guided_filter(source, scenes.out / "o", **SMALL)
    assert all(255 not in open_maskdir(out).mask(name) for name in scenes.ids)
    assert share(scenes, out) > 0.98


def test_pixels_that_no_label_reaches_stay_unlabelled(scenes):
    def corner(name):
        mask = np.full(scenes.truth[name].shape, 255, np.uint8)
        mask[:4, :4] = 0
        return mask

    out = guided_filter(scenes.masks("m", corner), scenes.out / "o", window=5, iterations=2)
    mask = open_maskdir(out).mask("a")
    want = np.full_like(mask, 255)
    want[:12, :12] = 0  # a pass reaches two half windows: 2 + 2 pixels
    assert (mask == want).all()
    reason = f"no label reaches {mask.size - 144} pixels, which stay 255"
    assert read_manifest(out).fell_back[0] == {"id": "a", "reason": reason}
    one = np.zeros(mask.shape)
    one[:4, :4] = 1
    reached = library.guided_filter(image_of(scenes, "a"), one, window=5, iterations=2)
    assert ((np.abs(reached) > 1e-9) == (want == 0)).all()


def test_unlabelled_pixels_are_shared_out_in_probabilities(scenes):
    def half(name):
        mask = scenes.truth[name].copy()
        mask[12:28, 8:40] = 255
        return mask

    out = guided_filter(scenes.masks("m", half), scenes.out / "o", scores=True, iterations=3, **SMALL)
    folder = open_maskdir(verify(out))
    for name in ("c", "d"):
        item, mask = folder.scores(name), folder.mask(name)
        assert item.scores.max(0).min() > 1 / 3 - 1e-3
        top = np.sort(item.scores, 0)
        sure = top[-1] - top[-2] > 2e-3  # stored as float16
        assert sure.mean() > 0.9
        assert (item.classes[item.scores.argmax(0)] == mask)[sure].all()
        assert (half(name) == 255).any() and not (mask == 255).any()


def test_an_unlabelled_mask_is_passed_on_or_dropped(scenes):
    def work(name):
        return np.full(scenes.truth[name].shape, 255, np.uint8) if name == "b" else scenes.truth[name]

    source = scenes.masks("m", work)
    out = guided_filter(source, scenes.out / "o", **SMALL)
    assert read_manifest(out).fell_back == ({"id": "b", "reason": "the mask is all 255"},)
    assert (open_maskdir(out).mask("b") == 255).all()
    out = guided_filter(source, scenes.out / "s", scores=True, **SMALL)
    assert read_manifest(out).dropped == ({"id": "b", "reason": "the mask is all 255"},)
    assert open_maskdir(out).ids == ["a", "c", "d"]


def test_probabilities_always_have_a_background(scenes):
    out = guided_filter(
        scenes.masks("m", lambda name: np.full_like(scenes.truth[name], 2)), scenes.out / "o", scores=True, **SMALL
    )
    item = open_maskdir(out).scores("a")
    assert item.classes.tolist() == [0, 2]
    assert (item.scores[0] == 0).all() and (item.scores[1] == 1).all()
    assert (open_maskdir(out).mask("a") == 2).all()


def test_cams_stay_cams(scenes):
    out = guided_filter(scenes.cams("cams"), scenes.out / "o", **SMALL)
    folder = open_maskdir(out)
    assert (folder.manifest.kind, folder.manifest.score_type) == ("scores", "cam")
    assert [i.role for i in folder.manifest.inputs] == ["scores"]
    item, given = folder.scores("c"), scenes.cam("c")
    assert item.classes.tolist() == [1, 2] and item.size == scenes.truth["c"].shape
    want = library.guided_filter(image_of(scenes, "c"), given.full(), window=9, iterations=15).clip(0)
    assert np.abs(item.scores - want).max() < 2e-3 * want.max()
    assert verify(out) == out


def test_cams_follow_the_photo_better_than_before(scenes):
    before = argmax(scenes.cams("cams"), scenes.out / "before", background="const:0.5")
    after = argmax(
        guided_filter(scenes.cams("cams2"), scenes.out / "o", **SMALL), scenes.out / "after", background="const:0.5"
    )
    assert share(scenes, after) > share(scenes, before)


def test_an_image_without_classes_has_no_maps(scenes):
    def none(name):
        return Scores(np.zeros((0, 20, 26), np.float32), np.zeros(0, np.int64), scenes.truth[name].shape)

    source = scenes.directory("cams", none, kind="scores", score_type="cam")
    assert open_maskdir(guided_filter(source, scenes.out / "o")).scores("a").scores.shape == (0, 40, 52)


@pytest.mark.parametrize("kind", ["probability", "soft-label"])
def test_probabilities_still_sum_to_1(scenes, kind):
    def blurred(name):
        maps = np.stack([cv2.GaussianBlur(m, (0, 0), 3) for m in scenes.sure(name).scores])
        return Scores(maps / maps.sum(0), np.arange(3), scenes.truth[name].shape)

    source = scenes.directory("p", blurred, kind="scores", score_type=kind)
    out = guided_filter(source, scenes.out / "o", **SMALL)
    folder = open_maskdir(verify(out))
    assert folder.manifest.score_type == kind
    for name in scenes.ids:
        item = folder.scores(name)
        assert item.classes.tolist() == [0, 1, 2] and item.scores.min() >= 0
        assert np.abs(item.scores.sum(0) - 1).max() < 2e-3
        raw = library.guided_filter(image_of(scenes, name), open_maskdir(source).scores(name).full(),
                                    window=9, iterations=15)  # fmt: skip
        assert np.abs(item.scores - raw.clip(0) / raw.clip(0).sum(0)).max() < 1e-3
    before, after = argmax(source, scenes.out / "before"), argmax(out, scenes.out / "after")
    assert share(scenes, after) > share(scenes, before)


def test_clipping_is_needed_and_done(scenes):
    source = scenes.directory(
        "hard",
        lambda n: Scores(np.float32([scenes.loose(n) == c for c in range(3)]), np.arange(3), scenes.truth[n].shape),
        kind="scores", score_type="probability",
    )  # fmt: skip
    maps = np.float32([scenes.loose("c") == c for c in range(3)])
    raw = library.guided_filter(image_of(scenes, "c"), maps, window=9)
    assert raw.min() < -0.01 and raw.max() > 1.01
    item = open_maskdir(guided_filter(source, scenes.out / "o", iterations=1, **SMALL)).scores("c")
    assert item.scores.min() == 0 and item.scores.max() <= 1


def test_saliency_stays_in_0_1(scenes):
    source = saliency(scenes.out / "s", data=Data(data=scenes.root, split="train"))
    out = guided_filter(source, scenes.out / "o", **SMALL)
    manifest = read_manifest(verify(out))
    assert (manifest.score_type, manifest.classes, manifest.supervision) == ("saliency", None, ())
    before, after = open_maskdir(source).scores("c"), open_maskdir(out).scores("c")
    assert after.classes.tolist() == [0] and after.scores.min() >= 0 and after.scores.max() <= 1
    want = library.guided_filter(image_of(scenes, "c"), before.full(), window=9, iterations=15)
    assert want.max() > 1
    assert np.abs(after.scores - want.clip(0, 1)).max() < 1e-3


def test_help_names_the_defaults_that_the_library_has():
    import inspect

    step, function = inspect.signature(guided_filter), inspect.signature(library.guided_filter)
    for name in ("window", "eps"):
        assert step.parameters[name].default == function.parameters[name].default
    assert set(help_texts(guided_filter)) >= {"source", "out", "read", "window", "eps", "iterations", "scores"}


def test_scores_are_preferred_and_masks_can_be_asked_for(scenes):
    source = scenes.directory(
        "both", lambda n: (scenes.loose(n), scenes.sure(n)), kind="masks+scores", score_type="probability"
    )
    assert read_manifest(guided_filter(source, scenes.out / "o", **SMALL)).options["read"] == "scores"
    manifest = read_manifest(guided_filter(source, scenes.out / "m", read="masks", **SMALL))
    assert (manifest.options["read"], manifest.kind) == ("masks", "masks")


def test_plain_folder_of_masks(scenes):
    folder = scenes.root / "SegmentationClass"
    out = guided_filter(folder, scenes.out / "o", data=Data(data=scenes.root, split="val"), **SMALL)
    assert open_maskdir(out).ids == ["d"]  # the masks of the other split are passed over
    assert read_manifest(out).supervision == ("external-model:unknown",)


def test_workers_give_the_same_bytes(scenes):
    source = scenes.cams("cams")
    one = guided_filter(source, scenes.out / "one", run=Run(workers=1))
    three = guided_filter(source, scenes.out / "three", run=Run(workers=3))
    assert read_manifest(one).digest() == read_manifest(three).digest()


def test_option_errors_leave_nothing_behind(scenes, message):
    masks, p, o = scenes.masks("m"), scenes.probabilities("p"), scenes.out / "o"
    assert message(UsageError, guided_filter, p, o, scores=True) == (
        "--scores is for masks; of scores the filtered maps are written anyway: leave it out"
    )
    assert message(UsageError, guided_filter, masks, o, window=34).startswith("guided filter: a window of 34;")
    assert message(UsageError, guided_filter, masks, o, eps=0.0).startswith("guided filter: eps is 0.0;")
    assert message(UsageError, guided_filter, masks, o, iterations=-1).startswith("guided filter: -1 iterations;")
    assert not o.exists()


def test_another_size_is_an_error(scenes, message):
    source = scenes.masks("m", lambda name: scenes.truth[name][:-1])
    assert message(WssError, guided_filter, source, scenes.out / "o", run=Run(workers=1)) == (
        f"{source}/masks/a.png: is 39 x 52 (height x width), but {scenes.root}/JPEGImages/a.jpg is 40 x 52; "
        "both must be of the photo's size"
    )

    def cut(name):
        item = scenes.cam(name)
        return Scores(item.scores, item.classes, (39, 52))

    source = scenes.directory("p", cut, kind="scores", score_type="cam")
    assert message(WssError, guided_filter, source, scenes.out / "o2", run=Run(workers=1)).startswith(
        f"{source}/scores/a.npz: is 39 x 52 (height x width), but "
    )


def test_probabilities_that_do_not_sum_to_1_are_an_error(scenes, message):
    source = scenes.probabilities("p")
    item = scenes.sure("a")
    write_scores(source / "scores/a.npz", Scores(np.full_like(item.scores, 0.25), item.classes, item.size))
    assert message(WssError, guided_filter, source, scenes.out / "o", run=Run(workers=1)) == (
        f"{source}/scores/a.npz: holds probability scores whose sum is off 1 by 0.25; make the scores again"
    )


def test_classes_beyond_the_table_are_an_error(scenes, message):
    for name in scenes.ids:
        write_mask(scenes.out / f"plain/{name}.png", scenes.truth[name] * 5)
    text = message(WssError, guided_filter, scenes.out / "plain", scenes.out / "o",
                   data=Data(data=scenes.root, split="train"), run=Run(workers=1))  # fmt: skip
    assert text.startswith(f"{scenes.out}/plain/a.png: holds the class id 5, but the class table ends at 3 (moon);")
    source = scenes.cams("cams")
    item = scenes.cam("a")
    write_scores(source / "scores/a.npz", Scores(item.scores, np.array([9]), item.size))
    assert message(WssError, guided_filter, source, scenes.out / "o2", run=Run(workers=1)).startswith(
        f"{source}/scores/a.npz: has scores of class id 9, but the class table ends at 3 (moon);"
    )


def test_scores_that_are_no_numbers_are_an_error(scenes, message):
    source = scenes.cams("cams")
    with np.load(source / "scores/a.npz") as found:
        arrays = dict(found)
    np.savez(source / "scores/a.npz", **arrays | {"scores": np.full_like(arrays["scores"], np.nan)})
    assert message(WssError, guided_filter, source, scenes.out / "o", run=Run(workers=1)) == (
        f"{source}/scores/a.npz: holds NaN or infinity; make the scores again"
    )


def test_other_class_tables_are_an_error(scenes, message):
    source = scenes.masks("m")
    data = Data(data=scenes.root, class_names=("square", "disc", "moon"))
    assert message(WssError, guided_filter, source, scenes.out / "o", data=data).startswith(
        f"{source}: its class table is not the one of {scenes.root}: class 1 is 'square' there and 'disc' here;"
    )


def test_keep_going_lists_the_image(scenes, message):
    source = scenes.masks("m", lambda name: scenes.truth[name][: 39 if name == "b" else None])
    out = scenes.out / "o"
    assert message(PartialError, guided_filter, source, out, run=Run(keep_going=True)).startswith(f"{out}: 1 of 4")
    assert [entry["id"] for entry in read_manifest(out).dropped] == ["b"]
