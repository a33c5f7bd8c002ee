"""Rows that look elements up by computed indices, or write them there, and which of these become machine code."""

from __future__ import annotations

import numpy as np

from jitgrad.ops.indexing import Slot, gather, scatter_add, within
from jitgrad.ops.scans import cummax_places, cummin_places
from jitgrad.sweeps.plan.layouts import Access, Layouts, is_number, place
from jitgrad.tape.row import Row

INDEX_DTYPES = frozenset(map(np.dtype, ("int32", "int64")))
ALONG = frozenset((gather, scatter_add))
"""What has one index array that stands along one dimension, while the others go their own way."""

_PLACES = frozenset((cummax_places, cummin_places))
"""Whose results are places along the dimension that they go along."""


def is_indexed(row: Row) -> bool:
    """Whether a row reads or writes with index arrays, or checks one."""
    return row.op.indexed and bool(row.op.checks(row))


def arrays_of(row: Row) -> tuple[Row, ...]:
    return row.op.checks(row)


def value_of(row: Row) -> Row:
    """What a row writes."""
    return row.inputs[row.op.inputs.index(row.op.writes)]


def why_not_indexed(row: Row) -> str:
    """Why machine code cannot do a row with index arrays, or ""."""
    if any(a.dtype not in INDEX_DTYPES for a in arrays_of(row)):
        return "indices that are neither int32 nor int64 are left to NumPy"
    if row.op is within:
        return "nothing to index" if 0 in row.shape else ""
    if not all(isinstance(i, Slot) or i is Ellipsis or i == slice(None) for i in row.params.get("index", ())):
        return "an index that mixes arrays with other items is left to NumPy"
    if 0 in row.inputs[0].shape or 0 in row.shape or (row.op in ALONG and not row.ndim):
        return "nothing to index"
    if not row.op.writes:
        return ""
    value, picked = value_of(row), Picked(row)
    alike = value.shape == picked.shape or (row.op in ALONG and value.ndim == len(picked.shape))
    return "" if alike and value.dtype == row.dtype and not is_number(row) else "the value is broadcast"


def is_lookup(row: Row, layouts: Layouts) -> bool:
    """Whether a row reads elements at indices that are known to be in bounds, so that any loop may do it in passing."""
    if (
        not is_indexed(row)
        or row.op is within
        or row.op.writes
        or is_number(row)
        or is_number(layouts.access(row.inputs[0]).source)
    ):
        return False
    checks = [(layouts.access(a).source, row.inputs[0].shape[d]) for d, a in Picked(row).slots]
    return all(is_below(source, n) and not is_number(source) for source, n in checks)


def is_below(index: Row, size: int) -> bool:
    """Whether indices are known to be from 0 to size - 1."""
    if index.op is within:
        return index.params["size"] <= size
    return index.op in _PLACES and index.shape[index.params["dim"]] <= size


def lookup_accesses(row: Row, layouts: Layouts) -> list[Access]:
    """How a loop goes along what a lookup reads: where the elements would be if all indices were 0, then the indices."""
    picked, (source, whole) = Picked(row), layouts.view(row.inputs[0])
    at = [*picked.kept, *[(d, picked.block_at[b]) for d, b in picked.walked]]
    steps = dict.fromkeys(range(row.ndim), 0) | {k: whole.strides[d] for d, k in at}
    found = [Access(source, place(whole)[0], tuple([steps[k] for k, n in enumerate(row.shape) if n != 1]))]
    for _, a in picked.slots:
        source, part = layouts.view(a)
        own = dict(zip(picked.block_at, np.broadcast_to(part, picked.block).strides))
        found.append(Access(source, place(part)[0], tuple([own.get(k, 0) for k, n in enumerate(row.shape) if n != 1])))
    return found


def lookup_steps(row: Row, layouts: Layouts) -> list[int]:
    """How far apart the elements of neighbouring indices are, for each index of a lookup."""
    whole = layouts.view(row.inputs[0])[1]
    return [whole.strides[d] for d, _ in Picked(row).slots]


class Picked:
    """How the dimensions of what an index picks come about: those of the index arrays together, and those kept whole.

    Along `walked` dimensions of what is indexed one goes as along the index arrays, one place for each of theirs.
    """

    def __init__(self, row: Row) -> None:
        self.walked: list[tuple[int, int]] = []
        self.kept: list[tuple[int, int]] = []  # for each dimension that is kept, where it stands in what is picked
        if row.op in ALONG:
            self._along(arrays_of(row)[0], row.params["dim"])
        else:
            self._by_index(row)

    def _along(self, index: Row, dim: int) -> None:
        self.slots = [(dim, index)]
        self.block = self.shape = index.shape
        self.block_at = list(range(index.ndim))
        self.walked = [(d, d) for d in self.block_at if d != dim]

    def _by_index(self, row: Row) -> None:
        whole, index = row.inputs[0], row.params["index"]
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index = (*index[:at], *[slice(None)] * (whole.ndim - len(index) + 1), *index[at + 1 :])
        index = (*index, *[slice(None)] * (whole.ndim - len(index)))
        slots = [d for d, item in enumerate(index) if isinstance(item, Slot)]
        kept = [d for d in range(whole.ndim) if d not in slots]
        arrays = arrays_of(row)
        self.slots = [(d, arrays[index[d].number]) for d in slots]
        self.block = np.broadcast_shapes(*[a.shape for _, a in self.slots])
        apart = slots[-1] - slots[0] + 1 != len(slots)
        before = 0 if apart else slots[0]
        rank = len(self.block)
        self.block_at = list(range(before, before + rank))
        self.kept = [(d, k if k < before else k + rank) for k, d in enumerate(kept)]
        shape = [whole.shape[d] for d in kept]
        self.shape = (*shape[:before], *self.block, *shape[before:])
