"""`wss propose`, what `wss verify` and `wss show` make of it, and `wss eval --proposals`."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from wsscli.cli.eval import finish
from wsscli.errors import FailUnderError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.proposals import ProposalSet
from wsscli.maskdir.writer import Output
from wsscli.proposals.hierarchical import hierarchical
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.eval import Part, evaluate
from wsscli.steps.propose import propose
from wsscli.steps.verify import problems


def train(scenes):
    return Data(scenes.root, split="train")


def made(scenes, masks_of, name="given", *, split="train", ids=None, supervision=()):
    """A directory that holds the masks of `masks_of(id)`, best first."""
    dataset = dataset_for(train(scenes))

    def work(image):
        masks = masks_of(image)
        return Output(proposals=ProposalSet.of_masks(np.array(masks), -np.arange(len(masks))))

    plan = Plan(
        "propose", scenes.out / name, "proposals", {}, data=data_ref(dataset), split=split, supervision=supervision
    )
    return per_image(plan, Run(workers=1), ids or scenes.ids, work)


def near(scenes, name):
    """The whole photo; then all objects as one."""
    truth = scenes.truth[name]
    return [np.ones(truth.shape, bool), truth > 0]


def test_proposals_of_photos_alone(scenes):
    for name in scenes.ids:  # neither labels nor masks are read
        (scenes.root / f"Annotations/{name}.xml").unlink()
    out = propose(scenes.out / "prop", count=50, data=train(scenes), run=Run(workers=2))
    opened, manifest = open_maskdir(out, need="proposals"), read_manifest(out)
    assert (manifest.kind, manifest.supervision, manifest.classes) == ("proposals", (), None)
    assert manifest.options == {"method": "hierarchical", "count": 50, "min_area": 0.004, "longest": 500}
    assert opened.ids == scenes.ids
    for name in scenes.ids:
        photo = np.array(Image.open(scenes.root / f"JPEGImages/{name}.jpg"))
        item, found = opened.proposals(name), hierarchical(photo, count=50)
        np.testing.assert_array_equal(item.superpixels, found.superpixels)
        np.testing.assert_array_equal(item.members, found.members)
        assert item.size == scenes.truth[name].shape
    assert list(problems(out)) == []
    one = propose(scenes.out / "one", count=50, data=train(scenes), run=Run(workers=1))
    for name in scenes.ids:
        assert (one / f"proposals/{name}.npz").read_bytes() == (out / f"proposals/{name}.npz").read_bytes()


def test_selective_search(scenes):
    out = propose(scenes.out / "ss", method="selective-search", count=30, data=train(scenes), run=Run(limit=1))
    assert read_manifest(out).options["mode"] == "fast"
    assert 1 < len(open_maskdir(out, need="proposals").proposals("a")) <= 30
    other = propose(
        scenes.out / "ss1", method="selective-search", count=30, data=train(scenes), run=Run(limit=1, seed=1)
    )
    assert (other / "proposals/a.npz").read_bytes() != (out / "proposals/a.npz").read_bytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"count": 0}, "--count 0: give 1 or more"),
        ({"min_area": 1.0}, "--min-area 1: give a share of the photo, 0 or more and below 1"),
        ({"longest": 9}, "--longest 9: give 16 pixels or more"),
        ({"mode": "fast"}, "--mode is of --method selective-search, not of hierarchical; leave it out"),
    ],
)
def test_options_out_of_range(scenes, message, options, told):
    assert message(UsageError, propose, scenes.out / "prop", data=train(scenes), **options) == told


def test_verify_names_what_is_wrong(scenes):
    out = made(scenes, lambda name: near(scenes, name))
    assert list(problems(out)) == []
    (out / "proposals/a.npz").write_bytes(b"torn")
    other = ProposalSet.of_masks(np.ones((1, 2, 3), bool), [1])
    from wsscli.maskdir.proposals import write_proposals

    write_proposals(out / "proposals/b.npz", other)
    (out / "proposals/stray.txt").write_text("")
    found = list(problems(out))
    assert found[0].startswith(f"{out}/proposals/a.npz: cannot be read as proposals (")
    assert found[1] == f"{out}/proposals/b.npz: is for 3x2, its photo is 53x40 (width x height)"
    assert "their common digest differs" in found[2]
    assert found[3:] == [f"{out}/proposals/stray.txt: does not belong here; remove it"]


def test_eval_by_hand(scenes, capsys):
    """Objects: a's disc, b's square, both in c and d; proposals: the whole photo, then all objects as one."""
    out = made(scenes, lambda name: near(scenes, name), supervision=["masks:3"])
    result = evaluate([out], proposals=True, keep=(2, 1), part=Part(workers=2))
    assert (result.split, result.images, result.objects) == ("train", 4, 6)
    assert result.rule == "connected components of a class, at least 2% of the image"
    whole, both = [], []
    for name in scenes.ids:
        truth = scenes.truth[name]
        for c in sorted(set(np.unique(truth)) - {0}):
            whole.append((truth == c).mean())
            both.append(max(whole[-1], (truth == c).sum() / (truth > 0).sum()))
    (row,) = result.rows
    assert row.directory == str(out) and row.ledger == ["masks:3"] and row.missing == 0
    assert [q.kept for q in row.qualities] == [1, 2]
    np.testing.assert_allclose(
        [q.average_best_overlap for q in row.qualities], [np.mean(whole), np.mean(both)], rtol=1e-9
    )
    assert row.qualities[1].recall_70 == np.mean(np.array(both) >= 0.7)
    assert row.per_class["disc"]["objects"] == 3 and set(row.per_class) == {"disc", "square"}
    finish(result, json=True, per_class=True)
    printed = capsys.readouterr()
    plain = json.loads(printed.out)
    assert plain["proposals"] is True and plain["rows"][0]["qualities"][1]["kept"] == 2
    for text in ("split train, 4 images, 6 objects", "average best overlap", "ledger: masks:3", "disc", result.rule):
        assert text in printed.err


def test_eval_counts_instances_where_they_are_known(scenes):
    for name in scenes.ids:
        objects = np.zeros_like(scenes.truth[name])
        objects[:20, :20], objects[30:, 30:], objects[20] = 1, 2, 255
        write_mask(scenes.root / f"SegmentationObject/{name}.png", objects)
    halves = {name: np.zeros(scenes.truth[name].shape, bool) for name in scenes.ids}
    for half in halves.values():
        half[:21, :20] = True  # a row of it is not judged
    out = made(scenes, lambda name: [halves[name]])
    result = evaluate([out], proposals=True, keep=(1,))
    assert result.rule == "instances of SegmentationObject" and result.objects == 8
    assert result.rows[0].qualities[0].average_best_overlap == 0.5
    (scenes.root / "SegmentationObject/c.png").unlink()
    with pytest.raises(WssError) as caught:
        evaluate([out], proposals=True)
    assert str(caught.value) == (
        f"{scenes.root}: no instance map for image 'c' (split train); leave the image out with --ids, or add it"
    )


def test_curve_csv_and_limit(scenes, tmp_path, message):
    out = made(scenes, lambda name: near(scenes, name))
    result = evaluate([out], proposals=True, keep=(1, 2))
    finish(result, curve=tmp_path / "c.svg", csv=tmp_path / "c.csv", per_class=True, fail_under=0.1)
    svg = (tmp_path / "c.svg").read_text()
    assert svg.startswith("<svg ") and "average best overlap" in svg and "6 objects of 4 images" in svg
    lines = (tmp_path / "c.csv").read_text().splitlines()
    assert lines[0] == "directory,split,images,objects,ledger,class,kept,average_best_overlap,recall_50,recall_70"
    assert [line.split(",")[5] for line in lines[1:]] == ["all", "all", "disc", "square"]
    best = result.rows[0].qualities[-1].average_best_overlap
    assert message(FailUnderError, finish, result, fail_under=0.99) == (
        f"{out}: average best overlap {best:.4f} of 2 proposals on split train is under --fail-under 0.99"
    )
    assert message(UsageError, finish, result, curve=tmp_path / "c.png") == (
        f"--curve {tmp_path}/c.png: the file's name must end in .svg"
    )
    assert message(UsageError, finish, result, confusion=tmp_path / "c.csv") == (
        f"--confusion {tmp_path}/c.csv: there is no confusion matrix of proposals; leave it out"
    )
    masks = evaluate([scenes.masks("masks")])
    assert message(UsageError, finish, masks, curve=tmp_path / "c.svg") == (
        f"--curve {tmp_path}/c.svg: is of --proposals; leave it out"
    )


def test_missing_images(scenes, message):
    out = made(scenes, lambda name: near(scenes, name), ids=["a", "b"])
    told = message(WssError, evaluate, [out], proposals=True)
    assert told == (
        f"{out}: 2 of 4 images of {scenes.root} have no proposals, the first is 'c'; --missing skip leaves them out, "
        "--missing background counts them as found by none, --ids judges a part"
    )
    skipped = evaluate([out], proposals=True, missing="skip", keep=(2,))
    counted = evaluate([out], proposals=True, missing="background", keep=(2,))
    assert (skipped.images, skipped.objects, skipped.rows[0].missing) == (2, 2, 0)
    assert (counted.images, counted.objects, counted.rows[0].missing) == (4, 6, 2)
    both = [result.rows[0].qualities[0].average_best_overlap for result in (skipped, counted)]
    assert both == [1.0, pytest.approx(2 / 6)]
    other = made(scenes, lambda name: near(scenes, name), "other", ids=["c", "d"])
    assert message(WssError, evaluate, [out, other], proposals=True, missing="skip") == (
        "no image is in all directories; nothing is left to judge under --missing skip"
    )


def test_what_eval_refuses(scenes, message):
    out = made(scenes, lambda name: near(scenes, name))
    assert message(UsageError, evaluate, [out], proposals=True, sweep="0.1,0.2") == (
        "--sweep: does not go with --proposals; leave one of them out"
    )
    assert message(UsageError, evaluate, [out], proposals=True, keep=(0, 5)) == (
        "--keep 0: give numbers of proposals, each 1 or more"
    )
    assert message(UsageError, evaluate, [out], proposals=True, min_object=2.0) == (
        "--min-object 2: give a share of the image, 0 to 1"
    )
    assert message(UsageError, evaluate, [scenes.masks("masks")], keep=(5,)) == (
        "--keep: is an option of --proposals; add that, or leave --keep out"
    )
    assert message(WssError, evaluate, [out], proposals=True, min_object=1.0) == (
        f"{scenes.root}: no object in the 4 images of split train; connected components of a class, at least 100% of "
        "the image"
    )
    other = made(scenes, lambda name: near(scenes, name), "val", split="val", ids=["d"])
    assert message(WssError, evaluate, [out, other], proposals=True) == (
        f"{other}: is of split 'val', but {out} is of 'train'; splits are never mixed, judge each by itself"
    )
    wrong = made(scenes, lambda name: near(scenes, name) if name != "a" else [np.ones((3, 4), bool)], "wrong")
    assert message(WssError, evaluate, [wrong], proposals=True) == (
        f"{wrong}/proposals/a.npz: is for 4x3, the true mask is 52x40 (width x height)"
    )


def test_eval_needs_true_masks(scenes, message):
    out = made(scenes, lambda name: near(scenes, name))
    for path in (scenes.root / "SegmentationClass").iterdir():
        path.unlink()
    (scenes.root / "SegmentationClass").rmdir()
    assert message(WssError, evaluate, [out], proposals=True) == (
        f"{scenes.root}: has no true masks, so no objects to find"
    )


def test_a_dry_evaluation(scenes, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    out = made(scenes, lambda name: near(scenes, name))
    assert evaluate([out], proposals=True, part=Part(dry_run=True)) is None
    assert f"would judge {out} on 4 images against {scenes.root}" in caplog.text


def test_show_outlines_the_best(scenes, tmp_path):
    from wsscli.steps.show import show

    def corner(name, k):
        mask = np.zeros(scenes.truth[name].shape, bool)
        mask[5 * k : 5 * k + 5, :9] = True
        return mask

    out = made(scenes, lambda name: [corner(name, k) for k in range(7)])
    show([out], tmp_path / "png", run=Run(limit=1))
    assert (tmp_path / "png/a.png").exists()
    page = show([out, scenes.masks("masks")], tmp_path / "page.html").read_text()
    assert "best 5 of 7" in page and "wss propose" in page

    from wsscli.maskdir.png import voc_palette
    from wsscli.report.overlay import display_palette
    from wsscli.steps._pictures import proposal_tile

    photo = np.full((*scenes.truth["a"].shape, 3), 200, np.uint8)
    tile = proposal_tile(photo, open_maskdir(out, need="proposals").proposals("a"), "prop")
    colours = display_palette(voc_palette())
    for k in range(5):
        assert (tile.picture[5 * k + 2, 0] == colours[k + 1]).all()
        assert (tile.picture[5 * k + 2, 4] == 164).all()
    assert (tile.picture[25:] == 164).all()
