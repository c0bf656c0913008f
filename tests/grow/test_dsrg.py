import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import UsageError, WssError
from wsscli.grow.dsrg import grow

LITERAL = runpy.run_path(str(Path(__file__).with_name("literal.py")))
U = 255


def maps(*rows):
    return np.array(rows, np.float32)


def line(seeds, *rows, **options):
    """Grow a one-row image; rows are the classes 0, 1, ..."""
    p = maps(*rows)[:, None]
    return grow(np.array([seeds], np.uint8), p, range(len(rows)), **options)[0].tolist()


def test_grows_over_sure_neighbours_and_stops_at_the_first_unsure_one():
    assert line([1, U, U, U, U], [0.1, 0.1, 0.1, 0.2, 0.1], [0.9, 0.9, 0.9, 0.8, 0.9]) == [1, 1, 1, U, U]


def test_the_threshold_itself_counts():
    assert line([1, U], [0.1, 0.15], [0.9, 0.85]) == [1, 1]
    assert line([0, U], [0.9, 0.99], [0.1, 0.01]) == [0, 0]
    below = float(np.nextafter(np.float32(0.85), np.float32(0)))
    assert line([1, U], [0.1, 0.15], [0.9, below]) == [1, U]


def test_the_background_has_its_own_threshold():
    assert line([0, U, U], [0.99, 0.995, 0.95], [0.01, 0.005, 0.05]) == [0, 0, U]


def test_without_seeds_nothing_grows():
    assert line([U, U], [0.0, 1.0], [1.0, 0.0]) == [U, U]
    assert line([0, U], [1.0, 0.0], [0.0, 1.0]) == [0, U]  # sure of class 1, but class 1 has no seed


def test_a_seed_stays_where_the_network_disagrees_and_still_grows():
    assert line([1, U], [1.0, 0.1], [0.0, 0.9]) == [1, 1]


def test_a_seed_of_another_class_is_a_wall():
    assert line([1, U, 2, U], [0.0] * 4, [0.9] * 4, [0.1] * 4) == [1, 1, 2, U]


def test_neighbours_are_eight():
    seeds = np.array([[1, U, U], [U, U, U], [U, U, U]], np.uint8)
    sure = np.eye(3, dtype=np.float32)
    got = grow(seeds, np.stack([1 - sure, sure]), [0, 1], theta_bg=float("inf"))
    assert got.tolist() == [[1, U, U], [U, 1, U], [U, U, 1]]


def test_of_equal_probabilities_the_smallest_id_wins_whatever_the_order_of_the_rows():
    seeds = np.array([[2, U, 1]], np.uint8)
    p = np.full((3, 1, 3), 0.5, np.float32)
    for classes in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        got = grow(seeds, p[:, :, :], classes, theta_fg=0.4, theta_bg=0.6)
        assert got.tolist() == [[2, U, 1]]  # the background wins the argmax and misses its threshold
        got = grow(seeds, p[:2], sorted(classes)[:2] if classes[0] != 2 else [1, 0], theta_fg=0.4, theta_bg=0.6)
        assert got.tolist() == [[2, U, 1]]
    p[0] = 0
    assert grow(seeds, p, [0, 1, 2], theta_fg=0.4).tolist() == [[2, 1, 1]]
    assert grow(seeds, p, [0, 2, 1], theta_fg=0.4).tolist() == [[2, 1, 1]]


def test_only_the_labels_of_the_image_compete():
    seeds = np.array([[1, U, U]], np.uint8)
    p = maps([0.0] * 3, [0.4] * 3, [0.6] * 3)[:, None]
    assert grow(seeds, p, [0, 1, 2], theta_fg=0.3).tolist() == [[1, U, U]]
    assert grow(seeds, p, [0, 1, 2], labels=[1], theta_fg=0.3).tolist() == [[1, 1, 1]]


def test_a_class_that_takes_no_part_keeps_its_seeds():
    seeds = np.array([[3, U, 7, U]], np.uint8)
    p = maps([0.0] * 4, [1.0] * 4)[:, None]
    assert grow(seeds, p, [0, 3]).tolist() == [[3, 3, 7, U]]
    assert grow(seeds, p, [0, 3], labels=[]).tolist() == [[3, U, 7, U]]
    assert grow(seeds, p, [0, 3], labels=[3, 9]).tolist() == [[3, 3, 7, U]]


def test_infinite_thresholds_stop_a_side():
    rows = [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]
    assert line([0, U, U, 1], *rows) == [0, 0, 1, 1]
    assert line([0, U, U, 1], *rows, theta_fg=float("inf")) == [0, 0, U, 1]
    assert line([0, U, U, 1], *rows, theta_bg=float("inf")) == [0, U, 1, 1]


def test_quirks_thresholds_are_strict():
    rows = [0.15, 0.15], [0.85, 0.85]
    assert line([1, U], *rows) == [1, 1]
    assert line([1, U], *rows, original_quirks=True) == [1, U]


def test_quirks_background_needs_both_thresholds():
    rows = [0.7, 0.7], [0.3, 0.3]
    assert line([0, U], *rows, theta_fg=0.8, theta_bg=0.6) == [0, 0]
    assert line([0, U], *rows, theta_fg=0.8, theta_bg=0.6, original_quirks=True) == [0, U]


