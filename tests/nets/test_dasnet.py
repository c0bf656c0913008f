import json

import pytest
import torch
from torch import nn

from wsscli.classes import ClassTable
from wsscli.nets.attention import inside_boxes
from wsscli.nets.backbones import Backbone
from wsscli.nets.dasnet import DASNet, Deconvolution, foreground
from wsscli.nets.position_sensitive import assemble
from wsscli.nets.ssd import SSD
from wsscli.nets.store import build_model
from wsscli.nets.tiny import TinyBody

CLASSES = ClassTable.of(["cat", "dog"])


class Fake(nn.Module):
    """A detector of three maps, strides 8, 16 and, without padding, about 32."""

    classes, size, config = CLASSES, 64, {"arch": "fake"}

    def __init__(self):
        super().__init__()
        body = TinyBody(8)
        self.backbone = Backbone("tiny", body, lambda body, images: body(images), 8, (0.5,) * 3, (0.5,) * 3)
        self.more = nn.ModuleList([nn.Conv2d(32, 24, 3, 2, 1), nn.Conv2d(24, 8, 3, 2)])

    def features(self, images):
        maps = [self.backbone(images)]
        for layer in self.more:
            maps.append(layer(maps[-1]).relu())
        return maps


def net(**options):
    torch.manual_seed(0)
    return DASNet(Fake(), width=16, **options).eval()


BOXES = torch.tensor([[[0.1, 0.2, 0.6, 0.9], [0, 0, 0, 0]], [[0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.3, 0.3]]])


@pytest.mark.parametrize("instances", [False, True])
def test_what_it_says_of_a_batch(instances):
    model = net(instances=instances)
    images = torch.rand(2, 3, 64, 64)
    assert [tuple(part.shape[1:]) for part in model.maps(images)] == [(32, 8, 8), (24, 4, 4), (8, 1, 1)]
    found = model(images, BOXES)
    assert found.logits.shape == (2, 2, 64, 64)
    assert found.maps.shape == (2, 98 if instances else 0, 16, 16)
    torch.testing.assert_close(found.logits, model.of_class(model.maps(images), BOXES).logits)


def test_each_merge_has_the_lower_map_s_size_and_channels():
    module = Deconvolution([32, 24, 8], 8, width=16)
    seen = []
    for step in module.merge:
        step.register_forward_hook(lambda _module, given, out: seen.append((given[0].shape[1], out.shape[1])))
    module([torch.zeros(2, 32, 8, 8), torch.zeros(2, 24, 4, 4), torch.zeros(2, 8, 1, 1)], (64, 64))
    assert seen == [(8, 24), (48, 32)]  # up to the lower's channels; the next one takes both, concatenated
    assert module.join[0].in_channels == 64


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_logits_are_of_the_image_s_size_at_every_stride(stride):
    module = Deconvolution([8, 4], stride, width=16, instances=True).eval()
    side = 64 // stride
    found = module([torch.rand(1, 8, side, side), torch.rand(1, 4, -(-side // 2), -(-side // 2))], (64, 64))
    assert found.logits.shape == (1, 2, 64, 64)
    assert found.maps.shape[-1] == 64 // min(stride, 4)


def test_nothing_outside_the_boxes_is_seen():
    model = net()
    maps = model.maps(torch.rand(2, 3, 64, 64))
    outside = [~inside_boxes(BOXES, part.shape[-2:]).any(1)[:, None] for part in maps]
    noise = [torch.where(out, torch.rand_like(part), part) for out, part in zip(outside, maps, strict=True)]
    torch.testing.assert_close(model.of_class(noise, BOXES).logits, model.of_class(maps, BOXES).logits)
    assert not torch.equal(noise[0], maps[0])


def test_classes_share_one_module_and_the_detector_s_parameters_have_their_prefix():
    model = net(instances=True)
    names = [name for name, _ in model.named_parameters()]
    assert {name.split(".")[0] for name in names} == {"detector", "segment"}
    assert model.segment.semantic.weight.shape[1] == 2  # foreground and background, however many classes
    assert any(name.startswith(model.last) for name in names) and model.frozen == ("detector.",)
    assert model.config["detector"] == {"arch": "fake"} and model.config["instances"] is True


def test_gradients_pass_to_the_detector():
    model = net()
    model(torch.rand(2, 3, 64, 64), BOXES).logits.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_foreground_is_zero_outside_the_boxes():
    logits = torch.zeros(2, 2, 10, 10)
    logits[:, 1] = 3.0
    found = foreground(logits, BOXES)
    assert found[0, 5, 3].item() == pytest.approx(0.9526, abs=1e-4)  # softmax of (0, 3)
    assert (found[0] > 0).nonzero().amin(0).tolist() == [2, 1] and (found[0] > 0).nonzero().amax(0).tolist() == [8, 5]
    assert found[1, :3, :3].all() and found[1, 5:, 5:].all() and not found[1, :5, 5:].any()


def test_it_learns_a_shape_from_boxes():
    """A disc in a box, found on a photo and at a place never seen."""

    def scene(generator):
        x, y = torch.rand(2, generator=generator) * 0.4 + 0.3
        rows, columns = torch.meshgrid(*[(torch.arange(64) + 0.5) / 64] * 2, indexing="ij")
        mask = ((rows - y).square() + (columns - x).square()).sqrt() < 0.2
        image = torch.rand(3, 64, 64, generator=generator) * 0.3 + mask * 0.5
        return image, torch.stack([x - 0.2, y - 0.2, x + 0.2, y + 0.2])[None], mask

    generator = torch.Generator().manual_seed(0)
    model = net().train()
    for parameter in model.detector.parameters():
        parameter.requires_grad = False
    optimizer = torch.optim.AdamW(model.segment.parameters(), lr=3e-3)
    for _ in range(25):
        images, boxes, masks = (torch.stack(part) for part in zip(*[scene(generator) for _ in range(8)], strict=True))
        loss = nn.functional.cross_entropy(model(images, boxes).logits, masks.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    image, box, mask = scene(torch.Generator().manual_seed(99))
    with torch.no_grad():
        found = foreground(model.eval()(image[None], box[None]).logits, box[None])[0] > 0.5
    assert (found & mask).sum() / (found | mask).sum() > 0.7


def test_one_box_at_a_time():
    model = net(instances=True)
    maps = model.maps(torch.rand(2, 3, 64, 64))
    one = BOXES[:, 0]
    found = model.of_box(maps, one)
    scores, region = assemble(model.of_class(maps, one[:, None]).maps, one[:, None])
    assert found.shape == (2, 16, 16)
    torch.testing.assert_close(found, scores[:, 0].softmax(1)[:, 0] * region[:, 0])
    assert torch.equal(found > 0, region[:, 0])  # a softmax is never 0 inside


def test_it_is_built_again_from_its_config():
    detector = SSD.build("tiny", CLASSES, size=160)
    model = DASNet(detector, instances=True, attention="paper", width=32)
    again = build_model(json.loads(json.dumps(model.config)))
    assert isinstance(again, DASNet) and again.config == model.config
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in again.state_dict().items()} == shapes
    assert model.size == 160 and model.stride == 8
