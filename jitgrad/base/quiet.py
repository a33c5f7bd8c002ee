"""NumPy without its floating-point warnings: inf and nan are values here, as in PyTorch."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np


class _Quiet(threading.local):
    """`run(function, *args)` with NumPy's floating-point warnings off: inf and nan are values here, as in PyTorch.

    Entering a prepared context costs a few nanoseconds where `np.errstate` costs a microsecond. It is an empty one, in which
    nothing is being recorded. Nobody can enter it twice: signal handlers and finalizers, which may run between any two steps
    of an operation, need `again`.
    """

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


quiet = _Quiet()


def quietly(run: Callable, *args: Any, **params: Any) -> Any:
    """`quiet.run`, also inside of it."""
    try:
        return quiet.run(run, *args, **params)
    except RuntimeError:
        return again(run, *args, **params)


def again(run: Callable, *args: Any, **params: Any) -> Any:
    """What `quiet.run`, which has just raised a `RuntimeError`, should have given, if the reason was that we are inside of it;
    otherwise the error goes on."""
    try:
        quiet.run(bool)
    except RuntimeError:
        with np.errstate(all="ignore"):
            return run(*args, **params)
    raise
