"""Sparse Jacobians: which elements can be other than zero, seen from the tape, and all of them in a few sweeps.

Columns that have no row in common can share one forward sweep, since what they contribute can be told apart (Curtis,
Powell and Reid 1974, "On the estimation of sparse Jacobian matrices"). Giving columns that share a row different
colours, a sweep a colour is enough; colours are given greedily, the fullest columns first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.func.gradients import grad
from jitgrad.functions.data import as_tensor
from jitgrad.ops.indexing import filled, gather, getitem, index_add, index_put, scatter_add
from jitgrad.record import current_trace, grad_mode
from jitgrad.tape import CONST, CONTROL, ITEM, LEAF, Row, Tape
from jitgrad.tensor import Tensor, wrap
from jitgrad.transforms import trace


def jacobian_sparsity(function: Callable, *args: Any, argnum: int = 0) -> Any:
    """Which elements of the Jacobian of `function` in one tensor argument can be other than zero, as a SciPy CSR matrix.

    Rows are the elements of the one tensor that `function` returns, columns those of the argument at `argnum`, both in
    row-major order. The pattern is read off the tape and holds for all values of the argument, except that index tensors
    among the other arguments count with their values. It may hold elements that happen to be zero, and lacks none.
    Raises `ImportError` without SciPy, `TypeError` unless argument and result are one floating tensor each.

    >>> import jitgrad
    >>> jitgrad.jacobian_sparsity(lambda x: x[1:] * x[:-1], jitgrad.ones(4)).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    """
    xs = [as_tensor(x) if i == argnum % len(args) else x for i, x in enumerate(args)]
    tensors = [x for x in xs if isinstance(x, Tensor)]
    target = xs[argnum]
    if not target.dtype.is_floating_point:
        raise TypeError(f"argument {argnum} is {target.dtype.name}, and derivatives exist for floating dtypes only")
    specs = [(tuple(x.shape), x._held.dtype, False) for x in tensors]

    def rebuild(inputs: list) -> tuple:
        given = iter(inputs)
        return [next(given) if isinstance(x, Tensor) else x for x in xs], {}

    token = grad_mode.set(True)
    try:
        found = trace(function, specs, rebuild, Tensor)
    finally:
        grad_mode.reset(token)
    if found.structure is not None or len(found.tape.outputs) != 1:
        raise TypeError("the function must return one tensor to have a sparse Jacobian")
    values = dict(zip(found.tape.inputs, tensors)) | found.captured
    known = {row: handle._value for row, handle in values.items()}
    start = found.tape.inputs[[x is target for x in tensors].index(True)]
    n = math.prod(start.shape)
    identity = scipy_sparse().identity(n, np.int8, "csr")
    return _Patterns(n, {start: identity}, known).of(found.tape.rows, found.tape.outputs[0])


def hessian_sparsity(function: Callable, *args: Any, argnum: int = 0) -> Any:
    """`jacobian_sparsity` of the gradient of a scalar `function`, for `hessian(function, sparsity=...)`.

    >>> import jitgrad
    >>> jitgrad.hessian_sparsity(lambda x: (x[1:] * x[:-1]).sum(), jitgrad.ones(3)).toarray().astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    return jacobian_sparsity(grad(function, argnum % len(args)), *args, argnum=argnum)


def scipy_sparse() -> Any:
    try:
        import scipy.sparse
    except ImportError:
        raise ImportError("sparse Jacobians are SciPy matrices: install SciPy") from None
    return scipy.sparse


