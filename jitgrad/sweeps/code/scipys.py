"""The C interface to LAPACK and BLAS that SciPy has for Cython: addresses of routines, for machine code that calls them."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

PREFIX = "scipy_"
"""What symbols of SciPy's routines begin with: `scipy_dpotrf` is `dpotrf`."""


@cache
def routines() -> dict[str, Any]:
    """The routines in capsules, by name; none where there is no SciPy."""
    try:
        from scipy.linalg import cython_blas, cython_lapack
    except ImportError:
        return {}
    return cython_blas.__pyx_capi__ | cython_lapack.__pyx_capi__


def address_of(symbol: str) -> int | None:
    """The address of the routine of that symbol; None where there is no SciPy."""
    capsule = routines().get(symbol.removeprefix(PREFIX))
    if capsule is None:
        return None
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, name(capsule))
