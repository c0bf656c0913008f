"""The tables of RESULTS.md that come from rows which the chains of real photos wrote: results, supervision, intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rows import HERE, Row, read, table

from wsscli.report.curve import line_plot

COMMON = (
    "597 train / 104 val photos, 20 classes, lite0, labels from XML; means over background, cat, cow, dog, horse, person, "
    "sheep."
)
RESULTS = {
    "run": "run", "seed": "seed", "split": "split", "images": "images", "mIoU": "miou", "fg precision": "foreground_precision",
    "fg recall": "foreground_recall", "fg coverage": "foreground_coverage", "ledger": "ledger", "step s": "step_seconds",
}  # fmt: skip
FOREGROUND = {
    "run": "run", "seed": "seed", "split": "split", "images": "images", "Jaccard": "jaccard", "per class, in percent": "per_class",
    "ledger": "ledger", "step s": "step_seconds",
}  # fmt: skip
SUPERVISION = ["precision", "recall", "iou", "coverage", "foreground_precision", "foreground_recall"]


def results(rows: Sequence[Row]) -> str:
    """Rows of results.csv as a table, and their commands."""
    commands = "\n".join(f"- {row['run']}, seed {row['seed']}: `{row['command']}`" for row in rows)
    return (
        f"{table(list(RESULTS), [[row[key] for key in RESULTS.values()] for row in rows])}\n\nCommands:\n\n{commands}"
    )


def sections() -> dict[str, str]:
    """Heading -> text."""
    rows = read("results.csv")
    dsrg = [row for row in rows if "dsrg-" in row["command"] or "full-again" in row["command"]]
    guided = [row for row in rows if "/sg-" in row["command"]]
    coarse = [row for row in rows if "/c2f-" in row["command"]]
    hypotheses = [row for row in rows if "/hyp-" in row["command"]]
    das = [row for row in rows if "/das-" in row["command"]]
    named = [*dsrg, *guided, *coarse, *hypotheses, *das]
    chain = [row for row in rows if row not in named]
    found = {}
    if chain:
        found["The CAM chain on real photos"] = (
            f"`python benchmarks/voc_chain.py ../shared/data/voc`: {COMMON} All options at their defaults, but that the "
            "segmentation nets start from the classifier and predict with `--scales 0.75,1 --flip`.\n\n"
            + results(chain)
        )
    if dsrg:
        found["DSRG on real photos"] = (
            f"`python benchmarks/voc_dsrg.py ../shared/data/voc`: {COMMON} Nets start from the CAM chain's classifier. Pseudo "
            "masks are judged on train, nets on val. Arms that differ in supervision alone are predicted with `--flip`. Made while "
            "the boundary loss was a mean over all pixels of a batch; it is one over each image's now, then over images.\n\n"
            + results(dsrg)
            + intervals(
                [row for row in read("intervals.csv") if not row["first"].startswith(("sg-", "c2f-", "hyp-", "das-"))]
            )
            + supervision()
        )
    if guided:
        found["The self-guided method on real photos"] = (
            f"`python benchmarks/voc_self_guided.py ../shared/data/voc`: {COMMON} The net starts from the CAM chain's classifier. "
            "Labels are judged on train, nets on val; CRF: on the labels (label probability 0.7), and on a net's probabilities "
            "at test (weight 5). The paper's table 1 (as nets on val, without and with CRF): A 42.7, 45.3; R 43.5, 46.3; G of A "
            "41.1, 43.5; G of R 43.1, 45.8; 15 iterations of A 46.8, 49.4; of R 47.3, 50.5.\n\n"
            + results(guided)
            + intervals([row for row in read("intervals.csv") if row["first"].startswith("sg-")])
        )
    if coarse:
        found["Coarse to fine on real photos"] = (
            "`python benchmarks/voc_coarse_to_fine.py ../shared/data/voc`: the 339 train photos of one class, labels from XML, lite0; "
            "means over background, cat, cow, dog, horse, sheep. Masks are judged on these photos, an image without a mask as "
            "all background; GrabCut works at half the photo's size, from the mask itself where nothing else is said (chosen on "
            "these photos). The paper's masks, as nets on val: coarse 32.5, boxes of enhanced 35.2, enhanced 47.7, refined "
            "50.4.\n\n"
            + results(coarse)
            + rounds(coarse)
            + intervals(
                [row for row in read("intervals.csv") if row["first"].startswith("c2f-") and "-fg-" not in row["first"]]
            )
        )
    classfree = read("foreground.csv")
    if classfree:
        found["Class-free foreground on real photos"] = (
            "`python benchmarks/voc_coarse_to_fine.py ../shared/data/voc --only foreground`: student, GrabCut, then nets trained on "
            "class-free masks of the 339 train photos of one class (no label but for that choice, and no true mask, enters). Jaccard of each val photo, "
            "mean over the photos of a class (their image labels), then over cat, cow, dog, horse, person, sheep; in brackets the number "
            "of photos. The paper (MIT Object Discovery, full set): FPN 67.3, DFPN 69.6.\n\n"
            + table(list(FOREGROUND), [[row[key] for key in FOREGROUND.values()] for row in classfree])
            + "\n\nCommands:\n\n"
            + "\n".join(f"- {row['run']}, seed {row['seed']}: `{row['command']}`" for row in classfree)
            + intervals([row for row in read("intervals.csv") if "-fg-" in row["first"]], "Jaccard")
        )
    if hypotheses:
        found["Hypotheses on real photos"] = (
            f"`python benchmarks/voc_hypotheses.py ../shared/data/voc`: {COMMON} Labels are judged on train, nets on val, over "
            "background and five animals unless the row says otherwise (no train photo shows a person alone). The 597 train photos hold "
            "339 of one class. The paper's table 1 (VOC val, 20 classes): network A on all images 39.7, on those of one class 40.6; "
            "network B 40.6 and 41.9; about 2 less without cross-image refinement. The defaults of `--min-area`, `--joined`, `--normalise` "
            "and `--unit-features` were chosen on the masks of 120 of these train photos; nothing was chosen on val. Cross-image refinement "
            "is of features of length 1 unless the row says otherwise. No times: the machine was shared.\n\n"
            + results([row for row in chain if row["run"] == "CAM masks"] + hypotheses)
            + per_class()
            + intervals([row for row in read("intervals.csv") if row["first"].startswith("hyp-")])
        )
    if read("proposals.csv"):
        found["Proposals on real photos"] = proposals()
    objects = read("detections.csv")
    if das or objects:
        found["DASNet on real photos"] = (
            f"`python benchmarks/voc_dasnet.py ../shared/data/voc`: {COMMON} The detector learns from the boxes of all train "
            "photos, DASNet and the plain net from the same masks for as many iterations; the plain net, from ImageNet, predicts "
            "with `--scales 0.75,1 --flip`. Judged on val; nothing was chosen on it. No times: the machine was shared. Rows with "
            "instances were made while the losses of boxes were means over a batch; they are means over each image's now. The paper, "
            "VOC test, VGG-16: 64.8 (5 a class), 66.6 (10), 67.9 (25), 69.2 (all).\n\n"
            + results(das)
            + intervals([row for row in read("intervals.csv") if row["first"].startswith("das-")])
        )
        if objects:
            found["DASNet on real photos"] += detections(objects)
    return found


def per_class() -> str:
    """IoU of each class on val, a row for each net of the hypotheses."""
    rows = read("per_class.csv")
    if not rows:
        return ""
    classes = list(dict.fromkeys(row["class"] for row in rows))
    runs = list(dict.fromkeys((row["run"], row["seed"]) for row in rows))
    iou = {(row["run"], row["seed"], row["class"]): row["iou"] for row in rows}
    shown = [[run, seed, *(iou[run, seed, c] for c in classes)] for run, seed in runs]
    return (
        f"\n\nIoU of each class on val (A: localization maps, B: rough masks; all images, those of one class, as many of all): "
        f"`{rows[0]['command']}`\n\n" + table(["run", "seed", *classes], shown)
    )


def proposals() -> str:
    """What the proposals hold of the val photos' objects."""
    rows = read("proposals.csv")
    keys = ["run", "split", "images", "objects", "kept", "average_best_overlap", "recall_50", "recall_70"]
    lines = [[row[key] for key in keys] for row in rows]
    return (
        f"Proposals against the objects of the val photos, `{rows[0]['command']}`; making them beside other jobs took "
        f"{rows[0]['step_seconds']} s.\n\n{table([key.replace('_', ' ') for key in keys], lines)}"
    )


