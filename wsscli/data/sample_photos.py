"""The real photos that the scikit-image wheel brings along: no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from wsscli.errors import WssError


class SamplePhoto(NamedTuple):
    """A photo: its id, the file in scikit-image's data folder, the labels by which it is known, where it is from."""

    name: str
    file: str
    labels: tuple[str, ...]
    source: str


SAMPLES = (
    SamplePhoto("cat", "chelsea.png", ("cat",), "Chelsea, photo by Stefan van der Walt, CC0"),
    SamplePhoto(
        "astronaut", "astronaut.png", ("person", "helmet", "space shuttle"), "Eileen Collins, NASA, public domain"
    ),
    SamplePhoto("coffee", "coffee.png", ("cup",), "photo by Rachel Michetti for Pikolo Espresso Bar, CC0"),
    SamplePhoto(
        "motorcycle", "motorcycle_left.png", ("motorbike",), "Middlebury 2014 stereo benchmark, Scharstein et al."
    ),
)

# The ImageNet classes (0-999) that the labels stand for; a person has no counterpart there.
SAMPLE_CLASS_MAP: dict[str, list[int]] = {
    "cat": [281, 282, 283, 284, 285],
    "cup": [504, 967, 968],
    "helmet": [518, 560],
    "motorbike": [665, 670],
    "person": [],
    "space shuttle": [812],
}


def sample_path(photo: SamplePhoto) -> Path:
    """The photo's file. scikit-image itself is not imported, so nothing can be fetched.

    Raises:
        WssError: scikit-image is not installed, or its wheel lacks the file.
    """
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise WssError("scikit-image is not installed, so its sample photos are not there; pip install scikit-image")
    path = Path(spec.submodule_search_locations[0]) / "data" / photo.file
    if not path.is_file():
        raise WssError(f"{path}: this scikit-image brings no such photo; install one from PyPI (0.22 or later)")
    return path


def write_sample_photos(root: Path | str) -> Path:
    """Write the photos and `labels.csv` into a folder: a CSV data set without splits and without true masks.

    Returns:
        root.

    Raises:
        WssError: as `sample_path`.
    """
    from wsscli.maskdir.files import write_atomic

    root = Path(root)
    rows = ["image,labels"]
    for photo in SAMPLES:
        write_atomic(root / f"{photo.name}.png", sample_path(photo).read_bytes())
        rows.append(f"{photo.name}.png,{';'.join(photo.labels)}")
    write_atomic(root / "labels.csv", ("\n".join(rows) + "\n").encode())
    return root
