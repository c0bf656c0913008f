"""`train-seg --arch dasnet` and `predict` with it: a few true masks and many boxes."""

import json

import numpy as np
import pytest

from wsscli.errors import UsageError, WssError
from wsscli.evaluate.instances import decode
from wsscli.maskdir.detections import read_boxes
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.nets.store import WEIGHTS, load_dasnet, load_detector
from wsscli.steps._attended import Finding, Look
from wsscli.steps._dasnet import InBoxes
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.detect import detect
from wsscli.steps.predict import predict
from wsscli.steps.train_det import train_det
from wsscli.steps.train_seg import train_seg

TRAIN = Data(split="train")
SHORT = Training(iterations=3, batch_size=2, device="cpu", bf16=False, log_every=1)


def write_boxes(scenes):
    """Each thing's own box, as VOC writes it."""
    from wsscli.data.dataset import open_dataset

    names = open_dataset(scenes.root, split="train").classes.names
    for name, truth in scenes.truth.items():
        objects = ""
        for c in sorted(set(np.unique(truth).tolist()) - {0}):
            rows, columns = np.flatnonzero((truth == c).any(1)), np.flatnonzero((truth == c).any(0))
            objects += (
                f"<object><name>{names[c]}</name><bndbox><xmin>{columns[0] + 1}</xmin><ymin>{rows[0] + 1}</ymin>"
                f"<xmax>{columns[-1] + 1}</xmax><ymax>{rows[-1] + 1}</ymax></bndbox></object>"
            )
        (scenes.root / f"Annotations/{name}.xml").write_text(f"<annotation>{objects}</annotation>")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A place for the one detector of all tests."""
    return {}, tmp_path_factory.mktemp("kept")


@pytest.fixture
def boxed(scenes, kept):
    write_boxes(scenes)
    memory, place = kept
    if "detector" not in memory:
        how = Training(iterations=2, batch_size=2, crop_size=129, device="cpu", bf16=False)
        memory["detector"] = train_det(
            place / "det",
            backbone="tiny",
            init="none",
            training=how,
            data=Data(scenes.root, "train"),
            run=Run(workers=1),
        )
    scenes.detector = memory["detector"]
    return scenes


def train(scenes, name="das", *, in_boxes=None, run=None, source=None, **options):
    return train_seg(
        source or scenes.root / "SegmentationClass", scenes.out / name, arch="dasnet",
        in_boxes=in_boxes or InBoxes(scenes.detector), data=Data(scenes.root, "train"), run=run or Run(workers=1),
        **{"training": SHORT, **options},
    )  # fmt: skip


def test_the_net_and_its_manifest(boxed):
    out = train(boxed, in_boxes=InBoxes(boxed.detector, instances=True))
    manifest = read_manifest(out)
    assert manifest.supervision == ("boxes", "masks:4") and manifest.images == 4
    assert [item.role for item in manifest.inputs] == ["masks", "detector"]
    wanted = {"arch": "dasnet", "masks_per_class": "all", "instances": True, "attention": "touched", "crop_size": 129}
    assert wanted.items() <= manifest.options.items() and "images" not in manifest.options
    net = load_dasnet(out)
    assert net.config == manifest.model and net.has_instances


def test_the_detector_is_in_the_model_and_as_it_was(boxed):
    net, detector = load_dasnet(train(boxed)), load_detector(boxed.detector)
    mine = net.detector.state_dict()
    assert all((mine[key] == value).all() for key, value in detector.state_dict().items())
    assert set(mine) == set(detector.state_dict())
    boxed.detector.rename(boxed.detector.with_name("away"))  # prediction needs the one directory
    try:
        predict(boxed.out / "das", boxed.out / "p", data=TRAIN, device="cpu", bf16=False, run=Run(workers=1))
    finally:
        boxed.detector.with_name("away").rename(boxed.detector)


def test_an_earlier_dasnet_brings_its_segmentation_and_not_its_detector(boxed, message):
    how = Training(iterations=1, batch_size=2, crop_size=129, device="cpu", bf16=False)
    other = train_det(
        boxed.out / "other", backbone="tiny", init="none", training=how, data=Data(boxed.root, "train"),
        run=Run(workers=1, seed=5),
    )  # fmt: skip
    earlier = train(boxed)
    still = Training(**{**vars(SHORT), "lr": 0.0, "weight_decay": 0.0})
    net = load_dasnet(train(boxed, "next", in_boxes=InBoxes(other), init=str(earlier), training=still))
    detector = load_detector(other).state_dict()
    assert all((value == detector[key]).all() for key, value in net.detector.state_dict().items())
    before = load_dasnet(earlier).segment.state_dict()
    after = net.segment.state_dict()
    assert all((after[key] == before[key]).all() for key in before if key.endswith(("weight", "bias")))
    text = message(WssError, train, boxed, "x", init=str(other))
    assert text == f"{other}: holds a 'ssd' net; pass what `wss train-seg --arch dasnet` wrote"


def test_joint_training_moves_the_detector_and_looks_at_all_photos(boxed, message, monkeypatch):
    from wsscli.train import detection

    looked = set()
    real = detection.BoxSamples.__call__

    def seen(self, epoch, index):
        looked.add(self.ids[index])
        return real(self, epoch, index)

    monkeypatch.setattr(detection.BoxSamples, "__call__", seen)
    how = InBoxes(boxed.detector, joint=True, instances=True)
    out = train(boxed, in_boxes=how, masks_per_class="1")
    assert looked == {"a", "b", "c", "d"}  # two have masks
    manifest = read_manifest(out)
    assert manifest.images == 2 and manifest.supervision == ("boxes", "masks:2")
    wanted = {"joint": True, "photos": 4, "lr": 1e-4, "head_lr": 10.0}
    assert wanted.items() <= manifest.options.items()
    mine, detector = load_dasnet(out).detector.state_dict(), load_detector(boxed.detector).state_dict()
    assert any((mine[key] != value).any() for key, value in detector.items() if key.startswith("parts."))
    first = tuple(key for key in detector if key.startswith("backbone.") and "running" not in key)
    assert any((mine[key] != detector[key]).any() for key in first)
    # its own detector finds boxes, beside masks and instances from one model
    found = detect(
        out, boxed.out / "found", segment=out, instances=True, most=2, device="cpu", bf16=False, data=TRAIN,
        run=Run(workers=1),
    )  # fmt: skip
    assert read_manifest(found).supervision == ("boxes", "masks:2") and (found / "instances.json").exists()
    text = message(UsageError, train, boxed, "x", in_boxes=how, training=Training(freeze=3, device="cpu"))
    assert text == "--freeze 3: backbone tiny has 0 stages that can be frozen"
    text = message(UsageError, train, boxed, "x", training=Training(freeze=3, device="cpu"))
    assert text == "--freeze: --arch dasnet does not take it; leave it out"


def test_a_killed_joint_training_ends_with_the_same_bytes(boxed, monkeypatch):
    from wsscli.train import loop

    how = {"in_boxes": InBoxes(boxed.detector, joint=True)}
    often = Training(**{**vars(SHORT), "checkpoint_seconds": 0.0})
    whole = train(boxed, training=often, **how)
    real = loop.save_checkpoint

    def killed(*args):
        real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(boxed, "again", training=often, **how)
    monkeypatch.setattr(loop, "save_checkpoint", real)
    again = train(boxed, "again", training=often, **how)
    assert (again / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_true_boxes_of_a_list(boxed, message):
    model = train(boxed)
    how = {"data": TRAIN, "device": "cpu", "bf16": False, "run": Run(workers=1)}
    listed = boxed.out.parent / "boxes.txt"
    listed.write_text("".join(f"{name}.png\n" for name in boxed.truth))
    out = predict(model, boxed.out / "p", finding=Finding(true_boxes=True, boxes=listed), **how)
    assert not any(open_maskdir(out).mask(name).any() for name in boxed.truth)
    assert [item.role for item in read_manifest(out).inputs] == ["model", "boxes"]
    text = message(UsageError, predict, model, boxed.out / "q", finding=Finding(boxes=listed), **how)
    assert text == "--boxes: are taken with --true-boxes only; add that, or leave --boxes out"
    photos = boxed.root / "JPEGImages"
    text = message(
        WssError, predict, model, boxed.out / "q", images=photos, finding=Finding(true_boxes=True), device="cpu",
        run=Run(workers=1),
    )  # fmt: skip
    assert text == f"{photos}: photos alone have no true boxes; name a data set with --data, or leave --true-boxes out"


def test_a_few_masks_are_drawn_listed_and_counted(boxed):
    out = train(boxed, masks_per_class="1")
    manifest = read_manifest(out)
    drawn = manifest.options["images"]
    assert len(drawn) == 2 and manifest.images == 2 and manifest.supervision == ("boxes", "masks:2")
    # the same draw for a net without boxes
    plain = train_seg(
        boxed.root / "SegmentationClass", boxed.out / "plain", backbone="tiny", init="none", masks_per_class="1",
        training=Training(iterations=1, batch_size=2, crop_size=33, device="cpu", bf16=False),
        data=Data(boxed.root, "train"), run=Run(workers=1),
    )  # fmt: skip
    plain = read_manifest(plain)
    assert plain.options["images"] == drawn and plain.supervision == ("masks:2",)
    other = [read_manifest(train(boxed, f"s{k}", masks_per_class="1", run=Run(workers=1, seed=k))) for k in (1, 2, 3)]
    assert len({tuple(m.options["images"]) for m in (manifest, *other)}) > 1


def test_a_mask_directory_of_truth_is_recounted(boxed):
    masks = boxed.masks("truth", lambda name: boxed.truth[name], supervision=["masks:4"])
    manifest = read_manifest(train(boxed, source=masks, masks_per_class="1"))
    assert manifest.supervision == ("boxes", "masks:2")


def test_killed_and_run_again_it_ends_with_the_same_bytes(boxed, monkeypatch):
    whole = train(boxed, in_boxes=InBoxes(boxed.detector, instances=True, box_jitter=0.1))
    how = {"in_boxes": InBoxes(boxed.detector, instances=True, box_jitter=0.1)}
    from wsscli.train import loop

    real, calls = loop.save_checkpoint, []

    def killed(*args):
        real(*args)
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    often = Training(**{**vars(SHORT), "checkpoint_seconds": 0.0})
    with pytest.raises(KeyboardInterrupt):
        train(boxed, "again", training=often, **how)
    monkeypatch.setattr(loop, "save_checkpoint", real)
    again = train(boxed, "again", training=often, **how)
    assert calls and (again / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_masks_from_true_boxes(boxed):
    """Trained for a while, discs and squares are cut out of their boxes, and nothing is found outside them."""
    long = Training(iterations=40, batch_size=4, lr=3e-3, device="cpu", bf16=False, jitter=0.0)
    model = train(boxed, training=long)
    out = predict(
        model, boxed.out / "p", scores=True, data=TRAIN, device="cpu", bf16=False, finding=Finding(true_boxes=True),
        run=Run(workers=1),
    )  # fmt: skip
    found = open_maskdir(out)
    assert found.manifest.supervision == ("boxes", "masks:4") and found.manifest.options["true_boxes"] is True
    hits = total = 0
    for name, truth in boxed.truth.items():
        mask, item = found.mask(name), found.scores(name)
        assert set(np.unique(mask).tolist()) <= set(np.unique(truth).tolist())
        np.testing.assert_allclose(item.scores.sum(0), 1, atol=2e-3)
        for c in set(np.unique(truth).tolist()) - {0}:
            rows, columns = np.flatnonzero((truth == c).any(1)), np.flatnonzero((truth == c).any(0))
            outside = mask.copy()
            outside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 0
            assert (outside == c).sum() <= 0.1 * (truth == c).sum()  # half a pixel of the resampling
        hits, total = hits + ((mask == truth) & (truth > 0)).sum(), total + ((mask > 0) | (truth > 0)).sum()
    assert hits / total > 0.7


def test_a_class_wins_where_its_own_probability_exceeds_a_half(boxed):
    look = Look(load_dasnet(train(boxed)), np.zeros((20, 30, 3), np.uint8), bf16=False, device="cpu")
    boxes = np.array([[0.1, 0.1, 0.6, 0.9], [0.4, 0.2, 0.9, 0.8]], np.float32)
    found = look.classes(boxes, np.array([2, 1]))
    assert found.classes.tolist() == [0, 1, 2] and found.size == (20, 30)
    import torch

    from wsscli.nets.dasnet import foreground

    with torch.inference_mode():
        own = [
            foreground(
                look.net.of_class(look.maps, torch.tensor(box)[None, None]).logits, torch.tensor(box)[None, None]
            )
            for box in (boxes[1], boxes[0])
        ]
    own = torch.cat(own).numpy()  # classes 1, 2
    expected = np.where(own.max(0) > 0.5, 1 + own.argmax(0), 0)
    sure = (np.abs(own - 0.5).min(0) > 2e-3) & (np.abs(own[0] - own[1]) > 2e-3)  # float16 makes them equal
    np.testing.assert_array_equal(found.scores.argmax(0)[sure], expected[sure])
    assert look.classes(boxes[:0], np.zeros(0, np.int64)).scores.tolist() == np.ones((1, 129, 129)).tolist()


def test_instances_lie_in_their_boxes(boxed):
    net = load_dasnet(train(boxed, in_boxes=InBoxes(boxed.detector, instances=True)))
    look = Look(net, np.zeros((40, 60, 3), np.uint8), bf16=False, device="cpu")
    boxes = np.tile(np.array([[0.25, 0.25, 0.5, 0.75]], np.float32), (18, 1))  # more than a batch
    masks = look.instances(boxes)
    assert len(masks) == 18 and all(mask.shape == (40, 60) for mask in masks)
    for mask in masks:
        assert not mask[:10].any() and not mask[30:].any() and not mask[:, :15].any() and not mask[:, 30:].any()
        np.testing.assert_array_equal(mask, masks[0])
    assert look.instances(boxes[:0]) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"backbone": "vgg16"}, "--backbone: --arch dasnet does not take it; leave it out"),
        ({"foreground": True}, "--foreground: --arch dasnet does not take it; leave it out"),
        ({"masks_per_class": "0"}, "--masks-per-class 0: give a number from 1 on, or all"),
        ({"masks_per_class": "few"}, "--masks-per-class few: give a number from 1 on, or all"),
        (
            {"in_boxes": InBoxes()},
            "--arch dasnet looks at a detector's features: name one with --detector (`wss train-det`)",
        ),
        ({"training": Training(dropout=0.1)}, "--dropout: --arch dasnet does not take it; leave it out"),
        ({"training": Training(crop_size=65)}, "--crop-size 65: the detector's square has 129 pixels; leave it out"),
    ],
)
def test_options_that_are_not_taken(boxed, message, options, text):
    assert message(UsageError, train, boxed, **options) == text


def test_other_options_that_are_not_taken(boxed, message):
    text = message(UsageError, train, boxed, in_boxes=InBoxes(boxed.detector, box_jitter=0.7))
    assert text == "--box-jitter 0.7: give 0 to 0.5"
    (boxed.out / "w.pth").write_bytes(b"")
    text = message(UsageError, train, boxed, init=str(boxed.out / "w.pth"))
    assert text == (f"--init {boxed.out}/w.pth: a dasnet starts from nothing, or from an earlier dasnet's directory")
    text = message(
        UsageError, train_seg, boxed.root / "SegmentationClass", boxed.out / "x", in_boxes=InBoxes(boxed.detector),
        data=Data(boxed.root, "train"),
    )  # fmt: skip
    assert text == "--detector: only --arch dasnet takes it; leave it out"


def test_images_without_any_box(boxed, message):
    for name in boxed.truth:
        (boxed.root / f"Annotations/{name}.xml").write_text("<annotation></annotation>")
    assert message(WssError, train, boxed) == (f"{boxed.root}: no box in any of the 4 images; nothing to learn from")


def test_options_of_predicting(boxed, message):
    model = train(boxed)
    text = message(UsageError, predict, model, boxed.out / "p", data=TRAIN, flip=True)
    assert text == "--flip: a dasnet does not take it; leave it out"
    text = message(UsageError, predict, model, boxed.out / "p", data=TRAIN, finding=Finding(box_threshold=2))
    assert text == "--box-threshold 2: give 0 to 1"
    plain = train_seg(
        boxed.root / "SegmentationClass", boxed.out / "plain", backbone="tiny", init="none",
        training=Training(iterations=1, batch_size=2, crop_size=33, device="cpu", bf16=False),
        data=Data(boxed.root, "train"), run=Run(workers=1),
    )  # fmt: skip
    text = message(UsageError, predict, plain, boxed.out / "p", data=TRAIN, finding=Finding(true_boxes=True))
    assert text == "--true-boxes: only a dasnet takes it; leave it out"


def test_detected_boxes_do_for_photos_without_a_data_set(boxed):
    model = train(boxed)
    out = predict(
        model, boxed.out / "p", images=boxed.root / "JPEGImages", device="cpu", bf16=False, run=Run(workers=2),
        finding=Finding(box_threshold=0.0),
    )  # fmt: skip
    found = open_maskdir(out)
    assert found.ids == ["a", "b", "c", "d"] and found.manifest.supervision == ("boxes", "masks:4")
    assert json.loads((out / "wss.json").read_text())["options"]["box_threshold"] == 0.0


def found(scenes, segment, name="found", **options):
    values = {"threshold": 0.05, "most": 5, "device": "cpu", "bf16": False, "data": TRAIN, "run": Run(workers=1)}
    return detect(scenes.detector, scenes.out / name, segment=segment, **{**values, **options})


def test_detect_with_masks_and_instances(boxed):
    segment = train(boxed, in_boxes=InBoxes(boxed.detector, instances=True))
    out = found(boxed, segment, instances=True, segment_threshold=0.05)
    manifest = read_manifest(out)
    assert manifest.kind == "masks+detections" and manifest.supervision == ("boxes", "masks:4")
    assert [item.role for item in manifest.inputs] == ["model", "segment"] and manifest.options["instances"] is True
    boxes, entries = read_boxes(out / "boxes.json"), json.loads((out / "instances.json").read_text())
    assert sum(map(len, (item.labels for item in boxes.values()))) == len(entries) > 0
    masks = open_maskdir(out)
    for name, there in boxes.items():
        mine = [entry for entry in entries if entry["image_id"] == name]
        assert [entry["category_id"] for entry in mine] == there.labels.tolist()
        assert [entry["score"] for entry in mine] == there.scores.tolist()
        for (x0, y0, x1, y1), entry in zip(there.boxes, mine, strict=True):
            mask = decode({**entry["segmentation"], "counts": entry["segmentation"]["counts"].encode()})
            assert mask.shape == boxed.truth[name].shape
            rows, columns = np.nonzero(mask)
            assert (rows >= y0 - 1).all() and (rows < y1 + 1).all()
            assert (columns >= x0 - 1).all() and (columns < x1 + 1).all()
        assert set(np.unique(masks.mask(name)).tolist()) <= {0, *there.labels.tolist()}


def test_masks_come_from_sure_boxes_only(boxed):
    segment = train(boxed)
    out = found(boxed, segment, segment_threshold=1.0)
    assert not any(open_maskdir(out).mask(name).any() for name in boxed.truth) and not (out / "instances.json").exists()
    plain = found(boxed, None, "plain")
    assert (plain / "boxes.json").read_bytes() == (out / "boxes.json").read_bytes()
    assert read_manifest(plain).kind == "detections" and "instances" not in read_manifest(plain).options


def test_what_detect_refuses(boxed, message):
    text = message(UsageError, found, boxed, None, instances=True)
    assert text == "--instances: needs a net that segments within boxes; add --segment MODEL"
    text = message(UsageError, found, boxed, None, segment_threshold=0.5)
    assert text == "--segment-threshold: needs a net that segments within boxes; add --segment MODEL"
    text = message(UsageError, found, boxed, boxed.detector, segment_threshold=1.5)
    assert text == "--segment-threshold 1.5: give 0 to 1"
    text = message(WssError, found, boxed, boxed.detector)
    assert text == f"{boxed.detector}: holds a 'ssd' net; pass what `wss train-seg --arch dasnet` wrote"
    segment = train(boxed)
    text = message(WssError, found, boxed, segment, instances=True)
    assert text == f"{segment}: has not learnt instances; train it with `wss train-seg --arch dasnet --instances`"
