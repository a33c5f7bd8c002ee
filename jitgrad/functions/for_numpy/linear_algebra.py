"""`numpy.linalg` of tensors: its arguments, its shapes and its named tuples."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.functions import complexes, shaping
from jitgrad.functions.contractions import product_of
from jitgrad.functions.for_numpy.naming import NOT_GIVEN, NUMPY, ROW, axes_of, fractional, named, over, same_dtype, tensor_of
from jitgrad.functions.indexing import gather
from jitgrad.functions.linear_algebra import factoring, norms, solving
from jitgrad.record.trace import comes_later
from jitgrad.tensors.tensor import Tensor


def _of(name: str, count: int = 1) -> Callable:
    """A decorator: NumPy's function of that name, of `count` tensors of one floating or complex dtype."""

    def decorate(function: Callable) -> Callable:
        names = [*inspect.signature(function).parameters][:count]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            args = (*args, *[kwargs.pop(name) for name in names[len(args) :] if name in kwargs])
            operands = same_dtype(*args[:count], floats=True)
            return function(*operands, *args[count:], **kwargs)

        return named(f"linalg.{name}")(call)

    return decorate


@functools.cache
def _results(name: str) -> Any:
    """The named tuple that NumPy's function returns."""
    return type(getattr(np.linalg, name)(np.eye(1)))


_of("det")(lambda a: solving.det(a))
_of("inv")(lambda a: solving.inv(a))
_of("cholesky")(lambda a, /, *, upper=False: factoring.cholesky(a, upper=upper))
_of("eigvals")(lambda a: _real(ROW["eig"](a)[0]))
_of("eigvalsh")(lambda a, UPLO="L": factoring.eigvalsh(a, UPLO))
_of("svdvals")(lambda x, /: factoring.svdvals(x))
_of("tensorinv")(lambda a, ind=2: solving.tensorinv(a, ind))
_of("tensorsolve", 2)(lambda a, b, axes=None: solving.tensorsolve(a, b, axes))
_of("slogdet")(lambda a: _results("slogdet")(*ROW["slogdet"](a)))
_of("eigh")(lambda a, UPLO="L": _results("eigh")(*ROW["eigh"](a, UPLO)))


@_of("eig")
def _eig(a: Tensor) -> Any:
    values, vectors = ROW["eig"](a)
    real = _real(values)
    return _results("eig")(real, vectors if real.dtype.is_complex else complexes.real(vectors))


def _real(values: Tensor) -> Tensor:
    """What is complex only as it might have been: NumPy looks."""
    parts = complexes.imag(values).detach()._known("np.linalg.eig")
    return complexes.real(values) if not np.any(parts) else values


@_of("solve", 2)
def _solve(a: Tensor, b: Tensor) -> Tensor:
    """One vector is one; anything else is matrices."""
    if b.ndim == 1:
        return solving.solve(a, shaping.unsqueeze(b, -1))[..., 0]
    if a.ndim - 1 == b.ndim and tuple(b.shape) == tuple(a.shape[:-1]):  # which PyTorch takes for vectors
        b = shaping.unsqueeze(b, 0)
    return solving.solve(a, b)


@_of("lstsq", 2)
def _lstsq(a: Tensor, b: Tensor, rcond: Any = None) -> Any:
    if a.ndim != 2 or b.ndim not in (1, 2):
        raise np.linalg.LinAlgError(
            f"np.linalg.lstsq takes a matrix and a vector or a matrix, not shapes {tuple(a.shape)} and {tuple(b.shape)}: "
            "call it for each, or jg.linalg.lstsq for all"
        )
    if comes_later(a):
        return NotImplemented
    least = np.finfo(a._held.dtype).eps if rcond == -1 else rcond
    found = solving.lstsq(a, b, least, driver="gelsd")
    residuals = found.residuals
    return (
        found.solution,
        residuals if not residuals.numel() or residuals.ndim else residuals.reshape(1),
        found.rank,
        found.singular_values,
    )


@_of("pinv")
def _pinv(a: Tensor, rcond: Any = None, hermitian: bool = False, *, rtol: Any = NOT_GIVEN) -> Tensor:
    given = rtol if rtol is not NOT_GIVEN else 1e-15 if rcond is None else rcond
    return solving.pinv(a, hermitian=hermitian, rtol=given)


