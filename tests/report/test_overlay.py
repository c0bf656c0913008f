"""Overlays: what a pixel's colour says about its label."""

import numpy as np
import pytest

from wsscli.report import overlay

GREY = np.full((24, 24, 3), 120, dtype=np.uint8)


@pytest.fixture
def palette() -> np.ndarray:
    table = np.zeros((256, 3), dtype=np.uint8)
    table[1], table[2], table[255] = (128, 0, 0), (0, 128, 0), (224, 224, 192)
    return table


def test_display_palette_keeps_ends_and_tells_colours_apart():
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    shown = overlay.display_palette(levels)[:, 0]
    assert shown[0] == 0
    assert shown[255] == 255
    assert len(set(shown[[0, 32, 64, 96, 128, 160, 192, 224]])) == 8
    assert np.all(np.diff(shown.astype(int)) >= 0)


def test_resize_mask_uses_pixel_centres():
    mask = np.array([[1, 2], [3, 255]], dtype=np.uint8)
    assert overlay.resize_mask(mask, (4, 4)).tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 255, 255],
        [3, 3, 255, 255],
    ]
    wide = np.arange(9, dtype=np.uint8)[None]
    assert overlay.resize_mask(wide, (1, 3)).tolist() == [[1, 4, 7]]


def test_resize_image_keeps_its_size_and_averages():
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0] = 200
    assert overlay.resize_image(image, (2, 2)) is image
    assert overlay.resize_image(image, (1, 1)).tolist() == [[[100, 100, 100]]]
    assert overlay.resize_image(image, (8, 6)).shape == (8, 6, 3)


@pytest.mark.parametrize(
    ("size", "box", "wanted"), [((100, 200), 50, (25, 50)), ((300, 100), 150, (150, 50)), ((1, 999), 10, (1, 10))]
)
def test_fit_size(size, box, wanted):
    assert overlay.fit_size(size, box) == wanted


def test_boundaries_are_the_foregrounds_own_rim():
    mask = np.zeros((5, 6), dtype=np.uint8)
    mask[1:4, 1:4] = 1
    mask[1:4, 4] = 255
    rim = overlay.boundaries(mask)
    inside = [[r, c] for r, c in zip(*np.nonzero(rim), strict=True)]
    assert inside == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 3], [3, 1], [3, 2], [3, 3]]


def test_boundaries_ignore_the_border_of_the_image():
    assert not overlay.boundaries(np.full((4, 4), 7, dtype=np.uint8)).any()


def test_mask_overlay_colours_by_label(palette):
    mask = np.zeros((24, 24), dtype=np.uint8)
    mask[:, :8], mask[:, 16:] = 1, 2
    picture = overlay.mask_overlay(GREY, mask, palette, edges=False).astype(int)
    assert picture.shape == (24, 24, 3)
    red, plain, green = picture[0, 0], picture[0, 12], picture[0, 20]
    assert red[0] > red[1] + 60
    assert red[0] > red[2] + 60
    assert green[1] > green[0] + 60
    assert plain[0] == plain[1] == plain[2] < 120


def test_mask_overlay_hatches_unlabelled_pixels(palette):
    picture = overlay.mask_overlay(GREY, np.full((24, 24), 255, dtype=np.uint8), palette)
    assert (picture[..., 0] == picture[..., 1]).all()
    assert set(np.unique(picture).tolist()) == {125, 205}
    assert (picture[0, 1:, 0] == picture[1:, 0, 0]).all()  # anti-diagonals: the same row and column


def test_mask_overlay_edges_are_brighter_than_the_fill(palette):
    mask = np.zeros((24, 24), dtype=np.uint8)
    mask[6:18, 6:18] = 1
    picture = overlay.mask_overlay(GREY, mask, palette).astype(int)
    assert picture[6, 12].sum() > picture[12, 12].sum() + 100


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2)])
def test_overlays_of_tiny_images(palette, shape):
    image = np.full((*shape, 3), 9, dtype=np.uint8)
    mask = np.ones(shape, dtype=np.uint8)
    heat = np.ones(shape, dtype=np.float32)
    assert overlay.mask_overlay(image, mask, palette).shape == (*shape, 3)
    assert overlay.heat_overlay(image, heat).shape == (*shape, 3)
    assert overlay.class_heat_overlay(image, heat[None], np.array([1]), palette).shape == (*shape, 3)


def test_colormap_gets_brighter_with_the_value():
    ramp = overlay.colormap(np.linspace(0, 1, 64)).astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(ramp) > 0).all()
    assert overlay.colormap(np.array([-1.0, np.nan, 0.0, 1.0, 7.0])).tolist() == [
        *[[0, 0, 4]] * 3,
        *[[252, 255, 164]] * 2,
    ]


def test_heat_overlay_scales_by_the_maximum_or_by_top():
    heat = np.array([[0.0, 0.5]], dtype=np.float32)
    image = np.zeros((1, 2, 3), dtype=np.uint8)
    own = overlay.heat_overlay(image, heat).astype(int)
    fixed = overlay.heat_overlay(image, heat, top=1.0).astype(int)
    assert own[0, 1].sum() > fixed[0, 1].sum() > own[0, 0].sum()
    assert (overlay.heat_overlay(image, 0 * heat) == overlay.heat_overlay(image, 0 * heat)[0, 0]).all()


def test_class_heat_overlay_shows_the_strongest_class(palette):
    scores = np.zeros((3, 1, 3), dtype=np.float32)
    scores[0] = 9.0  # background: left out
    scores[1, 0, 0], scores[2, 0, 2] = 0.01, 5.0  # each class is scaled by its own maximum
    picture = overlay.class_heat_overlay(GREY[:1, :3], scores, np.array([0, 1, 2]), palette).astype(int)
    assert picture[0, 0, 0] > picture[0, 0, 1] + 60
    assert picture[0, 2, 1] > picture[0, 2, 0] + 60
    assert picture[0, 1].tolist() == [96, 96, 96]


def test_class_heat_overlay_without_foreground_is_the_grey_photo(palette):
    only = overlay.class_heat_overlay(GREY, np.ones((1, 24, 24), dtype=np.float32), np.array([0]), palette)
    assert (only == GREY).all()
