"""Rows with kernels of their own: products, running sums, what is sorted, looked up or written at computed places.

Each runner is called with the row, the arrays of its operands, which may be views, and those of its results, which are in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.ops import indexing, sorting
from jitgrad.ops.linalg import matmul
from jitgrad.ops.movement import expand, permute, reshape
from jitgrad.ops.reductions import cumsum
from jitgrad.ops.table import Op
from jitgrad.sweeps.cuda import indexed
from jitgrad.sweeps.cuda.library import running, scatter
from jitgrad.sweeps.cuda.library import sorting as sorting_kernels
from jitgrad.sweeps.plan.layouts import Layouts, is_view
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.row import Row
from jitgrad.tape.tape import with_tapes

Runner = Callable[[Row, Sequence[DeviceArray], Sequence[DeviceArray]], None]
INT64 = np.dtype(np.int64)


def run_of(row: Row, compute: Any) -> Runner:
    """What runs a row. `NotImplementedError` for an operation that has no kernel."""
    if row.op.holds_tapes:
        return _with_tapes(row, compute)
    found = _seen if Layouts().is_free(row) or is_view(row) else _RUNNERS.get(row.op)
    if found is None:
        raise NotImplementedError(
            f"{row.op.name} is not available on {compute.name}: compute it on the CPU, after x.cpu(), and bring the result back "
            "with to()"
        )
    return lambda row, operands, results: found(compute, row, operands, results)


def _with_tapes(row: Row, compute: Any) -> Runner:
    """A loop or a switch, whose tapes are run one after the other; the host decides which."""
    params = with_tapes(row.params, lambda tape: compute.prepare(tape, tape.inputs))

    def run(row: Row, operands: Any, results: Any) -> None:
        for found, out in zip(row.op.run(*operands, **params), results):
            compute.write(out, found)

    return run


def _seen(compute: Any, row: Row, operands: Any, results: Any) -> None:
    """A copy of what a view looks at, or of one element that a reduction reduces to itself."""
    if row.op.fold is not None:
        compute.write(results[0], reshape(operands[0], shape=row.shape))
        return
    found = operands[0].looked_at(row.op, row.params)
    compute.write(results[0], operands[0].copy().looked_at(row.op, row.params) if found is None else found)


def _look_up(compute: Any, row: Row, operands: Any, results: Any) -> None:
    along, shape = indexed.along_index(row, operands[1:])
    indexed.look_up(compute, row.op.name, operands[0], along, shape, results[0])


def _gather(compute: Any, row: Row, operands: Any, results: Any) -> None:
    x, index = operands
    if not x.ndim:
        compute.write(results[0], x)
        return
    indexed.look_up(compute, row.op.name, x, indexed.along_dim(x, index, row.params["dim"]), index.shape, results[0])


def _within(compute: Any, row: Row, operands: Any, results: Any) -> None:
    indexed.within(compute, row.params.get("what", row.op.name), operands[0], row.params["size"], results[0])


def _places(compute: Any, row: Row, operands: Any, results: Any) -> None:
    compute.write(results[0], compute.counted(row.params["size"]))


def _write_at(compute: Any, row: Row, operands: Any, results: Any) -> None:
    """`index_put` and `index_add` with index arrays."""
    along, shape = indexed.along_index(row, operands[2:])
    value = operands[1] if operands[1].shape == shape else expand(operands[1], shape=shape)
    _put(compute, row, operands[0], indexed.places(compute, row.op.name, along, shape), value, results[0])


def _scatter_add(compute: Any, row: Row, operands: Any, results: Any) -> None:
    x, index, src = operands
    if not x.ndim:
        compute.write(results[0], x + src)
        return
    along = indexed.along_dim(x, index, row.params["dim"])
    part = src if src.shape == index.shape else indexing.getitem(src, index=tuple([slice(n) for n in index.shape]))
    _put(compute, row, x, indexed.places(compute, row.op.name, along, index.shape), part, results[0])


def _put(compute: Any, row: Row, x: DeviceArray, places: DeviceArray, value: DeviceArray, out: DeviceArray) -> None:
    """Write or add values at places of a copy of `x`; where the memory of `x` is that of the result, there."""
    if x.buffer is not out.buffer:
        compute.write(out, x)
    if places.size:
        work = scatter.index_add if row.op.adds else scatter.index_put
        n = places.size
        compute.launches(work(_name(out.dtype), n, out.size, compute.grid.block), [places, _in_order(value), out])


def _product(compute: Any, row: Row, operands: Any, results: Any) -> None:
    x, y = operands
    *batch, m, n = row.shape
    if results[0].size:
        out = reshape(results[0], shape=(math.prod(batch), m, n))
        compute.product(_flat_batch(x, batch), _flat_batch(y, batch), out)


def _flat_batch(x: DeviceArray, batch: Sequence[int]) -> DeviceArray:
    """A stack of matrices with one dimension in front: a view where that can be."""
    x = x if list(x.shape[:-2]) == list(batch) else expand(x, shape=(*batch, *x.shape[-2:]))
    return reshape(x, shape=(math.prod(batch), *x.shape[-2:]))


def _cumsum(compute: Any, row: Row, operands: Any, results: Any) -> None:
    dim, shape = row.params["dim"], row.shape
    if not math.prod(shape):
        return
    outer, n, inner = math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])
    x = operands[0] if operands[0].dtype == row.dtype else compute.cast(operands[0], row.dtype)
    compute.launches(running.cumsum(_name(row.dtype), outer, n, inner, compute.grid.block), [_in_order(x), results[0]])


def _sort(compute: Any, row: Row, operands: Any, results: Any) -> None:
    p = row.params
    if row.op is sorting.topk:
        _sorted(compute, operands[0], p["dim"], p["largest"], p["k"], results)
    else:
        _sorted(compute, operands[0], p["dim"], p["descending"], None, results)


def _sorted(compute: Any, x: DeviceArray, dim: int, descending: bool, k: int | None, results: Any) -> None:
    """Values and places along `dim`, which is brought to the end."""
    if not x.ndim:
        compute.write(results[0], x)
        compute.write(results[1], 0)
        return
    if not x.size:
        return
    order = (*[d for d in range(x.ndim) if d != dim], dim)
    lines = _in_order(permute(x, dims=order))
    values, places = compute.empty(lines.shape, x.dtype), compute.empty(lines.shape, INT64)
    n = x.shape[dim]
    compute.launches(
        sorting_kernels.sort(_name(x.dtype), x.size // n, n, descending, compute.grid.block), [lines, values, places]
    )
    back = tuple([order.index(d) for d in range(x.ndim)])
    for made, out in zip((values, places), results):
        part = permute(made, dims=back)
        compute.write(out, part if k is None else indexing.getitem(part, index=(*[slice(None)] * dim, slice(k), ...)))


def _in_order(x: DeviceArray) -> DeviceArray:
    return x if x.in_order else x.copy()


def _name(dtype: np.dtype) -> str:
    return dtype.name


_RUNNERS: dict[Op, Callable] = {
    indexing.getitem: _look_up,
    indexing.index_add: _write_at,
    indexing.index_put: _write_at,
    indexing.gather: _gather,
    indexing.scatter_add: _scatter_add,
    indexing.within: _within,
    indexing.places: _places,
    matmul: _product,
    cumsum: _cumsum,
    sorting.sort: _sort,
    sorting.topk: _sort,
}
