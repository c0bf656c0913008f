"""`wss show`: the right pictures in the right order, and nobody's files replaced."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.data.voc import VOC_NAMES
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import DataRef
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores
from wsscli.maskdir.writer import Output
from wsscli.steps import show as module
from wsscli.steps._data import Data
from wsscli.steps._pictures import image_iou
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.show import show

IDS = ["a", "b", "c"]
SIZE = (24, 40)
VOC = ClassTable.of(VOC_NAMES)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A devkit of three grey photos, 40 pixels wide and 24 high; a cat fills the left half."""
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    truth = np.zeros(SIZE, np.uint8)
    truth[:, :20] = 8
    for name in IDS:
        Image.fromarray(np.full((*SIZE, 3), 99, np.uint8)).save(root / f"JPEGImages/{name}.jpg")
        write_mask(root / f"SegmentationClass/{name}.png", truth)
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(IDS) + "\n")
    return root


def mask_of(name: str) -> Output:
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :10], mask[:, 10:20] = 8, 255
    return Output(mask=mask)


def scores_of(name: str) -> Output:
    maps = np.linspace(0, 1, 5 * 3 * 5, dtype=np.float32).reshape(5, 3, 5)
    return Output(scores=Scores(maps, np.array([0, 3, 8, 12, 15]), SIZE))


def make(voc: Path, out: str, work=mask_of, ids=IDS, *, kind="masks", score_type=None, classes=VOC) -> Path:
    plan = Plan(
        "crf", voc.parent / out, kind, {"iterations": 10}, classes, DataRef(str(voc), "voc"), "train",
        supervision=["image-labels"], score_type=score_type,
    )  # fmt: skip
    return per_image(plan, Run(workers=1), ids, work)


@pytest.fixture
def masks(voc: Path) -> Path:
    return make(voc, "masks")


def captions(page: Path) -> list[str]:
    """The captions of a page's pictures, with their notes."""
    found = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text(encoding="utf-8"))
    return [re.sub(r"</?small>", "", caption) for caption in found]


def test_a_page_shows_image_masks_and_truth_side_by_side(voc, masks, tmp_path):
    other = make(voc, "other", lambda name: Output(mask=np.full(SIZE, 8, np.uint8)), IDS[:2])
    out = show([masks], tmp_path / "p.html", compare=(other,), truth=True)
    assert out == tmp_path / "p.html"
    both = ["image 40x24", "masks IoU 0.75", "other IoU 0.25", "truth"]
    assert captions(out) == [*both, *both, *both[:2], "other no such image here", "truth"]
    text = out.read_text(encoding="utf-8")
    assert text.count("<article") == 3
    assert "wss crf" in text
    assert "iterations=10" in text
    assert "image-labels" in text
    assert "unlabelled" in text
    assert "cat" in text


def test_further_directories_follow_those_of_compare(voc, masks, tmp_path):
    """`--compare B C` reaches the step as compare=(B,) and sources=[A, C]."""
    second, third = make(voc, "second"), make(voc, "third")
    page = show([masks, third], tmp_path / "p.html", compare=(second,), run=Run(limit=1))
    assert captions(page) == ["image 40x24", "masks", "second", "third"]


def test_directories_of_one_name_are_told_apart(voc, tmp_path):
    pair = [make(voc, "one/crf"), make(voc, "two/crf")]
    page = show(pair, tmp_path / "p.html", run=Run(limit=1))
    assert captions(page) == ["image 40x24", "one/crf", "two/crf"]


def test_score_maps_are_heatmaps_of_the_highest_peaks(voc, tmp_path):
    scores = make(voc, "probs", scores_of, kind="scores", score_type="probability")
    page = show([scores], tmp_path / "p.html", maps=2, run=Run(limit=1))
    assert captions(page) == ["image 40x24", "probs: person max 1.00", "probs: dog max 0.80, 3 maps left out"]


def test_the_background_comes_last(voc, tmp_path):
    scores = make(voc, "probs", scores_of, kind="scores", score_type="probability")
    page = show([scores], tmp_path / "p.html", maps=9, run=Run(limit=1))
    assert [c.split()[1] for c in captions(page)[1:]] == ["person", "dog", "cat", "bird", "background"]


