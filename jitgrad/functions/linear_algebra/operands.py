"""What functions of matrices ask of their operands, and how these come to have equal leading dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.numeric import where
from jitgrad.functions.shaping import unsqueeze
from jitgrad.ops.movement import expand
from jitgrad.record.apply import apply
from jitgrad.record.checking import not_floating
from jitgrad.record.trace import made_here
from jitgrad.tensors.tensor import Tensor, wrap


def matrices(what: str, *tensors: Any, square: bool = False) -> None:
    """Check that operands are matrices of one floating or complex dtype, the first of them square if that is asked for."""
    floats(what, *tensors)
    for x in tensors:
        if x.ndim < 2:
            raise RuntimeError(
                f"linalg.{what}: a matrix has at least two dimensions, and a tensor has shape {list(x.shape)}: b[:, None] makes "
                "a column of a vector"
            )
    if square and tensors[0].shape[-1] != tensors[0].shape[-2]:
        raise RuntimeError(f"linalg.{what}: the matrices must be square, and their shape is {list(tensors[0].shape)}")


def floats(what: str, *tensors: Any) -> None:
    """Check that operands are tensors of one floating or complex dtype."""
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"linalg.{what} takes tensors, not {type(x).__name__}")
        if not x.dtype.has_gradient:
            raise not_floating(f"linalg.{what}", x.dtype)
    if len({x.dtype.name for x in tensors}) > 1:
        raise RuntimeError(
            f"linalg.{what}: the tensors must have one dtype, and theirs are {', '.join(x.dtype.name for x in tensors)}: convert "
            "with .to(dtype)"
        )


def is_vector(A: Tensor, B: Tensor) -> bool:
    """Whether a right-hand side is made of vectors: one, or one for each matrix."""
    return B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1]))


def together(what: str, *tensors: Tensor, ranks: tuple[int, ...] = (2, 2)) -> list[Tensor]:
    """The tensors with the dimensions before the last ones, as many as `ranks` says, broadcast together."""
    leads = [tuple(x.shape[: x.ndim - rank]) for x, rank in zip(tensors, ranks)]
    try:
        batch = np.broadcast_shapes(*leads)
    except ValueError:
        shapes = " and ".join(str(list(x.shape)) for x in tensors)
        raise RuntimeError(f"linalg.{what}: the batch dimensions of {shapes} do not broadcast") from None
    return [
        x if lead == batch else apply(expand, (x,), {"shape": (*batch, *x.shape[x.ndim - rank :])})
        for x, lead, rank in zip(tensors, leads, ranks)
    ]


def columns_of(B: Tensor, vector: bool) -> Tensor:
    """Vectors as matrices of one column."""
    return unsqueeze(B, -1) if vector else B


def identity(A: Tensor, rows: int, columns: int) -> Tensor:
    """Identity matrices of the dtype and with the leading dimensions of `A`."""
    return filled(np.broadcast_to(np.eye(rows, columns, dtype=A._held.dtype), (*A.shape[:-2], rows, columns)))


def filled(array: np.ndarray) -> Tensor:
    """An array as a constant tensor."""
    return made_here(wrap(array))


def check_pivots(what: str, LU: Tensor, pivots: Any) -> None:
    """Check that pivots are those of such factors."""
    if not isinstance(pivots, Tensor) or pivots.dtype.name != "int32":
        raise RuntimeError(f"linalg.{what}: pivots must be an int32 tensor, as lu_factor gives it")
    if not pivots.ndim or pivots.shape[-1] != min(LU.shape[-2:]):
        raise RuntimeError(f"linalg.{what}: pivots of shape {list(pivots.shape)} do not fit LU of shape {list(LU.shape)}")


def cutoffs(A: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """Up to where singular values count as 0, absolutely and relative to the largest."""
    usual = float(np.finfo(A._held.dtype).eps) * max(*A.shape[-2:], 1)
    if rtol is None:
        rtol = usual if atol is None else where(atol > 0, 0.0, usual) if isinstance(atol, Tensor) else (usual, 0.0)[atol > 0]
    return tuple(_bound(A, x) for x in (0.0 if atol is None else atol, rtol))  # type: ignore[return-value]


def _bound(A: Tensor, x: Any) -> Tensor:
    dtype = dtypes.real_of(A._held.dtype)
    return x.detach().to(dtypes.of(dtype)) if isinstance(x, Tensor) else filled(np.asarray(x, dtype)[()])


def powers(x: Tensor, count: int) -> Tensor:
    """The powers from 0 to `count - 1`, as a last dimension; of integers and bools they are int64."""
    x = x if x.dtype.has_gradient else x.to(dtypes.by_name("int64"))
    return unsqueeze(x, -1) ** filled(np.arange(count, dtype=x._held.dtype))
