import numpy as np
import pytest
import torch

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.nets.hcp import HCP, score_hypotheses
from wsscli.nets.store import build_model

CLASSES = ClassTable.of(["cat", "dog", "cow"])


def net(name="tiny", **options):
    torch.manual_seed(0)
    found = HCP.build(name, CLASSES, size=65, **options).eval()
    torch.nn.init.normal_(found.classifier.weight, std=0.3)
    return found


def photo(height=80, width=120):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


BOXES = np.array([[0, 0, 120, 80], [10, 20, 40, 70], [90, 3, 120, 9], [5, 5, 6, 6]], np.int32)


@pytest.mark.parametrize("crop", [False, True])
def test_scores_are_the_softmax_of_the_classifier_on_the_features(crop):
    model = net()
    scores, features = score_hypotheses(model, photo(), BOXES, crop=crop)
    assert scores.shape == (4, 3) and features.shape == (4, 32)
    assert scores.dtype == features.dtype == np.float32
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    logits = features @ model.classifier.weight.detach().numpy().T + model.classifier.bias.detach().numpy()
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(scores, shifted / shifted.sum(1, keepdims=True), atol=1e-5)
    assert np.abs(scores[1] - scores[2]).max() > 1e-3  # boxes differ


def test_sigmoid_scores_of_a_net_trained_so():
    model = net(activation="sigmoid")
    scores, features = score_hypotheses(model, photo(), BOXES)
    logits = features @ model.classifier.weight.detach().numpy().T + model.classifier.bias.detach().numpy()
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_a_crop_is_a_photo_of_its_own():
    model, image = net(), photo()
    x0, y0, x1, y1 = BOXES[1]
    inner = np.ascontiguousarray(image[y0:y1, x0:x1])
    cropped = score_hypotheses(model, image, BOXES[1:2], crop=True)
    alone = score_hypotheses(model, inner, np.array([[0, 0, x1 - x0, y1 - y0]]), crop=True)
    np.testing.assert_array_equal(cropped[1], alone[1])
    pixels = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 65, 65), np.uint8))
    square = pixels[0].permute(1, 2, 0).numpy()
    whole = score_hypotheses(model, square, np.array([[0, 0, 65, 65]]), crop=True)
    logits = model(model.backbone.normalise(pixels)).detach().softmax(1).numpy()
    np.testing.assert_allclose(whole[0], logits, atol=1e-6)


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("backbone", ["tiny", "vgg16"])
def test_chunks_change_nothing(backbone, crop):
    model = net(backbone, hidden=8)
    many = np.concatenate([BOXES, BOXES[::-1], BOXES])
    one = score_hypotheses(model, photo(), many, crop=crop, chunk=3)
    all_ = score_hypotheses(model, photo(), many, crop=crop, chunk=100)
    for a, b in zip(one, all_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(all_[0][:4], all_[0][8:], atol=1e-6)


def test_no_boxes():
    for crop in (False, True):
        scores, features = score_hypotheses(net(), photo(), np.zeros((0, 4), np.int32), crop=crop)
        assert scores.shape == (0, 3) and features.shape == (0, 32)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [-1, 0, 4, 4], [0, 0, 121, 80]])
def test_a_box_that_is_none(box):
    with pytest.raises(WssError) as caught:
        score_hypotheses(net(), photo(), np.array([[0, 0, 4, 4], box]))
    assert str(caught.value) == (
        f"hypothesis 1: its box {', '.join(map(str, box))} (x0, y0, x1, y1) is empty or reaches out of its photo of "
        "80 x 120 (height x width); the proposals are of another photo: make them again"
    )


def test_hypotheses_of_a_batch_are_those_of_each_image():
    model = net()
    images = torch.rand(2, 3, 65, 65)
    boxes = torch.tensor([[[0.0, 0, 65, 65], [3, 9, 30, 40]], [[10, 10, 20, 60], [0, 0, 9, 9]]])
    logits = model.hypotheses(images, boxes)
    assert logits.shape == (2, 2, 3)
    for n in range(2):
        for m in range(2):
            alone = model.hypotheses(images[n : n + 1], boxes[n : n + 1, m : m + 1])
            torch.testing.assert_close(logits[n, m], alone[0, 0], atol=1e-5, rtol=1e-4)


def test_crops_below_each_other_are_photos():
    model = net()
    apart = torch.rand(2, 4, 3, 65, 65)
    stacked = apart.transpose(1, 2).flatten(2, 3)  # (2,3,4 * 65,65)
    logits = model.crops(stacked)
    torch.testing.assert_close(logits[1, 2], model(apart[1, 2][None])[0], atol=1e-5, rtol=1e-4)


def test_vgg_has_its_fully_connected_layers():
    model = net("vgg16", hidden=8)
    assert model.hidden[0].weight.shape == (8, 512 * 49) and model.classifier.in_features == 8
    assert score_hypotheses(model, photo(), BOXES)[1].shape == (4, 8)


def test_vgg_s_fully_connected_layers_come_from_the_weights_file(tmp_path, caplog):
    body = net("vgg16", hidden=8)
    tensors = {f"features.{key}": value for key, value in body.backbone.body.features.state_dict().items()}
    fully = {f"classifier.{key}": torch.full_like(value, 0.5) for key, value in body.hidden.state_dict().items()}
    torch.save(tensors | fully, tmp_path / "vgg.pth")
    loaded = HCP.build("vgg16", CLASSES, init=str(tmp_path / "vgg.pth"), hidden=8)
    assert all((value == 0.5).all() for value in loaded.hidden.state_dict().values()) and not caplog.records
    torch.save(tensors, tmp_path / "bare.pth")
    HCP.build("vgg16", CLASSES, init=str(tmp_path / "bare.pth"), hidden=8)
    assert caplog.messages == [f"{tmp_path / 'bare.pth'}: holds no fully connected layers that fit; they stay random"]


def test_it_is_built_again_from_its_config():
    model = net(activation="sigmoid", dropout=0.25)
    again = build_model(model.config)
    assert again.config == model.config and again.state_dict().keys() == model.state_dict().keys()


def test_an_unknown_activation():
    with pytest.raises(UsageError) as caught:
        net(activation="relu")
    assert str(caught.value) == "activation 'relu' of hypotheses; known: softmax, sigmoid"
