"""A call of a function with rules of its own: one row, whose rules are recorded when a transform asks for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.base.tree import COMPUTED, flatten, shown, size, unflatten
from jitgrad.calls.kinds import arguments
from jitgrad.devices.moving import beside
from jitgrad.func.point import as_seed
from jitgrad.func.vectorized import vmap
from jitgrad.functions.creation import zeros_like
from jitgrad.functions.data import as_tensor
from jitgrad.ops.choosing import cast, detach
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op
from jitgrad.passes.batch import Batch, replay
from jitgrad.passes.forward import dummy, forget
from jitgrad.passes.reverse import reverse
from jitgrad.record.apply import apply, current_trace, grad_mode, recorded_several, zeros
from jitgrad.record.trace import in_mode
from jitgrad.record.weak import number
from jitgrad.tape.device_array import DeviceArray, device_of, refuse_elsewhere
from jitgrad.tape.handle import Handle, requires
from jitgrad.tape.row import NOTHING, Row, Several
from jitgrad.tape.tape import Tape
from jitgrad.tensors.tensor import Tensor, wrap
from jitgrad.tracing.function import Traced, trace
from jitgrad.tracing.guarded import InnerTrace, outer_tensor

if TYPE_CHECKING:
    from jitgrad.func.custom import Custom


Tensors = Sequence[Any]


def _transpose_of(push: Callable) -> Callable:
    """The map of cotangents that is the transpose of a map of tangents."""

    def pull(xs: Tensors, gs: Tensors) -> list[Any]:
        ends = [dummy(x._held, x._value) if x.dtype.has_gradient else None for x in xs]
        was = grad_mode.get()
        try:
            grad_mode.set(True)
            wanted = {end._row for end in ends if end is not None}
            seeds: dict[Row, Any] = {}
            for out, g in zip(push(xs, ends), gs):
                if requires(out):
                    seeds[out._row] = seeds[out._row] + g if out._row in seeds else g
            found = reverse(seeds, wanted, recorded=True, retain=True) if seeds else {}
            forget(wanted)
        finally:
            grad_mode.set(was)
        return [None if end is None else found.get(end._row) for end in ends]

    return pull


class _Results:
    """How the results of a call nest, and which of them are floating: those are the results of its row."""

    def __init__(self, leaves: list[Any], structure: Any) -> None:
        self.structure = structure
        self.specs = [
            Spec(tuple(x.shape), x._held.dtype) if isinstance(x, Tensor) and x.dtype.has_gradient else None for x in leaves
        ]
        self.devices = list(map(device_of, leaves))
        if not any(self.specs):
            raise TypeError("a function with a derivative of its own must return at least one floating tensor")

    def floating(self, tree: Any, what: str) -> list[Tensor]:
        """The floating leaves, after checking that they are like the results, and in the dtypes of these."""
        leaves: list[Any] = []
        structure = flatten(tree, leaves)
        if structure != self.structure:
            raise ValueError(f"{what} is nested as {shown(structure)}, and the result as {shown(self.structure)}")
        parts = []
        for x, spec, device in zip(leaves, self.specs, self.devices):
            if spec is None:
                continue
            x = x if isinstance(x, Tensor) else as_tensor(x)
            refuse_elsewhere(what, x, device)
            if tuple(x.shape) != spec.shape:
                raise ValueError(f"{what} has shape {list(x.shape)}, and the result has {list(spec.shape)}")
            parts.append(x if x._held.dtype == spec.dtype else apply(cast, (x,), {"dtype": spec.dtype}))
        return parts

    def nested(self, floating: Tensors, others: Sequence[Any] | None = None) -> Any:
        """The results, or their cotangents, nested as they are; `others` (or None) stand where there is no floating one."""
        given = iter(floating)
        rest = others if others is not None else [None] * len(self.specs)
        return unflatten(self.structure, iter([x if spec is None else next(given) for spec, x in zip(self.specs, rest)]))


class _Call:
    """One call: its tensors `xs`, what else there was among the arguments, and the results once they are known."""

    results: _Results

    def __init__(self, custom: Custom, args: tuple, kwargs: dict) -> None:
        self.custom, leaves = custom, []  # type: ignore[var-annotated]
        self.structure, self.leaves = flatten(arguments((args, kwargs)), leaves), leaves
        self.xs = [leaf for leaf in self.leaves if isinstance(leaf, Tensor)]

    def rebuilt(self, xs: Tensors, **otherwise: Any) -> tuple[tuple, dict]:
        """The arguments with other tensors, and, if `others` is given, that in the place of what is no tensor."""
        given = iter(xs)
        return unflatten(
            self.structure, iter([next(given) if isinstance(x, Tensor) else otherwise.get("others", x) for x in self.leaves])
        )

    def run(self, xs: Tensors) -> Any:
        args, kwargs = self.rebuilt(xs)
        return self.custom._function(*args, **kwargs)

    def cotangents(self, xs: Tensors, given: Any) -> list[Any]:
        """What `backward` returned, by tensor."""
        arguments = self.structure[1][0]
        if not isinstance(given, tuple) or (len(given) != size((tuple, arguments[1])) and len(given) != len(arguments[1])):
            raise TypeError(f"backward must return a tuple with an entry for each of the {len(arguments[1])} arguments")
        flat: list[Any] = []
        for k, (part, structure) in enumerate(zip(given, arguments[1])):
            leaves: list[Any] = []
            found = flatten(part, leaves)
            if part is None:
                leaves = [None] * size(structure)
            elif found != structure:
                raise ValueError(f"backward returned {shown(found)} for argument {k}, which is nested as {shown(structure)}")
            flat += leaves
        flat += [None] * (len(self.leaves) - len(flat))  # keyword arguments get none
        given = [g for g, leaf in zip(flat, self.leaves) if isinstance(leaf, Tensor)]
        cotangents = [_as_cotangent(g, x) for g, x in zip(given, xs)]
        for g, x in zip(cotangents, xs):
            if g is not None and tuple(g.shape) != tuple(x.shape):
                raise ValueError(
                    f"backward returned a cotangent of shape {list(g.shape)} for a tensor of shape "
                    f"{list(x.shape)}: they must be equal"
                )
        return [
            g if g is None or g._held.dtype == x._held.dtype else apply(cast, (g,), {"dtype": x._held.dtype})
            for g, x in zip(cotangents, xs)
        ]

    def eager(self) -> Any:
        """Run the function on values, and record one row if a gradient may be wanted."""
        result = self.run([x.detach() if requires(x) else x for x in self.xs])
        leaves: list[Any] = []
        structure = flatten(result, leaves)
        if any(isinstance(x, Tensor) and x._value is None for x in leaves):  # it met traced tensors outside of its arguments
            return self.traced()
        if any(map(requires, leaves)):
            self._refuse_outside()
        leaves = [wrap(_own(x._value)) if isinstance(x, Tensor) else x for x in leaves]
        if not grad_mode.get() or not any(map(requires, self.xs)):
            return unflatten(structure, iter(leaves))
        self.results = _Results(leaves, structure)
        op = self._op(None)
        op.run = lambda *values: self._recorded_run()[0].replay(*values)
        found = [x._value for x in self.results.floating(unflatten(structure, iter(leaves)), "the result")]
        outs = recorded_several(Tensor, op, self.xs, [x._value for x in self.xs], NOTHING, found)
        return self.results.nested(outs, leaves)

    def _refuse_outside(self) -> None:
        """RuntimeError for a function that uses what requires grad and is no argument."""
        raise RuntimeError(
            f"{self.custom.__name__} uses a tensor from outside that requires grad, and its rules "  # type: ignore[attr-defined]
            "are about its arguments alone: pass that tensor as an argument too, or use its detach()"
        )

    def traced(self) -> Any:
        """Record one row, which holds the tape of the function; what that captured becomes an input too."""
        tape, captured, others = self._recorded_run()
        op = self._op(tape)
        return self.results.nested(_applied(op, [*self.xs, *captured]), others)

    def _recorded_run(self) -> tuple[Tape, list[Any], list[Any]]:
        """The tape of the function with its floating results, what it captured, and its other results."""
        found = _trace(lambda *xs: self.run(xs), self.xs)
        captured = [outer_tensor(found, handle) for handle in found.captured.values()]
        if grad_mode.get() and any(map(requires, captured)):
            self._refuse_outside()
        ends = [*found.tape.inputs, *found.captured]

        def inlined(*xs: Any) -> list[Any]:
            computed = iter(replay(found.tape, dict(zip(ends, xs)), 0))
            return [next(computed) if out is COMPUTED else out for out in found.outputs]

        operands = [*self.xs, *captured]
        leaves = inlined(*operands)
        self.results = results = _Results(leaves, found.structure)
        others = [apply(detach, (x,)) if spec is None and isinstance(x, Handle) else x for x, spec in zip(leaves, results.specs)]
        floating = lambda *xs: results.floating(unflatten(found.structure, iter(inlined(*xs))), "the result")
        tape, operands = _closed(_trace(floating, operands), operands)
        return tape, operands[len(self.xs) :], others

    def _op(self, tape: Tape | None) -> Op:
        pull, push = self.custom.rules(self)
        op = _op(getattr(self.custom, "__name__", "custom"), tape, len(self.xs), pull, push)
        op.batch = self.custom.batching(self) or op.batch
        return op


def _as_cotangent(g: Any, x: Tensor) -> Any:
    """What a rule returns for an argument: a tensor, an array, a number or None."""
    if g is None:
        return g
    if isinstance(g, Tensor):
        return beside("a cotangent from backward", g, x)
    if not isinstance(g, (np.ndarray, np.generic, int, float)) or isinstance(g, bool):
        raise TypeError(f"a cotangent is a tensor, and backward returned a {type(g).__name__}")
    return as_seed(g, x)


def _trace(function: Callable, operands: Tensors) -> Traced:
    """The tape of a function of tensors like the operands."""
    specs = [(tuple(x.shape), x._held.dtype, number(x)) for x in operands]
    rebuild: Callable = lambda inputs: (inputs, {})
    return in_mode(True, lambda: trace(function, specs, rebuild, InnerTrace(operands), None, operands))


def _closed(found: Traced, operands: Tensors) -> tuple[Tape, list[Any]]:
    """The tape with what was captured as further inputs, and the operands with the values of these."""
    further = [outer_tensor(found, handle) for handle in found.captured.values()]
    return Tape([*found.tape.inputs, *found.captured], found.tape.outputs), [*operands, *further]


def _applied(op: Op, operands: Tensors) -> Sequence[Any]:
    """The results of an op whose `run` is a tape, recorded like those of any other."""
    around = current_trace.get()
    if any(x._value is None for x in operands) or (around is not None and around.lifts):
        return apply(op, operands)
    values = [x._value for x in operands]
    with np.errstate(all="ignore"):
        found = op.run(*values)
    if grad_mode.get() and any(map(requires, operands)):
        return recorded_several(Tensor, op, operands, values, NOTHING, found)
    return list(map(wrap, found))


def _op(name: str, tape: Tape | None, count: int, pull: Callable, push: Callable | None) -> Op:
    """The op of one call: the first `count` inputs are differentiated by `pull` and `push`, the others are captured.

    It is run, lowered and batched by its `tape`; without one it only stands for a call that has been made.
    """

    def pullback(sweep: Any, row: Several, g: dict[int, Any], values: Any) -> list[Any]:
        xs = _handles(values[:count])
        gs = [zeros(spec) if g.get(k) is None else _handles([g[k]])[0] for k, spec in enumerate(row.results)]
        parts = in_mode(sweep.recorded, lambda: pull(xs, gs))
        parts = [p if x in sweep.needed else None for p, x in zip(parts, row.inputs)]
        return [*_out(parts, sweep.recorded), *[None] * (len(row.inputs) - count)]

    def pushforward(sweep: Any, row: Row, ts: Tensors) -> dict[int, Any]:
        assert push is not None
        xs = _handles(sweep.values(row)[:count])
        tangents = [None if not x.dtype.has_gradient else zeros_like(x) if t is None else t for x, t in zip(xs, _handles(ts))]
        return dict(enumerate(_out(in_mode(sweep.recorded, lambda: push(xs, tangents)), sweep.recorded)))

    op = Op(
        lambda *_: None,
        kind="custom",
        inputs=("*xs",),
        several=True,
        pullback=pullback,
        checks=lambda row: row.inputs,
        pushforward=pushforward if push is not None else None,
    )
    op.name = name
    if tape is not None:
        op.run = lambda *values: [_in_order(value) for value in tape.replay(*values)]
        op.lower = lambda *xs: replay(tape, dict(zip(tape.inputs, xs)), 0)
        op.shape = lambda *_: [Spec(end.shape, end.dtype) for end in tape.outputs]
        op.batch = functools.partial(_batched, op, count, pull, push)
    return op


def _batched(op: Op, count: int, pull: Callable, push: Callable | None, row: Row, operands: Tensors, size: int) -> Any:
    """The call for many examples: its results are those of the batched tape, its derivative the batched rule."""
    dims = tuple(0 if isinstance(x, Batch) else None for x in operands)
    given = [x.value if isinstance(x, Batch) else x for x in operands]
    lower = op.lower
    assert lower is not None
    tape, given = _closed(_trace(vmap(lambda *xs: tuple(lower(*xs)), dims), given), given)

    def pulled(xs: Tensors, gs: Tensors) -> list[Any]:
        one = lambda *flat: tuple(pull(flat[:count], flat[count:]))
        parts = vmap(one, (*dims[:count], *[0] * len(gs)))(*xs, *gs)
        return [p if p is None or dim == 0 else p.sum(0) for p, dim in zip(parts, dims)]

    def pushed(xs: Tensors, ts: Tensors) -> Any:
        assert push is not None
        held = tuple(None if t is None else dim for t, dim in zip(ts, dims))
        return vmap(lambda *flat: tuple(push(flat[:count], flat[count:])), (*dims[:count], *held))(*xs, *ts)

    return _applied(_op(op.name, tape, count, pulled, None if push is None else pushed), given)


def _handles(values: Sequence[Any]) -> list[Any]:
    return [v if v is None or isinstance(v, Handle) else wrap(v) for v in values]


def _out(parts: Sequence[Any], recorded: bool) -> list[Any]:
    return [p if p is None or recorded else p._value for p in parts]


def _own(value: Any) -> Any:
    """A value in order in memory of its own."""
    return value.copy() if isinstance(value, DeviceArray) else np.array(value, order="C")[()]


def _in_order(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value if value.in_order else value.copy()
    return np.asarray(value, order="C")[()]
