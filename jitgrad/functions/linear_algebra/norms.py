"""Norms, ranks and functions of matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.bind import bound
from jitgrad.functions.complexes import conj
from jitgrad.functions.contractions import crossed, product_of
from jitgrad.functions.creation import zeros
from jitgrad.functions.diagonals import diagonal as _diagonal
from jitgrad.functions.face import face
from jitgrad.functions.linear_algebra.factoring import eigvalsh, svdvals
from jitgrad.functions.linear_algebra.operands import cutoffs, floats, identity, matrices, powers
from jitgrad.functions.linear_algebra.solving import inv
from jitgrad.functions.numeric import amax, amin, matmul, where
from jitgrad.functions.operands import taken
from jitgrad.functions.shaping import permute, reshape, squeeze, unsqueeze
from jitgrad.ops import TABLE, factoring
from jitgrad.ops.choosing import zeros_like
from jitgrad.ops.shapes import axes, axis
from jitgrad.record.apply import apply
from jitgrad.tensors.tensor import Tensor

_vector_norm = bound(TABLE["norm"])
_MATRIX_NORMS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def widened(what: str, x: Any, dtype: Any) -> Any:
    """The operand, in the dtype to compute in if one is given, which must hold all of its numbers."""
    x = taken(x)
    if dtype is not None and isinstance(x, Tensor):
        have, want = x._held.dtype, dtypes.to_numpy(dtype)
        if not dtypes.has_gradient(want) or dtypes.is_complex(want) > dtypes.is_complex(have):
            raise RuntimeError(f"{what}: dtype must be {'complex' if x.dtype.is_complex else 'a floating one'}, not {dtype}")
        if dtypes.promote(have, want) != want:
            raise RuntimeError(f"{what}: dtype={dtype} does not hold what {x.dtype.name} does: convert the result with .to()")
        x = x.to(dtype)
    return x


def _of_dtype(what: str, x: Any, dtype: Any) -> Tensor:
    x = widened(f"linalg.{what}", x, dtype)
    floats(what, x)
    return x


def _of_some(what: str, x: Tensor, ord: float, over: tuple[int, ...]) -> None:
    """RuntimeError for a norm that no elements have."""
    if (ord < 0 or ord == math.inf) and x.ndim and not all(x.shape[d] for d in over):
        raise RuntimeError(f"{what}: ord={ord} of no elements is no number, and the shape is {list(x.shape)}")


@face(exact=True)
def vector_norm(x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The norm (sum |x|^ord)^(1/ord) over dimensions, by default all; the number of elements that are not 0 with `ord=0`."""
    x = _of_dtype("vector_norm", x, dtype)
    if isinstance(ord, (bool, str)) or not isinstance(ord, (int, float)):
        raise TypeError(f"linalg.vector_norm: ord must be a number, not {ord!r}: matrix_norm knows 'fro' and 'nuc'")
    over = axes(dim, x.ndim)
    _of_some("linalg.vector_norm", x, ord, over)
    return _vector_norm(x, float(ord), over if x.ndim else None, keepdim)


@face(exact=True)
def matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Norms of matrices, which two dimensions are: "fro" the root of the sum of squares, "nuc" the sum of the singular values, 2
    and -2 the largest and smallest of these, 1 and -1 the largest and smallest sum of a column, inf and -inf of a row."""
    A = _of_dtype("matrix_norm", A, dtype)
    if isinstance(ord, bool) or ord not in _MATRIX_NORMS:
        raise RuntimeError(f"linalg.matrix_norm: ord={ord!r} must be one of {_MATRIX_NORMS}")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be two dimensions, not {dim!r}")
    if A.ndim < 2:
        raise RuntimeError(f"linalg.matrix_norm: a matrix has at least two dimensions, and this tensor has shape {list(A.shape)}")
    first, second = (axis(d, A.ndim) for d in dim)
    if first == second:
        raise RuntimeError(f"linalg.matrix_norm: dim={tuple(dim)} names one dimension twice")
    if ord == "fro":
        return _vector_norm(A, 2.0, (first, second), keepdim)
    extreme = amin if ord != "nuc" and ord < 0 else _largest
    if ord in ("nuc", 2, -2):
        values = svdvals(permute(A, (*[d for d in range(A.ndim) if d not in (first, second)], first, second)))
        found = values.sum(-1) if ord == "nuc" else extreme(values, -1)
    else:
        added, left = (first, second) if abs(ord) == 1 else (second, first)
        found = extreme(A.abs().sum(added), left - (left > added))
    return found if not keepdim else reshape(found, [1 if d in (first, second) else n for d, n in enumerate(A.shape)])


def _largest(x: Tensor, dim: int) -> Tensor:
    """The largest of what is not negative: 0 of nothing."""
    return amax(x, dim) if x.shape[dim] else x.sum(dim)


@face(exact=True)
def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`vector_norm` over one dimension, `matrix_norm` over two; without `ord` the root of the sum of squares."""
    A = _of_dtype("norm", A, dtype)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim)
    over: Any = dim if dim is None or isinstance(dim, (tuple, list)) else (dim,)
    if over is None:
        if A.ndim not in (1, 2):
            raise RuntimeError(f"linalg.norm: with ord, a tensor of shape {list(A.shape)} needs dim, one or two dimensions")
        over = range(A.ndim)
    if len(over) not in (1, 2):
        raise RuntimeError(f"linalg.norm: with ord={ord!r}, dim must be one or two dimensions, not {dim}")
    if len(over) == 2:
        return matrix_norm(A, ord, tuple(over), keepdim)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: {ord!r} is a norm of matrices, which take two dimensions, not {tuple(over)}")
    return vector_norm(A, ord, tuple(over), keepdim)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """The norm of matrices times that of their inverses, inf for singular ones; by default (2) the largest singular value over
    the smallest."""
    matrices("cond", A, square=p not in (None, 2, -2))
    if not A.numel():
        return zeros(tuple(A.shape[:-2]), dtype=A.abs().dtype)
    if p in (None, 2, -2):
        values = svdvals(A)
        return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    singular = apply(factoring.zero_pivot, (A,)) != 0
    safe = where(singular[..., None, None], identity(A, *A.shape[-2:]), A)
    return where(singular, math.inf, matrix_norm(A, p) * matrix_norm(inv(safe), p))


