"""Products of vectors, matrices and tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.bind import bound
from jitgrad.functions.complexes import conj
from jitgrad.functions.contractions import crossed, product_of, summed_products
from jitgrad.functions.face import face
from jitgrad.functions.numeric import matmul
from jitgrad.functions.operands import in_dtype_of
from jitgrad.functions.shaping import permute, reshape, unsqueeze
from jitgrad.ops import TABLE
from jitgrad.ops.shapes import axis
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_norm = bound(TABLE["norm"])


def _ranks(what: str, operands: dict[str, tuple[Any, int]]) -> None:
    for name, (x, ndim) in operands.items():
        if x.ndim != ndim:
            raise RuntimeError(
                f"{what}: {name} must have {ndim} dimension{'s' * (ndim > 1)}, and its shape is "
                f"{list(x.shape)}: matmul takes any number"
            )


@face(exact=True)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    _ranks("mm", {"input": (input, 2), "mat2": (mat2, 2)})
    return matmul(input, mat2)


@face(exact=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    _ranks("mv", {"input": (input, 2), "vec": (vec, 1)})
    return matmul(input, vec)


@face(exact=True)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, of equal length."""
    _ranks("bmm", {"input": (input, 3), "mat2": (mat2, 3)})
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: the batches have {input.shape[0]} and {mat2.shape[0]} matrices: matmul broadcasts")
    return matmul(input, mat2)


