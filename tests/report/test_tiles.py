"""Sheets of pictures: nothing overlaps, every picture is there unchanged."""

import numpy as np

from wsscli.report.tiles import Swatch, legend_strip, side_by_side, swatches

RED, BLUE = np.zeros((20, 30, 3), dtype=np.uint8), np.zeros((10, 30, 3), dtype=np.uint8)
RED[..., 0], BLUE[..., 2] = 255, 255


def count(sheet, colour):
    return int((sheet == np.array(colour, dtype=np.uint8)).all(axis=-1).sum())


def test_swatches_leave_the_background_out_and_use_the_overlays_colours():
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[3] = (255, 0, 255)
    found = swatches([(0, "background"), (3, "bird")], palette, unlabelled=True)
    assert found == [Swatch("bird", (255, 0, 255)), Swatch("unlabelled", None)]


def test_one_row_holds_every_picture_whole():
    sheet = side_by_side([RED, BLUE], ["a", "b"], gap=4)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 2 * 30 + 3 * 4
    assert count(sheet, (255, 0, 0)) == 600
    assert count(sheet, (0, 0, 255)) == 300


def test_columns_wrap():
    one = side_by_side([RED] * 3, ["a", "b", "c"], columns=3)
    two = side_by_side([RED] * 3, ["a", "b", "c"], columns=2)
    assert two.shape[0] > one.shape[0]
    assert two.shape[1] < one.shape[1]
    assert count(two, (255, 0, 0)) == 1800


def test_a_title_and_a_legend_add_height():
    plain = side_by_side([RED], ["a"])
    titled = side_by_side([RED], ["a"], title="x")
    full = side_by_side([RED], ["a"], title="x", legend=[Swatch("cat", (1, 2, 3))])
    assert plain.shape[0] < titled.shape[0] < full.shape[0]
    assert count(full, (1, 2, 3)) > 50


def test_a_long_caption_stays_within_its_picture():
    long, short = side_by_side([RED], ["m" * 300]), side_by_side([RED], ["m"])
    assert long.shape == short.shape
    assert (long[:, -10:] == 255).all()


def test_legend_wraps_and_cuts():
    many = [Swatch(f"class {i}", (i, 0, 0)) for i in range(20)]
    assert legend_strip(many, 200).shape[0] > legend_strip(many, 2000).shape[0]
    assert legend_strip(many, 200).shape[1] == 200
    assert legend_strip([Swatch("n" * 500, None)], 90).shape == (25, 90, 3)
    assert (legend_strip([], 50) == 255).all()


def test_the_same_input_gives_the_same_sheet():
    first, again = (side_by_side([RED, BLUE], ["a", "b"], title="t") for _ in range(2))
    assert (first == again).all()
