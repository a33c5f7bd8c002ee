"""What a function must not do while `jit` records it, since it would be done once and its outcome be part of the tape.

What can be looked at again is, at every call: see `outside`. The rest is found out here: random numbers that are drawn,
iterators that are advanced and input() are errors; clocks, files and the operating system give a warning. The state of the
generators and iterators that the function can reach is compared; for everything else the calls of Python's own functions are
watched while the function runs. That takes a few times as long as recording, so it is done only where the function
reaches a library that could do such things.
"""

from __future__ import annotations

import datetime
import io
import operator
import os
import random
import sys
import time
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.base.signals import importing
from jitgrad.errors import FrozenValueWarning, TracedValueError
from jitgrad.record.trace import current_trace

if TYPE_CHECKING:
    from jitgrad.tracing.search import Search

_DRAWN = (
    "random numbers drawn inside a function under jit would be drawn once and then repeated at every call: draw them "
    "outside and pass them as an argument, or draw jitgrad's, with a generator that is an argument"
)
_ADVANCED = (
    "an iterator from outside that a function under jit advances would be advanced once, while it is recorded, and not "
    "at every call: take its items outside and pass them as arguments"
)
_ASKED = "input() inside a function under jit would ask once, while it is recorded: ask outside and pass the answer on"

_CLOCKS = (
    "time",
    "perf_counter",
    "monotonic",
    "process_time",
    "thread_time",
    "localtime",
    "gmtime",
    "ctime",
    "strftime",
    "clock_gettime",
)
_SYSTEM = (
    "getpid",
    "getppid",
    "getcwd",
    "listdir",
    "scandir",
    "stat",
    "lstat",
    "times",
    "getloadavg",
    "cpu_count",
    "open",
    "read",
)


def _calls() -> dict[Any, str]:
    """Python's own functions that do such things, and what they are."""
    named = [(time, name + end, "a clock") for name in _CLOCKS for end in ("", "_ns")]
    named += [(os, name, "the operating system") for name in _SYSTEM]
    named += [(os, name, _DRAWN) for name in ("urandom", "getrandom")]
    found = {getattr(module, name): what for module, name, what in named if hasattr(module, name)}
    return found | {open: "a file", input: _ASKED}


_CALLS = _calls()
_ENVIRONMENT = {getattr(type(os.environ), name).__code__ for name in ("__getitem__", "__iter__", "__len__")}
_FILES = (io.FileIO, io.BufferedReader, io.BufferedRandom, io.TextIOWrapper)
_SEED = random.Random.seed.__code__
_UNSEEN = frozenset(
    {
        "jitgrad",
        "kernels",
        "numba",
        "llvmlite",
        "importlib",
        "logging",
        "warnings",
        "linecache",
        "tokenize",
        "traceback",
        "inspect",
        "threading",
        "concurrent",
        "asyncio",
        "queue",
        "multiprocessing",
        "subprocess",
        "pytest",
        "_pytest",
        "hypothesis",
        "pdb",
        "bdb",
    }
)
"""Libraries that do such things for themselves: what they read does not become a part of what the function computes."""


