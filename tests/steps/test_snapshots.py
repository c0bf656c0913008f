"""Pictures of the supervision: what is kept, what is drawn, and that the training does not notice."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from wsscli.maskdir.png import read_mask
from wsscli.steps._snapshots import COLUMNS, TILE, curve, curve_watcher, epochs_at, to_photo
from wsscli.train.loop import read_log

SVG = "{http://www.w3.org/2000/svg}"


def test_epochs_at():
    # batches of 4 of 10 images: the third ends the first epoch, the fifth the second
    assert [epochs_at(i, 4, 10) for i in range(1, 7)] == [0.4, 0.8, 1.0, 1.6, 2.0, 2.4]
    assert [epochs_at(i, 10, 4) for i in (1, 2)] == [2.0, 5.0]  # a batch may hold several epochs


def test_every_pixel_takes_its_nearest_point():
    grid = np.arange(25, dtype=np.uint8).reshape(5, 5)
    found = to_photo(grid, (33, 33), 33, 8)  # the photo is the square: points at 0, 8, 16, 24, 32
    nearest = [min(range(5), key=lambda i: (abs(8 * i - y), -i)) for y in range(33)]
    assert found.tolist() == [[5 * y + x for x in nearest] for y in nearest]
    assert found.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (33, 20), (200, 65)])
@pytest.mark.parametrize(("side", "step"), [(33, 8), (34, 4), (40, 3), (33, 1)])
def test_the_nearest_point_in_the_photo_s_own_scale(size, side, step):
    points = np.arange(0, side, step)
    grid = np.arange(len(points) ** 2, dtype=np.int64).reshape(len(points), -1)
    found = to_photo(grid, size, side, step)
    assert found.shape == size
    at = [(np.arange(length) + 0.5) * side / length - 0.5 for length in size]
    rows, columns = (np.abs(points[None] - place[:, None]) for place in at)
    y, x = np.divmod(found, len(points))
    assert (np.take_along_axis(rows, y, 1) == rows.min(1, keepdims=True)).all()
    assert np.array_equal(np.take_along_axis(columns, x.T, 1).T, np.broadcast_to(columns.min(1), size))


def test_a_mirrored_grid_is_a_mirrored_mask():
    grid = np.random.default_rng(0).integers(0, 5, (9, 9), dtype=np.uint8)
    found, mirrored = to_photo(grid, (40, 50), 65, 8), to_photo(grid[:, ::-1], (40, 50), 65, 8)
    assert np.array_equal(found, mirrored[:, ::-1])


def state(precision, recall, iou, confusion=((3, 0, 1), (0, 0, 0))):
    return {"precision": precision, "recall": recall, "iou": iou, "confusion": [list(row) for row in confusion]}


def row(iteration, supervision, seeds=None):
    return {"event": "epoch", "iteration": iteration, "supervision": supervision, "seeds": seeds or state(1, 0.2, 0.2)}


def drawn(svg):
    """The lines' points, and the texts."""
    root = ElementTree.fromstring(svg)
    lines = [
        [tuple(map(float, p.split(","))) for p in node.get("points").split()] for node in root.iter(f"{SVG}polyline")
    ]
    return lines, [node.text for node in root.iter(f"{SVG}text")]


def test_the_curve_begins_with_the_seeds():
    rows = [
        {"event": "iterations", "iteration": 3, "loss": 1.0},
        row(5, state(0.5, 0.6, 0.4), seeds=state(1.0, 0.2, 0.1)),
        row(10, state(0.75, 0.8, 0.5, [[3, 1, 1], [2, 5, 0]]), seeds=state(0.9, 0.3, 0.3)),
    ]
    svg = curve(rows, 4, 20)
    lines, texts = drawn(svg)
    percent = [[round((256 - y) / (256 - 48) * 100) for _, y in line] for line in lines]  # 0 at 256, 100 at 48
    assert percent == [[100, 50, 75], [20, 60, 80], [10, 40, 50]]
    assert [x for x, _ in lines[0]] == [52.0, 279.0, 506.0]  # epochs 0, 1, 2
    assert [t for t in texts if t in ("precision", "recall", "IoU")] == ["precision", "recall", "IoU"]
    assert "Means over the 2 classes that occur, at the points that enter the loss." in texts
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg"') and "<rect " in svg


def test_a_class_of_which_nothing_is_seen_is_not_counted():
    _, texts = drawn(curve([row(5, state(1, 1, 1, [[3, 0, 0, 1], [0, 0, 0, 0], [0, 2, 0, 0]]))], 4, 20))
    assert any(text.startswith("Means over the 3 classes") for text in texts)  # class 1 is predicted, class 2 is true
    _, texts = drawn(curve([row(5, state(1, 1, 1, [[3, 0, 0, 1], [0, 0, 0, 9], [0, 0, 0, 0]]))], 4, 20))
    assert any(text.startswith("Means over the 2 classes") for text in texts)


