import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import UsageError, WssError
from wsscli.grow.batched import _at_once, _one_by_one, grow_batch
from wsscli.grow.dsrg import grow

LITERAL = runpy.run_path(str(Path(__file__).with_name("literal.py")))
FORMS = {"one by one": _one_by_one, "at once": _at_once}
U = 255


def run(form, seeds, p, labels, theta_fg=0.85, theta_bg=0.99, original_quirks=False):
    return FORMS[form](seeds, p, labels, theta_fg, theta_bg, original_quirks)


values = st.sampled_from([0.0, 0.2, 0.5, 0.849, 0.85, 0.9, 0.99, 1.0])
thresholds = st.sampled_from([0.0, 0.2, 0.5, 0.85, 0.99, 1.0, float("inf")])


@st.composite
def problems(draw):
    n, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 8)), draw(st.integers(1, 8))
    k = draw(st.sampled_from([1, 2, 3, 5, 62, 63, 64, 65, 127, 255]))
    # of many classes a few matter, around the ends of the words that hold a bit for each
    used = sorted({c for c in (0, 1, 2, 61, 62, 63, 64, 126, 254) if c < k})
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = np.array(draw(st.lists(values, min_size=1, max_size=4)), np.float32)
    p = np.zeros((n, k, height, width), np.float32)
    p[:, used] = levels[rng.integers(0, len(levels), (n, len(used), height, width))]
    if draw(st.booleans()):
        p[:, rng.choice(used)] = 1
    strangers = [c for c in (4, 77, 254) if c >= k][:1]  # seeds of a class without a channel
    share = draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    seeded = rng.random((n, height, width)) < share
    seeds = np.where(seeded, rng.choice([*used, *strangers, U], (n, height, width)), U).astype(np.uint8)
    labels = rng.random((n, k)) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    if draw(st.booleans()):
        labels[:, 0] = True
    options = {"theta_fg": draw(thresholds), "theta_bg": draw(thresholds)}
    return torch.from_numpy(seeds), torch.from_numpy(p), torch.from_numpy(labels), options


def image_by_image(function, seeds, p, labels, **options):
    classes = range(p.shape[1])
    return np.stack([
        function(s, h, classes, labels=[c for c in classes if c and taking_part[c]], **options)
        for s, h, taking_part in zip(seeds.numpy(), p.numpy(), labels.tolist(), strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=250, deadline=None)
@given(problem=problems())
def test_equals_visiting_and_the_form_for_one_image(form, problem):
    seeds, p, labels, options = problem
    got = run(form, seeds, p, labels, **options)
    assert got.dtype == torch.uint8
    assert (got.numpy() == image_by_image(grow, seeds, p, labels, **options)).all()
    assert (got.numpy() == image_by_image(LITERAL["visiting"], seeds, p, labels, **options)).all()


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=250, deadline=None)
@given(problem=problems())
def test_with_quirks_equals_the_authors_layer(form, problem):
    seeds, p, labels, options = problem
    got = run(form, seeds, p, labels, original_quirks=True, **options)
    assert (got.numpy() == image_by_image(LITERAL["layer"], seeds, p, labels, **options)).all()


@settings(max_examples=50, deadline=None)
@given(problem=problems())
def test_what_is_called_is_one_of_the_forms_and_writes_to_nothing(problem):
    seeds, p, labels, options = problem
    before = seeds.clone(), p.clone(), labels.clone()
    grown = grow_batch(seeds, p, labels, **options)
    assert (grown == run("at once", seeds, p, labels, **options)).all()
    assert all((a == b).all() for a, b in zip(before, (seeds, p, labels), strict=True))
    assert grown.data_ptr() != seeds.data_ptr()


def snake(side):
    """A corridor one pixel wide through the whole square, which no diagonal shortens: bool (side, side)."""
    free = np.zeros((side, side), bool)
    free[::2] = True
    free[1::4, -1] = True
    free[3::4, 0] = True
    return free


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("side", [5, 9, 41])
def test_growing_goes_on_to_the_end_of_a_long_corridor(form, side):
    free = torch.from_numpy(snake(side))
    p = torch.stack([(~free).float() * 0.5, free.float()])[None]
    seeds = torch.full((1, side, side), U, dtype=torch.uint8)
    seeds[0, 0, 0] = 1
    grown = run(form, seeds, p, torch.tensor([[True, True]]))
    assert (grown[0] == torch.where(free, 1, U)).all()


@pytest.mark.parametrize("length", range(1, 70))
def test_every_length_of_a_corridor_is_walked_to_its_end(length):
    # the host looks after 16 rounds, after 32 more, ...: no length may fall between two looks
    seeds = torch.full((1, 1, length + 2), U, dtype=torch.uint8)
    seeds[..., 0] = 1
    p = torch.zeros(1, 2, 1, length + 2)
    p[0, 1, :, : length + 1] = 1
    grown = run("at once", seeds, p, torch.tensor([[True, True]]))
    assert grown.ravel().tolist() == [1] * (length + 1) + [U]


def test_the_host_asks_the_device_seldom(monkeypatch):
    asked = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: asked.append(1) or tolist(tensor))
    for way, questions in ((10, 1), (40, 2), (100, 3)):
        seeds = torch.full((1, 1, way), U, dtype=torch.uint8)
        seeds[..., 0] = 1
        p = torch.stack([torch.zeros(1, way), torch.ones(1, way)])[None]
        asked.clear()
        run("at once", seeds, p, torch.tensor([[True, True]]))
        assert len(asked) == questions