def test_saliency_has_one_map(voc, tmp_path):
    def work(name: str) -> Output:
        return Output(scores=Scores(np.full((1, 3, 5), 0.25, np.float32), np.array([1]), SIZE))

    saliency = make(voc, "sal", work, kind="scores", score_type="saliency")
    assert captions(show([saliency], tmp_path / "p.html", run=Run(limit=1)))[1] == "sal: saliency max 0.25"


def test_scores_beside_masks_on_demand(voc, tmp_path):
    def work(name: str) -> Output:
        return Output(mask=mask_of(name).mask, scores=scores_of(name).scores)

    both = make(voc, "both", work, kind="masks+scores", score_type="probability")
    plain = show([both], tmp_path / "p.html", run=Run(limit=1))
    assert captions(plain) == ["image 40x24", "both"]
    more = show([both], tmp_path / "q.html", scores=True, maps=1, run=Run(limit=1))
    assert captions(more) == ["image 40x24", "both: person max 1.00, 4 maps left out", "both"]


def test_an_image_without_maps(voc, tmp_path):
    def work(name: str) -> Output:
        return Output(scores=Scores(np.zeros((0, 3, 5), np.float32), np.zeros(0, np.int64), SIZE))

    none = make(voc, "none", work, kind="scores", score_type="cam")
    assert captions(show([none], tmp_path / "p.html", run=Run(limit=1)))[1] == "none no map"


def test_a_plain_folder_with_a_data_set(voc, tmp_path):
    page = show([voc / "SegmentationClass"], tmp_path / "p.html", data=Data(data=voc, split="train"))
    assert captions(page)[:2] == ["image 40x24", "SegmentationClass"]
    assert "plain folder" in page.read_text()


def test_a_plain_folder_with_a_folder_of_photos(voc, tmp_path):
    page = show([voc / "SegmentationClass"], tmp_path / "p.html", images=voc / "JPEGImages")
    assert len(captions(page)) == 6
    assert "class 8" in page.read_text()


def test_pngs_are_sheets_of_the_photos_own_size(masks, tmp_path):
    out = show([masks], tmp_path / "pngs", truth=True)
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "b.png", "c.png"]
    with Image.open(out / "a.png") as sheet:
        assert sheet.width == 3 * 40 + 4 * 10
        assert sheet.text == {"Software": "wsscli show"}


def test_the_size_of_the_pictures(masks, tmp_path):
    with Image.open(show([masks], tmp_path / "pngs", size=80) / "a.png") as sheet:
        assert sheet.width == 2 * 80 + 3 * 10
    assert 'width="64" height="38"' in show([masks], tmp_path / "p.html", size=64).read_text()


def test_the_same_files_whatever_the_workers(masks, tmp_path):
    one = show([masks], tmp_path / "1.html", title="t", run=Run(workers=1)).read_bytes()
    assert one == show([masks], tmp_path / "3.html", title="t", run=Run(workers=3)).read_bytes()


def test_a_page_of_a_big_set_says_what_it_leaves_out(masks, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "PAGE_LIMIT", 2)
    caplog.set_level(logging.INFO, "wsscli")
    assert len(captions(show([masks], tmp_path / "p.html"))) == 4
    assert caplog.messages == ["the page shows the first 2 of 3 images; --limit or --ids shows others"]
    assert len(captions(show([masks], tmp_path / "q.html", run=Run(limit=3)))) == 6
    assert len(list(show([masks], tmp_path / "pngs").iterdir())) == 3


def test_ids_from_a_list(masks, tmp_path):
    (tmp_path / "ids.txt").write_text("c\n")
    page = show([masks], tmp_path / "p.html", run=Run(ids=tmp_path / "ids.txt"))
    assert "<h3>c</h3>" in page.read_text()
    assert len(captions(page)) == 2


