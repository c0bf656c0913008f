"""`wss crf` on scores and on masks."""

import numpy as np
import pytest

from wsscli.cli.options import help_texts
from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores
from wsscli.refine.crf import LABEL_CONFIDENCE, PRESETS, dense_crf, label_probabilities
from wsscli.seeds.background import REFINED_BACKGROUND
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.crf import crf
from wsscli.steps.grow import grow


def image_of(scenes, name):
    from wsscli.data.dataset import open_dataset

    return open_dataset(scenes.root, split="train").image(name)


def share(scenes, out, names=None):
    """Share of pixels equal to the truth."""
    folder = open_maskdir(out)
    return np.mean([(folder.mask(name) == scenes.truth[name]).mean() for name in names or scenes.ids])


def test_masks(scenes):
    source = scenes.masks("loose", lambda name: scenes.loose(name, 1), supervision=["image-labels"])
    out = crf(source, scenes.out / "o")
    assert share(scenes, out) > share(scenes, source)
    manifest = read_manifest(out)
    assert manifest.options == {
        "read": "masks", "engine": "lattice", "iterations": 10, **PRESETS["koltun"], "background": None,
        "label_confidence": 0.7, "all_labels": False,
    }  # fmt: skip
    assert (manifest.kind, manifest.score_type, manifest.supervision) == ("masks", None, ("image-labels",))
    assert [i.role for i in manifest.inputs] == ["masks"]


def test_masks_equal_the_array_function(scenes):
    source = scenes.masks("loose")
    out = crf(source, scenes.out / "o", label_confidence=0.9, iterations=3)
    mask = scenes.loose("a")
    q = dense_crf(image_of(scenes, "a"), label_probabilities(mask, [0, 1], 0.9), iterations=3)
    assert (open_maskdir(out).mask("a") == q.argmax(0)).all()


def test_unlabelled_pixels_get_a_label(scenes):
    def half(name):
        mask = scenes.truth[name].copy()
        mask[::2] = 255
        return mask

    out = crf(scenes.masks("half", half), scenes.out / "o")
    assert all(255 not in open_maskdir(out).mask(name) for name in scenes.ids)
    assert share(scenes, out) > 0.95


def test_probabilities_and_their_marginals(scenes):
    out = crf(scenes.probabilities("p"), scenes.out / "o", scores=True)
    folder = open_maskdir(out)
    assert share(scenes, out) > 0.99
    assert (folder.manifest.kind, folder.manifest.score_type) == ("masks+scores", "probability")
    item = folder.scores("a")
    assert item.classes.tolist() == [0, 1]  # the square is the largest nowhere: it takes no part
    assert item.scores.shape == (2, *scenes.truth["a"].shape)
    assert np.abs(item.scores.sum(0) - 1).max() < 2e-3
    assert (item.classes[item.scores.argmax(0)] == folder.mask("a")).all()


def test_all_labels(scenes):
    out = crf(scenes.probabilities("p"), scenes.out / "o", scores=True, all_labels=True)
    assert open_maskdir(out).scores("a").classes.tolist() == [0, 1, 2]


def test_marginals_have_a_background_also_where_it_took_no_part(scenes):
    size = scenes.truth["a"].shape
    one = Scores(np.stack([np.full(size, 0.1), np.full(size, 0.9)]).astype(np.float32), np.array([0, 1]), size)
    out = crf(scenes.probabilities("p", lambda name: one, ids=["a"]), scenes.out / "o", scores=True)
    item = open_maskdir(out).scores("a")
    assert item.classes.tolist() == [0, 1]
    assert (item.scores[0] == 0).all()
    assert (open_maskdir(out).mask("a") == 1).all()


def test_marginals_feed_grow(scenes):
    probabilities = crf(scenes.probabilities("p"), scenes.out / "q", scores=True)

    def core(name):
        mask = np.full(scenes.truth[name].shape, 255, np.uint8)
        mask[18, 15] = scenes.truth[name][18, 15]
        mask[0, 0] = 0
        return mask

    out = grow(scenes.masks("seeds", core), scenes.out / "grown", scores=probabilities)
    assert (open_maskdir(out).mask("a") != 255).mean() > 0.9


