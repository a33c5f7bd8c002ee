"""Memory that is shared with other libraries, without copies: DLPack for any memory, `__cuda_array_interface__` for that of a GPU.

Sources: the DLPack specification (dmlc.github.io/dlpack, structures of version 1.0 and those before it), the Python array API
standard for `__dlpack__` and its streams (data-apis.org), and version 3 of Numba's `__cuda_array_interface__`.

A capsule of ours is made by NumPy, also for memory of a GPU: of an array that begins at that address, which NumPy does not look
at; then the capsule is told where the memory is. So what frees it is NumPy's own, which works in every thread and at the end of
the program. Capsules of others are read here, since NumPy takes no memory of a GPU, no bfloat16, and what comes from libraries
before version 1.0 as not to be written.

Whoever else may write to memory that a tape keeps is no secret to the tape: see `shared`. Work of ours and of others is put into
different streams. What ours must wait for is waited for here when memory changes hands, in both directions; in between it is up
to whoever writes.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices import cuda
from jitgrad.devices.device import Device
from jitgrad.errors import TracedValueError
from jitgrad.record.trace import current_trace
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle, own_memory
from jitgrad.tape.strides import lies, stand_in

CPU, CUDA, PINNED, MANAGED = 1, 2, 3, 13
"""What DLPack calls places: memory of the host, of a GPU, of the host for a GPU, and of both."""
LEGACY, UNORDERED = 1, -1
"""Streams of DLPack: the one that everything waits for, and one for which nobody need wait."""
_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
_BFLOAT, _READ_ONLY = 4, 1
_VERSION = (1, 0)
_USED = {b"dltensor": b"used_dltensor", b"dltensor_versioned": b"used_dltensor_versioned"}


class _Tensor(ctypes.Structure):
    """`DLTensor`: `code` and what follows is the dtype."""

    _fields_ = (
        *(("data", ctypes.c_void_p), ("place", ctypes.c_int32), ("index", ctypes.c_int32), ("ndim", ctypes.c_int32)),
        *(("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)),
        *(("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("start", ctypes.c_uint64)),
    )


class _Managed(ctypes.Structure):
    """`DLManagedTensor`, as it was before version 1.0."""

    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))
    flags = 0


class _Versioned(ctypes.Structure):
    """`DLManagedTensorVersioned`."""

    _fields_ = (
        *(("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)),
        *(("flags", ctypes.c_uint64), ("tensor", _Tensor)),
    )


def _python(name: str, result: Any, *arguments: Any) -> Any:
    """A function of Python's own, which is called with the interpreter's lock held, and raises what it raised."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))


