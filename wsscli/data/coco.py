"""COCO's instances json with a folder of images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsscli.classes import IGNORE, ClassTable
from wsscli.data.base import Dataset, LabelList, Labels
from wsscli.data.boxes import RawBox
from wsscli.data.files import missing_files
from wsscli.data.ids import check_id, first_few, split_suffix
from wsscli.data.images import MAX_PIXELS, read_size
from wsscli.data.labels import open_labels
from wsscli.data.rle import decode_rle
from wsscli.data.splits import choose_split
from wsscli.errors import WssError

_PREFIX = "instances_"


@dataclass(frozen=True)
class CocoImage:
    """One image of the json: its file below the image folder, size and annotations (class id, annotation)."""

    file: str
    height: int
    width: int
    objects: tuple[tuple[int, dict[str, Any]], ...]


@dataclass(frozen=True)
class CocoSource:
    """The images of one json file, by id."""

    table: Path
    folder: Path
    images: dict[str, CocoImage]

    def _image(self, name: str) -> CocoImage:
        if name not in self.images:
            raise WssError(f"{self.table}: no image with the id '{name}'; check the id list")
        return self.images[name]

    def image_path(self, name: str) -> Path:
        return self.folder / self._image(name).file

    def labels(self, name: str) -> Labels | None:
        return tuple(sorted({label for label, _ in self._image(name).objects}))

    def truth(self, name: str) -> NDArray[np.uint8] | None:
        return render(self._image(name), f"{self.table}: image '{name}'")

    def truth_missing(self, name: str) -> str | None:
        del name  # an image without objects is all background
        return None

    def boxes(self, name: str) -> list[RawBox] | None:
        where = f"{self.table}: image '{name}': annotation"
        return [_box(label, item, f"{where} {item.get('id')}") for label, item in self._image(name).objects]

    @property
    def has_instances(self) -> bool:
        return all(map(_outlined, self.images.values()))

    def instances(self, name: str) -> NDArray[np.uint8] | None:
        image = self._image(name)
        if not _outlined(image):
            return None
        where, size = f"{self.table}: image '{name}'", read_size(self.image_path(name))
        if (image.height, image.width) != size:
            raise WssError(
                f"{where} is {image.height} x {image.width} (height x width), but its photo is {size[0]} x {size[1]}; "
                "mend the json"
            )
        return render_objects(image, where)


def _box(label: int, item: dict[str, Any], where: str) -> RawBox:
    """The box of an annotation; COCO's x, y, width, height become corners."""
    given = item.get("bbox")
    try:
        x, y, width, height = map(float, given if isinstance(given, list) else ())
    except (TypeError, ValueError) as error:
        raise WssError(f"{where} has the bbox {given!r}; give x, y, width and height") from error
    return RawBox(label, (x, y, x + width, y + height), where, str(given), crowd=bool(item.get("iscrowd", 0)))


def render(image: CocoImage, where: str) -> NDArray[np.uint8]:
    """The class mask of an image's polygons and RLEs, uint8 (H, W), no 255.

    Larger objects are drawn first, so smaller ones lie on top; of equal areas the later one in the file. Crowds
    are drawn as their class like any object.

    Args:
        image: one image.
        where: the json and the image, for messages.

    Differs: COCO's AP leaves crowds out of the count; here their pixels are of the class, as in the masks that
        the field renders from COCO for semantic segmentation.

    Raises:
        WssError: a segmentation that pycocotools does not take.
    """
    mask = np.zeros((image.height, image.width), np.uint8)
    for index, inside in _layers(image, where):
        mask[inside] = image.objects[index][0]
    return mask


