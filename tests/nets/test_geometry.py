import pytest
import torch

from wsscli.nets.geometry import upsample


def test_corners_lie_on_corners_at_sizes_of_the_grid():
    maps = torch.tensor([[[[0.0, 1.0, 4.0]]]])  # strides of 4: pixels 0, 4, 8
    out = upsample(maps.expand(1, 1, 3, 3), (9, 9), 4)[0, 0, 0]
    assert out.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1.75, 2.5, 3.25, 4])


def test_every_second_pixel():
    maps = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    full = upsample(maps, (65, 97), 16)
    assert torch.allclose(upsample(maps, (33, 49), 16, step=2), full[:, :, ::2, ::2], atol=1e-6)


def test_half_pixel_centres_at_other_sizes():
    maps = torch.tensor([[[[0.0, 1.0]]]]).expand(1, 1, 2, 2)
    assert upsample(maps, (4, 4), 2)[0, 0, 0].tolist() == pytest.approx([0, 0.25, 0.75, 1])