@_of("svd")
def _svd(a: Tensor, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    if hermitian:
        return _svd_by_eigenvalues(a, compute_uv)
    if not compute_uv:
        return ROW["svd"](a, full_matrices=False)[1]
    return _results("svd")(*ROW["svd"](a, full_matrices=full_matrices))


def _svd_by_eigenvalues(a: Tensor, compute_uv: bool) -> Any:
    """Of the lower triangle alone; a sign that a singular value has not goes into the last factor."""
    values, vectors = ROW["eigh"](a, "L")
    sizes, order = ROW["sort"](abs(values), -1, True)
    if not compute_uv:
        return sizes
    signs = gather(ROW["sign"](values), -1, order)
    u = gather(vectors, -1, shaping.expand(shaping.unsqueeze(order, -2), tuple(a.shape)))
    v = shaping.movedim(u * shaping.unsqueeze(signs, -2), -1, -2)
    return _results("svd")(u, sizes, ROW["conj"](v) if v.dtype.is_complex else v)


@named("linalg.matrix_power")
def _matrix_power(a: Any, n: Any) -> Any:
    x = tensor_of(a)
    return norms.matrix_power(fractional(x) if isinstance(n, (int, np.integer)) and n < 0 else x, n)


@_of("qr")
def _qr(a: Tensor, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        return NotImplemented
    q, r = ROW["qr"](a, "reduced" if mode == "r" else mode)  # the derivative by R takes Q
    return r if mode == "r" else _results("qr")(q, r)


@_of("matrix_rank")
def _matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    if A.ndim < 2:
        return (A != 0).any().to(np.int64)
    return norms.matrix_rank(A, hermitian=hermitian, **({"rtol": rtol} if tol is None else {"atol": tol, "rtol": 0.0}))


@named("linalg.multi_dot")
def _multi_dot(arrays: Any) -> Tensor:
    many = same_dtype(*arrays)
    if len(many) < 2:
        raise ValueError(f"np.linalg.multi_dot takes at least two arrays, and there are {len(many)}")
    if len(many) == 2:
        return NUMPY["dot"](*many)
    if any(x.ndim not in ((1, 2) if i in (0, len(many) - 1) else (2,)) for i, x in enumerate(many)):
        raise np.linalg.LinAlgError(
            f"np.linalg.multi_dot: all must be matrices, the first and the last may be vectors: {[tuple(x.shape) for x in many]}"
        )
    first, last = many[0].ndim == 1, many[-1].ndim == 1
    many[0] = shaping.unsqueeze(many[0], 0) if first else many[0]
    many[-1] = shaping.unsqueeze(many[-1], 1) if last else many[-1]
    found = product_of(many)
    found = found[:, 0] if last else found
    return found[0] if first else found


# Norms.


@named("linalg.norm")
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    x = fractional(x)
    axes = axes_of(x, axis)
    if ((axis is not None or ord is not None) and len(axes) not in (1, 2)) or (isinstance(ord, str) and len(axes) == 1):
        raise ValueError(f"np.linalg.norm: {ord!r} over axis={axis} is no norm of shape {tuple(x.shape)}")
    if ord is None or (len(axes) == 2 and ord in ("fro", "f")):
        return over(lambda x, dim, keepdim: ROW["norm"](x, 2, dim, keepdim), x, axes, keepdims)
    if len(axes) == 1:
        p = 1 if ord == math.inf and not x.numel() else ord  # the largest of no sizes is 0 here
        return over(lambda x, dim, keepdim: ROW["norm"](x, p, dim, keepdim), x, axes, keepdims)
    if not x.numel() and ord in (1, 2, math.inf, "nuc"):
        return over(ROW["sum"], x, axes, keepdims)
    return norms.matrix_norm(x, ord, axes, bool(keepdims))


@named("linalg.matrix_norm")
def _matrix_norm(x: Any, /, *, keepdims: Any = False, ord: Any = "fro") -> Any:
    return _norm(x, ord, (-2, -1), keepdims)


@named("linalg.vector_norm")
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: Any = False, ord: Any = 2) -> Tensor:
    return over(lambda x, dim, keepdim: ROW["norm"](x, ord, dim, keepdim), fractional(x), axis, keepdims)


@_of("cond")
def _cond(x: Tensor, p: Any = None) -> Tensor:
    return norms.cond(x, p)
