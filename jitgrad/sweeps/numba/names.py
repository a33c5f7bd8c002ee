"""The names that the written functions use: NumPy's and the kernels', and what Python's operators leave out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy import int32, int64

from jitgrad.dtypes import EXPORTED
from jitgrad.errors import LinAlgError, OutOfRangeError
from jitgrad.kernels.launch import _functions, njit_namespace
from jitgrad.ops import adjugates, elimination


@numba.njit
def whole_remainder(x, y):
    """0 where there is none."""
    return 0 * x if y == 0 or y == -1 else x % y


@numba.njit
def whole_quotient(x, y):
    """Rounded down; 0 where there is none."""
    if y == 0:
        return 0 * x
    return -x if y == -1 else x // y


@numba.njit
def towards_zero_32(x):
    """What NumPy makes of a float on x86: of nan, and of what is beyond, the smallest."""
    return int32(x) if abs(x) < 2147483648.0 else int32(-2147483648)


@numba.njit
def towards_zero_64(x):
    return int64(x) if abs(x) < 9223372036854775808.0 else int64(-9223372036854775808)


@numba.njit
def at(index, size):
    """The index counted from the start, if there is such an element."""
    if index < -size or index >= size:
        raise OutOfRangeError("index " + str(index) + " is out of bounds for a dimension of size " + str(size))
    return index + size if index < 0 else index


@numba.njit
def below(index, size):
    """The index, if there is such an element from the start."""
    if index < 0 or index >= size:
        raise OutOfRangeError("index " + str(index) + " is out of bounds for a dimension of size " + str(size))
    return index


@cache
def namespace() -> dict[str, Any]:
    """What the source needs to run: `exec(source, dict(namespace()))`."""
    own: tuple[Any, ...] = (whole_remainder, whole_quotient, towards_zero_32, towards_zero_64, at, below)
    matrices = _functions(elimination) | _functions(adjugates)
    for function in matrices.values():
        numba.extending.overload(function, strict=False, jit_options={"error_model": "numpy"})(_itself(function))
    own += tuple([numba.njit(error_model="numpy")(function) for function in matrices.values()])
    casts = {n: getattr(np, n) for n in EXPORTED if n != "bool"}
    names = {"np": np, "njit": numba.njit, "boolean": numba.boolean} | {f.__name__: f for f in own}
    return names | casts | njit_namespace() | {"LinAlgError": LinAlgError}


def _itself(function: Callable) -> Callable:
    """The typing of a function that Numba compiles as it stands, whatever it is given."""
    return lambda *types: function
