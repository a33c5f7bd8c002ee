"""A few threads that share the chunks of large nests.

Machine code lets go of Python's lock, so plain Python threads are enough. They start with the first large nest, wait
idle, and end with the process; after a fork the child starts its own.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_count: int | None = None


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
    global _count, _pool
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"set_num_threads takes an int, not {type(count).__name__}")
    if count < 1:
        raise RuntimeError(f"set_num_threads takes a positive number, not {count}")
    with _lock:
        _count = count
        old, _pool = _pool, None
    if old is not None:
        old.shutdown(wait=False)  # what it was given it still does


def run_chunks(call: Callable, address: int, chunks: int, arguments: tuple) -> None:
    """Run all chunks of a nest, shared out between the threads, then put them together."""
    workers = min(get_num_threads(), chunks)
    ends = [chunks * i // workers for i in range(workers + 1)]
    started: list[Future] = []
    try:
        for a, b in itertools.pairwise(ends[1:]):
            started.append(_submit(call, address, *arguments, a, b))
        call(address, *arguments, 0, ends[1])
    finally:  # their memory is ours to give back only when they are done
        for future in started:
            _wait(future)
    call(address, *arguments, chunks, chunks)


def _submit(*work: Any) -> Future:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(get_num_threads(), thread_name_prefix="jitgrad")
        try:
            return _pool.submit(*work)
        except RuntimeError:  # no thread to be had, or the interpreter is about to end
            done: Future = Future()
            done.set_result(work[0](*work[1:]))
            return done


def _wait(future: Future) -> None:
    """Wait, through interrupts, which are raised when the work is done."""
    interrupted: BaseException | None = None
    while not future.done():
        try:
            future.exception()
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
    future.result()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _after_fork() -> None:
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
