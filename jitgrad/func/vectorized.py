"""`vmap`: a function of one example becomes a function of many, without a loop over them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base.tree import COMPUTED, flatten, unflatten
from jitgrad.base.tree import spread as spread_prefix
from jitgrad.calls.kinds import argument, arguments
from jitgrad.calls.options import with_options
from jitgrad.errors import LEAKED, LeakedTraceError, TracedValueError
from jitgrad.functions.data import as_tensor
from jitgrad.functions.shaping import cat, movedim
from jitgrad.ops.movement import narrow
from jitgrad.passes.batch import Batch, replay, spread
from jitgrad.record.apply import apply, copied, current_trace, grad_mode
from jitgrad.record.foreign import by_numpy
from jitgrad.record.trace import example_of, first_of, lifting, memory_of
from jitgrad.tape.device_array import placed_like
from jitgrad.tape.handle import Handle, make
from jitgrad.tape.row import Row
from jitgrad.tensors.tensor import Tensor
from jitgrad.tracing.function import Traced, trace
from jitgrad.tracing.guarded import InnerTrace, outer_tensor

RANDOMNESS = ("error", "different", "same")


@with_options
def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable:
    """`func`, written for one example, as a function of many that are stacked along a dimension.

    `in_dims` says where the examples stand in each positional argument: an int, None for what all share, or nested like
    the arguments. `out_dims` says the same of the results, which must be tensors (or None). Keyword arguments are shared.
    `func` runs once, on tensors without values, and each operation then runs for all examples together.

    Random numbers drawn inside are an error with `randomness="error"`, drawn for every example with "different", and
    drawn once with "same". `chunk_size` bounds how many examples run together, and with it the memory.

    Raises `ValueError` for `in_dims` or `out_dims` that do not fit, sizes that differ or if nothing is mapped over,
    `TypeError` for results that are not tensors, `TracedValueError` where the function needs a value to go on.

    >>> import jitgrad
    >>> x = jitgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> jitgrad.vmap(lambda row: row.sum())(x)
    tensor([3., 7.])
    >>> jitgrad.vmap(jitgrad.grad(lambda w, row: (w * row).sum() ** 2), in_dims=(None, 0))(jitgrad.tensor([1.0, 1.0]), x)
    tensor([[ 6., 12.],
            [42., 56.]])
    """
    if randomness not in RANDOMNESS:
        raise ValueError(f"randomness must be 'error', 'different' or 'same', not {randomness!r}")
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
        raise ValueError(f"chunk_size must be a positive int or None, not {chunk_size!r}")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves: list[Any] = []
        structure = flatten(args, leaves)
        leaves = [by_numpy(leaf) for leaf in leaves]
        dims = _in_dims(in_dims, structure, leaves)
        size = _size(leaves, dims)
        shared = arguments(kwargs)
        fronts = [_to_front(leaf, dim) for leaf, dim in zip(leaves, dims)]

        def call(many: list[Any], count: int) -> tuple[list[Any], list[Any], Any]:
            return _run(func, many, structure, shared, count, randomness, out_dims)

        if chunk_size is None or chunk_size >= size:
            results, _, built = call(fronts, size)
        else:
            results, built = _chunked(call, fronts, size, chunk_size)
        return unflatten(built, iter(results))

    return mapped


class BatchTrace(InnerTrace):
    """The recording of one example; it knows how random numbers are to be drawn for all of them."""

    def __init__(self, size: int, randomness: str) -> None:
        super().__init__()
        self.size = size
        self.randomness = randomness
        self.drawn: dict[Row, Batch] = {}

    def draw(self, function: Callable[[tuple[int, ...]], Any]) -> Any:
        """Random numbers for one example: those of all are drawn outside of this trace, or one for all."""
        if self.randomness == "error":
            raise TracedValueError(
                "random numbers are drawn inside a function under vmap: pass randomness='different' for "
                "other numbers for every example, or 'same' for the same"
            )
        was = current_trace.get()
        try:
            current_trace.set(self.outer)
            if self.randomness == "same":
                return function(())
            many = Batch(function((self.size,)))
        finally:
            current_trace.set(was)
        held = many.value._held
        leaf = self.capture(make(Tensor, np.broadcast_to(np.zeros((), held.dtype), held.shape[1:]), None))
        self.drawn[leaf] = many
        return make(Tensor, None, leaf)


def _in_dims(in_dims: Any, structure: Any, leaves: list[Any]) -> list[int | None]:
    """The dimension, counted from the front, at which the examples stand in each leaf; None where there are none."""
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(f"in_dims must be an int or a tuple with an entry for each argument, not {in_dims!r}")
    given = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    found: list[int | None] = []
    for dim, leaf in zip(spread_prefix(given, structure, "in_dims"), leaves):
        if dim is None:
            found.append(None)
            continue
        if not isinstance(leaf, (Handle, np.ndarray)):
            raise ValueError(
                f"vmap maps over dimension {dim} of an argument of type {type(leaf).__name__}, which has none: "
                "pass a tensor, or None in its place in in_dims to share it"
            )
        ndim = leaf.ndim  # type: ignore[union-attr]
        if not -ndim <= dim < ndim:
            raise ValueError(
                f"in_dims gives dimension {dim} of a tensor of shape {list(leaf.shape)}, "  # type: ignore[union-attr]
                + (f"which goes from {-ndim} to {ndim - 1}" if ndim else "which has none to map over")
            )
        found.append(dim % ndim)
    return found


def _size(leaves: list[Any], dims: list[int | None]) -> int:
    """How many examples there are."""
    sizes = [leaf.shape[dim] for leaf, dim in zip(leaves, dims) if dim is not None]
    if not sizes:
        raise ValueError("vmap has nothing to map over: there is no tensor among the arguments with an in_dim that is not None")
    if len(set(sizes)) > 1:
        found = ", ".join(
            f"{n} (shape {list(leaf.shape)}, dimension {dim})"
            for n, (leaf, dim) in zip(sizes, [(leaf, dim) for leaf, dim in zip(leaves, dims) if dim is not None])
        )
        raise ValueError(f"vmap: the numbers of examples differ: {found}; they must be equal")
    return sizes[0]


def _to_front(leaf: Any, dim: int | None) -> Any:
    if dim is None:
        return argument(leaf)
    x = leaf if isinstance(leaf, Tensor) else as_tensor(leaf)
    if x._value is None and current_trace.get() is None:
        raise LeakedTraceError(f"vmap over {LEAKED}")
    return Batch(movedim(x, dim, 0) if dim else x)


def _run(
    function: Callable, many: list[Any], structure: Any, kwargs: dict, size: int, randomness: str, out_dims: Any
) -> tuple[list[Any], list[Any], Any]:
    """The results for `size` examples: the leaves, the dimensions at which the examples stand, and the structure."""
    mapped = [x for x in many if isinstance(x, Batch)]

    def rebuild(inputs: list) -> tuple:
        given = iter(inputs)
        return unflatten(structure, iter([next(given) if isinstance(x, Batch) else x for x in many])), kwargs

    was = grad_mode.get()
    try:
        grad_mode.set(True)
        tracing = BatchTrace(size, randomness)
        tracing.at_hand = lambda: [first_of(example_of(x.value)) for x in mapped]
        tracing.device = str(mapped[0].value.device)
        specs = [(tuple(x.value.shape[1:]), x.value._held.dtype, None) for x in mapped]
        lifting.append(tracing)  # what the function makes is noted, by operations that take no short cut
        traced = trace(function, specs, rebuild, tracing, None, [x.value for x in mapped])
    finally:
        lifting[:] = [other for other in lifting if other is not tracing]
        grad_mode.set(was)
    beside = [x.value for x in mapped]
    known: dict[Row, Any] = {row: outer_tensor(traced, handle, beside) for row, handle in traced.captured.items()}
    known |= dict(zip(traced.tape.inputs, mapped)) | tracing.drawn
    computed = iter(replay(traced.tape, known, size))
    leaves = [next(computed) if out is COMPUTED else out for out in traced.outputs]
    dims = _out_dims(out_dims, traced)
    results = [_beside(mapped[0].value, _result(leaf, dim, size)) for leaf, dim in zip(leaves, dims)]
    return _apart(results, [x.value if isinstance(x, Batch) else x for x in known.values()]), dims, traced.structure


def _beside(mapped: Any, x: Any) -> Any:
    """A result where the examples are, also one that depends on none of them."""
    if x is not None and x._value is not None and x._row is None:
        x._value = placed_like(mapped._value, x._value)
    return x


def _apart(results: list[Any], known: Sequence[Any]) -> list[Any]:
    """The results, each in order in memory of its own, as if those of all examples had been stacked."""
    taken = {memory_of(x) for x in known}
    out = []
    for x in results:
        if x is not None and (x._value is None or memory_of(x) in taken or not x._value.flags.c_contiguous):
            x = copied(x)
        taken.add(memory_of(x))
        out.append(x)
    return out


def _out_dims(out_dims: Any, traced: Traced) -> list[Any]:
    for out in traced.outputs:
        if out is not COMPUTED and out is not None:
            raise TypeError(
                f"a function under vmap must return tensors, not {type(out).__name__}: return jitgrad.tensor(...) "
                "of it, or leave it out"
            )
    return list(spread_prefix(out_dims, traced.structure, "out_dims"))


def _result(leaf: Any, dim: int | None, size: int) -> Any:
    """One result with the examples at `dim`."""
    if leaf is None:
        return None
    if dim is None:
        if isinstance(leaf, Batch):
            raise ValueError(
                "out_dims is None for a result that differs between the examples: give the dimension at which to stack them"
            )
        return leaf
    x = spread(leaf, size)
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(
            f"out_dims={dim} is out of range for a result that has {x.ndim} dimensions with the batch: use "
            f"{-x.ndim} to {x.ndim - 1}"
        )
    return movedim(x, 0, dim) if dim % x.ndim else x


def _chunked(call: Callable, many: Sequence[Any], size: int, chunk: int) -> tuple[list[Any], Any]:
    """The results for `chunk` examples at a time, put together again."""
    parts = []
    for start in range(0, size, chunk):
        count = min(chunk, size - start)
        part = [
            Batch(apply(narrow, (x.value,), {"dim": 0, "start": start, "length": count})) if isinstance(x, Batch) else x
            for x in many
        ]
        parts.append(call(part, count))
    _, dims, structure = parts[0]
    joined = [
        pieces[0] if pieces[0] is None or dim is None else cat(list(pieces), dim)
        for dim, pieces in zip(dims, zip(*[results for results, _, _ in parts]))
    ]
    return joined, structure
