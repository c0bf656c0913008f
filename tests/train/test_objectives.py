"""The training's objectives: what enters the loss, and that nothing else does."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from wsscli.losses.boundary import boundary
from wsscli.losses.cross_entropy import cross_entropy
from wsscli.losses.seeding import balanced_seeding, seeding
from wsscli.nets.geometry import upsample
from wsscli.refine.crf import dense_crf
from wsscli.refine.grid import grid_crf
from wsscli.train import objectives
from wsscli.train.objectives import SEED_LOSSES, Masks, Seeds, SoftMasks, at_grid

VISITING = runpy.run_path(str(Path(__file__).parents[1] / "grow" / "literal.py"))["visiting"]
K, STRIDE = 4, 8


def batch(seed=0, images=2, side=33, sharp=1.0):
    """Logits of a net of stride 8, and (images, seeds, labels, inside, truth): coloured halves with a few seeds in each."""
    generator = torch.Generator().manual_seed(seed)
    cells = (side - 1) // STRIDE + 1
    logits = sharp * torch.randn(images, K, cells, cells, generator=generator)
    halves = torch.arange(side) < side // 2
    pixels = torch.randint(0, 40, (images, 3, side, side), generator=generator) + 180 * halves
    truth = (2 * halves).to(torch.uint8).expand(images, side, side)
    silent = torch.rand(images, side, side, generator=generator) < 0.8
    labels = torch.tensor([[True, False, True, False], [True, True, True, False]])[:images]
    return logits, (
        pixels.to(torch.uint8),
        truth.masked_fill(silent, 255),
        labels,
        torch.ones_like(silent),
        truth.contiguous(),
    )


def spread(maps, step, length):
    """(K,c,c) of stride 8 at the points 0, step, 2 step, ... of an image of `length` = 8 (c - 1) + 1: bilinear."""
    at = np.arange(0, length, step) / STRIDE
    low = np.minimum(at.astype(int), maps.shape[1] - 2)
    share = at - low
    rows = maps[:, low] * (1 - share)[:, None] + maps[:, low + 1] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share


def colours(image, step):
    """(h,w,3): the mean colour within step / 2 of each point."""
    _, height, width = image.shape
    reach = step // 2 if step > 1 else 0
    rows = []
    for y in range(0, height, step):
        rows.append([])
        for x in range(0, width, step):
            part = image[:, max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
            rows[-1].append(part.reshape(3, -1).mean(1))
    return np.array(rows)


def literal(objective, logits, batch):
    """Value and supervision, written out: seeds at the grid, CRF, growing, losses, image by image."""
    images, seeds, labels = (part.numpy() for part in batch[:3])
    step, values, grown = objective.step, [], []
    for k in range(len(images)):
        small = seeds[k, ::step, ::step]
        scores = spread(logits[k].double().numpy(), step, images.shape[-1])
        p = np.exp(scores) / np.exp(scores).sum(0)
        given = p if objective.crf_unary == "log-probability" else np.exp(p - 1)
        grey = np.round(colours(images[k].astype(float), step)).astype(np.uint8)
        q = dense_crf(
            grey, given.astype(np.float32), gauss_sxy=3 / objective.crf_scale, bilateral_sxy=80 / objective.crf_scale
        )
        if objective.grow:
            small = VISITING(
                small, q, range(K), labels=[c for c in range(1, K) if labels[k, c]],
                theta_fg=objective.theta_fg, theta_bg=objective.theta_bg,
            )  # fmt: skip
        grown.append(small)
        logs = {"fg": [], "bg": []}
        for (y, x), c in np.ndenumerate(small):
            if c != 255:
                logs["fg" if c else "bg"].append(-math.log(p[c, y, x]))
        groups = logs.values() if objective.loss == "balanced-seed" else [logs["fg"] + logs["bg"]]
        value = sum(np.mean(group) for group in groups if group)
        q = np.maximum(q, 1e-4)
        q = q / q.sum(0)
        apart = (q * np.log(np.clip(q / p, 0.05, 20))).sum(0).mean()
        values.append(value + objective.boundary * apart)
    return np.mean(values), np.stack(grown)


class Seen:
    """A watch that keeps what it is shown."""

    def __init__(self):
        self.shown = []

    def add(self, *masks):
        self.shown.append(masks)


def test_masks_are_cross_entropy_at_every_so_many_rows_and_columns():
    logits, parts = batch()
    target = parts[1][:, ::4, ::4]
    expected = cross_entropy(upsample(logits, (9, 9), STRIDE, step=4), target)
    assert Masks(STRIDE, 4)(logits, parts[:2]) == expected
    p = np.array([spread(x.double().numpy(), 4, 33) for x in logits])
    p = np.exp(p) / np.exp(p).sum(1, keepdims=True)
    hand = np.mean([np.mean([-np.log(h[c, y, x]) for (y, x), c in np.ndenumerate(t) if c != 255]) for h, t in zip(p, target.numpy(), strict=True)])  # fmt: skip
    assert math.isclose(expected.item(), hand, rel_tol=1e-5)


@pytest.mark.parametrize("unary", ["log-probability", "probability"])
@pytest.mark.parametrize("step", [4, 8])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "seed", "grow": False},
        {"boundary": 0.0, "theta_fg": 0.6, "theta_bg": 0.6},
        {"boundary": 0.5, "loss": "seed", "theta_bg": math.inf},
        {"crf_scale": 6.0, "theta_fg": math.inf, "theta_bg": 0.7},
    ],
)
def test_equal_to_the_literal_composition(options, step, unary):
    grew = 0
    for seed in range(3):
        logits, parts = batch(seed, sharp=2.0)
        seen = Seen()
        objective = Seeds(STRIDE, step, **{"crf_engine": "lattice", "crf_unary": unary, "watch": seen, **options})
        value, grown = literal(objective, logits, parts)
        assert math.isclose(objective(logits, parts).item(), value, rel_tol=2e-4)
        assert np.array_equal(seen.shown[0][1].numpy(), grown)
        grew += (grown != parts[1].numpy()[:, ::step, ::step]).sum()
    assert (grew > 0) == objective.grow


def test_every_step_starts_from_the_original_seeds():
    parts = batch(1)[1]
    before = [part.clone() for part in parts]
    seen = Seen()
    objective = Seeds(STRIDE, 4, crf_engine="lattice", watch=seen)
    sure = batch(1, sharp=8.0)[0]
    objective(sure, parts)
    objective(torch.zeros_like(sure), parts)
    objective(sure, parts)
    objective(torch.zeros_like(sure), parts)
    first, second, third, fourth = (shown[1] for shown in seen.shown)
    assert (first != second).any() and torch.equal(first, third) and torch.equal(second, fourth)
    assert all(torch.equal(a, b) for a, b in zip(parts, before, strict=True))
    seeds = parts[1][:, ::4, ::4]
    assert all(torch.equal(shown[0], seeds) for shown in seen.shown)
    assert all((shown[1] == seeds)[seeds != 255].all() for shown in seen.shown)  # a seed keeps its label


def test_only_the_image_s_classes_and_the_background_grow():
    logits, parts = batch(2, sharp=6.0)
    logits[:, 3] += 20  # sure of a class that no image holds
    supervision = Seeds(STRIDE, 4, crf_engine="lattice").supervision(logits, parts)
    assert not (supervision == 3).any()
    here = parts[2].clone()
    here[:, 3] = True
    seeds = parts[1].clone()
    seeds[:, 0, 0] = 3
    everywhere = Seeds(STRIDE, 4, crf_engine="lattice").supervision(logits, (parts[0], seeds, here, parts[3]))
    assert (everywhere == 3).sum() > 2


def test_without_thresholds_that_can_be_reached_nothing_grows():
    logits, parts = batch(sharp=8.0)
    still = Seeds(STRIDE, 4, crf_engine="lattice", theta_fg=math.inf, theta_bg=math.inf)
    assert torch.equal(still.supervision(logits, parts), parts[1][:, ::4, ::4])
    assert still(logits, parts) == replace(still, grow=False)(logits, parts)
    assert still(logits, parts) != replace(still, theta_fg=0.85, theta_bg=0.99)(logits, parts)


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({"boundary": 0.0, "grow": False}, 0),
        ({"boundary": 0.0}, 1),
        ({"grow": False}, 1),
        ({}, 1),  # the boundary loss and growing share one
    ],
)
def test_the_crf_runs_where_it_is_needed_and_once(monkeypatch, options, times):
    calls = []

    def counted(*arguments, **how):
        calls.append(how)
        return grid_crf(*arguments, **how)

    monkeypatch.setattr(objectives, "grid_crf", counted)
    logits, parts = batch()
    Seeds(STRIDE, 8, crf_engine="dense", crf_unary="probability", crf_scale=7.0, **options)(logits, parts)
    assert calls == [{"engine": "dense", "unary": "probability", "scale": 7.0}] * times


def test_the_boundary_loss_is_weighted():
    logits, parts = batch()
    values = [Seeds(STRIDE, 8, boundary=w, grow=False, crf_engine="lattice")(logits, parts).item() for w in (0, 1, 3)]
    assert math.isclose(values[2] - values[0], 3 * (values[1] - values[0]), rel_tol=1e-5)
    assert values[1] != values[0]


@pytest.mark.parametrize("loss", ["seed", "balanced-seed"])
def test_no_gradient_flows_through_the_crf_and_growing(loss):
    logits, parts = batch(sharp=2.0)
    logits.requires_grad_()
    objective = Seeds(STRIDE, 4, loss=loss, crf_engine="lattice", crf_unary="log-probability")
    objective(logits, parts).backward()
    found, logits.grad = logits.grad, None
    supervision = objective.supervision(logits, parts)
    assert not supervision.requires_grad
    at = upsample(logits, (9, 9), STRIDE, step=4)
    q = grid_crf(at_grid(parts[0], 4), at.detach().softmax(1), engine="lattice")
    assert not q.requires_grad
    ({"seed": seeding, "balanced-seed": balanced_seeding}[loss](at, supervision) + boundary(at, q)).backward()
    assert torch.equal(logits.grad, found)


@pytest.mark.parametrize("unary", ["log-probability", "probability"])
def test_the_authors_gradient_through_the_crf(unary):
    logits, parts = batch(sharp=0.1)
    noise = torch.randint(0, 256, parts[0].shape, generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    parts = (noise, *parts[1:])  # nothing to smooth over: the CRF stays unsure and has a slope
    logits.requires_grad_()
    objective = Seeds(STRIDE, 4, grow=False, crf_engine="lattice", crf_unary=unary, boundary_gradient="dsrg")
    objective(logits, parts).backward()
    found, logits.grad = logits.grad, None
    at = upsample(logits, (9, 9), STRIDE, step=4)
    q = grid_crf(at_grid(parts[0], 4), at.detach().softmax(1), engine="lattice", unary=unary)
    (balanced_seeding(at, parts[1][:, ::4, ::4]) + boundary(at, q, "dsrg", unary)).backward()
    assert torch.equal(logits.grad, found)
    logits.grad = None
    replace(objective, boundary_gradient="none")(logits, parts).backward()
    assert (logits.grad - found).abs().max() > 1e-4


def test_supervision_is_what_a_step_would_be_trained_on():
    logits, parts = batch(sharp=2.0)
    for options in ({}, {"grow": False}, {"original_quirks": True, "theta_fg": 0.5}):
        seen = Seen()
        objective = Seeds(STRIDE, 4, crf_engine="lattice", watch=seen, **options)
        objective(logits, parts)
        assert torch.equal(objective.supervision(logits, parts[:4]), seen.shown[0][1])
        assert len(seen.shown) == 1  # asking is not a step


def test_behind_the_border_nothing_grows_and_no_loss_counts():
    logits, parts = batch(3)
    logits[:, 2, :, :2] += 8  # the left half is of class 2, as in the truth
    logits[:, 0, :, 2:] += 8
    images, seeds, labels, inside, _ = parts
    inside = inside.clone()
    inside[:, 20:] = False
    seeds = seeds.masked_fill(~inside, 255)
    objective = Seeds(STRIDE, 4, crf_engine="lattice")
    everywhere = objective.supervision(logits, (images, seeds, labels, torch.ones_like(inside)))
    found = objective.supervision(logits, (images, seeds, labels, inside))
    assert (found[:, 5:] == 255).all() and (everywhere[:, 5:] != 255).any() and (found[:, :5] != 255).any()
    given = logits.clone().requires_grad_()
    at = F.interpolate(given, (9, 9), mode="bilinear", align_corners=True)
    q = grid_crf(at_grid(images, 4), at.detach().softmax(1), engine="lattice", unary="probability")
    cut = balanced_seeding(at, found) + boundary(at[:, :, :5], q[:, :, :5])
    assert math.isclose(objective(logits, (images, seeds, labels, inside)).item(), cut.item(), rel_tol=1e-5)


def test_the_authors_quirks_reach_the_growing():
    logits, parts = batch(sharp=5.0)
    how = Seeds(STRIDE, 4, crf_engine="lattice", crf_unary="probability")
    ours, theirs = (replace(how, original_quirks=q).supervision(logits, parts) for q in (False, True))
    assert (ours != theirs).any()


def test_watching_changes_no_value():
    logits, parts = batch()
    seen = Seen()
    plain, watched = Seeds(STRIDE, 4, crf_engine="lattice"), Seeds(STRIDE, 4, crf_engine="lattice", watch=seen)
    assert watched(logits, parts) == plain(logits, parts[:4])
    ((seeds, supervision, truth),) = seen.shown
    assert torch.equal(truth, parts[4][:, ::4, ::4]) and seeds.shape == supervision.shape == truth.shape == (2, 9, 9)
    assert {mask.dtype for mask in seen.shown[0]} == {torch.uint8}


@pytest.mark.parametrize("side", [33, 41, 257, 40, 34, 256])
@pytest.mark.parametrize("step", [1, 2, 3, 8])
def test_colours_at_the_grid(side, step):
    width = side if side < 100 else 41
    image = torch.randint(0, 256, (1, 3, side, width), generator=torch.Generator().manual_seed(side), dtype=torch.uint8)
    found = at_grid(image, step)
    assert found.shape == (1, 3, *image[0, 0, ::step, ::step].shape) and found.dtype == torch.float32
    wanted = colours(image[0].numpy().astype(float), step)
    assert np.abs(found[0].permute(1, 2, 0).numpy() - wanted).max() < 1e-3


def at_points(monkeypatch, maps, side, step):
    """The net's maps as they meet the seeds."""
    met = []
    monkeypatch.setitem(SEED_LOSSES, "seed", lambda logits, seeds: met.append((logits, seeds)) or logits.sum())
    seeds = torch.zeros(1, side, side, dtype=torch.uint8)
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    labels = torch.ones(1, maps.shape[1], dtype=torch.bool)
    Seeds(STRIDE, step, loss="seed", boundary=0, grow=False)(maps, (images, seeds, labels, seeds == 0))
    ((logits, target),) = met
    assert logits.shape[-2:] == target.shape[-2:] == seeds[0, ::step, ::step].shape
    return logits[0]


