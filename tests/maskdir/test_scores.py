import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsscli.errors import WssError
from wsscli.maskdir.scores import Scores, encode_scores, read_scores, resize_maps, write_scores


@given(maps=arrays(np.float16, st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)),
                   elements=st.floats(-100, 100, width=16)))  # fmt: skip
def test_half_precision_values_come_back_equal(tmp_path_factory, maps):
    path = tmp_path_factory.mktemp("scores") / "a" / "b.npz"
    item = Scores(maps.astype(np.float32), np.arange(1, len(maps) + 1), (7, 9))
    data = write_scores(path, item)
    assert path.read_bytes() == data == encode_scores(item)
    back = read_scores(path)
    assert np.array_equal(back.scores, item.scores) and back.scores.dtype == np.float32
    assert np.array_equal(back.classes, item.classes) and back.size == (7, 9)
    assert back.full().shape == (len(maps), 7, 9)


def test_large_values_keep_their_size(tmp_path):
    write_scores(tmp_path / "s.npz", Scores(np.array([[[1e6]]], np.float32), np.array([3]), (1, 1)))
    assert read_scores(tmp_path / "s.npz").scores.item() == 1e6


def test_resize_has_half_pixel_centres():
    # 2 -> 4 pixels: centres of the new pixels lie at -0.25, 0.25, 0.75, 1.25 of the old grid, the border replicated
    maps = np.array([[[0.0, 1.0]]], np.float32)
    assert np.allclose(resize_maps(maps, (1, 4)), [[[0, 0.25, 0.75, 1]]])


def test_not_finite_is_refused():
    with pytest.raises(WssError, match="scores hold NaN or infinity; the network that made them has diverged"):
        encode_scores(Scores(np.full((1, 1, 1), np.nan, np.float32), np.array([1]), (1, 1)))


@pytest.mark.parametrize("shape", [(1, 1), (2, 1, 1), (1, 0, 1)])
def test_shapes_must_fit(shape):
    with pytest.raises(WssError, match=r"scores of shape .* do not fit \(1,\) classes; need \(K, h, w\) and \(K,\)"):
        encode_scores(Scores(np.zeros(shape, np.float32), np.array([1]), (1, 1)))


def test_missing_damaged_and_incomplete(tmp_path):
    with pytest.raises(WssError, match=r"none\.npz: no such scores"):
        read_scores(tmp_path / "none.npz")
    path = tmp_path / "s.npz"
    for garbage in (b"", b"PK\x03\x04 torn", b"\x93NUMPY"):
        path.write_bytes(garbage)
        with pytest.raises(WssError, match=r"s\.npz: cannot be read as scores .*damaged, write it again"):
            read_scores(path)
    np.savez(path, scores=np.zeros((1, 1, 1)))
    with pytest.raises(WssError, match=r"s\.npz: scores without the entry .*need scores, classes and size"):
        read_scores(path)
    np.savez(path, scores=np.zeros((2, 1, 1)), classes=np.zeros(1), size=np.ones(2))
    with pytest.raises(WssError, match=r"s\.npz: scores \(2, 1, 1\), classes \(1,\) and size \(2,\) do not fit"):
        read_scores(path)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "s.npz"
    np.savez(path, scores=np.array([print], dtype=object), classes=np.zeros(1), size=np.ones(2))
    with pytest.raises(WssError, match=r"s\.npz: cannot be read as scores \(Object arrays cannot be loaded"):
        read_scores(path)
