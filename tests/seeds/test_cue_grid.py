"""Cues on a grid: which class a cell gets, and the way to the photo's size and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsscli.seeds.cue_grid import cells_without_pixel, enlarge, paint_cues, shrink

SIZES = [(375, 500), (41, 41), (42, 43), (81, 83), (123, 41), (500, 333), (42, 500)]


def literal(cues, grid):
    """A cell at a time: all classes with a cue there, the one that the rule prefers."""
    cells = {}
    for label, row, column in zip(*cues.tolist(), strict=True):
        cells.setdefault((row, column), set()).add(label)
    count = {label: sum(label in there for there in cells.values()) for label in cues[0].tolist()}
    mask = np.full((grid, grid), 255, np.uint8)
    for cell, labels in cells.items():
        mask[cell] = min(labels, key=lambda c: (c == 0, count[c], c))
    return mask, sum(len(labels) > 1 for labels in cells.values())


def cues_of(*triples):
    return np.array(triples, np.int64).T


def test_one_class_a_cell():
    mask, shared = paint_cues(cues_of((0, 0, 0), (7, 0, 1), (3, 2, 2), (7, 0, 1)), 3)
    np.testing.assert_array_equal(mask, [[0, 7, 255], [255, 255, 255], [255, 255, 3]])
    assert shared == 0


def test_foreground_goes_over_background_and_the_rarer_class_over_the_other():
    background = [(0, 0, c) for c in range(3)]
    many, few = [(1, 1, c) for c in range(3)], [(2, 1, 1), (2, 0, 0)]
    for order in (background + many + few, few + many + background):
        mask, shared = paint_cues(cues_of(*order), 3)
        np.testing.assert_array_equal(mask, [[2, 0, 0], [1, 2, 1], [255, 255, 255]])
        assert shared == 2


def test_of_equal_counts_the_smaller_id_wins():
    assert paint_cues(cues_of((5, 0, 0), (4, 0, 0)), 1)[0].tolist() == [[4]]


def test_the_background_gives_way_even_when_it_is_the_rarer():
    mask, shared = paint_cues(cues_of((0, 0, 0), (9, 0, 0), (9, 1, 1)), 2)
    assert mask.tolist() == [[9, 255], [255, 9]] and shared == 1


def test_cues_that_stand_twice_count_once():
    # class 1 has two cells and three cues, class 2 two cells and two cues: a tie, so the smaller id
    mask, _ = paint_cues(cues_of((1, 0, 0), (1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 1, 1)), 2)
    assert mask.tolist() == [[1, 1], [255, 2]]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_equal_to_the_literal_form(triples):
    cues = cues_of(*triples)
    mask, shared = paint_cues(cues, 4)
    expected, count = literal(cues, 4)
    np.testing.assert_array_equal(mask, expected)
    assert shared == count


@pytest.mark.parametrize("size", SIZES)
def test_back_on_the_grid_the_cells_are_the_same(size):
    cells = np.random.default_rng(0).integers(0, 255, (41, 41)).astype(np.uint8)
    mask = enlarge(cells, size)
    assert mask.shape == size and mask.dtype == np.uint8
    np.testing.assert_array_equal(shrink(mask, (41, 41)), cells)
    assert cells_without_pixel(cells, size) == 0


@given(st.integers(1, 60), st.integers(0, 300))
def test_every_grid_comes_back_from_every_photo_that_is_not_smaller(grid, more):
    cells = np.arange(grid, dtype=np.uint8)[:, None].repeat(grid, 1)
    np.testing.assert_array_equal(shrink(enlarge(cells, (grid + more, grid)), (grid, grid)), cells)


def test_a_pixel_takes_the_cell_that_its_centre_lies_in():
    cells = np.arange(9, dtype=np.uint8).reshape(3, 3)
    for height, width in ((3, 3), (4, 7), (100, 33), (2, 1), (1, 50)):
        mask = enlarge(cells, (height, width))
        for y in range(height):
            for x in range(width):
                assert mask[y, x] == cells[int((y + 0.5) / height * 3), int((x + 0.5) / width * 3)]


def test_a_photo_smaller_than_the_grid_shows_a_part_of_the_cells():
    cells = np.arange(25, dtype=np.uint8).reshape(5, 5)
    mask = enlarge(cells, (3, 8))
    np.testing.assert_array_equal(mask, cells[np.ix_([0, 2, 4], [0, 0, 1, 2, 2, 3, 4, 4])])
    assert cells_without_pixel(cells, (3, 8)) == 10
    cells[1] = 255
    assert cells_without_pixel(cells, (3, 8)) == 5
    # and the mask comes back from the grid: no pixel's class is lost
    np.testing.assert_array_equal(enlarge(shrink(mask, (5, 8)), (3, 8)), mask)