@pytest.mark.parametrize("step", [1, 2, 4, 8])
@pytest.mark.parametrize("side", [33, 41, 257])
def test_maps_lie_on_the_seeds_points(monkeypatch, side, step):
    cells = (side - 1) // STRIDE + 1
    place = STRIDE * torch.arange(cells, dtype=torch.float32)  # where the net's samples lie, in pixels
    maps = torch.stack([place[:, None].expand(cells, cells), place.expand(cells, cells)])[None]
    rows, columns = at_points(monkeypatch, maps, side, step)
    points = torch.arange(0, side, step, dtype=torch.float32)
    assert torch.allclose(rows, points[:, None].expand_as(rows), atol=1e-3)
    assert torch.allclose(columns, points.expand_as(columns), atol=1e-3)


@pytest.mark.parametrize("step", [1, 2, 4, 8])
@pytest.mark.parametrize("side", [34, 40, 256])
def test_maps_of_even_sizes_come_within_half_a_cell(monkeypatch, side, step):
    cells = -(-side // STRIDE)
    place = STRIDE * torch.arange(cells, dtype=torch.float32)
    maps = torch.stack([place[:, None].expand(cells, cells), place.expand(cells, cells)])[None]
    rows, columns = at_points(monkeypatch, maps, side, step)
    points = torch.arange(0, side, step, dtype=torch.float32)
    inner = points <= place[-1]
    assert torch.allclose(rows, columns.T, atol=1e-3)
    assert (columns[:, inner] - points[inner]).abs().max() <= STRIDE / 2


def soft_batch(side=9):
    """Logits (2,2,3,3) of a net of stride 4 and foregrounds (2,2,9,9): the first image wholly known, the second partly."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 2, 3, 3, generator=generator)
    share, known = torch.rand(2, side, side, generator=generator), torch.ones(2, side, side)
    known[1, :, 4:] = 0
    known[1, 0, 0] = 0.5  # a place that was half known before it was shrunk
    return logits, [torch.zeros(2, 3, side, side), torch.stack([share * known, known], 1)]


def test_soft_masks_cost_their_squared_error():
    logits, parts = soft_batch()
    total = 0.0
    for image in range(2):
        errors = weights = 0.0
        for i in range(3):
            for j in range(3):
                rows, columns = (slice(max(0, 4 * k - 2), 4 * k + 3) for k in (i, j))
                share, known = (parts[1][image, part, rows, columns].mean().item() for part in (0, 1))
                if known:
                    a, b = logits[image, :, i, j].exp().tolist()
                    errors += known * (b / (a + b) - share / known) ** 2
                    weights += known
        total += errors / weights / 2
    assert math.isclose(SoftMasks(4)(logits, parts).item(), total, rel_tol=1e-5)


def test_what_nobody_knows_costs_nothing():
    logits, parts = soft_batch()
    logits.requires_grad_()
    parts[1][1] = 0
    SoftMasks(4)(logits, parts).backward()
    assert logits.grad[0].any() and not logits.grad[1].any()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("engine", ["lattice", "dense"])
def test_a_device_gives_the_same(engine):
    logits, parts = batch(sharp=2.0)
    objective = Seeds(STRIDE, 4, crf_engine=engine)
    value = objective(logits, parts)
    there = objective(logits.cuda(), [part.cuda() for part in parts])
    assert there.device.type == "cuda" and math.isclose(there.item(), value.item(), rel_tol=1e-3)
