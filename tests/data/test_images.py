import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsscli.data import images
from wsscli.data.images import read_image, read_size
from wsscli.errors import WssError

PHOTO = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8)


def _fails(path: Path) -> str:
    with pytest.raises(WssError) as error:
        read_image(path)
    return str(error.value)


def test_rgb_is_read_as_it_is(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png")
    result = read_image(tmp_path / "a.png")
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, PHOTO)
    assert read_size(tmp_path / "a.png") == (2, 3)


def test_grey_and_one_bit_become_rgb(tmp_path):
    grey = np.array([[0, 100, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), grey[:, :, None].repeat(3, 2))
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bit.png")
    assert read_image(tmp_path / "bit.png").tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_by_257_and_rounded(tmp_path, suffix):
    wide = np.array([[0, 128, 129, 257, 25700, 65534, 65535]], np.uint16)
    Image.fromarray(wide).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 0, 1, 1, 100, 255, 255]


def test_palette_with_and_without_transparency(tmp_path):
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    indexed.putpalette(bytes([200, 10, 10, 10, 200, 10]) + bytes(254 * 3))
    indexed.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").tolist() == [[[200, 10, 10], [10, 200, 10]]]
    indexed.save(tmp_path / "t.png", transparency=1)
    assert read_image(tmp_path / "t.png").tolist() == [[[200, 10, 10], [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_laid_on_white(tmp_path, mode):
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((255, 0, 128)):
        image.putpixel((x, 0), (100, 100, 100, alpha))
    image.convert(mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [100, 255, 177]


def test_colour_key_of_an_rgb_png(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "a.png", transparency=(255, 0, 0))
    result = read_image(tmp_path / "a.png")
    assert result[0, 0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(result[1], PHOTO[1])


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    result = read_image(tmp_path / "a.jpg")
    assert result.shape == (8, 8, 3)
    assert np.abs(result.astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_to_pixels_and_size(tmp_path, suffix, orientation):
    from PIL import ImageOps

    block = np.kron(PHOTO, np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(block).save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    assert read_size(path) == expected.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))


def test_every_orientation_by_hand():
    square = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    turned = {
        1: square,
        2: square[:, ::-1],
        3: square[::-1, ::-1],
        4: square[::-1],
        5: square.transpose(1, 0, 2),
        6: np.rot90(square, -1),
        7: square[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(square, 1),
    }
    for orientation, expected in turned.items():
        np.testing.assert_array_equal(images._upright(square, orientation), expected)


def test_the_first_of_several_frames(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_missing_empty_folder_and_stranger(tmp_path):
    path = tmp_path / "a.jpg"
    assert _fails(path) == f"{path}: no such image; check the path"
    path.touch()
    assert _fails(path) == f"{path}: the file is empty (0 bytes); copy it again or take it out of the set"
    path.write_text("this is no image")
    assert _fails(path) == (
        f"{path}: not an image that Pillow knows, or its head is damaged; convert it to JPEG or PNG, or take it out of "
        "the set"
    )
    assert _fails(tmp_path) == f"{tmp_path}: a folder, not an image; give an image file"


def test_no_permission(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(images.Image, "open", refuse)
    assert _fails(tmp_path / "a.jpg") == f"{tmp_path / 'a.jpg'}: not readable by you; mend its permissions"


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_give_an_error_and_never_a_part(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    message = _fails(path)
    assert message.startswith(f"{path}: ")
    assert message.endswith("take it out of the set")


def test_a_flipped_byte_in_a_png_is_found(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    message = _fails(path)
    assert message.startswith(f"{path}: damaged or truncated image (")
    assert message.endswith("); copy it again or take it out of the set")


def _png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs(tmp_path):
    path = tmp_path / "bomb.png"
    advice = (
        "over the limit of 89478485 (a decompression bomb, or a scan to scale down); shrink it or take it out of "
        "the set"
    )
    path.write_bytes(_png_of_size(10_000, 9_000))  # Pillow warns
    assert _fails(path) == f"{path}: 10000x9000 pixels, {advice}"
    path.write_bytes(_png_of_size(100_000, 90_000))  # Pillow refuses
    assert _fails(path) == f"{path}: more pixels, {advice}"


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_bomb_warning_that_is_an_error_is_ours_as_well(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(_png_of_size(10_000, 9_000))
    assert _fails(path).startswith(f"{path}: more pixels, over the limit")


def test_a_bomb_found_while_loading(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(PHOTO).save(path)

    def bomb(image):
        raise Image.DecompressionBombError("too much")

    monkeypatch.setattr(images, "_rgb", bomb)
    assert _fails(path).startswith(f"{path}: 3x2 pixels, over the limit of 89478485")


def test_floats_and_wide_integers_have_no_range(tmp_path):
    for mode in ("F", "I"):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (4, 4), 7).save(path)
        assert _fails(path) == (
            f"{path}: damaged or truncated image (mode {mode} has no fixed range of values, save it as 8 or 16 bits); "
            "copy it again or take it out of the set"
        )


def test_damaged_exif_is_an_error_not_a_guess(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(PHOTO).save(path)

    def broken(self):
        raise SyntaxError("not a TIFF file (header b'XXXX' not valid)")

    monkeypatch.setattr(Image.Image, "getexif", broken)
    assert _fails(path).startswith(f"{path}: damaged or truncated image (not a TIFF file")
    with pytest.raises(WssError, match="damaged or truncated image"):
        read_size(path)


def test_pillow_is_never_told_to_load_truncated_images():
    from PIL import ImageFile

    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert "LOAD_TRUNCATED_IMAGES" not in Path(images.__file__).read_text().replace("no LOAD_TRUNCATED_IMAGES", "")


def test_bytes_stay_closed(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(buffer.getvalue())
    read_image(path)
    path.unlink()
    assert not path.exists()