def test_quirks_a_sure_pixel_changes_sides():
    # class 1 reaches through the seed of class 2, which the network takes for class 1; that seed no longer grows
    rows = [0.0] * 5, [0.9, 0.9, 0.9, 0.9, 0.0], [0.1, 0.1, 0.1, 0.1, 1.0]
    assert line([1, U, 2, U, U], *rows) == [1, 1, 2, U, U]
    assert line([1, U, 2, U, U], *rows, original_quirks=True) == [1, 1, 2, 1, U]


values = st.sampled_from([0.0, 0.2, 0.5, 0.849, 0.85, 0.9, 0.99, 1.0])
thresholds = st.sampled_from([0.0, 0.2, 0.5, 0.85, 0.99, 1.0, float("inf")])


@st.composite
def problems(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    ids = [0, *draw(st.lists(st.integers(1, 254), max_size=3, unique=True))]
    order = draw(st.permutations(ids))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # few levels, so that ties and exact thresholds are common; regions smooth enough to grow
    levels = np.array(draw(st.lists(values, min_size=1, max_size=4)), np.float32)
    p = levels[rng.integers(0, len(levels), (len(ids), height, width))]
    if draw(st.booleans()):
        p[rng.integers(0, len(ids))] = 1
    strangers = draw(st.lists(st.integers(1, 254), max_size=1))
    share = draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    seeded = rng.random((height, width)) < share
    seeds = np.where(seeded, rng.choice([*ids, *strangers, 255], (height, width)), 255).astype(np.uint8)
    labels = draw(st.none() | st.lists(st.sampled_from([*ids, *strangers]), unique=True))
    options = {"labels": labels, "theta_fg": draw(thresholds), "theta_bg": draw(thresholds)}
    return seeds, p, order, options


@settings(max_examples=400, deadline=None)
@given(problems())
def test_fast_form_equals_visiting(problem):
    seeds, p, classes, options = problem
    assert (grow(seeds, p, classes, **options) == LITERAL["visiting"](seeds, p, classes, **options)).all()


@settings(max_examples=400, deadline=None)
@given(problems())
def test_fast_form_with_quirks_equals_the_authors_layer(problem):
    seeds, p, classes, options = problem
    got = grow(seeds, p, classes, original_quirks=True, **options)
    assert (got == LITERAL["layer"](seeds, p, classes, **options)).all()


@settings(max_examples=200, deadline=None)
@given(problems())
def test_invariants(problem):
    seeds, p, classes, options = problem
    before = seeds.copy(), p.copy()
    grown = grow(seeds, p, classes, **options)
    assert (seeds == before[0]).all()
    assert (p == before[1]).all()
    assert grown is not seeds
    assert (grown[seeds != U] == seeds[seeds != U]).all()  # labelled pixels keep their label
    assert set(np.unique(grown)) <= set(np.unique(seeds)) | {U}  # no class appears out of nothing
    assert (grow(grown, p, classes, **options) == grown).all()
    # more confidence never shrinks the result
    if options["theta_fg"] != float("inf"):
        easier = grow(seeds, p, classes, **{**options, "theta_fg": 0.0})
        assert (easier[grown != U] == grown[grown != U]).all()


@pytest.mark.parametrize("seed", range(3))
def test_fast_form_equals_visiting_on_smooth_maps(seed):
    import cv2

    rng = np.random.default_rng(seed)
    logits = cv2.GaussianBlur(rng.normal(size=(41, 41, 4)).astype(np.float32), (0, 0), 4) * 60
    odds = np.exp(logits - logits.max(2, keepdims=True)).transpose(2, 0, 1)
    p = np.ascontiguousarray(odds / odds.sum(0))
    seeds = np.where(rng.random((41, 41)) < 0.02, rng.integers(0, 4, (41, 41)), U).astype(np.uint8)
    grown = grow(seeds, p, range(4))
    assert (grown != U).mean() > 2 * (seeds != U).mean()
    assert (grown == LITERAL["visiting"](seeds, p, range(4))).all()


def error(*args, kind=WssError, **kwargs):
    with pytest.raises(kind) as caught:
        grow(*args, **kwargs)
    assert type(caught.value) is kind
    return str(caught.value)


def test_errors():
    seeds = np.full((2, 3), U, np.uint8)
    p = np.full((2, 2, 3), 0.5, np.float32)
    assert error(seeds.astype(int), p, [0, 1]) == "grow: seeds are int64 (2, 3); they must be uint8 (H, W)"
    assert error(seeds, p[:, :1], [0, 1]) == (
        "grow: probabilities of shape (2, 1, 3) for seeds of 2 x 3; they must be (classes, H, W) of the seeds' size"
    )
    assert error(seeds, p, [0, 1, 2]) == (
        "grow: 2 rows of probabilities for the classes [0, 1, 2]; one row for each class"
    )
    assert error(seeds, p, [0, 0]).startswith("grow: 2 rows of probabilities for the classes [0, 0]")
    assert error(seeds, p, [1, 2]) == (
        "grow: the probabilities have no row for the background, only for [1, 2]; class maps need one made"
    )
    assert error(seeds, p, [0, 1], theta_fg=-1.0, kind=UsageError) == (
        "grow: theta_fg is -1.0; give a probability (0.85, 0.99 are usual) or inf"
    )
    assert error(seeds, p, [0, 1], theta_bg=float("nan"), kind=UsageError).startswith("grow: theta_bg is nan;")
    p[0, 0, 0] = np.nan
    assert error(seeds, p, [0, 1]) == "grow: the probabilities hold NaN or infinity; make the scores again"
