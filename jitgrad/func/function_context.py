"""The context of a call of an `autograd.Function`: what its forward leaves for its derivatives. It is the node of the call."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.autograd.nodes import Node, edge_of
from jitgrad.autograd.saved import SavedTensor, refuse_freed
from jitgrad.functions.shaping import sum_to_size
from jitgrad.ops.choosing import cast
from jitgrad.ops.shapes import Spec
from jitgrad.record.apply import apply, item_of, zeros
from jitgrad.record.trace import in_mode
from jitgrad.tape.handle import Handle, check_guards, tensor
from jitgrad.tape.packing import unpacked
from jitgrad.tape.row import Row, Several

NO_TENSOR = Spec((0,), np.dtype(bool))
"""Stands among the results of a call for what is no tensor."""


class FunctionCtx(Node):
    """What `forward` (or `setup_context`), `backward` and `jvp` share. It takes attributes, for what is no tensor.

    `needs_input_grad` says of each argument whether it requires grad.
    """

    _function: Any
    needs_input_grad: tuple[bool, ...]

    def __init__(self, args: Sequence[Any]) -> None:
        self.needs_input_grad = tuple([isinstance(x, Handle) and x._row is not None and x._row.requires for x in args])
        self._to_save: tuple[Any, ...] = ()
        self._to_push: tuple[Any, ...] | None = None
        self._pushed: tuple[Any, ...] = ()  # of the same, once there is a row, the values, the sources, and no guards
        self._history: Any = None  # of the sweep that runs
        self._pushing = False
        self._dirty: tuple[Any, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._materialize = True
        self._sources: list[Any] = []  # of what was saved: rows, numbers of results, or None
        self._places = [i for i, x in enumerate(args) if isinstance(x, Handle)]
        self._count = len(args)
        self._at: weakref.ref[Row] | None = None
        self._inputs: tuple[Row, ...] = ()

    # For users.

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for `backward`, which finds them in `saved_tensors`. One that is changed in place afterwards is
        an error there."""
        self._to_save = _tensors("save_for_backward", tensors)

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for `jvp`, which finds them in `saved_tensors`."""
        self._to_push = _tensors("save_for_forward", tensors)

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which arguments `forward` changed in place; each must be among the results."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which results have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (and `jvp` for tangents) where there is no cotangent, as it does, or None."""
        self._materialize = bool(value)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was saved, for `backward` or `jvp`."""
        pushing = self._pushing and self._to_push is not None
        if self._at is None:
            return self._to_push if pushing else self._to_save  # type: ignore[return-value]
        row: Any = self._row
        if pushing:
            return tuple([self._restored(row, *facts) for facts in zip(*self._pushed)])
        refuse_freed(row, self.name())
        if row.guards is not None:
            check_guards(row)
        values, guards = unpacked(row.saved or ()), row.guards or (None,) * len(self._sources)
        return tuple([self._restored(row, *facts) for facts in zip(values, self._sources, guards)])

    @property
    def _raw_saved_tensors(self) -> tuple[SavedTensor, ...]:
        """The same, for hooks of one of them."""
        row = self._row
        refuse_freed(row, self.name())
        return tuple([SavedTensor(row, k) for k in range(len(row.saved or ()))])

    def _restored(self, row: Several, value: Any, source: Any, guard: Any) -> Any:
        """What was saved, as a tensor; a constant, if nobody differentiates in what it comes from."""
        if value is None:
            return None
        behind = row if isinstance(source, int) else source
        known = behind is not None and (self._history is None or behind in self._history)
        out = tensor(value, None if not known else item_of(row, source) if isinstance(source, int) else source)
        out._storage = None if guard is None else guard[0]
        return out

    # As a node.

    @property
    def _row(self) -> Any:  # type: ignore[override]
        row = None if self._at is None else self._at()
        if row is None:
            raise RuntimeError(f"the graph that {self.name()} belonged to is gone: keep a result of the call")
        return row

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes of the tensors among the arguments."""
        return tuple([edge_of(x) for x in self._inputs])

    def recorded_as(self, row: Several, source_of: Callable[[Any], Any]) -> None:
        """Note the row of the call, and where what was saved for `jvp` comes from: a tensor would hold the row."""
        self._at, self._inputs = weakref.ref(row), row.inputs
        if self._to_push is not None:
            kept, self._to_push = self._to_push, ()
            self._pushed = ([None if x is None else x._value for x in kept], list(map(source_of, kept)), [None] * len(kept))
        self._to_save = self._dirty = self._constant = ()


