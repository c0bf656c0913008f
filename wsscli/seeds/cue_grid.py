"""Cues on a coarse grid, and the seed mask of the photo that they stand for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsscli.classes import BACKGROUND, IGNORE

Cues = npt.NDArray[np.int64]
Mask = npt.NDArray[np.uint8]


def paint_cues(cues: Cues, grid: int) -> tuple[Mask, int]:
    """Cues as a mask of the grid: one class a cell.

    Args:
        cues: int64 (3, N): class 0..254, row and column 0..grid - 1 of each cue; one cue may stand twice.
        grid: rows and columns of the grid.

    Returns:
        uint8 (grid, grid), 255 where there is no cue, and the number of cells that have cues of several classes. In
        such a cell the foreground goes over the background, and of foreground classes the one with fewer cells in the
        image wins (on a tie the smaller id).

    Source: SEC (Kolesnikov and Lampert, ECCV 2016), section 3.1 on overlaps.
    Differs: the file may give a cell several classes, and the loss of SEC and DSRG counts each; a mask holds one.
    """
    mask = np.full((grid, grid), IGNORE, np.uint8)
    holders = np.zeros((grid, grid), np.int64)
    cells = {}
    for label in np.unique(cues[0]).tolist():
        chosen = np.zeros((grid, grid), np.bool_)
        chosen[tuple(cues[1:, cues[0] == label])] = True
        cells[label] = chosen
        holders += chosen
    # painted from what gives way to what stays on top
    for label in sorted(cells, key=lambda c: (c != BACKGROUND, -int(cells[c].sum()), -c)):
        mask[cells[label]] = label
    return mask, int((holders > 1).sum())


def enlarge(cells: Mask, size: tuple[int, int]) -> Mask:
    """A mask of a grid at the photo's size: each pixel takes the cell that its centre lies in.

    The grid covers the whole photo, whatever its shape (the nets of SEC and DSRG see it warped to a square): row r of
    the cells stands for its height from r / rows to (r + 1) / rows.

    Args:
        cells: uint8 (rows, columns).
        size: (H, W) of the photo.

    Returns:
        uint8 (H, W). Taken back to the grid at pixel centres (`shrink`) it gives `cells` again where the photo has at
        least as many rows and columns; a smaller photo has no pixel for some of them.
    """
    rows, columns = (_nearest(to, of) for to, of in zip(size, cells.shape, strict=True))
    return cells[np.ix_(rows, columns)]


def shrink(mask: Mask, shape: tuple[int, int]) -> Mask:
    """A mask of the photo on a grid: each cell takes the pixel that its centre lies in. The counterpart of `enlarge`.

    Args:
        mask: uint8 (H, W).
        shape: rows and columns of the grid.
    """
    rows, columns = (_nearest(to, of) for to, of in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]


def cells_without_pixel(cells: Mask, size: tuple[int, int]) -> int:
    """How many labelled cells no pixel of a photo of this size shows; 0 unless it is smaller than the grid."""
    shown = np.zeros(cells.shape, np.bool_)
    shown[np.ix_(*(_nearest(to, of) for to, of in zip(size, cells.shape, strict=True)))] = True
    return int(((cells != IGNORE) & ~shown).sum())


def _nearest(to: int, of: int) -> npt.NDArray[np.int64]:
    """For each of `to` places the one of `of` places that its centre lies in; in whole numbers, so exact."""
    return ((2 * np.arange(to, dtype=np.int64) + 1) * of) // (2 * to)
