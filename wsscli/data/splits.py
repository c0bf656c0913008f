"""Choosing a split: never guessed, never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from wsscli.errors import WssError


def choose_split(root: Path, splits: Sequence[str], asked: str | None) -> str:
    """The split to open: the one asked for, or the only one.

    Raises:
        WssError: when it does not exist, or none is asked for and there are several.
    """
    if asked is None:
        if len(splits) == 1:
            return splits[0]
        raise WssError(f"{root}: has the splits {', '.join(splits)}; say which with --split")
    if asked in splits:
        return asked
    near = get_close_matches(asked, splits, n=1, cutoff=0.7)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise WssError(f"{root}: no split '{asked}'; {hint}splits here: {', '.join(splits)}")
