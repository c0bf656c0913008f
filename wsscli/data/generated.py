"""The embedded data set: textured things on textured grounds with exact masks, in VOC's layout."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.data.textures import GROUNDS, Floats, Rng, ground, noise, smoothstep
from wsscli.data.things import THINGS, draw_paint
from wsscli.errors import WssError

CLASSES = tuple(THINGS)
PRESETS = {"demo": (60, 20, (192, 256)), "tiny": (8, 4, (48, 64))}  # train images, val images, (height, width)
_OVER = 2  # drawn at twice the size and averaged: smooth edges


class Placed(NamedTuple):
    """A thing in the picture: class id, centre (x, y) and radius in pixels, turn in radians, mirrored or not."""

    label: int
    x: float
    y: float
    radius: float
    turn: float
    mirror: float


class Scene(NamedTuple):
    """One picture: image uint8 (H, W, 3), mask uint8 (H, W), boxes (class id, xmin, ymin, xmax, ymax), 1-based."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    boxes: list[tuple[int, int, int, int, int]]


def write_generated(
    root: Path | str,
    *,
    preset: Literal["demo", "tiny"] = "demo",
    images: int | None = None,
    val: int | None = None,
    size: tuple[int, int] | None = None,
    classes: Sequence[str] = CLASSES,
    seed: int = 0,
) -> Path:
    """Write the set as a VOC devkit: JPEGImages, SegmentationClass, Annotations, ImageSets, classes.txt.

    Every picture is drawn from (seed, split, number) alone: equal arguments give equal bytes, and a longer set
    begins with the shorter one.

    Args:
        root: the folder; files of an earlier call are replaced.
        preset: `demo`, 60 train and 20 val images of 192x256; `tiny`, 8 and 4 of 48x64, for tests and trials.
        images: how many train images (`train_0000` on), instead of the preset's.
        val: how many val images (`val_0000` on), instead of the preset's.
        size: (height, width), instead of the preset's.
        classes: which things, in the order of their ids.
        seed: of the whole set.

    Returns:
        root.

    Raises:
        WssError: an unknown thing, or pictures too small to hold one.
    """
    from wsscli.maskdir.files import write_atomic
    from wsscli.maskdir.png import encode_mask

    root = Path(root)
    table = ClassTable.of(classes)
    preset_images, preset_val, preset_size = PRESETS[preset]
    size = size or preset_size
    counts = {"train": preset_images if images is None else images, "val": preset_val if val is None else val}
    for split, count in counts.items():
        if not count:
            continue  # an empty list would be a split that cannot be opened
        names = [f"{split}_{number:04d}" for number in range(count)]
        for number, name in enumerate(names):
            scene = draw_scene(table, size, np.random.default_rng([seed, split == "val", number]), number)
            buffer = io.BytesIO()
            Image.fromarray(scene.image).save(buffer, "JPEG", quality=93, subsampling=0)
            write_atomic(root / "JPEGImages" / f"{name}.jpg", buffer.getvalue())
            write_atomic(root / "SegmentationClass" / f"{name}.png", encode_mask(scene.mask))
            write_atomic(root / "Annotations" / f"{name}.xml", _annotation(name, scene, table).encode())
        write_atomic(root / "ImageSets" / "Segmentation" / f"{split}.txt", "".join(f"{n}\n" for n in names).encode())
    write_atomic(root / "classes.txt", "".join(f"{name}\n" for name in table.foreground).encode())
    return root


def draw_scene(classes: ClassTable, size: tuple[int, int], rng: Rng, number: int = 0) -> Scene:
    """Draw one picture with one to three things of one to three classes.

    Args:
        classes: the things, background first.
        size: (height, width).
        rng: everything but the first class is drawn from it.
        number: the first thing's class goes round with it, so that small sets are balanced.

    Raises:
        WssError: an unknown thing, or a picture too small to hold one.
    """
    height, width = size
    if min(size) < 24:
        raise WssError(f"a generated picture of {height}x{width} is too small; give at least 24x24")
    for name in classes.foreground:
        if name not in THINGS:
            raise WssError(f"no generated thing '{name}'; there are {', '.join(THINGS)}")
    kinds = list(GROUNDS)
    colour = ground(kinds[int(rng.integers(len(kinds)))], height, width, rng)
    mean = colour.mean(axis=(0, 1))
    mask = np.zeros(size, np.uint8)
    owner = np.full(size, -1, np.int64)
    placed = _place(classes, size, rng, number)
    for index, thing in enumerate(placed):
        _paint(colour, mask, owner, index, thing, classes.names[thing.label], mean, rng)
    grain = rng.normal(0, 0.018, (*size, 3))
    image = (np.clip(colour + grain, 0, 1) * 255).round().astype(np.uint8)
    boxes = []
    for index, thing in enumerate(placed):
        rows, columns = np.nonzero(owner == index)
        if len(rows):
            box = (int(columns.min()) + 1, int(rows.min()) + 1, int(columns.max()) + 1, int(rows.max()) + 1)
            boxes.append((thing.label, *box))
    return Scene(image, mask, boxes)


