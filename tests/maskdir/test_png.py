import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from wsscli.errors import WssError
from wsscli.maskdir.png import encode_mask, mask_size, read_mask, voc_palette, write_mask


def test_palette_is_vocs():
    palette = voc_palette()
    assert palette.shape == (256, 3) and palette.dtype == np.uint8
    assert palette[[0, 1, 2, 8, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [64, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip


@given(mask=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_mask_comes_back_equal(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("png") / "deep" / "m.png"
    data = write_mask(path, mask)
    assert path.read_bytes() == data == encode_mask(mask)
    assert np.array_equal(read_mask(path), mask)
    assert mask_size(path) == mask.shape
    with Image.open(path) as image:
        assert image.mode == "P" and len(image.getpalette()) == 768
    assert [p.name for p in path.parent.iterdir()] == ["m.png"]


@pytest.mark.parametrize("mode", ["L", "I;16", "1"])
def test_grey_masks_are_read_as_ids(tmp_path, mode):
    values = np.array([[0, 1], [1, 0]], np.uint8)
    image = (
        Image.fromarray(values.astype(np.uint16))
        if mode == "I;16"
        else Image.fromarray(values * (255 if mode == "1" else 1))
    )
    image.convert(mode).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), values)


def test_palette_colours_do_not_matter(tmp_path):
    image = Image.fromarray(np.array([[3, 20, 255]], np.uint8)).convert("L")
    image = image.convert("P")
    image.putpalette(bytes(range(256)) * 3)
    image.frombytes(bytes([3, 20, 255]))
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[3, 20, 255]]


def test_rgb_masks_are_refused_with_the_way_out(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "m.png")
    with pytest.raises(
        WssError, match=r"m\.png: this mask is coded by colours \(mode RGB\).*wss import masks FOLDER --rgb voc -o OUT"
    ):
        read_mask(tmp_path / "m.png")


def test_values_beyond_255_are_refused(tmp_path):
    Image.fromarray(np.array([[300]], np.uint16)).save(tmp_path / "m.png")
    with pytest.raises(WssError, match=r"m\.png: a mask value is 300, but class ids end at 255; remap"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("read", [read_mask, mask_size])
def test_garbage_is_refused(tmp_path, read):
    (tmp_path / "m.png").write_bytes(b"not a picture")
    with pytest.raises(WssError, match=r"m\.png: cannot be read as a mask .*damaged, write it again"):
        read(tmp_path / "m.png")


def test_truncated_is_refused(tmp_path):
    data = write_mask(tmp_path / "m.png", np.random.default_rng(0).integers(0, 20, (80, 80), np.uint8))
    (tmp_path / "m.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(WssError, match=r"m\.png: cannot be read as a mask"):
        read_mask(tmp_path / "m.png")


def test_missing(tmp_path):
    with pytest.raises(WssError, match=r"none\.png: no such mask"):
        read_mask(tmp_path / "none.png")


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.int32), np.zeros((0, 2), np.uint8), np.zeros(3, np.uint8)])
def test_only_masks_are_written(mask):
    with pytest.raises(WssError, match="a mask is a non-empty uint8 array of two axes, not"):
        encode_mask(mask)