@face(exact=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two 1-d tensors of equal length."""
    if input.ndim != 1 or tensor.ndim != 1 or input.shape != tensor.shape:
        raise RuntimeError(f"dot needs two 1-d tensors of one length, got {list(input.shape)} and {list(tensor.shape)}")
    if input._held.dtype != tensor._held.dtype:
        raise RuntimeError(f"dot needs two tensors of one dtype, got {input.dtype.name} and {tensor.dtype.name}")
    if input._held.dtype in dtypes.HALF:
        return in_single(dot)(input, tensor)
    return in_dtype_of(input, (input * tensor).sum())


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two 1-d tensors."""
    _ranks("outer", {"input": (input, 1), "vec2": (vec2, 1)})
    return unsqueeze(input, 1) * unsqueeze(vec2, 0)


@face(exact=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The inner product of two 1-d tensors of equal length, of complex ones with the conjugates of the first."""
    return dot(conj(input), other)


def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two 1-d tensors, `outer` by its older name."""
    return outer(input, vec2)


@face(exact=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sums of products over the last dimensions; where one tensor has no dimension, the product."""
    _one_dtype("inner", input, other)
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"inner: the last sizes must be equal, and the shapes are {list(input.shape)} and {list(other.shape)}: tensordot "
            "takes other dimensions"
        )
    return tensordot(input, other, ([-1], [-1]))


def _one_dtype(what: str, *tensors: Tensor) -> None:
    names = [x.dtype.name for x in tensors]
    if len(set(names)) > 1:
        raise RuntimeError(f"{what}: the tensors must have one dtype, and theirs are {', '.join(names)}: convert with .to(dtype)")


def _scale(what: str, name: str, number: Any, input: Tensor) -> Any:
    """A factor, which must be an integer if the tensors are integers."""
    if isinstance(number, Tensor):
        return number
    if not isinstance(number, (bool, int, float, complex, np.number, np.bool_)):
        raise TypeError(f"{what}: {name} must be a number, not {type(number).__name__}")
    if isinstance(number, (complex, np.complexfloating)) and not input.dtype.is_complex:
        raise RuntimeError(f"{what}: {name}={number} would make {input.dtype.name} values complex: convert with .to(complex64)")
    if not input.dtype.has_gradient and isinstance(number, (float, np.floating)):
        raise RuntimeError(f"{what}: {name}={number} would make {input.dtype.name} values fractions: convert with .float()")
    return number


def _added(what: str, input: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """`beta * input + alpha * product`; `input` is not looked at if `beta` is 0."""
    _one_dtype(what, input, product)
    beta, alpha = _scale(what, "beta", beta, product), _scale(what, "alpha", alpha, product)
    shape = tuple(product.shape)
    try:
        fits = np.broadcast_shapes(tuple(input.shape), shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"{what}: input of shape {list(input.shape)} does not expand to the shape of the product, {list(shape)}"
        )
    more = product if isinstance(alpha, int) and alpha == 1 else in_dtype_of(product, product * alpha)
    if isinstance(beta, (int, float)) and beta == 0:
        return more
    base = input if isinstance(beta, int) and beta == 1 else in_dtype_of(input, input * beta)
    return in_dtype_of(product, base + more)


@face(inplace=True, exact=True)
@in_single
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)` of matrices; with `beta=0` input is not looked at, nor its nans."""
    return _added("addmm", input, mm(mat1, mat2), beta, alpha)


@face(inplace=True, exact=True)
@in_single
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (mat @ vec)` of a matrix and a vector; with `beta=0` input is not looked at."""
    return _added("addmv", input, mv(mat, vec), beta, alpha)


@face(inplace=True)
@in_single
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * outer(vec1, vec2)`; with `beta=0` input is not looked at."""
    common = dtypes.promote(input._held.dtype, dtypes.promote(vec1._held.dtype, vec2._held.dtype))
    input, vec1, vec2 = (x if x._held.dtype == common else x.to(dtypes.of(common)) for x in (input, vec1, vec2))
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


@face(inplace=True, exact=True)
@in_single
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input` and `alpha` times the sum of the products of two batches of matrices; `beta=0` does not look at input."""
    _batches("addbmm", batch1, batch2)
    b, n, m = batch1.shape
    left = reshape(permute(batch1, 1, 0, 2), (n, b * m))  # the sum over the batch is one over the inner dimension too
    return _added("addbmm", input, matmul(left, reshape(batch2, (b * m, batch2.shape[2]))), beta, alpha)


@face(inplace=True, exact=True)
@in_single
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * (batch1 @ batch2)` of batches of matrices; with `beta=0` input is not looked at."""
    _batches("baddbmm", batch1, batch2)
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


def _batches(what: str, batch1: Tensor, batch2: Tensor) -> None:
    _ranks(what, {"batch1": (batch1, 3), "batch2": (batch2, 3)})
    if batch1.shape[0] != batch2.shape[0] or batch1.shape[2] != batch2.shape[1]:
        raise RuntimeError(
            f"{what}: batches of shapes {list(batch1.shape)} and {list(batch2.shape)} do not fit: they need as many "
            "matrices, and as many columns as rows"
        )


@face(method=False, exact=True)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over pairs of dimensions: the last `dims` of `a` and first ones of `b`, or those listed."""
    _one_dtype("tensordot", a, b)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (int, np.integer)):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: dims={dims} must be from 0 to {min(a.ndim, b.ndim)}, the dimensions that both have")
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    of_a, of_b = ([axis(d, x.ndim) for d in _listed(ds)] for ds, x in zip(dims, (a, b)))
    if len(of_a) != len(of_b) or len(set(of_a)) < len(of_a) or len(set(of_b)) < len(of_b):
        raise RuntimeError(f"tensordot: dims={dims} must name as many dimensions of the one as of the other, each once")
    _same_sizes(a, b, of_a, of_b)
    for i, j in [*zip(of_a, of_b)]:  # where one size is 1, the other dimension is added up
        if a.shape[i] != b.shape[j]:
            a, b = (x if x.shape[d] == 1 else x.sum(d, keepdim=True, dtype=x.dtype) for x, d in ((a, i), (b, j)))
    rest_a, rest_b = ([d for d in range(x.ndim) if d not in of_x] for x, of_x in ((a, of_a), (b, of_b)))
    n = math.prod(a.shape[d] for d in of_a)
    left = reshape(permute(a, (*rest_a, *of_a)), (math.prod(a.shape[d] for d in rest_a), n))
    right = reshape(permute(b, (*of_b, *rest_b)), (n, math.prod(b.shape[d] for d in rest_b)))
    return reshape(matmul(left, right), (*[a.shape[d] for d in rest_a], *[b.shape[d] for d in rest_b]))


def _listed(dims: Any) -> Sequence[int]:
    return [dims] if isinstance(dims, int) else [*dims]


def _same_sizes(a: Tensor, b: Tensor, of_a: Sequence[int], of_b: Sequence[int]) -> None:
    for i, j in zip(of_a, of_b):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(
                f"tensordot: dimension {i} of {list(a.shape)} and dimension {j} of {list(b.shape)} have different sizes, and "
                "are summed over together"
            )


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: blocks, each `other` times an element of `input`. Missing dimensions in front are of size 1."""
    n = max(input.ndim, other.ndim)
    x, y = ([1] * (n - v.ndim) + list(v.shape) for v in (input, other))
    blocks = reshape(input, [k for size in x for k in (size, 1)]) * reshape(other, [k for size in y for k in (1, size)])
    return reshape(blocks, [p * q for p, q in zip(x, y)])


@face(exact=True)
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along `dim`, which has size 3: by default the first one of that size."""
    if dim is None:
        found = [d for d, n in enumerate(input.shape) if n == 3]
        if not found:
            raise RuntimeError(f"cross: no dimension of shape {list(input.shape)} has size 3")
        dim = found[0]
    return crossed("cross", input, other, dim)


@face(method=False, exact=True)
def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, in the order that takes the fewest multiplications."""
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    if not matrices:
        raise RuntimeError("chain_matmul needs at least one matrix")
    _ranks("chain_matmul", {f"matrix {i}": (x, 2) for i, x in enumerate(matrices)})
    return product_of(matrices)


@face(method=False)
@in_single
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norms of the differences between all rows of `x1` and all rows of `x2`, whose leading dimensions broadcast.

    They are taken of the differences in every `compute_mode`, so that near points keep their digits; the gradient is 0 where
    two rows are equal.
    """
    _one_dtype("cdist", x1, x2)
    floating("cdist", x1, error=RuntimeError)
    for x in (x1, x2):
        if x.ndim < 2:
            raise RuntimeError(f"cdist: rows of at least two dimensions are compared, and a tensor has shape {list(x.shape)}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"cdist: rows have {x1.shape[-1]} elements in the one, {x2.shape[-1]} in the other")
    if p < 0:
        raise RuntimeError(f"cdist: p must not be negative, and it is {p}")
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode not in (None, 0, 1, 2, *modes):
        raise ValueError(f"cdist: compute_mode must be one of {', '.join(modes)}, not {compute_mode!r}")
    apart = unsqueeze(x1, -2) - unsqueeze(x2, -3)
    if not x1.shape[-1]:
        return apart.sum(-1)  # distances of nothing are 0
    return _norm(apart, float(p), -1)


@face(method=False)
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products of elements with equal indices, as Einstein wrote them: "ij,jk->ik", "...ii->...i", "bij,bjk".

    Indices that the result has not are summed over; without an arrow it has those that occur once, in alphabetical order. An
    ellipsis stands for any dimensions, which broadcast. Operands and lists of ints may also come in turns, as
    `einsum(x, [0, 1], y, [1, 2], [0, 2])`. Products are made in pairs, in an order that NumPy's `einsum_path` finds cheap.
    """
    return summed_products(equation, operands)
