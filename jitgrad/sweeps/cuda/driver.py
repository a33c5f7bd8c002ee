"""A GPU: its memory, its kernels and its streams, by way of NVIDIA's `cuda.core`.

`jitgrad.sweeps.cuda.simulated` is the same on a CPU. Nothing of NVIDIA's is imported before somebody asks how many GPUs there
are, and nothing where there is no libcuda. Work goes into the current stream of the thread, and is done in its order: `upload`,
`copy` and `launch` do not wait for it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np

from jitgrad.base.locks import compiling, once
from jitgrad.base.signals import importing
from jitgrad.sweeps.cuda import cublas
from jitgrad.sweeps.cuda.buffers import Buffer, Pinned, address_of
from jitgrad.sweeps.cuda.compile import cubin
from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.loaded import Loaded
from jitgrad.sweeps.cuda.streams import Event, Graph, Stream

__all__ = ["Buffer", "Driver", "Event", "Graph", "Stream", "available", "count", "driver_of"]

BLOCK, WARP = 256, 32
WAVES = 8
"""Blocks for each multiprocessor: as many of 256 threads as fit on one."""
_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_PACKAGES = ("cuda.bindings", "cuda.core", "numba_cuda")
_OUT_OF_MEMORY = "CUDA_ERROR_OUT_OF_MEMORY"


class _Here(threading.local):
    """Of a thread: whose context is current, and the streams that it chose, by the number of their device, and chose before."""

    driver: Driver | None = None
    streams: Mapping[int, Stream] = MappingProxyType({})
    before: tuple[Mapping[int, Stream], ...] = ()


_here = _Here()


def available() -> bool:
    """Whether there is a GPU, and the packages that are needed to use it."""
    return count() > 0


@once
def count() -> int:
    """How many GPUs there are; 0 where a package or the driver is missing."""
    try:
        ctypes.CDLL(_LIBRARY)
        if not all(importlib.util.find_spec(name) for name in _PACKAGES):
            return 0
        with importing("cuda.bindings.driver"):
            from cuda.bindings import driver
        if driver.cuInit(0)[0]:
            return 0
        failed, found = driver.cuDeviceGetCount()
    except (OSError, ImportError, RuntimeError):  # no libcuda, no packages, or bindings that do not go with it
        return 0
    return 0 if failed else found


class Driver:
    """The GPU of a number; `driver_of(0)` gives the same one whoever asks."""

    block, warp = BLOCK, WARP

    def __init__(self, index: int = 0) -> None:
        if not 0 <= index < count():
            raise RuntimeError(f"there is no GPU {index}: {count()} can be used (jitgrad.cuda.device_count())")
        with importing("cuda.core"):
            from cuda import core
            from cuda.bindings import driver
        self.index, self._core, self._driver = index, core, driver
        self._launch = driver.cuLaunchKernel
        self._device = core.Device(index)
        self._several = count() > 1
        self._loaded: dict[Kernel, Loaded] = {}
        self._process = os.getpid()
        self.enter()
        properties = self._device.properties
        self.name: str = self._device.name
        self.cc: tuple[int, int] = tuple(self._device.compute_capability)
        self.blocks: int = properties.multiprocessor_count * WAVES
        self.first = Stream(self, self._device.create_stream())  # of all threads that say nothing else

    # Which device and stream a thread works with.

    def enter(self) -> None:
        """Make the device the one that this thread's calls are about: with several, somebody else may have chosen another."""
        if _here.driver is not self and not self.is_mine():
            raise RuntimeError("a forked process cannot use its parent's GPU: start processes with multiprocessing's 'spawn'")
        if self._several or _here.driver is not self:
            self._device.set_current()
            _here.driver = self

    def is_mine(self) -> bool:
        """Whether this process made the connection to the device, not the one that it was forked from."""
        return os.getpid() == self._process

    def current(self) -> Stream:
        """The stream of this thread: that of the innermost `with stream:`, else one that all threads share."""
        return _here.streams.get(self.index, self.first)

    def begin(self, stream: Stream) -> None:
        """Make a stream the current one of this thread."""
        _here.before = (*_here.before, _here.streams)
        _here.streams = {**_here.streams, self.index: stream}

    def end(self) -> None:
        """Make that the current stream again which was before `begin`."""
        *before, _here.streams = _here.before
        _here.before = tuple(before)

    def queue(self) -> Any:
        """What tells memory that the current stream may use again from that of other streams.

        While a graph is recorded it is the stream that was the current one before: the recording has none that lasts.
        """
        return self.current().lasting

    def stream(self, priority: int | None = None) -> Stream:
        """A new stream; a lower `priority` goes first."""
        self.enter()
        return Stream(self, self._device.create_stream(options=self._core.StreamOptions(priority=priority)))

    def event(self) -> Event:
        """A new event, which takes the time."""
        self.enter()
        return Event(self, self._device.create_event(self._core.EventOptions(timing_enabled=True)))

    def capture(self, function: Callable[[], Any]) -> Graph:
        """The launches and copies within the device that `function` makes, without doing them, as a graph that repeats them."""
        return Graph(self, function)

    # Memory.

    def allocate(self, nbytes: int) -> Buffer:
        """Memory that the current stream may use at once; `MemoryError` if there is no more."""
        self.enter()
        with self.told(f"memory of {nbytes} bytes"):
            raw = self._device.allocate(max(nbytes, 1), stream=self.current().for_memory)
        return Buffer(self, raw, nbytes)

    def pinned(self, nbytes: int) -> np.ndarray:
        """Bytes of the host that the device reads and writes by itself, so that `upload` from there does not wait.

        They must not change, and not be let go of, before the copy is done.
        """
        self.enter()
        return np.asarray(Pinned(self, self.call("cuMemAllocHost", max(nbytes, 1)), nbytes))

    def upload(self, buffer: Buffer, offset: int, array: np.ndarray) -> None:
        """Put an array, whose elements are in order, into a buffer from a byte on.

        The array may change as soon as this returns, but for `pinned` memory.
        """
        self._within(buffer, offset, array.nbytes)
        stream, source = self._with_host(), address_of(array)
        if array.nbytes:
            self.call("cuMemcpyHtoDAsync", buffer.address + offset, source, array.nbytes, stream.handle)

    def download(self, buffer: Buffer, offset: int, array: np.ndarray) -> None:
        """Fill an array, whose elements are in order, from a buffer, and wait for it."""
        self._within(buffer, offset, array.nbytes)
        stream, target = self._with_host(), address_of(array)
        if array.nbytes:
            self.call("cuMemcpyDtoHAsync", target, buffer.address + offset, array.nbytes, stream.handle)
            stream.synchronize()

    def copy(self, target: Buffer, target_offset: int, source: Buffer, source_offset: int, nbytes: int) -> None:
        """Bytes from one buffer into another, which may be one of another device."""
        self._within(target, target_offset, nbytes)
        self._within(source, source_offset, nbytes)
        if source.driver is not self:
            self.current().wait(source.driver.current())
        if nbytes:
            places = target.address + target_offset, source.address + source_offset
            self.call("cuMemcpyAsync", *places, nbytes, self.current().handle)

    def memory(self) -> tuple[int, int]:
        """The bytes that are free, and all that the device has."""
        self.enter()
        free, total = self.call("cuMemGetInfo")
        return free, total

    def trim(self) -> None:
        """Give memory that was freed, and that the driver keeps for this process, to everybody."""
        self.enter()
        self.call("cuMemPoolTrimTo", self.call("cuDeviceGetMemPool", self.index), 0)

    def _with_host(self) -> Stream:
        """The current stream, for a copy from or to the host."""
        stream = self.current()
        if stream.recording:
            raise RuntimeError("a graph holds launches and copies within the device: bring data there before, and back after it")
        return stream

    def _within(self, buffer: Buffer, offset: int, nbytes: int) -> None:
        self.enter()
        if offset < 0 or nbytes < 0 or offset + nbytes > buffer.nbytes:
            raise ValueError(f"bytes {offset} to {offset + nbytes} of a buffer that has {buffer.nbytes}")
        if not buffer.address:
            raise RuntimeError("the buffer was freed")

    # Kernels.

    def load(self, kernel: Kernel) -> Loaded:
        """The kernel on this device, compiled if it is on no disk; kept."""
        found = self._loaded.get(kernel)
        if found is None:
            with compiling:
                found = self._loaded.get(kernel) or self._load(kernel)
        return found

    def _load(self, kernel: Kernel) -> Loaded:
        code, symbol = cubin(kernel, self.cc)
        self.enter()
        with self.told(symbol):
            handle = self._core.ObjectCode.from_cubin(code, name=symbol).get_kernel(symbol)
        made = self._loaded[kernel] = Loaded(kernel, handle, self._driver.CUfunction(int(handle.handle)), symbol)
        return made

    def launch(self, loaded: Loaded, grid: int, arguments: Sequence[Any]) -> None:
        """Start a kernel with `grid` blocks. A pointer is a buffer, or a buffer and a number of bytes into it."""
        if self._several or _here.driver is not self:
            self.enter()
        space = loaded.packed(arguments)
        stream = _here.streams.get(self.index, self.first)
        failed = self._launch(loaded.function, grid, 1, 1, loaded.block, 1, 1, 0, stream.queue, space.place, 0)[0]
        loaded.spare.append(space)
        if failed:
            raise self._error(failed, f"the launch of {loaded.symbol} with {grid} blocks")

    def product(self, x: Any, y: Any, out: Any) -> bool:
        """Whether cuBLAS is there and puts the products of two stacks of matrices, arrays of the device, into a third."""
        return cublas.product(self, x, y, out)

    def synchronize(self) -> None:
        """Wait for all work on this device; what a kernel did wrong is an error at the latest here."""
        self.enter()
        self.call("cuCtxSynchronize")

    def graph_builder(self) -> Any:
        """What records work as a graph."""
        self.enter()
        return self._device.create_graph_builder()

    # The driver's own functions.

    def call(self, name: str, *arguments: Any) -> Any:
        """What a function of the driver gives; `RuntimeError` if it fails."""
        failed, *values = getattr(self._driver, name)(*arguments)
        if failed:
            raise self._error(failed, name)
        return values[0] if len(values) == 1 else tuple(values)

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Errors of `cuda.core` become those that PyTorch has."""
        try:
            yield
        except Exception as error:
            kind = MemoryError if _OUT_OF_MEMORY in str(error) else RuntimeError
            raise kind(f"{self.name}, asked for {what}: {error}") from error

    def is_done(self, name: str, handle: int) -> bool:
        """What a function of the driver says that asks whether something is done."""
        failed = getattr(self._driver, name)(handle)[0]
        if failed and failed != self._driver.CUresult.CUDA_ERROR_NOT_READY:
            raise self._error(failed, name)
        return not failed

    def _error(self, failed: Any, name: str) -> Exception:
        text = self._driver.cuGetErrorString(failed)[1]
        said = text.decode() if isinstance(text, bytes) else text
        kind = MemoryError if failed.name == _OUT_OF_MEMORY else RuntimeError
        return kind(f"{failed.name} on {self.name}, from {name}, perhaps of work before it: {said}")


@once
def driver_of(index: int) -> Driver:
    """The GPU of a number: one object, whose kernels and streams everybody shares."""
    return Driver(index)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _here.__dict__.clear())  # so that `enter` looks again
