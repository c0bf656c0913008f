"""A folder of CAM dictionaries: that of other code, or one that `wss export cam-npy` wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from wsscli.data.cam_npy import (
    FORMS,
    Content,
    Schema,
    choose_map,
    fit_maps,
    is_empty,
    read_dictionary,
    read_maps,
    schema_of,
)
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import Input, Manifest, read_manifest
from wsscli.maskdir.maskdir import folder_digest, ids_under
from wsscli.maskdir.shards import how_to_complete

KIND = "cams"  # the kind of a manifest, and the folder under it that holds the files
SUFFIX = ".npy"


@dataclass(frozen=True)
class CamFolder:
    """A folder of CAM dictionaries, open for reading.

    Attributes:
        path: the folder as it was given.
        files: where the files lie.
        manifest: None for a folder of other code.
    """

    path: Path
    files: Path
    manifest: Manifest | None

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all files, sorted."""
        return sorted(ids_under(self.files, SUFFIX))

    def file(self, name: str) -> Path:
        return self.files / f"{name}{SUFFIX}"

    def read(self, name: str) -> Content:
        """The dictionary of one image. Raises WssError when it cannot be read."""
        return read_dictionary(self.file(name))

    def as_input(self) -> Input:
        """This folder in the lineage; without a manifest its ids and file sizes stand in for its content."""
        digest = self.manifest.digest() if self.manifest else folder_digest(self.files, SUFFIX)
        return Input(KIND, str(self.path.resolve()), digest)


def open_cam_folder(path: Path) -> CamFolder:
    """Open a folder of CAM dictionaries.

    Raises:
        WssError: no such folder, no `.npy` in it, incomplete, or a directory of another kind.
    """
    if not path.is_dir():
        raise WssError(f"{path}: no such folder of CAM files; check the path")
    manifest = read_manifest(path)
    if manifest is not None and manifest.kind != KIND:
        raise WssError(
            f"{path}: holds {manifest.kind} (written by `wss {manifest.step}`), but a folder of CAM files (.npy) is "
            "needed"
        )
    if manifest is not None and not manifest.complete:
        raise WssError(f"{path}: {how_to_complete(path, manifest.step)}")
    folder = CamFolder(path, path / KIND if manifest else path, manifest)
    if not folder.ids:
        raise WssError(f"{path}: no .npy file here; give the folder that the CAM files lie in")
    return folder


def cams_faults(path: Path, manifest: Manifest, size: tuple[int, int] | None) -> list[str]:
    """What is wrong with a file that `wss export cam-npy` wrote.

    Args:
        path: the file.
        manifest: of its directory.
        size: (H, W) of the photo; not compared when None.

    Returns:
        One sentence a fault, without the file's name; empty when it is right.
    """
    schema = manifest.options.get("schema")
    if schema not in FORMS or manifest.classes is None:
        return [f"is of the schema {schema!r}, which this wss does not know"]
    try:
        content = read_dictionary(path)
        entry = None if is_empty(content) else choose_map(content, path, schema)
        maps, classes = read_maps(content, path, schema, entry, manifest.classes)
        if size is not None and len(classes):
            fit_maps(maps, size, path)
    except WssError as error:
        return [str(error).removeprefix(f"{path}: ")]
    return []


@dataclass(frozen=True)
class Layout:
    """How the files of a folder are laid out.

    Attributes:
        schema: the schema of all of them.
        entry: the entry that the maps are read from; None for psa.
        seen_in: the file that the schema was found by; None when it was named.
    """

    schema: Schema
    entry: str | None
    seen_in: Path | None

    def check(self, content: Content, path: Path) -> None:
        """Raises WssError when a file is of another schema than the one found by looking at the first."""
        if self.seen_in is None:
            return
        found = schema_of(content, path)
        if found not in (None, self.schema):
            raise WssError(
                f"{path}: is of the schema {found}, but {self.seen_in} is of {self.schema}; a folder holds one schema: "
                "sort the files, or name the schema with --schema"
            )


def find_layout(folder: CamFolder, ids: Iterable[str], schema: Schema | None, entry: str | None) -> Layout:
    """Settle schema and entry by the first file that has a class.

    Args:
        folder: the files.
        ids: those that will be read, in order.
        schema: as named by the user.
        entry: as named by the user.

    Raises:
        UsageError: an entry is named for psa, whose files have none, or no file tells the schema.
        WssError: a file cannot be read, or is of no known schema.
    """
    if schema == "psa" and entry is not None:
        raise UsageError(f"--map {entry}: files of the schema psa hold one map a class and no entries; leave it out")
    count = 0
    for name in ids:
        count += 1
        content, path = folder.read(name), folder.file(name)
        if is_empty(content):
            continue
        found = schema or schema_of(content, path)
        assert found is not None  # it has a class
        if found == "psa" and entry is not None:
            raise UsageError(
                f"--map {entry}: {path} is of the schema psa, one map a class and no entries; leave it out"
            )
        return Layout(found, entry or choose_map(content, path, found), None if schema else path)
    if schema is not None:
        return Layout(schema, entry, None)
    raise UsageError(
        f"{folder.path}: none of {count} files holds a class, so they tell no schema; name it with --schema "
        f"{'|'.join(get_args(Schema))}"
    )
