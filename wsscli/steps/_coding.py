"""Masks of black and white where class ids are needed: in those, 255 is no object but unlabelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsscli.errors import WssError

if TYPE_CHECKING:
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.steps._target import Target

_MEANS = "hold 0 and 255 only, and 255 is unlabelled, so there is no object in any"


def refuse_black_and_white(folder: MaskDir) -> None:
    """A plain folder must not hold black and white masks; whatever wss wrote holds ids.

    Raises:
        WssError: 0 and 255 are the only values of all its masks.
    """
    from wsscli.maskdir.classfree import black_and_white

    if folder.manifest is None and black_and_white(map(folder.mask, folder.ids)):
        raise WssError(
            f"{folder.path}: its {len(folder.ids)} masks {_MEANS}; if 255 is foreground here, convert the folder once "
            f"with `wss import masks {folder.path} --binary -o OUT`"
        )


def refuse_black_and_white_truth(target: Target) -> None:
    """The same of a data set's own true masks.

    Raises:
        WssError: 0 and 255 are the only values of all true masks of the split.
    """
    from wsscli.maskdir.classfree import black_and_white

    bare = target.without(target.ids)
    if black_and_white(target.read(name)[0] for name in target.ids if name not in bare):
        raise WssError(
            f"{target.name}: its {len(target.ids) - len(bare)} true masks of split {target.split} {_MEANS}; if 255 is "
            "foreground there, convert their folder once with `wss import masks FOLDER --binary -o OUT` and judge by "
            "--truth OUT"
        )
