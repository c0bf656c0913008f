"""Saliency without supervision: how little a region is tied to the image's border, and contrast to such regions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from wsscli.errors import WssError

Float = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

WORK_AREA = 300 * 400  # pixels; the paper's "typical image", for which it finds 200 superpixels enough
SUPERPIXELS = 200
SMALLEST_SUPERPIXEL = 16  # pixels asked for at least, so that a thumbnail gets fewer superpixels, not noise
COMPACTNESS = 20.0
SLIC_ITERATIONS = 5  # of 10: half the time, and the background found is as precise
SIGMA_COLOR = 10.0  # Lab units, eq. 2 and eq. 9
SIGMA_SPACE = 0.25  # of the image's side, eq. 7
SIGMA_BOUNDARY = 1.0  # eq. 6
SMOOTHNESS_FLOOR = 0.1  # mu of eq. 9


@dataclass(frozen=True)
class Regions:
    """Superpixels of an image: their means and who touches whom.

    Attributes:
        colors: (n, 3) mean Lab colour.
        positions: (n, 2) mean row and column, each as a fraction of the image's side.
        neighbours: (n, n) bool, symmetric, diagonal false: superpixels that touch (4-neighbourhood).
        border: (n,) bool, superpixels that touch the image's border.
    """

    colors: Float
    positions: Float
    neighbours: npt.NDArray[np.bool_]
    border: npt.NDArray[np.bool_]


def saliency(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """How much each pixel stands out from what is connected to the image's border (Robust Background Detection).

    No label and no training take part: the supervision is none.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W) float32 in [0, 1], constant in each superpixel, its minimum 0 and its maximum 1; values are exact in
        float16, so that a stored map equals a computed one. An image without contrast (one colour, one pixel, so
        small or flat that it is one superpixel) has nothing salient: zeros.

    Raises:
        WssError: when the array is no RGB image.

    Source: Zhu, Liang, Wei, Sun, "Saliency Optimization from Robust Background Detection", CVPR 2014, sections 3-5.
    Differs: the image is first shrunk to 300 x 400 pixels' area, where the paper's 200 superpixels belong; edges are
        clipped, weak contrast is removed and the result is stretched as in the authors' released code.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise WssError(f"saliency: needs an RGB image, uint8 (H, W, 3), not {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    scale = min(1.0, (WORK_AREA / (height * width)) ** 0.5)
    small = image
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    lab = np.asarray(cv2.cvtColor(small.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), dtype=np.float32)
    labels = superpixels(lab)
    values = region_saliency(describe(labels, lab)).astype(np.float16)
    found = values[labels].astype(np.float32)
    if scale == 1:
        return found
    return np.asarray(cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.float32)


