"""The examples run on the tiny set."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from wsscli.data.dataset import open_dataset
from wsscli.data.generated import write_generated
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.png import write_mask

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
QUICK = {"BACKBONE": "tiny", "CLS": "--init none --epochs 2", "SEG": "--init none --epochs 2"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    return write_generated(tmp_path_factory.mktemp("examples") / "VOC2012", preset="tiny")


@pytest.fixture
def bash(warm_wss):
    def run(script, cwd, **variables):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WSS_")}
        env = clean | variables | {"PATH": f"{warm_wss}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_cam_chain(voc, bash, tmp_path):
    script = f"{EXAMPLES / 'cam_chain.sh'} {voc} runs/cam"
    done = bash(script, tmp_path, **QUICK)
    assert done.returncode == 0, done.stderr
    for name in ("seeds", "cam", "crf", "grabcut", "probs", "grown", "val"):
        assert open_maskdir(tmp_path / "runs" / "cam" / name).ids
    assert "split train" in done.stderr and "split val" in done.stderr
    again = bash(script, tmp_path, **QUICK)
    assert again.returncode == 0 and again.stderr.count("nothing to do") == 9


def test_dsrg(voc, bash, tmp_path):
    script = f"{EXAMPLES / 'dsrg.sh'} {voc} runs/dsrg"
    quick = {"NETWORK": "tiny", "CLS": "--init none --epochs 2", "SEG": "--epochs 2", "RETRAIN": "--epochs 2"}
    done = bash(script, tmp_path, **quick, WATCH="truth", ORIGINAL="1", WSS_SPLIT="val")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "dsrg"
    for name in ("seeds", "pseudo", "val"):
        assert open_maskdir(out / name).ids
    assert json.loads((out / "seg" / "wss.json").read_text())["split"] == "train"
    options = json.loads((out / "seg" / "wss.json").read_text())["options"]
    assert options["loss"] == "balanced-seed" and options["grow"] and options["original_quirks"]
    assert json.loads((out / "net" / "wss.json").read_text())["supervision"] == ["image-labels"]
    assert "supervision" in (out / "seg" / "log.jsonl").read_text()
    again = bash(script, tmp_path, **quick, WATCH="truth", ORIGINAL="1")
    assert again.returncode == 0 and again.stderr.count("nothing to do") == 8


def test_self_guided(voc, bash, tmp_path):
    script = f"{EXAMPLES / 'self_guided.sh'} {voc} runs/self"
    quick = {
        "NETWORK": "tiny", "CLS": "--init none --epochs 1 --affinity-size 12", "SEG": "--epochs 1", "TABLE": "1",
        "LABELS": "--window 9",
    }  # fmt: skip
    done = bash(script, tmp_path, **quick)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "self"
    for name in ("A", "R", "G1", "labels1", "labels2", "val2"):
        assert open_maskdir(out / name).ids
    for name in ("labels2", "val2"):  # no saliency, no other model
        assert json.loads((out / name / "wss.json").read_text())["supervision"] == ["image-labels"]


def test_hypotheses(voc, bash, tmp_path):
    script = f"{EXAMPLES / 'hypotheses.sh'} {voc} runs/hyp"
    quick = {"NETWORK": "tiny", "CLS": "--init none --epochs 2", "SEG": "--init none --epochs 1", "TABLE": "1"}
    done = bash(script, tmp_path, **quick, WSS_SPLIT="val")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "hyp"
    for name in ("labels", "plain", "farthest", "labels-maps", "val-A-all", "val-B-single"):
        assert open_maskdir(out / name).ids
    for name in ("labels", "val-A-all", "val-B-single"):
        assert json.loads((out / name / "wss.json").read_text())["supervision"] == ["image-labels"]
    assert json.loads((out / "A-single/wss.json").read_text())["options"]["loss"] == "soft"
    assert "average best overlap" in done.stderr and "split val" in done.stderr
    again = bash(script, tmp_path, **quick)
    assert again.returncode == 0 and again.stderr.count("nothing to do") == 17, again.stderr


def test_hypotheses_with_the_paper_s_flags(voc, bash, tmp_path):
    """The commands that vgg16 gets, written down and not run; proposals from elsewhere."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "wss").write_text('#!/bin/sh\necho "wss $*" >> "$LINES"\n')
    (bin_ / "wss").chmod(0o755)
    record = tmp_path / "lines.txt"
    script = f"PATH={bin_}:$PATH {EXAMPLES / 'hypotheses.sh'} {voc} runs/hyp"
    done = bash(script, tmp_path, NETWORK="vgg16", PROPOSALS="mcg", COUNTS="single", EVAL="0", LINES=str(record))
    assert done.returncode == 0, done.stderr
    assert record.read_text().splitlines() == [
        "wss train-cls --arch hcp --split train --proposals mcg --backbone vgg16 --recipe hcp -o runs/hyp/hcp",
        "wss make-seeds --method hypotheses --model runs/hyp/hcp --proposals mcg -o runs/hyp/labels",
        "wss train-seg runs/hyp/labels --loss soft --label-count single --backbone vgg16 --arch deeplab-largefov --recipe "
        "hypotheses -o runs/hyp/A-single",
        "wss train-seg runs/hyp/labels --loss ce --label-count single --backbone vgg16 --arch deeplab-largefov --recipe "
        "hypotheses -o runs/hyp/B-single",
        "wss predict runs/hyp/A-single --split val -o runs/hyp/val-A-single",
        "wss predict runs/hyp/B-single --split val -o runs/hyp/val-B-single",
    ]


