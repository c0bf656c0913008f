"""Which folders make up a class: ImageNet's synsets, say, as the classes of another data set."""

from __future__ import annotations

import json
from pathlib import Path

from wsscli.classes import ClassTable
from wsscli.errors import WssError

_FORM = 'write {"class": ["folder", ...], ...}'


def read_class_folders(path: Path) -> dict[str, tuple[str, ...]]:
    """Class name -> names of its folders, in the order of the file.

    Raises:
        WssError: not readable, not such an object, a class without folders, a class or a folder twice, names that
            make no class table (the background, an empty name, too many).
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=list)
    except FileNotFoundError as error:
        raise WssError(f"{path}: no such file; check the path given with --class-folders") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WssError(f"{path}: cannot be read as JSON ({error}); {_FORM}") from error
    if not isinstance(content, list) or not content or not all(_is_entry(entry) for entry in content):
        raise WssError(f"{path}: not an object of classes with lists of folder names; {_FORM}")
    found: dict[str, tuple[str, ...]] = {}
    owner: dict[str, str] = {}
    for name, folders in content:
        if name in found:
            raise WssError(f"{path}: the class '{name}' stands twice; put all its folders into one list")
        if not folders:
            raise WssError(f"{path}: the class '{name}' has no folder; name one, or take the class out")
        for folder in folders:
            if folder in owner:
                raise WssError(
                    f"{path}: the folder '{folder}' is listed twice, for '{owner[folder]}' and '{name}'; an image has "
                    "the one class of its folder"
                )
            owner[folder] = name
        found[name] = tuple(folders)
    try:
        ClassTable.of(found)
    except WssError as error:
        raise WssError(f"{path}: {error}") from error
    return found


def _is_entry(entry: object) -> bool:
    # with pairs as lists an inner object is a list of pairs, too: its items are no strings
    return (
        isinstance(entry, tuple)
        and isinstance(entry[1], list)
        and all(isinstance(folder, str) and folder and "/" not in folder for folder in entry[1])
    )
