"""`wss predict` with the tiny net: outputs, options, what does not depend on what."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.data.images import read_image
from wsscli.errors import PartialError, UsageError, WssError
from wsscli.maskdir.manifest import Manifest, read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.nets.classifier import CamNet
from wsscli.nets.segmenter import DeepLab
from wsscli.nets.store import load_model, save_model
from wsscli.steps._data import Data, data_ref, dataset_for
from wsscli.steps._run import Run
from wsscli.steps.predict import predict, probabilities

CLASSES = ClassTable.of(["disc", "square", "moon"])
FIXED = {"device": "cpu", "bf16": False, "run": Run(workers=2)}


def store(directory, net, data=None, **changes):
    save_model(directory, net)
    manifest = Manifest(
        kind="model", step="train-seg", classes=net.classes, model=net.config, complete=True, data=data, split="train",
        supervision=("image-labels",),
    )  # fmt: skip
    write_manifest(directory, replace(manifest, **changes))
    return directory


@pytest.fixture
def model(scenes):
    """An untrained net whose outputs differ from place to place."""
    torch.manual_seed(5)
    net = DeepLab.build("tiny", CLASSES, output_stride=4, size=65)
    with torch.no_grad():
        for branch in net.branches:
            branch[6].weight.mul_(60)
    return store(scenes.out / "model", net, data_ref(dataset_for(Data(scenes.root, split="train"))))


def run(model, scenes, name="p", **options):
    return predict(model, scenes.out / name, **{"data": Data(split="train"), **FIXED, **options})


def files(out):
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "log.jsonl"}


def test_masks(model, scenes):
    out = run(model, scenes)
    manifest, found = read_manifest(out), open_maskdir(out)
    assert (manifest.kind, manifest.split, manifest.images, manifest.classes) == ("masks", "train", 4, CLASSES)
    assert manifest.supervision == ("image-labels",) and manifest.score_type is None
    assert [(i.role, i.digest) for i in manifest.inputs] == [("model", read_manifest(model).digest())]
    assert manifest.options == {
        "masks": True, "scores": False, "scales": [1.0], "flip": False, "crf": False, "labels_only": False, "size": 65,
        "output_stride": 4, "bf16": False, "device": "cpu",
    }  # fmt: skip
    assert found.ids == scenes.ids and not found.has_scores
    assert all(found.mask(name).shape == scenes.truth[name].shape for name in scenes.ids)
    assert len(np.unique(found.mask("a"))) > 1


def test_masks_are_the_argmax_of_the_scores(model, scenes):
    both = open_maskdir(run(model, scenes, scores=True))
    assert both.manifest.kind == "masks+scores" and both.manifest.score_type == "probability"
    for name in both.ids:
        scores = both.scores(name)
        assert scores.classes.tolist() == [0, 1, 2, 3] and scores.size == scenes.truth[name].shape
        assert np.abs(scores.scores.sum(0) - 1).max() < 2e-3
        assert np.array_equal(both.mask(name), scores.full().argmax(0))
    alone = open_maskdir(run(model, scenes, "masks"))
    assert all(np.array_equal(alone.mask(name), both.mask(name)) for name in both.ids)
    only = open_maskdir(run(model, scenes, "scores", scores=True, masks=False))
    assert only.manifest.kind == "scores" and not only.has_masks
    assert np.array_equal(only.scores("b").scores, both.scores("b").scores)


def test_bytes_do_not_depend_on_workers(model, scenes):
    expected = files(run(model, scenes, scores=True))
    assert files(run(model, scenes, "other", scores=True, run=Run(workers=1))) == expected
    assert files(run(model, scenes, "more", scores=True, run=Run(workers=5))) == expected


def test_torch_threads_are_given_back(model, scenes):
    before = torch.get_num_threads()
    run(model, scenes)
    assert torch.get_num_threads() == before


def test_probabilities_equal_the_literal_form(model, scenes):
    net = load_model(model)
    image = read_image(scenes.root / "JPEGImages/a.jpg")
    found = probabilities(net, image)
    side = (round(40 * 65 / 52 / 4) * 4 + 1, 65)
    seen = cv2.resize(image, side[::-1], interpolation=cv2.INTER_LINEAR)
    with torch.inference_mode():
        logits = net(net.backbone.normalise(torch.from_numpy(seen).permute(2, 0, 1)[None]))
        literal = torch.nn.functional.interpolate(
            logits.softmax(1), image.shape[:2], mode="bilinear", align_corners=True
        )
    assert np.abs(found.full() - literal[0].numpy()).mean() < 0.01


def test_flip_makes_mirror_images_equal(model, scenes):
    net = load_model(model)
    image = read_image(scenes.root / "JPEGImages/c.jpg")
    plain = probabilities(net, image, flip=True, scales=(0.5, 1.0))
    mirrored = probabilities(net, image[:, ::-1].copy(), flip=True, scales=(1.0, 0.5))
    assert np.abs(plain.scores - mirrored.scores[:, :, ::-1]).max() < 1e-3
    assert np.abs(plain.scores.sum(0) - 1).max() < 2e-3
    assert not np.allclose(plain.scores, probabilities(net, image).scores, atol=1e-3)


def test_a_large_photo_is_scaled_down_first(model):
    net = load_model(model)
    rng = np.random.default_rng(0)
    small = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)
    large = cv2.resize(small, (1600, 1200), interpolation=cv2.INTER_LINEAR)
    a, b = probabilities(net, small), probabilities(net, large)
    assert b.size == (1200, 1600) and b.scores.shape[1] < 100
    assert np.abs(a.full().mean((1, 2)) - b.full().mean((1, 2))).max() < 0.05


def test_labels_only(model, scenes):
    found = open_maskdir(run(model, scenes, labels_only=True, scores=True))
    labels = {"a": [1], "b": [2], "c": [1, 2], "d": [1, 2]}
    for name in found.ids:
        assert found.scores(name).classes.tolist() == [0, *labels[name]]
        assert np.abs(found.scores(name).scores.sum(0) - 1).max() < 2e-3
        assert set(np.unique(found.mask(name))) <= {0, *labels[name]}
    assert found.manifest.supervision == ("image-labels",)


def test_crf_smooths_the_mask_and_leaves_the_scores(model, scenes):
    plain = open_maskdir(run(model, scenes, scores=True))
    refined = open_maskdir(run(model, scenes, "crf", scores=True, crf=True))
    for name in plain.ids:
        assert np.array_equal(plain.scores(name).scores, refined.scores(name).scores)
        assert set(np.unique(refined.mask(name))) <= set(np.unique(plain.mask(name)))
    assert any(not np.array_equal(plain.mask(name), refined.mask(name)) for name in plain.ids)


def test_size_and_output_stride(model, scenes):
    manifest = read_manifest(run(model, scenes, size=97, output_stride=8))
    assert (manifest.options["size"], manifest.options["output_stride"]) == (97, 8)


def test_a_folder_of_photos_and_a_single_photo(model, scenes):
    folder = scenes.out / "photos"
    (folder / "trip").mkdir(parents=True)
    Image.fromarray(np.full((30, 20, 3), 90, np.uint8)).save(folder / "trip/x.png")
    Image.fromarray(np.full((1, 1), 7, np.uint8)).save(folder / "dot.png")
    out = run(model, scenes, images=folder)
    assert open_maskdir(out).ids == ["dot", "trip/x"] and open_maskdir(out).mask("trip/x").shape == (30, 20)
    assert open_maskdir(out).mask("dot").shape == (1, 1)
    assert read_manifest(out).data.format == "images"
    single = run(model, scenes, "single", images=scenes.root / "JPEGImages/b.jpg")
    assert open_maskdir(single).ids == ["b"]
    assert np.array_equal(open_maskdir(single).mask("b"), open_maskdir(run(model, scenes, "all")).mask("b"))


def test_another_split_than_the_training(model, scenes):
    assert open_maskdir(run(model, scenes, data=Data(split="val"))).ids == ["d"]


def test_damaged_image(model, scenes, message):
    path = scenes.root / "JPEGImages/c.jpg"
    path.write_bytes(path.read_bytes()[:300])
    assert str(path) in message(WssError, run, model, scenes)
    with pytest.raises(PartialError):
        run(model, scenes, run=Run(keep_going=True))
    assert open_maskdir(scenes.out / "p").ids == ["a", "b", "d"]


def test_wrong_calls(model, scenes, message):
    assert message(UsageError, run, model, scenes, masks=False) == (
        "--no-masks without --scores: nothing to write; add --scores"
    )
    assert message(UsageError, run, model, scenes, masks=False, scores=True, crf=True) == (
        "--crf refines masks; leave --no-masks out"
    )
    assert message(UsageError, run, model, scenes, size=3) == "--size 3: give 32 or more"
    wrong = "--scales 0,1: give one or more from 0.25 to 4"
    assert message(UsageError, run, model, scenes, scales=(0.0, 1.0)) == wrong
    assert message(UsageError, run, model, scenes, scales=()) == "--scales : give one or more from 0.25 to 4"
    assert (
        message(UsageError, run, model, scenes, images=scenes.root, data=Data(labels=scenes.root / "labels.csv"))
        == "--images are photos without labels; leave --labels out, or name the data set with --data"
    )
    assert not (scenes.out / "p").exists()
    with pytest.raises(UsageError) as caught:
        predict(model, scenes.out / "o", images=scenes.root, data=Data(class_folders=scenes.out / "map.json"))
    assert str(caught.value) == (
        "--images are photos without labels; leave --class-folders out, or name the data set with --data"
    )


def test_labels_only_needs_labels_of_the_same_classes(model, scenes, message):
    text = message(WssError, run, model, scenes, labels_only=True, images=scenes.root / "JPEGImages")
    assert "--labels-only: " in text or "no image-level labels" in text
    other = Data(split="train", class_names=("square", "disc", "moon"))
    assert message(WssError, run, model, scenes, labels_only=True, data=other) == (
        f"--labels-only: {scenes.root} has other classes than the net (4 and 4); give the net's with --class-names "
        "disc,square,moon,..."
    )


def test_a_classifier_is_no_segmentation_net(scenes, message):
    directory = store(scenes.out / "cls", CamNet.build("tiny", CLASSES))
    assert "holds a 'cam' net, a segmentation net is needed" in message(WssError, run, directory, scenes)
