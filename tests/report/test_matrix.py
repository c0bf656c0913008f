"""The picture of a confusion matrix."""

import numpy as np
import pytest

from wsscli.report.matrix import matrix_picture

NAMES = ["background", "cat", "a class with a long name"]
MATRIX = np.array([[90, 10, 0, 0], [5, 15, 0, 20], [0, 0, 0, 0]], np.int64)


def cell(picture, matrix, row, column, side):
    """The colour just inside the upper left corner of a cell; cells fill the lower right of the sheet."""
    height, width = picture.shape[:2]
    top, left = height - (26 + 14) - matrix.shape[0] * side, width - 14 - matrix.shape[1] * side
    return picture[top + row * side + 1, left + column * side + 1].astype(int)


def test_hits_are_blue_misses_red_empty_rows_grey():
    picture = matrix_picture(MATRIX, NAMES, title="t", cell=30)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    hit, miss, absent = (cell(picture, MATRIX, *at, 30) for at in ((0, 0), (0, 1), (2, 0)))
    assert hit[2] > hit[0]
    assert miss[0] > miss[2]
    assert np.ptp(absent) < 12


def test_colours_follow_shares_not_counts():
    one, many = (matrix_picture(MATRIX * k, NAMES, cell=30) for k in (1, 1000))
    assert np.array_equal(one, many)


def test_darker_with_the_share():
    weak = cell(matrix_picture(MATRIX, NAMES, cell=30), MATRIX, 1, 0, 30)
    strong = cell(matrix_picture(MATRIX, NAMES, cell=30), MATRIX, 1, 3, 30)
    assert strong[1] < weak[1]


@pytest.mark.parametrize("n", [1, 2, 21, 255])
def test_any_number_of_classes(n):
    matrix = np.random.default_rng(0).integers(0, 9, (n, n + 1))
    picture = matrix_picture(matrix, [f"class {i}" for i in range(n)])
    assert min(picture.shape[:2]) >= n
    assert max(picture.shape[:2]) < 4500


def test_square_matrices_have_no_unlabelled_column():
    with_column, without = matrix_picture(MATRIX, NAMES, cell=30), matrix_picture(MATRIX[:, :3], NAMES, cell=30)
    assert with_column.shape[1] - without.shape[1] == 30
