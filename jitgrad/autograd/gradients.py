"""Who may ask for a reverse sweep, `backward` and `grad`, and when operations are recorded: the grad mode."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.autograd.nodes import GradientEdge, row_at
from jitgrad.base.signals import importing
from jitgrad.devices.moving import beside
from jitgrad.eager.backward import entries, look_up, note, seeded
from jitgrad.errors import TracedValueError
from jitgrad.ops.choosing import cast, detach
from jitgrad.passes.hooks import after_leaf, prepared
from jitgrad.passes.reverse import reverse
from jitgrad.record.apply import apply, grad_mode
from jitgrad.record.leaving import refuse_masked
from jitgrad.tape import origins
from jitgrad.tape.accumulate import accumulating, add_tensor, add_value
from jitgrad.tape.device_array import DeviceArray, filled_like, placed_like
from jitgrad.tape.handle import Handle, requires, tensor
from jitgrad.tape.row import Row

_ONE = {kind: kind(1) for kind in (np.float16, np.float32, np.float64)}


def seed(output: Any, gradient: Any) -> Any:
    """The cotangent to start from, checked: 1 for a scalar, or what the caller gives for each element."""
    held = output._held
    if gradient is None and held.__class__ in _ONE:
        return _ONE[held.__class__]
    shape, dtype = tuple(held.shape), held.dtype
    if gradient is None:
        if math.prod(shape) != 1:
            raise RuntimeError(
                f"a gradient is made up only for scalar outputs, and this one has shape {list(shape)}: reduce it first "
                "(.sum(), .mean()), or pass gradient= of that shape"
            )
        if dtype.kind == "c":
            raise RuntimeError(
                f"a gradient is made up only for real outputs, and this one is {dtype.name}: take its abs(), .real or .imag, or "
                "pass gradient="
            )
        return placed_like(held, np.ones(shape, dtype)[()])
    if isinstance(gradient, (np.ndarray, np.generic)):
        refuse_masked(gradient)
        gradient = placed_like(held, gradient)
        given: Any = gradient
    elif isinstance(gradient, Handle):
        given = gradient._held
    else:
        raise TypeError(f"gradient must be a tensor of shape {list(shape)} or None, not {type(gradient).__name__}")
    if tuple(given.shape) != shape:
        raise RuntimeError(
            f"gradient has shape {list(given.shape)}, and the output that it belongs to has {list(shape)}: they must be equal"
        )
    if isinstance(gradient, Handle):
        gradient = beside("gradient", gradient, output)
    if given.dtype == dtype:
        return gradient
    if "c" in (given.dtype.kind, dtype.kind):
        raise RuntimeError(f"gradient is {given.dtype.name}, and the output that it belongs to {dtype.name}: they must be equal")
    return cast(gradient, dtype=dtype)


def _cotangents(outputs: Sequence[Any], gradients: Sequence[Any], recorded: bool) -> dict[Row, Any]:
    seeds: dict[Row, Any] = {}
    if any(isinstance(output, Handle) and output._value is None for output in outputs):
        raise TracedValueError(
            "backward() and autograd.grad() need values, and under jit and vmap there are none yet: take the "
            "gradient of a function, as in jitgrad.grad(f)(x), which may be called in there"
        )
    if len(outputs) != len(gradients):
        raise RuntimeError(f"{len(outputs)} outputs and {len(gradients)} gradients for them: give one for each, or None")
    for i, (output, gradient) in enumerate(zip(outputs, gradients)):
        row = output._row
        if row is None or not row.requires:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        g = seed(output, gradient)
        if recorded and not isinstance(g, Handle):
            g = tensor(g)
        elif not recorded and isinstance(g, Handle):
            g = g._value
        seeds[row] = seeds[row] + g if row in seeds else g
    return seeds


def run(
    outputs: Sequence[Any],
    gradients: Sequence[Any],
    wanted: set[Row] | None,
    *,
    create_graph: bool,
    retain: bool,
    arrive: Callable | None = None,
) -> dict[Row, Any]:
    """A reverse sweep from tensors: recorded if asked for, or if they are traced."""
    if not outputs:
        raise RuntimeError("there are no outputs to differentiate: pass at least one tensor")
    if wanted is not None and not wanted:
        raise RuntimeError("inputs is empty: pass the tensors whose gradient is wanted, or None for all leaves")
    for i, x in enumerate(outputs):
        if not isinstance(x, Handle):
            raise TypeError(f"output {i} must be a tensor, not {type(x).__name__}: what was computed from leaves")
    recorded = create_graph or _without_values(outputs) or _without_values(gradients)
    was = grad_mode.get()
    try:
        if recorded:  # otherwise rules compute with arrays, and user code is told so where it is called
            grad_mode.set(True)
        seeds = _cotangents(outputs, gradients, recorded)
        with np.errstate(all="ignore"):
            return reverse(seeds, wanted, recorded=recorded, retain=retain, arrive=arrive)
    finally:
        grad_mode.set(was)


def _without_values(tensors: Sequence[Any]) -> bool:
    """Whether there are traced tensors among these."""
    return any(isinstance(x, Handle) and x._value is None for x in tensors)


def _several(x: Any) -> list[Any]:
    x = list(x.values()) if isinstance(x, dict) else x
    return list(x) if isinstance(x, (tuple, list)) and not isinstance(x, GradientEdge) else [x]


def _ends(given: Any) -> list[Any]:
    """Tensors, or places in the graph, as tensors: for a place stands one whose value does not matter."""
    if isinstance(given, Handle):
        return [given]
    return [_at(x) if isinstance(x, GradientEdge) else x for x in _several(given)]


def _at(edge: GradientEdge) -> Any:
    row = row_at(edge)
    return tensor(np.broadcast_to(np.zeros((), row.dtype), row.shape), row)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradient of `tensors` to the `.grad` of every leaf they came from (or of `inputs` alone).

    `grad_tensors` gives a cotangent of the same shape and dtype for each tensor; a scalar needs none.
    Raises `RuntimeError` if nothing requires grad, or for a non-scalar without a cotangent, `FreedTapeError` for a second
    sweep without `retain_graph`, `OverwrittenError` if a value that is needed was changed in place.

    >>> import jitgrad
    >>> x = jitgrad.tensor(3.0, requires_grad=True)
    >>> jitgrad.autograd.backward(x * x)
    >>> x.grad
    tensor(6.)
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("grad_variables is another name for grad_tensors: give one of them")
        grad_tensors = grad_variables
    given = grad_tensors is not None
    if inputs is None and not create_graph and isinstance(tensors, Handle) and (not given or isinstance(grad_tensors, Handle)):
        _backward_of_one(tensors, grad_tensors, retain_graph)
    else:
        _backward(tensors, grad_tensors, retain_graph, create_graph, inputs)


def _backward_of_one(output: Any, gradient: Any, retain: bool | None) -> None:
    """The usual case: one outcome, all leaves. A structure that is hot has an entry, others are noted."""
    row = output._row
    seed = None if gradient is None else gradient._value
    on_host = output._value is not None and DeviceArray not in (output._value.__class__, seed.__class__)
    usual = on_host and row is not None and row.requires and (gradient is None or seed is not None) and origins.check is None
    if not usual:
        return _backward(output, gradient, retain, False, None)
    found = (entries if seed is None else seeded).get(row.op)
    if found is not None:
        for i, entry in enumerate(found):
            if entry(row, retain, seed):
                if i:
                    found.insert(0, found.pop(i))
                return None
    structure = look_up(row, seed)
    start = time.perf_counter()
    _backward(output, gradient, retain, False, None)
    note(structure, time.perf_counter() - start)
    return None


def _backward(tensors: Any, grad_tensors: Any, retain_graph: bool | None, create_graph: bool, inputs: Any) -> None:
    outputs = _ends(tensors)
    gradients = _several(grad_tensors) if grad_tensors is not None else [None] * len(outputs)
    ends = None if inputs is None else {_wanted(i, x) for i, x in enumerate(_ends(inputs))}
    retain = create_graph if retain_graph is None else retain_graph
    if _without_values(gradients):
        raise TracedValueError(
            "backward() adds to the grad of tensors, and under jit and vmap there are no values to add: use "
            "autograd.grad(), which returns them"
        )

    def arrive(sweep: Any, row: Row, g: Any) -> None:
        g = prepared(sweep, row, g)
        with accumulating:
            _add(row, g, create_graph)
        after_leaf(row, g, create_graph)

    found = run(outputs, gradients, ends, create_graph=create_graph, retain=retain, arrive=arrive)
    with accumulating:
        for row, g in found.items():
            if not (row.extra and row.extra.get("retain")):  # the sweep has kept it already
                _add(row, g, create_graph)


def _add(row: Row, g: Any, create_graph: bool) -> None:
    """Add to the gradient of a row, by the thread that holds the lock."""
    if create_graph:
        add_tensor(row, g if isinstance(g, Handle) else tensor(g))
    else:
        add_value(row, g._value if isinstance(g, Handle) else g)


def _wanted(i: int, x: Any) -> Row:
    if not isinstance(x, Handle):
        raise TypeError(f"input {i} must be a tensor, not {type(x).__name__}")
    if x._value is not None and not requires(x):
        raise RuntimeError(f"input {i} does not require grad: pass tensors made with requires_grad=True")
    return x._row


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of `outputs` in `inputs`, returned and not accumulated; arguments as in `torch.autograd.grad`.

    With `is_grads_batched` each of `grad_outputs` holds many cotangents along its dimension 0, and so do the results: one
    batched sweep serves all. A mapping of inputs gives a mapping of gradients. Outputs and inputs may be places in the graph
    as well (`graph.get_gradient_edge`). `only_inputs` is accepted.

    Raises `RuntimeError` if an input was not used to compute the outputs, unless `allow_unused`, which gives None, or
    `materialize_grads`, which gives zeros; `ValueError` for `materialize_grads` with `allow_unused=False`.

    >>> import jitgrad
    >>> x = jitgrad.tensor(3.0, requires_grad=True)
    >>> (g,) = jitgrad.autograd.grad(x ** 3, x, create_graph=True)
    >>> jitgrad.autograd.grad(g, x)
    (tensor(18.),)
    """
    if isinstance(inputs, dict):
        options = (retain_graph, create_graph, only_inputs, allow_unused, is_grads_batched, materialize_grads)
        return dict(zip(inputs, grad(outputs, list(inputs.values()), grad_outputs, *options)))
    if materialize_grads and allow_unused is False:
        raise ValueError("materialize_grads=True gives zeros for inputs that were not used: leave allow_unused out, or say True")
    outs, ins = _ends(outputs), _ends(inputs)
    gradients = _several(grad_outputs) if grad_outputs is not None else [None] * len(outs)
    ends = {_wanted(i, x) for i, x in enumerate(ins)}
    retain = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        kept = (retain, create_graph, only_inputs, allow_unused or materialize_grads)
        many = _batched(lambda given: grad(outs, ins, given, *kept), gradients, create_graph)
        return tuple([_zeros(x, create_graph) if g is None and materialize_grads else g for g, x in zip(many, ins)])
    found = run(outs, gradients, ends, create_graph=create_graph, retain=retain)
    results = []
    for i, x in enumerate(ins):
        g = found.get(x._row)
        if g is None and materialize_grads:
            g = _zeros(x, create_graph)
        if g is None and not allow_unused:
            raise RuntimeError(f"input {i} was not used to compute the outputs: pass allow_unused=True to get None for it")
        if isinstance(g, Handle) and not create_graph:  # recorded, as there are no values yet
            g = apply(detach, (g,))
        results.append(g if g is None or isinstance(g, Handle) else tensor(g))
    return tuple(results)


def _zeros(x: Any, create_graph: bool) -> Any:
    return tensor(filled_like(x._held, x._held.dtype.type(0), x._held.shape)).requires_grad_(create_graph)


def _batched(sweep: Callable, gradients: Sequence[Any], create_graph: bool) -> tuple[Any, ...]:
    """The results of many sweeps, one for each of the cotangents that stand along dimension 0 of what is given."""
    with importing("jitgrad.func.vectorized"):  # by name, since it stands above: it is made of what is here
        vmap = importlib.import_module("jitgrad.func.vectorized").vmap
    many = [i for i, g in enumerate(gradients) if g is not None]

    def one(*given: Any) -> tuple[Any, ...]:
        found = dict(zip(many, given))
        return sweep([found.get(i) for i in range(len(gradients))])

    results = vmap(one)(*[gradients[i] for i in many])
    return tuple([g if g is None or create_graph else apply(detach, (g,)) for g in results])
