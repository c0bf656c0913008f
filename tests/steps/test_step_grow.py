"""`wss grow` over a directory of seeds and one of scores."""

import numpy as np
import pytest

from wsscli.cli.options import help_texts
from wsscli.errors import UsageError, WssError
from wsscli.grow.dsrg import grow as grow_array
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores
from wsscli.seeds.background import REFINED_BACKGROUND
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.grow import grow

U = 255


def crosses(scenes):
    """One seed in the middle of each object and one in a corner."""

    def work(name):
        mask = np.full(scenes.truth[name].shape, U, np.uint8)
        for y, x in ((18, 15), (25, 40), (0, 0)):
            mask[y, x] = scenes.truth[name][y, x]
        return mask

    return work


@pytest.fixture
def seeds(scenes):
    return scenes.masks("seeds", crosses(scenes), supervision=["image-labels"])


def test_seeds_grow_over_sure_pixels(scenes, seeds):
    scores = scenes.probabilities("p", supervision=["masks:1"])
    out = grow(seeds, scenes.out / "o", scores=scores, theta_bg=0.8)
    for name in scenes.ids:
        assert (open_maskdir(out).mask(name) == scenes.truth[name]).all()
    manifest = read_manifest(out)
    assert manifest.options == {"theta_fg": 0.85, "theta_bg": 0.8, "original_quirks": False, "background": None}
    assert manifest.supervision == ("image-labels", "masks:1")
    assert [i.role for i in manifest.inputs] == ["seeds", "scores"]
    assert manifest.fell_back == ()


def test_equals_the_array_function(scenes, seeds):
    out = grow(seeds, scenes.out / "o", scores=scenes.probabilities("p"), original_quirks=True, theta_fg=0.5)
    item = scenes.sure("c")
    p = item.scores.astype(np.float16).astype(np.float32)
    want = grow_array(crosses(scenes)("c"), p, item.classes, labels=[1, 2], theta_fg=0.5, original_quirks=True)
    assert (open_maskdir(out).mask("c") == want).all()


def test_infinite_thresholds(scenes, seeds):
    out = grow(seeds, scenes.out / "o", scores=scenes.probabilities("p"), theta_bg=float("inf"))
    grown = open_maskdir(out).mask("a")
    assert (grown == 1).sum() == (scenes.truth["a"] == 1).sum()
    assert (grown == 0).sum() == 2
    assert read_manifest(out).options["theta_bg"] == "inf"
    # the same command again finds its own output
    assert grow(seeds, out, scores=scenes.out / "p", theta_bg=float("inf")) == out


def test_labels_of_the_image_restrict_the_argmax(scenes, seeds):
    def moonstruck(name):
        item = scenes.sure(name)
        maps = np.concatenate([item.scores, np.full_like(item.scores[:1], 0.95)])
        return Scores(maps, np.arange(4), item.size)

    out = grow(seeds, scenes.out / "o", scores=scenes.probabilities("p", moonstruck), theta_bg=0.8)
    assert (open_maskdir(out).mask("a") == scenes.truth["a"]).all()


def test_without_labels_every_class_competes(scenes, seeds):
    for path in (scenes.root / "Annotations").iterdir():
        path.unlink()
    out = grow(seeds, scenes.out / "o", scores=scenes.probabilities("p", supervision=["boxes"]), theta_bg=0.8)
    assert (open_maskdir(out).mask("a") == scenes.truth["a"]).all()
    assert read_manifest(out).supervision == ("boxes", "image-labels")  # those of the inputs, nothing added


def test_no_data_set_is_needed(scenes):
    """A plain folder of seeds and scores whose manifest names no data set."""
    from dataclasses import replace

    scores = scenes.probabilities("p")
    write_manifest(scores, replace(read_manifest(scores), data=None))
    for name in scenes.ids:
        write_mask(scenes.out / f"plain/{name}.png", crosses(scenes)(name))
    out = grow(scenes.out / "plain", scenes.out / "o", scores=scores, theta_bg=0.8)
    assert (open_maskdir(out).mask("a") == scenes.truth["a"]).all()
    assert read_manifest(out).split == "train"
    assert read_manifest(out).classes == read_manifest(scores).classes


def test_cams(scenes, seeds):
    out = grow(seeds, scenes.out / "o", scores=scenes.cams("cams"), theta_fg=0.6, theta_bg=0.9)
    assert read_manifest(out).options["background"] == REFINED_BACKGROUND
    assert (open_maskdir(out).mask("a") == scenes.truth["a"]).mean() > 0.7


