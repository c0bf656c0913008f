"""`wss show`: overlays of masks and scores, as PNGs or one HTML page."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import Data, dataset_for
from wsscli.steps._run import Run
from wsscli.steps._shard import refuse_shard

if TYPE_CHECKING:
    from wsscli.classes import ClassTable
    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.maskdir import MaskDir
    from wsscli.report import html
    from wsscli.steps._pictures import U8, Tile

log = logging.getLogger("wsscli")

PAGE_LIMIT = 50  # about 5 MB of pictures: a page that every browser opens at once
SIGNATURE = "wsscli show"


def show(
    sources: list[Path],
    out: Path,
    *,
    compare: tuple[Path, ...] = (),
    truth: bool = False,
    scores: bool = False,
    images: Path | None = None,
    size: int | None = None,
    maps: int = 4,
    alpha: float = 0.6,
    boundaries: bool = True,
    title: str = "",
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Draw masks and scores over their photos: one PNG an image, or one HTML page with everything inside.

    Args:
        sources: Mask directories (or plain folders of indexed PNGs), or directories of proposals (the best five are
            outlined), drawn side by side.
        out: A file OUT.html for one self-contained page, or a folder for PNGs.
        compare: More directories, drawn to the right of the first.
        truth: Add the true mask, and the IoU of each picture.
        scores: Draw the score maps also where a directory holds masks.
        images: Photos from this folder, where no data set is at hand.
        size: Longer side of a picture in pixels; 360 in a page, the photo's own in PNGs.
        maps: At most so many score maps an image and directory.
        alpha: Strength of the colours, 0 to 1.
        boundaries: Draw the rims of the regions.
        title: Heading of the page.
        data: The data set; from the first directory's manifest by default.
        run: Common options. A page shows the first 50 images unless --limit or --ids says otherwise.

    Returns:
        The page or the folder.

    Raises:
        UsageError: an option out of its range, or no data set and no photos named.
        WssError: a directory cannot be read, class tables differ, or a file would be replaced that `wss show`
            did not write (--overwrite replaces it).
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"--alpha {alpha:g}: give a number from 0 to 1")
    if size is not None and not 16 <= size <= 8192:
        raise UsageError(f"--size {size}: give 16 to 8192 pixels")
    if maps < 1:
        raise UsageError(f"--maps {maps}: give 1 or more")
    columns = _columns([*sources[:1], *compare, *sources[1:]])
    table = _common_table(columns)
    first = columns[0].opened.manifest
    dataset = _photos(images, data, first)
    table = table or (dataset.classes if images is None else None)
    refuse_shard(run, "show")
    ids = _ids(columns[0].opened, dataset, run, out)
    as_page = _is_page(out)
    drawing = _Drawing(
        columns, dataset, table, truth, scores, size or (360 if as_page else None), maps, alpha, boundaries
    )
    if run.dry_run:
        names = ", ".join(str(column.opened.path) for column in columns)
        log.info("would read %s (%d images of split %s) and write %s", names, len(ids), dataset.split, out)
        return out
    if as_page:
        _write_page(drawing, ids, out, run, title or f"wss show {columns[0].opened.path.name}")
    else:
        _write_pngs(drawing, ids, out, run)
    return out


def _is_page(out: Path) -> bool:
    return out.suffix.lower() in (".html", ".htm")


@dataclass(frozen=True)
class _Column:
    opened: MaskDir
    caption: str
    ids: frozenset[str]


def _columns(paths: Sequence[Path]) -> list[_Column]:
    """The directories, each under the shortest end of its path that tells it from the others."""
    from wsscli.maskdir.maskdir import open_maskdir

    found = [open_maskdir(path, need="anything") for path in paths]
    parts = [path.resolve().parts for path in paths]
    captions = []
    for mine in parts:
        depth = 1
        while depth < len(mine) and sum(other[-depth:] == mine[-depth:] for other in parts) > 1:
            depth += 1
        captions.append("/".join(mine[-depth:]))
    return [_Column(o, c, frozenset(o.ids)) for o, c in zip(found, captions, strict=True)]


def _common_table(columns: Sequence[_Column]) -> ClassTable | None:
    known = [column.opened for column in columns if column.opened.classes is not None]
    for other in known[1:]:
        if other.classes != known[0].classes:
            raise WssError(
                f"{other.path}: its class table is not that of {known[0].path}; one colour would stand for two classes"
            )
    return known[0].classes if known else None


def _photos(images: Path | None, data: Data, manifest: object) -> Dataset:
    from wsscli.data.dataset import open_dataset
    from wsscli.maskdir.manifest import Manifest

    known = manifest if isinstance(manifest, Manifest) else None
    if images is not None:
        return open_dataset(images, format="images")
    if data.data is None and (known is None or known.data is None):
        raise UsageError("no photos: name the data set with --data (or WSS_DATA), or a folder of photos with --images")
    return dataset_for(data, known)


def _ids(opened: MaskDir, dataset: Dataset, run: Run, out: Path) -> list[str]:
    known = set(dataset.ids)
    both = [name for name in opened.ids if name in known]
    if not both:
        raise WssError(
            f"{opened.path}: none of its {len(opened.ids)} images is in {dataset.root} (split {dataset.split}); "
            "name the right --data and --split, or --images"
        )
    if len(both) < len(opened.ids):
        where = f"split {dataset.split} of {dataset.root}"
        log.info("%s: %d of %d images are not in %s", opened.path, len(opened.ids) - len(both), len(opened.ids), where)
    if _is_page(out) and run.limit is None and run.ids is None and len(both) > PAGE_LIMIT:
        log.info("the page shows the first %d of %d images; --limit or --ids shows others", PAGE_LIMIT, len(both))
        run = replace(run, limit=PAGE_LIMIT)
    return run.select(both)


@dataclass(frozen=True)
class _Drawing:
    """Everything that one image's row needs; called in threads."""

    columns: list[_Column]
    dataset: Dataset
    table: ClassTable | None
    truth: bool
    scores: bool
    size: int | None
    maps: int
    alpha: float
    boundaries: bool

    def row(self, name: str) -> list[Tile]:
        from wsscli.classes import FOREGROUND
        from wsscli.maskdir.classfree import class_free
        from wsscli.report.overlay import fit_size, resize_image
        from wsscli.steps._pictures import Tile, absent_tile, proposal_tile, score_tiles

        image = self.dataset.image(name)
        height, width = image.shape[:2]
        photo = resize_image(image, fit_size((height, width), self.size)) if self.size else image
        true_mask = self.dataset.truth(name) if self.truth else None
        labels = self.dataset.labels(name)
        if self.table == FOREGROUND:
            true_mask, labels = class_free(true_mask) if true_mask is not None else None, None
        tiles = [Tile(photo, "image", f"{width}x{height}")]
        for column in self.columns:
            opened = column.opened
            if name not in column.ids:
                tiles.append(absent_tile(photo, column.caption, "no such image here"))
                continue
            if opened.has_scores and (self.scores or not opened.has_masks):
                kind = opened.manifest.score_type if opened.manifest else None
                tiles += score_tiles(
                    photo, opened.scores(name), column.caption,
                    score_type=kind, table=self.table, labels=labels, most=self.maps,
                )  # fmt: skip
            if opened.has_proposals:
                tiles.append(proposal_tile(photo, opened.proposals(name), column.caption))
            if opened.has_masks:
                mask = opened.mask(name)
                tiles.append(self._mask(photo, mask, column.caption, true_mask))
        if true_mask is not None:
            tiles.append(self._mask(photo, true_mask, "truth", None))
        return tiles

    def _mask(self, photo: U8, mask: U8, caption: str, truth: U8 | None) -> Tile:
        from wsscli.steps._pictures import mask_tile

        return mask_tile(photo, mask, caption, truth=truth, alpha=self.alpha, edges=self.boundaries)

    def rows(self, ids: Sequence[str], threads: int) -> Iterator[tuple[str, list[Tile]]]:
        """The rows of these images in order, a few ahead of the reader at most."""
        from joblib import Parallel, delayed

        from wsscli.progress import track
        from wsscli.steps._workers import one_thread_libraries

        parallel = Parallel(
            n_jobs=min(threads, len(ids)), backend="threading", return_as="generator", pre_dispatch="2*n_jobs",
            batch_size=1,
        )  # fmt: skip
        with one_thread_libraries(), track(len(ids), "show") as progress:
            for name, tiles in zip(ids, parallel(delayed(self.row)(name) for name in ids), strict=True):
                yield name, tiles
                progress.advance()


