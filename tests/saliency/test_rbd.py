"""Robust Background Detection: a small graph by hand, invariants, and every formula against its literal loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import WssError
from wsscli.saliency import rbd


def disc(height: int = 90, width: int = 120, *, centre: tuple[int, int] | None = None) -> np.ndarray:
    """A red disc on a green ground, with a little seeded noise."""
    y, x = np.mgrid[:height, :width]
    cy, cx = centre or (height // 2, width // 2)
    inside = (y - cy) ** 2 + (x - cx) ** 2 < (height // 4) ** 2
    image = np.where(inside[..., None], (200, 40, 40), (40, 120, 60)).astype(np.int64)
    image += np.random.default_rng(0).integers(-8, 9, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def test_an_object_off_the_border_is_salient_and_the_ground_is_not() -> None:
    found = rbd.saliency(disc())
    assert found.shape == (90, 120)
    assert found.dtype == np.float32
    assert found.max() == 1
    assert found[45, 60] > 0.9
    assert found[:10].max() < 0.06


def test_an_object_cut_by_the_border_is_still_more_salient_than_the_ground() -> None:
    found = rbd.saliency(disc(centre=(45, 5)))
    assert found[45, 5] > found[45, 100]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 3), (5, 40), (200, 1), (700, 900)])
def test_an_image_of_one_colour_has_nothing_salient(shape: tuple[int, int]) -> None:
    found = rbd.saliency(np.full((*shape, 3), 90, np.uint8))
    np.testing.assert_array_equal(found, np.zeros(shape, np.float32))


@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_any_small_image_gives_a_finite_map_in_the_unit_interval(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = rbd.saliency(image)
    assert found.shape == (height, width)
    assert np.isfinite(found).all()
    assert found.min() == 0
    assert found.max() in (0, 1)


def test_the_values_are_exact_in_float16_and_the_image_is_left_alone() -> None:
    image = disc(400, 500)
    before = image.copy()
    found = rbd.saliency(image)
    assert found.shape == (400, 500)
    np.testing.assert_array_equal(found, found.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(found, rbd.saliency(image))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(WssError) as error:
        rbd.saliency(wrong)
    assert str(error.value) == f"saliency: needs an RGB image, uint8 (H, W, 3), not {wrong.dtype} {wrong.shape}"


def test_regions_of_a_small_map() -> None:
    labels = np.array([[0, 0, 1], [0, 2, 1], [3, 3, 1]], dtype=np.intp)
    lab = np.zeros((3, 3, 3), np.float32)
    lab[..., 0] = [[10, 20, 5], [30, 7, 6], [1, 3, 10]]
    regions = rbd.describe(labels, lab)
    np.testing.assert_allclose(regions.colors[:, 0], [20, 7, 7, 2])
    np.testing.assert_allclose(regions.positions[2], [0.5, 0.5])
    np.testing.assert_allclose(regions.positions[3], [2.5 / 3, 1 / 3])
    np.testing.assert_array_equal(regions.border, [True, True, False, True])
    touching = {(int(a), int(b)) for a, b in zip(*np.nonzero(regions.neighbours), strict=True)}
    assert touching == {(0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0), (1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)}


# The literal forms: the paper's formulas, one loop each.


def literal_distance(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(a, b, strict=True)))


def literal_two_steps(r: rbd.Regions, i: int, j: int) -> bool:
    n = len(r.colors)
    return i != j and bool(r.neighbours[i, j] or any(r.neighbours[i, k] and r.neighbours[k, j] for k in range(n)))


def literal_connectivity(r: rbd.Regions) -> list[float]:
    n = len(r.colors)
    color = [[literal_distance(r.colors[i], r.colors[j]) for j in range(n)] for i in range(n)]
    smallest = [min(color[i][j] for j in range(n) if literal_two_steps(r, i, j)) for i in range(n)]
    clip = sum(smallest) / n
    edge = {}
    for i in range(n):
        for j in range(n):
            if i != j and (r.neighbours[i, j] or (r.border[i] and r.border[j])):
                edge[i, j] = max(0.0, color[i][j] - clip)
    result = []
    for start in range(n):
        distance = [math.inf] * n
        distance[start] = 0
        for _ in range(n):  # Bellman-Ford
            for (i, j), length in edge.items():
                distance[j] = min(distance[j], distance[i] + length)
        share = [math.exp(-(d**2) / (2 * 10.0**2)) for d in distance]
        on_border = sum(s for s, border in zip(share, r.border, strict=True) if border)
        result.append(on_border / math.sqrt(sum(share)))
    return result


def literal_energy(r: rbd.Regions, background: np.ndarray, foreground: np.ndarray, s: np.ndarray) -> float:
    n = len(r.colors)
    total = 0.0
    for i in range(n):
        total += background[i] * s[i] ** 2 + foreground[i] * (s[i] - 1) ** 2
        for j in range(i):
            if literal_two_steps(r, i, j) or (r.border[i] and r.border[j]):
                weight = math.exp(-(literal_distance(r.colors[i], r.colors[j]) ** 2) / (2 * 10.0**2))
                total += (weight + 0.1 * bool(r.neighbours[i, j])) * (s[i] - s[j]) ** 2
    return total


@pytest.fixture(scope="module")
def regions() -> rbd.Regions:
    import cv2

    image = disc(40, 50)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = lab + np.random.default_rng(1).normal(0, 3, lab.shape).astype(np.float32)
    rows, columns = np.mgrid[:40, :50] // 8
    return rbd.describe((rows * 7 + columns).astype(np.intp), lab)


def test_boundary_connectivity_equals_its_literal_form(regions: rbd.Regions) -> None:
    color = np.array([[literal_distance(a, b) for b in regions.colors] for a in regions.colors])
    np.testing.assert_allclose(rbd.boundary_connectivity(regions, color), literal_connectivity(regions), rtol=1e-6)


def test_the_solution_is_the_minimum_of_the_literal_energy(regions: rbd.Regions) -> None:
    n = len(regions.colors)
    rng = np.random.default_rng(2)
    background, foreground = rng.random(n), rng.random(n)
    color = np.array([[literal_distance(a, b) for b in regions.colors] for a in regions.colors])
    solved = rbd.optimise(regions, color, background, foreground)
    least = literal_energy(regions, background, foreground, solved)
    for i in range(n):
        for step in (-1e-3, 1e-3):
            moved = solved.copy()
            moved[i] += step
            assert literal_energy(regions, background, foreground, moved) > least


def test_saliency_of_regions_equals_its_literal_form(regions: rbd.Regions) -> None:
    from skimage.filters import threshold_otsu

    n = len(regions.colors)
    background = [1 - math.exp(-(b**2) / 2) for b in literal_connectivity(regions)]
    contrast = []
    for i in range(n):
        total = 0.0
        for j in range(n):
            near = math.exp(-(literal_distance(regions.positions[i], regions.positions[j]) ** 2) / (2 * 0.25**2))
            total += literal_distance(regions.colors[i], regions.colors[j]) * near * background[j]
        contrast.append(total)
    stretched = (np.array(contrast) - min(contrast)) / (max(contrast) - min(contrast))
    stretched[stretched < threshold_otsu(stretched)] = 0
    color = np.array([[literal_distance(a, b) for b in regions.colors] for a in regions.colors])
    solved = rbd.optimise(regions, color, np.array(background), stretched)
    stretched = (solved - solved.min()) / (solved.max() - solved.min())
    np.testing.assert_allclose(rbd.region_saliency(regions), stretched, atol=1e-6)