class _Watcher:
    """What is called for every call while a function is recorded."""

    def __init__(self, search: Search, sources: list[Any], generators: list[Any], previous: Any) -> None:
        self._search, self._is_users, self._previous = search, search.is_users, previous
        self._environment = () if search.environment else _ENVIRONMENT
        self._randoms = {id(source) for source in sources if isinstance(source, random.Random)}
        self._codes = {generator.gi_code: generator for generator in generators}
        self._steps = {step.__code__: source for source in sources if (step := _written_step(source)) is not None}
        # RandomState(seed) draws a seed first that it does not use; without one it is found out when it is recorded again
        self._seeds = "RandomState" in search.values | search.called
        self._told: set[tuple[str, str, int]] = set()
        self.error: Exception | None = None

    def __call__(self, frame: types.FrameType, event: str, arg: Any) -> None:
        if self._previous is not None:
            self._previous(frame, event, arg)
        if event == "c_call":
            what = _CALLS.get(arg) or self._method(arg)
            if what is not None and not (self._seeds and arg is os.urandom):
                self._note(what, frame)
        elif event == "call":
            code = frame.f_code
            if code in self._environment:
                self._note("the environment", frame)
            elif code is _SEED and frame.f_locals.get("a") is None:
                self._note(_DRAWN, frame)
            elif code in self._codes and self._codes[code].gi_frame is frame:
                self.error = TracedValueError(_ADVANCED)  # raised in the end: here it would finish the generator
            elif code in self._steps and frame.f_locals.get(code.co_varnames[0]) is self._steps[code]:
                self._note(_ADVANCED, frame)

    def _method(self, function: Any) -> str | None:
        owner = getattr(function, "__self__", None)
        if id(owner) in self._randoms:
            return _DRAWN
        if isinstance(owner, _FILES) and function.__name__.startswith("read"):
            return "a file"
        if isinstance(owner, type) and issubclass(owner, datetime.date) and function.__name__ in ("now", "utcnow", "today"):
            return "a clock"
        return None

    def _note(self, what: str, frame: types.FrameType) -> None:
        """Raise or warn, if a function of the user asked for it, and not a signal handler in between."""
        if current_trace.get() is None:
            return
        at: types.FrameType | None = frame
        while at is not None and not self._is_users(at.f_globals):
            if str(at.f_globals.get("__name__")).split(".")[0].removeprefix("_frozen_") in _UNSEEN:
                return
            at = at.f_back
        if at is None:
            return
        if what in (_DRAWN, _ADVANCED, _ASKED):
            self.error = TracedValueError(what)
            raise self.error
        place = (what, at.f_code.co_filename, at.f_lineno)
        if place not in self._told:
            self._told.add(place)
            self._search.warned = True
            warnings.warn_explicit(
                f"{what} is read inside a function under jit, once, while it is recorded: what was read stays as it was at "
                "every call. Read it outside and pass it as an argument",
                FrozenValueWarning,
                at.f_code.co_filename,
                at.f_lineno,
                registry=at.f_globals.setdefault("__warningregistry__", {}),
            )


def _written_step(source: Any) -> types.FunctionType | None:
    """The `__next__` of an iterator, if that is written in Python."""
    step = getattr(type(source), "__next__", None)
    return step if isinstance(step, types.FunctionType) else None


@contextmanager
def watching(search: Search) -> Iterator[None]:
    """Raise `TracedValueError`, or warn, where what runs inside, which was searched, does what cannot be repeated."""
    generators = [x for x in search.sources if isinstance(x, types.GeneratorType)]
    with importing("numpy.random"):
        shared = [np.random.mtrand._rand, random._inst]
    others = [x for x in [*search.sources, *shared] if not isinstance(x, types.GeneratorType)]
    before = [_position(x) for x in others]
    previous = sys.getprofile()
    free = previous is None or callable(previous)  # a profiler that is no function cannot be put back
    watcher = _Watcher(search, others, generators, previous)
    try:
        if free:
            sys.setprofile(watcher)
        yield
    finally:
        if free:
            sys.setprofile(previous)
    if watcher.error is not None:  # which the function may have caught
        raise watcher.error
    for source, position in zip(others, before):
        if _position(source) != position:
            raise TracedValueError(_ADVANCED if isinstance(source, Iterator) else _DRAWN)


def _position(source: Any) -> Any:
    """Something that is another once a generator of random numbers or an iterator has given something."""
    if isinstance(source, random.Random):
        return None if isinstance(source, random.SystemRandom) else source.getstate()
    if isinstance(source, np.random.RandomState):
        return str(source.get_state())
    if not isinstance(source, Iterator) or _written_step(source) is not None:
        return str(getattr(getattr(source, "bit_generator", source), "state", None))
    try:
        return tuple([_part(x) for x in source.__reduce__()])
    except TypeError:
        pass
    try:
        return source.tell() if hasattr(source, "tell") else operator.length_hint(source, -1), repr(source)
    except OSError:  # a file that is read line by line does not say where it is
        return object()


def _part(x: Any) -> Any:
    if isinstance(x, Iterator):
        return _position(x)
    if isinstance(x, tuple):
        return tuple([_part(item) for item in x])
    return (type(x), x) if isinstance(x, int) else (type(x), len(x)) if isinstance(x, (list, str, bytes)) else id(x)
