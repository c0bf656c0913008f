"""Records that the restricted pickle reader fills, and the arrays checked and built from them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_KINDS = "biufcSUO"


class Pair(NamedTuple):
    """A named thing that is no callable (a torch storage class)."""

    first: str
    second: str


class DType:
    """numpy.dtype: the code of a plain type, its byte order in the pickled state."""

    __slots__ = ("code", "order")

    def __init__(self, code: object) -> None:
        self.code = str(code)
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[3:5] not in ((None, None), ()):
            raise ValueError("an array of records, only plain numbers and strings are read")
        self.order = str(state[1])

    def numpy(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code)
        if dtype.kind not in _KINDS or dtype.subdtype is not None or dtype.names is not None:
            raise ValueError(f"an array of type {dtype}, only plain numbers and strings are read")
        return dtype.newbyteorder(">") if self.order == ">" else dtype


class Array:
    """numpy.ndarray: its pickled state (version, shape, dtype, is_fortran, content)."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: tuple[Any, ...] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


class Storage:
    """torch's storage: elements in a row, filled when the file has come to them."""

    __slots__ = ("code", "data", "numel")

    def __init__(self, code: str, numel: int) -> None:
        self.code = code
        self.numel = numel
        self.data = b""

    def __setstate__(self, state: object) -> None:
        raise ValueError("a pickled state for a torch storage")

    @property
    def itemsize(self) -> int:
        return 2 if self.code == "bfloat16" else np.dtype(self.code).itemsize

    def fill(self, data: bytes) -> None:
        if len(data) != self.numel * self.itemsize:
            raise ValueError(f"a storage of {len(data)} bytes, {self.numel * self.itemsize} expected")
        self.data = data

    def elements(self) -> NDArray[Any]:
        if self.code == "bfloat16":  # the upper half of a float32
            return (np.frombuffer(self.data, "<u2").astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(self.data, self.code)


class Tensor(NamedTuple):
    """torch.Tensor: a view of a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> NDArray[Any]:
        elements = self.storage.elements()
        numel = math.prod(self.size)
        if len(self.size) != len(self.stride) or min((*self.size, *self.stride, self.offset), default=0) < 0:
            raise ValueError("a tensor with impossible sizes or strides")
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        # Overlapping views are refused as well: a tiny file could ask for a huge array.
        if numel and (last >= len(elements) or numel > len(elements)):
            raise ValueError("a tensor that reaches beyond its storage")
        if not numel:
            return np.zeros(self.size, elements.dtype)
        strides = [step * elements.itemsize for step in self.stride]
        view = np.lib.stride_tricks.as_strided(elements[self.offset :], self.size, strides, writeable=False)
        return view.copy()


def scalar(dtype: DType, data: bytes | str) -> Any:
    """numpy's pickled scalar."""
    plain = dtype.numpy()
    raw = data.encode("latin1") if isinstance(data, str) else data
    if plain.kind == "O" or len(raw) != plain.itemsize:
        raise ValueError("a scalar whose bytes do not fit its type")
    return np.frombuffer(raw, plain)[0]


def resolve(value: Any) -> Any:
    """The value with every record replaced by the array it describes; shared parts stay shared.

    Raises:
        ValueError: a part that holds itself, or an object outside the list of the reader.
    """
    return _resolve(value, {}, set())


def _resolve(value: Any, done: dict[int, Any], open_parts: set[int]) -> Any:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return value
    key = id(value)
    if key in done:
        return done[key]
    if key in open_parts:
        raise ValueError("a part that holds itself")
    open_parts.add(key)
    result = _build(value, done, open_parts)
    open_parts.discard(key)
    done[key] = result
    return result


def _build(value: Any, done: dict[int, Any], open_parts: set[int]) -> Any:
    if isinstance(value, Tensor):
        return value.array()
    if isinstance(value, Array):
        return _array(value, done, open_parts)
    if isinstance(value, Storage):
        return value.elements().copy()
    if isinstance(value, dict):
        return {_resolve(k, done, open_parts): _resolve(v, done, open_parts) for k, v in value.items()}
    if type(value) is list:
        return [_resolve(item, done, open_parts) for item in value]
    if type(value) is tuple:
        return tuple(_resolve(item, done, open_parts) for item in value)
    raise ValueError(f"a {type(value).__name__.lstrip('_')}, only plain values and arrays are read")


def _array(record: Array, done: dict[int, Any], open_parts: set[int]) -> NDArray[Any]:
    if record.state is None or len(record.state) not in (4, 5):
        raise ValueError("an array without its content")
    shape, dtype, fortran, content = record.state[-4:]
    if not isinstance(dtype, DType) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("an array without type or shape")
    plain = dtype.numpy()
    order = "F" if fortran else "C"
    if plain.kind == "O":
        if not isinstance(content, list) or len(content) != math.prod(shape):
            raise ValueError("an object array whose items do not fit its shape")
        items = np.empty(len(content), object)
        for index, item in enumerate(content):
            items[index] = _resolve(item, done, open_parts)
        return items.reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]
    raw = content.encode("latin1") if isinstance(content, str) else bytes(content)
    if len(raw) != math.prod(shape) * plain.itemsize:
        raise ValueError(f"an array of {len(raw)} bytes, {math.prod(shape) * plain.itemsize} expected")
    flat = np.frombuffer(raw, plain)
    return flat.reshape(shape, order=order).copy()  # type: ignore[call-overload,no-any-return]
