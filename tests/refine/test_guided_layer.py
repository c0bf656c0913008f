import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from wsscli.errors import UsageError, WssError
from wsscli.refine.guided_filter import guided_filter
from wsscli.refine.guided_layer import GuideBatch, guided_layer, linear_model

LITERAL = runpy.run_path(str(Path(__file__).with_name("test_guided_filter.py")))
photo, literal = LITERAL["photo"], LITERAL["literal"]


def batch(n=2, c=3, size=(9, 11), kinds=("photo", "grey")):
    images = np.stack([photo(kinds[i % len(kinds)], size, seed=i) for i in range(n)]).transpose(0, 3, 1, 2)
    maps = torch.rand(n, c, *size, generator=torch.Generator().manual_seed(1))
    return torch.from_numpy(np.ascontiguousarray(images)), maps


def one_by_one(images, maps, **options):
    pixels = images.permute(0, 2, 3, 1).numpy()
    return np.stack([guided_filter(i, m, **options) for i, m in zip(pixels, maps.numpy(), strict=True)])


@pytest.mark.parametrize("iterations", [0, 1, 15])
@pytest.mark.parametrize("window", [3, 7, 35])
def test_is_the_filter_of_arrays(window, iterations):
    images, maps = batch(4, 2, (31, 40), ("photo", "grey", "flat", "noise"))
    got = guided_layer(images, maps, window=window, iterations=iterations)
    assert got.dtype == torch.float32 and got.shape == maps.shape
    assert np.abs(got.numpy() - one_by_one(images, maps, window=window, iterations=iterations)).max() < 1e-6


def test_is_the_literal_filter():
    images, maps = batch(1, 1)
    want = literal(images[0].permute(1, 2, 0).numpy(), maps[0, 0].numpy(), 5)
    assert np.abs(guided_layer(images, maps, window=5)[0, 0].numpy() - want).max() < 1e-6


@pytest.mark.parametrize("iterations", [0, 1, 2])
@pytest.mark.parametrize("window", [3, 5, 35])
def test_gradient_of_the_maps(window, iterations):
    images, maps = batch(size=(4, 5))
    maps = maps.double().requires_grad_()

    def layer(m):
        return guided_layer(images, m, window=window, eps=1e-3, iterations=iterations)

    assert torch.autograd.gradcheck(layer, maps)
    assert torch.autograd.gradgradcheck(layer, maps)


def test_gradient_is_that_which_autograd_finds_step_by_step():
    images, maps = batch(size=(20, 24))
    weight = torch.rand(maps.shape, generator=torch.Generator().manual_seed(2)).double()
    grads = []
    for call in (
        lambda m: guided_layer(images, m, window=9, iterations=5),
        lambda m: GuideBatch.of(images, window=9, eps=1e-6).filter(m, 5),
    ):
        given = maps.double().requires_grad_()
        (call(given) * weight).sum().backward()
        grads.append(given.grad)
    assert grads[0].abs().max() > 0.1
    assert (grads[0] - grads[1]).abs().max() < 1e-8


def test_gradient_of_coefficients():
    images, maps = batch(size=(4, 5))
    guide = GuideBatch.of(images, window=3, eps=1e-3)
    assert torch.autograd.gradcheck(guide.coefficients, maps.double().requires_grad_())


def test_gradients_of_equations_9_and_10():
    images, maps = batch()
    guide = GuideBatch.of(images, window=5, eps=1e-3)
    alpha, beta = (t.detach().requires_grad_() for t in guide.coefficients(maps.double()))
    filtered = linear_model(guide.images, alpha, beta)
    assert (filtered - guided_layer(images, maps.double(), window=5, eps=1e-3)).abs().max() < 1e-12
    grad = torch.rand(filtered.shape, generator=torch.Generator().manual_seed(3)).double()
    filtered.backward(grad)
    for n in range(2):
        for c in range(3):
            for k in range(3):
                assert torch.equal(alpha.grad[n, c, k], guide.images[n, k] * grad[n, c])  # eq. 9
            assert torch.equal(beta.grad[n, c], grad[n, c])  # eq. 10
    assert torch.autograd.gradcheck(linear_model, (guide.images, alpha, beta))


def test_nothing_of_the_iterations_is_kept_for_the_gradient():
    images, maps = batch()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        guided_layer(images, maps.requires_grad_(), iterations=15)
    assert kept == []


def test_nothing_is_written_to_and_images_get_no_gradient():
    images, maps = batch()
    images, maps = (images / 255).requires_grad_(), maps.requires_grad_()
    before = images.detach().clone(), maps.detach().clone()
    guided_layer(images, maps, iterations=0).mul_(2)
    guided_layer(images, maps, iterations=2).sum().backward()
    assert torch.equal(images, before[0]) and torch.equal(maps, before[1])
    assert images.grad is None and maps.grad is not None


def test_tensors_of_any_layout_and_precision_are_taken():
    images, maps = batch()
    want = guided_layer(images, maps, window=7)
    last = images.contiguous(memory_format=torch.channels_last), maps.contiguous(memory_format=torch.channels_last)
    assert (guided_layer(*last, window=7) - want).abs().max() < 1e-6
    assert (guided_layer(images.float() / 255, maps, window=7) - want).abs().max() < 1e-5
    half = guided_layer(images, maps.bfloat16(), window=7)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, guided_layer(images, maps.bfloat16().float(), window=7).bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(guided_layer(images, maps, window=7), want)


def test_no_images_and_no_maps():
    images, maps = batch()
    assert guided_layer(images[:0], maps[:0]).shape == (0, 3, 9, 11)
    assert guided_layer(images, maps[:, :0]).shape == (2, 0, 9, 11)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_gives_the_same():
    images, maps = batch()
    there = maps.cuda().requires_grad_()
    got = guided_layer(images.cuda(), there, iterations=15)
    assert got.device.type == "cuda"
    assert (got.cpu() - guided_layer(images, maps, iterations=15)).abs().max() < 1e-6
    got.square().sum().backward()
    maps.requires_grad_()
    guided_layer(images, maps, iterations=15).square().sum().backward()
    assert (there.grad.cpu() - maps.grad).abs().max() < 1e-4


def error(*args, kind=WssError, **kwargs):
    with pytest.raises(kind) as caught:
        guided_layer(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


def test_errors():
    images, maps = batch()
    assert error(images[0], maps) == "guided filter: images of shape (3, 9, 11); they must be (N, 3, H, W)"
    assert error(images.float(), maps).startswith("guided filter: the images hold values from ")
    assert error(images.float() * 0 + 17, maps) == (
        "guided filter: the images hold values from 17 to 17; float images lie in [0, 1], as eps is meant for them"
    )
    assert error(images, maps[:1]) == (
        "guided filter: maps of shape (1, 3, 9, 11) on 2 images of 9 x 11; they must be (N, C, H, W) of the images' "
        "number and size"
    )
    assert error(images, maps[0]).startswith("guided filter: maps of shape (3, 9, 11) on 2 images")
    assert error(images, maps, window=4, kind=UsageError).startswith("guided filter: a window of 4;")
