"""`cond` and `switch`: branches that are one row of the tape; signatures and results as in `jax.lax`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.base.tree import flatten, tree_map, unflatten
from jitgrad.calls.kinds import arguments
from jitgrad.control.body import Body, Tree, as_operand, body, spec
from jitgrad.control.branch import record
from jitgrad.control.loops import truth
from jitgrad.functions.data import as_tensor
from jitgrad.functions.generators import Generator
from jitgrad.ops.choosing import cast, logical_not
from jitgrad.record.apply import apply, copied, current_trace
from jitgrad.record.checking import checked
from jitgrad.record.trace import Number
from jitgrad.record.weak import common, number
from jitgrad.tensors.tensor import Tensor

INT = np.dtype(np.int64)


@checked
def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """`true_fun(*operands)` if the 0-d bool `pred` is true, else `false_fun(*operands)`; only that one runs.

    Under `jit` both are recorded, and must return results that are nested alike, with the same shapes and dtypes. Under `vmap`
    with a `pred` that differs from example to example both run, and results are picked; errors and derivatives are those of the
    side that an example takes.

    Raises `TypeError` if `pred` is no 0-d bool, or the results differ in nesting, shape or dtype.

    >>> import jitgrad
    >>> f = jitgrad.jit(lambda x: jitgrad.cond(x > 0, jitgrad.sqrt, jitgrad.exp, x))
    >>> f(jitgrad.tensor(4.0)), f(jitgrad.tensor(0.0))
    (tensor(2.), tensor(1.))
    """
    chosen = truth(pred, "cond: pred must be")
    if current_trace.get() is None:
        return _taken(true_fun if bool(chosen) else false_fun, arguments(operands))
    return _switch("cond", apply(cast, (apply(logical_not, (chosen,)),), {"dtype": INT}), (true_fun, false_fun), operands)


@checked
def switch(index: Any, branches: Sequence[Callable], *operands: Any) -> Any:
    """`branches[index](*operands)`; an index below 0 means the first, one beyond the last the last.

    Under `jit` and `vmap` as `cond`. Raises `TypeError` if `index` is no int, or as `cond` does; `ValueError` without branches.

    >>> import jitgrad
    >>> jitgrad.switch(1, [jitgrad.sin, jitgrad.cos, jitgrad.exp], jitgrad.tensor(0.0))
    tensor(1.)
    """
    branches = tuple(branches)
    if not branches:
        raise ValueError("switch needs at least one branch")
    at = as_tensor(index)
    if at.ndim or spec(at).dtype.kind not in "iu":
        raise TypeError(f"switch: index must be an int or a 0-d int tensor, not {spec(at).dtype.name}{list(at.shape)}")
    if current_trace.get() is None:
        return _taken(branches[min(max(int(at), 0), len(branches) - 1)], arguments(operands))
    return _switch("switch", apply(cast, (at,), {"dtype": INT}), branches, operands)


def _taken(branch: Callable, operands: tuple) -> Any:
    """The results of a branch, which changes in place what it gets as the row does: copies; and hands out copies."""
    own = functools.partial(tree_map, lambda leaf: copied(leaf) if isinstance(leaf, Tensor) else leaf)
    return own(branch(*own(operands)))


def _switch(what: str, index: Tensor, branches: Sequence[Callable], operands: tuple) -> Any:
    """Numbers among the operands stay numbers, as in eager code, and so do results that are numbers in all branches; a result
    that is one in some branches takes the dtype that it has in the others."""
    leaves: list[Any] = []
    structure = flatten(arguments(operands), leaves)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    generators, count = [leaf for leaf in leaves if isinstance(leaf, Generator)], len(tensors)
    tensors += [x for generator in generators for x in generator.operands()]

    def traced(branch: Callable, wanted: Sequence[Any] | None = None) -> tuple[Body, Tree, list[Any]]:
        """A branch, what it returns, and which of that are what numbers."""
        found: list[Tree] = []
        numbers: list[Any] = []

        def call(inputs: list[Any]) -> list[Any]:
            given, states = iter(inputs[:count]), zip(inputs[count::2], inputs[count + 1 :: 2])
            drawing = [Generator.at(state) for state in states]
            sources = iter(drawing)
            stands = {Tensor: given, Generator: sources}
            args = unflatten(structure, iter([next(stands[x.__class__]) if x.__class__ in stands else x for x in leaves]))
            found.append(Tree.of(branch(*args), f"the results of {what}"))
            numbers.extend(map(number, found[0].given))
            outs = found[0].tensors
            if wanted is not None:
                slots = zip(found[0].given, numbers, outs, wanted)
                outs = [t if n is None else as_operand(x, what, dtype) for x, n, t, dtype in slots]
            return [*outs, *[generator.operands()[1] for generator in drawing]]

        return body(call, list(map(spec, tensors)), tensors, numbers=list(map(number, tensors))), found[0], numbers

    made = [traced(branch) for branch in branches]
    first = made[0][1]
    if any(any(numbers) for _, _, numbers in made) and all(tree.same(first) for _, tree, _ in made):
        wanted = [_common(slot) for slot in zip(*[zip(numbers, b.tape.outputs) for b, _, numbers in made])]
        made = [traced(branch, wanted) for branch in branches]
    kinds = [[(row.shape, row.dtype) for row in b.tape.outputs] for b, _, _ in made]
    for k, ((_, tree, _), kind) in enumerate(zip(made, kinds)):
        if not tree.same(first) or kind != kinds[0]:
            raise TypeError(
                f"{what}: branch 0 returns {_shown(first, kinds[0])}, and branch {k} {_shown(tree, kind)}: all "
                "must return results that are nested alike, with the same shapes and dtypes"
            )
    results = record(index, [b for b, _, _ in made], tensors)
    for generator, drawn in zip(generators, results[len(results) - len(generators) :]):
        generator.go_on((generator.state[0], drawn))
    recording = current_trace.get()
    for out, numbers in zip(results, zip(*[numbers for _, _, numbers in made])):
        if None not in numbers and recording is not None:
            recording.numbers[out._row] = Number(_kind(numbers), max(n.bound for n in numbers))
    return first.filled(results[: len(results) - len(generators)])


def _common(slot: Sequence[tuple[Any, Any]]) -> np.dtype:
    """The dtype of a result that is a number in some branches or all, from what number it is and its row in each."""
    decided = [row.dtype for number, row in slot if number is None]
    return decided[0] if decided else np.dtype(_kind([number for number, _ in slot]))


def _kind(numbers: Sequence[Any]) -> type:
    kinds = {number.kind for number in numbers}
    return kinds.pop() if len(kinds) == 1 else common(sorted(kinds, key=str))


def _shown(tree: Tree, kinds: Sequence[tuple]) -> str:
    return f"{tree} of " + ", ".join(f"{dtype.name}{list(shape)}" for shape, dtype in kinds)
