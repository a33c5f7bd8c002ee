"""Memory of a GPU that others use too: ours in their hands, and theirs in ours.

Work of ours and of others is put into different streams. What was put there before memory changes hands is waited for; what is
done with it afterwards is up to whoever writes. And memory is not used for something else while others may be working with it.
"""

from __future__ import annotations

import sys
import weakref
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from jitgrad.devices import cuda
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.strides import stand_in

LEGACY, UNORDERED = 1, -1
"""Streams of DLPack and of `__cuda_array_interface__`: the one that everything waits for, and one for which nobody need wait."""
OUTSIDE = "outside"
"""The queue of buffers that work of others may use: the pool gives them out to nobody, and frees them after it waited for all."""
PART = 8
"""Of all memory there is, at most this part waits to be freed since it was outside."""

_outside_bytes: dict[str, int] = {}
_living: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
"""Simulated memory that went outside, by its address, which means nothing to anybody else."""
_unfinished: dict[tuple[int, int], Any] = {}
"""Owners of memory that work of ours may still be using, by the number of the GPU and their own."""


class Foreign:
    """Memory of a GPU that belongs to somebody else: it stands where `sweeps.cuda.memory.Memory` does for ours.

    The owner may use it for something else as soon as it is told that we are done, so work of ours is waited for first.
    """

    __slots__ = ("__weakref__", "compute", "nbytes", "owner", "raw")

    def __init__(self, compute: Any, raw: Any, owner: Any) -> None:
        self.compute, self.raw, self.nbytes, self.owner = compute, raw, raw.nbytes, owner

    def __del__(self, finalizing: Any = sys.is_finalizing) -> None:
        if finalizing():
            return
        driver = self.compute.driver
        _unfinished[driver.index, id(self.owner)] = self.owner
        waiting = [key for key in list(_unfinished) if key[0] == driver.index]
        if _is_done(driver):
            for key in waiting:
                _unfinished.pop(key, None)


def _is_done(driver: Any) -> bool:
    """Whether all that a GPU was told to do is done, for which this waits; not while a graph is recorded, or after an error."""
    if getattr(driver.current(), "recording", False):
        return False
    try:
        driver.synchronize()
    except RuntimeError:
        return False
    return True


class At:
    """Memory at an address, for NumPy, whose array of it holds this, and so keeps the owner of the memory.

    What is said of memory of a GPU is for others to read; NumPy itself must not look there.
    """

    def __init__(
        self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype, writeable: bool, owner: Any
    ) -> None:
        typestr = "<u2" if dtype.kind == "V" else dtype.str  # bfloat16 has no name there
        found = {"version": 3, "shape": shape, "typestr": typestr, "strides": strides, "data": (address, not writeable)}
        self.owner, self.__array_interface__ = owner, found


# Ours, for others.


def outside(value: DeviceArray) -> At:
    """The memory of an array for others, who may work with it after it was given back, in streams of their own."""
    memory = value.buffer
    if not isinstance(memory, Foreign):
        if memory.raw.queue != OUTSIDE:
            memory.raw.queue, memory.pool = OUTSIDE, _Returning(memory.pool)
            _note(value.compute, memory.nbytes)
        if cuda.simulated():
            _living[memory.raw.address] = memory
    return At(value.address, value.shape, value.strides, value.dtype, bool(value.flags.writeable), value)


class _Returning(NamedTuple):
    """Stands for the pool where memory goes back that was outside: others may have it to the end of the program."""

    pool: Any

    def take_back(self, raw: Any, size: int, finalizing: Any = sys.is_finalizing) -> None:
        if not finalizing():
            self.pool.take_back(raw, size)


def _note(compute: Any, nbytes: int) -> None:
    """Others put work into streams of theirs: those are streams that the pool should know of. And free what was given back, if so
    much went outside that it may be a good part of all memory."""
    compute.pool.streams = max(compute.pool.streams, 2)
    sent = _outside_bytes.get(compute.name, 0) + nbytes
    if sent > compute.driver.memory()[1] // PART:
        compute.pool.empty()
        sent = 0
    _outside_bytes[compute.name] = sent


def let_wait(driver: Any, stream: Any) -> None:
    """Let a stream of others, as DLPack numbers them, wait for what is in ours now."""
    if stream is not None and (not isinstance(stream, int) or isinstance(stream, bool)):
        raise TypeError(f"stream must be an int or None, not {type(stream).__name__}")
    if stream is not None and stream != UNORDERED and stream < LEGACY:
        raise BufferError(
            f"stream {stream} says not which: 1 is the legacy default stream, 2 that of the thread, -1 is not to wait"
        )
    if stream != UNORDERED and not cuda.simulated():
        event = driver.current().record()
        driver.call("cuStreamWaitEvent", LEGACY if stream is None else stream, event.handle, 0)


def stream_of(driver: Any) -> int | None:
    """Our stream, as others number them; None in the simulator, where nobody need wait."""
    return None if cuda.simulated() else driver.current().handle


# Others', for us.


def wait_for(driver: Any, stream: int) -> None:
    """Let our stream wait for what is in one of others."""
    event = driver.event()
    driver.call("cuEventRecord", event.handle, stream)
    driver.current().wait(event)


def device_of(address: int) -> Any:
    """What computes where memory is."""
    compute = cuda.compute_of("cuda")
    if cuda.count() < 2:
        return compute
    from cuda.bindings.driver import CUpointer_attribute

    compute.driver.enter()
    asked = CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    return cuda.compute_of(f"cuda:{int(compute.driver.call('cuPointerGetAttribute', asked, address))}")


def on_device(
    compute: Any, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype, writeable: bool, owner: Any
) -> DeviceArray:
    """An array in memory of a GPU that belongs to `owner`; strides are in bytes, as NumPy's are."""
    if 0 in shape:
        return compute.empty(shape, dtype)
    size = dtype.itemsize
    if address % size or any(s % size for s in strides):
        raise BufferError(f"its elements do not lie at multiples of the {size} bytes that one has: share a copy of it")
    ends = [(n - 1) * s for n, s in zip(shape, strides)]
    low, high = sum([e for e in ends if e < 0]), sum([e for e in ends if e > 0]) + size
    raw, owner = _buffer(compute.driver, address + low, high - low, owner)
    room, steps = stand_in((1 - low // size,))[-low // size :], [s // size for s in strides]
    writeable = writeable and has_places(shape, strides)
    layout = np.lib.stride_tricks.as_strided(room, shape, steps, writeable=writeable)
    return DeviceArray(compute, Foreign(compute, raw, owner), layout, dtype)


def has_places(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether each element has a place of its own: what was expanded is not to be written."""
    return not any(s == 0 and n > 1 for n, s in zip(shape, strides))


def _buffer(driver: Any, address: int, nbytes: int, owner: Any) -> tuple[Any, Any]:
    """What kernels take for memory at an address, and what has to be kept for it."""
    if not cuda.simulated():
        from jitgrad.sweeps.cuda.buffers import Buffer as Real

        return Real(driver, SimpleNamespace(handle=address), nbytes), owner
    from jitgrad.sweeps.cuda.simulated import Buffer

    for memory in list(_living.values()):
        at = address - memory.raw.address
        if at >= 0 and at + nbytes <= memory.raw.nbytes:
            raw = Buffer(driver, address, nbytes)
            raw.array = memory.raw.bytes(at, nbytes)
            return raw, (owner, memory)
    raise BufferError(f"{nbytes} bytes at {address:#x} are no memory of the simulated GPU that went outside")
