import pytest
import torch

from wsscli.nets.regions import on_map, region_grids, region_means


def literal(features, box, size, stride):
    """RoIAlign of one box, sample by sample: (C,7,7)."""
    channels, height, width = features.shape
    if (height - 1) * stride == size[0] - 1 and (width - 1) * stride == size[1] - 1:
        x0, y0, x1, y1 = ((edge - 0.5) / stride for edge in box)
    else:
        x0, x1 = (edge * width / size[1] - 0.5 for edge in (box[0], box[2]))
        y0, y1 = (edge * height / size[0] - 0.5 for edge in (box[1], box[3]))
    out = torch.zeros(channels, 7, 7)
    for row in range(7):
        for column in range(7):
            for i in range(2):
                for j in range(2):
                    y = y0 + (y1 - y0) * (row + (i + 0.5) / 2) / 7
                    x = x0 + (x1 - x0) * (column + (j + 0.5) / 2) / 7
                    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                    top, left = min(int(y), height - 2), min(int(x), width - 2)
                    for a in (0, 1):
                        for b in (0, 1):
                            weight = (1 - abs(y - top - a)) * (1 - abs(x - left - b))
                            out[:, row, column] += weight * features[:, top + a, left + b] / 4
    return out


BOXES = [[0.0, 0, 33, 33], [3, 5, 20, 30], [0, 0, 1, 1], [30, 31, 33, 33], [10, 2, 12, 33], [16, 16, 17, 17]]


@pytest.mark.parametrize(("size", "cells"), [((33, 33), (5, 5)), ((33, 40), (5, 6)), ((40, 36), (5, 5))])
def test_grids_and_means_are_roi_align_sample_by_sample(size, cells):
    torch.manual_seed(0)
    features = torch.randn(2, 3, *cells)
    boxes = torch.tensor([BOXES, BOXES[::-1]])  # (2,6,4)
    grids = region_grids(features, boxes, size, 8)
    assert grids.shape == (2, 6, 3, 7, 7)
    for image in range(2):
        for k, box in enumerate(boxes[image].tolist()):
            torch.testing.assert_close(grids[image, k], literal(features[image], box, size, 8), atol=1e-5, rtol=1e-4)
    means = region_means(features, boxes, size, 8)
    torch.testing.assert_close(means, grids.mean((3, 4)), atol=1e-5, rtol=1e-4)


def test_a_pixel_of_a_cell_s_own_place_has_that_cell_s_features():
    features = torch.arange(25.0).view(1, 1, 5, 5)
    # cells lie on pixels 0, 8, ..., 32, so a box of pixel 16 is cell 2 in both directions, up to its own width
    box = torch.tensor([[[16.0, 8, 17, 9]]])
    assert region_means(features, box, (33, 33), 8).item() == pytest.approx(7, abs=1e-5)
    assert on_map(box, (33, 33), (5, 5), 8).mean(-1).item() == pytest.approx(1.5)


def test_a_mirrored_map_and_box_give_the_same_mean():
    features = torch.rand(1, 4, 5, 5)
    box, mirrored = torch.tensor([[[2.0, 5, 13, 30]]]), torch.tensor([[[20.0, 5, 31, 30]]])  # x -> 33 - x
    torch.testing.assert_close(
        region_means(features, box, (33, 33), 8), region_means(features.flip(3), mirrored, (33, 33), 8)
    )


def test_gradients_reach_the_features_under_the_box_only():
    features = torch.rand(1, 1, 9, 9, requires_grad=True)
    region_means(features, torch.tensor([[[0.0, 0, 20, 20]]]), (65, 65), 8).sum().backward()
    slope = features.grad[0, 0]
    assert slope[:3, :3].min() > 0 and slope[4:].abs().max() == 0 and slope[:, 4:].abs().max() == 0
    assert slope.sum().item() == pytest.approx(1, abs=1e-5)
