"""Which rows machine code can compute, taken one by one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jitgrad.dtypes import ALL, is_floating
from jitgrad.ops.linalg import matmul
from jitgrad.sweeps.plan.indexing import is_indexed, why_not_indexed
from jitgrad.sweeps.plan.layouts import is_number, stand_in
from jitgrad.tape.row import ITEM, Row

NATIVE_DTYPES = frozenset(d.numpy for d in ALL.values() if d.machine)
BOOL = np.dtype("bool")
WHOLE_POWERS = (0, 1, 2, 3, 4)
_BY_TYPE = ("nextafter(x, y)",)


class Target(NamedTuple):
    """What rows are compiled to: machine code, or what else has its limits."""

    dtypes: frozenset[np.dtype] = NATIVE_DTYPES
    largest_product: float = 1 << 17
    """Multiplications up to which a product of matrices is done by our own loops, which need no call; then by BLAS."""
    largest_matrix: float = 16
    """Up to which dimension matrices are factored by our own loops, which need no call; then by LAPACK."""
    calls: bool = True
    """Whether what is computed in one go, from memory, is part of the code; else something else runs such rows between."""
    bools: bool = False
    """Whether any kernel takes bools, as the numbers 0 and 1."""
    lookups: bool = False
    """Whether a loop among whose rows elements are looked up at indices does so in passing."""


MACHINE_CODE = Target(lookups=True)
ALONE = Target(largest_product=math.inf, largest_matrix=math.inf, lookups=True)
"""Machine code that nothing else stands by."""
WITHOUT_HALVES = Target(dtypes=NATIVE_DTYPES - {np.dtype("float16")})
"""What Numba compiles, which has no float16."""
GPU = Target(frozenset(d.numpy for d in ALL.values() if not d.is_complex), calls=False, bools=True)
"""Kernels of a GPU, beside which there are those that are written by hand."""


def why_no_kernel(row: Row, target: Target) -> str:
    """Why NumPy runs a row ("" if the target can)."""
    if row.op.loops is not None:
        return _why_not_loops(row, target)
    if row.op.several:
        return f"{row.op.kind} is left to NumPy"
    if not target.calls and (row.op is matmul or row.op.running is not None or is_indexed(row)):
        return "it has a kernel of its own"
    for dtype in (row.dtype, *(x.dtype for x in row.inputs)):
        if dtype is not None and dtype not in target.dtypes:
            return f"no kernel for {dtype.name}"
        if dtype is not None and dtype.itemsize == 2 and is_floating(dtype) and row.op.kernel in _BY_TYPE:
            return f"its kernel, which is computed in float32, is another function in {dtype.name}"
    if row.op.fold is not None:
        return "" if row.dtype != BOOL or target.bools else f"no kernel for {row.dtype.name}"
    if row.op is matmul:
        return _why_not_product(row, target.largest_product)
    if row.op.running is not None:
        return _why_not_running(row)
    if is_indexed(row):
        return why_not_indexed(row) if row.dtype != BOOL else f"no indexing of {row.dtype.name}"
    if row.op.parts is not None:
        return _why_not_parts(row)
    if row.op.scalar is not None and not target.calls:
        return "it is @njit code of the user's, which is compiled for the CPU"
    if not row.op.elementwise or row.op.kernel is None:
        return "no kernel expression" if row.op.elementwise else f"{row.op.kind} is left to NumPy"
    if row.inputs[-1].dtype == BOOL and "b" not in row.op.also and not target.bools:
        return "no kernel for bool"
    return "" if is_floating(row.dtype) or row.op.result == "bool" or _takes_whole_numbers(row) else "no integer kernel"


def _takes_whole_numbers(row: Row) -> bool:
    """Whether the kernel of a row is right for integers."""
    return "i" in row.op.also or (row.op.kernel == "power(x, exponent)" and row.params["exponent"] in WHOLE_POWERS)


def is_call(row: Row) -> bool:
    """Whether machine code computes a row in one go, from memory: a product, a running sum, a result of a loop, an element at an
    index, what becomes of matrices."""
    return row.op in (matmul, ITEM) or row.op.running is not None or row.op.loops is not None or is_indexed(row)


def _why_not_loops(row: Row, target: Target) -> str:
    if not target.calls:
        return f"{row.op.kind} is left to NumPy"
    for x in row.inputs:
        if x.dtype.name not in ("float32", "float64") and not (x.dtype.name == "int32" and "i" in row.op.also):
            return f"no matrices of {x.dtype.name}"
        if max(x.shape[-2:]) > target.largest_matrix:
            return "matrices of this size are left to LAPACK"
    return ""


def _why_not_product(row: Row, largest: float) -> str:
    if row.dtype.name not in ("float32", "float64"):
        return f"no product of {row.dtype.name} matrices"
    if math.prod(row.shape) * row.inputs[0].shape[-1] > largest:
        return "a product of this size is left to BLAS"
    return "" if math.prod(row.shape) != 1 else "a product of one element"


def _why_not_running(row: Row) -> str:
    if row.dtype == BOOL or (len(row.op.running.start) > 1 and row.inputs[0].dtype == BOOL):
        return "no running result of bool"
    return "no running result of one number" if is_number(row) else ""


def _why_not_parts(row: Row) -> str:
    if any(x.dtype != row.dtype for x in row.inputs):
        return f"{row.op.kind} of {row.dtype.name} is left to NumPy"
    parts = row.op.parts(stand_in(row.shape), *row.inputs, **row.params) if row.op.parts else None
    if parts is None or is_number(row):
        return f"{row.op.kind} is left to NumPy"
    alike = all(value is None or value.shape == where.shape for value, where, _ in parts)
    return "" if alike else "the value is broadcast"