class _Patterns:
    """For every row of a tape, which of `n` elements its elements depend on; None for those that do not at all.

    `patterns` are those of the inputs that do, `known` the values of the others.
    """

    def __init__(self, n: int, patterns: dict[Row, Any], known: dict[Row, Any]) -> None:
        self.sparse = scipy_sparse()
        self.n = n
        self.known = known  # and the values of rows that index with
        self.touched = set(patterns)
        self.patterns = patterns

    def of(self, rows: Sequence[Row], end: Row) -> Any:
        self.follow(rows)
        found = self.patterns.get(end)
        found = self.sparse.csr_matrix((math.prod(end.shape), self.n), dtype=np.int8) if found is None else found
        found = self.sparse.csr_matrix(found)
        found.data[:] = 1
        found.sort_indices()
        return found.astype(bool)

    def follow(self, rows: Iterable[Row]) -> None:
        """Find the patterns of all rows that depend on what is asked about."""
        for row in rows:
            if row not in self.touched and row.op not in (LEAF, CONST) and any(x in self.touched for x in row.inputs):
                self.touched.add(row)
                self.patterns[row] = self._pattern(row)

    def value(self, row: Row) -> Any:
        """The value of a row that does not."""
        if row not in self.known:
            self.known[row] = row.op.run(*[self.value(x) for x in row.inputs], **row.params)
        return self.known[row]

    def quiet(self, row: Row) -> Any:
        """The value of a row, or None if it does."""
        return None if row in self.touched else self.value(row)

    def inside(self, tape: Tape, given: Sequence[tuple[Any, Any]]) -> _Patterns:
        """The patterns of a tape, for pattern and value of each input."""
        pairs = list(zip(tape.inputs, given))
        patterns = {row: part for row, (part, value) in pairs if value is None}
        inner = _Patterns(self.n, patterns, {row: value for row, (_, value) in pairs if value is not None})
        inner.follow(tape.rows)
        return inner

    def _pattern(self, row: Row) -> Any:
        op = row.op
        if op is ITEM:
            return self.patterns[row.inputs[0]][row.params["k"]]
        if op.kind in CONTROL:
            return getattr(_Loops, op.kind)(self, row, [self.patterns.get(x) for x in row.inputs])
        differentiable = [rule is not None for rule in op.rules * len(row.inputs)] if op.variadic else [
            rule is not None for rule in op.rules]  # fmt: skip
        if op.composite or op.pullback is not None:
            differentiable = [True] * len(row.inputs)
        parts = [self.patterns.get(x) if d else None for x, d in zip(row.inputs, differentiable)]
        if all(part is None for part in parts):
            return None
        return _RULES.get(op.kind, _Patterns._dense)(self, row, parts)

    def _dense(self, row: Any, parts: list[Any]) -> Any:
        """Every element depends on whatever the inputs do."""
        given = [part.indices for part in parts if part is not None]
        if not given:
            return None
        columns = np.unique(np.concatenate(given))
        size = math.prod(row.shape)
        places = np.tile(columns, size), np.arange(size + 1) * len(columns)
        return self.sparse.csr_matrix((np.ones(size * len(columns), np.int8), *places), (size, self.n))

    def _elementwise(self, row: Row, parts: list[Any]) -> Any:
        return _union(parts)

    def _moved(self, row: Row, parts: list[Any]) -> Any:
        """The row itself, run on the numbers of the elements, says where each one comes from; 0 is nowhere."""
        if row.op.kind == "index" and any(x in self.touched for x in row.inputs[1:]):
            return self._dense(row, parts)
        numbers, blocks, start = [], [self._nothing(1)], 1
        movable = row.inputs if row.op.variadic else row.inputs[:1]
        for x, part in zip(movable, parts):
            size = math.prod(x.shape)
            numbers.append(np.arange(start, start + size).reshape(x.shape))
            blocks.append(self._nothing(size) if part is None else part)
            start += size
        others = [self.value(x) for x in row.inputs[len(movable) :]]
        source = np.asarray(row.op.run(*numbers, *others, **row.params))
        return self.sparse.vstack(blocks, "csr")[source.ravel()]

    def _nothing(self, size: int) -> Any:
        return self.sparse.csr_matrix((size, self.n), dtype=np.int8)

    def _reduced(self, row: Row, parts: list[Any]) -> Any:
        """What is reduced together; where the shape stays, each element depends on all along the dimension."""
        shape, dim = row.inputs[0].shape, row.params["dim"]
        if not shape:
            return parts[0]
        dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
        kept = [1 if d in dims else n for d, n in enumerate(shape)]
        groups = np.broadcast_to(np.arange(math.prod(kept)).reshape(kept), shape).ravel()
        together = self._at(groups, math.prod(kept)) @ parts[0]
        return together[groups] if "keepdim" not in row.params else together

    def _at(self, places: np.ndarray, size: int) -> Any:
        """The matrix that adds element k to the place `places[k]`."""
        ones = np.ones(len(places), np.int8)
        return self.sparse.csr_matrix((ones, (places, np.arange(len(places)))), (size, len(places)))

    def _product(self, row: Row, parts: list[Any]) -> Any:
        found = []
        for side, part in enumerate(parts):
            if part is None:
                continue
            shape = row.inputs[side].shape
            axis = len(shape) - 1 - side  # the one that is summed over
            kept = [*shape[:axis], 1, *shape[axis + 1 :]]
            numbers = np.arange(math.prod(kept)).reshape(kept)
            together = self._at(np.broadcast_to(numbers, shape).ravel(), math.prod(kept)) @ part
            found.append(together[np.broadcast_to(numbers, row.shape).ravel()])
        return _union(found)

    def _indexed(self, row: Row, parts: list[Any]) -> Any:
        if row.op in (getitem, gather):
            return self._moved(row, parts)
        arrays = row.inputs[1:2] if row.op is scatter_add else row.inputs[2:]
        if row.op not in (index_add, index_put, scatter_add) or any(x in self.touched for x in arrays):
            return self._dense(row, parts)
        base, size = row.inputs[0], math.prod(row.shape)
        numbers = np.arange(size).reshape(base.shape)
        written = row.inputs[2] if row.op is scatter_add else row.inputs[1]
        sources = np.arange(math.prod(written.shape)).reshape(written.shape)
        if row.op is scatter_add:
            index = self.value(arrays[0])
            targets = gather.run(numbers, index, dim=row.params["dim"])
            sources = sources[tuple(slice(n) for n in index.shape)]
        else:
            targets = numbers[filled(row.params["index"], tuple(self.value(a) for a in arrays))]
            sources = np.broadcast_to(sources, np.shape(targets))
        kept, new = parts[0], parts[2 if row.op is scatter_add else 1]
        targets, sources = np.ravel(targets), np.ravel(sources)
        if row.op is index_put and kept is not None:
            stays = np.ones(size, np.int8)
            stays[targets] = 0
            kept = self.sparse.diags(stays, dtype=np.int8) @ kept
        return _union([kept, None if new is None else self._at(targets, size) @ new[sources]])