def test_a_dry_run_writes_nothing(masks, tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    out = show([masks], tmp_path / "p.html", run=Run(dry_run=True))
    assert not out.exists()
    assert caplog.messages == [f"would read {masks} (3 images of split train) and write {out}"]


def test_images_outside_the_split_are_passed_over(voc, tmp_path, caplog):
    (voc / "ImageSets/Segmentation/val.txt").write_text("b\n")
    caplog.set_level(logging.INFO, "wsscli")
    folder = voc / "SegmentationClass"
    show([folder], tmp_path / "p.html", data=Data(data=voc, split="val"))
    assert caplog.messages == [f"{folder}: 2 of 3 images are not in split val of {voc}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "--alpha 1.5: give a number from 0 to 1"),
        ({"size": 9}, "--size 9: give 16 to 8192 pixels"),
        ({"maps": 0}, "--maps 0: give 1 or more"),
    ],
)
def test_options_out_of_range(masks, tmp_path, options, message):
    with pytest.raises(UsageError) as caught:
        show([masks], tmp_path / "p.html", **options)
    assert str(caught.value) == message


def test_no_photos(voc, tmp_path):
    with pytest.raises(UsageError) as caught:
        show([voc / "SegmentationClass"], tmp_path / "p.html")
    assert str(caught.value) == (
        "no photos: name the data set with --data (or WSS_DATA), or a folder of photos with --images"
    )


def test_class_tables_that_differ(voc, masks, tmp_path):
    other = make(voc, "other", classes=ClassTable.of(VOC_NAMES[:12]))
    with pytest.raises(WssError) as caught:
        show([masks, other], tmp_path / "p.html")
    assert str(caught.value) == (
        f"{other}: its class table is not that of {masks}; one colour would stand for two classes"
    )


def test_other_photos(voc, tmp_path):
    write_mask(tmp_path / "strange/x.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(WssError) as caught:
        show([tmp_path / "strange"], tmp_path / "p.html", data=Data(data=voc, split="train"))
    assert str(caught.value) == (
        f"{tmp_path}/strange: none of its 1 images is in {voc} (split train); name the right --data and --split, "
        "or --images"
    )


def test_a_page_replaces_pages_of_its_own_only(masks, tmp_path):
    page = show([masks], tmp_path / "p.html", run=Run(limit=1))
    assert len(captions(show([masks], page))) == 6
    page.write_text("<p>mine")
    with pytest.raises(WssError) as caught:
        show([masks], page)
    assert str(caught.value) == f"{page}: was not written by `wss show`; use another -o, or --overwrite to replace it"
    assert page.read_text() == "<p>mine"
    assert len(captions(show([masks], page, run=Run(overwrite=True)))) == 6


def test_a_page_is_no_folder(masks, tmp_path):
    (tmp_path / "p.html").mkdir()
    with pytest.raises(WssError, match=r"p.html: a folder, but a page is one file; use another -o"):
        show([masks], tmp_path / "p.html")


def test_pictures_replace_pictures_of_their_own_only(masks, tmp_path):
    show([masks], tmp_path / "pngs")
    show([masks], tmp_path / "pngs")
    mine = tmp_path / "pngs/b.png"
    Image.new("L", (3, 3)).save(mine)
    with pytest.raises(WssError) as caught:
        show([masks], tmp_path / "pngs")
    assert str(caught.value) == f"{mine}: was not written by `wss show`; use another -o, or --overwrite to replace it"
    show([masks], tmp_path / "pngs", run=Run(overwrite=True))
    with Image.open(mine) as sheet:
        assert sheet.mode == "RGB"


def test_pictures_never_go_among_masks(masks, tmp_path):
    with pytest.raises(WssError) as caught:
        show([masks], masks, run=Run(overwrite=True))
    assert str(caught.value) == f"{masks}: a directory of `wss`; pictures never go among masks, use another -o"
    (tmp_path / "file.png").write_text("")
    with pytest.raises(WssError, match=r"file.png: a file; name a folder for PNGs, or a file OUT.html for one page"):
        show([masks], tmp_path / "file.png")


def test_the_iou_of_one_image():
    truth = np.array([[0, 0, 8, 255]], np.uint8)
    assert image_iou(truth, truth) == 1
    assert image_iou(truth, np.array([[0, 8, 8, 8]], np.uint8)) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert image_iou(truth, np.array([[0, 255, 8, 0]], np.uint8)) == pytest.approx((1 / 2 + 1) / 2)


def test_a_mask_of_another_size_than_its_truth(voc, masks, tmp_path):
    write_mask(voc / "SegmentationClass/a.png", np.zeros((2, 3), np.uint8))
    page = show([masks], tmp_path / "p.html", truth=True, run=Run(limit=1))
    assert captions(page)[1] == "masks size 40x24, truth 3x2"
