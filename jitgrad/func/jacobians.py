"""`jacrev`, `jacfwd` and `hessian`: whole matrices of derivatives, all rows or all columns of them in one batched sweep."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base.tree import unflatten
from jitgrad.calls.options import with_options
from jitgrad.func.gradients import grad, places
from jitgrad.func.point import Point, one
from jitgrad.func.sparse import Compression, one_leaf, outside_of_traces, pattern_of, worthwhile
from jitgrad.func.vectorized import vmap
from jitgrad.functions.shaping import movedim, reshape, unsqueeze
from jitgrad.jitted.jit import Jitted, compilable
from jitgrad.ops.movement import narrow
from jitgrad.record.apply import apply
from jitgrad.record.trace import constant_tensor
from jitgrad.tensors.tensor import Tensor


@with_options
def jacrev(
    func: Callable,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    sparsity: Any = None,
) -> Callable:
    """A function that returns the Jacobian of `func` in the arguments at `argnums`, by reverse sweeps.

    For a tensor result of shape `out` and an argument of shape `in` the Jacobian has shape `out + in`; nested results give
    the same nest of them, each nested like the arguments (a tuple of such if `argnums` is a tuple). The sweep runs once for
    all elements of the result, so this is the way for functions with few results; `chunk_size` bounds how many go
    together. Under `jit`, where the tape shows that most elements are zero, one sweep serves all results that share no
    element of the argument. With `has_aux` the result is `(jacobian, aux)`. Raises `TypeError` for what cannot be differentiated.

    `sparsity`, a matrix that is not zero where the Jacobian of one tensor in one tensor may be other than zero (see
    `jacobian_sparsity`), makes the result a SciPy CSR matrix of shape (elements of the result, elements of the argument),
    by one sweep for each colour that its rows need. If the function is under `jit`, so are the sweeps.

    >>> import jitgrad
    >>> jitgrad.jacrev(lambda x: x * x.sum())(jitgrad.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    if sparsity is not None:
        return _sparse(func, argnums, has_aux, sparsity, chunk_size, pushing=False)

    return _dense(func, argnums, has_aux, chunk_size, pushing=False)


@with_options
def jacfwd(
    func: Callable,
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    sparsity: Any = None,
) -> Callable:
    """A function that returns the Jacobian of `func` in the arguments at `argnums`, by forward sweeps.

    As `jacrev`; the sweep runs once for all elements of the arguments, so this is the way for functions with many results.
    It is the columns that share sweeps.

    >>> import jitgrad
    >>> jitgrad.jacfwd(lambda x: x * x.sum())(jitgrad.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """
    if sparsity is not None:
        return _sparse(func, argnums, has_aux, sparsity, chunk_size, pushing=True)

    return _dense(func, argnums, has_aux, chunk_size, pushing=True)


@with_options
def hessian(
    func: Callable, argnums: int | tuple[int, ...] = 0, *, chunk_size: int | None = None, sparsity: Any = None
) -> Callable:
    """A function that returns the Hessian of `func` in the arguments at `argnums`: forward over reverse sweeps.

    For a scalar `func` of a tensor of shape `s` it has shape `s + s`; several arguments give nested blocks. For the
    product with a vector alone, `hvp` costs far less; with `sparsity` (see `hessian_sparsity`) the result is a CSR matrix.
    Under `jit` the Hessian of a sum of functions of few variables each needs few sweeps (see `jacrev`).

    >>> import jitgrad
    >>> jitgrad.hessian(lambda x: (x ** 3).sum())(jitgrad.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    if sparsity is not None:
        return _sparse(grad(func, argnums), argnums, False, sparsity, chunk_size, pushing=True)
    return _dense(jacrev(func, argnums), argnums, False, chunk_size, pushing=True, real=True)


def _dense(
    function: Callable, argnums: Any, has_aux: bool, chunk_size: int | None, pushing: bool, real: bool = False
) -> Callable:
    """The Jacobian as tensors, nested like results and arguments."""

    @functools.wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        point = Point(function, args, kwargs, places(argnums, len(args)), has_aux)
        rows = [_nested(point, argnums, row) for row in blocks(point, chunk_size, pushing, real)]
        jacobian = unflatten(point.structure, iter(rows))
        return (jacobian, point.aux) if has_aux else jacobian

    return compilable(transformed)


def blocks(point: Point, chunk_size: int | None, pushing: bool, real: bool = False) -> list[list[Tensor]]:
    """The Jacobian, by output, then by input, each of the shapes of both; RuntimeError where it says less than the derivative
    is, as a number for each pair of elements, and with `real` for whatever is complex."""
    refuse_lost(point, pushing, real)
    return [
        [_shaped(part, (*y.shape, *x.shape)) for part, x in zip(parts, point.inputs)]
        for y, parts in zip(point.outputs, _matrix(point, chunk_size, pushing))
    ]


def refuse_lost(point: Point, pushing: bool, real: bool = False) -> None:
    """RuntimeError for complex results of real arguments, of which reverse sweeps know the real part of the derivative alone, and
    for real results of complex arguments where the sweep goes forward, along real numbers; with `real` for all complex ones."""
    arguments, results = ([x._held.dtype.name for x in leaves] for leaves in (point.inputs, point.outputs))
    starts, ends = (arguments, results) if pushing else (results, arguments)
    among = [name for name in starts if name.startswith("complex")]
    if among and (real or any(name.startswith(("float", "bfloat")) for name in ends)):
        name = "hessian" if real else "jacfwd" if pushing else "jacrev"
        cure = "" if real else f"take {'jacrev' if pushing else 'jacfwd'}, or "
        raise RuntimeError(
            f"{name}: {'an argument' if pushing else 'a result'} is {among[0]}, and one number for each pair of elements does "
            f"not say how {', '.join(results)} depends on {', '.join(arguments)}: {cure}view_as_real() of it"
        )


def _matrix(point: Point, chunk_size: int | None, pushing: bool) -> Sequence[Sequence[Tensor]]:
    """The elements of the Jacobian, by output, then by input."""
    compression = worthwhile(point.inputs, point.outputs, turned=not pushing)
    if compression is not None:
        return [[compression.dense(_compressed(point, compression, chunk_size, pushing), turned=not pushing)]]
    if pushing:
        columns = _swept(point.push, point.inputs, chunk_size)
        return [[movedim(part, 0, -1) for part in _blocks(column, point.inputs)] for column in columns]
    columns = _swept(point.pull, point.outputs, chunk_size)
    return list(zip(*[_blocks(column, point.outputs) for column in columns]))


def _compressed(point: Point, compression: Compression, chunk_size: int | None, pushing: bool) -> Tensor:
    """What the sweeps for each colour make of their seeds."""
    start = (point.inputs if pushing else point.outputs)[0]
    sweep = point.push if pushing else point.pull
    seeds = compression.seeds(start._held.dtype)
    found: Tensor = vmap(lambda seed: sweep([seed])[0], chunk_size=chunk_size)(
        constant_tensor(seeds.reshape(-1, *start.shape), start)
    )
    return found


def _sparse(function: Callable, argnums: Any, has_aux: bool, sparsity: Any, chunk_size: int | None, pushing: bool) -> Callable:
    """The Jacobian as a CSR matrix."""
    if not isinstance(argnums, int) or has_aux:
        raise TypeError("with sparsity= argnums must be one int, and has_aux is not possible")
    given = pattern_of(sparsity)
    compression = Compression(given if pushing else given.transposed())

    def swept(args: tuple, kwargs: dict) -> Tensor:
        point = Point(function, args, kwargs, places(argnums, len(args)))
        one_leaf("result", point.structure)
        one_leaf("argument", point.structures[0])
        refuse_lost(point, pushing)
        given.check(math.prod(point.outputs[0].shape), math.prod(point.inputs[0].shape))
        return _compressed(point, compression, chunk_size, pushing)

    run = Jitted(swept) if isinstance(function, Jitted) else swept

    @functools.wraps(function)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        outside_of_traces()
        matrix = compression.restored(run(args, kwargs).detach().numpy())
        return matrix if pushing else matrix.T.tocsr()

    return compilable(transformed)


def _swept(sweep: Callable, leaves: Sequence[Tensor], chunk_size: int | None) -> Sequence[Tensor]:
    """What the sweep makes of the unit vectors of `leaves`, one after the other in dimension 0."""
    if len(leaves) == 1 and math.prod(leaves[0].shape) == 1:  # one number: one sweep
        return [unsqueeze(x, 0) for x in sweep([one(leaves[0])])]
    basis = _basis(leaves)
    return vmap(lambda *units: tuple(sweep(units)), chunk_size=chunk_size)(*basis)


def _basis(leaves: Sequence[Tensor]) -> list[Tensor]:
    """The unit vectors of the space that the leaves span together: for each leaf its part, unit vectors in dimension 0."""
    sizes = [math.prod(x.shape) for x in leaves]
    total, start, parts = sum(sizes), 0, []
    for x, size in zip(leaves, sizes):
        units = np.eye(total, size, -start, dtype=x._held.dtype)
        parts.append(constant_tensor(units.reshape(total, *x.shape), x))
        start += size
    return parts


def _blocks(column: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Dimension 0 taken apart into what belongs to each leaf."""
    start, parts = 0, []
    for x in leaves:
        size = math.prod(x.shape)
        whole = size == column.shape[0]
        parts.append(column if whole else apply(narrow, (column,), {"dim": 0, "start": start, "length": size}))
        start += size
    return parts


def _shaped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return reshape(x, shape) if tuple(x.shape) != shape else x


def _nested(point: Point, argnums: Any, leaves: Sequence[Tensor]) -> Any:
    """One row of the Jacobian, nested like the arguments."""
    found = point.grouped(leaves)
    return found[0] if isinstance(argnums, int) else tuple(found)
