import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from wsscli.errors import WssError
from wsscli.maskdir.png import _usual, encode_mask, mask_size, read_mask, voc_palette, write_mask


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


def by_pil(path):
    with Image.open(path) as image:
        return np.array(image)


@pytest.mark.parametrize("mode", ["P", "L"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (300, 3), (375, 500)])
def test_the_quick_reader_is_pils(tmp_path, monkeypatch, mode, shape):
    mask = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    (tmp_path / "m.png").write_bytes(encode_mask(mask))
    if mode == "L":
        Image.fromarray(mask).save(tmp_path / "m.png")
    assert (by_pil(tmp_path / "m.png") == mask).all()
    assert (read_mask(tmp_path / "m.png") == mask).all()
    if mode == "P":
        monkeypatch.setattr("wsscli.maskdir.png.Image.open", None)
        found = read_mask(tmp_path / "m.png")
        assert (found == mask).all() and found.flags.c_contiguous and found.flags.writeable


def test_filtered_and_interlaced_rows_and_few_bits_are_left_to_pil(tmp_path):
    mask = np.tile(np.arange(64, dtype=np.uint8), (48, 1)) // 8
    files = {"filtered": Image.fromarray(mask), "few": Image.fromarray(mask).convert("P", palette=1, colors=8)}
    for name, image in files.items():
        image.save(tmp_path / f"{name}.png", optimize=True)
        assert _usual((tmp_path / f"{name}.png").read_bytes()) is None
        assert (read_mask(tmp_path / f"{name}.png") == by_pil(tmp_path / f"{name}.png")).all()


def test_a_damaged_byte_is_never_other_pixels(tmp_path):
    """Every single byte of a file, changed: what the quick reader takes is what PIL reads."""
    path = tmp_path / "m.png"
    data = write_mask(path, np.random.default_rng(1).integers(0, 4, (9, 11)).astype(np.uint8))
    taken = 0
    for place in range(len(data)):
        for change in (1, 0x80):
            damaged = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            found = _usual(damaged)
            taken += found is not None
            if found is not None:
                path.write_bytes(damaged)
                assert (found == by_pil(path)).all()
    assert taken < 10
    for end in range(len(data)):
        assert _usual(data[:end]) is None


def test_a_picture_that_says_more_than_it_holds_is_refused(tmp_path):
    data = write_mask(tmp_path / "m.png", np.zeros((40, 40), np.uint8))
    header = b"IHDR" + (80).to_bytes(4, "big") + data[20:29]
    (tmp_path / "m.png").write_bytes(data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:])
    with pytest.raises(WssError, match=r"m\.png: cannot be read as a mask"):
        read_mask(tmp_path / "m.png")


def test_chunks_out_of_place_are_left_to_pil():
    data = encode_mask(np.zeros((3, 4), np.uint8))
    header, middle = data[8:33], data.index(b"IDAT") - 4
    packed = data[middle : data.index(b"IEND") - 4]
    text, odd = (
        len(b).to_bytes(4, "big") + k + b + zlib.crc32(k + b).to_bytes(4, "big")
        for k, b in ((b"tEXt", b"a\0b"), (b"a-b_", b""))
    )
    assert _usual(data[:33] + text + data[33:]) is not None
    for extra, place in ((header, 33), (odd, 33), (text + packed, middle + len(packed))):
        assert _usual(data[:place] + extra + data[place:]) is None
