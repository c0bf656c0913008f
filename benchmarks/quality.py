"""The tables of RESULTS.md that come from rows which the chains of real photos wrote: results, supervision, intervals."""

from __future__ import annotations

from collections.abc import Sequence

from rows import HERE, Row, read

from wsscli.report.curve import line_plot

COMMON = (
    "597 train / 104 val photos, 20 classes, lite0, labels from XML; means over background, cat, cow, dog, horse, person, "
    "sheep."
)
RESULTS = {
    "run": "run", "seed": "seed", "split": "split", "images": "images", "mIoU": "miou", "fg precision": "foreground_precision",
    "fg recall": "foreground_recall", "fg coverage": "foreground_coverage", "ledger": "ledger", "step s": "step_seconds",
}  # fmt: skip
SUPERVISION = ["precision", "recall", "iou", "coverage", "foreground_precision", "foreground_recall"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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
    das = [row for row in rows if "/das-" in row["command"]]
    chain = [row for row in rows if not any(row in others for others in (dsrg, guided, coarse, das))]
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
            "masks are judged on train, nets on val. Arms that differ in supervision alone are predicted with `--flip`.\n\n"
            + results(dsrg)
            + intervals([row for row in read("intervals.csv") if not row["first"].startswith(("sg-", "c2f-", "das-"))])
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
            "all background; GrabCut works at half the photo's size.\n\n"
            + results(coarse)
            + intervals([row for row in read("intervals.csv") if row["first"].startswith("c2f-")])
        )
    objects = read("detections.csv")
    if das or objects:
        found["DASNet on real photos"] = (
            f"`python benchmarks/voc_dasnet.py ../shared/data/voc`: {COMMON} The detector learns from the boxes of all train "
            "photos, DASNet and the plain net from the same masks for as many iterations; the plain net, from ImageNet, predicts "
            "with `--scales 0.75,1 --flip`. Judged on val. The paper, VOC test, VGG-16: 64.8 (5 a class), 66.6 (10), 67.9 (25), 69.2 "
            "(all).\n\n"
            + results(das)
            + intervals([row for row in read("intervals.csv") if row["first"].startswith("das-")])
        )
        if objects:
            found["DASNet on real photos"] += detections(objects)
    return found


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


def intervals(rows: Sequence[Row]) -> str:
    """Paired bootstrap intervals."""
    if not rows:
        return ""
    head = ["first", "second", "split", "mIoU difference", "95% interval", "resolved"]
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
    picture = line_plot(
        series, title="Supervision while it grows", x_label="epoch (0: the seeds)", y_label="%", size=(620, 360),
        y_range=(0, 100), whole_x=True, alone=True,
    )  # fmt: skip
    (HERE / "supervision.svg").write_text(picture, encoding="utf-8")
