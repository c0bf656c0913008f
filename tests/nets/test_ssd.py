import math

import pytest
import torch
from torch.nn import functional

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.nets.ssd import SSD, Found

CLASSES = ClassTable.of(["cat", "dog"])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return SSD.build("tiny", CLASSES, size=129).eval()


def corners_of(net, size):
    """Figure 1 and section 2.2 of the paper, box by box."""
    sides = {129: (17, 9, 5, 3, 1), 320: (40, 20, 10, 5, 3, 1)}[size]
    count = len(sides)
    scales = [0.1] + [0.2 + (1.05 - 0.2) * k / (count - 1) for k in range(count)]
    out = []
    for k, side in enumerate(sides):
        shapes = [(scales[k], scales[k]), (math.sqrt(scales[k] * scales[k + 1]),) * 2]
        for ratio in [2] if k in (0, count - 2, count - 1) else [2, 3]:
            wide, high = scales[k] * math.sqrt(ratio), scales[k] / math.sqrt(ratio)
            shapes += [(wide, high), (high, wide)]
        for y in range(side):
            for x in range(side):
                for w, h in shapes:
                    w, h = min(w, 1), min(h, 1)
                    cx, cy = (x + 0.5) / side, (y + 0.5) / side
                    out.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    return torch.tensor(out) * size


def test_default_boxes_are_those_of_the_paper(net):
    torch.testing.assert_close(net.anchors, corners_of(net, 129), atol=1e-3, rtol=0)


def test_six_maps_at_320_finest_first():
    made = SSD.build("tiny", CLASSES)
    torch.testing.assert_close(made.anchors, corners_of(made, 320), atol=1e-3, rtol=0)
    with torch.inference_mode():
        maps = made.eval().features(torch.zeros(1, 3, 320, 320))
        found = made.found(maps)
    assert [m.shape[-1] for m in maps] == [40, 20, 10, 5, 3, 1]
    assert [m.shape[1] for m in maps] == made.channels
    assert found.classes.shape == (1, len(made.anchors), 3)
    assert found.boxes.shape == (1, len(made.anchors), 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channels"),
    [("lite0", [128, 192, 256, 512, 256, 256]), ("vgg16", [512, 1024, 512, 256, 256, 256])],
)
def test_maps_of_the_backbones(name, channels):
    made = SSD.build(name, CLASSES).eval()
    assert made.channels == channels
    assert len(made.anchors) == 4 * 1600 + 6 * (400 + 100 + 25) + 4 * 9 + 4
    with torch.inference_mode():
        maps = made.features(torch.randn(1, 3, 320, 320))
    assert [m.shape[-1] for m in maps] == [40, 20, 10, 5, 3, 1]
    if name == "vgg16":  # conv4_3 has length 20 at every point
        torch.testing.assert_close(maps[0].norm(dim=1), torch.full((1, 40, 40), 20.0))
    made.train()(torch.randn(1, 3, 320, 320))  # one image is enough for its batch normalisation


def test_gradients_reach_every_parameter(net):
    found = net(torch.randn(2, 3, 129, 129))
    boxes, labels = torch.tensor([[[10.0, 20, 100, 90]], [[0, 0, 129, 129]]]), torch.tensor([[1], [2]])
    net.zero_grad()
    net.loss(found, boxes, labels).backward()
    assert all(p.grad is not None for name, p in net.named_parameters())
    assert sum(p.grad.abs().sum() > 0 for p in net.parameters()) > 20


