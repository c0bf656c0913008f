import pytest
import torch

from wsscli.classes import ClassTable
from wsscli.errors import UsageError
from wsscli.nets.backbones import backbone, early_stage
from wsscli.nets.segmenter import DeepLab
from wsscli.nets.self_guided import SelfGuided
from wsscli.nets.store import build_model

CLASSES = ClassTable.of(["cat", "dog"])


def net(**options):
    torch.manual_seed(0)
    return SelfGuided.build("tiny", CLASSES, affinity_size=6, **options).eval()


def test_what_it_says_of_a_batch():
    model = net()
    images = torch.rand(2, 3, 65, 65)
    found = model(images)
    assert found.logits.shape == (2, 2) and found.features.shape == (2, 3, 6, 6)
    maps = model.maps(images)
    assert maps.shape == (2, 2, 9, 9)  # stride 8
    torch.testing.assert_close(found.logits, maps.mean((2, 3)))  # E = GAP(A), before the sigmoid
    torch.testing.assert_close(found.features, model.affinity(images))


def test_the_maps_stand_on_the_segmentation_net_s_scores():
    model = net()
    segmenter = DeepLab.build("tiny", CLASSES).eval()
    shared = {key: value for key, value in model.state_dict().items() if key in segmenter.state_dict()}
    assert set(shared) == set(segmenter.state_dict())  # one net's names: --init goes both ways
    segmenter.load_state_dict(shared)
    images = torch.rand(1, 3, 33, 33)
    torch.testing.assert_close(model.localize(segmenter(images)), model.maps(images))


def test_new_layers_start_as_in_the_paper():
    torch.manual_seed(1)
    model = SelfGuided.build("resnet50", ClassTable.of([f"c{i}" for i in range(60)]), hidden=8)
    assert model.aggregate.weight.shape == (3, 256, 1, 1)  # res2a
    for layer in (model.localize, model.aggregate):
        assert 0.009 < layer.weight.std() < 0.011 and layer.bias.abs().max() == 0


def test_resizing_before_or_after_the_aggregation_is_one():
    model = net()
    _, early = model.backbone.with_early(torch.rand(1, 3, 65, 65))
    first = torch.nn.functional.interpolate(early, (6, 6), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model.aggregate(first), model._aggregated(early), atol=1e-5, rtol=1e-4)


def test_it_is_built_again_from_its_config():
    model = net(hidden=16, dropout=0.25, size=129)
    again = build_model(model.config)
    assert again.config == model.config and again.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "stage", "channels"),
    [("tiny", "5", 16), ("vgg16", "features.9", 128), ("resnet50", "layer1.0", 256), ("lite0", "blocks.1", 24)],
)
def test_early_features_are_of_stride_4(name, stage, channels):
    body = backbone(name).eval()
    body.keep_early()
    features, early = body.with_early(torch.zeros(1, 3, 65, 65))
    assert early_stage(body) == stage and early.shape == (1, channels, 17, 17)
    torch.testing.assert_close(features, body(torch.zeros(1, 3, 65, 65)))


def test_threads_see_their_own_features():
    from concurrent.futures import ThreadPoolExecutor

    model = net()
    batches = [torch.rand(1 + k % 3, 3, 33, 33) for k in range(40)]
    with torch.no_grad():
        alone = [model(images).features for images in batches]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda images: torch.no_grad()(model)(images).features, batches))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_backbone_without_a_known_stage():
    body = backbone("tiny")
    body.name = "timm:strange"
    with pytest.raises(UsageError) as caught:
        early_stage(body)
    assert str(caught.value) == ("backbone timm:strange: no stage of stride 4 is known; take lite0, vgg16 or a resnet")


@pytest.mark.parametrize(("stride", "rates"), [(8, [6, 12, 18, 24]), (16, [3, 6, 9, 12]), (32, [2, 3, 4, 6])])
def test_branches_reach_as_far_in_pixels_at_every_stride(stride, rates):
    model = SelfGuided.build("lite0", CLASSES, output_stride=stride)
    assert [branch[0].dilation[0] for branch in model.branches] == rates
    assert model.config["rates"] == rates