def _values(tiles: Iterable[Tile]) -> frozenset[int]:
    return frozenset().union(*(tile.values for tile in tiles))


def _write_page(drawing: _Drawing, ids: Sequence[str], out: Path, run: Run, title: str) -> None:
    from wsscli.maskdir.files import write_atomic
    from wsscli.report import html
    from wsscli.steps._pictures import legend_of

    if out.is_file() and not run.overwrite and SIGNATURE.encode() not in out.read_bytes()[:400]:
        raise WssError(f"{out}: was not written by `wss show`; use another -o, or --overwrite to replace it")
    if out.is_dir():
        raise WssError(f"{out}: a folder, but a page is one file; use another -o")
    strips: list[html.Html] = []
    seen: frozenset[int] = frozenset()
    most = 1
    for name, tiles in drawing.rows(ids, run.threads):
        values = _values(tiles)
        seen |= values
        chips = html.legend(legend_of(values, drawing.table))
        figures = [html.figure(tile.picture, tile.caption, note=tile.note) for tile in tiles]
        most = max(most, len(figures))
        strips.append(html.strip(figures, title=name, chips=chips, fill=len(figures) < 5))
    dataset = drawing.dataset
    lead = f"{len(ids)} images of {dataset.root.name}, split {dataset.split}"
    page = html.page(
        title, html.legend(legend_of(seen, drawing.table)), _lineage(drawing.columns),
        *([html.cards(strips, pictures=most)] if most < 5 else strips),
        lead=lead, generator=SIGNATURE,
    )  # fmt: skip
    write_atomic(out, page.encode())