_name_of = _python("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)
_pointer_of = _python("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_rename = _python("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _At:
    """Memory at an address, for NumPy, which takes note of this object and so keeps what the memory belongs to."""

    def __init__(self, address: int, shape: tuple[int, ...], strides: Any, dtype: np.dtype, writeable: bool, owner: Any) -> None:
        typestr = "<u2" if dtype.kind == "V" else dtype.str  # bfloat16
        self.owner = owner
        self.__array_interface__ = {
            **{"version": 3, "shape": shape, "typestr": typestr, "strides": strides, "data": (address, not writeable)}
        }


class _Taken:
    """Memory that a capsule gave us; its owner is told when nobody here refers to it any more."""

    def __init__(self, place: int, deleter: int | None) -> None:
        self._place, self._deleter = place, _Deleter(deleter) if deleter else None

    def __del__(self) -> None:
        if self._deleter is not None:
            self._deleter(self._place)


class Foreign:
    """Memory of a GPU that belongs to somebody else: it stands where `sweeps.cuda.memory.Memory` does for ours.

    The owner may use it for something else as soon as it is told that we are done, so that work of ours is waited for first.
    """

    __slots__ = ("__weakref__", "compute", "nbytes", "owner", "raw")

    def __init__(self, compute: Any, raw: Any, owner: Any) -> None:
        self.compute, self.raw, self.nbytes, self.owner = compute, raw, raw.nbytes, owner

    @property
    def address(self) -> int:
        """Where it begins."""
        return self.raw.address

    def __del__(self, finalizing: Any = sys.is_finalizing) -> None:
        if not finalizing():
            _unfinished.append(self.owner)
            if _is_done(self.compute.driver):
                _unfinished.clear()


_unfinished: list[Any] = []
"""Owners of memory that work of ours may still be using."""


def _is_done(driver: Any) -> bool:
    """Whether all that a GPU was told to do is done, for which this waits; not while a graph is recorded, or after an error."""
    if getattr(driver.current(), "recording", False):
        return False
    try:
        driver.synchronize()
    except RuntimeError:
        return False
    return True


# Out.


def shared(handle: Handle, what: str) -> Any:
    """The array of a tensor, of which others can change the memory from now on.

    The tape saves copies of it afterwards. What it has saved before is looked at when it is used, which for memory of a GPU is a
    checksum on the host: take care to share tensors before they are used where that matters.
    """
    array = handle._concrete(what)  # type: ignore[attr-defined]
    trace = current_trace.get()
    if trace is not None and trace.lifts:
        if array.__class__ is DeviceArray:
            raise TracedValueError(f"{what} of a tensor on a GPU: jit would not see what becomes of it: do that outside of the function")
        trace.note_exported(handle)
    storage = own_memory(handle)
    if storage.array.__class__ is DeviceArray:
        storage.array = _Looked(storage.array)
    storage.export()
    return handle._value


class _Looked:
    """An array of a GPU, for whoever looks at its bytes."""

    def __init__(self, array: DeviceArray) -> None:
        self.array, self.shape = array, array.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array.to_host()


def capsule(value: Any, stream: Any, max_version: Any, dl_device: Any, copy: bool | None) -> Any:
    """A DLPack capsule of an array, which keeps its memory; `BufferError` for what cannot be exported."""
    place = place_of(value)
    if dl_device is not None and tuple(dl_device) != place:
        if tuple(dl_device) != (CPU, 0) or copy is False:
            raise BufferError(f"the tensor is in DLPack's place {place}: bring it to {tuple(dl_device)} first, with to()")
        value, place, stream = value.to_host(), (CPU, 0), None
    if value.__class__ is DeviceArray:
        given = value.copy() if copy else value
        order_after_ours(value.compute.driver, stream)
        array, index = np.asarray(_outside(given)), place[1]
    else:
        array, index = value, None
    bits = array.view(np.uint16) if value.dtype.kind == "V" else array
    made = bits.__dlpack__(max_version=max_version, copy=copy if index is None else None, stream=stream if index is None else None)
    tensor, _ = _inside(made)
    if index is not None:
        tensor.tensor.place, tensor.tensor.index = place
    if value.dtype.kind == "V":
        tensor.tensor.code = _BFLOAT
    return made


def place_of(value: Any) -> tuple[int, int]:
    """Where an array is, as DLPack says it."""
    return (CUDA, value.compute.driver.index) if value.__class__ is DeviceArray else (CPU, 0)


def cuda_interface(value: DeviceArray) -> dict[str, Any]:
    """What `__cuda_array_interface__` says of an array."""
    if value.dtype.kind == "V":
        raise TypeError("NumPy has no name for bfloat16, so that __cuda_array_interface__ cannot say it: use DLPack, or .float()")
    found = dict(_outside(value).__array_interface__)
    found["strides"] = None if value.flags.c_contiguous else value.strides
    if not value.size:
        found["data"] = (0, False)
    return {**found, "stream": None if cuda.simulated() else value.compute.driver.current().handle}


def order_after_ours(driver: Any, stream: Any) -> None:
    """Let another library's stream wait for what is in ours now. `stream` is what `__dlpack__` is given."""
    if stream is not None and (not isinstance(stream, int) or isinstance(stream, bool)):
        raise TypeError(f"stream must be an int or None, not {type(stream).__name__}")
    if stream is not None and stream != UNORDERED and stream < LEGACY:
        raise BufferError(f"stream {stream} could be either default stream: it is 1 for the legacy one, 2 for that of the thread")
    if stream != UNORDERED and not cuda.simulated():
        driver.call("cuStreamWaitEvent", LEGACY if stream is None else stream, driver.current().record().handle, 0)


OUTSIDE = "outside"
"""The queue of buffers that work of others may use: the pool gives them out to nobody, and frees them after it waited for all."""
_PART = 8
"""Of memory that was outside, at most this part of all there is waits to be freed."""
_outside_bytes: dict[str, int] = {}
_living: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""Simulated memory that went outside, by its address, which means nothing to anybody else."""


def _outside(value: DeviceArray) -> _At:
    """The memory of an array for others, who put work into streams of their own."""
    raw = value.buffer.raw
    if not isinstance(value.buffer, Foreign) and raw.queue != OUTSIDE:
        raw.queue = OUTSIDE
        name, pool = value.compute.name, value.compute.pool  # type: ignore[attr-defined]
        _outside_bytes[name] = _outside_bytes.get(name, 0) + raw.nbytes
        if _outside_bytes[name] > pool.driver.memory()[1] // _PART:
            pool.empty()
            _outside_bytes[name] = 0
    if cuda.simulated():
        _living[raw.address] = value.buffer
    address = raw.address + value.offset * value.itemsize
    return _At(address, value.shape, value.strides, value.dtype, bool(value.flags.writeable), value)


# In.


def from_capsule(given: Any) -> Any:
    """The array of a DLPack capsule, in whose memory it is."""
    managed, name = _inside(given)
    tensor, shape = managed.tensor, tuple(managed.tensor.shape[: managed.tensor.ndim])
    if tensor.place not in (CPU, CUDA, PINNED, MANAGED):
        raise BufferError(f"memory in DLPack's place {tensor.place}, {tensor.index}: there are the CPU and GPUs of NVIDIA's")
    dtype, size = _dtype(tensor), tensor.bits // 8
    steps = [n * size for n in (tensor.strides[: tensor.ndim] if tensor.strides else stand_in(shape).strides)]
    on_gpu = tensor.place in (CUDA, MANAGED)
    compute = cuda.compute_of(Device("cuda", tensor.index)) if on_gpu else None
    _rename(given, _USED[name])  # from here on it is ours to free
    owner = _Taken(ctypes.addressof(managed), managed.deleter)
    address, writeable = (tensor.data or 0) + tensor.start, not managed.flags & _READ_ONLY
    if compute is not None:
        return on_device(compute, address, shape, steps, dtype, writeable, owner)
    array = np.asarray(_At(address, shape, tuple(steps), dtype, writeable, owner))
    array = array.view(dtype) if dtype.kind == "V" else array
    if not _has_places(shape, steps):
        array.flags.writeable = False
    return array


def _inside(given: Any) -> tuple[Any, bytes]:
    """What is in a capsule, and its name."""
    name = _name_of(given)
    if name not in _USED:
        raise RuntimeError(f"a DLPack capsule can be used once, and this one is named {name!r}: call __dlpack__() again")
    place = _pointer_of(given, name)
    found = (_Managed if name == b"dltensor" else _Versioned).from_address(place)  # type: ignore[attr-defined]
    if getattr(found, "major", 1) > _VERSION[0]:
        raise BufferError(f"DLPack of version {found.major}.{found.minor}, which is not known here: ask for max_version={_VERSION}")
    return found, name


def _dtype(tensor: _Tensor) -> np.dtype:
    """The dtype of what is in a capsule; `TypeError` where there is none such."""
    name = "bool" if (tensor.code, tensor.bits) == (6, 8) else f"{_KINDS.get(tensor.code, 'kind ')}{tensor.bits}"
    try:
        if tensor.lanes == 1:
            return dtypes.by_name(name).numpy
    except AttributeError as error:
        raise TypeError(f"{error}: convert it first; there are {', '.join(dtypes.ALL)}") from None
    raise TypeError(f"elements of {tensor.lanes} numbers in one: there are single numbers only")


def from_cuda_interface(owner: Any) -> DeviceArray:
    """An array in the memory of an object that has `__cuda_array_interface__`, which is kept."""
    said = owner.__cuda_array_interface__
    if said.get("mask") is not None:
        raise TypeError("__cuda_array_interface__ with a mask: tensors have no masks; fill the array first")
    (address, read_only), shape, dtype = said["data"], tuple(said["shape"]), np.dtype(said["typestr"])
    dtypes.of(dtype)
    steps = said.get("strides")
    compute = cuda.compute_of("cuda")
    if address and cuda.count() > 1:
        compute = cuda.compute_of(Device("cuda", _device_at(compute.driver, address)))
    if not cuda.simulated():
        _wait_for(compute.driver, said)
    steps = [n * dtype.itemsize for n in stand_in(shape).strides] if steps is None else list(steps)
    return on_device(compute, address, shape, steps, dtype, not read_only, owner)


def _wait_for(driver: Any, said: dict[str, Any]) -> None:
    """Let our stream wait for that which fills the memory; before version 3 nothing is said of it, so for everything."""
    stream = said.get("stream")
    if stream is not None:
        event = driver.event()
        driver.call("cuEventRecord", event.handle, stream)
        driver.current().wait(event)
    elif said.get("version", 0) < 3:
        driver.synchronize()


def _device_at(driver: Any, address: int) -> int:
    """The number of the GPU that memory belongs to."""
    from cuda.bindings.driver import CUpointer_attribute

    driver.enter()
    return int(driver.call("cuPointerGetAttribute", CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address))


def on_device(
    compute: Any, address: int, shape: tuple[int, ...], steps: list[int], dtype: np.dtype, writeable: bool, owner: Any
) -> DeviceArray:
    """An array in memory of a GPU that belongs to `owner`; `steps` are its strides in bytes."""
    if 0 in shape:
        return compute.empty(shape, dtype)
    size = dtype.itemsize
    if address % size or any(s % size for s in steps):
        raise BufferError(f"its elements do not lie at multiples of the {size} bytes that one has: pass a copy")
    low = sum([(n - 1) * s for n, s in zip(shape, steps) if s < 0])
    high = sum([(n - 1) * s for n, s in zip(shape, steps) if s > 0]) + size
    raw, owner = _buffer(compute.driver, address + low, high - low, owner)
    start = -low // size
    layout = np.lib.stride_tricks.as_strided(
        stand_in((start + 1,))[start:], shape, [s // size for s in steps], writeable=writeable and _has_places(shape, steps)
    )
    return DeviceArray(compute, Foreign(compute, raw, owner), layout, dtype)


def _has_places(shape: tuple[int, ...], steps: list[int]) -> bool:
    """Whether each element has a place of its own: what was expanded is not to be written."""
    return not any(s == 0 and n > 1 for n, s in zip(shape, steps))


def _buffer(driver: Any, address: int, nbytes: int, owner: Any) -> tuple[Any, Any]:
    """What kernels take for memory at an address, and what has to be kept for it."""
    if not cuda.simulated():
        from jitgrad.sweeps.cuda.buffers import Buffer as Real

        return Real(driver, SimpleNamespace(handle=address), nbytes), owner
    from jitgrad.sweeps.cuda.simulated import Buffer

    for memory in list(_living.values()):
        at = address - memory.raw.address
        if 0 <= at and at + nbytes <= memory.raw.nbytes:
            raw = Buffer(driver, address, 0)
            raw.nbytes, raw.array = nbytes, memory.raw.bytes(at, nbytes)
            raw._used = nbytes
            return raw, (owner, memory)
    raise BufferError(f"{nbytes} bytes at {address:#x} are no memory of the simulated GPU that went outside")