def test_cams_get_the_default_background(scenes):
    out = crf(scenes.cams("cams"), scenes.out / "o")
    assert read_manifest(out).options["background"] == REFINED_BACKGROUND
    assert share(scenes, out) > 0.9
    other = crf(scenes.cams("cams2"), scenes.out / "o2", background="power:2")
    assert read_manifest(other).options["background"] == "power:2"


def test_help_names_the_defaults_that_the_library_has():
    texts = help_texts(crf)
    assert f"; {REFINED_BACKGROUND} when left out" in texts["background"]
    assert f", {LABEL_CONFIDENCE} when left out" in texts["label_confidence"]
    for name, kernels in PRESETS.items():
        gauss = "{gauss_sxy:g}/{gauss_compat:g}".format(**kernels)
        bilateral = "{bilateral_sxy:g}/{bilateral_srgb:g}/{bilateral_compat:g}".format(**kernels)
        assert f"{name} {gauss} and {bilateral}" in texts["preset"]


def test_scores_are_preferred_and_masks_can_be_asked_for(scenes):
    source = scenes.directory(
        "both", lambda n: (scenes.loose(n), scenes.sure(n)), kind="masks+scores", score_type="probability"
    )
    assert read_manifest(crf(source, scenes.out / "o")).options["read"] == "scores"
    assert read_manifest(crf(source, scenes.out / "m", read="masks")).options["read"] == "masks"


def test_preset_and_single_parameters(scenes):
    out = crf(scenes.probabilities("p"), scenes.out / "o", preset="deeplab", bilateral_srgb=5, gauss_compat=0)
    options = read_manifest(out).options
    assert {k: options[k] for k in PRESETS["deeplab"]} == {
        **PRESETS["deeplab"], "bilateral_srgb": 5, "gauss_compat": 0,
    }  # fmt: skip


def test_an_unlabelled_mask_is_passed_on_or_dropped(scenes):
    def work(name):
        return np.full(scenes.truth[name].shape, 255, np.uint8) if name == "b" else scenes.truth[name]

    source = scenes.masks("m", work)
    out = crf(source, scenes.out / "o")
    assert read_manifest(out).fell_back == ({"id": "b", "reason": "the mask is all 255"},)
    assert (open_maskdir(out).mask("b") == 255).all()
    out = crf(source, scenes.out / "s", scores=True)
    assert read_manifest(out).dropped == ({"id": "b", "reason": "the mask is all 255"},)
    assert open_maskdir(out).ids == ["a", "c", "d"]


def test_plain_folder_of_masks(scenes):
    folder = scenes.root / "SegmentationClass"
    out = crf(folder, scenes.out / "o", data=Data(data=scenes.root, split="val"))
    assert open_maskdir(out).ids == ["d"]  # the masks of the other split are passed over
    assert read_manifest(out).supervision == ("external-model:unknown",)


def test_engines_agree_and_processes_work(scenes):
    pytest.importorskip("pydensecrf")
    source = scenes.probabilities("p")
    ours = crf(source, scenes.out / "ours", scores=True)
    theirs = crf(source, scenes.out / "theirs", scores=True, engine="pydensecrf", run=Run(workers=2))
    for name in scenes.ids:
        a, b = open_maskdir(ours), open_maskdir(theirs)
        assert (a.mask(name) == b.mask(name)).all()
        assert np.abs(a.scores(name).scores - b.scores(name).scores).max() < 1e-3  # stored as float16


def test_workers_give_the_same_bytes(scenes):
    source = scenes.cams("cams")
    one = crf(source, scenes.out / "one", scores=True, run=Run(workers=1))
    three = crf(source, scenes.out / "three", scores=True, run=Run(workers=3))
    assert read_manifest(one).digest() == read_manifest(three).digest()


