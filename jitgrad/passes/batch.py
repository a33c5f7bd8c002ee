"""Batching: a tape recorded for one example, run for many at once.

`replay` runs the rows of a tape again. Values that differ from example to example carry the batch as dimension 0; the
others stay as they are, so that what does not depend on the example is computed once. How a row is batched follows
from its kind and its parameters alone; what is done is recorded operations, so batching can be differentiated,
compiled and batched again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.errors import HoleError
from jitgrad.ops.indexing import Slot, getitem
from jitgrad.ops.linalg import transposed
from jitgrad.ops.movement import back_from, expand, permute, reshape
from jitgrad.ops.table import infer
from jitgrad.record.apply import apply
from jitgrad.record.trace import constant_tensor
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.row import CONST, ITEM, Row, Several
from jitgrad.tape.tape import Tape


class Batch:
    """The values of one row for all examples, the batch as dimension 0."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


Operands = Sequence[Any]  # tensors, and Batches of them


def replay(tape: Tape, known: dict[Row, Any], size: int) -> list[Any]:
    """The outputs of the tape, tensors or Batches of `size`, for such values of its leaves."""
    env = dict(known)
    given = [x.value if isinstance(x, Batch) else x for x in known.values()]
    beside = next((x for x in given if x._held.__class__ is DeviceArray), given[0] if given else None)
    for row in tape.rows:
        if row not in env:
            constant = row.op is CONST
            env[row] = (
                constant_tensor(row.params["value"], beside) if constant else batched(row, [env[x] for x in row.inputs], size)
            )
    return [env[row] for row in tape.outputs]


def batched(row: Row, operands: Operands, size: int) -> Any:
    """What `row` gives for operands of which some are Batches; if it has several results, a list of such."""
    if row.op is ITEM:
        return operands[0][row.params["k"]]
    if not any(isinstance(x, Batch) for x in operands):
        return row.op(*operands, **row.params) if row.op.holds_tapes else apply(row.op, operands, row.params)
    rule = row.op.batch or RULES.get(row.op.kind)
    if rule is None:
        raise HoleError(f"{row.op.name} has no batching rule, so it cannot run under vmap: use a loop and stack()")
    out = rule(row, operands, size)
    if row.op.holds_tapes:
        return out
    return list(map(Batch, out)) if row.op.several else Batch(out)


def spread(x: Any, size: int) -> Any:
    """A tensor with a batch dimension, whether `x` has one or is the same for all examples."""
    if isinstance(x, Batch):
        return x.value
    return apply(expand, (x,), {"shape": (size, *x.shape)})


def _shaped(x: Any, shape: Iterable[int]) -> Any:
    shape = tuple(shape)
    return x if tuple(x.shape) == shape else apply(reshape, (x,), {"shape": shape})


def _moved(x: Any, order: Iterable[int]) -> Any:
    order = tuple(order)
    return x if order == tuple(range(x.ndim)) else apply(permute, (x,), {"dims": order})


def _elementwise(row: Row, operands: Operands, size: int) -> Any:
    """The same row; one example lines up with the batch at the right."""
    return apply(row.op, [x.value if isinstance(x, Batch) else x for x in operands], row.params)


def _reduction(row: Row, operands: Operands, size: int) -> Any:
    """The same row, its dimensions one further."""
    x, dim, ndim = operands[0].value, row.params["dim"], row.inputs[0].ndim
    if ndim == 0 or dim is None:
        x = _shaped(x, (size, math.prod(row.inputs[0].shape)))
        dim = (1,) if isinstance(dim, tuple) else 1
    else:
        dim = _further(dim)
    return _shaped(apply(row.op, (x,), {**row.params, "dim": dim}), (size, *row.shape))


def _further(dim: Any) -> Any:
    return tuple(d + 1 for d in dim) if isinstance(dim, tuple) else dim + 1


def _movement(row: Row, operands: Operands, size: int) -> Any:
    """The same row: dimensions one further, shapes one longer."""
    x, params = operands[0].value, dict(row.params)
    if row.op is expand:
        x = _shaped(x, (size, *(1,) * (row.ndim - row.inputs[0].ndim), *row.inputs[0].shape))
    if row.op is permute:
        return _moved(x, (0, *_further(params["dims"])))
    for name in params.keys() & {"dim", "dims"}:
        params[name] = _further(params[name])
    if "shape" in params:
        params["shape"] = (size, *params["shape"])
    return apply(row.op, (x,), params)


def _cat(row: Row, operands: Operands, size: int) -> Any:
    return apply(row.op, [spread(x, size) for x in operands], {"dim": row.params["dim"] + 1})


def _matmul(row: Row, operands: Operands, size: int) -> Any:
    """Many times one matrix is one larger product; many times many is a product with one more batch dimension."""
    x, y = operands
    if row.ndim == 2 and not isinstance(y, Batch):
        return _many_times_one(row, x.value, y)
    if row.ndim == 2 and not isinstance(x, Batch):
        return _transposed(_many_times_one(row, _transposed(y.value), transposed(x)))
    return apply(row.op, (spread(x, size), spread(y, size)), row.params)


def _many_times_one(row: Row, x: Any, y: Any) -> Any:
    size, rows, inner = x.shape
    return _shaped(apply(row.op, (_shaped(x, (size * rows, inner)), y)), (size, rows, y.shape[-1]))


def _transposed(x: Any) -> Any:
    size, rows, columns = x.shape
    return _shaped(x, (size, columns, rows)) if 1 in (rows, columns) else _moved(x, (0, 2, 1))


