"""The errors that wss raises on purpose: what is wrong, where, and what to do, in one line."""

from __future__ import annotations

from pathlib import Path


class WssError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with 1."""

    exit_code = 1


class UsageError(WssError):
    """The call itself is off (an option, a combination of options). Exits with 2."""

    exit_code = 2


class PartialError(WssError):
    """The step is done but some images failed under `--keep-going`. Exits with 3.

    Attributes:
        made: the directory that is the step's result, where it is not the one named by -o.
    """

    exit_code = 3

    def __init__(self, text: str, made: Path | None = None) -> None:
        super().__init__(text)
        self.made = made


class ToldElsewhereError(WssError):
    """Another process of the same launch says what is wrong; this one only ends."""


class FailUnderError(WssError):
    """`wss eval --fail-under` was missed. Exits with 4."""

    exit_code = 4