def test_what_does_not_grow_is_listed(scenes):
    def work(name):
        mask = crosses(scenes)(name)
        if name == "a":
            mask[:] = U
        if name == "b":
            mask[5, 5] = 3
        return mask

    def without_square(name):
        item = scenes.sure(name)
        return Scores(item.scores[:2], item.classes[:2], item.size)

    out = grow(scenes.masks("s", work), scenes.out / "o", scores=scenes.probabilities("p", without_square))
    assert {entry["id"]: entry["reason"] for entry in read_manifest(out).fell_back} == {
        "a": "no seeds",
        "b": "class 'square' has no scores: its seeds stay and do not grow",
        "c": "class 'square' has no scores: its seeds stay and do not grow",
        "d": "class 'square' has no scores: its seeds stay and do not grow",
    }
    out = grow(scenes.masks("s2", work), scenes.out / "o2", scores=scenes.probabilities("p2"))
    reasons = {entry["id"]: entry["reason"] for entry in read_manifest(out).fell_back}
    assert reasons["b"] == "class 'moon' is not among the image's labels: its seeds stay and do not grow"
    assert open_maskdir(out).mask("b")[5, 5] == 3


def test_help_names_the_default_that_the_library_has():
    assert f"; {REFINED_BACKGROUND} when left out" in help_texts(grow)["background"]


def test_workers_give_the_same_bytes(scenes, seeds):
    scores = scenes.probabilities("p")
    one = grow(seeds, scenes.out / "one", scores=scores, run=Run(workers=1))
    three = grow(seeds, scenes.out / "three", scores=scores, run=Run(workers=3))
    assert read_manifest(one).digest() == read_manifest(three).digest()


def test_missing_scores_are_an_error(scenes, seeds, message):
    scores = scenes.probabilities("p", ids=["a", "b"])
    assert message(WssError, grow, seeds, scenes.out / "o", scores=scores) == (
        f"{scores}: no scores of 2 of the 4 images that {seeds} has seeds of, the first is 'c'; "
        "make them, or take a part with --ids"
    )
    ids = scenes.out / "ids.txt"
    ids.write_text("a\nb\n")
    assert open_maskdir(grow(seeds, scenes.out / "o", scores=scores, run=Run(ids=ids))).ids == ["a", "b"]


def test_splits_are_never_mixed(scenes, seeds, message):
    scores = scenes.probabilities("p", split="val")
    assert message(WssError, grow, seeds, scenes.out / "o", scores=scores) == (
        f"{seeds} is of split 'train', but {scores} of split 'val'; "
        "make scores of the seeds' split (`wss predict --split train --scores`)"
    )


def test_other_sizes_are_an_error(scenes, seeds, message):
    def other(name):
        item = scenes.sure(name)
        return Scores(item.scores, item.classes, (item.size[0] + 1, item.size[1]))

    scores = scenes.probabilities("p", other)
    assert message(WssError, grow, seeds, scenes.out / "o", scores=scores, run=Run(workers=1)) == (
        f"{seeds}/masks/a.png: is 40 x 52 (height x width), but {scores}/scores/a.npz is 41 x 52; "
        "both must be of the photo's size"
    )


def test_other_class_tables_are_an_error(scenes, seeds, message):
    from dataclasses import replace

    from wsscli.classes import ClassTable

    scores = scenes.probabilities("p")
    write_manifest(scores, replace(read_manifest(scores), classes=ClassTable.of(["disc", "moon", "square"])))
    assert message(WssError, grow, seeds, scenes.out / "o", scores=scores) == (
        f"{seeds}: its class table is not the one of {scores}: class 2 is 'moon' there and 'square' here; "
        "use the table of one data set"
    )


def test_option_errors_leave_nothing_behind(scenes, seeds, message):
    scores, o = scenes.probabilities("p"), scenes.out / "o"
    assert message(UsageError, grow, seeds, o, scores=scores, theta_fg=-0.5) == (
        "--theta-fg -0.5: give a probability (0.85 and 0.99 are usual) or inf"
    )
    assert message(UsageError, grow, seeds, o, scores=scores, theta_bg=float("nan")).startswith("--theta-bg nan:")
    assert message(UsageError, grow, seeds, o, scores=scores, background="const:0.3").startswith(
        "--background const:0.3: only cam scores need one made"
    )
    assert message(WssError, grow, seeds, o, scores=seeds).startswith(f"{seeds}: holds masks but no scores;")
    assert not o.exists()


def test_seeds_of_another_split_of_the_data_set_are_an_error(scenes, seeds, message):
    text = message(WssError, grow, seeds, scenes.out / "o", scores=scenes.probabilities("p"), data=Data(split="val"))
    assert text.startswith("--split val, but the directory read here was made by `wss predict` on split 'train'")