def _index(row: Row, operands: Operands, size: int) -> Any:
    if "dim" in row.params:
        return _along(row, operands, size)
    if "size" in row.params:  # elementwise, or the same for all
        out = apply(row.op, (operands[0].value,), row.params)
        return out if out.ndim > row.ndim else spread(out, size)
    return _write(row, operands, size) if row.op.writes else _getitem(row, operands, size)


def _along(row: Row, operands: Operands, size: int) -> Any:
    """gather and scatter_add: every operand gets the batch as a further dimension."""
    many, dim = [spread(x, size) for x in operands], row.params["dim"] + 1
    if row.inputs[0].ndim == 0:
        many, dim = [_shaped(x, (size, 1)) for x in many], 1
    return _shaped(apply(row.op, many, {"dim": dim}), (size, *row.shape))


class _Place:
    """Where the dimensions that index arrays make stand in what an index picks, and how the batch joins them.

    NumPy puts them where the first array stands, or in front if other items come between the arrays.
    """

    def __init__(self, row: Row, arrays: Operands, inputs: Sequence[Row], size: int) -> None:
        self.index = _explicit(row.params["index"], row.inputs[0].ndim)
        self.arrays = list(arrays)
        self.many = any(isinstance(a, Batch) for a in arrays)
        self.rank = max((a.ndim for a in inputs), default=0)
        slots = [k for k, item in enumerate(self.index) if isinstance(item, (Slot, int))] if arrays else []
        apart = bool(slots) and slots[-1] - slots[0] + 1 != len(slots)
        self.start = 0 if apart or not slots else slots[0]
        self.apart = apart
        self.size = size

    def beside(self) -> tuple[list[Any], tuple]:
        """Arrays and index for an operand that has the batch in front."""
        if not self.many:
            return [a.value if isinstance(a, Batch) else a for a in self.arrays], (slice(None), *self.index)
        many = next(a.value for a in self.arrays if isinstance(a, Batch))
        numbers = constant_tensor(np.arange(self.size).reshape(self.size, *(1,) * self.rank), many)
        index = tuple(Slot(i.number + 1) if isinstance(i, Slot) else i for i in self.index)
        return [numbers, *self.aligned()], (Slot(0), *index)

    def aligned(self) -> list[Any]:
        """The arrays, those with a batch of equal rank, so that they broadcast against each other."""
        return [
            _shaped(a.value, (self.size, *(1,) * (self.rank + 1 - a.value.ndim), *a.value.shape[1:]))
            if isinstance(a, Batch)
            else a
            for a in self.arrays
        ]

    def order(self, ndim: int) -> list[int]:
        """How the dimensions (batch, then those of one example) stand in what the index of `beside` picks."""
        block = list(range(1 + self.start, 1 + self.start + self.rank))
        rest = [d for d in range(1, ndim) if d not in block]
        if self.many:
            return [0, *block, *rest]
        return [*block, 0, *rest] if self.apart else list(range(ndim))


def _explicit(index: tuple, ndim: int) -> tuple:
    """The index with slices in the place of an ellipsis, so that its items count dimensions."""
    if Ellipsis not in index:
        return index
    at = index.index(Ellipsis)
    missing = ndim - sum(item is not None and item is not Ellipsis for item in index)
    return (*index[:at], *[slice(None)] * missing, *index[at + 1 :])


def _getitem(row: Row, operands: Operands, size: int) -> Any:
    x, *arrays = operands
    place = _Place(row, arrays, row.inputs[1:], size)
    if isinstance(x, Batch):
        given, index = place.beside()
        out = apply(getitem, (x.value, *given), {"index": index})
        return _moved(out, back_from(place.order(out.ndim)))
    out = apply(getitem, (x, *place.aligned()), {"index": place.index})
    batch = place.start
    return _moved(out, (batch, *[d for d in range(out.ndim) if d != batch]))


def _write(row: Row, operands: Operands, size: int) -> Any:
    """index_add and index_put: the base and what is written get the batch, in the order that the index asks for."""
    x, value, *arrays = operands
    place = _Place(row, arrays, row.inputs[2:], size)
    shape = infer(getitem, [row.inputs[0], *row.inputs[2:]], {"index": place.index}).shape
    inner = value.value if isinstance(value, Batch) else _shaped(value, (1, *value.shape))
    lead = 1 + len(shape) - inner.ndim
    inner = _shaped(inner, (inner.shape[0], *(1,) * lead, *inner.shape[1:]))
    inner = apply(expand, (inner,), {"shape": (size, *shape)})
    given, index = place.beside()
    return apply(row.op, (spread(x, size), _moved(inner, place.order(inner.ndim)), *given), {"index": index})


def _sorting(row: Row, operands: Operands, size: int) -> list[Any]:
    """The same row, its dimension one further. Of a number `topk` takes the only one there is, whatever `k` is."""
    assert isinstance(row, Several)
    params = {**row.params, "dim": row.params["dim"] + 1}
    x = operands[0].value
    if not row.inputs[0].ndim:
        x, params = _shaped(x, (size, 1)), params | ({"k": 1} if "k" in params else {})
    found = apply(row.op, (x,), params)
    return [_shaped(out, (size, *spec.shape)) for out, spec in zip(found, row.results)]


RULES: dict[str, Callable[[Row, Operands, int], Any]] = {
    "elementwise": _elementwise,
    "reduction": _reduction,
    "movement": _movement,
    "fourier": _movement,
    "cat": _cat,
    "matmul": _matmul,
    "index": _index,
    "sorting": _sorting,
    "splitting": lambda row, operands, size: apply(row.op, (operands[0].value,), row.params),
    "linalg": lambda row, operands, size: apply(row.op, [spread(x, size) for x in operands], row.params),
}
