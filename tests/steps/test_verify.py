"""`wss verify`: every kind of damage is found, named, and counted."""

import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import DataRef, file_digest, read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask
from wsscli.maskdir.scores import Scores
from wsscli.maskdir.writer import Output
from wsscli.steps._data import Data
from wsscli.steps._run import Plan, Run, per_image
from wsscli.steps.verify import problems, verify

IDS = ["a", "b", "c"]
SIZE = (6, 8)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """A devkit of three grey photos, 8 pixels wide and 6 high, without annotations."""
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for name in IDS:
        Image.fromarray(np.full((*SIZE, 3), 99, np.uint8)).save(root / f"JPEGImages/{name}.jpg")
        write_mask(root / f"SegmentationClass/{name}.png", np.zeros(SIZE, np.uint8))
    (root / "ImageSets/Segmentation/train.txt").write_text("\n".join(IDS) + "\n")
    return root


def masks_of(name: str) -> Output:
    mask = np.zeros(SIZE, np.uint8)
    mask[0], mask[1] = 1 + IDS.index(name), 255
    return Output(mask=mask)


def scores_of(name: str) -> Output:
    maps = np.full((2, 3, 4), 0.5, np.float32)
    return Output(scores=Scores(maps, np.array([0, 1]), SIZE))


def both_of(name: str) -> Output:
    return Output(mask=masks_of(name).mask, scores=scores_of(name).scores)


def make(voc: Path, work=masks_of, *, kind="masks", inputs=(), score_type=None, out="dir") -> Path:
    from wsscli.data.dataset import open_dataset

    classes = open_dataset(voc, split="train").classes
    plan = Plan("crf", voc.parent / out, kind, {}, classes, DataRef(str(voc), "voc"), "train", inputs, (), score_type)
    return per_image(plan, Run(workers=1), IDS, work)


@pytest.fixture
def masks(voc: Path) -> Path:
    return make(voc)


@pytest.fixture
def probabilities(voc: Path) -> Path:
    return make(voc, scores_of, kind="scores", score_type="probability", out="probs")


def edit(directory: Path, **changes: object) -> None:
    path = directory / "wss.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def put_png(path: Path, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def put_scores(path: Path, scores: np.ndarray, classes: list[int], size=SIZE) -> None:
    np.savez(path, scores=scores, classes=np.array(classes), size=np.array(size))


CHANGED = (
    "{dir}/wss.json: the files are not those that `wss crf` wrote (their common digest differs); something changed, "
    "added or took away a file"
)


def test_sound_directories_pass(voc, masks, probabilities):
    assert verify(masks) == masks
    assert verify(probabilities, workers=1) == probabilities
    both = make(voc, both_of, kind="masks+scores", score_type="probability", out="both")
    assert list(problems(both)) == []


def test_a_plain_folder_is_checked_against_a_data_set(voc, caplog):
    folder = voc / "SegmentationClass"
    caplog.set_level(logging.INFO, "wsscli")
    assert verify(folder) == folder
    assert f"{folder}: no wss.json, a plain folder of PNGs: only its masks are checked" in caplog.messages
    assert f"{folder}: no data set is known, sizes are not compared; name it with --data" in caplog.messages
    write_mask(folder / "a.png", np.full((2, 2), 77, np.uint8))
    (folder / "not in the split.png").write_bytes(b"")
    assert list(problems(folder, data=Data(data=voc, split="train"))) == [
        f"{folder}/a.png: is 2x2, its photo 8x6 (width x height)",
        f"{folder}/a.png: holds the value 77, but the class table ends at 20 (and 255)",
    ]


def test_a_plain_folder_of_other_images(voc, tmp_path):
    write_mask(tmp_path / "other/x.png", np.zeros(SIZE, np.uint8))
    assert list(problems(tmp_path / "other", data=Data(data=voc, split="train"))) == [
        f"{tmp_path}/other: holds no mask of an image of the data set; name the right --data and --split"
    ]