def detections(rows: Sequence[Row]) -> str:
    """Rows of detections.csv: boxes, and instances of objects that are alone of their class in their photo."""
    keys = ("ap50", "ap70", "ap75", "ap50_voc07", "ap_coco", "ap50_coco", "ap75_coco")
    head = ["run", "seed", *(key.replace("_", " ") for key in keys), "ledger", "s"]
    lines = [
        [row["run"], row["seed"], *(row[key] or "-" for key in keys), row["ledger"], row["step_seconds"]]
        for row in rows
    ]
    commands = "\n".join(f"- {row['run']}, seed {row['seed']}: `{row['command']}`" for row in rows)
    return (
        "\n\nBoxes, and single objects (AP^r, those that are alone of their class in their photo; the paper, VOC val, all "
        f"masks: 57.6 at 0.5, 33.7 at 0.7), val:\n\n{table(head, lines)}\n\nCommands:\n\n{commands}"
    )


def intervals(rows: Sequence[Row], measure: str = "mIoU") -> str:
    """Paired bootstrap intervals."""
    if not rows:
        return ""
    head = ["first", "second", "split", f"{measure} difference", "95% interval", "resolved"]
    lines = [
        [
            row["first"],
            row["second"],
            row["split"],
            row["difference"],
            f"{row['low']} to {row['high']}",
            row["resolved"],
        ]
        for row in rows
    ]
    return f"\n\nDifferences, paired bootstrap over the images (1000 draws):\n\n{table(head, lines)}"


