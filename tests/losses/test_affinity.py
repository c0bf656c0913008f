import math

import numpy as np
import pytest
import torch

from wsscli.errors import UsageError
from wsscli.losses.affinity import affinity_loss, colour_similarity, feature_affinity, random_walk


def literal(features, images):
    """W, T and M of one image, entry by entry (equations 2 and 3)."""
    f = features.reshape(features.shape[0], -1).T
    colours = images.reshape(3, -1).T
    p = len(f)
    w, m = np.zeros((p, p)), np.zeros((p, p))
    for i in range(p):
        for j in range(p):
            w[i, j] = math.exp(-math.sqrt(sum((a - b) ** 2 for a, b in zip(f[i], f[j], strict=True))))
            m[i, j] = math.sqrt(sum((a - b) ** 2 for a, b in zip(colours[i], colours[j], strict=True)))
    m = 1 - m / m.max() if m.max() else np.ones_like(m)
    return w, w / w.sum(1, keepdims=True), m


def batch(n=2, side=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3, side, side)), rng.integers(0, 256, (n, 3, side, side)).astype(float)


def test_hand_computed():
    features = torch.tensor([[[[0.0, 3.0]], [[0.0, 4.0]]]])  # (1,2,1,2): a distance of 5
    photo = torch.tensor([[[[0.0, 10.0]]] * 3])[:, :, 0]
    w = feature_affinity(features)
    assert w[0].tolist() == [[1, pytest.approx(math.exp(-5))], [pytest.approx(math.exp(-5)), 1]]
    assert colour_similarity(photo)[0].tolist() == [[1, 0], [0, 1]]
    assert affinity_loss(features, photo).item() == pytest.approx(math.exp(-5) / 2)
    share = math.exp(-5) / (1 + math.exp(-5))
    assert affinity_loss(features, photo, "row-norm").item() == pytest.approx(2 * share, rel=1e-5)
    assert affinity_loss(features, photo, "paper").item() == pytest.approx(share, rel=1e-5)  # every entry is off by it
    walked = random_walk(torch.tensor([[[[1.0, 0.0]]]]), features)
    assert walked.flatten().tolist() == pytest.approx([1 - share, share])


@pytest.mark.parametrize("target", ["w", "row-norm", "paper"])
def test_equal_to_the_literal_form(target):
    features, photos = batch()
    expected = []
    for f, photo in zip(features, photos, strict=True):
        w, t, m = literal(f, photo)
        rows = m / m.sum(1, keepdims=True)
        expected.append(
            {"w": np.abs(w - m).mean(), "paper": np.abs(t - m).mean(), "row-norm": np.abs(t - rows).sum(1).mean()}[
                target
            ]
        )
    found = affinity_loss(torch.tensor(features), torch.tensor(photos), target)
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-6)


def test_the_walk_is_a_weighted_mean():
    features, photos = batch()
    maps = np.random.default_rng(1).random((2, 5, 4, 4))
    found = random_walk(torch.tensor(maps), torch.tensor(features)).numpy()
    for n in range(2):
        _, t, _ = literal(features[n], photos[n])
        np.testing.assert_allclose(found[n].reshape(5, -1), (t @ maps[n].reshape(5, -1).T).T, rtol=1e-6)
    flat = random_walk(torch.full((1, 1, 4, 4), 0.3, dtype=torch.float64), torch.tensor(features[:1]))
    np.testing.assert_allclose(flat.numpy(), 0.3)


@pytest.mark.parametrize("target", ["w", "row-norm", "paper"])
def test_gradients(target):
    features, photos = batch(1, 3)
    given = torch.tensor(features, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: affinity_loss(f, torch.tensor(photos), target), (given,))


def test_equal_features_have_no_gradient_and_no_nan():
    given = torch.zeros(1, 3, 3, 3, requires_grad=True)
    affinity_loss(given, torch.rand(1, 3, 3, 3)).backward()
    assert given.grad.tolist() == torch.zeros(1, 3, 3, 3).tolist()


def test_one_colour_is_alike_everywhere():
    assert colour_similarity(torch.full((1, 3, 2, 2), 7.0)).unique().tolist() == [1]


def test_the_paper_s_target_hardly_moves_the_features():
    """Why the default is another one: at 50 x 50 its gradient is thousands of times smaller."""
    rng = np.random.default_rng(0)
    photos = torch.tensor(rng.integers(0, 256, (1, 3, 50, 50)), dtype=torch.float32)
    sizes = {}
    for target in ("w", "paper"):
        given = torch.tensor(rng.normal(size=(1, 3, 50, 50)), dtype=torch.float32, requires_grad=True)
        affinity_loss(given, photos, target).backward()
        sizes[target] = given.grad.abs().mean().item()
    assert sizes["paper"] < sizes["w"] / 1000


def test_half_precision_is_taken_as_float32():
    features, photos = (torch.tensor(part, dtype=torch.float32) for part in batch())
    expected = affinity_loss(features.bfloat16().float(), photos)
    with torch.autocast("cpu", torch.bfloat16):
        found = affinity_loss(features.bfloat16(), photos.byte())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_a_common_offset_changes_nothing():
    features, photos = (torch.tensor(part, dtype=torch.float32) for part in batch())
    gradients = []
    for offset in (0.0, 100.0):
        given = (features + offset).requires_grad_()
        affinity_loss(given, photos).backward()
        gradients.append(given.grad)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-7)


def test_bad_arguments_are_named():
    features, photos = (torch.tensor(part) for part in batch())
    with pytest.raises(UsageError) as caught:
        affinity_loss(features, photos, "row")
    assert str(caught.value) == "affinity target 'row': give w, row-norm, paper"
    with pytest.raises(UsageError) as caught:
        affinity_loss(features, photos[:1])
    assert str(caught.value) == "affinity loss: features of 2 images, but 1 images"
