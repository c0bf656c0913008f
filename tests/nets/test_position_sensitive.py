import math

import pytest
import torch

from wsscli.errors import WssError
from wsscli.nets.position_sensitive import assemble


def literal(maps, box, k):
    """Copy and paste, step by step: (2k^2,h,w) -> {(y, x): (inside, outside)} of the steps that the box touches."""
    height, width = maps.shape[1:]
    x0, y0, x1, y1 = box.tolist()
    out = {}
    for y in range(math.floor(height * y0), math.ceil(height * y1)):
        for x in range(math.floor(width * x0), math.ceil(width * x1)):
            i = math.floor(((y + 0.5) / height - y0) / (y1 - y0) * k)
            j = math.floor(((x + 0.5) / width - x0) / (x1 - x0) * k)
            cell = min(max(i, 0), k - 1) * k + min(max(j, 0), k - 1)
            out[y, x] = (float(maps[cell, y, x]), float(maps[k * k + cell, y, x]))
    return out


@pytest.mark.parametrize(("k", "size"), [(7, (20, 20)), (3, (9, 14)), (2, (5, 4)), (1, (3, 3))])
def test_it_equals_copy_and_paste(k, size):
    generator = torch.Generator().manual_seed(k)
    maps = torch.randn(3, 2 * k * k, *size, generator=generator)
    corners = torch.rand(3, 5, 2, 2, generator=generator)
    boxes = torch.cat([corners.amin(2), corners.amax(2)], 2)
    boxes[0, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    boxes[1, 1] = torch.tensor([0.4, 0.4, 0.41, 0.41])  # within one step
    scores, region = assemble(maps, boxes)
    assert scores.shape == (3, 5, 2, *size) and region.shape == (3, 5, *size)
    for n in range(3):
        for r in range(5):
            expected = literal(maps[n], boxes[n, r], k)
            assert {tuple(at) for at in region[n, r].nonzero().tolist()} == set(expected)
            for (y, x), pair in expected.items():
                assert scores[n, r, :, y, x].tolist() == list(pair)
            assert not scores[n, r][:, ~region[n, r]].any()


def test_by_hand():
    maps = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 4, 4).contiguous()  # each map full of its number, k = 2
    scores, region = assemble(maps, torch.tensor([[[0.25, 0.0, 0.75, 1.0]]]))
    assert scores[0, 0, 0].tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [0, 2, 3, 0], [0, 2, 3, 0]]
    assert scores[0, 0, 1].tolist() == [[0, 4, 5, 0], [0, 4, 5, 0], [0, 6, 7, 0], [0, 6, 7, 0]]
    assert region[0, 0].tolist() == [[False, True, True, False]] * 4


def test_neighbouring_boxes_read_other_maps_at_the_same_place():
    maps = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 4, 4).contiguous()
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 0.75, 1.0]]])
    scores, _ = assemble(maps, boxes)
    assert scores[0, 0, 0, 0, 1] == 1 and scores[0, 1, 0, 0, 1] == 0  # right half of one, left half of the other


def test_gradients_go_to_the_map_that_was_copied():
    maps = torch.zeros(1, 8, 4, 4, requires_grad=True)
    scores, _ = assemble(maps, torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]]))
    scores[0, :, 0].sum().backward()
    expected = torch.zeros(8, 4, 4)
    for cell, (top, left) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        expected[cell, top : top + 2, left : left + 2] = 2  # two boxes
    assert torch.equal(maps.grad[0], expected)


def test_a_box_without_area_has_no_step():
    scores, region = assemble(torch.ones(1, 2, 3, 3), torch.tensor([[[0.5, 0.5, 0.5, 0.5]]]))
    assert not region.any() and not scores.any()


def test_the_number_of_maps():
    with pytest.raises(WssError) as caught:
        assemble(torch.zeros(1, 97, 4, 4), torch.zeros(1, 1, 4))
    assert str(caught.value) == "position-sensitive maps: 97 of them, but 2 k^2 are needed; 98 for k = 7"
