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


SVG = "{http://www.w3.org/2000/svg}"


def texts(plot):
    return {node.text: node.attrib for node in ElementTree.fromstring(plot).iter() if node.tag.endswith("text")}


def test_the_legend_lies_above_the_lines():
    names = ["precision", "recall", "IoU"]
    plot = line_plot({n: [(0, 0.0), (1, 1.0)] for n in names}, title="t", x_label="x", y_label="y")
    found = texts(plot)
    assert [float(found[n]["y"]) for n in names] == [35.0] * 3
    assert min(y for line in lines(plot) for _, y in line) == 48.0  # the grid begins below the legend
    ends = [float(found[n]["x"]) for n in names]
    assert ends == sorted(ends) and ends[-1] + 7 * len(names[-1]) < 446
    assert "one" not in texts(line_plot({"one": [(0, 0.0), (1, 1.0)]}, title="t", x_label="x", y_label="y"))


def test_a_long_legend_wraps():
    names = [f"a line with a long name {i}" for i in range(5)]
    plot = line_plot({n: [(0, 0.0), (1, 1.0)] for n in names}, title="t", x_label="x", y_label="y")
    places = [(float(texts(plot)[n]["x"]), float(texts(plot)[n]["y"])) for n in names]
    assert [y for _, y in places] == [35.0, 35.0, 51.0, 51.0, 67.0]
    assert all(x + 6 * len(names[0]) < 446 for x, _ in places)
    assert min(y for line in lines(plot) for _, y in line) == 80.0


def test_notes_stand_at_the_foot_in_their_order():
    plot = line_plot({"a": [(0, 0.0), (1, 1.0)]}, title="t", x_label="x", y_label="y", notes=("one <", "two"))
    found = texts(plot)
    assert [float(found[n]["y"]) for n in ("x", "one <", "two")] == [220.0, 238.0, 252.0]
    assert max(y for line in lines(plot) for _, y in line) == 186.0


def test_alone_it_is_a_file_on_paper():
    points = {"a": [(0, 0.0), (1, 1.0)]}
    root = ElementTree.fromstring(line_plot(points, title="t", x_label="x", y_label="y", size=(300, 200), alone=True))
    assert root.tag == f"{SVG}svg" and (root.get("width"), root.get("height")) == ("300", "200")
    paper = root[0]
    assert paper.tag == f"{SVG}rect" and paper.attrib == {"width": "300", "height": "200", "fill": "#ffffff"}
    assert root.get("fill") == "currentColor" and root.get("color") == "#1c2026" and root.get("font-family")
    part = ElementTree.fromstring(line_plot(points, title="t", x_label="x", y_label="y"))
    assert part.tag == "svg" and part.get("width") is None and part.find("rect") is None


def test_whole_numbers_under_the_axis():
    points = {"a": [(0, 0.0), (3, 1.0)]}
    plain, whole = (line_plot(points, title="t", x_label="x", y_label="y", whole_x=w) for w in (False, True))
    assert "0.5" in re.findall(r'text-anchor="middle" opacity=".75">([^<]*)<', plain)
    assert re.findall(r'text-anchor="middle" opacity=".75">([^<]*)<', whole) == ["0", "1", "2", "3"]
