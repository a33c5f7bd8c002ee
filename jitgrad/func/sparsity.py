"""Which elements of a Jacobian can be other than zero, read off the tape: `jacobian_sparsity`, `hessian_sparsity`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.func.gradients import grad, places
from jitgrad.functions.data import as_tensor
from jitgrad.ops.indexing import filled, gather
from jitgrad.passes.pattern import Pattern, stacked, union
from jitgrad.record.apply import Trace, grad_mode
from jitgrad.record.checking import checked
from jitgrad.tape.row import CONST, ITEM, LEAF, Row, Several, reachable
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import Tensor
from jitgrad.tracing.function import trace


@checked
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
    (argnum,) = places(argnum, len(args))
    xs = [as_tensor(x) if i == argnum % len(args) else x for i, x in enumerate(args)]
    tensors = [x for x in xs if isinstance(x, Tensor)]
    target = xs[argnum]
    if not target.dtype.has_gradient:
        raise TypeError(f"argument {argnum} is {target.dtype.name}, and derivatives exist for floating dtypes only")
    specs = [(tuple(x.shape), x._held.dtype, None) for x in tensors]

    def rebuild(inputs: list) -> tuple:
        given = iter(inputs)
        return [next(given) if isinstance(x, Tensor) else x for x in xs], {}

    was = grad_mode.get()
    try:
        grad_mode.set(True)
        tracing = Trace()
        tracing.at_hand = lambda: [x._value for x in tensors]
        found = trace(function, specs, rebuild, tracing)
    finally:
        grad_mode.set(was)
    if found.structure is not None or len(found.tape.outputs) != 1:
        raise TypeError("the function must return one tensor to have a sparse Jacobian")
    values = dict(zip(found.tape.inputs, tensors)) | found.captured
    known = {row: handle._value for row, handle in values.items()}
    start = found.tape.inputs[[x is target for x in tensors].index(True)]
    end = found.tape.outputs[0]
    n, size = math.prod(start.shape), math.prod(end.shape)
    patterns = _Patterns(n, {start: Pattern.unit(n)}, known)
    patterns.follow(found.tape.rows)
    return matrix_of(patterns.found.get(end) or Pattern(size, n))


@checked
def hessian_sparsity(function: Callable, *args: Any, argnum: int = 0) -> Any:
    """`jacobian_sparsity` of the gradient of a scalar `function`, for `hessian(function, sparsity=...)`.

    >>> import jitgrad
    >>> jitgrad.hessian_sparsity(lambda x: (x[1:] * x[:-1]).sum(), jitgrad.ones(3)).toarray().astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    (argnum,) = places(argnum, len(args))
    return jacobian_sparsity(grad(function, argnum % len(args)), *args, argnum=argnum)


def recorded_sparsity(start: Row, end: Row, effort: int) -> Pattern | None:
    """The pattern of the Jacobian of one recorded row in another, whatever the values; None if it takes too much effort.

    What counts are the elements of all patterns on the way.
    """
    n, size = math.prod(start.shape), math.prod(end.shape)
    rows = reachable([end], lambda row: row is start)
    patterns = _Patterns(n, {start: Pattern.unit(n)}, {}, effort)
    patterns.touched.update(row for row in rows if row.op is LEAF)  # which may have another value at the next call
    try:
        patterns.follow(rows)
    except _TooMuch:
        return None
    return patterns.found.get(end) or Pattern(size, n)


def scipy_sparse() -> Any:
    try:
        import scipy.sparse
    except ImportError:
        raise ImportError("sparse Jacobians are SciPy matrices: install SciPy") from None
    return scipy.sparse


def matrix_of(pattern: Pattern, values: Any = None) -> Any:
    """A SciPy CSR matrix with `values`, or true, where the pattern is."""
    values = np.ones(len(pattern.codes), bool) if values is None else values
    places = pattern.places()[1], pattern.starts()
    return scipy_sparse().csr_matrix((values, *places), (pattern.rows, pattern.columns))


class _TooMuch(Exception):
    """A pattern takes more effort than it is worth."""


