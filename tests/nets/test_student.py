"""The student: eight convolutions, a softmax that is a sigmoid, samples placed where the photo's pixels are."""

import numpy as np
import pytest
import torch
from torch import nn

from wsscli.classes import FOREGROUND
from wsscli.errors import UsageError
from wsscli.nets.student import Student, check_side, placed


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Student(side=65).eval()


def test_eight_convolutions_and_few_weights(net):
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert len(layers) == 8 and layers[-1].out_channels == 1
    assert sum(p.numel() for p in net.parameters()) < 300_000


def test_a_softmax_that_is_a_sigmoid(net):
    with torch.inference_mode():
        logits = net(torch.randn(2, 3, 65, 65))
    assert logits.shape == (2, 2, 17, 17) and not logits[:, 0].any() and logits[:, 1].any()
    torch.testing.assert_close(logits.softmax(1)[:, 1], logits[:, 1].sigmoid())


@pytest.mark.parametrize("size", [(65, 65), (33, 97), (97, 65), (50, 61), (1, 9)])
def test_as_many_samples_as_a_net_of_this_stride_has(net, size):
    with torch.inference_mode():
        logits = net(torch.randn(1, 3, *size))
    assert logits.shape == (1, 2, -(-size[0] // 4), -(-size[1] // 4))


def literal_placed(z, size, side):
    """Bilinear values at the centres of every 4th pixel, by hand."""
    out = np.zeros([-(-length // 4) for length in size])
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            at = [((4 * k + 0.5) * side / length - 0.5) / 4 for k, length in zip((i, j), size, strict=True)]
            at = [min(max(a, 0), z.shape[0] - 1) for a in at]
            y, x = (min(int(a), z.shape[0] - 2) for a in at)
            dy, dx = at[0] - y, at[1] - x
            out[i, j] = (z[y, x] * (1 - dx) + z[y, x + 1] * dx) * (1 - dy) + (
                z[y + 1, x] * (1 - dx) + z[y + 1, x + 1] * dx
            ) * dy
    return out


@pytest.mark.parametrize("size", [(33, 33), (17, 49), (40, 30)])
def test_samples_stand_where_the_warp_puts_their_pixels(size):
    z = torch.randn(1, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    found = placed(z, size, 33)
    expected = literal_placed(z[0, 0].double().numpy(), size, 33)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-5)
    if size == (33, 33):
        torch.testing.assert_close(found, z)


def test_whole_photos_of_any_shape_are_warped_to_one_square(net):
    """A photo and its stretched copy look alike to the net."""
    square = torch.nn.functional.interpolate(torch.randn(1, 3, 9, 9), (130, 130), mode="bicubic")
    wide = torch.nn.functional.interpolate(square, (130, 390), mode="bilinear")
    with torch.inference_mode():
        one, other = net(square)[0, 1], net(wide)[0, 1]
    shrunk = torch.nn.functional.interpolate(other[None, None], one.shape, mode="area")[0, 0]
    assert np.corrcoef(one.ravel(), shrunk.ravel())[0, 1] > 0.97


def test_its_config_builds_it_again(net):
    config = dict(net.config)
    assert config == {"arch": "student", "backbone": "student", "side": 65, "classes": ["background", "foreground"]}
    again = Student.build("student", FOREGROUND, side=65)
    again.load_state_dict(net.state_dict())
    assert again.config == config and (again.size, again.stride) == (129, 4)


@pytest.mark.parametrize(
    ("side", "pair"), [(128, "113 or 129"), (130, "129 or 145"), (17, "33 or 49"), (40, "33 or 49")]
)
def test_sides_that_do_not_fit_are_refused(side, pair):
    with pytest.raises(UsageError) as caught:
        check_side(side)
    assert str(caught.value) == f"--crop-size {side}: a student's square has a multiple of 16, plus 1; take {pair}"


def test_another_stride_is_refused():
    assert Student.build("student", FOREGROUND, output_stride=4).stride == 4
    with pytest.raises(UsageError) as caught:
        Student.build("student", FOREGROUND, output_stride=8)
    assert str(caught.value) == "--output-stride 8: a student net has 4 and no other; leave it out"
