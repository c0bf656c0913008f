import numpy as np
import pytest
from pycocotools import mask as coco_mask

from wsscli.data.rle import decode_rle


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
    ],
)
def test_what_does_not_fill_its_image(segmentation, text):
    with pytest.raises(ValueError) as error:
        decode_rle(segmentation)
    assert str(error.value) == text
