"""Gradients of functions under `jit`: where one may be wanted, a call of the compiled function is one row."""

from __future__ import annotations

from typing import Any

from jitgrad.jitted.choice import chosen_sweep
from jitgrad.ops.shapes import Spec
from jitgrad.ops.table import Op
from jitgrad.passes.forward import forward
from jitgrad.passes.reverse import reverse
from jitgrad.record.apply import watched
from jitgrad.tape.handle import Handle, keep, make, requires, row_of
from jitgrad.tape.row import NOTHING, Row, Several, beyond
from jitgrad.tensors.tensor import Tensor, wrap


def recorded_call(function: Any, compiled: Any, handles: list[Any], values: Any) -> list[Tensor]:
    """The results of a compiled tape of a function under `jit`, with the row of the call. `values` are those of its outputs if
    they are known."""
    if values is None:
        values = compiled.runner(chosen_sweep.get())(*[h._value for h in handles])
    rows = tuple([row_of(h) for h in handles])
    op = _call_op(function, compiled)
    saved, guards = keep(op, range(len(handles)), handles, [h._value for h in handles], None)
    specs = tuple([Spec(row.shape, row.dtype) for row in compiled.tape.outputs])
    call = Several(op, rows, NOTHING, specs, True, op.needs((True,) * len(rows)), saved, guards)
    results = [wrap(value) for value in values]
    wanted = sum([1 << i for i, h in enumerate(handles) if requires(h)])
    for k, out in enumerate(results):
        if wanted & compiled.reaches[k]:
            out._row = call.item(k)
    return results


def _call_op(function: Any, compiled: Any) -> Op:
    """The op of a compiled call: its pullback is itself a compiled function, of the same arguments and the cotangents, and its
    pushforward one of these and the tangents."""
    found: Op | None = getattr(compiled, "op", None)
    if found is not None:
        return found

    def again(inputs: list) -> tuple[list, list]:
        """The tape once more, on inputs with rows of their own."""
        fresh = [watched(x) if x.dtype.has_gradient else x for x in inputs]
        captured = dict(zip(compiled.leaves, fresh)).__getitem__
        return fresh, compiled.tape.replay(*fresh[: len(compiled.tape.inputs)], captured=captured)

    def pulled(inputs: list, cotangents: dict) -> list:
        fresh, outputs = again(inputs)
        seeds: dict[Row, Any] = {}
        for k, g in cotangents.items():
            row = outputs[k]._row
            seeds[row] = seeds[row] + g if row in seeds else g
        ends = {x._row for x in fresh}
        found = reverse(seeds, ends, recorded=True, retain=True, history=beyond(seeds, ends))
        return [found.get(x._row) for x in fresh]

    def pushed(inputs: list, tangents: dict) -> dict:
        fresh, outputs = again(inputs)
        known, ends = {fresh[i]._row: t for i, t in tangents.items()}, [out._row for out in outputs]
        found = forward(known, ends, recorded=True, history=beyond(ends, known))
        return {k: found[row] for k, row in enumerate(ends) if row in found}

    backward, ahead = type(function)(pulled), type(function)(pushed)
    backward.__name__, ahead.__name__ = f"pullback of {function.__name__}", f"pushforward of {function.__name__}"

    def as_tensors(given: Any) -> Any:
        return [x if isinstance(x, Handle) else make(Tensor, x, None) for x in given]

    def pullback(sweep_: Any, row: Row, g: dict, values: Any) -> list:
        parts = backward(as_tensors(values), dict(zip(g, as_tensors(g.values()))))
        return [p if p is None or sweep_.recorded else p._value for p in parts]

    def pushforward(sweep_: Any, row: Row, ts: list) -> dict:
        given = {i: t for i, t in enumerate(ts) if t is not None}
        parts = ahead(as_tensors(sweep_.values(row)), dict(zip(given, as_tensors(given.values()))))
        return {k: p if sweep_.recorded else p._value for k, p in parts.items()}

    op = Op(lambda *_: None, kind="call", inputs=("*xs",), several=True, pullback=pullback, pushforward=pushforward)
    op.name = f"jit_{function.__name__}"
    compiled.op = op
    return op
