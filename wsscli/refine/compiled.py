"""Compilation by numba, kept on disk where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function at its first call, free of the GIL; later processes load the code from numba's cache.

    The cache lies beside the source or in the user's cache folder. In a container where neither can be written
    numba raises; then every process compiles for itself (seconds, the same results).
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)
