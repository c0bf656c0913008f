"""`wss argmax`, and what all steps that read scores share."""

import numpy as np
import pytest

from wsscli.cli.options import help_texts
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.scores import Scores
from wsscli.seeds.background import DEFAULT_BACKGROUND, add_background
from wsscli.steps._run import Run
from wsscli.steps.argmax import argmax


def test_probabilities(scenes):
    out = argmax(scenes.probabilities("p"), scenes.out / "masks")
    folder = open_maskdir(out, need="masks")
    assert folder.ids == scenes.ids
    for name in scenes.ids:
        assert (folder.mask(name) == scenes.truth[name]).all()
    manifest = folder.manifest
    assert (manifest.step, manifest.split, manifest.options) == ("argmax", "train", {"background": None})
    assert manifest.classes.names == ("background", "disc", "square", "moon")
    assert [i.role for i in manifest.inputs] == ["scores"]


def test_ledger_is_the_inputs(scenes):
    source = scenes.probabilities("p", supervision=["image-labels", "masks:3"])
    assert read_manifest(argmax(source, scenes.out / "o")).supervision == ("image-labels", "masks:3")


@pytest.mark.parametrize("rule", [None, "const:0.5", "power:2"])
def test_cams_are_upsampled_before_the_background_is_made(scenes, rule):
    out = argmax(scenes.cams("cams"), scenes.out / "masks", background=rule)
    for name in scenes.ids:
        item = scenes.cam(name)
        half = Scores(item.scores.astype(np.float16).astype(np.float32), item.classes, item.size)  # as stored
        want = add_background(half.full(), rule or DEFAULT_BACKGROUND).argmax(0)
        assert (open_maskdir(out).mask(name) == np.array([0, *item.classes])[want]).all()
    assert read_manifest(out).options == {"background": rule or DEFAULT_BACKGROUND}


def test_of_equal_scores_the_smallest_id_wins_in_any_order_of_rows(scenes):
    size = scenes.truth["a"].shape
    rows = Scores(np.full((3, 2, 2), 0.25, np.float32), np.array([2, 0, 1]), size)
    out = argmax(scenes.probabilities("p", lambda name: rows, ids=["a"]), scenes.out / "o")
    assert (open_maskdir(out).mask("a") == 0).all()


def test_an_image_without_class_maps_is_background(scenes):
    empty = Scores(np.zeros((0, 2, 2), np.float32), np.zeros(0, np.int64), (4, 5))
    source = scenes.directory("cams", lambda name: empty, kind="scores", score_type="cam", ids=["a"])
    assert (open_maskdir(argmax(source, scenes.out / "o")).mask("a") == np.zeros((4, 5))).all()


def test_help_names_the_default_that_the_library_has():
    assert f"; {DEFAULT_BACKGROUND} when left out" in help_texts(argmax)["background"]


def test_workers_give_the_same_bytes(scenes):
    source = scenes.cams("cams")
    one = argmax(source, scenes.out / "one", run=Run(workers=1))
    three = argmax(source, scenes.out / "three", run=Run(workers=3))
    for name in scenes.ids:
        assert open_maskdir(one).mask_path(name).read_bytes() == open_maskdir(three).mask_path(name).read_bytes()
    assert read_manifest(one).digest() == read_manifest(three).digest()


def test_a_background_for_scores_that_have_one_is_an_error(scenes, message):
    source = scenes.probabilities("p")
    assert message(UsageError, argmax, source, scenes.out / "o", background="const:0.3") == (
        f"--background const:0.3: only cam scores need one made, but {source} holds probability scores; leave it out"
    )
    assert not (scenes.out / "o").exists()


def test_a_background_that_is_no_rule_is_an_error(scenes, message):
    text = message(UsageError, argmax, scenes.cams("cams"), scenes.out / "o", background="otsu")
    assert text == "background: 'otsu' is neither const:T with 0 < T <= 1 nor power:A with A > 0"
    assert not (scenes.out / "o").exists()


def test_saliency_is_no_class_score(scenes, message):
    source = scenes.directory("s", scenes.sure, kind="scores", score_type="saliency")
    assert message(WssError, argmax, source, scenes.out / "o") == (
        f"{source}: holds saliency scores, which are not scores of classes; give cam or probability scores"
    )


def test_probabilities_without_background_are_an_error(scenes, message):
    source = scenes.directory("p", scenes.cam, kind="scores", score_type="probability")
    assert message(WssError, argmax, source, scenes.out / "o", run=Run(workers=1)) == (
        f"{source}/scores/a.npz: has no scores of the background, but its directory holds probabilities; make it again"
    )


def test_a_class_beyond_the_table_is_an_error(scenes, message):
    rows = Scores(np.full((2, 2, 2), 0.5, np.float32), np.array([0, 9]), (4, 4))
    source = scenes.probabilities("p", lambda name: rows)
    assert message(WssError, argmax, source, scenes.out / "o", run=Run(workers=1)) == (
        f"{source}/scores/a.npz: has scores of class id 9, but the class table ends at 3 (moon); "
        "make the scores again from this data set"
    )
