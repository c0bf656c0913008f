import gzip
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsscli.data import restricted
from wsscli.data.restricted import read_pickle
from wsscli.errors import WssError

REFUSED = (
    "which wss does not load from a pickle (it would run code); save the data as plain dictionaries of numpy arrays, "
    "or weights as .safetensors"
)


def _fails(path: Path) -> str:
    with pytest.raises(WssError) as error:
        read_pickle(path)
    return str(error.value)


def _write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return path


class Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", [(os.system, "touch {}"), (eval, "open('{}', 'w')"), (os.mkdir, "{}")])
def test_code_in_a_pickle_is_refused_by_name_and_not_run(tmp_path, protocol, call):
    function, argument = call
    trace = tmp_path / "trace"
    path = _write(tmp_path, pickle.dumps({"a": Evil(function, argument.format(trace))}, protocol))
    message = _fails(path)
    module = pickle.whichmodule(function, function.__name__)
    assert message in (
        f"{path}: names {module}.{function.__name__}, {REFUSED}",
        f"{path}: names {module.replace('builtins', '__builtin__')}.{function.__name__}, {REFUSED}",
    )
    assert not trace.exists()


def test_code_inside_npy_gzip_and_torch_files_is_refused_as_well(tmp_path):
    trace = tmp_path / "trace"
    evil = Evil(os.system, f"touch {trace}")
    np.save(tmp_path / "a.npy", np.array({"a": evil}, object), allow_pickle=True)
    (tmp_path / "a.pkl.gz").write_bytes(gzip.compress(pickle.dumps(evil)))
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(evil))
    for name in ("a.npy", "a.pkl.gz", "a.pth"):
        assert _fails(tmp_path / name) == f"{tmp_path / name}: names {os.system.__module__}.system, {REFUSED}"
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\ngetattr\n(cnumpy\ndtype\nS'__class__'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.type.x\x93.",  # a dotted name does not climb
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        b"ios\nsystem\n(S'true'\no.",
    ],
)
def test_detours_to_names_are_refused(tmp_path, content):
    message = _fails(_write(tmp_path, content))
    assert "which wss does not load" in message or "not a readable pickle" in message


def test_a_pickle_cannot_change_the_readers_own_functions(tmp_path):
    before = dict(restricted._TABLE)
    # GLOBAL numpy dtype; BUILD (None, {"__call__": 1}): the usual loader would set the attribute
    path = _write(tmp_path, b"\x80\x02cnumpy\ndtype\nN}X\x08\x00\x00\x00__call__K\x01s\x86b.")
    assert _fails(path) == f"{path}: names a pickled state for a function, {REFUSED}"
    path.write_bytes(b"\x80\x02ctorch\nFloatStorage\n}X\x01\x00\x00\x00aK\x01sb.")
    _fails(path)
    assert before == restricted._TABLE


def test_sets_and_foreign_objects_are_refused(tmp_path):
    assert "names pathlib" in _fails(_write(tmp_path, pickle.dumps(Path("x"))))
    path = _write(tmp_path, pickle.dumps({"a": {1, 2}}))
    assert _fails(path) == (
        f"{path}: not a readable pickle (a set, only plain values and arrays are read); copy it again or save it anew"
    )


def test_missing_truncated_and_foreign_files(tmp_path):
    path = tmp_path / "x.pkl"
    assert _fails(path) == f"{path}: no such file; check the path"
    whole = pickle.dumps({"a": np.arange(100)})
    for size in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert _fails(path).endswith("; copy it again or save it anew")
    path.write_bytes(gzip.compress(whole)[:-20])
    assert _fails(path).startswith(f"{path}: cannot be read (")
    path.write_bytes(b"hello, this is text")
    assert _fails(path).startswith(f"{path}: not a readable pickle (")
    assert _fails(tmp_path).startswith(f"{tmp_path}: cannot be read (")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_our_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "x"
    path.write_bytes(content)
    try:
        read_pickle(path)
    except WssError as error:
        assert str(path) in str(error)


@given(data=st.data())
def test_a_damaged_array_pickle_gives_a_value_or_our_error(tmp_path_factory, data):
    whole = bytearray(pickle.dumps({"a": np.arange(6.0).reshape(2, 3), "b": [np.float32(1), "x"]}, protocol=2))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "x"
    path.write_bytes(whole)
    try:
        read_pickle(path)
    except WssError as error:
        assert str(path) in str(error)


