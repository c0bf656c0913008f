"""Pictures of the supervision of a training on seeds: how good it is, and what it looks like, epoch by epoch.

Nothing of them enters the training. All are drawn from what lies in the model directory (log.jsonl, stored masks),
so a training that was killed and goes on ends with the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import WssError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from wsscli.classes import ClassTable
    from wsscli.train.loop import Watcher
    from wsscli.train.objectives import Seeds
    from wsscli.train.samples import SeedSamples

    U8 = NDArray[np.uint8]

CURVE = "supervision.svg"
FOLDER = "supervision"
SHOWN = ("precision", "recall", "iou")
TILE = 240  # pixels of a picture's longer side
COLUMNS = 6  # pictures a row


def check_snapshots(names: Sequence[str], ids: Sequence[str]) -> None:
    """Raises WssError when a picture is asked of an image that is not trained on."""
    known = frozenset(ids)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise WssError(
            f"--snapshot-supervision {unknown[0]}: not among the {len(ids)} images of this training, which begin with "
            f"'{ids[0]}'; give ids as the seeds' directory has them"
        )


def epochs_at(iteration: int, batch_size: int, images: int) -> float:
    """The epoch that ended with this iteration; within an epoch, the passes over the images so far."""
    done = iteration * batch_size // images
    ended = done > (iteration - 1) * batch_size // images
    return float(done) if ended else iteration * batch_size / images


def curve_watcher(directory: Path, batch_size: int, images: int, other: Watcher | None = None) -> Watcher:
    """What draws `supervision.svg` anew after every epoch of a training whose supervision is measured.

    Args:
        directory: of the model, with its log.
        batch_size: images an iteration.
        images: that are trained on.
        other: sees every row as well.
    """
    from wsscli.maskdir.files import write_atomic
    from wsscli.train.loop import read_log

    def watch(row: dict[str, Any]) -> None:
        if other is not None:
            other(row)
        if row["event"] == "epoch":
            write_atomic(directory / CURVE, curve(read_log(directory), batch_size, images).encode())

    return watch


def curve(rows: Sequence[dict[str, Any]], batch_size: int, images: int) -> str:
    """Precision, recall and IoU of the supervision over the epochs, in percent, as an SVG file; epoch 0 = the seeds.

    Args:
        rows: of the log.
        batch_size: images an iteration.
        images: that are trained on.

    Source: Huang et al. 2018 (DSRG), figure 4.
    """
    from wsscli.report.curve import line_plot

    measured = [row for row in rows if "supervision" in row]
    states = [(0.0, measured[0]["seeds"])] if measured else []
    states += [(epochs_at(row["iteration"], batch_size, images), row["supervision"]) for row in measured]
    series = {
        name: [(at, 100 * state[name]) for at, state in states if state[name] is not None] for name in SHOWN
    }  # fmt: skip
    matrix = states[-1][1]["confusion"] if states else []
    present = sum(any(row) or any(other[c] for other in matrix) for c, row in enumerate(matrix))
    return line_plot(
        {"IoU" if name == "iou" else name: points for name, points in series.items()},
        title="Supervision against true masks", x_label="epoch (0: the seeds)", y_label="percent", y_range=(0.0, 100.0),
        size=(520, 330), whole_x=True, alone=True,
        notes=(
            f"Means over the {present} classes that occur, at the points that enter the loss.",
            "Unlabelled points lower recall and IoU, not precision.",
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Snapshots:
    """Keeps and draws the supervision of single images, whole and as they are, after every epoch.

    `<id>/iteration-000000.png` are the seeds, `<id>/iteration-000123.png` what the net of iteration 123 would be
    trained on: indexed masks of the photo's size, made from the points that enter the loss. `<id>.png` shows them all
    in a row.

    Attributes:
        root: where they go.
        names: the images.
        samples: what is trained on.
        objective: of the training.
        photo: reads a photo.
        truth: reads a true mask; None when there are none.
        classes: the class table.
        device, bf16, channels_last, batch_size: of the training.

    Source: Huang et al. 2018 (DSRG), figure 1.
    """

    root: Path
    names: tuple[str, ...]
    samples: SeedSamples
    objective: Seeds
    photo: Callable[[str], U8]
    truth: Callable[[str], U8] | None
    classes: ClassTable
    device: torch.device
    bf16: bool
    channels_last: bool
    batch_size: int

    def begin(self) -> None:
        """Keep the seeds."""
        step = self.objective.step
        for name in self.names:
            self._keep(name, 0, self.samples.whole(self.samples.ids.index(name))[1][::step, ::step])

    def __call__(self, model: Any, iteration: int) -> dict[str, float]:
        """Keep what this net, in evaluation, would be trained on; no numbers for the log."""
        for name in self.names:
            batch = self._batch(self.samples.whole(self.samples.ids.index(name)))
            self._keep(name, iteration, self._supervision(model, batch))
        return {}

    def _batch(self, sample: tuple[NDArray[Any], ...]) -> list[torch.Tensor]:
        import numpy as np
        import torch

        image, *targets = (torch.from_numpy(np.ascontiguousarray(part))[None].to(self.device) for part in sample)
        image = image.permute(0, 3, 1, 2)  # (1,S,S,3) -> channels last in memory
        return [image if self.channels_last else image.contiguous(), *targets]

    def _supervision(self, model: Any, batch: list[torch.Tensor]) -> U8:
        """uint8 (h,w), at the points that enter the loss."""
        import torch

        images = model.backbone.normalise(batch[0])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            outputs = model(images).float()
        if not bool(outputs.isfinite().all()):
            raise WssError(f"{self.root.parent}: the net gives NaN or infinity; use --overwrite and a lower --lr")
        found: U8 = self.objective.supervision(outputs, batch)[0].cpu().numpy()
        return found

    def _keep(self, name: str, iteration: int, mask: U8) -> None:
        from wsscli.maskdir.png import write_mask

        photo = self.photo(name)
        mask = to_photo(mask, (photo.shape[0], photo.shape[1]), self.samples.augment.crop, self.objective.step)
        write_mask(self.root / name / f"iteration-{iteration:06d}.png", mask)
        self._draw(name, photo)

    def _draw(self, name: str, photo: U8) -> None:
        import io

        from PIL import Image

        from wsscli.maskdir.files import write_atomic
        from wsscli.maskdir.png import read_mask
        from wsscli.report.overlay import fit_size, resize_image
        from wsscli.report.tiles import side_by_side
        from wsscli.steps._pictures import Tile, legend_of, mask_tile

        height, width = photo.shape[:2]
        small = resize_image(photo, fit_size((height, width), TILE))
        truth = self.truth(name) if self.truth is not None else None
        tiles = [Tile(small, "image", f"{width}x{height}")]
        kept = {int(path.stem.rpartition("-")[2]): path for path in (self.root / name).glob("iteration-*.png")}
        for iteration, path in sorted(kept.items()):
            epochs = epochs_at(iteration, self.batch_size, len(self.samples))
            caption = f"epoch {epochs:.3g}" if iteration else "seeds"
            tiles.append(mask_tile(small, read_mask(path), caption, truth=truth))
        if truth is not None:
            tiles.append(mask_tile(small, truth, "truth"))
        sheet = side_by_side(
            [tile.picture for tile in tiles],
            [f"{tile.caption}  {tile.note}".rstrip() for tile in tiles],
            title=name,
            legend=legend_of(frozenset().union(*(tile.values for tile in tiles)), self.classes),
            columns=COLUMNS,
        )
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "PNG")
        write_atomic(self.root / f"{name}.png", buffer.getvalue())


def to_photo(mask: U8, size: tuple[int, int], side: int, step: int) -> U8:
    """A mask at the points of a grid, spread over the photo: each pixel takes its nearest point.

    Args:
        mask: uint8 (h,w), at every `step`-th row and column of a square of `side` pixels.
        size: (H,W) of the photo that was warped to the square.
        side: of the square.
        step: distance of the points in pixels of the square.
    """
    import numpy as np

    rows, columns = (
        np.clip(np.floor(((np.arange(length) + 0.5) * side / length - 0.5) / step + 0.5), 0, points - 1).astype(np.intp)
        for length, points in zip(size, mask.shape, strict=True)
    )
    return np.ascontiguousarray(mask[rows[:, None], columns])