class _Patterns:
    """For every row of a tape, on which of `n` elements its elements depend: `found`, None for those that do not at all.

    It starts with those of the inputs that do; `known` are the values of others. What is neither is `touched`.
    """

    def __init__(self, n: int, found: dict[Row, Any], known: dict[Row, Any], effort: float = math.inf) -> None:
        self.n = n
        self.known = known  # and the values of rows that index with
        self.touched = set(found)
        self.found = found
        self.effort = effort

    def follow(self, rows: Iterable[Row]) -> None:
        """Find the patterns of all rows that depend on what is asked about."""
        for row in rows:
            if row not in self.touched and row.op not in (LEAF, CONST) and any(x in self.touched for x in row.inputs):
                self.touched.add(row)
                found = self.found[row] = self._pattern(row)
                self._spend(found if isinstance(found, list) else [found])

    def _spend(self, parts: list[Any]) -> None:
        self.effort -= sum([len(part.codes) for part in parts if part is not None], 32)  # 32 for the row itself
        if self.effort < 0:
            raise _TooMuch

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
        inner = _Patterns(self.n, patterns, {row: value for row, (_, value) in pairs if value is not None}, self.effort)
        inner.follow(tape.rows)
        self.effort = inner.effort
        return inner

    def _pattern(self, row: Row) -> Any:
        op = row.op
        if op is ITEM:
            return self.found[row.inputs[0]][row.params["k"]]
        if op.holds_tapes:
            return getattr(_Loops, op.kind)(self, row, [self.found.get(x) for x in row.inputs])
        differentiable = (
            [rule is not None for rule in op.rules * len(row.inputs)] if op.variadic else [rule is not None for rule in op.rules]
        )
        if op.composite or op.pullback is not None:
            differentiable = [True] * len(row.inputs)
        parts = [self.found.get(x) if d else None for x, d in zip(row.inputs, differentiable)]
        if all(part is None for part in parts):
            return None
        rule = _RULES.get(op.kind, _Patterns._dense)
        if isinstance(row, Several):
            passing = op.passes if op.passes is not None else range(len(row.results))
            return [rule(self, result, parts) if k in passing else None for k, result in enumerate(row.results)]
        return rule(self, row, parts)

    def _dense(self, row: Any, parts: list[Any]) -> Any:
        """Every element depends on whatever the inputs do."""
        given = [part for part in parts if part is not None]
        return stacked(given).everywhere(math.prod(row.shape)) if given else None

    def _elementwise(self, row: Row, parts: list[Any]) -> Any:
        return union(parts)

    def _moved(self, row: Row, parts: list[Any]) -> Any:
        """The row itself, run on the numbers of the elements, says where each one comes from; 0 is nowhere."""
        if not row.op.variadic and any(x in self.touched for x in row.inputs[1:]):
            return self._dense(row, parts)
        numbers, blocks, start = [], [Pattern(1, self.n)], 1
        movable = row.inputs if row.op.variadic else row.inputs[:1]
        for x, part in zip(movable, parts):
            size = math.prod(x.shape)
            numbers.append(np.arange(start, start + size).reshape(x.shape))
            blocks.append(part or Pattern(size, self.n))
            start += size
        others = [self.value(x) for x in row.inputs[len(movable) :]]
        source = np.asarray(row.op.run(*numbers, *others, **row.params))
        return stacked(blocks).taken(source.ravel())

    def _reduced(self, row: Row, parts: list[Any]) -> Any:
        """What is reduced together; where the shape stays, each element depends on all along the dimension."""
        shape, dim = row.inputs[0].shape, row.params["dim"]
        if not shape:
            return parts[0]
        dims = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
        kept = [1 if d in dims else n for d, n in enumerate(shape)]
        groups = np.broadcast_to(np.arange(math.prod(kept)).reshape(kept), shape).ravel()
        together = parts[0].together(groups, math.prod(kept))
        return together.taken(groups) if "keepdim" not in row.params else together

    def _product(self, row: Row, parts: list[Any]) -> Any:
        found = []
        for side, part in enumerate(parts):
            if part is None:
                continue
            shape = row.inputs[side].shape
            axis = len(shape) - 1 - side  # the one that is summed over
            kept = [*shape[:axis], 1, *shape[axis + 1 :]]
            numbers = np.arange(math.prod(kept)).reshape(kept)
            together = part.together(np.broadcast_to(numbers, shape).ravel(), math.prod(kept))
            found.append(together.taken(np.broadcast_to(numbers, row.shape).ravel()))
        return union(found)

    def _indexed(self, row: Row, parts: list[Any]) -> Any:
        arrays = row.op.checks(row)
        if not row.op.writes:
            return self._moved(row, parts)
        if any(x in self.touched for x in arrays):
            return self._dense(row, parts)
        base, size = row.inputs[0], math.prod(row.shape)
        numbers = np.arange(size).reshape(base.shape)
        at = row.op.inputs.index(row.op.writes)
        written = row.inputs[at]
        sources = np.arange(math.prod(written.shape)).reshape(written.shape)
        if "dim" in row.params:
            index = self.value(arrays[0])
            targets = gather.run(numbers, index, dim=row.params["dim"])
            sources = sources[tuple(slice(n) for n in index.shape)]
        else:
            targets = numbers[filled(row.params["index"], tuple(self.value(a) for a in arrays))]
            sources = np.broadcast_to(sources, np.shape(targets))
        kept, new = parts[0], parts[at]
        targets, sources = np.ravel(targets), np.ravel(sources)
        if not row.op.adds:
            last = np.zeros(size, np.int64)  # of several that are written to one place, the last in order stays
            last[targets] = np.arange(targets.size)
            stays = last[targets] == np.arange(targets.size)
            targets, sources = targets[stays], sources[stays]
            kept = None if kept is None else kept.without(targets)
        return union([kept, None if new is None else new.taken(sources).together(targets, size)])