def _place(classes: ClassTable, size: tuple[int, int], rng: Rng, number: int) -> list[Placed]:
    """Things that hardly overlap and lie in the picture for the most part; larger ones first."""
    height, width = size
    known = len(classes) - 1
    more = int(rng.choice([0, 1, 2], p=[0.35, 0.45, 0.2]))
    labels = [1 + number % known, *(int(label) for label in rng.integers(1, known + 1, more))]
    placed: list[Placed] = []
    for label in labels:
        for _ in range(30):
            radius = min(size) * rng.uniform(0.2, 0.38 if len(labels) < 3 else 0.29)
            x, y = rng.uniform(0.75 * radius, [width - 0.75 * radius, height - 0.75 * radius])
            if all(np.hypot(x - p.x, y - p.y) > 0.85 * (radius + p.radius) for p in placed):
                turn = rng.uniform(-0.6, 0.6) if label % 2 else rng.uniform(-np.pi, np.pi)
                placed.append(Placed(label, x, y, radius, turn, float(rng.choice([-1, 1]))))
                break
    return placed


def _paint(
    colour: Floats,
    mask: NDArray[np.uint8],
    owner: NDArray[np.int64],
    index: int,
    thing: Placed,
    name: str,
    mean: Floats,
    rng: Rng,
) -> None:
    """Draw one thing with its shadow over the picture, in its window only; the mask takes half-covered pixels."""
    height, width = mask.shape
    reach = thing.radius * 1.35
    top, left = max(0, int(thing.y - reach)), max(0, int(thing.x - reach))
    bottom, right = min(height, int(thing.y + reach) + 2), min(width, int(thing.x + reach) + 2)
    y, x = np.mgrid[top * _OVER : bottom * _OVER, left * _OVER : right * _OVER]
    x, y = (x + 0.5) / _OVER - thing.x, (y + 0.5) / _OVER - thing.y
    waves = rng.integers(1 << 30)  # one lattice for outline and shadow

    def local(dx: Floats, dy: Floats) -> tuple[Floats, Floats]:
        wobble = np.random.default_rng(waves)
        dx = dx + 0.12 * thing.radius * (noise(dx / thing.radius * 2.2, dy / thing.radius * 2.2, wobble) - 0.5)
        dy = dy + 0.12 * thing.radius * (noise(dx / thing.radius * 2.2, dy / thing.radius * 2.2, wobble) - 0.5)
        u = (dx * np.cos(thing.turn) + dy * np.sin(thing.turn)) / thing.radius
        v = (dy * np.cos(thing.turn) - dx * np.sin(thing.turn)) / thing.radius
        return u * thing.mirror, v

    outline, surface = THINGS[name]
    shift = 0.12 * thing.radius
    shadow = smoothstep(0.12, -0.08, outline(*local(x - shift, y - shift)))
    u, v = local(x, y)
    inside = outline(u, v) < 0
    paint = surface(u, v, draw_paint(rng, mean), rng)
    window = (slice(top, bottom), slice(left, right))
    over = colour[window].repeat(_OVER, 0).repeat(_OVER, 1)
    over = np.where(inside[..., None], np.clip(paint, 0, 1), over * (1 - 0.5 * shadow)[..., None])
    colour[window] = _average(over)
    covered = _average(inside.astype(np.float64)[..., None])[..., 0] >= 0.5
    mask[window][covered] = thing.label
    owner[window][covered] = index


def _average(over: Floats) -> Floats:
    h, w, channels = over.shape
    blocks: Floats = over.reshape(h // _OVER, _OVER, w // _OVER, _OVER, channels)
    result: Floats = blocks.mean(axis=(1, 3))
    return result


def _annotation(name: str, scene: Scene, classes: ClassTable) -> str:
    height, width = scene.mask.shape
    objects = "".join(
        f"  <object>\n    <name>{escape(classes.names[label])}</name>\n    <bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>\n  </object>\n"
        for label, x0, y0, x1, y1 in scene.boxes
    )
    return (
        f"<annotation>\n  <filename>{name}.jpg</filename>\n  <size><width>{width}</width><height>{height}</height>"
        f"<depth>3</depth></size>\n{objects}</annotation>\n"
    )