def test_what_is_no_directory_of_masks(tmp_path):
    with pytest.raises(WssError, match="nowhere: no such directory"):
        verify(tmp_path / "nowhere")
    with pytest.raises(WssError, match=r"neither a wss.json nor any PNG here; name a mask directory"):
        verify(tmp_path)


def test_every_problem_is_logged_and_counted(masks, caplog):
    for name in IDS:
        write_mask(masks / f"masks/{name}.png", np.full((2, 2), 50, np.uint8))
    with pytest.raises(WssError) as caught:
        verify(masks)
    assert str(caught.value) == (f"{masks}: 7 problems; write it again with --overwrite, or mend the files named above")
    assert len(caplog.messages) == 7
    assert caplog.messages[0] == f"{masks}/masks/a.png: is 2x2, its photo 8x6 (width x height)"
    assert caplog.messages[1] == f"{masks}/masks/a.png: holds the value 50, but the class table ends at 20 (and 255)"
    assert caplog.messages[6] == CHANGED.format(dir=masks)


def test_the_list_of_problems_is_capped(masks, caplog):
    for name in IDS:
        (masks / f"masks/{name}.png").write_bytes(b"no")
    with pytest.raises(WssError, match="4 problems"):
        verify(masks, most=1)
    assert caplog.messages[1:] == ["... and 3 more problems (--most N prints more)"]
    with pytest.raises(UsageError, match="--most 0: give 1 or more"):
        verify(masks, most=0)


def test_one_problem_is_no_problems(masks):
    (masks / "note.txt").write_text("mine")
    with pytest.raises(WssError, match="dir: 1 problem; write"):
        verify(masks)


def test_an_unreadable_manifest_is_the_only_problem(masks):
    (masks / "wss.json").write_text("{")
    (found,) = problems(masks)
    assert found.startswith(f"{masks}/wss.json: not a readable manifest")


def test_a_newer_format(masks):
    edit(masks, version=99)
    assert list(problems(masks)) == [f"{masks}/wss.json: manifest version 99, this wss reads 1; update wsscli"]


def test_an_incomplete_directory(masks):
    edit(masks, complete=False)
    assert list(problems(masks)) == [
        f"{masks}: incomplete (`wss crf` was stopped before its end); run that command again"
    ]


def test_unknown_kinds(probabilities):
    edit(probabilities, kind="scores of old", score_type="guess")
    assert list(problems(probabilities))[:2] == [
        f"{probabilities}/wss.json: kind 'scores of old' is none of masks, scores, masks+scores, model, detections, "
        "masks+detections, proposals, cams, rounds",
        f"{probabilities}/wss.json: score type 'guess' is none of cam, probability, soft-label, saliency",
    ]


def test_a_missing_mask(masks):
    (masks / "masks/b.png").unlink()
    assert list(problems(masks)) == [
        f"{masks}/wss.json: speaks of 3 images, but 2 are there and 0 are dropped",
        CHANGED.format(dir=masks),
    ]


def test_a_renamed_mask(masks):
    (masks / "masks/b.png").rename(masks / "masks/z.png")
    assert list(problems(masks)) == [
        f"{masks}/wss.json: the ids here are not the 3 that it was written for (their digest differs)",
        f"{masks}: 'z' is no image of split train of {masks.parent / 'voc'}",
        CHANGED.format(dir=masks),
    ]


def test_a_dropped_image_counts_and_has_no_file(voc):
    out = make(voc, lambda name: Output(dropped="empty") if name == "b" else masks_of(name))
    assert list(problems(out)) == []
    write_mask(out / "masks/b.png", np.zeros(SIZE, np.uint8))
    assert next(iter(problems(out))) == f"{out}/wss.json: lists 'b' as dropped, but its file is there"


