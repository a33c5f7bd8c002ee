"""Memory that tensors share with other libraries, and memory of the host that a GPU copies from by itself.

Where others can change memory unseen, no gradient may come out wrong: the tape saves copies of such tensors from then on, and
what it saved before is compared when it is used. `dlpack` and `foreign` say how memory is handed over.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices import cuda
from jitgrad.devices.foreign import device_of, on_device, outside, stream_of, wait_for
from jitgrad.errors import TracedValueError
from jitgrad.record.trace import current_trace
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle, own_memory
from jitgrad.tape.strides import in_order


class _Looked:
    """An array of a GPU for a storage, which looks at its bytes by NumPy."""

    def __init__(self, array: DeviceArray) -> None:
        self.array, self.shape = array, array.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array.to_host()


def shared(handle: Handle, what: str) -> Any:
    """The array of a tensor, whose memory others can change from now on.

    If the tape has saved it before, that is a checksum now and one when the reverse sweep comes, each of which brings memory of a
    GPU to the host: what is shared before it is used costs nothing of that.
    """
    array = handle._concrete(what)  # type: ignore[attr-defined]
    trace = current_trace.get()
    recording = trace is not None and trace.lifts
    if recording and array.__class__ is DeviceArray:
        raise TracedValueError(
            f"{what} of a tensor on {array.device}: jit does not see what becomes of it: do that outside of it"
        )
    storage = own_memory(handle)
    if storage.array.__class__ is DeviceArray:
        storage.array = _Looked(storage.array)
    storage.export()
    if recording:
        trace.note_exported(handle)  # type: ignore[union-attr]
    return handle._value


def cuda_interface(value: DeviceArray) -> dict[str, Any]:
    """What `__cuda_array_interface__` says of an array, by version 3 of the definition in Numba's documentation."""
    if value.dtype.kind == "V":
        raise TypeError("bfloat16 has no typestr, so __cuda_array_interface__ cannot say it: use from_dlpack, or x.float()")
    said = dict(outside(value).__array_interface__)
    if value.in_order:
        said["strides"] = None
    if not value.size:
        said["data"] = (0, False)
    return {**said, "stream": stream_of(value.compute.driver)}  # type: ignore[attr-defined]


def from_cuda_interface(owner: Any) -> DeviceArray:
    """An array in the memory of an object that has `__cuda_array_interface__`, which is kept."""
    said = owner.__cuda_array_interface__
    if said.get("mask") is not None:
        raise TypeError("an array with a mask cannot be used, since tensors have no masks: fill it first")
    (address, read_only), shape, dtype = said["data"], tuple(said["shape"]), np.dtype(said["typestr"])
    dtypes.of(dtype)
    compute = device_of(address) if address else cuda.compute_of("cuda")
    if not cuda.simulated():
        if said.get("stream") is not None:
            wait_for(compute.driver, said["stream"])
        elif said.get("version", 0) < 3:  # which says nothing of streams
            compute.driver.synchronize()
    strides = said.get("strides") or [n * dtype.itemsize for n in in_order(shape)]
    return on_device(compute, address, shape, tuple(strides), dtype, not read_only, owner)


# Memory of the host that a GPU copies from by itself.

_pinned: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
_copying: dict[int, tuple[Any, np.ndarray]] = {}
"""Arrays that a GPU may still be copying, each with the event of when that is done, by the event's number."""


def pinned(array: np.ndarray) -> np.ndarray:
    """A copy of an array in memory that a GPU copies from by itself; `RuntimeError` if there is no GPU."""
    room = cuda.compute_of("cuda").driver.pinned(array.nbytes)
    _pinned[id(room)] = room
    out = room[: array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


def is_pinned(array: Any) -> bool:
    """Whether an array is in memory that `pinned` gave."""
    if not isinstance(array, np.ndarray):
        return False
    room = array.base if isinstance(array.base, np.ndarray) else array
    return _pinned.get(id(room)) is room


def after_copying(source: Any, made: Any, non_blocking: bool) -> None:
    """What comes after an array was copied to a GPU: a copy of pinned memory may be under way still. It is waited for, unless the
    caller said that nothing will be written to the source; then the source is kept until the copy is done."""
    if made.__class__ is not DeviceArray or not is_pinned(source):
        return
    stream = made.compute.driver.current()  # type: ignore[attr-defined]
    if not non_blocking:
        stream.synchronize()
        return
    for number, (event, _) in list(_copying.items()):
        if event.query():
            _copying.pop(number, None)
    event = stream.record()
    _copying[id(event)] = (event, source)
