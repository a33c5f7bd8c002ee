"""A GPU that is none: its memory is NumPy's, and every launch runs in the simulator, which checks it, before it returns.

It has few threads, so that small arrays take several blocks and several turns. `JITGRAD_CUDA_BLOCK` and `JITGRAD_CUDA_BLOCKS` in
the environment say how many, and `JITGRAD_CUDA_MEMORY` how many bytes of memory there are. What is not right on a GPU is an error
here: memory that was freed, or is smaller than what is read, waiting while a graph is captured. Fresh memory holds nan, or -1.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jitgrad.sweeps.cuda.kernel import Kernel
from jitgrad.sweeps.cuda.simulated_streams import Event, Graph, Stream
from jitgrad.sweeps.cuda.simulated_text import made
from jitgrad.sweeps.cuda.simulator import Race, run

__all__ = ["Buffer", "Driver", "Event", "Graph", "Race", "Stream", "run"]

ALIGNED = 256
MEMORY = 1 << 30
WARP = 4


class Buffer:
    """Memory of a simulated GPU, at an address that no other buffer ever has.

    `queue` is for whoever keeps buffers. `used` is how many of its bytes hold something, beyond which an access is out of bounds.
    """

    __slots__ = ("_used", "address", "array", "driver", "freed", "nbytes", "queue")

    def __init__(self, driver: Driver, address: int, nbytes: int) -> None:
        self.driver, self.address, self.nbytes, self.freed = driver, address, nbytes, False
        self.array = np.full(nbytes, 0xFF, np.uint8)
        self.queue: Any = None
        self._used = nbytes

    @property
    def used(self) -> int:
        """How many of its bytes hold something."""
        return self._used

    @used.setter
    def used(self, nbytes: int) -> None:
        self._used = nbytes
        self.array[:] = 0xFF  # it is given out anew, and what was there is nobody's

    def free(self) -> None:
        """Once; any use afterwards is an error."""
        self.driver.give_back(self)

    def bytes(self, start: int, nbytes: int) -> np.ndarray:
        """A part of it; ValueError if it has no such part, and RuntimeError if it was freed."""
        if self.freed:
            raise RuntimeError(f"{self!r} was freed")
        if start < 0 or nbytes < 0 or start + nbytes > self.nbytes:
            raise ValueError(f"bytes {start} to {start + nbytes} of a buffer that has {self.nbytes}")
        return self.array[start : start + nbytes]

    def __repr__(self) -> str:
        return f"<Buffer of {self.nbytes} bytes at {self.address:#x} of {self.driver.name}>"


class Loaded(NamedTuple):
    """A kernel that can be launched."""

    kernel: Kernel


class _Here(threading.local):
    """Of a thread: the streams that it chose, by the number of their device, and what it records instead of doing it."""

    streams: Mapping[int, Stream] = MappingProxyType({})
    work: list[Any] | None = None


_here = _Here()


class Driver:
    """A simulated GPU. `launches` counts what was launched; without `check` neither races nor bounds are looked for."""

    def __init__(self, index: int = 0) -> None:
        self.index, self.name = index, f"Simulated {index}"
        self.block, self.blocks = _setting("BLOCK", 8), _setting("BLOCKS", 3)
        self.warp = min(self.block, WARP)
        self.launches, self.check = 0, True
        self._total, self._used, self._next = _setting("MEMORY", MEMORY), 0, ALIGNED << 20
        self._lock = threading.RLock()
        self._handles = 0
        self.first = self.stream()

    # Streams.

    def current(self) -> Stream:
        """The stream of this thread: that of the innermost `with stream:`, else one that all threads share."""
        return _here.streams.get(self.index, self.first)

    def use(self, stream: Stream | None) -> Stream | None:
        """Make a stream the current one of this thread; returns the one that was chosen before, None if none was."""
        others = {index: each for index, each in _here.streams.items() if index != self.index}
        before = _here.streams.get(self.index)
        _here.streams = others if stream is None else {**others, self.index: stream}
        return before

    def queue(self) -> Any:
        """What tells memory that the current stream may use again from that of other streams."""
        return self.current().handle

    def stream(self, priority: int | None = None) -> Stream:
        """A new stream."""
        with self._lock:
            self._handles += 1
            return Stream(self, self._handles)

    def event(self) -> Event:
        """A new event."""
        return Event(self)

    def capture(self, function: Callable[[], Any]) -> Graph:
        """The launches and copies within the device that `function` makes, without doing them, as a graph that repeats them."""
        return Graph(self, function)

    def recorded(self, function: Callable[[], Any]) -> list[Any]:
        """What `function` launches and copies, which is not done."""
        outer, _here.work = _here.work, []
        try:
            function()
            return _here.work
        finally:
            _here.work = outer

    def synchronize(self) -> None:
        """Wait for all work, which is done."""
        if _here.work is not None:
            raise RuntimeError("nothing can wait for the device while a graph is captured: do that before or after")

    # Memory.

    def allocate(self, nbytes: int) -> Buffer:
        """Memory, which holds nothing yet; `MemoryError` if there is no more."""
        with self._lock:
            if nbytes > self._total - self._used:
                raise MemoryError(
                    f"{self.name}: memory of {nbytes} bytes, and {self._total - self._used} of {self._total} are free"
                )
            self._used += nbytes
            address, self._next = self._next, self._next + -(-max(nbytes, 1) // ALIGNED) * ALIGNED
        return Buffer(self, address, nbytes)

    def give_back(self, buffer: Buffer) -> None:
        with self._lock:
            buffer.bytes(0, 0)
            buffer.freed, buffer.array = True, buffer.array[:0].copy()
            self._used -= buffer.nbytes

    def pinned(self, nbytes: int) -> np.ndarray:
        """Bytes of the host."""
        return np.empty(nbytes, np.uint8)

    def upload(self, buffer: Buffer, offset: int, array: np.ndarray) -> None:
        """Put an array, whose elements are in order, into a buffer from a byte on."""
        _not_recording()
        buffer.bytes(offset, array.nbytes)[:] = _bytes(array)

    def download(self, buffer: Buffer, offset: int, array: np.ndarray) -> None:
        """Fill an array, whose elements are in order, from a buffer."""
        _not_recording()
        _bytes(array)[:] = buffer.bytes(offset, array.nbytes)

    def copy(self, target: Buffer, target_offset: int, source: Buffer, source_offset: int, nbytes: int) -> None:
        """Bytes from one buffer into another."""
        self._do(_copy, target, target_offset, source, source_offset, nbytes)

    def memory(self) -> tuple[int, int]:
        """The bytes that are free, and all that there are."""
        return self._total - self._used, self._total

    def trim(self) -> None:
        """Give memory back that was freed, as it was."""

    # Kernels.

    def load(self, kernel: Kernel) -> Loaded:
        """The kernel, made ready."""
        made(kernel, self.check)
        return Loaded(kernel)

    def launch(self, loaded: Loaded, grid: int, arguments: Sequence[Any]) -> None:
        """Run a kernel with `grid` blocks. A pointer is a buffer, or a buffer and a number of bytes into it."""
        if grid < 1:
            raise RuntimeError(f"a launch with {grid} blocks: at least one is needed")
        self._do(self._run, loaded.kernel, grid, tuple(arguments))

    def product(self, x: Any, y: Any, out: Any) -> bool:
        """Whether a library of the device did a product of matrices: there is none."""
        return False

    def _run(self, kernel: Kernel, grid: int, arguments: Sequence[Any]) -> None:
        given = [_memory(x, type) if type[0] == "*" else x for x, type in zip(arguments, kernel.types)]
        self.launches += 1
        run(kernel, grid, [*given, *arguments[len(given) :]], self.check)

    def _do(self, do: Callable[..., None], *arguments: Any) -> None:
        if _here.work is None:
            do(*arguments)
        else:
            _here.work.append((do, arguments))


def _copy(target: Buffer, target_offset: int, source: Buffer, source_offset: int, nbytes: int) -> None:
    target.bytes(target_offset, nbytes)[:] = source.bytes(source_offset, nbytes)


def _memory(pointer: Any, type: str) -> np.ndarray:
    """From where a pointer points to the end of what its buffer is used for, as the type that it has for a kernel."""
    buffer, offset = pointer if isinstance(pointer, tuple) else (pointer, 0)
    if not isinstance(buffer, Buffer):
        raise TypeError(f"a kernel takes memory for {type}, a buffer or (buffer, bytes into it), not {pointer!r:.80}")
    size = np.dtype(type[1:].replace("boolean", "bool")).itemsize
    if offset % size:
        raise ValueError(f"byte {offset} of {buffer!r} for {type}: its address has to be a multiple of {size}")
    found = buffer.bytes(offset, max(buffer.used - offset, 0) // size * size)
    return found.view(type[1:].replace("boolean", "bool"))


def _bytes(array: np.ndarray) -> np.ndarray:
    if not array.flags.c_contiguous:
        raise ValueError("the elements of the array are not in order: use np.ascontiguousarray(array)")
    return array.reshape(-1).view(np.uint8)


def _not_recording() -> None:
    if _here.work is not None:
        raise RuntimeError("a graph holds launches and copies within the device: bring data there before, and back after it")


def _setting(name: str, default: int) -> int:
    return int(os.environ.get(f"JITGRAD_CUDA_{name}", default))