def test_what_could_not_be_judged_is_left_out():
    lines, _ = drawn(curve([row(5, state(0.5, 0.5, 0.5), seeds=state(None, 0.0, 0.0))], 4, 20))
    assert [len(line) for line in lines] == [1, 2, 2]


def test_a_log_without_measurements_has_no_data():
    assert ">no data<" in curve([{"event": "epoch", "iteration": 5, "loss": 1.0}], 4, 20)


def test_the_watcher_draws_after_epochs_and_passes_every_row_on(tmp_path):
    from wsscli.maskdir.writer import append_log

    seen = []
    watch = curve_watcher(tmp_path, 4, 20, seen.append)
    rows = [{"event": "iterations", "iteration": 2}, row(5, state(1, 1, 1)), row(10, state(1, 1, 1))]
    for number, entry in enumerate(rows):
        append_log(tmp_path, entry)
        watch(entry)
        assert (tmp_path / "supervision.svg").exists() == (number > 0)
        if number:
            assert len(drawn((tmp_path / "supervision.svg").read_text())[0][0]) == number + 1
    assert seen == rows
    curve_watcher(tmp_path, 4, 20)(rows[1])  # and there need not be another


def kept(out, name):
    return {int(p.stem[10:]): read_mask(p) for p in sorted((out / "supervision" / name).glob("iteration-*.png"))}


def test_seeds_and_every_epoch_are_kept_and_drawn(seeded):
    out = seeded.train(snapshot=("d", "a"), watch="truth")
    assert {p.name for p in out.iterdir()} == {
        "model.safetensors", "wss.json", "log.jsonl", "supervision", "supervision.svg",
    }  # fmt: skip
    assert {p.name for p in (out / "supervision").iterdir()} == {"a", "a.png", "d", "d.png"}
    epochs = [entry["iteration"] for entry in read_log(out) if entry["event"] == "epoch"]
    grown = 0
    for name in ("a", "d"):
        masks = kept(out, name)
        assert list(masks) == [0, *epochs] and len(epochs) == 4
        assert {mask.shape for mask in masks.values()} == {seeded.scenes.truth[name].shape}
        assert set(np.unique(masks[0])) - {255} <= {0, *seeded.labels(name)}
        for mask in masks.values():
            assert (mask == masks[0])[masks[0] != 255].all()  # seeds keep their label
        grown += (masks[epochs[-1]] != masks[0]).sum()
    assert grown > 0
    lines, _ = drawn((out / "supervision.svg").read_text())
    assert [len(line) for line in lines] == [5, 5, 5]


def test_iteration_0_is_the_seeds_at_the_points_of_the_loss(seeded):
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.train.augment import resize_mask

    out = seeded.train(snapshot=("c",))
    seeds = open_maskdir(seeded.source).mask("c")
    grid = resize_mask(seeds, 65, 65)[::4, ::4]
    assert np.array_equal(kept(out, "c")[0], to_photo(grid, seeds.shape, 65, 4))


def test_the_last_one_is_what_the_written_model_would_be_trained_on(seeded):
    import torch

    from wsscli.data.dataset import open_dataset
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.nets.store import load_model
    from wsscli.train.augment import resize, resize_mask
    from wsscli.train.objectives import Seeds

    out = seeded.train(snapshot=("c",))
    model = load_model(out).eval()
    seeds = open_maskdir(seeded.source).mask("c")
    photo = torch.from_numpy(resize(open_dataset(seeded.scenes.root, split="train").image("c"), 65, 65))
    photo = photo.permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = model(model.backbone.normalise(photo))
    inside = torch.ones(1, 65, 65, dtype=torch.bool)
    parts = (
        photo,
        torch.from_numpy(resize_mask(seeds, 65, 65))[None],
        torch.tensor([[True, True, True, False]]),
        inside,
    )
    objective = Seeds(model.backbone.stride, 4, crf_engine="lattice", crf_unary="log-probability")
    grown = objective.supervision(logits, parts)[0].numpy()
    assert np.array_equal(list(kept(out, "c").values())[-1], to_photo(grown, seeds.shape, 65, 4))


def tiles(out, name):
    """A strip, and how many pictures a row of it holds."""
    sheet = np.asarray(Image.open(out / "supervision" / f"{name}.png"))
    return sheet, (sheet.shape[1] - 10) // (TILE + 10)


