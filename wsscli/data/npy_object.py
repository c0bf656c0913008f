"""Writing `.npy` files with a pickled object, for code that reads `np.load(path, allow_pickle=True).item()`.

`np.save` would do, but for two things. numpy 2 pickles arrays under the name `numpy._core`, which numpy before 1.26
lacks, and the code that these files are for pins such versions. And torch pickles a tensor with its address in memory,
so that no two files are equal.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PROTOCOL = 3  # names in lines of their own, and no lengths around them, so that they can be exchanged
_TORCH_PROTOCOL = 2  # of torch.save
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_VERSION = 1001
_TORCH_SYSTEM = {
    "protocol_version": _TORCH_VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
_STORAGES = {"<f4": "FloatStorage", "<i8": "LongStorage"}


@dataclass(frozen=True)
class AsTensor:
    """An array that the reader shall get as a torch tensor: float32 or int64."""

    array: NDArray[Any]


def encode_npy_object(value: Any) -> bytes:
    """The `.npy` file of one object.

    Args:
        value: plain values, numpy arrays and `AsTensor`, in dictionaries and lists.

    Returns:
        The file; equal bytes for equal values.
    """
    holder = np.empty((), object)
    holder[()] = value
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    pickled = io.BytesIO()
    _Pickler(pickled, _PROTOCOL).dump(holder)
    stream.write(_with_old_names(pickled.getvalue()))
    return stream.getvalue()


def _with_old_names(pickled: bytes) -> bytes:
    """The pickle with `numpy.core` for `numpy._core`; every numpy reads the old name."""
    parts, at = [], 0
    for operation, argument, position in pickletools.genops(pickled):
        if operation.name == "GLOBAL" and str(argument).startswith("numpy._core."):
            module, name = str(argument).split(" ")
            parts += [pickled[at:position], f"c{module.replace('._core', '.core', 1)}\n{name}\n".encode("ascii")]
            at = int(position or 0) + len(f"c{module}\n{name}\n")
    return b"".join([*parts, pickled[at:]])


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, AsTensor):
            return _tensor(obj.array)
        if isinstance(obj, _Storage):
            from torch.storage import _load_from_bytes

            return _load_from_bytes, (_storage_file(obj.array),)
        return NotImplemented


@dataclass(frozen=True)
class _Storage:
    """A tensor's elements in a row."""

    array: NDArray[Any]


def _tensor(array: NDArray[Any]) -> tuple[Any, ...]:
    """What torch.Tensor's own `__reduce_ex__` gives for a contiguous tensor."""
    from torch._utils import _rebuild_tensor_v2

    flat = np.asarray(array, order="C")
    stride = tuple(step // flat.itemsize for step in np.empty(flat.shape, flat.dtype).strides)
    return _rebuild_tensor_v2, (_Storage(flat), 0, flat.shape, stride, False, OrderedDict())


def _storage_file(array: NDArray[Any]) -> bytes:
    """torch.save of a storage in the format before zip files, which is what tensors are pickled with to this day."""
    stream = io.BytesIO()
    for part in (_TORCH_MAGIC, _TORCH_VERSION, _TORCH_SYSTEM):
        pickle.dump(part, stream, _TORCH_PROTOCOL)
    _StoragePickler(stream, _TORCH_PROTOCOL).dump(_Storage(array))
    pickle.dump(["0"], stream, _TORCH_PROTOCOL)
    stream.write(struct.pack("<q", array.size))
    stream.write(array.tobytes())
    return stream.getvalue()


class _StoragePickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, _Storage):
            return None
        import torch

        kind = getattr(torch, _STORAGES[obj.array.dtype.str])
        return "storage", kind, "0", "cpu", obj.array.size, None  # torch: the address in place of "0"
