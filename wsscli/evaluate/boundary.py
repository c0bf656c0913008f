"""Boundary IoU: how well outlines fit, whatever the size of the objects."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE
from wsscli.errors import WssError
from wsscli.evaluate.confusion import Counts, Unlabelled, confusion


def width(shape: tuple[int, ...], ratio: float = 0.02) -> int:
    """Width of the boundary band in pixels for an image of this (H, W): at least 1."""
    return max(1, round(ratio * float(np.hypot(shape[0], shape[1]))))


def band(mask: NDArray[np.uint8], d: int) -> NDArray[np.bool_]:
    """Which pixels lie within `d` of the outline of the region that carries their own value.

    A pixel survives `d` erosions by 3 x 3 of its own region exactly when the whole (2d+1) x (2d+1) window
    around it has its value; so one minimum and one maximum serve all classes at once. The image's border
    counts as outline, as in the authors' code.

    Args:
        mask: (H, W) any values; 255 is a value like any other.
        d: width in pixels, >= 1.

    Returns:
        (H, W).

    Raises:
        WssError: for a width below 1.
    """
    if d < 1:
        raise WssError(f"boundary width {d}: must be at least 1 pixel")
    kernel = np.ones((2 * d + 1, 2 * d + 1), np.uint8)
    out: NDArray[np.bool_] = cv2.erode(mask, kernel) != cv2.dilate(mask, kernel)
    out[:d], out[-d:], out[:, :d], out[:, -d:] = True, True, True, True
    return out


def boundary_counts(
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    n_classes: int,
    *,
    dilation: float = 0.02,
    unlabelled: Unlabelled = "miss",
    names: tuple[str, str] = ("truth", "prediction"),
) -> Counts:
    """Hits, true and predicted boundary pixels per class of one image; add over images, then take `iou`.

    Args:
        truth: (H, W) class ids; pixels of 255 belong to no mask of either side, so that a prediction equal to
            the truth elsewhere scores 1.
        prediction: (H, W) class ids; 255 = unlabelled, belongs to no mask.
        n_classes: number of classes with the background.
        dilation: width of the band as a part of the image's diagonal.
        unlabelled: `background` reads 255 in the prediction as background; `skip` takes such pixels from the
            truth as well; `miss` leaves both alone.
        names: what the two arrays are called in an error.

    Raises:
        WssError: as `confusion` does.

    Source: Cheng et al., Boundary IoU, CVPR 2021, equation 2, and 2 % of the diagonal from section 5.
    Differs: the paper has instance masks without void pixels; here a class's pixels in an image are one mask,
        and counts are summed over the set before dividing, as for the IoU.
    """
    confusion(truth, prediction, n_classes, names=names)  # sizes and values
    void = truth == IGNORE
    if unlabelled == "background":
        prediction = np.where(prediction == IGNORE, np.uint8(0), prediction)
    elif unlabelled == "skip":
        void |= prediction == IGNORE
    t = np.where(void, np.uint8(IGNORE), truth)
    p = np.where(void, np.uint8(IGNORE), prediction)
    d = width(truth.shape, dilation)
    # outside its own band each side becomes 255, which no count below looks at
    t = np.where(band(t, d), t, np.uint8(IGNORE))
    p = np.where(band(p, d), p, np.uint8(IGNORE))
    both = np.where(t == p, t, np.uint8(IGNORE))
    return Counts(_per_class(both, n_classes), _per_class(t, n_classes), _per_class(p, n_classes))


def _per_class(mask: NDArray[np.uint8], n_classes: int) -> NDArray[np.int64]:
    return np.bincount(mask.ravel(), minlength=n_classes)[:n_classes].astype(np.int64)