@pytest.mark.parametrize("form", FORMS)
def test_images_do_not_touch(form):
    seeds = torch.full((3, 2, 2), U, dtype=torch.uint8)
    seeds[1, 0, 0] = 1
    p = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)], 1)
    grown = run(form, seeds, p, torch.ones(3, 2, dtype=torch.bool))
    assert (grown[1] == 1).all()
    assert (grown[[0, 2]] == U).all()


@pytest.mark.parametrize("form", FORMS)
def test_half_precision_and_other_layouts(form):
    rng = torch.Generator().manual_seed(0)
    p = torch.rand(2, 4, 9, 7, generator=rng).mul(4).softmax(1).bfloat16()
    seeds = torch.randint(0, 4, (2, 18, 14), generator=rng).to(torch.uint8)[:, ::2, ::2]  # as a batch's masks come
    seeds[torch.rand(seeds.shape, generator=rng) < 0.8] = U
    labels = torch.ones(2, 4, dtype=torch.bool)
    options = {"theta_fg": 0.3, "theta_bg": 0.35}
    want = image_by_image(grow, seeds.contiguous(), p.float(), labels, **options)
    assert (want != seeds.numpy()).any()
    assert (run(form, seeds, p.contiguous(memory_format=torch.channels_last), labels, **options).numpy() == want).all()


def test_a_gradient_is_not_asked_for():
    p = torch.rand(1, 2, 3, 3, requires_grad=True)
    grown = grow_batch(torch.zeros(1, 3, 3, dtype=torch.uint8), p, torch.ones(1, 2, dtype=torch.bool))
    assert not grown.requires_grad


@pytest.mark.parametrize("form", FORMS)
def test_no_images(form):
    grown = run(form, torch.zeros(0, 4, 5, dtype=torch.uint8), torch.zeros(0, 3, 4, 5), torch.ones(0, 3).bool())
    assert grown.shape == (0, 4, 5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@settings(max_examples=50, deadline=None)
@given(problem=problems(), quirks=st.booleans())
def test_the_device_gives_what_the_cpu_gives(problem, quirks):
    seeds, p, labels, options = problem
    got = grow_batch(seeds.cuda(), p.cuda(), labels.cuda(), original_quirks=quirks, **options)
    assert got.device.type == "cuda"
    assert (got.cpu() == grow_batch(seeds, p, labels, original_quirks=quirks, **options)).all()


def error(*args, kind=WssError, call=grow_batch, **kwargs):
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


def test_errors():
    seeds = torch.full((2, 4, 5), U, dtype=torch.uint8)
    p = torch.full((2, 3, 4, 5), 0.3)
    labels = torch.ones(2, 3, dtype=torch.bool)
    assert error(seeds.long(), p, labels) == "grow: seeds are int64 (2, 4, 5); they must be uint8 (N, h, w)"
    assert error(seeds[0], p, labels) == "grow: seeds are uint8 (4, 5); they must be uint8 (N, h, w)"
    assert error(seeds, p[:, :, :2], labels) == (
        "grow: probabilities of shape (2, 3, 2, 5) for 2 seed maps of 4 x 5; "
        "they must be (N, classes, h, w) of the seeds' number and size"
    )
    for strange in (p[:1], p[:, :0], p[0], torch.zeros(2, 256, 4, 5)):
        assert error(seeds, strange, labels).startswith(f"grow: probabilities of shape {tuple(strange.shape)} for 2")
    assert error(seeds, p, labels[:, :2]) == (
        "grow: labels are bool (2, 2) for 2 images and 3 classes; they must be bool (N, classes)"
    )
    assert error(seeds, p, labels.float()).startswith("grow: labels are float32 (2, 3) for 2 images and 3 classes;")
    assert error(seeds, p, labels, theta_fg=-1.0, kind=UsageError) == (
        "grow: theta_fg is -1.0; give a probability (0.85, 0.99 are usual) or inf"
    )
    assert error(seeds, p, labels, theta_bg=float("nan"), kind=UsageError).startswith("grow: theta_bg is nan;")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_probabilities_that_are_not_finite(form, value):
    p = torch.full((2, 3, 4, 5), 0.3)
    p[1, 2, 3, 4] = value
    labels = torch.tensor([[True, True, False]] * 2)  # also in a channel that takes no part
    text = error(form, torch.full((2, 4, 5), U, dtype=torch.uint8), p, labels, call=run)
    assert text == "grow: the probabilities hold NaN or infinity; make the scores again"
