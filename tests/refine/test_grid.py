import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from wsscli.errors import UsageError, WssError
from wsscli.refine import grid
from wsscli.refine.crf import PRESETS, dense_crf
from wsscli.refine.dense import dense_mean_field
from wsscli.refine.grid import grid_crf

HERE = Path(__file__).parent
LITERAL = runpy.run_path(str(HERE / "literal.py"))
smooth_batch = runpy.run_path(str(HERE / "test_dense.py"))["smooth_batch"]
GRID = {**PRESETS["koltun"], "gauss_sxy": 3 / 12, "bilateral_sxy": 80 / 12}


def one_by_one(images, p, **options):
    pixels = images.permute(0, 2, 3, 1).numpy()
    return np.stack([dense_crf(i, q, **options) for i, q in zip(pixels, p.numpy(), strict=True)])


@pytest.mark.parametrize("workers", [None, 1, 2, 7])
def test_lattice_is_the_photo_crf_with_scaled_distances(workers):
    images, p = smooth_batch(5, 5, 13, 12)
    got = grid_crf(images, p, engine="lattice", workers=workers)
    assert got.dtype == torch.float32
    assert (got.numpy() == one_by_one(images, p, **GRID)).all()


def test_dense_is_the_dense_form_with_scaled_distances():
    images, p = smooth_batch(3, 5, 13, 12)
    assert (grid_crf(images, p, engine="dense") == dense_mean_field(images, p, **GRID)).all()
    six = {**PRESETS["deeplab"], "gauss_sxy": 1 / 6, "bilateral_sxy": 67 / 6}
    got = grid_crf(images, p, engine="dense", scale=6, iterations=3, **PRESETS["deeplab"])
    assert (got == dense_mean_field(images, p, iterations=3, **six)).all()


def test_auto_is_the_lattice_on_the_cpu():
    images, p = smooth_batch(2, 5, 13, 12)
    lattice, dense = grid_crf(images, p, engine="lattice"), grid_crf(images, p, engine="dense")
    assert (lattice != dense).any()
    assert (grid_crf(images, p) == lattice).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_is_dense_on_a_device_and_the_lattice_returns_there():
    images, p = smooth_batch(2, 5, 13, 12)
    got = grid_crf(images.cuda(), p.cuda())
    assert got.device.type == "cuda"
    assert (got.cpu() - grid_crf(images, p, engine="dense")).abs().max() < 1e-4
    lattice = grid_crf(images.cuda(), p.cuda(), engine="lattice")
    assert lattice.device.type == "cuda"
    assert (lattice.cpu() == grid_crf(images, p)).all()


