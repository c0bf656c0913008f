import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from wsscli.data.rle import decode_rle, lengths_of


def test_lists_and_strings_give_the_mask():
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert decode_rle({"size": [2, 3], "counts": [2, 1, 1, 2]}).tolist() == mask.tolist()  # column by column
    coded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    for counts in (coded["counts"], coded["counts"].decode()):
        found = decode_rle({"size": [2, 3], "counts": counts})
        assert found.dtype == bool and found.tolist() == mask.tolist()


@pytest.mark.parametrize(
    ("segmentation", "text"),
    [
        ("abc", "neither polygons nor RLE"),
        ({"size": [2, 2], "counts": [3]}, "an RLE of 3 pixels, the image has 4"),
        ({"size": [2, 2], "counts": [5, -1]}, "an RLE with the length -1"),
        ({"size": [2, 2], "counts": ""}, "an RLE of 0 pixels, the image has 4"),
        ({"size": [2, 2], "counts": "3"}, "an RLE of 3 pixels, the image has 4"),
        ({"size": [2, 2], "counts": "5O"}, "an RLE with the length -1"),
        ({"size": [2, 2], "counts": "P"}, "no compressed RLE"),
        ({"size": [2, 2], "counts": "p1"}, "no compressed RLE"),
        ({"size": [2, 2], "counts": "/"}, "no compressed RLE"),
        ({"size": [2, 2], "counts": "PPPPPPPPP1"}, "no compressed RLE"),
    ],
)
def test_what_does_not_fill_its_image(segmentation, text):
    with pytest.raises(ValueError) as error:
        decode_rle(segmentation)
    assert str(error.value) == text


@settings(max_examples=60, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)), st.integers(1, 60))
def test_lengths_of_a_string_are_those_of_the_mask(mask, wider):
    mask = np.repeat(mask, wider, axis=0)  # lengths of several characters
    counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    found = lengths_of(counts)
    inside = np.arange(len(found)) % 2 == 1
    assert np.array_equal(np.repeat(inside, found).reshape(mask.shape[::-1]).T, mask)
    assert decode_rle({"size": list(mask.shape), "counts": counts.decode()}).tolist() == mask.tolist()
