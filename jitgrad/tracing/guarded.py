"""Traces that know values, or are recorded once more in the trace around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base.quiet import quietly
from jitgrad.errors import LeakedTraceError
from jitgrad.ops.choosing import ne, where
from jitgrad.ops.movement import reshape
from jitgrad.record.apply import apply, current_trace
from jitgrad.record.trace import Trace, example_of, lifting
from jitgrad.tape.device_array import device_among, placed_like
from jitgrad.tape.handle import make
from jitgrad.tape.row import CONST, LEAF, Row, reachable
from jitgrad.tensors.tensor import Tensor
from jitgrad.tracing.function import Traced, trace
from jitgrad.tracing.outside import Outside


class GuardedTrace(Trace):
    """A trace that knows the values of its inputs. It also records what is computed from tensors of outside alone, whose
    values may be others at the next call."""

    def truth(self, handle: Any) -> bool:
        """Decide a branch by the values of this call, and note how."""
        flag = handle if handle._held.dtype == np.bool_ else apply(ne, (handle, 0))
        if flag._held.shape:
            flag = apply(reshape, (flag,), {"shape": ()})
        row = flag._row if flag._value is None else self.capture(flag)
        if row not in self.rows:
            raise LeakedTraceError("a branch on a tensor of an earlier trace: return it from its function instead")
        if row not in self.guards:
            self.guards[row] = bool(quietly(self.example, row))
            self.names[row] = f"guard {len(self.guards)}: {self.guards[row]}"
        return self.guards[row]

    def checks(self) -> list[Row]:
        """The row with the number of the first guard that fails; none if the function had no branch."""
        first = make(Tensor, None, self.constant(np.int64(0)))
        for i, (row, outcome) in reversed(list(enumerate(self.guards.items(), 1))):
            number = make(Tensor, None, self.constant(np.int64(i)))
            first = apply(where, (make(Tensor, None, row), *((first, number) if outcome else (number, first))))
        return [first._row] if self.guards else []


class InnerTrace(Trace):
    """A trace within another, whose rows are recorded there once more. `given` are the tensors for its inputs there, as
    far as there are such: what depends on nothing else has the truth that it has there."""

    def __init__(self, given: Sequence[Any] = ()) -> None:
        super().__init__()
        self.given = given
        self.at_hand = lambda: [example_of(x) for x in given]
        self.outside: dict[Row, Any] = {}

    def truth(self, handle: Any) -> bool | None:
        """The truth of the same tensor in a guarded trace around this one; None if that has no such tensor."""
        found = self.outside
        found.update(zip(self.rows, self.given))
        found.update(self.captured.values())
        was = current_trace.get()
        try:
            current_trace.set(self.outer)
            for x in reachable([handle._row], found.__contains__) if handle._value is None else ():
                if x.op is LEAF and x not in found:
                    return None
                if x not in found:
                    found[x] = self._constant(x) if x.op is CONST else apply(x.op, [found[y] for y in x.inputs], x.params)
            return bool(handle if handle._value is not None else found[handle._row])
        finally:
            current_trace.set(was)

    def _constant(self, row: Row) -> Tensor:
        assert self.outer is not None
        return make(Tensor, None, self.outer.constant(row.params["value"]))


def outer_tensor(traced: Traced, handle: Any, beside: Sequence[Tensor] = ()) -> Tensor:
    """A captured tensor for the trace outside; an array of the caller, which may change between calls, becomes one, on the
    device of the tensors that it is `beside`."""
    if id(handle) not in traced.arrays:
        return handle
    around = current_trace.get()
    if around is not None:
        return make(Tensor, None, around.capture_array(handle._value))
    return make(Tensor, placed_like(device_among([x._value for x in beside]), handle._value), None)


def trace_lifted(
    function: Callable,
    specs: Sequence[tuple],
    rebuild: Callable,
    tracing: Trace,
    outside: Outside | None = None,
    examples: Sequence[Any] = (),
) -> Traced:
    """`trace` in which operations on tensors from outside are recorded too, although these have values: they may have others
    at the next call."""
    tracing.lifts = True
    try:
        lifting.append(tracing)
        return trace(function, specs, rebuild, tracing, outside, examples)
    finally:
        if tracing in lifting:
            lifting.remove(tracing)