_RULES: dict[str, Callable] = {
    "elementwise": _Patterns._elementwise,
    "splitting": _Patterns._elementwise,
    "movement": _Patterns._moved,
    "cat": _Patterns._moved,
    "reduction": _Patterns._reduced,
    "matmul": _Patterns._product,
    "index": _Patterns._indexed,
}


class _Loops:
    """The patterns of the results of loops and switches."""

    @staticmethod
    def loop(around: _Patterns, row: Row, parts: list[Any]) -> list[Any]:
        """Step by step; where it is not known how many there are, everything depends on everything."""
        p, layout = row.params, row.params["layout"]
        if p["cond"] is not None or layout.counted:
            return [around._dense(result, parts) for result in p["results"]]
        consts, _, carry, xs, _ = layout.split([(around.found.get(x), around.quiet(x)) for x in row.inputs])
        order = range(p["length"])
        stacks: dict[int, list[Any]] = {}
        for t in reversed(order) if p["reverse"] else order:
            given = [*consts, *carry, *[_element(x, t, row.shape) for x, row in zip(xs, layout.split(row.inputs)[3])]]
            inner = around.inside(p["body"], given)
            outs = [(inner.found.get(out), inner.quiet(out)) for out in p["body"].outputs]
            for k, (part, _) in enumerate([*outs[layout.carry :], *carry], layout.carry):
                stacks.setdefault(k, [None] * p["length"])[t] = part
            carry = outs[: layout.carry]
        found: list[Any] = [part for part, _ in carry]
        for k, result in enumerate(p["results"][layout.carry : -1], layout.carry):
            size = math.prod(result.shape[1:])
            blocks = [part or Pattern(size, around.n) for part in stacks.get(k, ())]
            found.append(stacked([Pattern(0, around.n), *blocks]))
        return [*found, None]

    @staticmethod
    def switch(around: _Patterns, row: Row, parts: list[Any]) -> list[Any]:
        """What any of the branches depends on."""
        given = [(around.found.get(x), around.quiet(x)) for x in row.inputs[1:]]
        branches = [[around.inside(tape, given).found.get(out) for out in tape.outputs] for tape in row.params["branches"]]
        return [union(parts) for parts in zip(*branches)]


def _element(x: tuple[Any, Any], t: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Pattern and value of element t along the first dimension."""
    part, value = x
    size = math.prod(shape[1:])
    return None if part is None else part.taken(np.arange(t * size, (t + 1) * size)), None if value is None else value[t]
