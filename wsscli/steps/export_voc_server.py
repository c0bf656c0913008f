"""`wss export voc-server`: predictions as PASCAL VOC's test server wants them."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsscli.errors import WssError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsscli.maskdir.maskdir import MaskDir

log = logging.getLogger("wsscli")
_ARCHIVES = (".tgz", ".tar.gz")


@dataclass(frozen=True)
class Files:
    """What to do with what is there.

    Attributes:
        ids: The image ids the server expects (VOC's ImageSets/Segmentation/test.txt), one a line; others are left
            out, a missing one is an error.
        dry_run: Check the masks, say what would be written, and do nothing.
        overwrite: Replace an archive or folder that is there with other content.
    """

    ids: Path | None = None
    dry_run: bool = False
    overwrite: bool = False


def export_voc_server(
    source: Path,
    out: Path,
    *,
    competition: Literal["comp5", "comp6"] = "comp6",
    year: str = "VOC2012",
    image_set: str = "test",
    files: Files = Files(),
) -> Path:
    """Pack predictions for PASCAL VOC's test server: results/VOC2012/Segmentation/comp6_test_cls/<id>.png.

    Args:
        source: Mask directory of complete predictions (every pixel one of VOC's 21 classes).
        out: Archive to write (.tgz, .tar.gz), or a folder.
        competition: comp5 (trained on VOC's data alone) or comp6 (on any data, as with ImageNet weights).
        year: VOC set of the server.
        image_set: Image set of the server.
        files: Which ids, and what to do with what is there.

    Returns:
        The archive or folder. Equal masks give equal bytes.

    Raises:
        WssError: pixels are unlabelled (255) or of no VOC class, images are missing, or the class table is not
            VOC's.

    Source: http://host.robots.ox.ac.uk:8080/eval/upload and the VOC2012 development kit, section 4.2.
    """
    from wsscli.classes import ClassTable
    from wsscli.data.ids import check_id
    from wsscli.data.voc import VOC_NAMES
    from wsscli.maskdir.maskdir import open_maskdir

    for name in (year, image_set):
        check_id(name, "the server's path")
    folder = open_maskdir(source, need="masks")
    wanted = ClassTable.of(VOC_NAMES)
    if folder.classes is not None and folder.classes != wanted:
        raise WssError(
            f"{source}: has {len(folder.classes)} classes ({', '.join(folder.classes.names[:4])}, ...), but the server "
            "knows VOC's 21 in their order; predict with a net of VOC's classes"
        )
    ids = _ids(folder, files.ids)
    _check(folder, ids, len(wanted))
    inside = f"results/{year}/Segmentation/{competition}_{image_set}_cls"
    if files.dry_run:
        log.info("would pack %d masks of %s as %s/*.png into %s", len(ids), source, inside, out)
        return out
    if out.name.endswith(_ARCHIVES):
        _write_archive(out, inside, folder, ids, overwrite=files.overwrite)
    else:
        _write_folder(out, inside, folder, ids, overwrite=files.overwrite)
    return out


def _ids(folder: MaskDir, listed: Path | None) -> list[str]:
    from wsscli.data.ids import read_ids

    ids = folder.ids
    if listed is not None:
        there, ids = set(ids), sorted(read_ids(listed, folder.ids))
        absent = [name for name in ids if name not in there]
        if absent:
            raise WssError(
                f"{folder.path}: no mask for {len(absent)} of the {len(ids)} ids of {listed}, "
                f"the first is '{absent[0]}'; predict these images too"
            )
    nested = next((name for name in ids if "/" in name), None)
    if nested is not None:
        raise WssError(f"{folder.path}: id '{nested}' has a '/'; the server's ids are plain names as 2008_000006")
    return ids


def _check(folder: MaskDir, ids: list[str], n: int) -> None:
    """Every pixel must be a class: all masks are looked at before anything is written."""
    import numpy as np

    bare: list[str] = []
    pixels = 0
    for name in ids:
        counts = np.bincount(folder.mask(name).ravel(), minlength=256)
        if counts[n:255].any():
            value = n + int(np.flatnonzero(counts[n:255])[0])
            raise WssError(f"{folder.mask_path(name)}: value {value}, but VOC's classes end at {n - 1}")
        if counts[255]:
            bare.append(name)
            pixels += int(counts[255])
    if bare:
        shown = ", ".join(bare[:5]) + (", ..." if len(bare) > 5 else "")
        raise WssError(
            f"{folder.path}: {pixels} pixels are unlabelled (255) in {len(bare)} of {len(ids)} masks ({shown}); "
            "the server takes complete predictions only: export the output of `wss predict`, or `wss crf` first"
        )


def _encoded(folder: MaskDir, ids: list[str]) -> Iterator[tuple[str, bytes]]:
    """(file name, PNG with VOC's palette); written anew, so that bytes depend on nothing but the pixels."""
    from wsscli.maskdir.png import encode_mask

    for name in ids:
        yield f"{name}.png", encode_mask(folder.mask(name))


def _write_archive(out: Path, inside: str, folder: MaskDir, ids: list[str], *, overwrite: bool) -> None:
    import gzip
    import io
    import tarfile

    from wsscli.maskdir.files import writing_failed

    part = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # no time, owner or file name inside: the same masks give the same bytes
        with (
            part.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for name, data in _encoded(folder, ids):
                entry = tarfile.TarInfo(f"{inside}/{name}")
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
        if out.exists() and not overwrite:
            if _same(out, part):
                log.info("%s is complete with the same masks: nothing to do", out)
                return
            raise WssError(f"{out}: is there with other content; --overwrite replaces it")
        part.replace(out)
    except OSError as error:
        raise writing_failed(out, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _same(one: Path, other: Path) -> bool:
    import filecmp

    return one.is_file() and filecmp.cmp(one, other, shallow=False)


def _write_folder(out: Path, inside: str, folder: MaskDir, ids: list[str], *, overwrite: bool) -> None:
    from wsscli.maskdir.files import write_atomic

    target = out / inside
    names = {f"{name}.png" for name in ids}
    present = {path.name: path for path in target.iterdir()} if target.is_dir() else {}
    strangers = sorted(name for name in present if name not in names and not name.startswith("."))
    if strangers and not overwrite:
        raise WssError(f"{target}: holds {strangers[0]}, which is not among these masks; --overwrite removes it")
    for name in strangers:
        present[name].unlink()
    for name, data in _encoded(folder, ids):
        if name in present and not overwrite and present[name].read_bytes() != data:
            raise WssError(f"{present[name]}: is there with other content; --overwrite replaces it")
        write_atomic(target / name, data)
