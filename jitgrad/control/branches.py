"""`cond` and `switch`: branches that are one row of the tape; signatures and results as in `jax.lax`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.checking import checked
from jitgrad.control.body import Tree, body, spec
from jitgrad.control.branch import record
from jitgrad.control.loops import truth
from jitgrad.functions.data import as_tensor
from jitgrad.ops.elementwise import cast, logical_not
from jitgrad.record import apply, copied, current_trace
from jitgrad.tensor import Tensor
from jitgrad.tree import tree_map

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
        return _taken(true_fun if bool(chosen) else false_fun, operands)
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
        return _taken(branches[min(max(int(at), 0), len(branches) - 1)], operands)
    return _switch("switch", apply(cast, (at,), {"dtype": INT}), branches, operands)


def _taken(branch: Callable, operands: tuple) -> Any:
    """The results of a branch, which changes in place what it gets as the row does: copies; and hands out copies."""
    own = functools.partial(tree_map, lambda leaf: copied(leaf) if isinstance(leaf, Tensor) else leaf)
    return own(branch(*own(operands)))


def _switch(what: str, index: Tensor, branches: Sequence[Callable], operands: tuple) -> Any:
    given = Tree.of(operands, f"the operands of {what}")
    found: list[Tree] = []

    def traced(branch: Callable) -> Any:
        def call(tensors: list[Any]) -> list[Any]:
            found.append(Tree.of(branch(*given.filled(tensors)), f"the results of {what}"))
            return found[-1].tensors

        return body(call, list(map(spec, given.tensors)), given.tensors)

    bodies = [traced(branch) for branch in branches]
    kinds = [[(row.shape, row.dtype) for row in b.tape.outputs] for b in bodies]
    for k, (tree, kind) in enumerate(zip(found, kinds)):
        if not tree.same(found[0]) or kind != kinds[0]:
            raise TypeError(f"{what}: branch 0 returns {_shown(found[0], kinds[0])}, and branch {k} {_shown(tree, kind)}: all "
                            "must return results that are nested alike, with the same shapes and dtypes")  # fmt: skip
    return found[0].filled(record(index, bodies, given.tensors))


def _shown(tree: Tree, kinds: Sequence[tuple]) -> str:
    return f"{tree} of " + ", ".join(f"{dtype.name}{list(shape)}" for shape, dtype in kinds)