_RULES: dict[str, Callable] = {
    "elementwise": _Patterns._elementwise, "movement": _Patterns._moved, "cat": _Patterns._moved,
    "reduction": _Patterns._reduced, "matmul": _Patterns._product, "index": _Patterns._indexed,
}  # fmt: skip


class _Loops:
    """The patterns of the results of loops and switches."""

    @staticmethod
    def loop(around: _Patterns, row: Row, parts: list[Any]) -> list[Any]:
        """Step by step; where it is not known how many there are, everything depends on everything."""
        p, layout = row.params, row.params["layout"]
        if p["cond"] is not None or layout.counted:
            return [around._dense(result, parts) for result in p["results"]]
        consts, _, carry, xs, _ = layout.split([(around.patterns.get(x), around.quiet(x)) for x in row.inputs])
        order = range(p["length"])
        stacked: dict[int, list[Any]] = {}
        for t in reversed(order) if p["reverse"] else order:
            given = [*consts, *carry, *[_element(x, t, row.shape) for x, row in zip(xs, layout.split(row.inputs)[3])]]
            inner = around.inside(p["body"], given)
            outs = [(inner.patterns.get(out), inner.quiet(out)) for out in p["body"].outputs]
            for k, (part, _) in enumerate([*outs[layout.carry :], *carry], layout.carry):
                stacked.setdefault(k, [None] * p["length"])[t] = part
            carry = outs[: layout.carry]
        found: list[Any] = [part for part, _ in carry]
        for k, result in enumerate(p["results"][layout.carry : -1], layout.carry):
            blocks = [around._nothing(math.prod(result.shape[1:])) if x is None else x for x in stacked.get(k, ())]
            found.append(around.sparse.vstack(blocks, "csr") if blocks else around._nothing(0))
        return [*found, None]

    @staticmethod
    def switch(around: _Patterns, row: Row, parts: list[Any]) -> list[Any]:
        """What any of the branches depends on."""
        given = [(around.patterns.get(x), around.quiet(x)) for x in row.inputs[1:]]
        branches = [[around.inside(tape, given).patterns.get(out) for out in tape.outputs] for tape in row.params["branches"]]
        return [_union(parts) for parts in zip(*branches)]