def _lineage(columns: Sequence[_Column]) -> html.Html:
    """A table of what the directories are and what supervision went into them."""
    from wsscli.report import html

    rows: list[list[html.Cell]] = []
    for column in columns:
        manifest = column.opened.manifest
        if manifest is None:
            rows.append([column.caption, "plain folder", len(column.ids), "", "unknown"])
            continue
        options = " ".join(f"{k}={v}" for k, v in manifest.options.items() if v not in (None, "", [], False))
        ledger = ", ".join(manifest.supervision) or "none"
        rows.append([column.caption, f"wss {manifest.step}", len(column.ids), options, ledger])
    return html.table(["directory", "made by", "images", "options", "supervision"], rows)


def _write_pngs(drawing: _Drawing, ids: Sequence[str], out: Path, run: Run) -> None:
    import io

    from PIL import Image, PngImagePlugin

    from wsscli.maskdir.files import write_atomic
    from wsscli.maskdir.manifest import NAME
    from wsscli.report.tiles import side_by_side
    from wsscli.steps._pictures import legend_of

    if out.is_file():
        raise WssError(f"{out}: a file; name a folder for PNGs, or a file OUT.html for one page")
    if (out / NAME).exists():
        raise WssError(f"{out}: a directory of `wss`; pictures never go among masks, use another -o")
    for name in ids:
        path = out / f"{name}.png"
        if path.exists() and not run.overwrite and SIGNATURE.encode() not in path.read_bytes()[:400]:
            raise WssError(f"{path}: was not written by `wss show`; use another -o, or --overwrite to replace it")
    note = PngImagePlugin.PngInfo()
    note.add_text("Software", SIGNATURE)
    for name, tiles in drawing.rows(ids, run.threads):
        captions = [f"{tile.caption}  {tile.note}".rstrip() for tile in tiles]
        legend = legend_of(_values(tiles), drawing.table)
        sheet = side_by_side([tile.picture for tile in tiles], captions, title=name, legend=legend)
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "PNG", pnginfo=note)
        write_atomic(out / f"{name}.png", buffer.getvalue())
