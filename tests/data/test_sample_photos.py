import numpy as np
import pytest

from wsscli.data import sample_photos
from wsscli.data.dataset import open_dataset
from wsscli.data.sample_photos import SAMPLE_CLASS_MAP, SAMPLES, SamplePhoto, sample_path, write_sample_photos
from wsscli.errors import WssError


def test_the_photos_are_a_data_set(tmp_path):
    data = open_dataset(write_sample_photos(tmp_path / "samples"))
    assert (data.format, data.split) == ("csv", "all")
    assert data.ids == ("cat", "astronaut", "coffee", "motorcycle")
    assert data.classes.foreground == ("cat", "cup", "helmet", "motorbike", "person", "space shuttle")
    assert set(data.classes.foreground) == set(SAMPLE_CLASS_MAP)
    assert [data.labels(name) for name in data.ids] == [(1,), (3, 5, 6), (2,), (4,)]
    for name in data.ids:
        image = data.image(name)
        assert image.dtype == np.uint8
        assert min(image.shape[:2]) >= 300
    assert not data.has_truth


def test_a_wheel_without_the_photo(monkeypatch):
    stranger = SamplePhoto("x", "no_such.png", (), "")
    with pytest.raises(WssError) as error:
        sample_path(stranger)
    assert str(error.value).endswith(
        "/skimage/data/no_such.png: this scikit-image brings no such photo; install one from PyPI (0.22 or later)"
    )
    monkeypatch.setattr(sample_photos, "find_spec", lambda name: None)
    with pytest.raises(WssError) as error:
        sample_path(SAMPLES[0])
    assert str(error.value) == (
        "scikit-image is not installed, so its sample photos are not there; pip install scikit-image"
    )
