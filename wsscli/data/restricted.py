"""The one reader of pickles: plain values, numpy arrays and torch tensors as arrays; nothing in the file is run.

A pickle is a program; the usual loader runs whatever it names. Here every name it may use stands in a table and
leads to a record of this module that only keeps its arguments; arrays are built afterwards from those, checked.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wsscli.data.arrays import Array, DType, Pair, Storage, Tensor, resolve, scalar
from wsscli.errors import WssError

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_BUILTINS = ("builtins", "__builtin__")
_FAULTS = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    RecursionError,
    ImportError,
    OSError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
# Storage class -> element type; bfloat16 has no numpy type and is widened to float32.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


class Refused(pickle.UnpicklingError):
    """The pickle names something that the table does not hold."""


class _Name:
    """A callable of the table, as the pickle sees it: it can be called and nothing else.

    Without a `__dict__`, and with a `__setstate__` that refuses: a pickle's BUILD could otherwise set attributes
    on the table's functions.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise Refused("a pickled state for a function")


class _Ordered(dict[Any, Any]):
    """collections.OrderedDict; torch hangs `_metadata` on it, which is dropped."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BufferedIOBase, storages: dict[str, Storage] | None = None) -> None:
        super().__init__(stream, encoding="latin1")  # python 2's arrays are byte strings
        self.storages = storages

    def find_class(self, module: str, name: str) -> object:
        key = (module.replace("numpy._core", "numpy.core"), name)
        if key[0] == "torch" and name in _STORAGES:
            return Pair("storage", _STORAGES[name])
        function = _TABLE.get(key)
        if function is None:
            raise Refused(f"{module}.{name}")
        return _Name(function)

    def persistent_load(self, pid: object) -> object:
        """torch's ('storage', class, key, device, number of elements)."""
        if self.storages is None or not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise Refused("a persistent id outside a torch file")
        if not isinstance(pid[1], Pair) or (len(pid) > 5 and pid[5] is not None):
            raise Refused(f"a torch storage of another kind ({pid[1:2]!r})")
        key, numel = str(pid[2]), int(pid[4])
        if key not in self.storages:
            self.storages[key] = Storage(pid[1].second, numel)
        return self.storages[key]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise Refused(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


def _frombuffer(data: bytes, dtype: DType, shape: tuple[int, ...], order: str) -> Array:
    array = Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _storage_from_bytes(data: bytes) -> Storage:
    content = _torch_legacy(io.BytesIO(data))
    if not isinstance(content, Storage):
        raise Refused("a torch storage that is none")
    return content


def _tensor(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    return Tensor(storage, offset, tuple(size), tuple(stride))


_TABLE: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: Array(),
    ("numpy.core.multiarray", "scalar"): scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy", "ndarray"): lambda *_: Array(),
    ("numpy", "dtype"): lambda code, *_: DType(code),
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): lambda *args: _Ordered(*args),
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch.storage", "_load_from_bytes"): _storage_from_bytes,
    ("torch", "Size"): lambda values: tuple(values),
    **{(module, "complex"): lambda real, imag: complex(float(real), float(imag)) for module in _BUILTINS},
    **{(module, "bytes"): lambda: b"" for module in _BUILTINS},  # how old protocols write empty bytes
}


def read_pickle(path: Path | str) -> Any:
    """Read a pickled file: a plain pickle, an `.npy` with a pickled object, torch's `.pth`; gzip or not.

    Returns:
        Made of dict, list, tuple, str, bytes, int, float, complex, bool, None, numpy scalars and arrays. Tensors
        come back as arrays (bfloat16 as float32); a 0-dimensional object array as the object in it. An `.npy`
        without pickled objects gives its array.

    Raises:
        WssError: no such file, damaged, or naming anything outside that list; the message says the name. Nothing
            that the file names is imported or run.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(2)
            stream.seek(0)
            data = gzip.decompress(stream.read()) if head == b"\x1f\x8b" else stream.read()
    except FileNotFoundError as error:
        raise WssError(f"{path}: no such file; check the path") from error
    except (OSError, EOFError, zlib.error) as error:
        raise WssError(f"{path}: cannot be read ({error}); copy it again") from error
    try:
        return _read(data)
    except Refused as error:
        raise WssError(
            f"{path}: names {error}, which wss does not load from a pickle (it would run code); save the data as "
            "plain dictionaries of numpy arrays, or weights as .safetensors"
        ) from error
    except _FAULTS as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WssError(f"{path}: not a readable pickle ({reason}); copy it again or save it anew") from error


def _read(data: bytes) -> Any:
    if data.startswith(b"\x93NUMPY"):
        return _npy(data)
    if data.startswith(b"PK\x03\x04"):
        return _torch_zip(data)
    stream = io.BytesIO(data)
    first = _Unpickler(stream).load()
    if first == _TORCH_MAGIC:
        return resolve(_torch_legacy(io.BytesIO(data)))
    return resolve(first)


def _npy(data: bytes) -> Any:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(stream)
    if not dtype.hasobject:
        return np.load(io.BytesIO(data), allow_pickle=False)
    content = resolve(_Unpickler(stream).load())
    return content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content


def _torch_zip(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(names) != 1:
            raise ValueError("a zip file, but not one of torch.save")
        folder = names[0].partition("/")[0]
        if f"{folder}/byteorder" in archive.namelist() and archive.read(f"{folder}/byteorder") != b"little":
            raise ValueError("a torch file of a big-endian machine")
        storages: dict[str, Storage] = {}
        content = _Unpickler(io.BytesIO(archive.read(names[0])), storages).load()
        for key, storage in storages.items():
            storage.fill(archive.read(f"{folder}/data/{key}"))
    return resolve(content)


def _torch_legacy(stream: io.BytesIO) -> Any:
    """torch.save before its zip format: four pickles, the list of storage keys, then the raw elements."""
    if _Unpickler(stream).load() != _TORCH_MAGIC:
        raise ValueError("not a torch file")
    _Unpickler(stream).load()  # protocol version
    system = _Unpickler(stream).load()
    if not isinstance(system, dict) or not system.get("little_endian", False):
        raise ValueError("a torch file of a big-endian machine")
    storages: dict[str, Storage] = {}
    content = _Unpickler(stream, storages).load()
    for key in _Unpickler(stream).load():
        storage = storages[str(key)]
        (numel,) = struct.unpack("<q", stream.read(8))
        if numel != storage.numel:
            raise ValueError(f"storage {key} holds {numel} elements, {storage.numel} expected")
        storage.fill(stream.read(numel * storage.itemsize))
    return content
