"""Derivative rules, and what a reverse sweep needs of a row for them.

Rules are plain functions whose argument *names* say what they need, in this order:

* `g`, the cotangent of the result (in a `vjp`; a partial derivative `d` has no `g`); of several results those that matter,
  `g_values`, `g_indices`, each None if none arrived;
* values: the input names (`x`, `y`, …) or the name of a result; just these are kept for the reverse sweep;
* static facts: a parameter of the row by its name, or `x_shape`, `x_dtype` for the shape or dtype of an input.

They are written with recorded operations only, so the same line serves arrays (the interpreted sweep), recorded
tensors (second derivatives) and traced tensors (compiled gradients).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jitgrad.ops.faults import Fault

OUTPUT, REST, RESULTS = -1, -2, -3
"""Slots beside the inputs: the result; all inputs from the starred one on; the first of several results, the next ones below."""


class Hole:
    """A rule that is not there, and why; a sweep that comes to it raises `HoleError`."""

    def __init__(self, why: str) -> None:
        self.why = why


def todo(why: str) -> Hole:
    """A rule that should exist and does not yet. `jitgrad ops` lists them."""
    return Hole(why)


class _NotDifferentiable:
    def __repr__(self) -> str:
        return "NOT_DIFFERENTIABLE"


NOT_DIFFERENTIABLE = _NotDifferentiable()
"""The derivative of a comparison, an index, a rounding to integers: no cotangent flows, as in PyTorch. Among rules it is None; as
all that a row says of its derivative it says that none was forgotten."""


class Rule:
    """A derivative rule with its needs read from its signature: cotangents, values to keep, then static facts."""

    __slots__ = ("cotangents", "function", "of_tangents", "statics", "values")

    def __init__(self, function: Callable, inputs: tuple[str, ...], outputs: tuple[str, ...], given: bool) -> None:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        slots = {name: i for i, name in enumerate(inputs) if name[0] != "*"}
        slots |= {name[1:]: REST for name in inputs if name[0] == "*"}
        slots |= {outputs[0]: OUTPUT} if len(outputs) == 1 else {name: RESULTS - k for k, name in enumerate(outputs)}
        arriving = {f"g_{name}": k for k, name in enumerate(outputs)} if len(outputs) > 1 else {"g": None}
        self.cotangents = tuple(arriving[n] for n in names if n in arriving)
        names = names[len(self.cotangents) if len(outputs) > 1 else given :]
        self.function = self.of_tangents = function
        self.values = tuple(slots[n] for n in names if n in slots)
        self.statics = tuple(n for n in names if n not in slots)

    def conjugated(self, conj: Callable, partial: bool) -> Rule:
        """The rule for complex numbers of one that is a partial derivative, or multiplies by such: a cotangent is multiplied by
        the conjugate, a tangent (`of_tangents`) by the partial derivative itself."""
        rule, function = copy.copy(self), self.function

        def conjugate(x: Any) -> Any:
            return conj(x) if hasattr(x, "dtype") else x.conjugate()

        if partial:
            rule.function = lambda *arguments: conjugate(function(*arguments))
        else:
            rule.function = lambda g, *arguments: conjugate(function(conjugate(g), *arguments))
        return rule

    def __call__(self, g: Any, arguments: Sequence[Any]) -> Any:
        """What becomes of the cotangent of the result, or of those of several, by their places."""
        given = [g] if self.cotangents[:1] == (None,) else [g.get(k) for k in self.cotangents]
        return self.function(*given, *arguments)

    def facts(self, row: Any, i: int) -> list:
        """The static arguments of this rule for the `i`-th input of one row of a tape."""
        return [self._fact(row, name, i) for name in self.statics]

    def _fact(self, row: Any, name: str, i: int) -> Any:
        if name in row.params:
            return row.params[name]
        if name == "i":
            return i
        if name == "xs_shapes":
            return [x.shape for x in row.inputs]
        which, _, what = name.rpartition("_")
        return getattr(row.inputs[row.op.inputs.index(which)], what)


class Needs(NamedTuple):
    """How the reverse sweep treats one row: which values to keep, and a rule per input that needs a cotangent."""

    slots: tuple[int, ...]
    calls: tuple[tuple[int, Rule, tuple[int, ...]], ...]  # (input, rule, positions of its values in `slots`)
    plain: bool = False  # the rules need saved values and parameters, and nothing else
    quick: tuple[tuple[int, Callable, tuple[int, ...], int, tuple[str, ...]], ...] = ()
    # calls as (input, function, picks, their number or -1 if there are parameters, names of the parameters)


class Loops(NamedTuple):
    """How an operation on matrices is computed in loops, one matrix after the other (see `elimination`)."""

    run: Callable  # of one matrix of each operand and each result, room to work in, and parameters; it says what is wrong
    room: Callable = lambda *xs, **params: ()  # the shapes and dtypes of that room
    fault: Fault | None = None  # what it means if something is wrong; None where that is a result like any other


class Fold(NamedTuple):
    """How a reduction makes one of many."""

    join: Any  # the row of what makes one of two parts
    neutral: float  # what changes nothing; infinite for integers too, which means the largest and smallest of their dtype
    wide: bool  # whether parts of floats are held as float64


class Running(NamedTuple):
    """How a row makes each element along a dimension of what is carried to it and of the elements of its inputs there.

    Each of the `steps` is a row of what is carried, then the inputs, then the place along the dimension, as far as it asks for
    them; it makes what is carried on. The last of these is the result, and the others are of the dtype of the inputs.
    """

    start: tuple[float, ...]  # what is carried to the first element; infinite as in `Fold`
    steps: tuple[Any, ...]
    wide: bool