def rounds(rows: Sequence[Row]) -> str:
    """The paper's figure 6, of masks: the rounds with GrabCut and without."""
    begin = [row for row in rows if row["run"].endswith("enhanced masks (GrabCut from the mask)")]
    kinds = {
        "with GrabCut: as predicted, own class": r"refined masks, round (\d+)",
        "with GrabCut: after it": r"refined masks, round (\d+), GrabCut",
        "without GrabCut": r"refined masks, round (\d+), without GrabCut",
    }
    series = {}
    for kind, form in kinds.items():
        found = [(re.search(f"{form}$", row["run"]), row) for row in rows]
        points = [(float(match[1]), 100 * float(row["miou"])) for match, row in found if match]
        if points:
            series[kind] = [*((0.0, 100 * float(row["miou"])) for row in begin), *points]
    if not series:
        return ""
    values = [y for points in series.values() for _, y in points]
    write(
        "rounds.svg", series, title="Masks of the train photos, round by round", x_label="round (0: enhanced masks)",
        y_range=(min(values) // 5 * 5, max(values) // 5 * 5 + 5),
    )  # fmt: skip
    return "\n\nRounds with and without GrabCut (the paper's figure 6):\n\n![mIoU over the rounds](rounds.svg)"


def supervision() -> str:
    """The supervision of each arm at its start and its end, and a picture of all epochs."""
    rows = read("supervision.csv")
    arms = list(dict.fromkeys((row["run"], row["seed"]) for row in rows))
    if not arms:
        return ""
    lines = []
    for arm in arms:
        mine = [row for row in rows if (row["run"], row["seed"]) == arm]
        first, last = mine[0], mine[-1]
        lines.append([*arm, *(f"{first[key]} -> {last[key]}" for key in SUPERVISION)])
    draw(rows)
    return (
        "\n\nThe supervision itself against the true masks of the train photos, at the grid of the loss, from the seeds (before "
        "training) to the last epoch; which no training sees. Rows of every epoch: `supervision.csv`.\n\n"
        + table(["run", "seed", *(key.replace("_", " ") for key in SUPERVISION)], lines)
        + "\n\n![supervision over the epochs](supervision.svg)"
    )


def draw(rows: Sequence[Row]) -> None:
    """The paper's figure 4 for the arm that grows both sides."""
    mine = [row for row in rows if row["run"].startswith("balanced seeding + growing") and row["seed"] == "0"]
    series = {
        f"{key}, {row['run'].rpartition(', ')[2]}": [
            (float(other["epoch"]), 100 * float(other[key])) for other in mine if other["run"] == row["run"]
        ]
        for row in mine
        for key in ("precision", "recall", "iou")
    }
    write(
        "supervision.svg", series, title="Supervision while it grows", x_label="epoch (0: the seeds)", y_range=(0, 100)
    )


def write(name: str, series: Mapping[str, Sequence[tuple[float, float]]], **options: Any) -> None:
    """A picture beside RESULTS.md."""
    picture = line_plot(series, y_label="%", size=(620, 360), whole_x=True, alone=True, **options)
    (HERE / name).write_text(picture, encoding="utf-8")