def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Tensor:
    """How many singular values are above both `atol` and `rtol` times the largest, int64; `tol` is `atol` without `rtol`."""
    matrices("matrix_rank", A, square=hermitian)
    A = A.detach()
    if tol is not None:
        atol, rtol = tol, 0.0
    if not A.numel():
        return zeros(tuple(A.shape[:-2]), dtype=np.int64)
    values = eigvalsh(A).abs() if hermitian else svdvals(A)
    low, part = (x if not x.ndim else unsqueeze(x, -1) for x in cutoffs(A, atol, rtol))
    bound = part * amax(values, -1, keepdim=True)
    return (values > where(low > bound, low, bound)).sum(-1)


@face(top=True, method=True)
def matrix_exp(A: Tensor) -> Tensor:
    """The exponentials of square matrices, by SciPy (extra `scipy`)."""
    matrices("matrix_exp", A, square=True)
    return apply(factoring.matrix_exp, (A,))


@face(top=True, method=True, exact=True)
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The product of n equal square matrices, or of their inverses for a negative n."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"linalg.matrix_power: n must be an int, not {n!r}")
    if A.ndim < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"linalg.matrix_power: the matrices must be square, and the shape is {list(A.shape)}")
    if n == 0:
        return identity(A, *A.shape[-2:]) + apply(zeros_like, (A,))
    base, left, found = inv(A) if n < 0 else A, abs(int(n)), None
    while left:
        if left % 2:
            found = base if found is None else matmul(found, base)
        left //= 2
        base = matmul(base, base) if left else base
    return found if found is not A else A.clone()  # type: ignore[return-value]


@face(exact=True)
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices, in the order that takes the fewest multiplications; the first may be a row, the last a
    column, of one dimension."""
    tensors = [taken(x) for x in tensors]
    if len(tensors) < 2:
        raise RuntimeError(f"linalg.multi_dot needs at least two tensors, and there are {len(tensors)}")
    first, last = tensors[0], tensors[-1]
    for i, x in enumerate(tensors):
        if x.ndim != 2 and not (x.ndim == 1 and i in (0, len(tensors) - 1)):
            raise RuntimeError(f"linalg.multi_dot: tensor {i} must have two dimensions, and its shape is {list(x.shape)}")
    inside = [
        unsqueeze(x, 0) if x is first and x.ndim == 1 else unsqueeze(x, 1) if x is last and x.ndim == 1 else x for x in tensors
    ]
    for x, y in itertools.pairwise(inside):
        if x.shape[1] != y.shape[0]:
            raise RuntimeError(f"linalg.multi_dot: shapes {list(x.shape)} and {list(y.shape)} do not fit")
    found = product_of(inside)
    found = squeeze(found, -1) if last.ndim == 1 else found
    return squeeze(found, 0) if first.ndim == 1 else found


@face(exact=True)
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along `dim`, which has size 3."""
    return crossed("linalg.cross", input, other, dim)


@face(exact=True)
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sums of products along a dimension of tensors that broadcast, of complex ones with the conjugates of the first."""
    floats("vecdot", x, y)
    return (conj(x) * y).sum(dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, as the last dimension of a view; `offset` above the main one."""
    return _diagonal(A, offset, dim1, dim2)


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of numbers, as a last dimension; by default as many as there are numbers in the last one."""
    x = x if x.ndim else unsqueeze(x, 0)
    count = x.shape[-1] if N is None else N
    if count <= 1:
        raise RuntimeError(f"linalg.vander: N, the number of powers, must be more than 1, and it is {count}")
    return powers(x, count)
