"""A few threads that share the chunks of large nests.

Machine code lets go of Python's lock, so plain Python threads are enough. They start with the first large nest, wait
idle, and end with the process; after a fork the child starts its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from jitgrad.base import locks

_count: int | None = None


class _State:
    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[_Share] = queue.SimpleQueue()
        self.started = 0  # threads that take shares from there


_state = _State()


def get_num_threads() -> int:
    """How many threads the machine code of one call may use.

    The cores that this process may run on, or the number in the environment variable JITGRAD_NUM_THREADS, until
    `set_num_threads` changes it.

    >>> import jitgrad
    >>> jitgrad.get_num_threads() >= 1
    True
    """
    if _count is not None:
        return _count
    given = os.environ.get("JITGRAD_NUM_THREADS", "")
    return max(int(given), 1) if given.isdecimal() else _cores()


def set_num_threads(count: int) -> None:
    """Let the machine code of one call use up to `count` threads from now on, in the whole process.

    Results do not depend on it: large arrays are cut in the same way for any number of threads. Raises `TypeError` for
    what is not an int, and `RuntimeError` for a number below 1, as PyTorch does. BLAS has threads of its own, which
    this does not change.

    >>> import jitgrad
    >>> jitgrad.set_num_threads(1)
    >>> jitgrad.get_num_threads()
    1
    """
    global _count
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"set_num_threads takes an int, not {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads takes a positive number, not {count}")
    _count = count


def run_chunks(call: Callable, kernel: Any, chunks: int, arguments: tuple) -> None:
    """Run all chunks of a nest, shared out between the threads, then put them together."""
    workers = min(get_num_threads(), chunks)
    ends = [chunks * i // workers for i in range(workers + 1)]
    given: list[_Share] = []
    try:
        for a, b in itertools.pairwise(ends[1:]):
            _give(_Share(call, kernel, (*arguments, a, b)), given)
        call(kernel.address, *arguments, 0, ends[1])
    finally:  # their memory is ours to give back only when they are done
        _wait(given)
    call(kernel.address, *arguments, chunks, chunks)


class _Share:
    """Some chunks of a nest. It keeps alive what it runs on, for an interrupt may come before it is known as given."""

    __slots__ = ("_call", "arguments", "done", "failed", "finished", "kernel")

    def __init__(self, call: Callable, kernel: Any, arguments: tuple) -> None:
        self._call, self.kernel, self.arguments = call, kernel, arguments
        self.failed: BaseException | None = None
        self.finished = False
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        try:
            self._call(self.kernel.address, *self.arguments)
        except BaseException as error:
            self.failed = error
        finally:
            self.finished = True
            self.done.release()


def _give(share: _Share, given: list[_Share]) -> None:
    """Put a share before the threads, or run it where there are none. A signal handler may come in here and do the same:
    putting into the queue is one step, and no lock is held that it would wait for."""
    if _state.started < get_num_threads() - 1:
        with locks.workers, contextlib.suppress(RuntimeError):  # no thread to be had, or the interpreter is about to end
            threading.Thread(target=_work, args=(_state.waiting,), name="jitgrad", daemon=True).start()
            _state.started += 1
    if _state.started:
        _state.waiting.put(share)
        given.append(share)
    else:
        share.run()


def _work(waiting: queue.SimpleQueue) -> None:
    while True:
        waiting.get().run()


def _wait(given: list[_Share]) -> None:
    """Wait, through interrupts, which are raised when the work is done."""
    interrupted: BaseException | None = None
    for share in given:
        while not share.finished:
            try:
                share.done.acquire()
            except BaseException as error:  # of a signal handler
                interrupted = error
        interrupted = interrupted or share.failed
    if interrupted is not None:
        raise interrupted


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.__init__)  # type: ignore[misc]
