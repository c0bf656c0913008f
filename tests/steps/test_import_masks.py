import json
import logging

import numpy as np
import pytest
from PIL import Image

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import voc_palette, write_mask
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.import_masks import import_masks

MASK = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
PETS = Data(class_names=("cat", "dog"))
COLOURS = {"background": [0, 0, 0], "cat": [1, 2, 3], "dog": [9, 9, 9], "unlabelled": [255, 255, 255]}


@pytest.fixture
def folder(tmp_path):
    """One indexed mask, `deep/a`."""
    write_mask(tmp_path / "masks" / "deep" / "a.png", MASK)
    return tmp_path / "masks"


def paint(path, colours):
    """MASK in colours: id -> RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([[colours[v] for v in row] for row in MASK.tolist()], np.uint8)).save(path)


def test_indexed_masks(folder, tmp_path):
    out = import_masks(folder, tmp_path / "out", data=PETS)
    opened, manifest = open_maskdir(out), read_manifest(out)
    assert opened.ids == ["deep/a"]
    np.testing.assert_array_equal(opened.mask("deep/a"), MASK)
    assert manifest.supervision == ("external-model:unknown",) and manifest.options == {"rgb": None}
    assert manifest.classes.names == ("background", "cat", "dog") and [i.role for i in manifest.inputs] == ["masks"]


def test_voc_colours(tmp_path):
    paint(tmp_path / "rgb" / "a.png", voc_palette())
    out = import_masks(tmp_path / "rgb", tmp_path / "out", rgb="voc")
    np.testing.assert_array_equal(open_maskdir(out).mask("a"), MASK)
    assert len(read_manifest(out).classes) == 21 and read_manifest(out).options == {"rgb": "voc"}


def test_a_colour_table_counts_by_its_content(tmp_path):
    table = tmp_path / "table.json"
    table.write_text(json.dumps(COLOURS))
    paint(tmp_path / "rgb" / "a.png", dict(zip((0, 1, 2, 255), COLOURS.values(), strict=True)))
    out = import_masks(tmp_path / "rgb", tmp_path / "out", rgb=str(table))
    np.testing.assert_array_equal(open_maskdir(out).mask("a"), MASK)
    manifest = read_manifest(out)
    assert manifest.options == {"rgb": "table"} and [i.role for i in manifest.inputs] == ["masks", "colours"]
    other = dict(zip(("background", "dog", "cat", "unlabelled"), COLOURS.values(), strict=True))
    table.write_text(json.dumps(other))
    with pytest.raises(WssError, match="was made with other options: the class table differs"):
        import_masks(tmp_path / "rgb", out, rgb=str(table))
    table.write_text(json.dumps(COLOURS | {"unlabelled": [254, 254, 254]}))
    with pytest.raises(WssError, match="was made with other options: its input 'colours' has changed"):
        import_masks(tmp_path / "rgb", out, rgb=str(table))


@pytest.mark.parametrize(
    ("colours", "told"),
    [
        ({"background": [0, 0, 300]}, "the colour of 'background' is [0, 0, 300]; give [red, green, blue] of 0..255"),
        (
            {"background": [0, 0, 0], "cat": [0, 0, 0]},
            "the colour [0, 0, 0] stands twice, the second time for 'cat'",
        ),
        (["cat"], 'a colour table is a JSON object {"background": [0, 0, 0], ...}'),
        ({"cat": [1, 2, 3]}, "class table: id 0 must be named 'background', not 'cat'"),
        ({"background": [0, 0, 0], "": [1, 2, 3]}, "class table: a class name is empty; give every class a name"),
    ],
)
def test_wrong_colour_tables(folder, tmp_path, colours, told):
    table = tmp_path / "table.json"
    table.write_text(json.dumps(colours))
    with pytest.raises(WssError) as caught:
        import_masks(folder, tmp_path / "out", rgb=str(table))
    assert str(caught.value) == f"{table}: {told}"


def test_a_colour_table_nested_too_deep(folder, tmp_path):
    (tmp_path / "table.json").write_text('{"a":' * 100_000)
    with pytest.raises(WssError) as caught:
        import_masks(folder, tmp_path / "out", rgb=str(tmp_path / "table.json"))
    assert str(caught.value).startswith(
        f"{tmp_path}/table.json: cannot be read as a JSON colour table (maximum recursion"
    )


def test_a_colour_that_the_table_lacks(tmp_path):
    paint(tmp_path / "rgb" / "a.png", {0: (0, 0, 0), 1: (1, 2, 3), 2: (7, 7, 7), 255: (0, 0, 0)})
    (tmp_path / "table.json").write_text(json.dumps(COLOURS))
    with pytest.raises(WssError) as caught:
        import_masks(tmp_path / "rgb", tmp_path / "out", rgb=str(tmp_path / "table.json"))
    assert str(caught.value) == (
        f"{tmp_path}/rgb/a.png: the colour [7, 7, 7] is not in the colour table; add it, or give another --rgb"
    )


def test_masks_of_other_splits_are_passed_over_and_said_so(scenes, tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    data = Data(scenes.root, split="val")
    out = import_masks(scenes.root / "SegmentationClass", tmp_path / "out", supervision=("masks:1",), data=data)
    assert open_maskdir(out).ids == ["d"] and read_manifest(out).supervision == ("masks:1",)
    assert "3 images are not in split val and are passed over" in caplog.text


def test_supervision(folder, tmp_path):
    out = import_masks(folder, tmp_path / "out", supervision=("none",), data=PETS)
    assert read_manifest(out).supervision == ()
    with pytest.raises(UsageError) as caught:
        import_masks(folder, tmp_path / "other", supervision=("boxes", "me"), data=PETS)
    assert str(caught.value) == (
        "--supervision me: give none, external-model:NAME, masks:N, boxes, image-labels, unlabelled-images or "
        "tuned-on-masks:SPLIT"
    )


def test_what_is_refused(folder, tmp_path, scenes):
    out = tmp_path / "out"
    with pytest.raises(WssError, match=r"nowhere: no such folder of masks; check the path$"):
        import_masks(tmp_path / "nowhere", out, data=PETS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WssError, match=r"empty: no PNG here; give the folder that the masks lie in$"):
        import_masks(tmp_path / "empty", out, data=PETS)
    with pytest.raises(UsageError, match=r"^no class table: give --data, or --class-names cat,dog,\.\.\."):
        import_masks(folder, out)
    with pytest.raises(WssError, match=r"a\.png: holds the class id 2, but the class table ends at 1 \(cat\)"):
        import_masks(folder, out, data=Data(class_names=("cat",)), run=Run(overwrite=True))
    with pytest.raises(WssError, match=r"masks: none of its 1 images is in split train of .*devkit; name the right"):
        import_masks(folder, out, data=Data(scenes.root, split="train"))
    table = tmp_path / "table.json"
    table.write_text(json.dumps(COLOURS))
    with pytest.raises(WssError, match=r"table\.json: its classes are not those of .*devkit; name the same classes"):
        import_masks(scenes.root / "SegmentationClass", out, rgb=str(table), data=Data(scenes.root, split="train"))
