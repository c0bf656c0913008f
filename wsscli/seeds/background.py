"""A background for class maps that have none."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import UsageError, WssError

# Both cross at a fifth of a class's maximum, the threshold of Zhou et al. 2016: (1 - m)^7 = m at m = 0.203, and no
# whole A is nearer. A constant says no more of a pixel without any response than of one at the threshold, and a CRF
# that starts from it gives the object back; the power is near 1 there. That a CRF wants the power and not the
# constant was seen on masks of VOC train photos (docs/methods.md); neither number was fitted to them.
DEFAULT_BACKGROUND: Final = "const:0.2"  # for masks by argmax
REFINED_BACKGROUND: Final = "power:7"  # for what goes on with the probabilities: crf, grow

_RULE = re.compile(r"(const|power):([0-9.eE+-]+)")


def add_background(cams: NDArray[np.float32], rule: str) -> NDArray[np.float32]:
    """Probabilities over background and classes from class maps.

    Each class map is divided by its own maximum, so that its strongest place is 1. The background is a constant T
    (`const:T`: with the argmax, class c stands where its normalised map is the largest and above T) or (1 - m)^A with m
    the largest normalised map at the pixel (`power:A`). All of it is divided by its sum.

    Args:
        cams: float32 (K, h, w), >= 0 and finite. A map that is 0 everywhere stays 0. K = 0: all background.
        rule: `const:T` with T in (0, 1], or `power:A` with A > 0.

    Returns:
        float32 (K + 1, h, w), background first, sums to 1.

    Raises:
        UsageError: when the rule is not one of these.
        WssError: when a map is negative or not finite.

    Source: `const`: the threshold on normalised CAMs of Ahn et al. 2019 (IRN) and most after it. `power`: Ahn and
        Kwak 2018 (AffinityNet), equation 2.
    """
    name, value = parse_background(rule)
    if cams.ndim != 3:
        raise WssError(f"background: class maps of shape {cams.shape}; they must be (classes, h, w)")
    if not np.isfinite(cams).all() or (cams < 0).any():
        raise WssError("background: the class maps hold negative values, NaN or infinity; are these cam scores?")
    out = np.empty((len(cams) + 1, *cams.shape[1:]), np.float32)  # (K + 1, h, w)
    top = cams.max(axis=(1, 2), initial=0, keepdims=True)
    np.divide(cams, np.where(top > 0, top, 1), out=out[1:])
    if name == "const":
        out[0] = value
    else:
        np.power(1 - out[1:].max(axis=0, initial=0), np.float32(value), out=out[0])
    # never 0: a constant is positive, and (1 - m)^A is 0 only where some map is 1
    out /= out.sum(axis=0)
    return out


def parse_background(rule: str) -> tuple[str, float]:
    """The name and number of a background rule.

    Raises:
        UsageError: when it is neither `const:T` with T in (0, 1] nor `power:A` with A > 0.
    """
    found = _RULE.fullmatch(rule)
    try:
        value = float(found[2]) if found else float("nan")
    except ValueError:
        value = float("nan")
    if found is None or not (0 < value < np.inf) or (found[1] == "const" and value > 1):
        raise UsageError(f"background: '{rule}' is neither const:T with 0 < T <= 1 nor power:A with A > 0")
    return found[1], value
