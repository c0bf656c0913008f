"""`wss demo`: the whole chain on a tiny set, its numbers and its page."""

import json
import math
import re
import runpy
from pathlib import Path

import pytest

from wsscli.cli.demo import finish
from wsscli.errors import UsageError, WssError
from wsscli.steps._demo_page import Score, losses, spread
from wsscli.steps.demo import Demo, claim, demo, took
from wsscli.steps.verify import problems

SMALL = {"images": 8, "val": 2, "epochs": 1, "backbone": "tiny", "workers": 1, "device": "cpu"}


@pytest.mark.slow
def test_the_chain_runs_and_the_page_shows_it(tmp_path, capsys):
    keep = tmp_path / "kept"
    result = demo(keep=keep, photos=False, **SMALL)
    assert result.page == keep / "report.html"
    assert result.folder == keep
    assert [s.step for s in result.scores] == [
        "heatmaps", "seeds", "CRF", "GrabCut", "prediction", "grown", "held out"
    ]  # fmt: skip
    assert [s.split for s in result.scores] == ["train"] * 6 + ["val"]
    assert all(0 <= value <= 1 for s in result.scores for value in (s.recall, s.iou, s.coverage))
    assert all(s.seconds >= 0 for s in result.scores)
    text = result.page.read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>([a-zA-Z]+)", text)
    assert captions[:8] == ["image", "heatmap", "seeds", "grown", "CRF", "GrabCut", "prediction", "truth"]
    assert text.count("<svg") == 3
    assert "Real photos" not in text
    assert "wss make-seeds --model cls -o seeds" in text
    for name in ("cls", "seeds", "cam", "crf", "grabcut", "seg", "train", "grown", "val"):
        assert list(problems(keep / name)) == []
    pictures = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_pictures.py"))
    assert pictures["chain"](keep, ["train_0000", "train_0001"]).shape[1] == 4 * 224 + 5 * 8
    # the same command again only writes the page anew
    before = {path: path.stat().st_mtime_ns for path in keep.rglob("wss.json")}
    demo(keep=keep, out=tmp_path / "again.html", photos=False, **SMALL)
    assert before == {path: path.stat().st_mtime_ns for path in keep.rglob("wss.json")}
    assert "GrabCut" in (tmp_path / "again.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_real_photos_by_the_imagenet_classifier(tmp_path):
    page = demo(tmp_path / "page.html", **SMALL).page
    text = page.read_text(encoding="utf-8")
    photos = text[text.index("Real photos") :]
    assert re.findall(r"<h3>(\w+)</h3>", photos) == ["cat", "astronaut", "coffee", "motorcycle"]
    assert "heatmap: space shuttle" in photos
    assert list(tmp_path.iterdir()) == [page]


def test_too_few_images():
    with pytest.raises(UsageError) as caught:
        demo(images=4, val=0)
    assert str(caught.value) == "--images 4 --val 0: give at least 8 and 1"


def test_a_directory_of_another_demo(tmp_path):
    claim(tmp_path, {"images": 8, "seed": 0}, overwrite=False)
    claim(tmp_path, {"images": 8, "seed": 0}, overwrite=False)
    with pytest.raises(WssError) as caught:
        claim(tmp_path, {"images": 8, "seed": 5}, overwrite=False)
    assert str(caught.value) == (
        f"{tmp_path}: was made with --seed 0, now 5; use another --keep, or --overwrite to replace it"
    )
    claim(tmp_path, {"images": 8, "seed": 5}, overwrite=True)
    assert json.loads((tmp_path / "demo.json").read_text()) == {"images": 8, "seed": 5}


def test_somebody_elses_directory(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(WssError) as caught:
        claim(tmp_path, {}, overwrite=True)
    assert str(caught.value) == f"{tmp_path}: not empty and not made by `wss demo`; use another --keep"


def test_what_a_log_says(tmp_path):
    assert math.isnan(took(tmp_path))
    assert losses(tmp_path) == []
    rows = [
        {"event": "iterations", "iteration": 5, "loss": 0.5},
        {"event": "epoch", "iteration": 6, "loss": 0.7},
        {"event": "end", "seconds": 3.5},
        {"event": "end", "seconds": 1.25},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert took(tmp_path) == 1.25
    assert losses(tmp_path) == [(5.0, 0.5)]
    (tmp_path / "log.jsonl").write_text(json.dumps(rows[1]) + "\n\n")
    assert losses(tmp_path) == [(6.0, 0.7)]
    (tmp_path / "log.jsonl").write_text("")
    assert math.isnan(took(tmp_path))


@pytest.mark.parametrize(("count", "wanted"), [(9, "abcdef"), (6, "abcdef"), (3, "acf"), (2, "af"), (1, "a"), (0, "")])
def test_spread(count, wanted):
    assert "".join(spread("abcdef", count)) == wanted


def test_the_command_prints_the_page_alone_on_stdout(tmp_path, capsys):
    score = Score("seeds", "what", "train", 0.5, 0.25, 0.125, 1.0, float("nan"))
    finish(Demo(tmp_path / "p.html", None, [score], 12.0))
    assert capsys.readouterr().out == f"{tmp_path}/p.html\n"
