"""The page that `wss demo` leaves: numbers, plots, and every step's picture side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.steps._pictures import Tile

if TYPE_CHECKING:
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.scores import Scores
    from wsscli.report import html
    from wsscli.steps._pictures import U8

SIGNATURE = "wsscli demo"
PICTURE = 256  # longer side of a tile, pixels
_BARS = {1: "#0ba57b", 2: "#2b8ccb", 3: "#d9641a"}
_HEAD = ["step", "precision", "recall", "IoU", "labelled", "seconds", "what it is"]


@dataclass(frozen=True)
class Score:
    """The numbers of one step's output.

    Attributes:
        step: its name in the tables.
        what: one sentence.
        split: what it was judged on.
        precision, recall, iou: means over the classes, background among them.
        coverage: share of the pixels that carry a label.
        seconds: what the step took (its own time only); NaN where another row has it.
    """

    step: str
    what: str
    split: str
    precision: float
    recall: float
    iou: float
    coverage: float
    seconds: float


@dataclass
class Story:
    """Everything the page tells.

    Attributes:
        train, held_out: the two splits of the generated set.
        folders: caption of a column -> the directory it shows, in the order of the columns; the score
            directory is under `heatmap`.
        prediction: masks of the held-out split.
        scores: the numbers, in the order of the chain.
        logs: name of a training -> its model directory.
        sweep: (background threshold, mIoU) of the heatmaps.
        commands: the chain as shell lines.
        photos: rows of the real photos: (name, tiles).
        seconds: the whole run.
        seed: of everything random.
    """

    train: Dataset
    held_out: Dataset
    folders: dict[str, Path]
    prediction: Path
    scores: list[Score] = field(default_factory=list)
    logs: dict[str, Path] = field(default_factory=dict)
    sweep: list[tuple[float, float]] = field(default_factory=list)
    commands: str = ""
    photos: list[tuple[str, list[Tile]]] = field(default_factory=list)
    seconds: float = 0.0
    seed: int = 0


def write_page(story: Story, out: Path, *, rows: int = 9) -> None:
    """Write the page.

    Args:
        story: what to tell.
        out: the HTML file.
        rows: images of each split that are shown.
    """
    from wsscli import __version__
    from wsscli.maskdir.files import write_atomic
    from wsscli.report import html

    train, held_out = story.train, story.held_out
    lead = (
        f"{len(train)} generated images to learn from and {len(held_out)} held out. The networks see which classes "
        "are in an image, never where: true masks are read for the numbers only."
    )
    parts = [_numbers(story), _chain_pictures(story, rows), _held_out_pictures(story, rows)]
    if story.photos:
        parts.append(_photo_pictures(story))
    parts.append(
        html.section(
            "The same from the shell",
            html.text(
                "wss demo --keep DIR leaves every directory of the chain in DIR; what is complete is not made again."
            ),
            html.code(story.commands),
        )
    )
    footer = f"wsscli {__version__}, seed {story.seed}, {story.seconds:.0f} s"
    page = html.page("From image labels to masks", *parts, lead=lead, footer=footer, generator=SIGNATURE)
    write_atomic(out, page.encode())


def _numbers(story: Story) -> html.Html:
    from wsscli.report import html
    from wsscli.report.curve import line_plot

    rows: list[list[html.Cell]] = [
        [s.step, s.precision, s.recall, s.iou, s.coverage, _whole(s.seconds), s.what] for s in story.scores
    ]
    table = html.table(
        _HEAD, rows, bars=_BARS,
        caption="Means over the classes, background among them. Unlabelled pixels lower recall and IoU, not precision.",
    )  # fmt: skip
    plots = [
        html.markup(
            line_plot({name: points}, title=f"Loss of {name}", x_label="iteration", y_label="loss", size=(420, 240))
        )
        for name, points in ((name, losses(folder)) for name, folder in story.logs.items())
        if points
    ]
    if story.sweep:
        plot = line_plot(
            {"mIoU": story.sweep}, title="Heatmaps as masks: the threshold matters", y_range=(0.0, 1.0),
            x_label="score of the background", y_label="mIoU", size=(420, 240),
        )  # fmt: skip
        plots.append(html.markup(plot))
    return html.section("What each step adds", table, html.columns(*plots))


def _whole(seconds: float) -> int | None:
    return round(seconds) if seconds == seconds else None


def losses(model: Path) -> list[tuple[float, float]]:
    """(iteration, loss) of a training's `log.jsonl`: its rows by iteration, else by epoch; empty without any."""
    path = model / "log.jsonl"
    if not path.exists():
        return []
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = [entry for entry in entries if "iteration" in entry and "loss" in entry]
    finest = [entry for entry in found if entry.get("event") == "iterations"] or found
    return [(float(entry["iteration"]), float(entry["loss"])) for entry in finest]


def spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` names, evenly spread over the list."""
    if len(names) <= count:
        return list(names)
    return [names[round(i * (len(names) - 1) / max(1, count - 1))] for i in range(count)]


def _chain_pictures(story: Story, rows: int) -> html.Html:
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.report import html
    from wsscli.steps._pictures import mask_tile

    opened = {caption: open_maskdir(path) for caption, path in story.folders.items()}
    strips, seen = [], frozenset[int]()
    for name in _telling(story.train, rows):
        photo, truth = shown_photo(story.train, name), story.train.truth(name)
        tiles = [Tile(photo, "image")]
        for caption, folder in opened.items():
            if caption == "heatmap":
                tiles.append(heat_tile(photo, folder.scores(name), "heatmap"))
            else:
                tiles.append(mask_tile(photo, folder.mask(name), caption, truth=truth))
        tiles.append(mask_tile(photo, truth, "truth"))
        strip, values = row(name, tiles, story.train)
        strips.append(strip)
        seen |= values
    return html.section(
        "Every step on the images it learned from",
        html.text("Colours are classes; grey hatching is unlabelled; numbers are the IoU of that one image."),
        _legend(seen, story.train),
        *strips,
    )


def _held_out_pictures(story: Story, rows: int) -> html.Html:
    from wsscli.maskdir.maskdir import open_maskdir
    from wsscli.report import html
    from wsscli.steps._pictures import mask_tile

    predicted = open_maskdir(story.prediction)
    groups = []
    names = spread(sorted(story.held_out.ids), rows)
    for pair in (names[i : i + 3] for i in range(0, len(names), 3)):
        tiles = []
        for name in pair:
            photo, truth = shown_photo(story.held_out, name), story.held_out.truth(name)
            tiles += [
                Tile(photo, name),
                mask_tile(photo, predicted.mask(name), "prediction", truth=truth),
                mask_tile(photo, truth, "truth"),
            ]
        groups.append(html.strip([html.figure(t.picture, t.caption, note=t.note) for t in tiles]))
    return html.section("The network on images it has never seen", *groups)


def _photo_pictures(story: Story) -> html.Html:
    from wsscli.report import html

    strips = []
    for name, tiles in story.photos:
        figures = [html.figure(t.picture, t.caption, note=t.note) for t in tiles]
        strips.append(html.strip(figures, title=name))
    return html.section(
        "Real photos, no training",
        html.text(
            "scikit-image's sample photos. The heatmaps are those of an ImageNet classifier that came with the package "
            "(wss make-seeds --model imagenet): nothing was trained for them."
        ),
        *strips,
    )


def heat_tile(photo: U8, scores: Scores, caption: str) -> Tile:
    """All foreground maps of an image in one picture, each class in its colour."""
    from wsscli.maskdir.png import voc_palette
    from wsscli.maskdir.scores import resize_maps
    from wsscli.report.overlay import class_heat_overlay

    maps = resize_maps(scores.scores, (photo.shape[0], photo.shape[1]))
    picture = class_heat_overlay(photo, maps, scores.classes, voc_palette())
    return Tile(picture, caption, values=frozenset(int(c) for c in scores.classes))


def row(name: str, tiles: Sequence[Tile], dataset: Dataset) -> tuple[html.Html, frozenset[int]]:
    """The strip of one image, and the labels in it."""
    from wsscli.report import html

    values = frozenset().union(*(tile.values for tile in tiles))
    figures = [html.figure(t.picture, t.caption, note=t.note) for t in tiles]
    return html.strip(figures, title=name, chips=_legend(values - {255}, dataset)), values


def _legend(values: frozenset[int], dataset: Dataset) -> html.Html:
    from wsscli.report import html
    from wsscli.steps._pictures import legend_of

    return html.legend(legend_of(values, dataset.classes))


def shown_photo(dataset: Dataset, name: str, side: int = PICTURE) -> U8:
    """A photo at the size of a tile: its longer side has `side` pixels."""
    from wsscli.report.overlay import fit_size, resize_image

    image = dataset.image(name)
    return resize_image(image, fit_size((image.shape[0], image.shape[1]), side))


def _telling(dataset: Dataset, count: int) -> list[str]:
    """Images to show: those with most classes first, then evenly spread; sorted."""
    names = sorted(dataset.ids)
    several = [name for name in names if len(dataset.labels(name) or ()) > 1]
    chosen = spread(several, (count + 1) // 2 + 1)
    rest = [name for name in names if name not in set(chosen)]
    return sorted([*chosen, *spread(rest, count - len(chosen))])
