"""Make the docs' pictures from a directory that `wss demo --keep DIR` left: docs/make_pictures.py DIR.

Those of the self-guided method need its chain there: TABLE=1 examples/self_guided.sh DIR/data DIR/self-guided

Everything in them is drawn by wss or comes with scikit-image; together they stay below 600 KB.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.data.dataset import open_dataset
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.report.tiles import side_by_side
from wsscli.steps._demo_page import heat_tile, shown_photo
from wsscli.steps._pictures import Tile, legend_of, mask_tile, score_tiles

PICTURES = Path(__file__).parent / "pictures"
SIDE = 224
LIMIT = 600_000  # bytes, all of them


def sheet(rows: Sequence[Sequence[Tile]], legend: frozenset[int], table: ClassTable) -> np.ndarray:
    """Rows of tiles with captions, over one legend."""
    tiles = [tile for row in rows for tile in row]
    captions = [f"{tile.caption}  {tile.note}".rstrip() for tile in tiles]
    swatches = legend_of(legend, table) if legend else ()
    return side_by_side([tile.picture for tile in tiles], captions, columns=len(rows[0]), legend=swatches, gap=8)


def chain(root: Path, names: Sequence[str]) -> np.ndarray:
    """Every step of the chain on some images."""
    data = open_dataset(root / "data", split="train")
    columns = {"seeds": "seeds", "grown": "grown", "CRF": "crf", "GrabCut": "grabcut", "prediction": "train"}
    opened = {caption: open_maskdir(root / folder) for caption, folder in columns.items()}
    rows, seen = [], frozenset[int]()
    for name in names:
        photo, truth = shown_photo(data, name, SIDE), data.truth(name)
        tiles = [Tile(photo, "image"), heat_tile(photo, opened["seeds"].scores(name), "heatmap")]
        tiles += [mask_tile(photo, folder.mask(name), c, truth=truth) for c, folder in opened.items()]
        tiles.append(mask_tile(photo, truth, "truth"))
        seen |= frozenset().union(*(tile.values for tile in tiles))
        rows += [tiles[:4], tiles[4:]]  # two rows of four: as wide as README's column
    return sheet(rows, seen, data.classes)


def photos(root: Path) -> np.ndarray:
    """Seeds on real photos by the embedded ImageNet classifier."""
    data = open_dataset(root / "photos")
    seeds, refined = open_maskdir(root / "photos-seeds"), open_maskdir(root / "photos-crf")
    rows, seen = [], frozenset[int]()
    for name in data.ids:
        photo = shown_photo(data, name, SIDE)
        heat = score_tiles(photo, seeds.scores(name), "heatmap", score_type="cam", table=data.classes, most=1)
        tiles = [
            Tile(photo, name), Tile(heat[0].picture, heat[0].caption),
            mask_tile(photo, seeds.mask(name), "seeds"), mask_tile(photo, refined.mask(name), "CRF"),
        ]  # fmt: skip
        seen |= frozenset().union(*(tile.values for tile in tiles))
        rows.append(tiles)
    return sheet(rows, seen, data.classes)


def self_guided(root: Path, names: Sequence[str]) -> np.ndarray:
    """The maps A, R and G of some images, and the labels from them."""
    data = open_dataset(root / "data", split="train")
    stages = {"A": "A", "R": "R", "G, 1 iteration": "G1", "G, 15 iterations": "G15"}
    opened = {caption: open_maskdir(root / "self-guided" / folder) for caption, folder in stages.items()}
    rows, seen = [], frozenset[int]()
    for name in names:
        photo, truth = shown_photo(data, name, SIDE), data.truth(name)
        maps = [Tile(photo, "image"), *(heat_tile(photo, folder.scores(name), c) for c, folder in opened.items())]
        labels = [mask_tile(photo, truth, "truth")]
        labels += [mask_tile(photo, folder.mask(name), f"labels of {c}", truth=truth) for c, folder in opened.items()]
        seen |= frozenset().union(*(tile.values for tile in labels))
        rows += [maps, labels]
    return sheet(rows, seen, data.classes)


def main() -> None:
    root = Path(sys.argv[1])
    names = sys.argv[2:] or ["train_0032", "train_0063"]
    PICTURES.mkdir(exist_ok=True)
    made = {"chain": chain(root, names), "photos": photos(root), "self-guided": self_guided(root, names)}
    for name, picture in made.items():
        Image.fromarray(picture).save(PICTURES / f"{name}.jpg", quality=76, subsampling=0, optimize=True)
    total = sum(path.stat().st_size for path in PICTURES.iterdir())
    print(f"{PICTURES}: {total} bytes")
    if total > LIMIT:
        sys.exit(f"more than {LIMIT} bytes")


if __name__ == "__main__":
    main()
