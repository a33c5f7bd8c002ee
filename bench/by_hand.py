"""Code written by hand for one workload: Numba functions, and C that is compiled when it is first needed."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.libraries import compiler

SOURCE = Path(__file__).parent / "c" / "by_hand.c"
FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")
_TYPES = {"f": ctypes.c_float, "d": ctypes.c_double, "n": ctypes.c_long, "*": ctypes.c_void_p}


def njit() -> Callable:
    """Numba's `njit`, with the freedom in floating point that the C code has, too."""
    import numba

    return numba.njit(fastmath=True, error_model="numpy")


def by_c(name: str, arguments: str, returns: str) -> Callable:
    """A function of `by_hand.c`, its types a letter each: f(loat), d(ouble), n (long), * (address)."""
    function = getattr(_compiled(), name)
    function.argtypes = [_TYPES[letter] for letter in arguments]
    function.restype = _TYPES[returns]
    return function


@functools.cache
def _compiled() -> ctypes.CDLL:
    found = compiler("cc")
    if found is None:
        raise FileNotFoundError("no C compiler found")
    with tempfile.TemporaryDirectory(prefix="bench-c-", ignore_cleanup_errors=True) as folder:
        library = Path(folder) / "by_hand.so"
        subprocess.run([found, *FLAGS, str(SOURCE), "-o", str(library), "-lm"], check=True)
        return ctypes.CDLL(str(library))
