import math

import numpy as np
import pytest
import torch

from wsscli.losses.sigmoid_cross_entropy import sigmoid_cross_entropy
from wsscli.losses.squared_softmax import squared_softmax
from wsscli.train.hypotheses import HypothesisSamples, Labels, Pooled
from wsscli.train.samples import Augment

BOXES = np.array([[0, 0, 60, 40], [10, 5, 30, 25], [50, 30, 60, 40]])


def photo(name="a"):
    """Red inside the second box, green inside the third, else grey."""
    image = np.full((40, 60, 3), 100, np.uint8)
    image[5:25, 10:30] = [250, 0, 0]
    image[30:40, 50:60] = [0, 250, 0]
    return image


def samples(**options):
    how = {"crop": 33, "flip": True, "jitter": 0.0, **options.pop("augment", {})}
    return HypothesisSamples(["a"], photo, {"a": [1, 3]}, {"a": BOXES}, 3, Augment(**how), 0, **options)


def test_boxes_lie_where_their_part_of_the_photo_lies():
    found = samples()
    seen = set()
    for epoch in range(12):
        image, labels, boxes = found(epoch, 0)
        assert image.shape == (33, 33, 3) and labels.tolist() == [1, 0, 1] and boxes.dtype == np.float32
        assert (boxes[:, :2] < boxes[:, 2:]).all() and boxes.min() >= 0 and boxes.max() <= 33
        for box, channel in ((boxes[1], 0), (boxes[2], 1)):
            x, y = ((box[:2] + box[2:]) / 2).astype(int)
            assert image[y, x, channel] > 200 and image[y, x].sum() < 300
        seen.add(float(boxes[1, 0]))
    assert sorted(seen) == pytest.approx([10 * 33 / 60, 33 - 30 * 33 / 60])  # as it is, and mirrored


def test_crops_are_the_boxes_parts():
    found = samples(crops=True)
    for epoch in range(6):
        image, labels = found(epoch, 0)
        assert image.shape == (99, 33, 3) and labels.tolist() == [1, 0, 1]
        assert (image[33:66] == [250, 0, 0]).all() and (image[66:] == [0, 250, 0]).all()
        assert 100 in image[:33]


def test_samples_can_be_made_again():
    one, other = (samples(augment={"jitter": 0.2}) for _ in range(2))
    other(3, 0)
    for a, b in zip(one(5, 0), other(5, 0), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one(5, 0)[0], one(6, 0)[0])


def test_the_highest_of_each_class_counts():
    logits = torch.tensor([[[0.0, -9.0], [-9.0, math.log(3)]]], requires_grad=True)  # (1,2,2): pooled to 0, ln 3
    labels = torch.tensor([[1.0, 0.0]])
    loss = Pooled("squared")(logits, [torch.empty(0), labels])
    assert math.isclose(loss.item(), 2 * (3 / 4) ** 2, rel_tol=1e-6)
    loss.backward()
    assert (logits.grad[0] != 0).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(("name", "loss"), [("squared", squared_softmax), ("sigmoid", sigmoid_cross_entropy)])
def test_losses_of_both_stages(name, loss):
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, 4), torch.eye(4)[:3]
    batch = [torch.empty(0), labels]
    assert Pooled(name)(logits, batch) == loss(logits.max(1).values, labels)
    assert Labels(name)(logits[:, 0], batch) == loss(logits[:, 0], labels)
