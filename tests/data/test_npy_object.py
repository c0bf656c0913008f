"""Objects in `.npy` files: what numpy and torch get back, the names inside, equal bytes."""

import pickletools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsscli.data.npy_object import AsTensor, encode_npy_object
from wsscli.data.restricted import read_pickle


def load(tmp_path, data):
    (tmp_path / "x.npy").write_bytes(data)
    return np.load(tmp_path / "x.npy", allow_pickle=True).item()


VALUE = {
    "keys": np.array([1, 7]),
    3: np.arange(6, dtype=np.float16).reshape(2, 3),
    "nested": [{"a": None, "b": 2.5}, np.zeros((0, 4), np.float32)],
}


def test_numpy_reads_it(tmp_path):
    back = load(tmp_path, encode_npy_object(VALUE))
    assert list(back) == ["keys", 3, "nested"] and back["nested"][0] == {"a": None, "b": 2.5}
    for mine, theirs in ((VALUE["keys"], back["keys"]), (VALUE[3], back[3]), (VALUE["nested"][1], back["nested"][1])):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
        theirs += 1  # the reader may write into it


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0, 5, 6), (2, 0)])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_torch_reads_tensors(tmp_path, shape, dtype):
    array = np.random.default_rng(0).normal(0, 9, shape).astype(dtype)
    back = load(tmp_path, encode_npy_object({"cam": AsTensor(array)}))["cam"]
    assert isinstance(back, torch.Tensor) and str(back.dtype) == f"torch.{dtype}" and back.shape == shape
    assert back.is_contiguous() and not back.requires_grad
    np.testing.assert_array_equal(back.numpy(), array)
    back += 1


def test_a_tensor_of_an_array_that_is_a_view(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    np.testing.assert_array_equal(load(tmp_path, encode_npy_object(AsTensor(array))).numpy(), array)


def test_it_is_what_torch_and_numpy_themselves_write(tmp_path):
    """Operation for operation, but for the names of numpy, the protocol and the address."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "theirs.npy", {"cam": torch.from_numpy(array), "x": array})
    mine = encode_npy_object({"cam": AsTensor(array), "x": array})

    def names(data):
        strings, found = [], []
        for operation, argument, _ in pickletools.genops(data[data.index(b"\n") + 1 :]):
            if operation.name == "STACK_GLOBAL":
                found.append(" ".join(strings[-2:]))
            elif operation.name == "GLOBAL":
                found.append(argument)
            elif operation.name == "SHORT_BINUNICODE":
                strings.append(argument)
        return found

    theirs = {name.replace("numpy._core", "numpy.core") for name in names((tmp_path / "theirs.npy").read_bytes())}
    assert {name.split(" ")[-1] for name in names(mine)} == {name.split(" ")[-1] for name in theirs}
    assert not [name for name in names(mine) if name.startswith("numpy._core")]
    assert "numpy.core.multiarray _reconstruct" in names(mine)


def test_equal_values_give_equal_bytes():
    def value():
        return {"keys": AsTensor(np.array([1, 2])), "cam": AsTensor(np.ones((2, 3, 3), np.float32)), **VALUE}

    keep = [value() for _ in range(3)]
    assert len({encode_npy_object(one) for one in keep}) == 1


def test_bytes_that_look_like_a_name_stay_as_they_are(tmp_path):
    text = b"cnumpy._core.multiarray\n_reconstruct\n"
    array = np.frombuffer(text, np.uint8)
    np.testing.assert_array_equal(load(tmp_path, encode_npy_object({"a": array}))["a"], array)


@given(hnp.arrays(st.sampled_from(["f4", "i8"]), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
def test_our_own_reader_reads_it(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("object") / "x.npy"
    path.write_bytes(encode_npy_object({1: array, "t": AsTensor(array)}))
    back = read_pickle(path)
    for one in (back[1], back["t"]):
        assert one.dtype == array.dtype
        np.testing.assert_array_equal(one, array)