def _tensors(name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    for i, x in enumerate(given):
        if x is not None and not isinstance(x, Handle):
            raise TypeError(f"{name} keeps tensors, and argument {i} is {type(x).__name__}: keep it as an attribute of ctx")
    return given


def filled(ctx: FunctionCtx, parts: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    """Cotangents or tangents as the user's rule gets them: zeros in the place of None, unless that was switched off."""
    return [
        zeros(held) if part is None and ctx._materialize and held is not None and held is not NO_TENSOR else part
        for part, held in zip(parts, like)
    ]


def cotangents_of(ctx: FunctionCtx, gs: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    """What `backward` gives for each argument, checked; `like` has the rows or values of the arguments, None for no tensors."""
    cls = ctx._function
    found = cls.derivative()(ctx, *gs)
    found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    while len(found) > len(like) and found[-1] is None:
        found = found[:-1]
    if len(found) != len(like):
        raise RuntimeError(
            f"backward of {cls.__name__} returned {len(found)} gradients, and forward takes {len(like)} arguments: there must be "
            "one for each, None where there is none"
        )
    return [_fitting(ctx, i, g, held) for i, (g, held) in enumerate(zip(found, like))]


def _fitting(ctx: FunctionCtx, i: int, given: Any, held: Any) -> Any:
    """A cotangent in the shape and dtype of its argument."""
    what = f"backward of {ctx._function.__name__} returned for argument {i}"
    if given is None:
        return None
    if held is None:
        raise RuntimeError(f"{what} a {type(given).__name__}, and that argument is no tensor: it must be None")
    if not isinstance(given, Handle):
        raise RuntimeError(f"{what} a {type(given).__name__}: it must be a tensor or None")
    g: Any = given
    shape, found = tuple(held.shape), tuple(g._held.shape)
    if found != shape:
        if not _broadcasts(shape, found):
            raise RuntimeError(f"{what} a gradient of shape {list(found)}, and it has {list(shape)}: they must be equal")
        g = sum_to_size(g, shape)
    if g._held.dtype == held.dtype:
        return g
    if g._held.dtype.kind == "c" and held.dtype.kind != "c":
        raise RuntimeError(f"{what} a complex gradient, and the argument is real: take .real")
    return apply(cast, (g,), {"dtype": held.dtype}) if held.dtype.kind in "fcV" else None


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return tuple(np.broadcast_shapes(shape, to)) == to
    except ValueError:
        return False


def tangents_of(ctx: FunctionCtx, ts: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    """What `jvp` gives for each result, checked; `like` has their shapes, `NO_TENSOR` where there is none."""
    cls = ctx._function
    ctx._pushing = True
    try:
        found = cls.jvp(ctx, *ts)
    finally:
        ctx._pushing = False
    found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
    if len(found) != len(like):
        raise RuntimeError(f"jvp of {cls.__name__} returned {len(found)} tangents, and forward returns {len(like)} results")
    for k, (t, held) in enumerate(zip(found, like)):
        if t is None or held is NO_TENSOR:
            continue
        if not isinstance(t, Handle):
            raise TypeError(f"jvp of {cls.__name__} returned a {type(t).__name__} for result {k}: it must be a tensor or None")
        if tuple(t._held.shape) != tuple(held.shape):
            raise RuntimeError(
                f"jvp of {cls.__name__} returned a tangent of shape {list(t._held.shape)} for result {k}, which has "
                f"{list(held.shape)}: they must be equal"
            )
    return [None if held is NO_TENSOR else t for t, held in zip(found, like)]


def ran(cls: Any, args: Sequence[Any]) -> tuple[FunctionCtx, Any]:
    """The context and the result of a call, in which nothing is recorded."""
    ctx = cls._backward_cls(args)

    def forward() -> Any:
        if not cls.has_setup():
            return cls.forward(ctx, *args)
        output = cls.forward(*args)
        cls.setup_context(ctx, tuple(args), output)
        return output

    return ctx, in_mode(False, forward)
