"""Calls of an `autograd.Function` while a trace records: those of a function with rules of its own (`func.custom`)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from jitgrad.base.tree import flatten
from jitgrad.errors import MutatedArgumentError
from jitgrad.func.custom import Custom
from jitgrad.func.custom_call import _Call
from jitgrad.func.function_context import NO_TENSOR, FunctionCtx, cotangents_of, filled, ran, tangents_of
from jitgrad.functions.shaping import movedim
from jitgrad.ops.shapes import Spec
from jitgrad.passes.batch import Batch, spread
from jitgrad.record.apply import grad_mode
from jitgrad.tape.handle import Handle
from jitgrad.tensors import inplace
from jitgrad.tensors.tensor import Tensor


class VmapInfo(NamedTuple):
    """What a `vmap` rule is told of the call: how many examples there are, and what `randomness` the user asked for."""

    batch_size: int
    randomness: str


def applied(cls: Any, args: Sequence[Any]) -> Any:
    """The results of a call with traced tensors, arguments that were changed in place among them."""
    custom = Recorded(cls)
    call = _Call(custom, tuple(args), {})
    output = call.traced()
    outs = list(output) if isinstance(output, tuple) else [output]
    for k, i in custom.dirty:
        outs[k] = inplace.overwrite(args[i], outs[k], cls.__name__)
    return tuple(outs) if isinstance(output, tuple) else outs[0]


class Recorded(Custom):
    """A `Function` as a function of tensors with rules of its own."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self.__name__ = cls.__name__
        self.dirty: list[tuple[int, int]] = []
        self._function = self._run

    def _run(self, *args: Any) -> Any:
        """The results of `forward`; those without a gradient are cut off."""
        ctx, output, used = self._ran(args)
        outs = list(output) if isinstance(output, tuple) else [output]
        self.dirty = [
            (k, i) for k, x in enumerate(outs) for i, y in enumerate(used) if x is y and any(x is d for d in ctx._dirty)
        ]
        outs = [x.detach() if any(x is c for c in ctx._constant) else x for x in outs]
        return tuple(outs) if isinstance(output, tuple) else outs[0]

    def _ran(self, args: Sequence[Any]) -> tuple[FunctionCtx, Any, Sequence[Any]]:
        """A run, on copies if it changes its arguments in place."""
        try:
            ctx, output = ran(self.cls, args)
        except MutatedArgumentError:
            args = [x.clone() if isinstance(x, Tensor) else x for x in args]
            ctx, output = ran(self.cls, args)
        return ctx, output, args

    def rules(self, call: _Call) -> tuple[Any, Any]:
        cls = self.cls

        def differentiable(xs: Sequence[Any]) -> tuple[FunctionCtx, list[Any], list[Any]]:
            """A run on these tensors: its context, the arguments and the results."""
            args, _ = call.rebuilt(xs)
            ctx, output, used = self._ran(args)
            outs = list(output) if isinstance(output, tuple) else [output]
            ctx._to_save = _retied(cls, ctx._to_save, args, used, outs)
            if ctx._to_push is not None:
                ctx._to_push = _retied(cls, ctx._to_push, args, used, outs)
            ctx.needs_input_grad = tuple([isinstance(x, Tensor) and x.dtype.has_gradient for x in args])
            return ctx, list(args), outs

        def pull(xs: Sequence[Any], gs: Sequence[Any]) -> list[Any]:
            ctx, args, outs = differentiable(xs)
            given: list[Any] = []
            flatten(call.results.nested(gs), given)
            like = [_spec(x) for x in outs]
            found = cotangents_of(ctx, filled(ctx, given, like), [x._held if isinstance(x, Handle) else None for x in args])
            return call.cotangents(xs, tuple(found))

        def push(xs: Sequence[Any], ts: Sequence[Any]) -> list[Any]:
            ctx, args, outs = differentiable(xs)
            tangents, _ = call.rebuilt(ts, others=None)
            held = [x._held if isinstance(x, Handle) else None for x in args]
            found = tangents_of(ctx, filled(ctx, tangents, held), [_spec(x) for x in outs])
            shaped = [t for t, spec in zip(found, call.results.specs) if spec is not None]
            return list(filled(ctx, shaped, [spec for spec in call.results.specs if spec is not None]))

        return pull, push if cls.pushes() else None

    def batching(self, call: _Call) -> Any:
        """How a row of the call runs for many examples, if the user says that."""
        return functools.partial(_batch, self.cls, call) if self.cls.batches() else None


def _spec(x: Any) -> Any:
    return Spec(tuple(x._held.shape), x._held.dtype) if isinstance(x, Handle) else NO_TENSOR


def _retied(cls: Any, kept: Sequence[Any], args: Sequence[Any], used: Sequence[Any], outs: Sequence[Any]) -> tuple[Any, ...]:
    """What was saved, results as those of a call that can be differentiated again; equal rows become one in the end."""
    ours = [next((k for k, out in enumerate(outs) if x is out), None) for x in kept]
    ours = [None if any(x is arg for arg in used) else k for x, k in zip(kept, ours)]
    if not grad_mode.get() or all(k is None for k in ours):
        return tuple(kept)
    again = cls.apply(*args)
    results = again if isinstance(again, tuple) else (again,)
    return tuple([x if k is None else results[k] for x, k in zip(kept, ours)])


def _batch(cls: Any, call: _Call, row: Any, operands: Sequence[Any], size: int) -> list[Any]:
    """The results for many examples by the rule of the user's, the examples along dimension 0."""
    given = operands[: len(call.xs)]
    args, _ = call.rebuilt([x.value if isinstance(x, Batch) else x for x in given])
    dims, _ = call.rebuilt([0 if isinstance(x, Batch) else None for x in given], others=None)
    found = cls.vmap(VmapInfo(size, "error"), tuple(dims), *args)
    if not isinstance(found, tuple) or len(found) != 2:
        raise RuntimeError(f"vmap of {cls.__name__} must return (output, out_dims), not {type(found).__name__}")
    output, where = found
    outs = output if isinstance(output, tuple) else (output,)
    places = where if isinstance(where, tuple) else (where,) * len(outs)
    results = []
    for x, dim, spec in zip(outs, places, call.results.specs):
        if spec is not None:
            x = spread(x, size) if dim is None else movedim(x, dim, 0)
            if tuple(x.shape) != (size, *spec.shape):
                raise RuntimeError(
                    f"vmap of {cls.__name__} gives a result of shape {list(x.shape)}: it must be {size} times {list(spec.shape)}"
                )
            results.append(x)
    return results