def literal_loss(net, found, boxes, labels):
    """Equations 1-3 with loops: the matching, smooth L1 of the offsets, cross-entropy with 3 negatives a positive."""
    total, matched = torch.zeros(()), 0
    for n in range(len(boxes)):
        real = [(boxes[n, m], int(labels[n, m])) for m in range(labels.shape[1]) if labels[n, m] > 0]
        target = [-1] * len(net.anchors)
        overlaps = [[iou(a, b) for b, _ in real] for a in net.anchors]
        for a, row in enumerate(overlaps):
            if row and max(row) >= 0.5:
                target[a] = row.index(max(row))
        for b in range(len(real)):  # each box keeps its best default box, however little they overlap
            column = [row[b] for row in overlaps]
            target[column.index(max(column))] = b
        entropies = functional.cross_entropy(
            found.classes[n], torch.tensor([real[t][1] if t >= 0 else 0 for t in target]), reduction="none"
        )
        positives = [a for a, t in enumerate(target) if t >= 0]
        for a in positives:
            total = total + entropies[a]
            for guess, wanted in zip(found.boxes[n, a], offsets(net.anchors[a], real[target[a]][0]), strict=True):
                d = (guess - wanted).abs()
                total = total + (0.5 * d * d if d < 1 else d - 0.5)
        negatives = sorted((float(entropies[a]) for a, t in enumerate(target) if t < 0), reverse=True)
        total = total + sum(negatives[: 3 * len(positives)])
        matched += len(positives)
    return total / max(1, matched)


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    shared = float(w * h)
    return shared / (float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - shared)


def offsets(anchor, box):
    (ax, ay, aw, ah), (bx, by, bw, bh) = (
        ((c[0] + c[2]) / 2, (c[1] + c[3]) / 2, c[2] - c[0], c[3] - c[1]) for c in (anchor, box)
    )
    return 10 * (bx - ax) / aw, 10 * (by - ay) / ah, 5 * math.log(bw / aw), 5 * math.log(bh / ah)


@pytest.mark.parametrize("labels", [[[1, 2, 0], [2, 0, 0]], [[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
def test_the_loss_is_the_paper_s(net, labels):
    generator = torch.Generator().manual_seed(3)
    count = len(net.anchors)
    found = Found(torch.randn(2, count, 3, generator=generator), torch.randn(2, count, 4, generator=generator))
    boxes = torch.tensor([[[12.0, 20, 90, 110], [60, 3, 66, 9], [0, 0, 0, 0]], [[2.0, 2, 127, 120], [0] * 4, [0] * 4]])
    value = net.loss(found, boxes, torch.tensor(labels))
    assert float(value) == pytest.approx(float(literal_loss(net, found, boxes, torch.tensor(labels))), rel=1e-4)
    assert (float(value) == 0) == (torch.tensor(labels).sum() == 0)


def sure_of(net, *picks):
    """What a net says that is sure of these default boxes (index, class, logit) as they are."""
    classes = torch.zeros(1, len(net.anchors), 3)
    classes[..., 0] = 12
    for index, label, logit in picks:
        classes[0, index, label] = logit
    return Found(classes, torch.zeros(1, len(net.anchors), 4))


def test_detections_are_suppressed_class_by_class(net):
    # the first point of the second map: a square, and a slightly larger one
    first, larger = 4 * 17 * 17 + 6 * 20, 4 * 17 * 17 + 6 * 20 + 1
    found = sure_of(net, (first, 1, 16), (larger, 1, 15), (larger, 2, 14), (5, 2, 2))
    (result,) = net.detections(found)
    assert result.labels.tolist() == [1, 2]
    expected = [torch.tensor(logits).softmax(0)[k].item() for logits, k in (([12.0, 16, 0], 1), ([12.0, 15, 14], 2))]
    assert result.scores.tolist() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(result.boxes[0], net.anchors[first].clamp(0, 129))
    overlap = iou(net.anchors[first], net.anchors[larger])
    (result,) = net.detections(found, nms=overlap + 0.01)
    assert result.labels.tolist() == [1, 1, 2]
    (result,) = net.detections(found, nms=overlap + 0.01, most=1)
    assert result.labels.tolist() == [1]
    (result,) = net.detections(found, threshold=0.99)
    assert len(result.labels) == 0
    assert result.boxes.shape == (0, 4)


def test_a_square_too_small():
    with pytest.raises(UsageError) as error:
        SSD.build("tiny", CLASSES, size=128)
    assert str(error.value) == "--size 128: a detector's square has 129 pixels a side or more"
