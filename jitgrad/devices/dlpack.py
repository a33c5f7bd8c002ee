"""DLPack: arrays of any library, of the host and of GPUs, handed over in capsules, without copies.

Sources: the DLPack specification (https://dmlc.github.io/dlpack), its structures of version 1 and those before it, and the Python
array API standard (https://data-apis.org) for `__dlpack__`, its arguments and streams.

Capsules of ours are made by NumPy, also those of memory of a GPU: of an array that begins at that address, where NumPy does not
look; then the capsule is told where the memory is. So what frees it is NumPy's own code, which any thread may call, even when the
program is at its end. Capsules of others are read here, since NumPy takes no memory of a GPU, no bfloat16, and memory from
libraries before version 1 not as such that can be written to.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices import cuda
from jitgrad.devices.device import Device
from jitgrad.devices.foreign import At, has_places, let_wait, on_device, outside, stream_of
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.strides import in_order

CPU, CUDA, PINNED, MANAGED = 1, 2, 3, 13
"""Places: memory of the host, of a GPU, of the host for a GPU, and of both."""
KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
BFLOAT, READ_ONLY = 4, 1
VERSION = (1, 0)


class _Tensor(ctypes.Structure):
    """`DLTensor`; the dtype is in `code`, `bits` and `lanes`."""

    _fields_ = (
        *(("data", ctypes.c_void_p), ("place", ctypes.c_int32), ("index", ctypes.c_int32), ("ndim", ctypes.c_int32)),
        *(("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)),
        *(("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("start", ctypes.c_uint64)),
    )


class _Managed(ctypes.Structure):
    """`DLManagedTensor`, as it was before version 1."""

    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))
    major, flags = 1, 0


class _Versioned(ctypes.Structure):
    """`DLManagedTensorVersioned`."""

    _fields_ = (
        *(("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)),
        *(("flags", ctypes.c_uint64), ("tensor", _Tensor)),
    )


_STRUCTURES: dict[bytes, Any] = {b"dltensor": _Managed, b"dltensor_versioned": _Versioned}
_USED = {b"dltensor": b"used_dltensor", b"dltensor_versioned": b"used_dltensor_versioned"}
_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _python(name: str, result: Any, *arguments: Any) -> Any:
    """A function of Python's own, which raises what it raised."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_name_of = _python("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)
_pointer_of = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_rename = _python("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)


class _Taken:
    """What was taken out of a capsule; its owner is told when nobody here refers to it any more."""

    def __init__(self, place: int, deleter: int | None) -> None:
        self._place, self._deleter = place, _Deleter(deleter) if deleter else None

    def __del__(self) -> None:
        if self._deleter is not None:
            self._deleter(self._place)


def place_of(value: Any) -> tuple[int, int]:
    """Where an array is: the kind of place, and its number."""
    return (CUDA, _driver(value).index) if value.__class__ is DeviceArray else (CPU, 0)


def _driver(value: Any) -> Any:
    return value.compute.driver


def capsule_of(value: Any, stream: Any, max_version: Any, dl_device: Any, copy: bool | None) -> Any:
    """A capsule of an array, which keeps its memory; `BufferError` for what cannot be exported so."""
    place = place_of(value)
    if dl_device is not None and tuple(dl_device) != place:
        if tuple(dl_device) != (CPU, 0) or copy is False:
            raise BufferError(f"the tensor is in DLPack's place {place}, and {tuple(dl_device)} was asked for: move it with to()")
        value, place, stream = value.to_host(), (CPU, 0), None
    if value.__class__ is DeviceArray:
        given = value.copy() if copy else value
        let_wait(_driver(value), stream)
        made = np.asarray(outside(given)).__dlpack__(max_version=max_version)
    else:
        plain = value.view(np.uint16) if value.dtype.kind == "V" else value
        made = plain.__dlpack__(stream=stream, max_version=max_version, copy=copy)
    tensor = _inside(made)[0].tensor
    tensor.place, tensor.index = place
    if value.dtype.kind == "V":
        tensor.code = BFLOAT
    return made


def received(given: Any) -> Any:
    """The array that another library's has in its memory, by `__dlpack__` or in a capsule already."""
    if type(given).__name__ == "PyCapsule":
        return opened(given)
    if not hasattr(given, "__dlpack__") or not hasattr(given, "__dlpack_device__"):
        raise TypeError(
            f"from_dlpack takes an array with __dlpack__, or a capsule of it, not {type(given).__name__}: use tensor()"
        )
    place, index = given.__dlpack_device__()
    asked = {}
    if place in (CUDA, MANAGED):
        stream = stream_of(cuda.compute_of(Device("cuda", index)).driver)
        asked = {} if stream is None else {"stream": stream}
    try:
        made = given.__dlpack__(max_version=VERSION, **asked)
    except TypeError:  # a library that knows no versions
        made = given.__dlpack__(**asked)
    return opened(made)


def opened(given: Any) -> Any:
    """The array that is in a capsule."""
    managed, name = _inside(given)
    tensor = managed.tensor
    if tensor.place not in (CPU, CUDA, PINNED, MANAGED):
        raise BufferError(
            f"memory in DLPack's place ({tensor.place}, {tensor.index}) is neither the CPU's nor that of a CUDA GPU"
        )
    dtype, shape = _dtype(tensor), tuple(tensor.shape[: tensor.ndim])
    steps = tensor.strides[: tensor.ndim] if tensor.strides else in_order(shape)
    strides = tuple([n * dtype.itemsize for n in steps])
    on_gpu = tensor.place in (CUDA, MANAGED)
    compute = cuda.compute_of(Device("cuda", tensor.index)) if on_gpu else None
    _rename(given, _USED[name])  # from here on it is ours to free
    owner = _Taken(ctypes.addressof(managed), managed.deleter)
    address, writeable = (tensor.data or 0) + tensor.start, not managed.flags & READ_ONLY
    if compute is not None:
        return on_device(compute, address, shape, strides, dtype, writeable, owner)
    if 0 in shape:
        return np.empty(shape, dtype)
    array = np.asarray(At(address, shape, strides, dtype, writeable and has_places(shape, strides), owner))
    return array if array.dtype == dtype else array.view(dtype)


def _inside(given: Any) -> tuple[Any, bytes]:
    """What is in a capsule, and its name."""
    name = _name_of(given)
    if name not in _STRUCTURES:
        raise RuntimeError(f"a DLPack capsule can be used once, and this one is a {name!r}: call __dlpack__() again")
    found = _STRUCTURES[name].from_address(_pointer_of(given, name))
    if found.major > VERSION[0]:
        raise BufferError(f"DLPack of version {found.major} is not known here: ask for max_version={VERSION}")
    return found, name


def _dtype(tensor: Any) -> np.dtype:
    """The dtype of what is in a capsule; `TypeError` where there is none such."""
    name = "bool" if (tensor.code, tensor.bits) == (6, 8) else f"{KINDS.get(tensor.code, 'kind')}{tensor.bits}"
    if tensor.lanes != 1:
        raise TypeError(f"elements of {tensor.lanes} numbers each: tensors have single numbers, so view it as such first")
    try:
        return dtypes.by_name(name).numpy
    except AttributeError as error:
        raise TypeError(f"{error}: convert it first; there are {', '.join(dtypes.ALL)}") from None