def test_the_strip_holds_photo_seeds_epochs_and_truth(seeded):
    from wsscli.data.dataset import open_dataset
    from wsscli.report.overlay import fit_size, resize_image
    from wsscli.steps._pictures import mask_tile

    watched, plain = seeded.train("w", snapshot=("d",), watch="truth"), seeded.train("p", snapshot=("d",))
    photo = open_dataset(seeded.scenes.root, split="train").image("d")
    small = resize_image(photo, fit_size(photo.shape[:2], TILE))
    truth = seeded.scenes.truth["d"]
    masks = kept(watched, "d")
    assert len(masks) == 5  # the seeds and 4 epochs: 6 pictures without truth, 7 with it
    for out, true_masks, rows in ((plain, [], 1), (watched, [truth], 2)):
        sheet, across = tiles(out, "d")
        assert across == COLUMNS
        pictures = [small, *(mask_tile(small, mask, "").picture for mask in [*masks.values(), *true_masks])]
        assert -(-len(pictures) // across) == rows
        top = find(sheet, pictures[0], 10)
        pitch = pictures[0].shape[0] + 10 + 22
        for number, picture in enumerate(pictures):
            down, right = divmod(number, across)
            y, x = top + down * pitch, 10 + right * (TILE + 10)
            assert np.array_equal(sheet[y : y + picture.shape[0], x : x + TILE], picture), number


def find(sheet, picture, x):
    """The row at which a picture begins in column x."""
    height, width = picture.shape[:2]
    return next(y for y in range(len(sheet)) if np.array_equal(sheet[y : y + height, x : x + width], picture))


def test_the_training_does_not_notice(seeded):
    expected = (seeded.train("plain") / "model.safetensors").read_bytes()
    losses = [entry["loss"] for entry in read_log(seeded.out / "plain") if "loss" in entry]
    for name, how in (
        ("watched", {"watch": "truth"}),
        ("kept", {"snapshot": ("a", "b", "c", "d")}),
        ("both", {"watch": "truth", "snapshot": ("d",), "workers": 5}),
    ):
        out = seeded.train(name, **how)
        assert (out / "model.safetensors").read_bytes() == expected
        assert [entry["loss"] for entry in read_log(out) if "loss" in entry] == losses


def test_bfloat16(seeded):
    out = seeded.train(snapshot=("d",), bf16=True, channels_last=False)
    assert len(kept(out, "d")) == 5


def test_an_id_twice_is_kept_once(seeded):
    assert {p.name for p in (seeded.train(snapshot=("b", "b")) / "supervision").iterdir()} == {"b", "b.png"}


def test_unknown_ids_are_an_error_before_anything_is_written(seeded, message):
    from wsscli.errors import WssError
    from wsscli.steps._run import Run

    assert message(WssError, seeded.train, snapshot=("a", "cow")) == (
        "--snapshot-supervision cow: not among the 4 images of this training, which begin with 'a'; give ids as the "
        "seeds' directory has them"
    )
    text = message(WssError, seeded.train, snapshot=("c",), run=Run(limit=2))
    assert text.startswith("--snapshot-supervision c: not among the 2 images of this training")
    assert not (seeded.out / "seg").exists()


def test_ids_with_folders(scenes, seeded_in):
    from wsscli.maskdir.png import write_mask

    truth = scenes.truth["d"]
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml"), ("SegmentationClass", "png")):
        (scenes.root / folder / "far/off").mkdir(parents=True)
        (scenes.root / folder / f"far/off/d.{suffix}").write_bytes((scenes.root / folder / f"d.{suffix}").read_bytes())
    (scenes.root / "ImageSets/Segmentation/train.txt").write_text("a\nb\nc\nd\nfar/off/d\n")
    scenes.truth["far/off/d"] = truth
    scenes.ids.append("far/off/d")
    write_mask(scenes.root / "SegmentationClass/far/off/d.png", truth)
    out = seeded_in(scenes).train(snapshot=("d", "far/off/d"))
    assert (out / "supervision/far/off/d.png").exists() and (out / "supervision/d.png").exists()
    assert list(kept(out, "far/off/d")) == list(kept(out, "d"))


def test_overwriting_takes_old_pictures_away_and_verify_is_content(seeded):
    from wsscli.steps._run import Run
    from wsscli.steps.verify import verify

    out = seeded.train(snapshot=("d",), watch="truth")
    assert verify(out) == out
    seeded.train(run=Run(overwrite=True, workers=1))
    assert {p.name for p in out.iterdir()} == {"model.safetensors", "wss.json", "log.jsonl"}
    assert verify(out) == out


def test_no_time_stands_in_a_picture(seeded):
    """The same training gives the same files."""
    first, second = (seeded.train(name, snapshot=("d",), watch="truth") for name in ("one", "two"))
    for path in [p for p in first.rglob("*") if p.is_file() and p.name != "log.jsonl"]:
        assert (second / path.relative_to(first)).read_bytes() == path.read_bytes(), path
    assert not re.search(r"20\d\d-", (first / "supervision.svg").read_text())
