"""Line plots: round ticks, points where they belong."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from wsscli.report.curve import line_plot, ticks


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.07, [0, 0.02, 0.04, 0.06]),
        (3.0, 97.0, [20, 40, 60, 80]),
        (-5.0, 5.0, [-4, -2, 0, 2, 4]),
        (2.0, 2.0, [2.0]),
    ],
)
def test_ticks(low, high, wanted):
    assert ticks(low, high) == wanted


def lines(plot):
    return [[tuple(map(float, p.split(","))) for p in path.split()] for path in re.findall(r'points="([^"]*)"', plot)]


def test_points_fill_the_axes():
    ((first, last),) = lines(line_plot({"loss": [(0, 0.0), (10, 4.0)]}, title="t", x_label="x", y_label="y"))
    assert first == (52.0, 218.0)
    assert last == (446.0, 30.0)


def test_a_fixed_range_clips():
    ((low, high),) = lines(
        line_plot({"a": [(0, -3.0), (1, 3.0)]}, title="t", x_label="x", y_label="y", y_range=(0.0, 1.0))
    )
    assert (low[1], high[1]) == (218.0, 30.0)


def test_points_that_are_not_finite_are_left_out():
    plot = line_plot({"a": [(0, float("nan")), (1, 1.0), (2, 2.0)]}, title="t", x_label="x", y_label="y")
    assert len(lines(plot)[0]) == 2


@pytest.mark.parametrize("points", [[], [(1, float("inf"))], [(3, 0.5)], [(1, 2.0), (1, 2.0)]])
def test_the_drawing_is_well_formed_whatever_the_points(points):
    plot = line_plot({"<a>": points, "b & c": points}, title="<t>", x_label="&", y_label='"')
    assert ElementTree.fromstring(plot).tag == "svg"


def test_without_points_it_says_so():
    assert ">no data<" in line_plot({}, title="t", x_label="x", y_label="y")
