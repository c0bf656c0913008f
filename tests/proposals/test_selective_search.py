import runpy
from pathlib import Path

import numpy as np
import pytest

from wsscli.proposals.selective_search import selective_search

OTHER = runpy.run_path(str(Path(__file__).parent / "test_hierarchical.py"))
photo, masks_of, overlap = OTHER["photo"], OTHER["masks_of"], OTHER["overlap"]


@pytest.mark.parametrize("mode", ["fast", "quality"])
def test_finds_what_stands_out(mode):
    image, disc, square = photo()
    masks = masks_of(selective_search(image, mode=mode))
    assert overlap(masks, disc) > 0.85 and overlap(masks, square) > 0.85
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_only_the_order_depends_on_the_seed():
    image, *_ = photo()
    one, again, other = (selective_search(image, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert masks_of(one)[:20].tobytes() != masks_of(other)[:20].tobytes()


def test_counts_and_sizes():
    image, *_ = photo()
    masks = masks_of(selective_search(image, count=5, min_area=0.2))
    assert 1 <= len(masks) <= 5 and masks.mean((1, 2)).min() >= 0.2