def superpixels(lab: npt.NDArray[np.float32]) -> Labels:
    """SLIC superpixels, about 200, of at least about 16 pixels each.

    Args:
        lab: (h, w, 3) float32, L in [0, 100].

    Returns:
        (h, w) labels 0..n-1, every one of them present, n >= 1.

    Source: Achanta et al., "SLIC Superpixels", PAMI 2012, by scikit-image.
    """
    from skimage.segmentation import slic

    height, width = lab.shape[:2]
    wanted = min(SUPERPIXELS, height * width // SMALLEST_SUPERPIXEL)
    spread = float(lab.max() - lab.min())
    if wanted < 2 or spread == 0:
        return np.zeros((height, width), dtype=np.intp)
    # scikit-image stretches the array to [0, 1] before it weighs colour against place: undo that in the compactness.
    found = slic(
        lab,
        n_segments=wanted,
        compactness=COMPACTNESS / spread,
        max_num_iter=SLIC_ITERATIONS,
        convert2lab=False,
        start_label=0,
        channel_axis=-1,
    )
    _, dense = np.unique(found, return_inverse=True)
    return np.asarray(dense, dtype=np.intp).reshape(height, width)


def describe(labels: Labels, lab: npt.NDArray[np.float32]) -> Regions:
    """Means and neighbourhood of superpixels.

    Args:
        labels: (h, w) labels 0..n-1, all present.
        lab: (h, w, 3) float32 Lab colours.
    """
    height, width = labels.shape
    n = int(labels.max()) + 1
    flat = labels.ravel()
    area = np.bincount(flat, minlength=n).astype(np.float64)
    colors = np.stack([np.bincount(flat, lab[..., k].ravel(), n) / area for k in range(3)], axis=1)
    rows, columns = np.divmod(np.arange(flat.size), width)
    positions = np.stack(
        [np.bincount(flat, (rows + 0.5) / height, n) / area, np.bincount(flat, (columns + 0.5) / width, n) / area],
        axis=1,
    )
    neighbours = np.zeros((n, n), dtype=np.bool_)
    neighbours[labels[:-1], labels[1:]] = True
    neighbours[labels[:, :-1], labels[:, 1:]] = True
    neighbours |= neighbours.T
    np.fill_diagonal(neighbours, False)
    border = np.zeros(n, dtype=np.bool_)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        border[side] = True
    return Regions(colors, positions, neighbours, border)


def region_saliency(regions: Regions) -> Float:
    """Saliency of each superpixel, (n,), minimum 0 and maximum 1, or zeros where nothing has contrast.

    Stretched, not only divided by the maximum: in a third of VOC's photos no superpixel would come out below 0.06.

    Source: Zhu et al. 2014, eq. 9; stretched as in the authors' released code.
    """
    n = len(regions.colors)
    color = _distances(regions.colors)
    if n < 2 or color.max() == 0:
        return np.zeros(n)
    connectivity = boundary_connectivity(regions, color)
    background = 1 - np.exp(-(connectivity**2) / (2 * SIGMA_BOUNDARY**2))  # eq. 6
    near = np.exp(-(_distances(regions.positions) ** 2) / (2 * SIGMA_SPACE**2))  # w_spa of eq. 7
    # Summed by numpy, not by a BLAS product: one order of adding whatever the number of threads.
    contrast = (color * near * background[None, :]).sum(axis=1)  # eq. 7
    solved = optimise(regions, color, background, _keep_strong(contrast))
    return _stretch(solved)


def boundary_connectivity(regions: Regions, color: Float) -> Float:
    """How much of a superpixel's homogeneous region lies on the border, relative to the region's size, (n,) >= 0.

    Args:
        regions: the superpixels.
        color: (n, n) Lab distances.

    Source: Zhu et al. 2014, eq. 1-5: geodesic distances on the graph of touching superpixels in which all border
        superpixels are connected with each other; Len / sqrt(Area).
    Differs: an edge counts only by what it exceeds the mean of every superpixel's smallest distance to a neighbour
        within two steps (the authors' released code; against adding up many small steps, Wei et al., ECCV 2012).
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import floyd_warshall

    n = len(color)
    two_steps = _within_two_steps(regions.neighbours)
    clip = np.where(two_steps, color, np.inf).min(axis=1)
    edges = regions.neighbours | np.outer(regions.border, regions.border)
    length = np.maximum(color - clip[np.isfinite(clip)].mean(), 0)
    np.fill_diagonal(edges, False)
    start, end = np.nonzero(edges)
    # A sparse graph: in a dense one scipy takes the edges of length zero, of which there are many, for no edges.
    distance = floyd_warshall(csr_matrix((length[start, end], (start, end)), shape=(n, n)))
    share = np.exp(-(distance**2) / (2 * SIGMA_COLOR**2))  # S of eq. 2; 0 for an unreachable one
    return np.asarray((share * regions.border[None, :]).sum(axis=1) / np.sqrt(share.sum(axis=1)))  # eq. 5


def optimise(regions: Regions, color: Float, background: Float, foreground: Float) -> Float:
    """Saliency s that minimises sum_i b_i s_i^2 + sum_i f_i (s_i - 1)^2 + sum_ij w_ij (s_i - s_j)^2, (n,).

    Args:
        regions: the superpixels.
        color: (n, n) Lab distances.
        background: (n,) weight b in [0, 1].
        foreground: (n,) weight f in [0, 1].

    Source: Zhu et al. 2014, eq. 9, w_ij = exp(-d^2 / (2 sigma^2)) + 0.1 for neighbours.
    Differs: as in the authors' released code the smoothness reaches neighbours of neighbours and joins the border
        superpixels, and the floor 0.1 holds for touching ones only.
    """
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import spsolve

    n = len(color)
    linked = _within_two_steps(regions.neighbours) | np.outer(regions.border, regions.border)
    np.fill_diagonal(linked, False)
    weight = np.where(linked, np.exp(-(color**2) / (2 * SIGMA_COLOR**2)), 0) + SMOOTHNESS_FLOOR * regions.neighbours
    system = np.diag(weight.sum(axis=1) + background + foreground) - weight
    if not foreground.any():
        return np.zeros(n)
    return np.asarray(spsolve(csc_matrix(system), foreground))


def _keep_strong(contrast: Float) -> Float:
    """Contrast stretched to [0, 1], with what lies below its Otsu threshold set to 0 (the authors' released code)."""
    from skimage.filters import threshold_otsu

    stretched = _stretch(contrast)
    if not stretched.any():
        return stretched
    threshold = float(threshold_otsu(stretched))  # type: ignore[no-untyped-call]
    return np.where(stretched < threshold, 0, stretched)


def _stretch(values: Float) -> Float:
    """To [0, 1], both reached; zeros when all values are the same."""
    low, high = values.min(), values.max()
    return np.asarray((values - low) / (high - low)) if high > low else np.zeros_like(values)


def _within_two_steps(neighbours: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    from scipy.sparse import csr_matrix

    # Sparse: a dense product would wake all of BLAS's threads, which then spin in every worker.
    steps = csr_matrix(neighbours, dtype=np.int32)
    near = np.asarray((steps @ steps + steps).toarray() > 0)
    np.fill_diagonal(near, False)
    return near


def _distances(points: Float) -> Float:
    """(n, d) -> (n, n) Euclidean distances."""
    return np.asarray(np.sqrt(((points[:, None] - points[None, :]) ** 2).sum(axis=2)))
