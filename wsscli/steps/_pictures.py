"""Tiles that `wss show` and `wss demo` draw: a photo, a mask over it, score maps over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsscli.classes import IGNORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.maskdir.proposals import ProposalSet
    from wsscli.maskdir.scores import Scores
    from wsscli.report.tiles import Swatch

    U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """One picture with its words.

    Attributes:
        picture: uint8 RGB (H, W, 3).
        caption: what it is.
        note: figures about it.
        values: labels that the picture shows, 255 among them; the legend names them.
    """

    picture: U8
    caption: str
    note: str = ""
    values: frozenset[int] = frozenset()


def class_name(table: ClassTable | None, value: int) -> str:
    """The name of a class id; `class 7` where no table knows it."""
    if table is not None and value < len(table):
        return table.names[value]
    return f"class {value}"


def legend_of(values: frozenset[int], table: ClassTable | None) -> list[Swatch]:
    """The legend's entries for labels that occur, ascending; background left out."""
    from wsscli.maskdir.png import voc_palette
    from wsscli.report.tiles import swatches

    names = [(value, class_name(table, value)) for value in sorted(values - {IGNORE})]
    return swatches(names, voc_palette(), unlabelled=IGNORE in values)


def mask_tile(
    photo: U8, mask: U8, caption: str, *, truth: U8 | None = None, alpha: float = 0.6, edges: bool = True
) -> Tile:
    """A mask over a photo.

    Args:
        photo: uint8 RGB (h, w, 3), at the size of the picture wanted.
        mask: uint8 (H, W), at the photo's original size.
        caption: what it is.
        truth: true mask (H, W); with it the note tells the image's IoU, the mean over the classes that this
            image's truth or mask holds.
        alpha: strength of the colours.
        edges: draw the rims of the regions.
    """
    import numpy as np

    from wsscli.maskdir.png import voc_palette
    from wsscli.report.overlay import mask_overlay, resize_mask

    small = resize_mask(mask, (photo.shape[0], photo.shape[1]))
    picture = mask_overlay(photo, small, voc_palette(), alpha=alpha, edges=edges)
    note = ""
    if truth is not None:
        if truth.shape != mask.shape:
            note = f"size {mask.shape[1]}x{mask.shape[0]}, truth {truth.shape[1]}x{truth.shape[0]}"
        else:
            note = f"IoU {image_iou(truth, mask):.2f}"
    return Tile(picture, caption, note, frozenset(int(v) for v in np.unique(mask)))


def image_iou(truth: U8, mask: U8) -> float:
    """Mean IoU of one image, over the classes that it holds; unlabelled pixels count as missed."""
    from wsscli.evaluate.confusion import confusion
    from wsscli.evaluate.summary import summarise

    top = max((int(a[a != IGNORE].max(initial=0)) for a in (truth, mask)), default=0)
    return summarise(confusion(truth, mask, top + 1)).miou


def score_tiles(
    photo: U8,
    scores: Scores,
    caption: str,
    *,
    score_type: str | None,
    table: ClassTable | None,
    labels: Sequence[int] | None = None,
    most: int = 4,
) -> list[Tile]:
    """One heatmap a class over the photo.

    Args:
        photo: uint8 RGB (h, w, 3), at the size of the picture wanted.
        scores: the score maps.
        caption: which directory they are from.
        score_type: of the manifest. `cam` maps are drawn from 0 to their own maximum, others from 0 to 1.
        table: names of the classes.
        labels: the image's classes; only their maps (and the background's) are drawn. All maps when None.
        most: at most so many maps: those with the highest peaks; the note tells how many are left out.
    """
    import numpy as np

    from wsscli.maskdir.scores import resize_maps
    from wsscli.report.overlay import heat_overlay

    keep = list(range(len(scores.classes)))
    if labels is not None and score_type != "saliency":
        keep = [k for k in keep if int(scores.classes[k]) in (0, *labels)]
    # Foreground by peak, then the background: it is the least telling map.
    keep.sort(key=lambda k: (int(scores.classes[k]) == 0, -float(np.max(scores.scores[k], initial=0.0))))
    maps = resize_maps(scores.scores[keep[:most]], (photo.shape[0], photo.shape[1]))
    tiles = []
    for k, heat in zip(keep, maps, strict=False):
        value = int(scores.classes[k])
        peak = float(scores.scores[k].max())
        name = "saliency" if score_type == "saliency" else class_name(table, value)
        left_out = f", {len(keep) - most} maps left out" if len(keep) > most and k == keep[most - 1] else ""
        picture = heat_overlay(photo, heat, top=None if score_type == "cam" else 1.0)
        tiles.append(Tile(picture, f"{caption}: {name}", f"max {peak:.2f}{left_out}"))
    if not tiles:
        tiles.append(Tile(heat_overlay(photo, np.zeros(photo.shape[:2], np.float32)), caption, "no map"))
    return tiles


def proposal_tile(photo: U8, proposals: ProposalSet, caption: str, *, most: int = 5) -> Tile:
    """The outlines of the best proposals over a photo, the best one's in the first colour of the palette.

    Args:
        photo: uint8 RGB (h, w, 3), at the size of the picture wanted.
        proposals: of the photo, at its original size.
        caption: what they are.
        most: at most so many are drawn.
    """
    import numpy as np

    from wsscli.maskdir.png import voc_palette
    from wsscli.report.overlay import boundaries, display_palette, resize_mask

    height, width = photo.shape[:2]
    colours = display_palette(voc_palette())
    picture = photo // 2 + 64  # muted, so that every colour stands out
    drawn = min(most, len(proposals))
    for k in reversed(range(drawn)):  # the best one last: it covers the others
        inside = np.pad(resize_mask(proposals.mask(k).astype(np.uint8), (height, width)), 1)
        rim = boundaries(inside, max(1, round(min(height, width) / 150)))[1:-1, 1:-1]
        picture[rim] = colours[k + 1]
    return Tile(picture, caption, f"best {drawn} of {len(proposals)}")


def absent_tile(photo: U8, caption: str, note: str) -> Tile:
    """A blank in place of a picture that is not there."""
    import numpy as np

    return Tile(np.full_like(photo, 128), caption, note)
