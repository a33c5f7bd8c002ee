"""A function run once at its arguments, ready for sweeps in both directions.

There is no inner tape to nest: the arguments get fresh rows, the function runs (on values, or on the tape that `jit` or
`vmap` traces), and sweeps go between those rows and those of its results. What the function closes over is part of the
same graph, so derivatives of derivatives and closures over traced values are right without further machinery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base.tree import flatten, size, tree_map, unchanged, unflatten
from jitgrad.calls.kinds import arguments
from jitgrad.devices.moving import moved
from jitgrad.errors import CHANGED_CONTAINER, MutatedArgumentError
from jitgrad.functions.data import as_tensor
from jitgrad.functions.operands import operand, tensor_beside
from jitgrad.ops.choosing import cast
from jitgrad.passes.forward import forget, forward
from jitgrad.passes.reverse import reverse
from jitgrad.record.apply import apply, copied, current_trace, grad_mode, watched, zeros
from jitgrad.record.leaving import taken_since
from jitgrad.record.memory import lie_in_order
from jitgrad.tape.device_array import placed_like
from jitgrad.tape.handle import make, requires
from jitgrad.tape.row import LEAF, Row, beyond, serials
from jitgrad.tensors.tensor import Tensor
from jitgrad.tracing.hidden import refuse_keys


class Point:
    """`function` at `args`, differentiable in the arguments at the places `where`.

    `inputs` are the leaves of those arguments, `outputs` the leaves of the result; `structure` and `structures` say how
    they nest. `aux` is the second part of the result if there is one.
    """

    def __init__(
        self, function: Callable, args: Sequence[Any], kwargs: dict, where: Sequence[int], has_aux: bool = False
    ) -> None:
        if not callable(function):
            raise TypeError(f"a function can be differentiated, not {type(function).__name__}")
        ours = {i % len(args) for i in where}
        beside: list[Any] = []
        flatten((*args, *kwargs.values()), beside)
        given = [arg if i in ours else arguments(arg, beside) for i, arg in enumerate(args)]
        kwargs = {name: arguments(arg, beside) for name, arg in kwargs.items()}
        self.begun = serials()
        self.inputs: list[Tensor] = []
        self.structures = []
        was, since = grad_mode.get(), taken_since.get()
        try:
            grad_mode.set(True)
            taken_since.set(serials() if since is None else since)
            for i in where:
                leaves: list[Any] = []
                self.structures.append(flatten(args[i], leaves))
                fresh = [_fresh(leaf, i, beside) for leaf in leaves]
                self.inputs += fresh
                given[i] = unflatten(self.structures[-1], iter(fresh))
            result = function(*given, **kwargs)
        finally:
            grad_mode.set(was)
            taken_since.set(since)
        at = 0
        for i, structure in zip(where, self.structures):
            if not unchanged(given[i], structure, self.inputs[at : (at := at + size(structure))]):
                raise MutatedArgumentError(CHANGED_CONTAINER)
        forget(x._row for x in self.inputs)  # but for the sweeps of this point
        value, aux = _split(result) if has_aux else (result, None)
        leaves = []
        self.structure = flatten(value, leaves)
        refuse_keys(self.structure)
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                what = "a tensor" if self.structure is None else "tensors"
                raise TypeError(f"the function must return {what}, not {type(leaf).__name__}, to have a derivative")
        self.outputs: list[Tensor] = leaves
        self.wanted = {x._row for x in self.inputs}
        others: list[Any] = []
        flatten(aux, others)
        known = [x for x in [*leaves, *others] if isinstance(x, Tensor) and x._value is not None]
        rows = [x._row for x in known if x._row is not None]
        self.history = beyond(rows, self.wanted)  # what others may differentiate in as well
        self.aux = tree_map(self.plain, aux)

    def plain(self, value: Any) -> Any:
        """A result as the caller sees it: without its history if that leads to the fresh rows alone."""
        if not isinstance(value, Tensor):
            return value
        value, row = self._apart(value), value._row
        if value._value is None or row is None:
            return value
        ours = row in self.wanted or row.requires
        if not ours or (grad_mode.get() and row in self.history):
            return value
        out = make(Tensor, value._value, None)
        out._storage = value._storage
        return out

    def _apart(self, value: Any) -> Any:
        """A result, in memory of its own if it may be that of an argument or of what was there before."""
        row = value._row
        made = row is not None and row.requires and row.op is not LEAF and row not in self.wanted and row.serial > self.begun
        shared = not made or value._view is not None
        return copied(value) if shared and (value._value is None or isinstance(value._value, np.ndarray)) else value

    def value(self) -> Any:
        """The result of the function, for the caller."""
        return unflatten(self.structure, iter([self.plain(y) for y in self.outputs]))

    def grouped(self, leaves: Sequence[Any]) -> list[Any]:
        """Something for each input leaf, put together as the arguments are."""
        given = iter(leaves)
        return [unflatten(structure, given) for structure in self.structures]

    def pull(self, cotangents: Sequence[Any], again: bool = True) -> list[Tensor]:
        """The cotangents of the inputs from those of the outputs: a reverse sweep, and unless `again` the last one. None counts
        as zero."""
        seeds: dict[Row, Any] = {}
        recorded, begun = self._recorded(cotangents), serials()
        for y, g in zip(self.outputs, cotangents):
            row = y._row
            if g is not None and row is not None and (row.requires or row in self.wanted):
                g = _seed(g, recorded)
                seeds[row] = seeds[row] + g if row in seeds else g
        found = self._swept(
            recorded, lambda: reverse(seeds, self.wanted, recorded=recorded, retain=recorded or again, history=self.history)
        )
        return arrived([found.get(x._row) for x in self.inputs], self.inputs, begun, seeds)

    def push(self, tangents: Sequence[Any]) -> list[Tensor]:
        """The tangents of the outputs from those of the inputs: a forward sweep. None counts as zero."""
        recorded, begun = self._recorded(tangents), serials()
        seeds = {x._row: _seed(t, recorded) for x, t in zip(self.inputs, tangents) if t is not None}
        rows = [y._row for y in self.outputs if y._row is not None]
        found = self._swept(recorded, lambda: forward(seeds, rows, recorded=recorded, history=self.history))
        given = [found.get(y._row) if y._row is not None else None for y in self.outputs]
        return arrived(given, self.outputs, begun, seeds)

    def _recorded(self, seeds: Sequence[Any]) -> bool:
        """Whether a sweep is recorded: a trace is recording, or somebody outside may differentiate again."""
        if any(x is not None and x._value is None for x in [*self.outputs, *seeds]):
            return True
        return grad_mode.get() and (bool(self.history) or any(map(requires, seeds)))

    def _swept(self, recorded: bool, sweep: Callable[[], dict]) -> dict[Row, Any]:
        was = grad_mode.get()
        try:
            if recorded:
                grad_mode.set(True)
            with np.errstate(all="ignore"):
                return sweep()
        finally:
            grad_mode.set(was)


def _fresh(leaf: Any, argument: int, beside: Sequence[Any]) -> Tensor:
    """A tensor with the value of `leaf` and a row of its own, behind which the sweeps do not look; see `arguments`."""
    if not isinstance(leaf, Tensor):
        try:
            leaf = operand(float(leaf) if isinstance(leaf, int) and not isinstance(leaf, bool) else leaf, beside)
        except TypeError as error:
            raise TypeError(f"argument {argument} cannot be differentiated: {error}") from None
    trace = current_trace.get()
    number = None if trace is None or leaf._value is not None else trace.number(leaf._row)
    if number is not None and number.kind is int:
        leaf = apply(cast, (leaf,), {"dtype": np.dtype(np.float64)})
    if not leaf.dtype.has_gradient:
        raise TypeError(
            f"argument {argument} is {leaf.dtype.name}, and gradients exist for floating dtypes only: "
            "convert it, or leave it out of argnums"
        )
    return watched(leaf)


def _split(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"with has_aux=True the function must return (value, aux), not {type(result).__name__}")
    return result


def _seed(g: Any, recorded: bool) -> Any:
    return g if recorded else g._value


def arrived(found: Sequence[Any], xs: Sequence[Tensor], begun: int, seeds: dict[Row, Any]) -> list[Tensor]:
    """What a sweep that began then brought to `xs`: zeros where nothing arrived, because one does not depend on the other.

    Each has memory of its own, in order. What the sweep did not make, or brought to several, is copied for that.
    """
    out: list[Tensor] = []
    taken: set[Any] = {id(seed) for seed in seeds.values()}
    for g, x in zip(found, xs):
        if g is None:
            out.append(zeros(x))
            continue
        if isinstance(g, np.ndarray):
            fresh = g.base is None and g.flags.c_contiguous and id(g) not in taken
            taken.add(id(g))
            out.append(make(Tensor, g if fresh else g.copy(), None))
        elif not isinstance(g, Tensor):
            out.append(make(Tensor, g, None))
        else:
            ours = g._row is not None and g._row.serial > begun and g._row not in taken
            taken.add(g._row)
            if ours and g._value is None:
                g = make(Tensor, None, g._row)
                lie_in_order(g)
            elif not ours or g._view is not None or not g._value.flags.c_contiguous:
                g = copied(g)
            out.append(g)
    return out


def as_seed(x: Any, owner: Tensor) -> Tensor:
    """A cotangent or tangent as a tensor: an array or a number is on no device, so it comes to be on that of `owner`."""
    if isinstance(x, Tensor):
        return x
    return tensor_beside(x, (owner,)) if isinstance(x, np.ndarray) else moved(as_tensor(x), owner.device)


def one(x: Tensor) -> Tensor:
    """Ones in the shape of `x`; where `x` has no value yet a constant of the tape, so that products with it vanish."""
    held = x._held
    ones: Any = held.dtype.type(1) if not held.shape else np.ones(held.shape, held.dtype)
    trace = current_trace.get()
    if x._value is None and trace is not None:
        return make(Tensor, None, trace.constant(ones))
    return make(Tensor, placed_like(held, ones), None)
