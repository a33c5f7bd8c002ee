"""What threads, forks and signal handlers must not break: the locks of the library, and things that are made once.

A signal handler runs between any two steps of the main thread, also while that holds a lock, so all locks are reentrant.
A fork waits for all of them: the child has only the thread that forked, and would wait for ever for a lock that another one
held, or find half done what it guards. A lock that is taken while another is held stands behind that one here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import cache, update_wrapper
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")

gradients = threading.RLock()
"""Held while gradients are added: threads may share leaves."""
paths = threading.RLock()
"""Held while the list of the ways through a guarded function changes."""
structures = threading.RLock()
"""Held while it is looked up what is known of a reverse sweep."""
jobs = threading.RLock()
"""Held while jobs are put into the background, or taken from there."""
streams = threading.RLock()
"""Held while a generator of random numbers goes on: no two threads draw the same ones."""
compiling = threading.RLock()
"""One compilation at a time; whatever there must be only one of is made meanwhile."""
imports = threading.RLock()
"""Held while a module of jitgrad is imported that is not needed at first (`signals.importing`): a child that is forked in the
middle of an import would have half a module, and wait for the other half."""
disk = threading.RLock()
"""Held while the counts of the disk cache change."""
workers = threading.RLock()
"""Held while work is given to the threads that share the chunks of large nests."""

_in_order: list[AbstractContextManager[object]] = [gradients, paths, structures, jobs, streams, compiling, imports, disk, workers]
_taken: list[AbstractContextManager[object]] = []


def held_at_fork(other: AbstractContextManager[object] | None) -> None:
    """A fork also waits for this lock of somebody else, which is taken after ours: LLVM's, say, which is held by whoever is
    inside it (Numba, or a kernel that is released)."""
    if other is not None and other not in _in_order:
        _in_order.append(other)


def _before_fork() -> None:
    for each in _in_order:
        _taken.append(each)  # first, as an interrupt may come right after it is taken
        each.__enter__()


def _after_fork() -> None:
    while _taken:
        with suppress(RuntimeError):  # an interrupt came before it was taken
            _taken.pop().__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def once(function: Callable[..., T]) -> Callable[..., T]:
    """`functools.cache` for what there must be only one of, as others hold its address: threads that ask at the same time
    get the same, and so does a signal handler that asks while it is being made."""
    made: dict[tuple, T] = {}

    def found(*given: Any) -> T:
        with compiling:
            return made[given] if given in made else made.setdefault(given, function(*given))

    return cache(update_wrapper(found, function))


class lazily(Generic[T]):
    """`functools.cached_property` without its lock (which it has up to Python 3.11, one for all objects, and which a fork in
    another thread leaves shut). If threads ask at the same time, all get what the first of them stored."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.func = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: Any = None) -> lazily[T]: ...
    @overload
    def __get__(self, instance: object, owner: Any = None) -> T: ...
    def __get__(self, instance: object | None, owner: Any = None) -> Any:
        return self if instance is None else instance.__dict__.setdefault(self.name, self.func(instance))
