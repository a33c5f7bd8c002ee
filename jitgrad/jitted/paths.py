"""Branches on values under `jit(f, guard=True)`: tapes that know for which values they are right.

A tape has no branches: it is one way through the function. While that is recorded with `guard=True`, the values of the
call at hand are known, so that `if loss < tol:` can be decided; the row that decided it becomes a guard. The tape has one
output more, the number of the first guard that is other than it was when the tape was recorded, 0 if none is. Where it
is not 0, the tapes recorded for other ways are tried, and if none is right the function is recorded again.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base import locks
from jitgrad.base.quiet import quietly
from jitgrad.calls.entry import MISS, Failed
from jitgrad.errors import LeakedTraceError
from jitgrad.ops.elementwise import clone, ne, where
from jitgrad.ops.movement import reshape
from jitgrad.passes.simplify import frozen
from jitgrad.record.apply import apply, current_trace
from jitgrad.record.trace import Trace, example_of, lifting
from jitgrad.tape.handle import Handle, make
from jitgrad.tape.tape import CONST, LEAF, Row, reachable
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.tracing.function import Traced, trace
from jitgrad.tracing.outside import Outside

MOST_PATHS = 32
"""How many tapes are kept for one kind of arguments."""


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


def outer_tensor(handle: Handle) -> Tensor:
    """A captured tensor for the trace outside; an array of the caller, which may change between calls, becomes one."""
    if isinstance(handle, Tensor):
        return handle
    around = current_trace.get()
    return make(Tensor, handle._value, None) if around is None else make(Tensor, None, around.capture(handle))


def known(value: np.ndarray) -> Tensor:
    """An array as a tensor; while a trace records a constant of it, so that what is done with it is recorded and fused."""
    trace = current_trace.get()
    return wrap(value) if trace is None else make(Tensor, None, trace.constant(value))


def trace_lifted(
    function: Callable, specs: Sequence[tuple], rebuild: Callable, tracing: Trace, outside: Outside | None = None,
    examples: Sequence[Any] = (),
) -> Traced:
    """`trace` in which operations on tensors from outside are recorded too, although these have values: they may have others
    at the next call."""
    tracing.lifts = True
    try:
        lifting.append(tracing)
        return trace(function, specs, rebuild, Tensor, tracing, outside, examples)
    finally:
        if tracing in lifting:
            lifting.remove(tracing)


class Paths:
    """The compiled tapes for one kind of arguments, the last used first. `prefer(path)` lets calls begin with its entry."""

    def __init__(self, name: str, prefer: Callable[[Any], None]) -> None:
        self.name, self.prefer = name, prefer
        self.paths: list[Any] = []
        self._full = False

    def is_right(self) -> bool:
        """Each path is asked for itself."""
        return True

    def chosen(self, tensors: list[Any], sweep: str, record: Callable[[list[Any]], Any]) -> tuple[Any, Any]:
        """The path that these tensors take, and the values of its outputs; it is recorded if need be.

        A wrong path may fail in any way (an index may be out of range, say) before its guards are looked at. The last word
        has the function itself: the path that is recorded for these very values is right, whatever its guards say.
        """

        def attempt(path: Any) -> Any:
            try:
                values = _run(path, sweep, tensors)
            except Exception:
                return Failed(0)
            failed = Failed(values[-1] if path.outcomes else 0)
            return failed if failed.guard else values

        found = self._search(attempt, [], ())
        if found is not None:
            return found
        path = self._added(record([x._value for x in tensors]))
        return path, _run(path, sweep, tensors) if path.kept else None

    def other(self, path: Any, args: tuple, failed: int) -> Any:
        """The result for `args` by another path than this, of which a guard failed (0: something else); MISS if the general
        way must be taken."""
        begin = _turned(path, failed) if failed else ()
        found = self._search(lambda path: MISS if path.entry is None else path.entry(args, True), [path], begin)
        if found is None or found[1] is MISS:
            return MISS
        self.prefer(found[0])
        return found[1]

    def _search(self, attempt: Callable[[Any], Any], tried: list[Any], begin: tuple[bool, ...]) -> tuple[Any, Any] | None:
        """The path that is right and what `attempt` gives for it; where that is a `Failed`, the next path begins alike."""
        while True:
            fitting = (p for p in self.paths if p.outcomes[: len(begin)] == begin and p not in tried and p.is_right())
            path = next(fitting, None)
            if path is None:
                return None
            result = attempt(path)
            if result.__class__ is not Failed:
                if self.paths[0] is not path and result is not MISS:
                    with locks.paths:
                        self.paths = [path, *[p for p in self.paths if p is not path]]
                return path, result
            tried.append(path)
            if result.guard:
                begin = _turned(path, result.guard)

    def _added(self, path: Any) -> Any:
        """A path that has just been recorded, or the same that is there already."""
        with locks.paths:
            rivals = [p for p in self.paths if p.outcomes == path.outcomes]
            if rivals and _same(rivals[0], path):
                return rivals[0]
            path.kept = len(self.paths) - len(rivals) < MOST_PATHS
            if path.kept:
                path.alike = self
                if path.outcomes:
                    path.others = functools.partial(self.other, path)
                self.paths = [path, *[p for p in self.paths if p not in rivals]]
            warns, self._full = not path.kept and not self._full, not path.kept
        if warns:
            warnings.warn(
                f"{self.name} has been recorded for {MOST_PATHS} outcomes of its branches, and this call has another. Such calls "
                "are now recorded and run row by row every time, which is slow: write a loop whose length follows from values "
                "as jitgrad.while_loop, and a choice as jitgrad.cond or where", RuntimeWarning, stacklevel=6,
            )  # fmt: skip
        return path


def _run(path: Any, sweep: str, tensors: list[Any]) -> Any:
    """The values of the outputs of a compiled tape."""
    return path.runner(sweep)(*[x._value for x in tensors], *[x._value for x in path.captured])


def _turned(path: Any, failed: int) -> tuple[bool, ...]:
    """The outcomes up to a guard that fails, with that as it is now."""
    return (*path.outcomes[: failed - 1], not path.outcomes[failed - 1])


def _same(one: Any, other: Any) -> bool:
    """Whether two paths have equal rows, read the same tensors from outside and give the same fixed results."""
    forms = []
    for path in (one, other):
        places = {row: i for i, row in enumerate(path.tape.rows)}
        rows = [(r.op, r.shape, r.dtype, frozen(r.params), *[places[x] for x in r.inputs]) for r in path.tape.rows]
        forms.append((rows, [id(x) for x in [*path.captured, *path.traced.outputs]], path.traced.structure))
    return forms[0] == forms[1] and one.is_right()


def replayed(path: Any, tensors: Sequence[Any]) -> list[Any]:
    """The outputs of a tape that is not compiled, recorded again where a gradient may be wanted."""
    found = path.tape.replay(*tensors[: len(path.tape.inputs)], captured=dict(zip(path.leaves, tensors)).__getitem__)
    return [apply(clone, (x if isinstance(x, Handle) else wrap(x),)) for x in found]
