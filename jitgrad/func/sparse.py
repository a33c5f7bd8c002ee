"""Jacobians that are mostly zero, in a few sweeps.

Columns that have no row in common can share one forward sweep, since what they contribute can be told apart (Curtis,
Powell and Reid 1974, "On the estimation of sparse Jacobian matrices"). Giving columns that share a row different
colours, a sweep a colour is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.func.sparsity import matrix_of, recorded_sparsity, scipy_sparse
from jitgrad.functions.shaping import reshape
from jitgrad.ops.indexing import Slot, getitem, index_add
from jitgrad.ops.movement import expand
from jitgrad.passes.pattern import Pattern
from jitgrad.record.apply import apply, current_trace
from jitgrad.record.trace import constant_tensor
from jitgrad.tensors.tensor import Tensor

FEW = 8
"""Sweeps that go together anyway."""

EFFORT = 1 << 19
"""Elements of patterns to look at before a Jacobian under `jit` counts as dense: some 10 ms."""


class Compression:
    """A pattern with the colours of its columns: the seeds of the sweeps, and how the results go to their places."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.colours = pattern.colours()
        self.count = int(self.colours.max(initial=-1)) + 1

    def seeds(self, dtype: np.dtype) -> np.ndarray:
        """A tangent (or cotangent), laid out flat, for each colour: ones in its columns."""
        seeds = np.zeros((self.count, len(self.colours)), dtype)
        seeds[self.colours, np.arange(len(self.colours))] = 1
        return seeds

    def sources(self) -> np.ndarray:
        """Where the elements of the pattern stand in what the sweeps give, one row a colour."""
        row, column = self.pattern.places()
        return self.colours[column] * self.pattern.rows + row

    def restored(self, swept: np.ndarray) -> Any:
        """The CSR matrix from what the sweeps gave."""
        return matrix_of(self.pattern, swept.ravel()[self.sources()])

    def dense(self, swept: Tensor, turned: bool) -> Tensor:
        """The whole matrix, laid out flat, from what the sweeps gave while a trace records; its transpose if `turned`."""
        pattern = self.pattern
        row, column = pattern.places()
        targets = column * pattern.rows + row if turned else pattern.codes
        values = apply(getitem, (reshape(swept, (-1,)), constant_tensor(self.sources(), swept)), {"index": (Slot(0),)})
        zero = constant_tensor(swept._held.dtype.type(0), swept)
        zeros = apply(expand, (zero,), {"shape": (pattern.rows * pattern.columns,)})
        return apply(index_add, (zeros, values, constant_tensor(targets, swept)), {"index": (Slot(0),)})


def worthwhile(inputs: Sequence[Tensor], outputs: Sequence[Tensor], turned: bool) -> Compression | None:
    """The compression of a Jacobian that is being recorded, of columns or if `turned` of rows, if it saves most sweeps.

    Only between one tensor and another, and not outside of traces, where looking costs more than it saves.
    """
    trace = current_trace.get()
    if trace is None or len(inputs) != 1 or len(outputs) != 1 or outputs[0]._row is None:
        return None
    sweeps = math.prod((outputs if turned else inputs)[0].shape)
    if sweeps <= FEW:
        return None
    pattern = recorded_sparsity(inputs[0]._row, outputs[0]._row, EFFORT)
    if pattern is None:
        return None
    pattern = pattern.transposed() if turned else pattern
    if 2 * pattern.widest() > sweeps:
        return None
    found = Compression(pattern)
    return found if 2 * found.count <= sweeps else None


def pattern_of(sparsity: Any) -> Pattern:
    """Where a SciPy matrix, or what SciPy can make one of, is not zero."""
    matrix = scipy_sparse().coo_matrix(sparsity, dtype=bool)
    rows, columns = matrix.shape
    return Pattern.of(rows, columns, (matrix.row[matrix.data], matrix.col[matrix.data]))


def one_leaf(what: str, structure: Any) -> None:
    """`TypeError` unless something is one tensor."""
    if structure is not None:
        raise TypeError(f"with sparsity= the {what} must be one tensor, not nested")


def outside_of_traces() -> None:
    """`RuntimeError` while a trace records."""
    if current_trace.get() is not None:
        raise RuntimeError(
            "a sparse Jacobian is a SciPy matrix, which cannot be traced: ask for it outside of jit and "
            "vmap (the function itself may be under jit)"
        )
