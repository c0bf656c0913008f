import math

import pytest
import torch

from wsscli.errors import UsageError
from wsscli.nets.attention import attend, inside_boxes


def literal(values, boxes, cells):
    """Equation 1, step by step: (C,h,w) and the class's boxes."""
    out = torch.zeros_like(values)
    height, width = values.shape[1:]
    for x0, y0, x1, y1 in boxes.tolist():
        for y in range(height):
            for x in range(width):
                if cells == "paper":
                    inside = width * x0 <= x <= width * x1 and height * y0 <= y <= height * y1
                else:
                    inside = math.floor(width * x0) <= x < math.ceil(width * x1) and math.floor(
                        height * y0
                    ) <= y < math.ceil(height * y1)
                if inside and x1 > x0 and y1 > y0:
                    out[:, y, x] = values[:, y, x]
    return out


def random_boxes(images, number, generator):
    # eighths, so that sides often lie exactly on a step's border
    corners = torch.randint(0, 9, (images, number, 2, 2), generator=generator) / 8
    return torch.cat([corners.amin(2), corners.amax(2)], 2)


@pytest.mark.parametrize("cells", ["touched", "paper"])
def test_it_equals_the_literal_form_at_every_size(cells):
    generator = torch.Generator().manual_seed(3)
    boxes = random_boxes(6, 3, generator)
    maps = [torch.randn(6, 2, h, w, generator=generator) for h, w in ((20, 20), (8, 6), (3, 3), (1, 1))]
    found = attend(maps, boxes, cells)
    assert [part.shape for part in found] == [part.shape for part in maps]
    for values, part in zip(maps, found, strict=True):
        for i in range(6):
            torch.testing.assert_close(part[i], literal(values[i], boxes[i], cells), atol=0, rtol=0)


def test_by_hand():
    values = torch.ones(1, 1, 1, 4)
    boxes = torch.tensor([[[0.3, 0.0, 0.6, 1.0]]])  # 1.2 to 2.4 of 4 steps
    assert attend([values], boxes)[0].tolist() == [[[[0, 1, 1, 0]]]]
    assert attend([values], boxes, "paper")[0].tolist() == [[[[0, 0, 1, 0]]]]


def test_a_row_without_area_is_no_box_and_a_small_box_keeps_a_step():
    boxes = torch.tensor([[[0, 0, 0, 0], [0.5, 0.5, 0.5, 0.9], [0.9, 0.2, 0.1, 0.8]], [[0.41, 0.41, 0.42, 0.42]] * 3])
    for cells in ("touched", "paper"):
        assert not inside_boxes(boxes, (5, 5), cells)[0].any()
    assert inside_boxes(boxes, (5, 5))[1, 0].nonzero().tolist() == [[2, 2]]
    assert inside_boxes(boxes, (1, 1))[1, 0].tolist() == [[True]]
    assert not inside_boxes(boxes, (5, 5), "paper")[1].any()


def test_gradients_pass_inside_and_nowhere_else():
    values = torch.randn(1, 3, 4, 4, requires_grad=True)
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.25], [0.75, 0.75, 1.0, 1.0]]])
    attend([values], boxes)[0].sum().backward()
    expected = torch.zeros(4, 4)
    expected[0, :2] = expected[3, 3] = 1
    assert torch.equal(values.grad, expected.expand(1, 3, 4, 4))


def test_half_precision_stays():
    assert attend([torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)], torch.ones(1, 1, 4))[0].dtype == torch.bfloat16


def test_another_rule():
    with pytest.raises(UsageError) as caught:
        inside_boxes(torch.zeros(1, 1, 4), (2, 2), "some")
    assert str(caught.value) == "attention 'some': give touched or paper"
