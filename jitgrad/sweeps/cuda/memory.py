"""Memory of a device: buffers that are kept when nobody refers to them any more, and given out again.

Sizes are rounded up, so that a freed buffer fits the next request of about its size, and addresses recur. What is freed is used
again only by work that is put into the same queue, behind the work that used it before; where there are several queues, behind
what all of them had to do by then, since any may have used it.
"""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SMALLEST, LARGE = 512, 1 << 20


def rounded(nbytes: int) -> int:
    """The size of the buffer for a request, in bytes: an eighth more at most beyond small ones."""
    if nbytes <= SMALLEST:
        return SMALLEST
    step = 1 << max(9, nbytes.bit_length() - 4)
    return -(-nbytes // step) * step


class Memory:
    """A buffer that goes back to its pool when nobody refers to it."""

    __slots__ = ("__weakref__", "nbytes", "pool", "raw")

    def __init__(self, pool: Pool, raw: Any, nbytes: int) -> None:
        self.pool, self.raw, self.nbytes = pool, raw, nbytes

    def __del__(self) -> None:
        self.pool.take_back(self.raw, self.nbytes)


class Pool:
    """The buffers of one device, by their size. `let_go` is asked, where there is no more, to give up what is kept elsewhere."""

    def __init__(self, driver: Any, let_go: Callable[[], None] = lambda: None) -> None:
        self.driver, self.let_go = driver, let_go
        self.in_use = self.reserved = self.most_in_use = 0
        self._spare: dict[tuple[Any, int], list[tuple[Any, list[Any]]]] = defaultdict(list)  # with the events to wait for
        self._streams: dict[Any, Any] = {}  # all that ever asked for memory, by their queue
        self.streams = 1  # how many these are
        self._kept = threading.local()
        self._lock = threading.RLock()  # a buffer may be freed while one is given out

    def allocate(self, nbytes: int) -> Memory:
        """A buffer of at least so many bytes; `MemoryError` with the sizes where the device has no more."""
        size, queue = rounded(nbytes), self.driver.queue()
        with self._lock:
            if queue not in self._streams:
                self._streams[queue] = self.driver.current()
                self.streams = len(self._streams)
            spare = self._spare.get((queue, size))
            raw, events = spare.pop() if spare else (self._fresh(size), ())
            self.in_use += size
            self.most_in_use = max(self.most_in_use, self.in_use)
        for event in events:
            self.driver.current().wait(event)
        raw.used = nbytes
        memory = Memory(self, raw, size)
        kept = getattr(self._kept, "list", None)
        if kept is not None:
            kept.append(memory)
        return memory

    def _fresh(self, size: int) -> Any:
        try:
            raw = self.driver.allocate(size)
        except MemoryError:
            self.empty()
            try:
                raw = self.driver.allocate(size)
            except MemoryError:
                free, total = self.driver.memory()
                raise MemoryError(
                    f"{self.driver.name} has no {_shown(size)} left: {_shown(self.in_use)} of its {_shown(total)} are in use by "
                    f"tensors and programs, {_shown(free)} are free: use smaller batches, or let go of tensors"
                ) from None
        self.reserved += size
        raw.queue = self.driver.queue()
        return raw

    def take_back(self, raw: Any, size: int) -> None:
        """Keep a buffer for the next request; at the end of the process the driver frees all."""
        if sys.is_finalizing():
            return
        with self._lock:
            self.in_use -= size
            events = [stream.record() for queue, stream in self._streams.items() if queue != raw.queue]
            self._spare[raw.queue, size].append((raw, events))

    @contextmanager
    def keeping(self) -> Iterator[list[Memory]]:
        """A list of all buffers that this thread is given meanwhile, which keeps them from being given to anybody else."""
        kept: list[Memory] = []
        was = getattr(self._kept, "list", None)
        self._kept.list = kept
        try:
            yield kept
        finally:
            self._kept.list = was

    def empty(self) -> None:
        """Give all buffers that are kept back to the device."""
        self.let_go()
        with self._lock:
            spare, self._spare = self._spare, defaultdict(list)
            self.driver.synchronize()
            for (_, size), buffers in spare.items():
                for raw, _ in buffers:
                    raw.free()
                    self.reserved -= size


def _shown(nbytes: int) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.4g} {unit}"
        nbytes /= 1024  # type: ignore[assignment]
    return f"{nbytes:.4g} GiB"
