"""Work beside the program: one thread at a time, there only while there is something to do.

At the exit of the program what has been begun is finished, and nothing more is begun. After a fork the child has
neither the thread nor what was waiting.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from jitgrad.base import locks


class Job(NamedTuple):
    """Something to do, and what it is called where it fails."""

    what: str
    do: Callable[[], object]


class _State:
    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.worker: threading.Thread | None = None


state = _State()
forgotten: list[Callable[[], None]] = []
"""What is called in the child after a fork: jobs that were waiting there will not be done."""


def submit(what: str, do: Callable[[], object]) -> bool:
    """Have `do()` called in the background; if it fails, a RuntimeWarning says so and that things stay as they were.

    False if there is no thread to be had, or the interpreter is about to end: then it is not called.
    """
    with locks.jobs:
        state.jobs.append(Job(what, do))
        if state.worker is not None:
            return True
        worker = threading.Thread(target=_work, name="jitgrad in the background")
        try:
            state.worker = worker
            worker.start()
        except RuntimeError:
            state.jobs.clear()
            return False
        finally:  # an interrupt may come before it has begun
            if not worker.is_alive() and state.worker is worker:
                state.worker = None
    return True


def drop() -> None:
    """Forget what has not been begun."""
    state.jobs.clear()


def wait() -> None:
    """Wait until all that was submitted is done."""
    worker = state.worker
    if worker is not None:
        worker.join()


def _work() -> None:
    this = threading.current_thread()
    while True:
        with locks.jobs:
            if not state.jobs or not threading.main_thread().is_alive():
                if state.worker is this:
                    state.worker = None
                return
            job = state.jobs.popleft()
        try:
            job.do()
        except Exception as error:
            warnings.warn(f"{job.what} could not be compiled and stays interpreted: {error!r}", RuntimeWarning, stacklevel=1)


def _after_fork() -> None:
    state.__init__()  # type: ignore[misc]
    for forget in forgotten:
        forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
