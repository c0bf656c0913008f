"""`wss make-seeds` on the tiny net and on the embedded ImageNet classifier."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import DataRef, Manifest, read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.nets.classifier import CamNet
from wsscli.nets.segmenter import DeepLab
from wsscli.nets.store import save_model
from wsscli.saliency.rbd import saliency as rbd
from wsscli.seeds.hard import hard_seeds
from wsscli.steps._classifier import VOC_MAP
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.make_seeds import make_seeds
from wsscli.steps.saliency import saliency

VOC = """aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
sheep sofa train tvmonitor"""


def model(scenes, name="cls", *, names=("disc", "square", "moon"), recipe="modern", net=None, **changes) -> Path:
    """A model directory with random weights, as train-cls would leave it."""
    torch.manual_seed(0)
    classes = ClassTable.of(names)
    net = net or CamNet.build("tiny", classes)
    directory = scenes.out / name
    directory.mkdir()
    save_model(directory, net)
    values = {
        "kind": "model", "step": "train-cls", "options": {"recipe": recipe}, "classes": classes, "split": "train",
        "data": DataRef(str(scenes.root), "voc"), "supervision": ("image-labels",), "model": net.config,
        "complete": True, "content": "x", **changes,
    }  # fmt: skip
    write_manifest(directory, Manifest(**values))
    return directory


def seeds(scenes, source=None, name="seeds", **options) -> Path:
    values = {"data": Data(scenes.root, split="train"), "run": Run(workers=2), "device": "cpu", **options}
    return make_seeds(scenes.out / name, model=source or model(scenes), **values)


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.suffix in (".png", ".npz")}


def test_heatmaps_and_seeds_of_the_images_own_classes(scenes):
    found = open_maskdir(seeds(scenes, data=Data()), need="scores")  # the data set comes with the model
    manifest = found.manifest
    assert (manifest.kind, manifest.score_type, manifest.split) == ("masks+scores", "cam", "train")
    assert manifest.supervision == ("image-labels",)
    assert [(i.role, Path(i.path).name) for i in manifest.inputs] == [("model", "cls")]
    assert manifest.options == {
        "method": "cam", "cam": "cam", "model": "trained", "scales": [0.5, 1.0, 1.5], "flip": True,
        "output_stride": 16, "fg_rule": "max-fraction", "fg_threshold": 0.65, "bg_threshold": 0.06, "bg_heat": 0.2,
        "saliency": "rbd", "bf16": False, "device": "cpu",
    }  # fmt: skip
    for name, classes in {"a": [1], "b": [2], "c": [1, 2], "d": [1, 2]}.items():
        scores, mask = found.scores(name), found.mask(name)
        size = scenes.truth[name].shape
        assert scores.classes.tolist() == classes and scores.size == size == mask.shape
        assert scores.scores.min() >= 0
        assert set(np.unique(mask)) <= {0, 255, *classes}
        photo = np.array(Image.open(scenes.root / f"JPEGImages/{name}.jpg"))
        wanted = hard_seeds(scores.scores, classes, size, rbd(photo), fg_threshold=0.65, bg_heat=0.2)
        np.testing.assert_array_equal(mask, wanted)


def test_bytes_do_not_depend_on_workers_and_stored_saliency_is_as_good_as_computed(scenes):
    source = model(scenes)
    one = seeds(scenes, source, "one", run=Run(workers=1))
    many = seeds(scenes, source, "many", run=Run(workers=3))
    assert files(one) == files(many) and len(files(one)) == 8
    assert read_manifest(one).digest() == read_manifest(many).digest()
    stored = saliency(scenes.out / "sal", data=Data(scenes.root, split="train"))
    given = seeds(scenes, source, "given", saliency=stored)
    assert files(given) == files(one)
    assert [i.role for i in read_manifest(given).inputs] == ["model", "saliency"]
    assert read_manifest(given).supervision == ("image-labels",)


def test_grad_cam_gives_nearly_the_seeds_of_cam_and_the_other_forms_run(scenes):
    source = model(scenes)
    forms = {
        form: seeds(scenes, source, form, cam=form, scales=(1.0,), flip=False, bg_heat=1.0)
        for form in ("cam", "grad-cam", "grad-cam++", "layer-cam")
    }
    assert {read_manifest(out).options["cam"] for out in forms.values()} == set(forms)
    for name in scenes.ids:
        # Grad-CAM is rectified before it is brought to the grid, CAM behind it: they differ at the rims.
        plain = open_maskdir(forms["cam"]).mask(name)
        same = float((plain == open_maskdir(forms["grad-cam"]).mask(name)).mean())
        assert same > 0.85


def test_defaults_come_from_the_models_recipe_and_options_override_them(scenes):
    source = model(scenes, recipe="dsrg")
    first = read_manifest(seeds(scenes, source, "first")).options
    assert (first["scales"], first["flip"], first["output_stride"], first["fg_threshold"]) == ([1.0], False, 8, 0.2)
    second = read_manifest(
        seeds(scenes, source, "second", scales=(2, 1), flip=True, output_stride=4, fg_rule="quantile", fg_threshold=0.1)
    ).options
    assert (second["scales"], second["flip"], second["output_stride"]) == ([1, 2], True, 4)
    assert (second["fg_rule"], second["fg_threshold"]) == ("quantile", 0.1)


def test_seeds_of_another_split_than_the_models(scenes):
    out = seeds(scenes, data=Data(scenes.root, split="val"))
    assert read_manifest(out).split == "val" and open_maskdir(out).ids == ["d"]


def test_a_photo_of_one_pixel_and_an_image_without_any_class(scenes):
    Image.new("RGB", (1, 1), (200, 10, 10)).save(scenes.root / "JPEGImages/dot.png")
    Image.new("RGB", (9, 5), (20, 210, 10)).save(scenes.root / "JPEGImages/none.png")
    (scenes.root / "Annotations/dot.xml").write_text("<annotation><object><name>disc</name></object></annotation>")
    (scenes.root / "Annotations/none.xml").write_text("<annotation></annotation>")
    for name in ("dot", "none"):  # VOC reads JPEGs
        Image.open(scenes.root / f"JPEGImages/{name}.png").save(scenes.root / f"JPEGImages/{name}.jpg")
        (scenes.root / f"JPEGImages/{name}.png").unlink()
    (scenes.root / "ImageSets/Segmentation/train.txt").write_text("a\ndot\nnone\n")
    found = open_maskdir(seeds(scenes))
    assert found.mask("dot").shape == (1, 1) and found.mask("dot")[0, 0] in (0, 1)
    assert found.scores("dot").scores.shape == (1, 1, 1)
    assert found.mask("none").tolist() == [[0] * 9] * 5
    assert len(found.scores("none").scores) == 0


def test_options_out_of_range(scenes, message):
    source = model(scenes)
    for options, text in [
        ({"fg_threshold": 0.0}, "--fg-threshold 0: give a number above 0 and at most 1"),
        ({"bg_threshold": 2.0}, "--bg-threshold 2: give a number from 0 to 1"),
        (
            {"class_map": VOC_MAP},
            f"--class-map {VOC_MAP}: only --model imagenet takes it; {source} has classes of its own",
        ),
        ({"output_stride": 5}, "backbone tiny: output stride 5 is not possible; take one of 4, 8, 16"),
    ]:
        assert message(UsageError, seeds, scenes, source, **options) == text
    text = message(WssError, seeds, scenes, source, scales=(0.01,))
    assert text == "scales: 0.01; give one or more factors of the image's size from 0.05 to 8"
    assert not (scenes.out / "seeds").exists()

    assert message(UsageError, seeds, scenes, source, bg_heat=0.0) == "--bg-heat 0: give a number above 0 and at most 1"
    neither = "give one of --model and --cams: where the heatmaps come from"
    assert message(UsageError, make_seeds, scenes.out / "x", data=Data(scenes.root, split="train")) == neither
    assert message(UsageError, seeds, scenes, source, cams=scenes.cams("cams")) == neither


def test_other_seeds_from_stored_heatmaps(scenes, message):
    first = seeds(scenes)
    same = make_seeds(scenes.out / "same", cams=first)
    assert {name: (same / "masks" / f"{name}.png").read_bytes() for name in scenes.ids} == {
        name: (first / "masks" / f"{name}.png").read_bytes() for name in scenes.ids
    }
    manifest = read_manifest(same)
    assert (manifest.kind, manifest.score_type, manifest.split) == ("masks", None, "train")
    assert manifest.supervision == ("image-labels",) and not (same / "scores").exists()
    assert [(i.role, i.path) for i in manifest.inputs] == [("cams", str(first))]
    assert manifest.options == {
        "method": "cam", "fg_rule": "max-fraction", "fg_threshold": 0.65, "bg_threshold": 0.06, "bg_heat": 0.2,
        "saliency": "rbd",
    }  # fmt: skip
    more = open_maskdir(make_seeds(scenes.out / "more", cams=first, fg_threshold=0.3))
    for name in scenes.ids:
        strict, loose = open_maskdir(same).mask(name), more.mask(name)
        assert ((loose > 0) & (loose < 255)).sum() > ((strict > 0) & (strict < 255)).sum()
    assert message(UsageError, make_seeds, scenes.out / "y", cams=first, scales=(1.0,)) == (
        f"--scales: {first} holds the heatmaps already; leave it out, or make them anew with --model"
    )
    probabilities = scenes.probabilities("probabilities")
    assert message(UsageError, make_seeds, scenes.out / "y", cams=first, device="cuda") == (
        f"--device: {first} holds the heatmaps already; leave it out, or make them anew with --model"
    )
    Image.new("RGB", (30, 20)).save(scenes.root / "JPEGImages" / "a.jpg")
    assert message(WssError, make_seeds, scenes.out / "z", cams=first) == (
        f"{first / 'scores' / 'a.npz'}: is 40 x 52 (height x width), but {scenes.root / 'JPEGImages' / 'a.jpg'} is "
        "20 x 30; both must be of the photo's size"
    )
    assert message(WssError, make_seeds, scenes.out / "y", cams=probabilities) == (
        f"{probabilities}: holds probability scores; --cams reads cam scores (of make-seeds or `wss import cam-npy`)"
    )


def test_models_of_the_wrong_sort(scenes, message):
    classes = ClassTable.of(["disc", "square", "moon"])
    wrong = model(scenes, "seg", net=DeepLab.build("tiny", classes, arch="deeplab"))
    assert message(WssError, seeds, scenes, wrong) == (
        f"{wrong}: holds a 'deeplab' net, a classifier is needed; pass what train-cls wrote"
    )
    nothing = scenes.out / "nothing"
    assert message(WssError, seeds, scenes, nothing) == (
        f"{nothing}: not a model directory (no wss.json); pass what train-cls or train-seg wrote"
    )


def test_a_class_that_the_model_has_never_seen(scenes, message):
    source = model(scenes, names=("moon", "disc"))  # another order is fine, a missing class is not
    text = message(WssError, seeds, scenes, source, data=Data(scenes.root, split="val"))
    assert text == (
        f"{source}: does not know the class 'square', which 1 images hold (the first is 'd'); train it with that "
        "class, or leave the images out with --ids"
    )
    (scenes.out / "ids.txt").write_text("a\n")
    both = model(scenes, "both")
    run = Run(ids=scenes.out / "ids.txt")
    named = {"data": Data(scenes.root, split="train", class_names=("disc", "square", "moon")), "run": run}
    swapped, plain = seeds(scenes, source, "swapped", **named), seeds(scenes, both, "plain", **named)
    assert open_maskdir(swapped).scores("a").classes.tolist() == open_maskdir(plain).scores("a").classes.tolist() == [1]


def test_images_without_labels(scenes, message):
    (scenes.root / "Annotations/b.xml").unlink()
    text = message(WssError, seeds, scenes)
    assert "no image-level labels for 1 of 4 images" in text and "b" in text


def test_a_model_that_has_diverged(scenes, message):
    net = CamNet.build("tiny", ClassTable.of(["disc", "square", "moon"]))
    torch.nn.init.constant_(net.classifier.weight, float("nan"))
    source = model(scenes, net=net)
    assert message(WssError, seeds, scenes, source, run=Run(limit=1)) == (
        "the heatmaps of 'a' hold NaN or infinity; the model has diverged, train it again"
    )


# saliency from elsewhere


def pictures(scenes, name="sal", **changes) -> Path:
    folder = scenes.out / name
    folder.mkdir()
    for image, truth in scenes.truth.items():
        Image.fromarray(np.where(truth > 0, 200, 4).astype(np.uint8)).save(folder / f"{image}.png")
    return folder


def test_grey_pictures_are_normalised_and_stand_in_the_ledger(scenes):
    source, folder = model(scenes), pictures(scenes)
    out = seeds(scenes, source, saliency=folder, bg_heat=1.0)
    assert read_manifest(out).supervision == ("external-model:sal", "image-labels")
    assert read_manifest(out).options["saliency"] == "pictures"
    for name, truth in scenes.truth.items():
        mask = open_maskdir(out).mask(name)
        assert ((mask == 0) == ((truth == 0) & ((mask == 0) | (mask == 255)))).all()  # 4/200 < 0.06 <= 200/200
    assert read_manifest(seeds(scenes, source, "b", saliency=folder, saliency_supervision="none")).supervision == (
        "image-labels",
    )
    named = seeds(scenes, source, "c", saliency=folder, saliency_supervision="masks:10553")
    assert read_manifest(named).supervision == ("image-labels", "masks:10553")


def test_saliency_that_does_not_fit(scenes, message):
    source, folder = model(scenes), pictures(scenes)
    (folder / "c.png").unlink()
    assert message(WssError, seeds, scenes, source, saliency=folder) == (
        f"{folder}: no saliency map for 1 of 4 images, the first is 'c'; make them with `wss saliency`, or leave the "
        "images out with --ids"
    )
    Image.new("L", (7, 8)).save(folder / "c.png")
    assert message(WssError, seeds, scenes, source, saliency=folder) == (
        f"{folder}/c.png: 7 x 8 pixels, but the photo has 54 x 40; make the saliency from the photo itself"
    )
    Image.new("RGB", (54, 40), (1, 2, 3)).save(folder / "c.png")
    assert message(WssError, seeds, scenes, source, name="d", saliency=folder) == (
        f"{folder}/c.png: a colour picture, but saliency is grey (black = 0, white = 1)"
    )
    cams = scenes.cams("cams")
    assert message(WssError, seeds, scenes, source, saliency=cams) == (
        f"{cams}: holds cam (written by `wss predict`), not saliency"
    )


def test_the_ledger_entry_must_be_one_and_be_needed(scenes, message):
    source = model(scenes)
    assert message(UsageError, seeds, scenes, source, saliency=pictures(scenes), saliency_supervision="u2net") == (
        "--saliency-supervision u2net: give none, external-model:NAME, masks:N, boxes, image-labels, unlabelled-images "
        "or tuned-on-masks:SPLIT"
    )
    assert message(UsageError, seeds, scenes, source, saliency_supervision="none") == (
        "--saliency-supervision is about the pictures of --saliency; give both, or neither"
    )
    stored = saliency(scenes.out / "stored", data=Data(scenes.root, split="train"))
    assert message(UsageError, seeds, scenes, source, saliency=stored, saliency_supervision="none") == (
        f"--saliency-supervision none: the manifest of {stored} says it already; leave it out"
    )


# the embedded ImageNet classifier


def class_map(scenes, content) -> Path:
    path = scenes.out / "map.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_imagenet_classes_stand_for_the_data_sets_and_a_class_without_one_is_reported(scenes, caplog):
    caplog.set_level("WARNING", "wsscli")
    out = seeds(scenes, Path("imagenet"), class_map=class_map(scenes, {"disc": [852, 430], "square": []}))
    manifest, found = read_manifest(out), open_maskdir(out)
    assert manifest.options["model"] == "imagenet" and manifest.supervision == ("image-labels",)
    assert [(i.role, Path(i.path).name) for i in manifest.inputs] == [("class-map", "map.json")]
    reason = "no ImageNet counterpart, so no seeds: square"
    assert manifest.fell_back == tuple({"id": name, "reason": reason} for name in "bcd")
    assert found.scores("c").classes.tolist() == [1] and found.scores("b").classes.tolist() == []
    assert set(np.unique(found.mask("b"))) <= {0, 255}
    assert "no ImageNet counterpart, so no seeds, for square, moon; images that hold one are listed" in caplog.text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"disk": [1]}, "{}: the data set has no class 'disk'; did you mean disc?"),
        ({"xyz": [1]}, "{}: the data set has no class 'xyz'; it has disc, square, moon"),
        ({"disc": [1000]}, "{}: ImageNet index 1000 is out of range; the indices are 0 to 999"),
        ({"disc": [-1]}, "{}: ImageNet index -1 is out of range; the indices are 0 to 999"),
        (
            {"disc": 7},
            '{}: the entry of \'disc\' is 7; a class map is a JSON object like {{"cat": [281, 282], "person": []}}',
        ),
        (
            {"disc": ["ball"]},
            "{}: the entry of 'disc' is [\"ball\"]; a class map is a JSON object like "
            '{{"cat": [281, 282], "person": []}}',
        ),
        ([1], '{}: a class map is a JSON object like {{"cat": [281, 282], "person": []}}'),
        ("{", "{}: not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ({"disc": []}, "{}: no class of the data set has an ImageNet counterpart there; map at least one"),
    ],
)
def test_class_maps_that_are_wrong(scenes, message, content, text):
    path = class_map(scenes, content)
    assert message(WssError, seeds, scenes, Path("imagenet"), class_map=path) == text.format(path)


def test_a_class_map_nested_too_deep(scenes, message):
    path = class_map(scenes, "[" * 100_000)
    text = message(WssError, seeds, scenes, Path("imagenet"), class_map=path)
    assert text.startswith(f"{path}: not JSON (maximum recursion depth exceeded")


def test_a_class_map_that_is_not_there_or_that_voc_cannot_stand_in_for(scenes, message):
    path = scenes.out / "nowhere.json"
    assert message(WssError, seeds, scenes, Path("imagenet"), class_map=path) == (
        f"{path}: cannot be read (No such file or directory)"
    )
    assert message(UsageError, seeds, scenes, Path("imagenet")) == (
        "--model imagenet: 'disc' is none of VOC's classes, for which a map comes with wss; say which ImageNet classes "
        "stand for each class with --class-map FILE"
    )


def test_the_shipped_map_has_vocs_classes_each_index_once_and_no_person(scenes):
    shipped = json.loads(VOC_MAP.read_text())
    assert list(shipped) == VOC.split()
    indices = [index for group in shipped.values() for index in group]
    assert len(indices) == len(set(indices)) and min(indices) >= 0 and max(indices) <= 999
    assert [name for name, group in shipped.items() if not group] == ["person"]
    assert (shipped["dog"][0], shipped["dog"][-1], len(shipped["dog"])) == (151, 268, 118)


def test_the_shipped_map_serves_a_part_of_vocs_classes(scenes):
    (scenes.root / "classes.txt").write_text("cat\nperson\n")
    for name in scenes.ids:
        (scenes.root / f"Annotations/{name}.xml").write_text(
            "<annotation><object><name>cat</name></object><object><name>person</name></object></annotation>"
        )
    shutil.rmtree(scenes.root / "SegmentationClass")
    out = seeds(scenes, Path("imagenet"), run=Run(limit=1))
    assert open_maskdir(out).scores("a").classes.tolist() == [1]
    assert read_manifest(out).fell_back == ({"id": "a", "reason": "no ImageNet counterpart, so no seeds: person"},)