def render_objects(image: CocoImage, where: str) -> NDArray[np.uint8]:
    """The instance map of an image, uint8 (H, W): 0 no object, 1, 2, ... one each, 255 crowds.

    Objects lie on one another as in `render`, so an object's pixels are all of its class there.

    Args:
        image: one image.
        where: the json and the image, for messages.

    Differs: COCO's own masks overlap; here a pixel is of the smallest object that has it.

    Raises:
        WssError: a segmentation that pycocotools does not take, or more objects than an 8-bit map can number.
    """
    single = [not item.get("iscrowd", 0) for _, item in image.objects]
    if sum(single) >= IGNORE:
        raise WssError(
            f"{where} has {sum(single)} objects, but an instance map numbers {IGNORE - 1}; leave the image out with "
            "--ids"
        )
    numbers = np.where(single, np.cumsum(single), IGNORE)
    mask = np.zeros((image.height, image.width), np.uint8)
    for index, inside in _layers(image, where):
        mask[inside] = numbers[index]
    return mask


def _outlined(image: CocoImage) -> bool:
    """Whether every object has a mask of its own; some files hold boxes alone."""
    return all(item.get("segmentation") for _, item in image.objects)


def _layers(image: CocoImage, where: str) -> list[tuple[int, NDArray[np.bool_]]]:
    """Number (from 0) and pixels of every object, the largest first, of equal areas the earlier in the file."""
    shape = (image.height, image.width)
    layers: list[tuple[int, NDArray[np.bool_]]] = []
    for index, (_, item) in enumerate(image.objects):
        try:
            inside = _inside(item.get("segmentation"), shape)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise WssError(
                f"{where}: the segmentation of annotation {item.get('id')} cannot be drawn ({error}); mend the json"
            ) from error
        layers.append((index, inside))
    return sorted(layers, key=lambda layer: -int(layer[1].sum()))


