import numpy as np
import pytest
import torch

from wsscli.classes import ClassTable
from wsscli.data.boxes import Boxes
from wsscli.nets.dasnet import DASNet
from wsscli.nets.ssd import SSD
from wsscli.train.box_samples import ClassSamples, Window
from wsscli.train.detection import BoxAugment, BoxSamples
from wsscli.train.in_boxes import forward_in_boxes, in_boxes
from wsscli.train.joint import JointLoss, JointSamples, forward_joint

SIDE = 129


def one_box(shade):
    return Boxes(
        np.array([[4, 4, 40, 30]], np.float32), np.array([1]), np.zeros(1, bool), np.zeros(1, bool)
    ) if shade % 2 == 0 else Boxes(
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, bool)
    )  # fmt: skip


def joint(masked=2, photos=5):
    """Photos `k` are of the one shade k; even ones have a box."""
    names = [str(k) for k in range(photos)]
    boxes = {name: one_box(int(name)) for name in names}

    def read(name):
        return np.full((50, 60, 3), int(name), np.uint8)

    def mask(_):
        return np.ones((50, 60), np.uint8)

    masks = ClassSamples(names[: 2 * masked : 2], read, mask, boxes, Window(SIDE, None, flip=False), seed=0)
    how = BoxAugment(SIDE, 1.0, None, flip=False, jitter=0.0)
    return JointSamples(masks, BoxSamples(names, read, boxes, how, seed=0))


def test_photos_with_boxes_come_in_turn_beside_those_with_masks():
    samples = joint()
    assert len(samples) == 2
    seen = [samples(epoch, index) for epoch in range(4) for index in range(2)]
    assert [(int(sample[0][0, 0, 0]), int(sample[-3][0, 0, 0])) for sample in seen] == [
        (0, 0), (2, 1), (0, 2), (2, 3), (0, 4), (2, 0), (0, 1), (2, 2),
    ]  # fmt: skip
    assert [sample[-1].tolist() for sample in seen[:2]] == [[1], [0]]


def net():
    torch.manual_seed(0)
    return DASNet(SSD.build("tiny", ClassTable.of(["cat"]), size=SIDE))


def batch_of(samples):
    images, *targets = (torch.from_numpy(np.stack(part)) for part in zip(samples(0, 0), samples(0, 1), strict=True))
    return [images.permute(0, 3, 1, 2), *targets]


def test_the_loss_has_the_two_terms():
    model, batch = net().eval(), batch_of(joint())
    images = model.backbone.normalise(batch[0])
    photos = model.backbone.normalise(batch[-3].permute(0, 3, 1, 2))
    value = JointLoss(model)(forward_joint(model, images, batch), batch)
    apart = in_boxes(forward_in_boxes(model, images, batch), batch)
    assert apart > 0 and value[1] > 0
    detection = model.detector.loss(model.detector(photos), batch[-2], batch[-1])
    torch.testing.assert_close(value, torch.stack([apart, detection]))


@pytest.mark.parametrize("part", ["detector.backbone.", "detector.parts.", "segment."])
def test_gradients_reach_every_part(part):
    model, batch = net(), batch_of(joint())
    images = model.backbone.normalise(batch[0])
    JointLoss(model)(forward_joint(model, images, batch), batch).sum().backward()
    moved = [p.grad.abs().sum() for name, p in model.named_parameters() if name.startswith(part) and p.grad is not None]
    assert sum(moved) > 0


def test_segmentation_alone_reaches_the_detectors_features():
    model, batch = net(), batch_of(joint())
    found = forward_joint(model, model.backbone.normalise(batch[0]), batch)
    found.logits.square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
