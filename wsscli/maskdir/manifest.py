"""The manifest `wss.json`: what a directory holds, how it was made, and from what."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.maskdir.files import write_atomic, writing_failed

NAME = "wss.json"
FORMAT = "wss-directory"
VERSION = 1
KINDS = ("masks", "scores", "masks+scores", "model", "detections", "masks+detections", "proposals", "cams", "rounds")
SCORE_TYPES = ("cam", "probability", "soft-label", "saliency")


@dataclass(frozen=True)
class DataRef:
    """The data set a directory speaks of. Paths do not count in the digest.

    Attributes:
        labels: the file of image-level labels, where one was named.
        class_names: the foreground classes, where they were named instead of the data set's own.
        class_folders: the file that says which folders make up a class, where one was named.
    """

    path: str
    format: str
    labels: str | None = None
    class_names: tuple[str, ...] | None = None
    class_folders: str | None = None


@dataclass(frozen=True)
class Input:
    """A directory or file that a step read: its role, its path, the digest of its manifest (or of the file)."""

    role: str
    path: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """All of `wss.json`.

    Attributes:
        kind: one of KINDS.
        step: the subcommand that wrote it.
        options: every resolved option of the step that can change the result, paths left out.
        paths: the options that are paths (their content counts through `inputs`).
        classes: the class table, None for class-free directories.
        split: the split of `data`.
        images: how many images the directory speaks of; `ids_digest`: of their sorted ids.
        supervision: the ledger, sorted: what supervision went in anywhere in the lineage.
        dropped, fell_back: `{"id": ..., "reason": ...}`, sorted by id.
        pixels: pixels of each class name over all masks, and of "unlabelled".
        content: digest over all result files, None while incomplete.
        model: how to build the network again (kind "model" only).
        versions: of wsscli, Python and the libraries; does not count in the digest.
    """

    kind: str
    step: str
    options: dict[str, Any] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    classes: ClassTable | None = None
    data: DataRef | None = None
    split: str | None = None
    images: int = 0
    ids_digest: str = ""
    inputs: tuple[Input, ...] = ()
    supervision: tuple[str, ...] = ()
    score_type: str | None = None
    dropped: tuple[dict[str, str], ...] = ()
    fell_back: tuple[dict[str, str], ...] = ()
    pixels: dict[str, int] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    content: str | None = None
    complete: bool = False
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data, in the order of the file."""
        out: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(self)}
        out["classes"] = list(self.classes.names) if self.classes else None
        return out

    def digest(self) -> str:
        """sha256 of the manifest without versions and paths: equal for two runs of one seed, wherever they ran."""
        plain = self.to_json()
        for name in ("versions", "paths"):
            del plain[name]
        if plain["data"]:
            plain["data"] = {"format": plain["data"]["format"], "labels": plain["data"]["labels"] is not None}
        plain["inputs"] = [{"role": i.role, "digest": i.digest} for i in self.inputs]
        return "sha256:" + hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def finished(self, **changes: Any) -> Manifest:
        """This manifest, complete, with what the run found out."""
        return replace(self, complete=True, **changes)


def ids_digest(ids: Iterable[str]) -> str:
    """sha256 of the sorted ids, a line each."""
    total = hashlib.sha256()
    for name in sorted(ids):
        total.update(name.encode() + b"\n")
    return "sha256:" + total.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes.

    Raises:
        WssError: when it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WssError(f"{path}: cannot be read ({error.strerror})") from error


def content_digest(files: Mapping[str, str]) -> str:
    """One digest over result files, given as relative path -> sha256 of the file."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{name} {files[name]}\n".encode())
    return "sha256:" + total.hexdigest()


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `wss.json` atomically."""
    write_atomic(directory / NAME, _encoded(manifest))


def create_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `wss.json` if there is none yet; of processes on any hosts that do so at one moment, one comes first.

    Raises:
        WssError: it cannot be written.
    """
    path = directory / NAME
    part = directory / f".{NAME}.{uuid4().hex}.part"
    try:
        part.write_bytes(_encoded(manifest))
        try:
            os.link(part, path)  # unlike renaming, this takes nobody's file away
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not path.exists():
                part.replace(path)
    except OSError as error:
        raise writing_failed(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _encoded(manifest: Manifest) -> bytes:
    return (json.dumps(manifest.to_json(), indent=1, ensure_ascii=False) + "\n").encode()


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a directory, None when it has none.

    Raises:
        WssError: damaged, of another format, or of a newer version.
    """
    path = directory / NAME
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WssError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise WssError(
            f"{path}: not a readable manifest ({error}); write the directory again with --overwrite"
        ) from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise WssError(f"{path}: not a manifest of wss (no format '{FORMAT}')")
    version = plain.get("version")
    if version != VERSION:
        raise WssError(f"{path}: manifest version {version!r}, this wss reads {VERSION}; update wsscli")
    try:
        return _from_json(plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise WssError(
            f"{path}: the manifest lacks or garbles an entry ({error}); write the directory again with --overwrite"
        ) from error


def _from_json(plain: dict[str, Any]) -> Manifest:
    values = {k: v for k, v in plain.items() if k not in ("format", "version")}
    values["classes"] = ClassTable(tuple(values["classes"])) if values["classes"] else None
    if values["data"]:
        names = values["data"].get("class_names")
        values["data"] = DataRef(**{**values["data"], "class_names": tuple(names) if names else None})
    values["inputs"] = tuple(Input(**item) for item in values["inputs"])
    for name in ("supervision", "dropped", "fell_back"):
        values[name] = tuple(values[name])
    return Manifest(**values)


_NO_PART = {"watch"}  # directories of refine-round have had it; nothing in them depends on it
_COMPARED = ("kind", "seed", "split", "score_type", "images", "ids_digest")


def difference(present: Manifest, wanted: Manifest) -> str | None:
    """The first thing in which two manifests differ, in words; None when they are of the same run."""
    if present.step != wanted.step:
        return f"it is the output of `wss {present.step}`, not of `wss {wanted.step}`"
    before, now = _plain(present.options), _plain(wanted.options)
    for option in sorted((before.keys() | now.keys()) - _NO_PART):
        if before.get(option) != now.get(option):
            return f"--{option.replace('_', '-')} was {before.get(option)!r}, now {now.get(option)!r}"
    if present.classes != wanted.classes:
        return "the class table differs"
    for name in _COMPARED:
        a, b = getattr(present, name), getattr(wanted, name)
        if a != b:
            what = {"ids_digest": "the image list", "images": "the number of images"}.get(name, name)
            return f"{what} was {a!r}, now {b!r}"
    a_inputs = {i.role: i.digest for i in present.inputs}
    b_inputs = {i.role: i.digest for i in wanted.inputs}
    for role in sorted(a_inputs.keys() | b_inputs.keys()):
        if a_inputs.get(role) != b_inputs.get(role):
            return f"its input '{role}' has changed"
    if present.supervision != wanted.supervision:
        return f"the supervision was {list(present.supervision)}, now {list(wanted.supervision)}"
    return None


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(options))  # tuples as lists, as the file has them
    return plain