@pytest.mark.parametrize("engine", ["lattice", "dense"])
def test_images_are_rounded_to_whole_levels(engine):
    images, p = smooth_batch(2, 3, 13, 12)
    near = images.float() + 0.4 * (torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    near[0, 0, 0, 0], near[0, 0, 0, 1] = -3, 300
    images[0, 0, 0, 0], images[0, 0, 0, 1] = 0, 255
    assert (grid_crf(near, p, engine=engine) == grid_crf(images, p, engine=engine)).all()


def test_unary_probability_is_an_energy_of_minus_p():
    images, p = smooth_batch(2, 4, 7, 6)
    # the literal form takes the log of what it is given
    want = [
        LITERAL["mean_field_matrices"](i, q, 10, **GRID)
        for i, q in zip(images.permute(0, 2, 3, 1).numpy(), (p - 1).double().exp().numpy(), strict=True)
    ]
    got = grid_crf(images, p, engine="dense", unary="probability")
    assert np.abs(got.numpy() - np.stack(want)).max() < 1e-4


def test_unary_probability_equals_the_reference_given_minus_p():
    dcrf = pytest.importorskip("pydensecrf.densecrf")
    images, p = smooth_batch(1, 4, 21, 23)
    crf = dcrf.DenseCRF2D(23, 21, 4)
    crf.setUnaryEnergy(np.ascontiguousarray(-p[0].numpy().reshape(4, -1)))
    crf.addPairwiseGaussian(sxy=3 / 12, compat=3)
    rgb = images[0].permute(1, 2, 0).contiguous().numpy()
    crf.addPairwiseBilateral(sxy=80 / 12, srgb=13, rgbim=rgb, compat=10)
    want = np.array(crf.inference(10)).reshape(4, 21, 23)
    got = grid_crf(images, p, engine="lattice", unary="probability")
    assert np.abs(got[0].numpy() - want).max() < 1e-4


def test_what_an_undecided_net_becomes_depends_on_the_unary_term():
    images, p = smooth_batch(2, 21, 20, 20)
    hint = (0.3 * p.log()).softmax(1)
    assert hint.amax(1).mean() < 0.3
    assert grid_crf(images, hint, engine="dense").amax(1).mean() > 0.9
    assert grid_crf(images, hint, engine="dense", unary="probability").amax(1).mean() < 0.3


def test_threads_stay_from_call_to_call():
    images, p = smooth_batch(4, 3, 6, 7)
    grid._pool.cache_clear()
    for _ in range(3):
        grid_crf(images, p, engine="lattice", workers=2)
    assert grid._pool.cache_info().misses == 1
    assert grid._pool.cache_info().hits == 2


@pytest.mark.parametrize("engine", ["lattice", "dense"])
def test_no_gradient_and_nothing_is_written_to(engine):
    images, p = smooth_batch(2, 3, 6, 7)
    images, p = images.float(), p.requires_grad_()
    before = images.clone(), p.detach().clone()
    assert not grid_crf(images, p, engine=engine).requires_grad
    assert (images == before[0]).all()
    assert (p == before[1]).all()


@pytest.mark.parametrize("engine", ["lattice", "dense"])
def test_tensors_of_any_layout_and_precision_are_taken(engine):
    images, p = smooth_batch(2, 3, 6, 7)
    want = grid_crf(images, p, engine=engine)
    last = images.contiguous(memory_format=torch.channels_last), p.contiguous(memory_format=torch.channels_last)
    assert (grid_crf(*last, engine=engine) - want).abs().max() < 1e-6
    assert (
        grid_crf(images, p.bfloat16(), engine=engine) == grid_crf(images, p.bfloat16().float(), engine=engine)
    ).all()


@pytest.mark.parametrize("engine", ["lattice", "dense"])
def test_no_images_are_no_marginals(engine):
    q = grid_crf(torch.zeros(0, 3, 4, 5, dtype=torch.uint8), torch.zeros(0, 2, 4, 5), engine=engine)
    assert q.shape == (0, 2, 4, 5)


def error(*args, kind=UsageError, **kwargs):
    with pytest.raises(kind) as caught:
        grid_crf(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


def test_errors():
    images, p = smooth_batch(2, 3, 4, 6)
    assert error(images, p, engine="pydensecrf") == (
        "crf: no engine 'pydensecrf' on a grid; take auto, lattice or dense"
    )
    assert error(images, p, unary="logit") == "crf: no unary term 'logit'; take log-probability or probability"
    assert error(images, p, scale=0) == (
        "crf: scale is 0; a step of the grid must stand for more than 0 pixels (12 is usual)"
    )
    assert error(images, p, scale=float("nan")).startswith("crf: scale is nan;")
    assert error(images, p, workers=0) == "crf: 0 workers; take 1 or more"
    assert error(images, p, iterations=-1) == "crf: -1 iterations; take 0 or more (10 is usual)"
    assert error(images, p, bilateral_srgb=0) == "crf: bilateral_srgb is 0; a standard deviation must be greater than 0"
    assert error(images, p[:1], kind=WssError).startswith("crf: probabilities of shape (1, 3, 4, 6) on 2 images of")
    p[0, 0, 0, 0] = float("nan")
    assert error(images, p, kind=WssError) == "crf: the probabilities hold NaN or infinity; make the scores again"
