"""Pages: self-contained, escaped, well-formed."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from wsscli.report import html
from wsscli.report.tiles import Swatch

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
NASTY = "<script>alert('&\"')</script>"


class Parser(HTMLParser):
    """Collects tags, attributes and text, and complains about tags that do not close."""

    void = frozenset({"meta", "img", "input", "line", "polyline", "circle"})

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)


def full_page():
    chips = html.legend([Swatch(NASTY, (1, 2, 3)), Swatch("unlabelled", None)])
    card = html.strip([html.figure(PICTURE, NASTY, note=NASTY)], title=NASTY, note=NASTY, chips=chips)
    numbers = html.table([NASTY, "n"], [[NASTY, 0.5], ["b", None]], caption=NASTY, bars={1: "#123456"})
    parts = [html.section(NASTY, numbers, card, html.text(NASTY), html.code(NASTY)), html.columns(chips, chips)]
    return html.page(NASTY, *parts, lead=NASTY, footer=NASTY)


def test_every_text_is_escaped_and_every_tag_closed():
    parsed = Parser(full_page())
    assert "script" not in parsed.tags
    assert "".join(parsed.words).count(NASTY) == 16


def test_nothing_is_loaded_from_elsewhere():
    page = full_page()
    parsed = Parser(page)
    addresses = [value for name, value in parsed.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith("data:image/") for value in addresses)
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_data_uri_png_is_exact():
    head, _, body = html.data_uri(PICTURE, form="png").partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as found:
        assert (np.asarray(found) == PICTURE).all()


def test_data_uri_jpeg_keeps_the_size():
    head, _, body = html.data_uri(PICTURE).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as found:
        assert found.size == (6, 4)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0.12345, '<td class="n">0.123</td>'),
        (7, '<td class="n">7</td>'),
        (None, '<td class="n">&ndash;</td>'),
        (float("nan"), '<td class="n">&ndash;</td>'),
        ("text", "<td>text</td>"),
    ],
)
def test_cells(value, wanted):
    assert wanted in html.table(["step", "value"], [["a", value]])


def test_bars_are_as_long_as_the_number_and_never_longer_than_the_cell():
    page = html.table(["s", "v"], [["a", 0.25], ["b", 7.0], ["c", -1.0]], bars={1: "red"})
    assert [w in page for w in ("--w:25.0%;--c:red", "--w:100.0%", "--w:0.0%")] == [True] * 3


def test_a_header_that_does_not_fit_its_rows_is_an_error():
    with pytest.raises(IndexError):
        html.table(["a", "b", "c"], [["x", 1]])


def test_the_size_switch_can_be_left_out():
    assert 'type="radio"' in html.page("t")
    assert 'type="radio"' not in html.page("t", sizes=False)


def test_the_page_is_the_same_every_time():
    assert full_page() == full_page()