def _element(x: tuple[Any, Any], t: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Pattern and value of element t along the first dimension."""
    part, value = x
    size = math.prod(shape[1:])
    return None if part is None else part[t * size : (t + 1) * size], None if value is None else value[t]


def _union(parts: Sequence[Any]) -> Any:
    total = None
    for part in parts:
        if part is not None:
            total = part if total is None else total + part
    if total is not None and total.nnz:
        total = total.copy()
        total.data[:] = 1  # sums of ones would overflow in the end
    return total


def colours(pattern: Any) -> np.ndarray:
    """A colour for each column of a CSR pattern such that columns that share a row differ. Greedy, fullest first."""
    columns = pattern.tocsc()
    found = np.full(pattern.shape[1], -1)
    for j in np.argsort(-np.diff(columns.indptr), kind="stable"):
        rows = columns.indices[columns.indptr[j] : columns.indptr[j + 1]]
        near = [pattern.indices[pattern.indptr[i] : pattern.indptr[i + 1]] for i in rows]
        taken = set(found[np.concatenate(near)].tolist()) if near else set()
        colour = 0
        while colour in taken:
            colour += 1
        found[j] = colour
    return found


class Compression:
    """A pattern with the colours of its columns: the seeds of the sweeps, and how the results go to their places."""

    def __init__(self, sparsity: Any) -> None:
        self.pattern = scipy_sparse().csr_matrix(sparsity, dtype=bool)
        self.pattern.sum_duplicates()
        self.colours = colours(self.pattern)
        self.rows = np.repeat(np.arange(self.pattern.shape[0]), np.diff(self.pattern.indptr))

    def seeds(self, dtype: np.dtype) -> Tensor:
        """A tangent (or cotangent), laid out flat, for each colour: ones in its columns."""
        seeds = np.zeros((int(self.colours.max(initial=-1)) + 1, len(self.colours)), dtype)
        seeds[self.colours, np.arange(len(self.colours))] = 1
        return wrap(seeds)

    def check(self, rows: int, columns: int) -> None:
        """`ValueError` unless the pattern has that shape."""
        if self.pattern.shape != (rows, columns):
            raise ValueError(f"sparsity has shape {list(self.pattern.shape)}, and the Jacobian has {[rows, columns]}: an element "
                             "of the result each row, an element of the argument each column")  # fmt: skip

    def outside_of_traces(self) -> None:
        """`RuntimeError` while a trace records."""
        if current_trace.get() is not None:
            raise RuntimeError("a sparse Jacobian is a SciPy matrix, which cannot be traced: ask for it outside of jit and "
                               "vmap (the function itself may be under jit)")  # fmt: skip

    def restored(self, swept: np.ndarray) -> Any:
        """The CSR matrix from what the sweeps gave, one row of `swept` a colour."""
        flat = swept.reshape(swept.shape[0], -1)
        data = flat[self.colours[self.pattern.indices], self.rows]
        return scipy_sparse().csr_matrix((data, self.pattern.indices, self.pattern.indptr), self.pattern.shape)


def one_leaf(what: str, structure: Any) -> None:
    """`TypeError` unless something is one tensor."""
    if structure is not None:
        raise TypeError(f"with sparsity= the {what} must be one tensor, not nested")