def test_masks_without_their_scores(voc):
    both = make(voc, both_of, kind="masks+scores", score_type="probability", out="both")
    (both / "scores/a.npz").unlink()
    assert list(problems(both)) == [
        f"{both}/scores: nothing for 'a', which the other folder has",
        CHANGED.format(dir=both),
    ]


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (Image.new("L", (8, 6)), "is no 8-bit palette PNG (depth 8, colour type 0)"),
        (Image.new("1", (8, 6)), "is no 8-bit palette PNG (depth 1, colour type 0)"),
        (
            Image.new("RGB", (8, 6)),
            "this mask is coded by colours (mode RGB), not by class ids; convert the folder once with "
            "`wss import masks FOLDER --rgb voc -o OUT`",
        ),
    ],
)
def test_other_sorts_of_png(masks, image, fault):
    put_png(masks / "masks/a.png", image)
    assert list(problems(masks)) == [f"{masks}/masks/a.png: {fault}", CHANGED.format(dir=masks)]


@pytest.mark.parametrize(
    ("colours", "fault"),
    [
        (list(range(6)) * 10, "has a palette of 20 entries, not 256"),
        ([7, 7, 7] * 256, "has another palette than VOC's"),
    ],
)
def test_other_palettes(masks, colours, fault):
    image = Image.new("P", (8, 6))
    image.putpalette(colours)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", bits=8)
    data = buffer.getvalue()
    if len(colours) < 768:  # Pillow pads some palettes: write the chunk that is meant
        data = _with_palette(data, bytes(colours))
    (masks / "masks/a.png").write_bytes(data)
    assert next(iter(problems(masks))) == f"{masks}/masks/a.png: {fault}"


def _with_palette(data: bytes, colours: bytes) -> bytes:
    import zlib

    at = data.index(b"PLTE") - 4
    length = int.from_bytes(data[at : at + 4])
    body = b"PLTE" + colours
    chunk = len(colours).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)
    return data[:at] + chunk + data[at + 12 + length :]


