"""Functions with the signatures that SciPy calls, around an exported one, for `scipy.LowLevelCallable`.

The signatures are those of SciPy's documentation of `scipy.integrate.quad`, `scipy.ndimage.generic_filter` and
`generic_filter1d`. An integrand can report no error, so for another number of values than the function takes it is nan.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jitgrad.sweeps.code.compile import compile_text
from jitgrad.sweeps.llvm.wrapped import Value

_DOUBLE, _POINTER, _SIZE = ctypes.c_double, ctypes.POINTER(ctypes.c_double), ctypes.c_ssize_t


class _Signature(NamedTuple):
    """A C signature: for ctypes, and in LLVM text what is given, whether it fits (%fits), and what to return otherwise."""

    result: Any
    arguments: tuple
    given: str
    fits: str
    otherwise: str


_NUMBER = _Signature(_DOUBLE, (_DOUBLE,), "double %x", "%fits = icmp eq i32 0, 0", "double 0x7FF8000000000000")
_NUMBERS = _Signature(
    _DOUBLE, (ctypes.c_int, _POINTER), "i32 %n, ptr %x", "%fits = icmp eq i32 %n, {inputs}", "double 0x7FF8000000000000"
)
_FILTER = _Signature(
    ctypes.c_int,
    (_POINTER, _SIZE, _POINTER, ctypes.c_void_p),
    "ptr %x, i64 %n, ptr %out, ptr %data",
    "%fits = icmp eq i64 %n, {inputs}",
    "i32 0",
)
_FILTER1D = _Signature(
    ctypes.c_int,
    (_POINTER, _SIZE, _POINTER, _SIZE, ctypes.c_void_p),
    "ptr %x, i64 %n, ptr %out, i64 %m, ptr %data",
    "%fits.in = icmp eq i64 %n, {inputs}\n  %fits.out = icmp eq i64 %m, {outputs}\n  %fits = and i1 %fits.in, %fits.out",
    "i32 0",
)
USES = {"integrate": (_NUMBERS, 0), "generic_filter": (_FILTER, 0), "generic_filter1d": (_FILTER1D, 1)}
"""For each use, its signature and the dimensions of the result."""


def adapter(name: str, inputs: Sequence[Value], outputs: Sequence[Value], address: int, use: str) -> Any:
    """The function for that use as one of ctypes; `TypeError` if the exported function does not fit."""
    if use not in USES:
        raise ValueError(f"use must be one of {', '.join(USES)}, not {use!r}")
    signature, ndim = USES[use]
    numbers = use == "integrate" and len(inputs) > 0 and all(v.shape == () for v in inputs)
    array = len(inputs) == 1 and len(inputs[0].shape) == 1
    floats = all(v.dtype == np.float64 for v in [*inputs, *outputs])
    if not floats or not (numbers or array) or len(outputs) != 1 or len(outputs[0].shape) != ndim:
        wanted = "one 1-d array" + (", or numbers, " if use == "integrate" else " ")
        raise TypeError(
            f"for {use}, {name} must take {wanted}to one {'1-d array' if ndim else 'number'}, all float64; "
            "compile a function of that kind"
        )
    if numbers and len(inputs) == 1:
        signature = _NUMBER
    kernel = compile_text(_text(signature, inputs, outputs, numbers), "adapter", symbols={"jitgrad_adapted": address})
    function: Any = ctypes.CFUNCTYPE(signature.result, *signature.arguments)(kernel.address)
    function.argtypes = signature.arguments
    function.kernel = kernel  # which lives as long
    return function


def _text(signature: _Signature, inputs: Sequence[Value], outputs: Sequence[Value], numbers: bool) -> str:
    count = len(inputs) if numbers else inputs[0].shape[0]
    sizes = {"inputs": count, "outputs": outputs[0].shape[0] if outputs[0].shape else 1}
    loads, passed = [], ["ptr %x"]
    if numbers:
        passed = [f"double %x{i}" for i in range(count)]
        loads = [f"  %at{i} = getelementptr double, ptr %x, i64 {i}\n  %x{i} = load double, ptr %at{i}" for i in range(count)]
    if signature is _NUMBER:
        passed, loads = ["double %x"], []
    returns_number = signature.result is _DOUBLE
    out = "  %out = alloca double" if returns_number else ""
    done = "  %found = load double, ptr %out\n  ret double %found" if returns_number else "  ret i32 1"
    types = ", ".join([p.split()[0] for p in passed] + ["ptr"])
    return "\n".join(
        [
            f"declare i32 @jitgrad_adapted({types})",
            "",
            f"define {'double' if returns_number else 'i32'} @adapter({signature.given}) {{",
            "entry:",
            out,
            "  " + signature.fits.format(**sizes),
            "  br i1 %fits, label %run, label %otherwise",
            "run:",
            *loads,
            f"  %status = call i32 @jitgrad_adapted({', '.join(passed)}, ptr %out)",
            "  %good = icmp eq i32 %status, 0",
            "  br i1 %good, label %done, label %otherwise",
            "done:",
            done,
            "otherwise:",
            f"  ret {signature.otherwise}",
            "}",
            "",
        ]
    )
