"""`autograd.Function`: operations that bring a derivative of their own, as PyTorch writes them.

A call with values is one row: it holds the context, which is its node, and what that saves lies where rows save. While a trace
records, it is a call of a function with rules of its own: see `func.recorded_function`.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.func.function_context import NO_TENSOR, FunctionCtx, cotangents_of, filled, ran, tangents_of
from jitgrad.func.recorded_function import VmapInfo, applied
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Needs, Op
from jitgrad.record.apply import grad_mode, show
from jitgrad.record.trace import in_mode, lifting
from jitgrad.tape.handle import Handle, keep, make, own_memory, requires, row_of, tensor
from jitgrad.tape.row import NOTHING, Row, Several
from jitgrad.tensors import inplace

__all__ = ["BackwardCFunction", "Function", "FunctionCtx", "VmapInfo", "once_differentiable"]

BackwardCFunction = FunctionCtx


def _count_changes(ctx: FunctionCtx, args: Sequence[Any], outs: Sequence[Any]) -> None:
    """Count the changes that `mark_dirty` names, which nobody may have seen; `RuntimeError` for one of what is no result."""
    for x in ctx._dirty:
        if not _among(x, outs) or not _among(x, args):
            raise RuntimeError(
                f"{ctx._function.__name__}: what mark_dirty names is an argument that forward changed in place, and must be "
                "among the results"
            )
        if x._storage is None:
            inplace.changed_unseen(x)
        else:
            x._storage.version += 1


def _among(x: Any, given: Sequence[Any]) -> bool:
    return any(x is other for other in given)


def _without_history(x: Any, args: Sequence[Any], ctx: FunctionCtx) -> Any:
    """A result of a call that is not recorded, or that has no gradient."""
    if not isinstance(x, Handle) or _among(x, ctx._dirty):
        return x
    return inplace.detached(x) if _among(x, args) or requires(x) else x


def _recorded(ctx: FunctionCtx, args: Sequence[Any], outs: Sequence[Any]) -> list[Any]:
    """The results of a call with their rows."""
    xs = [x for x in args if isinstance(x, Handle)]
    specs = tuple([Spec(tuple(x._value.shape), x._value.dtype) if isinstance(x, Handle) else NO_TENSOR for x in outs])
    op = type(ctx)._function._op
    row = Several(op, tuple([row_of(x) for x in xs]), {"node": ctx}, specs, True, _NOTHING_KEPT)
    kept = ctx._to_save
    row.saved, row.guards = keep(op, range(len(kept)), kept, [None if x is None else x._value for x in kept], None)
    if lifting:
        show(row, [x is not None for x in kept])
    ctx._sources = [_source(x, args, outs) for x in kept]
    made: list[Any] = []
    seen: list[Any] = []
    for k, x in enumerate(outs):
        item = row.item(k)
        if not isinstance(x, Handle) or not item.requires or _among(x, ctx._constant):
            made.append(_without_history(x, args, ctx))
        elif _among(x, ctx._dirty):
            inplace.came_to_be(x, item, op.name)
            made.append(x)
        else:
            made.append(_with_row(x, item, again=_among(x, args) or _among(x, seen) or requires(x)))
        seen.append(x)
    ctx.recorded_as(row, lambda x: _source(x, args, outs))
    return made


_signature = functools.cache(inspect.signature)
_NOTHING_KEPT = Needs((), ())


def _source(x: Any, args: Sequence[Any], outs: Sequence[Any]) -> Any:
    """Where a derivative finds what was saved: an argument, a result by its number, or nowhere."""
    if x is None:
        return None
    if not _among(x, args) or _among(x, outs):
        for k, out in enumerate(outs):
            if x is out:
                return k
    return x._row


def _with_row(x: Any, item: Row, again: bool) -> Any:
    """A result with its row; one that is an argument as well, or another result, is a further tensor in the same memory.

    Where it looks at the memory of a tensor from before, changing one of them in place would be wrong for the other.
    """
    root, chain = (x, ()) if x._view is None else x._view
    if again:
        storage = own_memory(x)
        x = make(type(x), x._value, item)
        x._storage = storage
        storage.look(x)
    x._row = item
    if again or chain:
        x._view = (root, (*chain, (item.inputs[0].op, NOTHING, ())))
    return x


def _pullback(sweep: Any, row: Several, g: dict[int, Any], values: Any) -> list[Any]:
    """The cotangents of the tensors among the arguments of a call."""
    ctx: FunctionCtx = row.params["node"]
    held: list[Any] = [None] * ctx._count
    for place, x in zip(ctx._places, row.inputs):
        held[place] = x
    gs = [_handle(g.get(k)) for k in range(len(row.results))]
    ctx._history = sweep.history
    found = in_mode(sweep.recorded, lambda: cotangents_of(ctx, filled(ctx, gs, row.results), held))
    parts = [found[place] if x in sweep.needed else None for place, x in zip(ctx._places, row.inputs)]
    return [p if p is None or sweep.recorded else p._value for p in parts]


def _pushforward(sweep: Any, row: Several, ts: Sequence[Any]) -> dict[int, Any]:
    """The tangents of the results of a call."""
    ctx: FunctionCtx = row.params["node"]
    held: list[Any] = [None] * ctx._count
    given: list[Any] = [None] * ctx._count
    for place, x, t in zip(ctx._places, row.inputs, ts):
        held[place], given[place] = x, _handle(t)
    ctx._history = sweep.history
    found = in_mode(sweep.recorded, lambda: tangents_of(ctx, filled(ctx, given, held), row.results))
    return {k: t if sweep.recorded else t._value for k, t in enumerate(found) if t is not None}


def _handle(value: Any) -> Any:
    return value if value is None or isinstance(value, Handle) else tensor(value)


def once_differentiable(function: Callable) -> Callable:
    """A `backward` that is not recorded, as it may leave jitgrad's operations: differentiating it again is a RuntimeError.

    As decorator below `staticmethod`.
    """

    @functools.wraps(function)
    def once(ctx: Any, *gs: Any) -> Any:
        found = in_mode(False, lambda: function(ctx, *gs))
        if not grad_mode.get() or not any(map(requires, gs)):
            return found
        rows = tuple([row_of(g) for g in gs if isinstance(g, Handle)])
        parts = found if isinstance(found, tuple) else (found,)
        ends = tuple([_ending(x, rows) if isinstance(x, Handle) else x for x in parts])
        return ends if isinstance(found, tuple) else ends[0]

    return once


def _ending(x: Any, rows: tuple[Row, ...]) -> Any:
    """A tensor whose gradient is an error."""
    held = x._held
    return make(type(x), x._value, Row(_ONCE, rows, NOTHING, tuple(held.shape), held.dtype, True, _NOTHING_KEPT))


def _refuse(*_: Any) -> Any:
    raise RuntimeError("a function that is marked once_differentiable is differentiated twice: take the mark away")


_ONCE = Op(lambda *_: None, kind="custom", inputs=("*xs",), pullback=_refuse)
_ONCE.name = "once_differentiable"


class FunctionMeta(type):
    """Gives each `Function` the class of its contexts, which are its nodes, and the op of its rows."""

    _backward_cls: Any
    _op: Op

    def __init__(cls, name: str, bases: tuple, attributes: dict[str, Any]) -> None:
        super().__init__(name, bases, attributes)
        cls._backward_cls = type(f"{name}Backward", (FunctionCtx,), {"_function": cls, "_forward_cls": cls})
        if bases and attributes.get("generate_vmap_rule") and cls.batches():  # type: ignore[attr-defined]
            raise RuntimeError(f"{name} has a vmap rule and asks for one by generate_vmap_rule=True: leave one out")
        cls._op = Op(
            lambda *_: None,
            kind="custom",
            inputs=("*xs",),
            several=True,
            pullback=_pullback,
            pushforward=_pushforward if bases and cls.pushes() else None,  # type: ignore[attr-defined]
        )
        cls._op.name = name


class Function(metaclass=FunctionMeta):
    """The base of operations with a derivative of your own: write `forward` and `backward`, and call it by `apply`.

    `forward(ctx, *args)` computes with values; or `forward(*args)` does, and `setup_context(ctx, inputs, output)` says what to
    keep. `backward(ctx, *cotangents)` gives a cotangent for each argument, `jvp(ctx, *tangents)` a tangent for each result
    (without it forward mode transposes `backward`). Both are written in jitgrad's operations and so are differentiated again.
    `vmap(info, in_dims, *args)` may say how to do many examples at once, and returns `(output, out_dims)`; else `forward` and
    `backward` are batched, whether `generate_vmap_rule` is set or not. Under `jit` and `vmap` all these are recorded.

    Raises `RuntimeError` for gradients whose number or shape is wrong, `NotImplementedError` for what was not written.

    >>> import jitgrad
    >>> class Cube(jitgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x**2
    >>> x = jitgrad.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    def __init__(self) -> None:
        warnings.warn(
            f"{type(self).__name__}() makes an object that is of no use: call {type(self).__name__}.apply(...)",
            DeprecationWarning,
            stacklevel=2,
        )

    generate_vmap_rule = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"call {type(self).__name__}.apply(...), whose forward and backward are static methods")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """What the operation computes."""
        raise NotImplementedError("a Function needs a static method forward(ctx, *args), or forward(*args) and setup_context")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """What to keep for the derivatives."""
        raise NotImplementedError("setup_context is not written")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """A cotangent for each argument."""
        raise NotImplementedError("a Function that is differentiated needs a static method backward(ctx, *grad_outputs), or vjp")

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """A tangent for each result."""
        raise NotImplementedError("jvp is not written")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        """The operation for many examples at once: `(output, out_dims)`."""
        raise NotImplementedError("vmap is not written")

    @classmethod
    def has_setup(cls) -> bool:
        """Whether `forward` goes without the context."""
        return cls.setup_context is not Function.setup_context

    @classmethod
    def pushes(cls) -> bool:
        """Whether there is a rule for tangents."""
        return cls.jvp is not Function.jvp

    @classmethod
    def batches(cls) -> bool:
        """Whether there is a rule for many examples."""
        return cls.vmap is not Function.vmap

    @classmethod
    def derivative(cls) -> Callable:
        """`backward`, or `vjp`, as another name for it."""
        if cls.backward is not Function.backward and cls.vjp is not Function.vjp:
            raise RuntimeError(f"{cls.__name__} has backward and vjp, which are two names of one: leave one out")
        return cls.backward if cls.vjp is Function.vjp else cls.vjp

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the operation, and record it if a gradient may be wanted."""
        if kwargs or cls.has_setup():  # rules are about the places of arguments
            context = () if cls.has_setup() else (None,)
            given = _signature(cls.forward).bind(*context, *args, **kwargs)
            given.apply_defaults()
            args = given.args[len(context) :]
        if any(isinstance(x, Handle) and x._value is None for x in args):
            return applied(cls, args)
        ctx, output = ran(cls, args)
        outs = list(output) if isinstance(output, tuple) else [output]
        if any(isinstance(x, Handle) and x._value is None for x in outs):  # it met traced tensors outside of its arguments
            return applied(cls, args)
        recorded = grad_mode.get() and any(ctx.needs_input_grad)
        _count_changes(ctx, args, outs)
        outs = _recorded(ctx, args, outs) if recorded else [_without_history(x, args, ctx) for x in outs]
        return tuple(outs) if isinstance(output, tuple) else outs[0]