def test_a_truncated_mask(masks):
    path = masks / "masks/a.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert next(iter(problems(masks))).startswith(f"{path}: cannot be read as a mask (")


def test_left_over_and_foreign_files(masks):
    (masks / "masks/.a.png.part").write_bytes(b"")
    (masks / "masks/notes.txt").write_text("")
    (masks / "journal.jsonl").write_text("")
    assert list(problems(masks)) == [
        f"{masks}/journal.jsonl: left behind by a stopped run; remove it",
        f"{masks}/masks/.a.png.part: left behind by a stopped run; remove it",
        f"{masks}/masks/notes.txt: does not belong here; remove it",
    ]


def test_a_changed_pixel_is_found_by_the_digest(masks):
    mask = open_maskdir(masks).mask("a")
    mask[5, 5] = 3
    write_mask(masks / "masks/a.png", mask)
    assert list(problems(masks)) == [CHANGED.format(dir=masks)]


@pytest.mark.parametrize(
    ("scores", "classes", "fault"),
    [
        (np.full((2, 3, 4), np.nan), [0, 1], "holds 24 values that are NaN or infinite"),
        (np.full((2, 3, 4), 0.5), [1, 0], "lists the classes [1, 0], not ascending and each once"),
        (np.full((2, 3, 4), 0.5), [0, 44], "lists the classes [0, 44], but the class table ends at 20"),
        (np.full((2, 3, 4), 0.5), [1, 2], "lists the classes [1, 2], but probabilities begin with the background (0)"),
        (np.full((2, 3, 4), 0.75), [0, 1], "holds probabilities whose sum is off 1 by 0.5"),
        (
            np.stack([np.full((3, 4), -1.0), np.full((3, 4), 2.0)]),
            [0, 1],
            "holds -1, but probability scores are not negative",
        ),
        (np.full((2, 0, 4), 0.5), [0, 1], "holds maps of 0x4 pixels"),
        (
            np.full((3, 3, 4), 0.5),
            [0, 1],
            "scores (3, 3, 4), classes (2,) and size (2,) do not fit each other; need (K, h, w), (K,) and (2,)",
        ),
    ],
)
def test_faulty_scores(probabilities, scores, classes, fault):
    put_scores(probabilities / "scores/a.npz", scores, classes)
    found = list(problems(probabilities))
    assert f"{probabilities}/scores/a.npz: {fault}" in found
    assert found[-1] == CHANGED.format(dir=probabilities)


def test_a_probability_above_one(probabilities):
    put_scores(probabilities / "scores/a.npz", np.array([[[1.5]], [[-0.5]]]), [0, 1])
    assert f"{probabilities}/scores/a.npz: holds 1.5, but probability scores end at 1" in list(problems(probabilities))


def test_scores_for_another_size(probabilities):
    put_scores(probabilities / "scores/a.npz", np.full((2, 3, 4), 0.5), [0, 1], size=(60, 80))
    assert next(iter(problems(probabilities))) == (
        f"{probabilities}/scores/a.npz: is for 80x60, its photo is 8x6 (width x height)"
    )


def test_float16_rounding_of_many_classes_is_no_fault(voc):
    def work(name: str) -> Output:
        maps = np.random.default_rng(0).dirichlet(np.ones(21), 12).T.reshape(21, 3, 4).astype(np.float32)
        return Output(scores=Scores(maps, np.arange(21), SIZE))

    assert list(problems(make(voc, work, kind="scores", score_type="probability", out="many"))) == []


def test_inputs_are_compared_where_they_still_are(voc, masks, caplog):
    caplog.set_level(logging.INFO, "wsscli")
    behind = make(voc, inputs=[open_maskdir(masks).as_input("masks")], out="behind")
    assert list(problems(behind)) == []
    changed = read_manifest(masks)
    write_manifest(masks, changed.finished(pixels={"cat": 1}))
    (found,) = problems(behind)
    was, now = changed.digest()[7:19], read_manifest(masks).digest()[7:19]
    assert found == (
        f"{behind}/wss.json: the input 'masks' at {masks.resolve()} has changed since (digest {now}, was {was})"
    )
    masks.rename(masks.with_name("gone"))
    assert list(problems(behind)) == []
    assert f"{behind}/wss.json: the input 'masks' is no longer at {masks.resolve()}; its digest is not compared" in (
        caplog.messages
    )


def test_an_input_that_cannot_be_read(voc, masks):
    behind = make(voc, inputs=[open_maskdir(masks).as_input("masks")], out="behind")
    (masks / "wss.json").write_text("{")
    (found,) = problems(behind)
    assert found.startswith(f"{behind}/wss.json: the input 'masks' cannot be compared: {masks}/wss.json: not a read")


def test_a_data_set_that_has_moved(voc, masks):
    voc.rename(voc.with_name("moved"))
    (found,) = problems(masks)
    assert found.startswith(f"{masks}: cannot be compared with its data set: ")
    assert found.endswith("; name it with --data, or leave the photos out with --no-photos")
    assert list(problems(masks, photos=False)) == []
    assert list(problems(masks, data=Data(data=voc.with_name("moved")))) == []


def test_an_unreadable_photo(voc, masks):
    (voc / "JPEGImages/a.jpg").write_bytes(b"")
    (found,) = problems(masks)
    assert found.startswith(f"{masks}: 'a' cannot be compared with its photo: ")


def test_models(tmp_path):
    from wsscli.maskdir.manifest import Manifest, content_digest

    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    digest = content_digest({"model.safetensors": file_digest(weights).removeprefix("sha256:")})
    write_manifest(tmp_path, Manifest("model", "train-cls", complete=True, content=digest, model={}))
    assert verify(tmp_path) == tmp_path
    weights.write_bytes(b"others")
    assert list(problems(tmp_path)) == [f"{weights}: not the file that `wss train-cls` wrote (its digest differs)"]
    weights.unlink()
    assert list(problems(tmp_path)) == [f"{weights}: missing"]
