"""`make-seeds --method hypotheses` on generated proposals and a net that was never trained: what it does with scores."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from wsscli.data.dataset import open_dataset
from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.proposals import ProposalSet
from wsscli.maskdir.writer import Output
from wsscli.nets.hcp import HCP, score_hypotheses
from wsscli.nets.store import load_model, save_model
from wsscli.seeds.cross_image import in_memory, kept
from wsscli.seeds.localization import localization_maps, rough_mask, select
from wsscli.steps import _candidates
from wsscli.steps._data import Data, data_ref
from wsscli.steps._foreground import Foreground
from wsscli.steps._hypotheses import Hypotheses
from wsscli.steps._run import Plan, Run, open_job, per_image
from wsscli.steps.make_seeds import make_seeds

LABELS = {"a": (1,), "b": (2,), "c": (1, 2), "d": (1, 2)}


@pytest.fixture
def model(scenes):
    """A net whose scores are all over the place."""
    dataset = open_dataset(scenes.root, split="train")
    torch.manual_seed(2)
    net = HCP.build("tiny", dataset.classes, size=65)
    torch.nn.init.normal_(net.classifier.weight, std=20.0)
    plan = Plan(
        "train-cls", scenes.out / "hcp", "model", {}, dataset.classes, data_ref(dataset), "train", (), ["image-labels"]
    )
    job = open_job(plan, Run(), scenes.ids)
    with job:
        save_model(job.path, net)
        return job.close(files=["model.safetensors"], model=net.config)


def regions(name: str, size: tuple[int, int]) -> ProposalSet:
    """Forty boxes and ellipses."""
    rng = np.random.default_rng(ord(name[0]))
    masks = np.zeros((40, *size), np.uint8)
    for number, mask in enumerate(masks):
        (x0, x1), (y0, y1) = (np.sort(rng.choice(side, 2, replace=False)) for side in size[::-1])
        centre, axes = (int(x0 + x1) // 2, int(y0 + y1) // 2), (int(x1 - x0) // 2 + 1, int(y1 - y0) // 2 + 1)
        if number % 2:
            cv2.rectangle(mask, (int(x0), int(y0)), (int(x1), int(y1)), 1, -1)
        else:
            cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
    return ProposalSet.of_masks(masks.astype(bool), np.linspace(1, 0, 40))


@pytest.fixture
def proposals(scenes):
    return write_proposals(scenes)


def write_proposals(scenes, name="proposals", make=regions, supervision=()):
    dataset = open_dataset(scenes.root, split="train")

    def work(image: str) -> Output:
        return Output(proposals=make(image, scenes.truth[image].shape))

    out = scenes.out / name
    plan = Plan("propose", out, "proposals", {}, None, data_ref(dataset), "train", (), supervision)
    return per_image(plan, Run(workers=1), scenes.ids, work)


def seeds(scenes, model, proposals, name="out", run=Run(workers=2), device="cpu", label_count=None, **options):
    return make_seeds(
        scenes.out / name, model=model, method="hypotheses", hypothesising=Hypotheses(proposals, **options),
        class_free=Foreground(label_count=label_count), device=device, run=run,
    )  # fmt: skip


def literal(scenes, model, proposals, options, ids="abcd"):
    """All of it in memory, image by image and class by class: id -> (maps, mask)."""
    net, folder = load_model(model, arch="hcp"), open_maskdir(proposals, need="proposals")
    sets, scores, features = {}, {}, {}
    for name in ids:
        photo = np.array(Image.open(scenes.root / f"JPEGImages/{name}.jpg"))
        sets[name] = folder.proposals(name)
        found = score_hypotheses(net, photo, sets[name].boxes, crop=options.crop_hypotheses)
        rows = found[1]
        if options.unit_features:
            rows = np.stack([row / np.sqrt((row.astype(np.float64) ** 2).sum()) for row in rows])
        scores[name], features[name] = found[0], rows.astype(np.float16).astype(np.float32)
    chosen = {}
    for name in ids:
        shares = [sets[name].mask(n).mean() for n in range(40)]
        for c in LABELS[name]:
            own = scores[name][:, c - 1].copy()
            own[np.array(shares) < options.min_area] = -1
            chosen[name, c] = select(own, options.min_score).rows
    refined = dict(chosen)
    if options.cross_image:
        # the principal components are those of all candidates of all classes together
        union = [sorted({r for c in LABELS[n] for r in chosen[n, c]}) for n in ids]
        rows = np.concatenate([features[n][u] for n, u in zip(ids, union, strict=True)]).astype(np.float64)
        values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
        many = int(np.searchsorted(np.cumsum(values[::-1]), options.pca_energy * values.sum())) + 1
        basis = vectors[:, ::-1][:, :many]
        for c in (1, 2):
            holders = [n for n in ids if c in LABELS[n]]
            coordinates = [(features[n][chosen[n, c]] - rows.mean(0)) @ basis for n in holders]
            for n, mine in zip(holders, coordinates, strict=True):
                if len(holders) == 1:
                    continue
                others = [other for other in coordinates if other is not mine]
                distances = [np.mean([((x - other) ** 2).sum(1).mean() for other in others]) for x in mine]
                stay = kept(np.array(distances), keep=options.keep, share=options.keep_share)
                refined[n, c] = chosen[n, c][stay]
    made = {}
    for n in ids:
        maps = localization_maps(sets[n], [refined[n, c] for c in LABELS[n]], normalise=options.normalise)
        pool = {"selected": chosen, "refined": refined, "all": {key: np.arange(40) for key in chosen}}
        own = scores[n][:, [c - 1 for c in LABELS[n]]]
        among = [pool[options.candidates][n, c] for c in LABELS[n]]
        made[n] = maps, rough_mask(sets[n], own, maps, LABELS[n], among, joined=options.joined)
    return made


@pytest.mark.parametrize(
    "options",
    [
        {}, {"cross_image": False}, {"keep": "farthest", "candidates": "refined"},
        {"candidates": "all", "joined": 3, "keep_share": 0.3, "pca_energy": 0.7},
        {"crop_hypotheses": True, "min_score": 0.2}, {"normalise": False, "min_area": 0.3, "unit_features": False},
    ],
)  # fmt: skip
def test_two_looks_give_what_one_does(scenes, model, proposals, options):
    out = open_maskdir(seeds(scenes, model, proposals, **options), need="scores")
    for name, (maps, mask) in literal(scenes, model, proposals, Hypotheses(proposals, **options)).items():
        assert np.array_equal(out.mask(name), mask) and mask.any()
        found = out.scores(name)
        assert found.classes.tolist() == [0, *LABELS[name]] and found.size == mask.shape
        half = (-(-mask.shape[1] // 2), -(-mask.shape[0] // 2))
        expected = np.stack([cv2.resize(m, half, interpolation=cv2.INTER_AREA) for m in maps])
        np.testing.assert_allclose(found.scores, expected, atol=6e-4)  # float16
    assert sorted(path.name for path in out.path.iterdir()) == ["log.jsonl", "masks", "scores", "wss.json"]


def test_in_memory_form_agrees_with_the_step(scenes, model, proposals):
    """Equation 1 of the library for one class alone, where only that class is there."""
    run = Run(workers=1, ids=scenes.out / "ids.txt")
    run.ids.write_text("a\nc\nd\n")
    labels = scenes.out / "labels.csv"
    labels.write_text("image,labels\na,disc\nc,disc\nd,disc\n")
    out = make_seeds(
        scenes.out / "disc", model=model, method="hypotheses", hypothesising=Hypotheses(proposals), device="cpu",
        run=run, data=Data(labels=labels),
    )  # fmt: skip
    net, folder = load_model(model, arch="hcp"), open_maskdir(proposals, need="proposals")
    chosen, features = [], []
    for name in "acd":
        photo = np.array(Image.open(scenes.root / f"JPEGImages/{name}.jpg"))
        scores, found = score_hypotheses(net, photo, folder.proposals(name).boxes)
        own = folder.proposals(name)
        chosen.append(select(scores[:, 0], 0.5, own.areas >= 0.02 * own.size[0] * own.size[1]).rows)
        rows = found[chosen[-1]]
        features.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16))
    for name, rows, distances in zip("acd", chosen, in_memory(features), strict=True):
        maps = localization_maps(folder.proposals(name), [rows[kept(distances)]])
        found = open_maskdir(out).scores(name).scores
        expected = np.stack([cv2.resize(m, found.shape[:0:-1], interpolation=cv2.INTER_AREA) for m in maps])
        np.testing.assert_allclose(found, expected, atol=6e-4)


def test_what_the_manifest_says(scenes, model):
    proposals = write_proposals(scenes, supervision=["external-model:edges"])
    out = seeds(scenes, model, proposals)
    manifest = read_manifest(out)
    assert (manifest.kind, manifest.score_type, manifest.split) == ("masks+scores", "soft-label", "train")
    assert manifest.supervision == ("external-model:edges", "image-labels")
    assert [i.role for i in manifest.inputs] == ["model", "proposals"]
    assert manifest.options == {
        "method": "hypotheses", "model": "trained", "crop_hypotheses": False, "min_score": 0.5, "min_area": 0.02,
        "cross_image": True, "keep": "nearest", "keep_share": 0.5, "pca_energy": 0.98, "unit_features": True,
        "normalise": True, "candidates": "selected", "joined": 100,
        "label_count": "all", "device": "cpu",
    }  # fmt: skip
    plain = read_manifest(seeds(scenes, model, proposals, "plain", cross_image=False, keep="farthest"))
    assert not {"keep", "keep_share", "pca_energy", "unit_features"} & plain.options.keys()


def test_hypotheses_are_seen_as_the_model_was_trained(scenes, model, proposals):
    text = (model / "wss.json").read_text()
    assert text.count('"options": {}') == 1
    (model / "wss.json").write_text(text.replace('"options": {}', '"options": {"crop_hypotheses": true}'))
    found = {
        name: read_manifest(seeds(scenes, model, proposals, str(name), crop_hypotheses=name))
        for name in (None, True, False)
    }
    assert [found[name].options["crop_hypotheses"] for name in (None, True, False)] == [True, True, False]
    assert found[None].content == found[True].content != found[False].content


def test_images_of_one_class(scenes, model, proposals):
    out = seeds(scenes, model, proposals, label_count="single")
    assert open_maskdir(out).ids == ["a", "b"]
    assert read_manifest(out).dropped == (
        {"id": "c", "reason": "2 classes, not one: disc, square"},
        {"id": "d", "reason": "2 classes, not one: disc, square"},
    )


def test_the_only_image_of_a_class_keeps_all(scenes, model, proposals):
    out = seeds(scenes, model, proposals, label_count="single")
    reasons = {entry["id"]: entry["reason"] for entry in read_manifest(out).fell_back}
    assert reasons == {
        "a": "the only image of its class, all candidates kept: disc",
        "b": "the only image of its class, all candidates kept: square",
    }
    plain = seeds(scenes, model, proposals, "plain", label_count="single", cross_image=False)
    for name in "ab":
        assert len(np.unique(open_maskdir(plain).scores(name).scores)) > 10  # of several candidates
        assert (out / f"scores/{name}.npz").read_bytes() == (plain / f"scores/{name}.npz").read_bytes()


def test_where_nothing_scores_high_enough_the_best_is_taken(scenes, model, proposals):
    """A net that says the same of all: the best ranked proposal stands for each class."""
    net = load_model(model)
    torch.nn.init.zeros_(net.classifier.weight)
    save_model(model, net)
    out = seeds(scenes, model, proposals)
    reasons = {entry["id"]: entry["reason"] for entry in read_manifest(out).fell_back}
    why = "no proposal large enough scores above 0.5, the best one taken: "
    assert reasons == {"a": f"{why}disc", "b": f"{why}square", "c": f"{why}disc, square", "d": f"{why}disc, square"}
    sets = open_maskdir(proposals, need="proposals")
    for name in "abcd":
        assert np.array_equal(open_maskdir(out).mask(name), sets.proposals(name).mask(0) * LABELS[name][0])


def test_images_without_a_class_or_proposals_are_background(scenes, model):
    (scenes.root / "Annotations/b.xml").write_text("<annotation></annotation>")

    def make(name, size):
        found = regions(name, size)
        return found.first(0) if name == "a" else found

    out = seeds(scenes, model, write_proposals(scenes, make=make))
    reasons = {entry["id"]: entry["reason"] for entry in read_manifest(out).fell_back}
    assert reasons["a"] == "no proposals" and reasons["b"] == "no class"
    opened = open_maskdir(out)
    for name in "ab":
        assert not opened.mask(name).any() and (opened.scores(name).scores[0] == 1).all()
    assert opened.mask("c").any()


def test_bytes_do_not_depend_on_workers(scenes, model, proposals):
    one, three = (seeds(scenes, model, proposals, str(n), run=Run(workers=n)) for n in (1, 3))
    assert read_manifest(one).content == read_manifest(three).content


@pytest.mark.parametrize("moment", ["_store", "_sum_up", "read"])
def test_stopped_anywhere_it_goes_on(scenes, model, proposals, moment, monkeypatch):
    whole = seeds(scenes, model, proposals, "whole")
    true, calls = getattr(_candidates.CrossImage, moment), []

    def stops(self, *args):
        calls.append(args)
        if len(calls) == (1 if moment == "_sum_up" else 3):
            raise KeyboardInterrupt
        return true(self, *args)

    monkeypatch.setattr(_candidates.CrossImage, moment, stops)
    with pytest.raises(KeyboardInterrupt):
        seeds(scenes, model, proposals, "torn", run=Run(workers=1))
    torn = scenes.out / "torn"
    kept_files = sorted(path.stem for path in (torn / "features").glob("*.npz"))
    assert kept_files == (["a", "b"] if moment == "_store" else ["a", "b", "c", "d"])
    monkeypatch.setattr(_candidates.CrossImage, moment, true)
    looked = []
    look = _candidates.Finder.look
    monkeypatch.setattr(
        _candidates.Finder, "look", lambda self, name, found: looked.append(name) or look(self, name, found)
    )
    assert (
        read_manifest(seeds(scenes, model, proposals, "torn", run=Run(workers=1))).content
        == read_manifest(whole).content
    )
    assert looked == (["c", "d"] if moment == "_store" else []) and not (torn / "features").exists()


def test_left_over_features_go_with_overwrite(scenes, model, proposals, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_candidates.CrossImage, "_sum_up", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            seeds(scenes, model, proposals)
    (scenes.out / "out/features/a.npz").write_bytes(b"of another run")
    seeds(scenes, model, proposals, run=Run(overwrite=True), joined=2)
    assert not (scenes.out / "out/features").exists()


def test_damaged_features_are_named(scenes, model, proposals, message, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(_candidates.CrossImage, "_sum_up", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            seeds(scenes, model, proposals)
    path = scenes.out / "out/features/b.npz"
    path.write_bytes(path.read_bytes()[:200])
    text = message(WssError, seeds, scenes, model, proposals)
    assert text == (
        f"{path}: cannot be read as features of candidates (File is not a zip file); remove it and run the same "
        "command again"
    )
    path.unlink()
    assert seeds(scenes, model, proposals)


def test_an_image_that_fails_is_passed_over(scenes, model, proposals, caplog):
    photo = scenes.root / "JPEGImages/c.jpg"
    photo.write_bytes(photo.read_bytes()[:300])
    with pytest.raises(WssError) as caught:
        seeds(scenes, model, proposals, "stops", run=Run(workers=1))
    assert str(photo) in str(caught.value)
    caplog.set_level(logging.WARNING, "wsscli")
    with pytest.raises(PartialError):
        seeds(scenes, model, proposals, run=Run(workers=1, keep_going=True))
    out = open_maskdir(scenes.out / "out")
    assert out.ids == ["a", "b", "d"] and [entry["id"] for entry in out.manifest.dropped] == ["c"]
    expected = literal(scenes, model, proposals, Hypotheses(proposals), "abd")
    assert all(np.array_equal(out.mask(name), mask) for name, (_, mask) in expected.items())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min_score": 1.0}, "--min-score 1: give a number from 0 to below 1"),
        ({"joined": 0}, "--joined 0: give 1 or more"),
        ({"min_area": -0.1}, "--min-area -0.1: give a number from 0 to below 1"),
        ({"pca_energy": 0.0}, "--pca-energy 0: give a number above 0 and at most 1"),
        ({"keep_share": 2.0}, "--keep-share 2: give a number above 0 and at most 1"),
    ],
)
def test_values_out_of_range(scenes, message, model, proposals, options, text):
    assert message(UsageError, seeds, scenes, model, proposals, **options) == text
    assert not (scenes.out / "out").exists()


def test_what_it_needs(scenes, message, model, proposals):
    needs = "--method hypotheses needs a model of `wss train-cls --arch hcp`: name it with --model"
    for none in (None, Path("imagenet")):
        assert message(UsageError, seeds, scenes, none, proposals) == needs
    assert message(UsageError, seeds, scenes, model, proposals, label_count="none") == (
        "--label-count none: is of --method foreground; --method hypotheses needs labels"
    )
    assert message(UsageError, seeds, scenes, model, None) == (
        "--method hypotheses needs proposals: make them with `wss propose` and name the directory with --proposals"
    )
    assert message(UsageError, make_seeds, scenes.out / "o", model=model, hypothesising=Hypotheses(proposals)) == (
        "--proposals: --method cam does not take it, --method hypotheses does"
    )
    assert message(UsageError, make_seeds, scenes.out / "o", model=model, method="hypotheses", scales=(1.0,)) == (
        "--scales: --method hypotheses does not take it, --method cam and --method self-guided do"
    )
    manifest = json.loads((model / "wss.json").read_text())
    manifest["model"]["arch"] = "cam"
    (model / "wss.json").write_text(json.dumps(manifest))
    assert message(WssError, seeds, scenes, model, proposals) == (
        f"{model}: holds a 'cam' net; pass what `wss train-cls --arch hcp` wrote"
    )


def test_proposals_of_other_photos(scenes, message, model):
    def make(name, size):
        return regions(name, (size[0] - 1, size[1]))

    proposals = write_proposals(scenes, make=make)
    assert message(WssError, seeds, scenes, model, proposals, run=Run(workers=1)) == (
        f"{proposals}/proposals/a.npz: is 39 x 52 (height x width), but {scenes.root}/JPEGImages/a.jpg is 40 x 52; both "
        "must be of the photo's size"
    )


def test_no_image_of_one_class(scenes, message, model, proposals):
    ids = scenes.out / "ids.txt"
    ids.write_text("c\nd\n")
    text = message(WssError, seeds, scenes, model, proposals, label_count="single", run=Run(ids=ids))
    assert text == f"{scenes.root}: none of the 2 images has exactly one class; take --label-count all"


def test_scores_that_are_no_numbers(scenes, message, model, proposals):
    net = load_model(model)
    torch.nn.init.constant_(net.classifier.bias, float("nan"))
    save_model(model, net)
    assert message(WssError, seeds, scenes, model, proposals) == (
        "hypotheses: a score is NaN; the model has diverged, train it again"
    )