def test_plain_values_come_back(tmp_path):
    value = {"a": [1, 2.5, (3, None, True)], 4: {"b": b"bytes", "c": 1 + 2j}, "big": 10**30}
    for protocol in range(6):
        assert read_pickle(_write(tmp_path, pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_plain_kind_come_back(tmp_path, protocol):
    arrays = [
        np.arange(6).astype(dtype).reshape(2, 3)
        for dtype in ("u1", "i2", ">i4", "i8", "f2", "f4", ">f8", "c16", "?", "U3", "S2")
    ]
    arrays += [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros((0, 3), np.float32), np.array(5.0)]
    result = read_pickle(_write(tmp_path, pickle.dumps(arrays, protocol)))
    for found, expected in zip(result, arrays, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(c) for c in ("u1", "i4", "f4", "f8", "?")]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    st.integers(0, 5),
)
def test_array_round_trip(tmp_path_factory, array, protocol):
    path = tmp_path_factory.mktemp("trip") / "x"
    path.write_bytes(pickle.dumps({"k": array}, protocol))
    np.testing.assert_array_equal(read_pickle(path)["k"], array)


def test_scalars_and_object_arrays(tmp_path):
    value = {np.int32(7): np.float64(2.5), "o": np.array(["a", None, {"x": 1}], object)}
    result = read_pickle(_write(tmp_path, pickle.dumps(value, 4)))
    assert result[7] == 2.5
    assert result["o"].tolist() == ["a", None, {"x": 1}]


def test_npy_with_and_without_pickle(tmp_path):
    np.save(tmp_path / "plain.npy", np.arange(4))
    np.testing.assert_array_equal(read_pickle(tmp_path / "plain.npy"), np.arange(4))
    np.save(tmp_path / "dict.npy", {"a": np.ones(2)}, allow_pickle=True)
    result = read_pickle(tmp_path / "dict.npy")
    assert list(result) == ["a"]
    np.testing.assert_array_equal(result["a"], [1, 1])


def test_python_two_pickles(tmp_path):
    # pickle.dumps({'a': numpy.array([1, 2], 'int16')}, 2) under Python 2.7
    content = (
        b"\x80\x02}q\x01U\x01aq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq"
        b"\x05(K\x01K\x02\x85cnumpy\ndtype\nq\x06U\x02i2K\x00K\x01\x87Rq\x07(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff"
        b"\xffK\x00tb\x89U\x04\x01\x00\x02\x00tbs."
    )
    result = read_pickle(_write(tmp_path, content))
    assert list(result) == ["a"]
    np.testing.assert_array_equal(result["a"], np.array([1, 2], np.int16))


@pytest.mark.parametrize("way", ["pickle", "zip", "legacy"])
def test_torch_tensors_come_back_as_arrays(tmp_path, way):
    torch = pytest.importorskip("torch")
    base = torch.arange(12.0).view(3, 4)
    value = OrderedDict(
        whole=base,
        part=base[1:, ::2],
        turned=base.t(),
        half=base.half(),
        wide=base.bfloat16(),
        keys=torch.tensor([3, 14]),
        flags=torch.tensor([True, False]),
        weight=torch.nn.Parameter(base.clone()),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        size=base.shape,
    )
    value._metadata = {"version": 1}
    path = tmp_path / "x.pth"
    if way == "pickle":
        path.write_bytes(pickle.dumps(value, 4))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=way == "zip")
    result = read_pickle(path)
    assert list(result) == list(value)
    for name, tensor in value.items():
        if name == "size":
            assert result[name] == (3, 4)
            continue
        expected = tensor.detach().float().numpy() if name == "wide" else tensor.detach().numpy()
        assert isinstance(result[name], np.ndarray)
        assert result[name].dtype == expected.dtype
        np.testing.assert_array_equal(result[name], expected)


def test_the_field_s_cam_files_come_back(tmp_path):
    """irn: a pickled dictionary with torch tensors, in an .npy."""
    torch = pytest.importorskip("torch")
    cam = torch.rand(2, 5, 6)
    np.save(tmp_path / "a.npy", {"keys": torch.tensor([0, 14]), "cam": cam, "high_res": cam.numpy()})
    result = read_pickle(tmp_path / "a.npy")
    assert result["keys"].tolist() == [0, 14]
    np.testing.assert_array_equal(result["cam"], cam.numpy())
    np.testing.assert_array_equal(result["high_res"], cam.numpy())


def _torch_zip(
    path: Path, size: tuple, stride: tuple, offset: int = 0, numel: int = 4, data: bytes = bytes(16)
) -> Path:
    class Storage:
        pass

    class Writer(pickle.Pickler):
        def persistent_id(self, item):
            import torch

            return ("storage", torch.FloatStorage, "0", "cpu", numel) if isinstance(item, Storage) else None

    class Tensor:
        def __reduce__(self):
            import torch

            return torch._utils._rebuild_tensor_v2, (Storage(), offset, size, stride, False, OrderedDict())

    buffer = io.BytesIO()
    Writer(buffer, protocol=2).dump({"a": Tensor()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/data/0", data)
    return path


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        ({"size": (5,), "stride": (1,)}, "a tensor that reaches beyond its storage"),
        ({"size": (2,), "stride": (1,), "offset": 3}, "a tensor that reaches beyond its storage"),
        ({"size": (10**9, 10**9), "stride": (0, 0)}, "a tensor that reaches beyond its storage"),
        ({"size": (2,), "stride": (-1,)}, "a tensor with impossible sizes or strides"),
        ({"size": (2, 2), "stride": (1,)}, "a tensor with impossible sizes or strides"),
        ({"size": (4,), "stride": (1,), "data": bytes(12)}, "a storage of 12 bytes, 16 expected"),
    ],
)
def test_tensors_that_reach_outside_their_bytes(tmp_path, tensor, reason):
    pytest.importorskip("torch")
    path = _torch_zip(tmp_path / "a.pth", **tensor)
    assert _fails(path) == f"{path}: not a readable pickle ({reason}); copy it again or save it anew"
    assert read_pickle(_torch_zip(path, (2, 2), (2, 1)))["a"].shape == (2, 2)


def test_other_zip_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    assert "(a zip file, but not one of torch.save)" in _fails(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps({}))
        archive.writestr("m/byteorder", "big")
    assert "(a torch file of a big-endian machine)" in _fails(tmp_path / "b.zip")


def test_records_and_self_holding_parts(tmp_path):
    records = np.zeros(2, [("a", "i4"), ("b", "f4")])
    assert "only plain numbers and strings are read" in _fails(_write(tmp_path, pickle.dumps(records, 2)))
    ring: list = []
    ring.append(ring)
    assert "(a part that holds itself)" in _fails(_write(tmp_path, pickle.dumps(ring)))


def test_shared_parts_stay_shared(tmp_path):
    array = np.arange(3)
    result = read_pickle(_write(tmp_path, pickle.dumps([array, array])))
    assert result[0] is result[1]