def _inside(segmentation: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of one object, bool (H, W). Raises ValueError and the like for what cannot be drawn.

    What pycocotools does not survive is refused before it sees it: it raises a bare Exception, and walks far
    polygons pixel by pixel for hours.
    """
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, list):
        if not segmentation:
            return np.zeros(shape, bool)
        if any(len(part) < 6 or len(part) % 2 for part in segmentation):
            raise ValueError("a polygon of fewer than three points")
        far = 10 * max(shape)
        if not all(abs(float(value)) <= far for part in segmentation for value in part):  # NaN is not <= either
            raise ValueError(f"a polygon with points more than {far} pixels away")
        # (H, W, parts): an object in several polygons
        drawn: NDArray[np.uint8] = coco_mask.decode(coco_mask.frPyObjects(segmentation, *shape))
        return np.asarray(drawn.any(axis=2))
    if isinstance(segmentation, dict) and tuple(segmentation["size"]) != shape:
        raise ValueError(f"a mask of {tuple(segmentation['size'])}, the image is {shape}")
    return decode_rle(segmentation)


def looks_like_coco(path: Path) -> bool:
    return path.suffix.lower() == ".json" if path.is_file() else bool(split_files(path))


def split_files(root: Path) -> dict[str, Path]:
    """{split: json} of `annotations/instances_<split>.json`."""
    return {file.stem.removeprefix(_PREFIX): file for file in sorted((root / "annotations").glob(f"{_PREFIX}*.json"))}


def open_coco(path: Path, split: str | None, labels: Path | None, classes: ClassTable | None) -> Dataset:
    """Open `annotations/instances_<split>.json` with the images in `<split>/`, or a json file.

    Images are looked for in `<split>/`, `images/<split>/`, `images/` and beside the json, in this order. An id is
    the image's `file_name` without suffix. Categories get the ids 1..K in the order of their COCO ids; labels are
    the classes of all annotations, crowds too.

    Raises:
        WssError: no json, not COCO's form, no such split, unsafe or missing or doubled images.
    """
    if path.is_file():
        table, own = path, path.stem.removeprefix(_PREFIX)
        chosen = choose_split(path, [own], split)
        base = path.parent.parent if path.parent.name == "annotations" else path.parent
    else:
        files = split_files(path)
        if not files:
            raise WssError(f"{path}: no annotations/{_PREFIX}<split>.json here; give the .json file itself")
        chosen = choose_split(path, list(files), split)
        table, base = files[chosen], path
    content = _read(table)
    found, ids = _classes(table, content["categories"])
    if classes is not None and set(classes.names) != set(found.names):
        unknown = sorted(set(found.names) ^ set(classes.names))
        raise WssError(
            f"{table}: its categories are not the classes asked for; they differ in {first_few(unknown)}; "
            "leave --class-names out or mend it"
        )
    order = classes or found
    ids = {number: order.id(found.names[index]) for number, index in ids.items()}
    images = _images(table, content, ids)
    folder = _image_folder(table, base, chosen, [image.file for image in images.values()])
    label_list: LabelList | None = open_labels(labels, order) if labels else None
    return Dataset(path, "coco", chosen, order, tuple(images), CocoSource(table, folder, images), label_list, True)


def _read(table: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(table.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise WssError(f"{table}: cannot be read as json ({error}); copy it again") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise WssError(f"{table}: no list '{key}' in it, so not COCO's instances form; export it as COCO instances")
    return content  # type: ignore[no-any-return]


def _classes(table: Path, categories: list[dict[str, Any]]) -> tuple[ClassTable, dict[int, int]]:
    """The class table and {COCO's category id: index in it}."""
    try:
        ordered = sorted((int(item["id"]), str(item["name"])) for item in categories)
        found = ClassTable.of(name for _, name in ordered)
    except (KeyError, TypeError, ValueError) as error:
        raise WssError(f"{table}: a category without id or name; mend the json") from error
    except WssError as error:
        raise WssError(f"{table}: {error}") from error
    ids = {number: index for index, (number, _) in enumerate(ordered, start=1)}
    if len(ids) < len(ordered):
        raise WssError(f"{table}: two categories have one id; mend the json")
    return found, ids


def _images(table: Path, content: dict[str, list[dict[str, Any]]], classes: dict[int, int]) -> dict[str, CocoImage]:
    try:
        objects: dict[int, list[tuple[int, dict[str, Any]]]] = {item["id"]: [] for item in content["images"]}
        if len(objects) < len(content["images"]):
            raise WssError(f"{table}: two images have one id; mend the json")
        for item in content["annotations"]:
            if item["category_id"] not in classes:
                raise WssError(
                    f"{table}: annotation {item.get('id')} has the category {item['category_id']}, which is not in the "
                    "list of categories; mend the json"
                )
            if item["image_id"] not in objects:
                raise WssError(
                    f"{table}: annotation {item.get('id')} belongs to image {item['image_id']}, which is not in the "
                    "list of images; mend the json"
                )
            objects[item["image_id"]].append((classes[item["category_id"]], item))
        images: dict[str, CocoImage] = {}
        for item in content["images"]:
            name, _ = split_suffix(check_id(item["file_name"], str(table)))
            if name in images:
                raise WssError(f"{table}: two images have the id '{name}'; list every image once")
            height, width = int(item["height"]), int(item["width"])
            if min(height, width) < 1 or height * width > MAX_PIXELS:
                raise WssError(
                    f"{table}: image '{name}' is {width}x{height} (width x height); give its size, at most "
                    f"{MAX_PIXELS} pixels"
                )
            images[name] = CocoImage(item["file_name"], height, width, tuple(objects[item["id"]]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WssError(f"{table}: not COCO's instances form ({error!r}); export it as COCO instances") from error
    if not images:
        raise WssError(f"{table}: no images in it; export it as COCO instances with its images")
    return images


def _image_folder(table: Path, base: Path, split: str, files: list[str]) -> Path:
    places = (base / split, base / "images" / split, base / "images", base, table.parent)
    for folder in places:
        if (folder / files[0]).exists():
            missing = missing_files(folder, files)
            if missing:
                raise WssError(
                    f"{table}: {len(missing)} of {len(files)} images are not in {folder}: {first_few(missing)}; "
                    "add them"
                )
            return folder
    looked = ", ".join(str(folder) for folder in dict.fromkeys(places))
    raise WssError(f"{table}: the image {files[0]} is in none of {looked}; put the images into one of them")