def test_option_errors_leave_nothing_behind(scenes, message):
    masks, p, o = scenes.masks("m"), scenes.probabilities("p"), scenes.out / "o"
    assert message(UsageError, crf, p, o, label_confidence=0.8) == (
        "--label-confidence is for masks, but scores are read here; take --read masks or leave it out"
    )
    assert message(UsageError, crf, masks, o, background="const:0.3") == (
        "--background is for cam scores, but masks are read here; leave it out"
    )
    assert message(UsageError, crf, masks, o, all_labels=True) == (
        "--all-labels is for scores, but masks are read here; leave it out"
    )
    assert message(UsageError, crf, masks, o, iterations=-1).startswith("crf: -1 iterations")
    assert message(UsageError, crf, masks, o, bilateral_sxy=0.0).startswith("crf: bilateral_sxy is 0.0")
    assert message(UsageError, crf, masks, o, label_confidence=1.0).startswith("crf: a label confidence of 1.0")
    assert not o.exists()


def test_a_mask_of_another_size_is_an_error(scenes, message):
    source = scenes.masks("m", lambda name: scenes.truth[name][:-1])
    assert message(WssError, crf, source, scenes.out / "o", run=Run(workers=1)) == (
        f"{source}/masks/a.png: is 39 x 52 (height x width), but {scenes.root}/JPEGImages/a.jpg is 40 x 52; "
        "both must be of the photo's size"
    )


def test_keep_going_lists_the_image(scenes, message):
    def work(name):
        return scenes.truth[name][: 39 if name == "b" else None]

    out = scenes.out / "o"
    assert message(PartialError, crf, scenes.masks("m", work), out, run=Run(keep_going=True)).startswith(
        f"{out}: 1 of 4"
    )
    assert [entry["id"] for entry in read_manifest(out).dropped] == ["b"]


def test_a_value_beyond_the_class_table_is_an_error(scenes, message):
    for name in scenes.ids:
        write_mask(scenes.out / f"plain/{name}.png", scenes.truth[name] * 5)
    text = message(WssError, crf, scenes.out / "plain", scenes.out / "o", data=Data(data=scenes.root, split="train"),
                   run=Run(workers=1))  # fmt: skip
    assert text == (
        f"{scenes.out}/plain/a.png: holds the class id 5, but the class table ends at 3 (moon); "
        "use the data set's class ids, or name all classes with --class-names"
    )


def test_images_outside_the_split_are_an_error(scenes, message):
    source = scenes.masks("m", split="val")
    assert message(WssError, crf, source, scenes.out / "o") == (
        f"{source}: 3 of 4 images are not in split val of {scenes.root}, the first is 'a'; "
        "name the data set and split it was made from"
    )
    write_mask(scenes.out / "plain/z.png", scenes.truth["a"])
    text = message(WssError, crf, scenes.out / "plain", scenes.out / "o", data=Data(data=scenes.root, split="val"))
    assert text == (
        f"{scenes.out}/plain: none of its 1 images is in split val of {scenes.root}; name the right --data and --split"
    )


def test_other_class_tables_are_an_error(scenes, message):
    source = scenes.masks("m")
    data = Data(data=scenes.root, class_names=("square", "disc", "moon"))
    assert message(WssError, crf, source, scenes.out / "o", data=data) == (
        f"{source}: its class table is not the one of {scenes.root}: class 1 is 'square' there and 'disc' here; "
        "use the table of one data set"
    )
    data = Data(data=scenes.root, class_names=("disc", "square"))
    assert message(WssError, crf, source, scenes.out / "o", data=data) == (
        f"{source}: its class table is not the one of {scenes.root}: 3 classes there and 4 here; "
        "use the table of one data set"
    )


def test_files_that_were_taken_away(scenes, message):
    source = scenes.masks("loose")
    (source / "masks/b.png").unlink()
    assert message(WssError, crf, source, scenes.out / "crf") == (
        f"{source}: its manifest speaks of 4 images, but 3 are in masks/; put the others back (`wss verify` names them), "
        "or make it again with --overwrite"
    )