def test_coarse_to_fine(voc, bash, tmp_path):
    script = f"{EXAMPLES / 'coarse_to_fine.sh'} {voc} runs/fine"
    quick = {
        "NETWORK": "tiny", "ROUNDS": "2", "STUDENT": "--epochs 2", "WATCH": "truth", "WSS_SPLIT": "val",
        "REFINE": "--first-init none --epochs 2 --min-foreground 0 --max-foreground 1 --grabcut-scale 0.5",
    }  # fmt: skip
    done = bash(script, tmp_path, **quick)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "fine"
    for name in ("coarse", "enhanced", "rounds/round-1", "rounds/round-2", "rounds/round-2/refined", "val"):
        assert open_maskdir(out / name).ids
    assert (out / "rounds" / "rounds.svg").exists() and (out / "rounds" / "rounds.csv").exists()
    for name in ("rounds", "rounds/round-2", "val"):  # the figures of --watch are no supervision
        assert json.loads((out / name / "wss.json").read_text())["supervision"] == ["image-labels", "unlabelled-images"]
    again = bash(script, tmp_path, **quick)
    assert again.returncode == 0 and again.stderr.count("nothing to do") == 6


def test_coarse_to_fine_with_the_paper_s_flags(voc, bash, tmp_path):
    """The commands that resnet101 gets, written down and not run; one round, masks from elsewhere."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "wss").write_text('#!/bin/sh\necho "wss $*" >> "$LINES"\n[ "$1" != refine-round ] || echo OUT/rounds\n')
    (bin_ / "wss").chmod(0o755)
    record = tmp_path / "lines.txt"
    script = f"PATH={bin_}:$PATH {EXAMPLES / 'coarse_to_fine.sh'} {voc} runs/fine"
    done = bash(script, tmp_path, NETWORK="resnet101", ROUNDS="1", MASKS="other", EVAL="0", LINES=str(record))
    assert done.returncode == 0, done.stderr
    lines = record.read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["make-seeds", "grabcut", "refine-round", "predict"]
    assert "--foreground other --split train" in lines[0]
    assert "--rounds 1 --backbone resnet101 --device auto --recipe coarse-to-fine --iterations 12000" in lines[2]
    assert "predict OUT/rounds/model --split val" in lines[3]


def test_foreground(voc, bash, tmp_path):
    """On VOC's layout, and judged on MIT Object Discovery's."""
    data = open_dataset(voc, split="val")
    for name in data.ids[:4]:
        folder = tmp_path / "mit" / data.classes.names[data.labels(name)[0]] / "GroundTruth"
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / f"{name}.jpg").write_bytes(data.image_path(name).read_bytes())
        truth = data.truth(name)
        write_mask(folder / f"{name}.png", np.where((truth > 0) & (truth < 255), 255, 0).astype(np.uint8))
    script = f"{EXAMPLES / 'foreground.sh'} {voc} runs/fg"
    quick = {
        "NETWORK": "tiny", "STUDENT": "--epochs 2", "WSS_SPLIT": "val",
        "REFINE": "--first-init none --epochs 2 --min-foreground 0 --max-foreground 1 --grabcut-scale 0.5",
    }  # fmt: skip
    done = bash(script, tmp_path, **quick)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "fg"
    for name in ("fg", "fg-enhanced", "fg-rounds/round-2", "test"):
        manifest = json.loads((out / name / "wss.json").read_text())
        assert manifest["classes"] == ["background", "foreground"] and open_maskdir(out / name).ids
        assert manifest["supervision"] == ["unlabelled-images"]
    assert json.loads((out / "fg-rounds/round-1/model/wss.json").read_text())["model"]["arch"] == "dfpn"
    assert "split val" in done.stderr and "foreground Jaccard" in done.stderr
    for name in ("test", "test-student"):
        shutil.rmtree(out / name)
    done = bash(f"{script} mit", tmp_path, **quick)
    assert done.returncode == 0 and done.stderr.count("nothing to do") == 5, done.stderr
    assert f"truth {tmp_path / 'mit'}" in done.stderr.replace("\n", "")


def test_dsrg_on_coco_with_the_paper_s_flags(voc, bash, tmp_path):
    """The commands that vgg16 and resnet101 get (written down, not run), and a COCO root with the tiny net."""
    coco = write_coco(voc, tmp_path / "coco")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "wss").write_text('#!/bin/sh\necho "wss $*" >> "$LINES"\n')
    (bin_ / "wss").chmod(0o755)
    lines = {}
    for network in ("vgg16", "resnet101"):
        record = tmp_path / f"{network}.txt"
        script = f"PATH={bin_}:$PATH {EXAMPLES / 'dsrg.sh'} {coco} runs/{network}"
        done = bash(script, tmp_path, NETWORK=network, TRAIN="train", TEST="val", LINES=str(record))
        assert done.returncode == 0, done.stderr
        lines[network] = record.read_text().splitlines()
    assert [line.split()[1] for line in lines["vgg16"]] == [
        "train-cls", "make-seeds", "train-seg", "predict", "crf", "train-seg", "predict", "crf", "eval",
    ]  # fmt: skip
    for network, found in lines.items():
        trainings = [line for line in found if " train-" in line]
        assert all(f"--recipe dsrg --backbone {network}" in line for line in trainings)
        assert "--loss balanced-seed --boundary 1.0 --grow" in trainings[1] and "--init imagenet" in trainings[1]
    done = bash(f"{EXAMPLES / 'dsrg.sh'} {coco} runs/tiny", tmp_path, NETWORK="tiny", CLS="--init none --epochs 1",
                SEG="--epochs 1", RETRAIN="--epochs 1")  # fmt: skip
    assert done.returncode == 0, done.stderr


def write_coco(voc, root):
    """The generated set as COCO instances: the pixels of each class as one RLE."""
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        data = open_dataset(voc, split=split)
        (root / split).mkdir()
        images, annotations = [], []
        for number, name in enumerate(data.ids):
            (root / split / f"{name}.jpg").write_bytes(data.image_path(name).read_bytes())
            height, width = data.size(name)
            images.append({"id": number, "file_name": f"{name}.jpg", "height": height, "width": width})
            truth = data.truth(name)
            for c in data.labels(name):
                flat = (truth == c).T.ravel()
                edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
                counts = np.diff([0, *edges, flat.size]).tolist()
                annotations.append(
                    {
                        "id": len(annotations), "image_id": number, "category_id": c, "iscrowd": 0,
                        "segmentation": {"size": [height, width], "counts": ([0] if flat[0] else []) + counts},
                    }
                )  # fmt: skip
        categories = [{"id": c, "name": name} for c, name in enumerate(data.classes.names) if c]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def test_own_photos(voc, bash, tmp_path):
    data = open_dataset(voc, split="train")
    for name in data.ids:
        folder = tmp_path / "photos" / data.classes.names[data.labels(name)[0]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jpg").write_bytes(data.image_path(name).read_bytes())
    done = bash(f"{EXAMPLES / 'own_photos.sh'} photos runs/own", tmp_path, **QUICK)
    assert done.returncode == 0, done.stderr
    assert len(open_maskdir(tmp_path / "runs" / "own" / "new").ids) == len(data.ids)
    assert (tmp_path / "runs" / "own" / "new.html").stat().st_size > 10_000


@pytest.mark.parametrize(("floor", "code"), [("0.40", 0), ("0.999", 4)])
def test_github_actions(voc, bash, tmp_path, floor, code):
    """Its `wss` lines, with its variables: true masks pass, worse ones fail with 4."""
    text = (EXAMPLES / "github_actions.yml").read_text()
    names = re.findall(r"^      ([A-Z_]+): ", text, re.MULTILINE)
    assert names == ["WSS_DATA", "MASKS", "FLOOR"]
    lines = re.findall(r"run: (wss .*)", text)
    assert len(lines) == 2
    masks = tmp_path / "masks"
    bash(f"wss import masks {voc}/SegmentationClass --data {voc} --split val -o {masks}", tmp_path)
    if code:  # worse ones
        bash(f"wss grabcut {masks} -o {masks}-worse", tmp_path)
        masks = tmp_path / "masks-worse"
    script = "set -euo pipefail\n" + "\n".join(lines)
    done = bash(script, tmp_path, WSS_DATA=str(voc), MASKS=str(masks), FLOOR=floor)
    assert done.returncode == code, done.stderr
    assert json.loads((tmp_path / "eval.json").read_text())["split"] == "val"


def test_dasnet(voc, bash, tmp_path):
    script = f"{EXAMPLES / 'dasnet.sh'} {voc} runs/das"
    quick = {
        "BACKBONE": "tiny", "MASKS": "1", "DET": "--init none --iterations 2 --batch-size 2 --crop-size 129",
        "SEG": "--iterations 2 --batch-size 2",
    }  # fmt: skip
    done = bash(script, tmp_path, **quick, WSS_SPLIT="val")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "das"
    drawn = json.loads((out / "seg" / "wss.json").read_text())["options"]["images"]
    for name, ledger in (("det", ["boxes"]), ("seg", ["boxes", f"masks:{len(drawn)}"])):
        manifest = json.loads((out / name / "wss.json").read_text())
        assert manifest["supervision"] == ledger and manifest["split"] == "train"
    for name in ("val", "upper", "objects"):
        assert open_maskdir(out / name).manifest.split == "val"
    assert "AP^r, protocol sds" in done.stderr and json.loads((out / "objects" / "instances.json").read_text())
    again = bash(script, tmp_path, **quick)
    assert again.returncode == 0 and again.stderr.count("nothing to do") == 5
