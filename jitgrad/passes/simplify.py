"""Simpler tapes: composites lowered, copies and no-ops gone, equal rows shared, and what algebra makes cheaper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import numpy as np

from jitgrad.base.signals import importing
from jitgrad.ops.arithmetic import add, div, exp, log, mul, sub
from jitgrad.ops.choosing import alias, cast, clone, detach, eq, ge, where
from jitgrad.ops.indexing import gather, getitem, index_add, index_put, one_along, places, scatter_add, within
from jitgrad.ops.linalg import matmul
from jitgrad.ops.movement import expand, permute, reshape, sum
from jitgrad.ops.reductions import amax, cumsum
from jitgrad.ops.scans import cumprod
from jitgrad.ops.table import Op, infer
from jitgrad.record.apply import Trace
from jitgrad.record.trace import recording
from jitgrad.tape.handle import tensor
from jitgrad.tape.row import CONST, ITEM, LEAF, Leaf, Row, reachable
from jitgrad.tape.tape import Tape, with_tapes


def simplify(tape: Tape, outside: dict[Row, Row] | None = None, *, keeps: Callable[[Op], bool] = attrgetter("numpy")) -> Tape:
    """The same tape in fewer, simpler rows: composites lowered, copies and no-ops gone, equal rows shared.

    Rows become what their `lower` records, unless machine code folds them itself. Leaves stay the same rows. With `outside`,
    arrays among the constants become further inputs, which go first, and are put there by their leaves. `keeps` says which rows
    are not lowered.
    """
    tracing = Trace()
    tracing.rows.update(dict.fromkeys(tape.rows))
    simplifier = _Simplifier(tracing, outside, keeps)
    if any(row.dtype is not None and row.dtype.kind == "c" for row in tape.rows):
        with importing("jitgrad.passes.apart"):  # most programs never need it
            from jitgrad.passes import apart
        simplifier.apart = apart
    new = recording(tracing, lambda: simplifier.simplified(tape.rows, {}))
    found = Tape([*(outside or ()), *tape.inputs], [new[row] for row in tape.outputs], among=tracing.rows)
    return found if simplifier.apart is None else simplifier.apart.packed(found)


_COPIES = frozenset((alias, clone, detach))
_SHAPED = frozenset((expand, reshape))
_INTO_ZEROS = frozenset((index_add, scatter_add))  # the transposes of reading a part; adding into a sum spares the zeros


MOST_COUNTED = 1 << 16
"""The longest sequence 0, 1, 2, … that is kept instead of made."""


class _Simplifier:
    """Rows in, simpler rows out, which `tracing` collects in order."""

    def __init__(self, tracing: Trace, outside: dict[Row, Row] | None, keeps: Callable[[Op], bool]) -> None:
        self.keeps = keeps
        self.tracing, self.outside = tracing, outside
        self.known: dict[Any, Row] = {}
        self.apart: Any = None  # what takes complex numbers apart, where there are any

    def simplified(self, rows: Iterable[Row], new: dict[Row, Any]) -> dict[Row, Any]:
        """For each of these rows one that does the same, or a tuple of several for its results; `new` holds those for what
        they read."""
        for row in rows:
            op = row.op
            if op is ITEM and isinstance(lowered := new[row.inputs[0]], tuple):
                new[row] = lowered[row.params["k"]]
                continue
            inputs = tuple([new[x] for x in row.inputs])
            changing = op in _CHANGING or op.lower is not None or op.parts is not None or op.holds_tapes or op.moves or self.apart
            simpler = self._simpler(row, inputs) if changing else self._shared(row, inputs)
            smaller = not op.several and simpler.op.elementwise and simpler.shape
            new[row] = self._smaller(simpler) if smaller else simpler
        return new

    def _simpler(self, row: Row, inputs: tuple[Row, ...]) -> Any:
        op = row.op
        if op is LEAF:
            return row
        if op is CONST and row.shape and self.outside is not None:
            leaf = Leaf(row.shape, row.dtype, False)
            self.outside[leaf] = row
            self.tracing.rows.add(leaf)
            return leaf
        if op.holds_tapes:
            return self._simpler_inside(row, inputs)
        if op in _COPIES or (op in _SHAPED and inputs[0].shape == row.shape) or (op is cast and inputs[0].dtype == row.dtype):
            return inputs[0]
        if self.apart is not None and not op.several and (parts := self.apart.taken_apart(row, inputs)) is not None:
            return self._made([parts._row], inputs)[0]
        one = not op.several and math.prod(row.shape) == 1
        moves = op.moves or op is getitem
        if one and moves and op.parts is None and [math.prod(x.shape) for x in inputs] == [1]:
            return self._reshaped(inputs[0], row.shape)  # wherever it is moved to
        rule = _Simplifier._of_one if one and op.parts is not None else _SIMPLER.get(op)
        if rule is not None and (simpler := rule(self, row, inputs)) is not None:
            return simpler
        lowers = op.lower is not None and not op.native and not self.keeps(op)
        return self._lowered(row, inputs) if lowers else self._shared(row, inputs)

    def _lowered(self, row: Row, inputs: tuple[Row, ...]) -> Any:
        """What a composite row is made of; a tuple for one with several results."""
        assert row.op.lower is not None
        found = row.op.lower(*[tensor(None, x) for x in inputs], **row.params)
        outs = [out._row for out in (found if row.op.several else (found,))]
        if outs[0].op is row.op:
            return self._shared(outs[0], outs[0].inputs)
        made = self._made(outs, inputs)
        return tuple(made) if row.op.several else made[0]

    def _made(self, outs: list[Row], inputs: tuple[Row, ...]) -> list[Row]:
        """What was recorded of rows that are simple already, as simple, which may itself have to be lowered."""
        ends = dict.fromkeys(inputs)
        made = reachable(outs, lambda x: x in ends)
        simpler = self.simplified([x for x in made if x not in ends], {x: x for x in ends})
        return [simpler[out] for out in outs]

    def _simpler_inside(self, row: Row, inputs: tuple[Row, ...]) -> Row:
        """A loop or a switch whose tapes are simplified; arrays among their constants are read from outside."""
        found: list[dict[Row, Row]] = []

        def simpler(tape: Tape) -> Tape:
            found.append({})
            return simplify(tape, found[-1], keeps=self.keeps)

        params = with_tapes(row.params, simpler)
        arrays = [self.simplified([x], {})[x] for outside in found for x in outside.values()]
        if "layout" in row.params:  # a loop
            params["layout"] = row.params["layout"].after(*map(len, found))
            own = len(found[0])
            start = row.params["layout"].consts
            inputs = (*arrays[:own], *inputs[:start], *arrays[own:], *inputs[start:])
        elif arrays:
            leaves = [leaf for outside in found for leaf in outside]
            params["branches"] = tuple(
                Tape([*leaves, *tape.inputs[len(outside) :]], tape.outputs) for tape, outside in zip(params["branches"], found)
            )
            inputs = (inputs[0], *arrays, *inputs[1:])
        return self._shared(row.reading(inputs, params), inputs)

    def _of_one(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """A single element into which parts are written: the last of them, and what is added to it."""
        assert row.op.parts is not None
        parts = row.op.parts(np.empty(row.shape), *inputs, **row.params)
        zero, found = self.tracing.constant(row.dtype.type(0)), None
        for value, where_, adds in parts or ():
            value = zero if value is None else value
            if where_.size and (value.dtype != row.dtype or math.prod(value.shape) != 1):
                return None
            if where_.size:
                value = self._reshaped(value, row.shape)
                found = self._new(add, (found, value), {}, row.dtype, row.shape) if adds and found is not None else value
        return found

    def _summed_up(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """A running sum or product of one element after none."""
        if row.shape and row.shape[row.params["dim"]] != 1:
            return None
        return inputs[0] if inputs[0].dtype == row.dtype else self._new(cast, inputs, {"dtype": row.dtype}, row.dtype, row.shape)

    def _multiplied(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """What is multiplied by one."""
        for one, other in (inputs, inputs[::-1]):
            if (one.op is CONST or one.op in _SHAPED) and _is_one(one):
                return other
        return None

    def _added(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """A part that was added into zeros, added into the other operand instead; and zeros to which a part is added."""
        for total, part in (inputs, inputs[::-1]):
            if part.op in _INTO_ZEROS and _is_zeros(part.inputs[0]) and part.dtype == row.dtype:
                return self._shared(part, (total, *part.inputs[1:]))
            if part.op is where and _is_zeros(part.inputs[2]) and _is_zeros(total):
                return part
        return None

    def _exponential(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """The softmax from its logarithm, by the exponentials that were computed for that, and one division a sum."""
        under = _log_softmax_total(inputs[0])
        numerator = self.known.get((exp, inputs[0].inputs[0])) if under is not None else None
        if under is None or numerator is None:
            return None
        one = self.tracing.constant(row.dtype.type(1))
        ones = self._new(expand, (one,), {"shape": under.shape}, row.dtype) if under.shape else one
        factor = self._new(div, (ones, under), {}, row.dtype, under.shape)
        return self._new(mul, (numerator, self._spread(factor, row.shape)), {}, row.dtype, row.shape)

    def _either(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """What is the same either way."""
        return inputs[1] if inputs[1] is inputs[2] else None

    def _shaped(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """One change of shape for two."""
        if inputs[0].op is not row.op:
            return None
        (x,) = inputs[0].inputs
        return x if x.shape == row.shape else self._new(row.op, (x,), row.params, row.dtype, row.shape)

    def _permuted(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """One order of dimensions for two."""
        if inputs[0].op is not permute:
            return None
        (x,), order = inputs[0].inputs, inputs[0].params["dims"]
        dims = tuple([order[d] for d in row.params["dims"]])
        return x if dims == tuple(range(row.ndim)) else self._new(permute, (x,), {"dims": dims}, row.dtype, row.shape)

    def _written(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """What is written at an index, spread over all that the index picks."""
        base, value, *arrays = inputs
        shape = infer(getitem, [base, *arrays], {"index": row.params["index"]}).shape
        if value.shape == shape or value.ndim > len(shape):
            return None
        return self._shared(row, (base, self._spread(value, shape), *arrays))

    def _product(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """What is multiplied by a unit matrix, as sweeps for whole Jacobians begin."""
        for unit, other in (inputs, inputs[::-1]):
            if other.shape == row.shape and _is_unit_matrix(unit):
                return other
        return None

    def _counted(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """0, 1, 2, …, which are known, unless they take much memory."""
        size = row.params["size"]
        if size > MOST_COUNTED:
            return None
        return self.known.setdefault((places, size, row.dtype), self.tracing.constant(np.arange(size, dtype=row.dtype)))

    def _checked(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """An index that is known to be in bounds; one that is repeated is looked at once."""
        (index,) = inputs
        if index.op is expand and math.prod(index.inputs[0].shape) < math.prod(row.shape):
            once = index.inputs[0]
            return self._spread(self._new(within, (once,), row.params, row.dtype, once.shape), row.shape)
        return index if index.op is within and index.params["size"] == row.params["size"] else None

    def _gathered(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """One element along a dimension, of what is computed of one array and what is the same along it: computed of the
        elements only."""
        (x, index), dim = inputs, row.params["dim"]
        if not one_along(x, index, dim):
            return None
        chain = []
        while x.op.elementwise:
            differing = {y for y in x.inputs if not (y.op is expand and _is_same_along(y, dim))}
            if len(differing) != 1:
                break
            chain.append(x)
            (x,) = differing
        if not chain:
            return None
        plain = Row(gather, (x, index), row.params, index.shape, x.dtype, False)
        found = self._lowered(plain, plain.inputs)
        for y in reversed(chain):
            parts = tuple([found if z is x else self._spread(z.inputs[0], index.shape) for z in y.inputs])
            found, x = self._new(y.op, parts, y.params, y.dtype, index.shape), y
        return found

    def _summed(self, row: Row, inputs: tuple[Row, ...]) -> Row | None:
        """The same number, put where an index points along a dimension and summed along it: that number."""
        (x,) = inputs
        if x.op is not where or not _is_zeros(x.inputs[2]) or row.dtype != x.dtype or len(row.params["dim"]) != 1:
            return None
        (dim,), (hit, value, _) = row.params["dim"], x.inputs
        index = _hit_along(hit, dim)
        if index is None or value.op is not expand or not _is_same_along(value, dim):
            return None
        zero = self.tracing.constant(index.dtype.type(0))
        one, zeros = self._spread(value.inputs[0], index.shape), x.inputs[2].inputs[0]
        fits = self._new(ge, (index, self._spread(zero, index.shape)), {}, np.dtype(bool), index.shape)
        found = self._new(where, (fits, one, self._spread(zeros, index.shape)), {}, row.dtype, index.shape)
        return self._reshaped(found, row.shape)

    def _reshaped(self, x: Row, shape: tuple[int, ...]) -> Row:
        return x if x.shape == shape else self._new(reshape, (x,), {"shape": shape}, x.dtype)

    def _spread(self, x: Row, shape: tuple[int, ...]) -> Row:
        return x if x.shape == shape else self._new(expand, (x,), {"shape": shape}, x.dtype)

    def _smaller(self, row: Row) -> Row:
        """An elementwise row of nothing but repeated values, computed before they are repeated."""
        for x in row.inputs:
            if x.op is not expand:
                return row
        sources = [x.inputs[0] for x in row.inputs]
        shape = max((s.shape for s in sources), key=math.prod)
        if math.prod(shape) >= math.prod(row.shape):
            return row
        for s in sources:
            if s.shape != shape and (math.prod(s.shape) != 1 or len(s.shape) > len(shape)):
                return row
        inputs = tuple([s if s.shape == shape else self._new(expand, (s,), {"shape": shape}, s.dtype) for s in sources])
        small = self._new(row.op, inputs, row.params, row.dtype, shape)
        return self._new(expand, (small,), {"shape": row.shape}, row.dtype)

    def _new(self, op: Op, inputs: tuple[Row, ...], params: dict, dtype: np.dtype, shape: tuple | None = None) -> Row:
        return self._shared(Row(op, inputs, params, params["shape"] if shape is None else shape, dtype, False), inputs)

    def _shared(self, row: Row, inputs: tuple[Row, ...]) -> Row:
        """The row, reading `inputs`; or one before it that does the same to the same."""
        key = (row.op, *inputs, frozen(row.params)) if row.params else (row.op, *inputs)
        found = self.known.get(key)
        if found is None:
            if inputs != row.inputs:
                row = row.reading(inputs)
            self.tracing.rows.add(row)
            found = self.known[key] = row
        return found


_SIMPLER: dict[Op, Callable[[_Simplifier, Row, tuple[Row, ...]], Row | None]] = {
    mul: _Simplifier._multiplied,
    add: _Simplifier._added,
    exp: _Simplifier._exponential,
    expand: _Simplifier._shaped,
    reshape: _Simplifier._shaped,
    permute: _Simplifier._permuted,
    matmul: _Simplifier._product,
    gather: _Simplifier._gathered,
    places: _Simplifier._counted,
    within: _Simplifier._checked,
    index_add: _Simplifier._written,
    index_put: _Simplifier._written,
    sum: _Simplifier._summed,
    cumsum: _Simplifier._summed_up,
    cumprod: _Simplifier._summed_up,
    where: _Simplifier._either,
}
_CHANGING = _COPIES | {LEAF, CONST, cast, getitem, *_SIMPLER}
"""The ops that `_Simplifier` knows something about; the others it can only lower, or share."""


def _log_softmax_total(row: Row) -> Row | None:
    """The sum under the logarithm if a row is a log_softmax; it is at least 1, so dividing by it loses nothing."""
    if row.op is not sub or row.inputs[0].op is not sub or row.inputs[1].op is not expand:
        return None
    shifted, logarithm = row.inputs[0], row.inputs[1].inputs[0]
    peak = shifted.inputs[1].inputs[0] if shifted.inputs[1].op is expand else None
    if peak is None or peak.op is not amax or peak.inputs[0] is not shifted.inputs[0] or logarithm.op is not log:
        return None
    total = logarithm.inputs[0]
    alike = total.op is sum and total.inputs[0].op is exp and total.inputs[0].inputs[0] is shifted
    return total if alike and total.params["dim"] == peak.params["dim"] else None


def _is_same_along(x: Row, dim: int) -> bool:
    """Whether an expanded row repeats its elements along a dimension."""
    (source,) = x.inputs
    d = dim - (x.ndim - source.ndim)
    return d < 0 or source.shape[d] == 1


def _hit_along(row: Row, dim: int) -> Row | None:
    """The index if a row says where one points along a dimension: see `lower` of gather and scatter_add."""
    if row.op is not eq or not all(x.op is expand for x in row.inputs):
        return None
    along, index = (x.inputs[0] for x in row.inputs)
    if along.op is not reshape or along.shape[dim] != row.shape[dim] or index.op is not within or index.shape[dim] != 1:
        return None
    (numbers,) = along.inputs
    known = numbers.op is CONST and np.array_equal(numbers.params["value"], np.arange(row.shape[dim]))
    return index if known or numbers.op is places else None


def _is_zeros(row: Row) -> bool:
    return row.op is expand and row.inputs[0].op is CONST and not row.inputs[0].params["value"].any()


def _is_unit_matrix(row: Row) -> bool:
    """Whether a row is one unit matrix, maybe with dimensions of size 1 before it."""
    shape = row.shape
    while row.op is reshape:
        row = row.inputs[0]
    value = row.params["value"] if row.op is CONST else None
    alike = shape[-2:] == row.shape and math.prod(shape) == math.prod(row.shape)
    return value is not None and row.ndim == 2 and alike and np.array_equal(value, np.eye(*value.shape))


def _is_one(row: Row) -> bool:
    while row.op in _SHAPED:
        row = row.inputs[0]
    return row.op is CONST and row.shape == () and row.params["value"] == 1


def frozen(value: Any) -> Any:
    """Static parameters as something hashable that tells different ones apart (also 1 from 1.0, 0.0 from -0.0)."""
    if isinstance(value, dict):
        return tuple((k, frozen(v)) for k, v in sorted(value.items()))
    if isinstance(value, (tuple, list)):
        return tuple(frozen(v) for v in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return (value.dtype.str, value.shape, value.tobytes() if value.size <= 64 else id(value))
    return (type(value).__name__, repr(value))
