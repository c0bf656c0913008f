"""Fusing sizes and mirror images: places stay where they are, and the sum is the literal one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from wsscli.errors import WssError
from wsscli.seeds.multiscale import grid_size, input_size, multiscale


def strided(stride: int):
    """A net whose features are the red channel at every stride-th pixel."""

    def maps_of(images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        return images[:, :1, ::stride, ::stride].float()

    return maps_of


def gradient(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.repeat((y * 1.5 + x * 0.5)[..., None], 3, 2).clip(0, 255).astype(np.uint8)


def test_sizes() -> None:
    assert input_size((375, 500), 1, 16) == (369, 497)
    assert input_size((375, 500), 0.5, 8) == (185, 249)
    assert input_size((1, 1), 2, 16) == (17, 17)
    assert grid_size((375, 500), 2, 16) == (94, 125)
    assert grid_size((1, 3), 1, 16) == (1, 1)
    assert grid_size((2, 3), 8, 4) == (2, 3)


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_a_slope_comes_back_in_its_place(scales: tuple[float, ...]) -> None:
    image = gradient(64, 96)
    found = multiscale(strided(4), image, scales=scales, flip=True, stride=4)[0] / (2 * len(scales))
    full = cv2.resize(found, (96, 64), interpolation=cv2.INTER_LINEAR)
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(full[inner], image[..., 0][inner], atol=1.2)


def patches(stride: int):
    """A net that cuts the image into patches, as ConvNeXt does: their means; a pixel left over is not seen."""

    def maps_of(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images[:, :1].float(), stride)

    return maps_of


def test_a_net_of_patches_has_its_samples_within_the_image() -> None:
    image = gradient(64, 96)
    found = multiscale(patches(8), image, scales=(1.0, 2.0), flip=True, stride=8)[0] / 4
    full = cv2.resize(found, (96, 64), interpolation=cv2.INTER_LINEAR)
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(full[inner], image[..., 0][inner], atol=2)  # 5 off with samples on the border


def test_the_mirror_image_gives_the_mirrored_maps() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    one = multiscale(strided(8), image, scales=(1, 2), flip=True, stride=8)
    other = multiscale(strided(8), np.ascontiguousarray(image[:, ::-1]), scales=(1, 2), flip=True, stride=8)
    np.testing.assert_allclose(one[..., ::-1], other, atol=1e-3)


def test_the_sum_does_not_depend_on_the_order_of_the_scales_and_repeats_count_once() -> None:
    image = gradient(30, 20)
    first = multiscale(strided(4), image, scales=(0.5, 1, 2), flip=False, stride=4)
    np.testing.assert_array_equal(first, multiscale(strided(4), image, scales=(2, 1, 0.5, 1), flip=False, stride=4))


def test_the_literal_sum() -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (21, 30, 3), dtype=np.uint8)
    found = multiscale(strided(4), image, scales=(0.5, 1.5), flip=True, stride=4)
    height, width = grid_size((21, 30), 1.5, 4)
    assert found.shape == (1, height, width)
    total = np.zeros((height, width))
    for scale in (0.5, 1.5):
        h, w = input_size((21, 30), scale, 4)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        seen = cv2.resize(image, (w, h), interpolation=method)[..., 0]
        for grid in (seen[::4, ::4], seen[:, ::-1][::4, ::4][:, ::-1]):
            for i in range(height):
                for j in range(width):
                    # the cell's centre in pixels of the image, then in steps of the map from corner to corner
                    y = min(max(((i + 0.5) * 21 / height - 0.5) / 20, 0), 1) * (grid.shape[0] - 1)
                    x = min(max(((j + 0.5) * 30 / width - 0.5) / 29, 0), 1) * (grid.shape[1] - 1)
                    y0, x0 = min(int(y), grid.shape[0] - 2), min(int(x), grid.shape[1] - 2)
                    for dy, wy in ((0, 1 - (y - y0)), (1, y - y0)):
                        for dx, wx in ((0, 1 - (x - x0)), (1, x - x0)):
                            total[i, j] += wy * wx * float(grid[y0 + dy, x0 + dx])
    np.testing.assert_allclose(found[0], total, rtol=1e-4, atol=1e-2)


def test_only_the_sum_is_rectified() -> None:
    def maps_of(images: torch.Tensor) -> torch.Tensor:
        value = 3.0 if images.shape[2] > 9 else -1.0  # the larger size is for the class, the smaller against it
        return torch.tensor([value, -value]).view(1, 2, 1, 1).expand(len(images), 2, 2, 2)

    found = multiscale(maps_of, gradient(8, 8), scales=(1, 2), flip=False, stride=8)
    np.testing.assert_allclose(found[0], 2, rtol=1e-6)
    assert not found[1].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_tiny_images(size: tuple[int, int]) -> None:
    found = multiscale(strided(16), np.full((*size, 3), 7, np.uint8), scales=(0.5, 1), flip=True, stride=16)
    np.testing.assert_allclose(found, 28)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("scales", "what"), [((), "none"), ((1, 0), "0"), ((9,), "9"), ((float("nan"),), "nan")])
def test_scales_out_of_range_are_refused(scales: tuple[float, ...], what: str) -> None:
    with pytest.raises(WssError) as error:
        multiscale(strided(4), gradient(8, 8), scales=scales, flip=False, stride=4)
    assert str(error.value) == f"scales: {what}; give one or more factors of the image's size from 0.05 to 8"
