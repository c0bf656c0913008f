import pytest
import torch

from wsscli.nets.geometry import upsample


def test_corners_lie_on_corners_at_sizes_of_the_grid():
    maps = torch.tensor([[[[0.0, 1.0, 4.0]]]])  # strides of 4: pixels 0, 4, 8
    out = upsample(maps.expand(1, 1, 3, 3), (9, 9), 4)[0, 0, 0]
    assert out.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1.75, 2.5, 3.25, 4])


def test_half_pixel_centres_at_other_sizes():
    maps = torch.tensor([[[[0.0, 1.0]]]]).expand(1, 1, 2, 2)
    assert upsample(maps, (4, 4), 2)[0, 0, 0].tolist() == pytest.approx([0, 0.25, 0.75, 1])
