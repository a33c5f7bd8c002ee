"""Matrix products by NVIDIA's cuBLAS, which is called through ctypes where `cuda.pathfinder` finds it.

cuBLAS takes matrices to be stored column by column. What is stored row by row is the transpose of that, so a product is asked for
with its operands exchanged: (a b)^T = b^T a^T. Sums of float16 and bfloat16 are held as float32.
"""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from jitgrad.base.locks import once

if TYPE_CHECKING:
    from jitgrad.sweeps.cuda.buffers import Buffer
    from jitgrad.sweeps.cuda.driver import Driver

__all__ = ["Matrix", "NotInOrder", "available", "matmul", "product"]

TYPES = {"float32": (0, 4), "float64": (1, 8), "float16": (2, 2), "bfloat16": (14, 2)}
"""cuBLAS's number for a dtype (cudaDataType_t), and the bytes of an element."""
COMPUTE_32F, COMPUTE_64F = 68, 70
AS_IT_IS, TRANSPOSED = 0, 1
DEFAULT_ALGORITHM = -1

_handles = threading.local()
"""cuBLAS's states, by the device: of each thread, since a handle has one stream."""


class NotInOrder(ValueError):
    """Matrices that cuBLAS does not take as they lie."""


class Matrix(NamedTuple):
    """Matrices in a buffer: where the first begins, in elements, and the elements from one matrix, row and column to the next."""

    buffer: Buffer
    offset: int
    steps: tuple[int, int, int]


def available() -> bool:
    """Whether cuBLAS is there."""
    return library() is not None


@once
def library() -> Any:
    """cuBLAS, or None."""
    try:
        from cuda import pathfinder
    except ImportError:
        return None
    try:
        return declared(ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path))
    except (pathfinder.DynamicLibNotFoundError, OSError, AttributeError):  # it is not there, or older than CUDA 12
        return None


def declared(found: Any) -> Any:
    """The library with the types of the functions that are used."""
    pointer, number, count = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    operand = [pointer, number, count, count]
    product = [
        pointer,
        number,
        number,
        count,
        count,
        count,
        pointer,
        *operand,
        *operand,
        pointer,
        *operand,
        count,
        number,
        number,
    ]
    for name, arguments in (
        ("cublasCreate_v2", [pointer]),
        ("cublasSetStream_v2", [pointer, pointer]),
        ("cublasGemmStridedBatchedEx_64", product),
    ):
        getattr(found, name).argtypes = arguments
    found.cublasGetStatusString.argtypes, found.cublasGetStatusString.restype = [number], ctypes.c_char_p
    return found


def product(driver: Driver, x: Any, y: Any, out: Any) -> bool:
    """Whether the products of two stacks of matrices, arrays of the device, were put into a third.

    They are where cuBLAS is, for dtypes that it has, if the rows or the columns are in order.
    """
    if out.dtype.name not in TYPES or not available():
        return False
    try:
        a, b, c = [Matrix(each.buffer.raw, each.offset, each.layout.strides) for each in (x, y, out)]
        matmul(driver, out.dtype.name, (*x.shape, y.shape[2]), a, b, c)
    except NotInOrder:
        return False
    return True


def matmul(driver: Driver, dtype: str, sizes: tuple[int, int, int, int], a: Matrix, b: Matrix, c: Matrix) -> None:
    """c = a b for each of a batch, in the current stream; `sizes` are the batch, m, k and n of (m, k) by (k, n).

    The rows of each operand or its columns must be in order, those of c its rows; else it is `NotInOrder`, and a copy helps.
    """
    batch, m, k, n = sizes
    if not (batch and m and n):
        return
    kind, itemsize = TYPES[dtype]
    right, left = _operand(b, "second", itemsize, k, n), _operand(a, "first", itemsize, m, k)
    out = _operand(c, "resulting", itemsize, m, n)
    if out.transposed:
        raise NotInOrder(f"the rows of a product are in order, and these have steps {c.steps}")
    number, compute = (ctypes.c_double, COMPUTE_64F) if dtype == "float64" else (ctypes.c_float, COMPUTE_32F)
    one, zero = number(1), number(0)
    shape = right.transposed, left.transposed, n, m, k
    operands = [(each.address, kind, each.lead, each.step) for each in (right, left, out)]
    factors = ctypes.addressof(one), ctypes.addressof(zero)
    driver.enter()
    multiply, handle = library().cublasGemmStridedBatchedEx_64, _handle(driver)
    last = batch, compute, DEFAULT_ALGORITHM
    _checked(multiply(handle, *shape, factors[0], *operands[0], *operands[1], factors[1], *operands[2], *last))


class _Operand(NamedTuple):
    """A matrix as cuBLAS takes it: `lead` elements from one line to the next, `step` from one matrix to the next."""

    transposed: int
    address: int
    lead: int
    step: int


def _operand(x: Matrix, which: str, itemsize: int, rows: int, columns: int) -> _Operand:
    batch, row, column = x.steps
    address = x.buffer.address + x.offset * itemsize
    if (column == 1 or columns == 1) and (row >= columns or rows == 1):
        return _Operand(AS_IT_IS, address, max(row, columns, 1), batch)
    if (row == 1 or rows == 1) and (column >= rows or columns == 1):
        return _Operand(TRANSPOSED, address, max(column, rows, 1), batch)
    raise NotInOrder(f"neither rows nor columns of the {which} matrix ({rows}, {columns}) are in order: its steps are {x.steps}")


def _handle(driver: Driver) -> int:
    """cuBLAS's state of this thread for a device, set to its current stream."""
    states = _handles.__dict__.setdefault("states", {})
    handle = states.get(driver.index)
    if handle is None:
        made = ctypes.c_void_p()
        _checked(library().cublasCreate_v2(ctypes.addressof(made)))
        handle = states[driver.index] = made.value
    _checked(library().cublasSetStream_v2(handle, driver.current().handle))
    return handle


def _checked(status: int) -> None:
    if status:
        raise RuntimeError(f"cuBLAS: {library().cublasGetStatusString(status).decode()} ({status})")
