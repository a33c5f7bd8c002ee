"""`trace` makes a tape from a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from jitgrad.base.tree import COMPUTED, flatten, unchanged
from jitgrad.errors import CHANGED_CONTAINER, MutatedArgumentError
from jitgrad.record.apply import Trace
from jitgrad.record.trace import Known, KnownAttribute, recording
from jitgrad.tape.handle import Handle, tensor
from jitgrad.tape.row import Leaf, Row
from jitgrad.tape.tape import Tape
from jitgrad.tracing.hidden import refuse_hidden
from jitgrad.tracing.outside import Outside, contents


class Traced:
    """A function run once on values that are not there yet: its tape, and what it captured."""

    def __init__(self, tape: Tape, structure: Any, captured: dict[Row, Handle], outputs: list[Any]) -> None:
        self.tape = tape
        self.structure = structure
        self.captured = captured
        self.outputs = outputs
        self.guards: list[tuple[Row, bool]] = []  # see `jitted.paths`
        self.doubts: tuple[str, ...] | None = (
            None  # what it reached of which nobody knows if it will be the same: see `rerecording`
        )
        self.arrays: set[int] = set()  # of the captured tensors, the ids of those that stand for arrays by NumPy
        self.made: set[int] = set()  # of the captured tensors, the ids of those that the function made of nothing from outside
        self.laid: list[tuple[int, Any]] = []  # for which inputs and captured tensors it is right as these lie in memory
        self.looked_at: list[Known | KnownAttribute] = []  # what it took Python numbers of: with others it would be another tape

    def take(self, tracing: Trace) -> None:
        """Note what the trace knows of it."""
        self.guards = list(tracing.guards.items())
        self.looked_at = list(tracing.looked_at.values())
        self.arrays = {id(handle) for _, handle in tracing.arrays.values()}
        self.made = {id(handle) for handle in self.captured.values() if tracing.has_made(handle)}
        leaves = enumerate([*self.tape.inputs, *self.captured])
        self.laid = [(k, tracing.laid[leaf]) for k, leaf in leaves if leaf in tracing.laid]


def trace(
    function: Callable,
    specs: Sequence[tuple],
    rebuild: Callable[[list], tuple],
    tracing: Trace | None = None,
    outside: Outside | None = None,
    examples: Sequence[Any] = (),
) -> Traced:
    """Record `function` for inputs of the given `(shape, dtype, number)`, in `tracing` if that is given. `outside` is what it
    reads, if that is known already; `number` is the `Number` that an input stands for, None if it is a tensor.

    `rebuild` makes the arguments from the list of input tensors, which lie in memory as the `examples` do, or without these in
    order. Results that are not tensors stay what they are.
    """
    tracing = tracing or Trace()
    inputs = [_input(tracing, *spec) for spec in specs]
    tracing.examples.update(zip(inputs, examples))
    if outside is None:
        outside = Outside(function)
        outside.search()
    before = outside.tensors()
    doubts: list[tuple[str, ...] | None] = []

    def record() -> tuple[Any, list[Any], list[Row | None], list[Row]]:
        args, kwargs = rebuild([tensor(None, leaf) for leaf in inputs])
        given: list[Any] = []
        nested = flatten((args, kwargs), given)
        recorded = tracing.lifts and tracing.outermost is tracing
        with outside.watching((args, kwargs), doubts) if recorded else nullcontext():
            result = function(*args, **kwargs)
        if not unchanged((args, kwargs), nested, given):
            raise MutatedArgumentError(CHANGED_CONTAINER)
        if any(contents(tensor) != known for tensor, known in before):
            raise MutatedArgumentError(
                "a function that is recorded changes a tensor from outside in place; that would happen once, while it is "
                "recorded, and not at every call or step: return the new value instead"
            )
        leaves: list[Any] = []
        structure = flatten(result, leaves)
        refuse_hidden(structure, leaves)
        rows = [_result_row(tracing, leaf) for leaf in leaves]
        if recorded:
            tracing.note_arrays(outside.memory([args, kwargs]))
            outside.search_after()
        return structure, leaves, rows, tracing.checks()

    structure, leaves, rows, checks = recording(tracing, record)
    captured: dict[Row, Handle] = dict(tracing.captured.values())
    tape = Tape(inputs, [row for row in rows if row is not None] + checks, tracing.names, among=tracing.rows)
    outputs = [COMPUTED if row is not None else leaf for row, leaf in zip(rows, leaves)]
    traced = Traced(tape, structure, captured, outputs)
    traced.doubts = doubts[0] if doubts else None
    traced.take(tracing)
    return traced


def _input(tracing: Trace, shape: tuple[int, ...], dtype: Any, number: Any) -> Leaf:
    leaf = Leaf(shape, dtype, False)
    tracing.rows.add(leaf)
    if number is not None:
        tracing.numbers[leaf] = number
    return leaf


def _result_row(tracing: Trace, leaf: Any) -> Row | None:
    if not isinstance(leaf, Handle):
        return None
    inside = leaf._value is None and leaf._row in tracing.rows
    return leaf._row if inside else tracing.capture(leaf)
