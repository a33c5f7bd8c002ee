"""`scan`, `fori_loop`, `while_loop`: loops that are one row of the tape; signatures and results as in `jax.lax`."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from jitgrad.base.tree import flatten
from jitgrad.control import loop_forward, loop_reverse  # noqa: F401  they say how the sweeps go
from jitgrad.control.body import Tree, as_operand, body, own, spec
from jitgrad.control.loop import Looped, record
from jitgrad.errors import TracedValueError
from jitgrad.functions.data import as_tensor
from jitgrad.functions.shaping import cat, stack
from jitgrad.ops.choosing import cast
from jitgrad.ops.movement import narrow, reshape
from jitgrad.ops.shapes import Spec
from jitgrad.record.apply import apply, copied, current_trace
from jitgrad.record.checking import checked
from jitgrad.tensors.tensor import Tensor, wrap


@checked
def scan(
    f: Callable,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    *,
    checkpoint: int | None = None,
) -> tuple[Any, Any]:
    """`carry, y = f(carry, x)` for each element x along the first dimension of `xs`: the last carry, and the ys stacked.

    `init` is the first carry, nested tensors and numbers whose shapes and dtypes `f` must keep; `xs` may be nested, or None
    with the number of steps in `length`. A `Generator` in the carry goes on from step to step, and comes out. With `reverse` the
    elements are taken from the last to the first; ys[i] still belongs to xs[i]. Under `jit` and `vmap` the loop is one row of the
    tape, whose machine code loops; in eager code it is a Python loop. The reverse sweep keeps the carry of every step; with
    `checkpoint=k` only that of every k-th step, and computes those between again. `unroll` steps are written out at a time (True:
    all).

    Raises `TypeError` if `f` does not return a pair or changes the nesting, a shape or a dtype of the carry; `ValueError` if
    there is no length, or the lengths differ.

    >>> import jitgrad
    >>> jitgrad.scan(lambda total, x: (total + x, total * x), 0.0, jitgrad.tensor([1.0, 2.0, 3.0]))
    (tensor(6.), tensor([0., 2., 9.]))
    """
    over = Tree.of(xs, "xs")
    n = _length(over, length)
    several = n if unroll is True else int(unroll)
    if several < 0 or (checkpoint is not None and checkpoint < 1):
        raise ValueError(f"scan: unroll and checkpoint must be at least 1, not {unroll!r} and {checkpoint!r}")

    def run(carry: Tree) -> tuple[Any, Any]:
        step = _Step(f, carry, over)
        if current_trace.get() is None:
            final, ys = step.plain(carry.tensors, over.tensors, n, reverse)
        elif checkpoint is not None or several > 1:
            inner = step.plain if checkpoint is None else step.recorded
            final, ys = _in_blocks(inner, carry.tensors, over.tensors, n, checkpoint or several, reverse)
        else:
            final, ys = step.recorded(carry.tensors, over.tensors, n, reverse)
        return carry.ended(final), step.results.ended(ys)

    return adapting(Tree.of(init, "init"), run, over.tensors)


class _Step:
    """The function of a scan, of lists of tensors, whose results are checked."""

    results: Tree  # how the ys are nested

    def __init__(self, f: Callable, carry: Tree, over: Tree) -> None:
        self._function, self.carry, self.over = f, carry, over

    def __call__(self, carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        found = self._function(self.carry.filled(carry), self.over.filled(x))
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(f"the function of a scan must return (carry, y), not {type(found).__name__}")
        self.results = Tree.of(found[1], "the ys of a scan")
        return matching(found[0], self.carry, carry, "scan"), self.results.tensors

    def recorded(self, carry: list[Any], xs: list[Any], n: int, reverse: bool) -> tuple[list[Any], list[Any]]:
        count = len(carry)
        specs = [*map(spec, carry), *[Spec(tuple(x.shape[1:]), spec(x).dtype) for x in xs]]
        made = body(lambda given: [t for part in self(given[:count], given[count:]) for t in part], specs, carry, xs)
        found: Looped = record(made, carry, xs, length=n, reverse=reverse)
        return found.carry, found.ys

    def plain(self, carry: list[Any], xs: list[Any], n: int, reverse: bool) -> tuple[list[Any], list[Any]]:
        """The steps one after the other."""
        if n == 0:  # only a trace can say what the ys would be
            found = self.recorded(carry, xs, 0, reverse)
            return own(carry), found[1]
        ys: list[list[Any]] = [[]] * n
        for i in reversed(range(n)) if reverse else range(n):
            carry, ys[i] = self(own(carry), own([x[i] for x in xs]))
        return own(carry), [copied(stack(many)) for many in zip(*ys)]


def _length(over: Tree, length: int | None) -> int:
    sizes = [] if length is None else [operator.index(length)]
    for x in over.tensors:
        if x.ndim == 0:
            raise ValueError("scan: a 0-d tensor among xs has no elements to go through; let the function use it from outside")
        sizes.append(x.shape[0])
    if not sizes:
        raise ValueError("scan: without xs, length must say how many steps to take")
    if len(set(sizes)) > 1 or sizes[0] < 0:
        raise ValueError(f"scan: the lengths of xs{' and length' if length is not None else ''} must be equal, not {sizes}")
    return sizes[0]


class _OtherDtype(Exception):
    """A step returned another dtype for an entry of the carry that began as a Python number."""


def adapting(carry: Tree, run: Callable[[Tree], Any], beside: Sequence[Any] = ()) -> Any:
    """`run(carry)`, the numbers in the carry in the dtypes that the steps return, and where the tensors beside them are."""
    tried: set[tuple[int, np.dtype]] = set()
    while True:
        try:
            return run(carry.placed(beside))
        except _OtherDtype as found:
            k, dtype = found.args
            tensors, numbers = list(carry.tensors), list(carry.numbers)
            tensors[k] = as_operand(carry.given[k], "a number", dtype)
            if found.args in tried:  # steps that return another one each time are in error
                numbers[k] = None
            tried.add(found.args)
            carry = carry._replace(tensors=tensors, numbers=tuple(numbers))


def matching(found: Any, carry: Tree, before: list[Any], what: str) -> list[Any]:
    """The tensors of a carry that a step returned. Raises `TypeError` if they are not like those it got."""
    after = Tree.of(found, f"the carry of {what}").placed(before)
    if not after.same(carry):
        raise TypeError(f"{what}: the carry is nested as {carry}, and the function returned {after}: it must keep the nesting")
    out = []
    for k, (old, new) in enumerate(zip(map(spec, before), after.tensors)):
        if carry.numbers[k] and spec(new).shape == old.shape and spec(new).dtype != old.dtype:
            raise _OtherDtype(k, spec(new).dtype)
        if spec(new) != old:
            raise TypeError(
                f"{what}: entry {k} of the carry is {_shown(old)}, and the function returned {_shown(spec(new))}: a "
                "step must keep shapes and dtypes, so start with ones that fit"
            )
        out.append(new)
    return out


def _shown(s: Spec) -> str:
    return f"{s.dtype.name}{list(s.shape)}"


def _in_blocks(inner: Callable, carry: list[Any], over: list[Any], n: int, size: int, reverse: bool) -> tuple[list, list]:
    """A scan over blocks of `size` steps, each done by `inner(carry, xs, steps, reverse)`; and the steps that are left."""
    size = max(min(size, n), 1)
    blocks, rest = divmod(n, size)

    def part(x: Any, start: int, length: int) -> Any:
        return apply(narrow, (x,), {"dim": 0, "start": start, "length": length})

    def blocked(state: list[Any]) -> tuple[list[Any], list[Any]]:
        start, count = rest if reverse else 0, len(state)
        xs = [apply(reshape, (part(x, start, blocks * size),), {"shape": (blocks, size, *x.shape[1:])}) for x in over]
        specs = [*map(spec, state), *[Spec(tuple(x.shape[1:]), spec(x).dtype) for x in xs]]
        made = body(lambda given: [t for some in inner(given[:count], given[count:], size, reverse) for t in some], specs)
        found = record(made, state, xs, length=blocks, reverse=reverse)
        return found.carry, [apply(reshape, (y,), {"shape": (blocks * size, *y.shape[2:])}) for y in found.ys]

    def left(state: list[Any]) -> tuple[list[Any], list[Any]]:
        start = 0 if reverse else blocks * size
        return inner(state, [part(x, start, rest) for x in over], rest, reverse)

    pieces = []
    for piece in (blocked, left) if rest else (blocked,):
        carry, ys = piece(carry)
        pieces.append(ys)
    return carry, [cat(list(many)) if len(many) > 1 else many[0] for many in zip(*(pieces[::-1] if reverse else pieces))]


@checked
def fori_loop(lower: Any, upper: Any, body_fun: Callable, init_val: Any, *, unroll: int | bool = 1) -> Any:
    """`value = body_fun(i, value)` for i from `lower` up to `upper`; the last value.

    With bounds that are ints this is a `scan`, so that reverse mode works. With bounds that are tensors under `jit` it is a
    `while_loop`, for forward mode alone. `i` is a 0-d int64 tensor. Raises `TypeError` as `scan` does, or for other bounds.

    >>> import jitgrad
    >>> jitgrad.fori_loop(0, 5, lambda i, x: x * 2 + i, 1.0)
    tensor(58.)
    """
    lower, upper = _bound(lower, "lower"), _bound(upper, "upper")
    if isinstance(lower, int) and isinstance(upper, int):

        def step(state: tuple, _: Any) -> tuple:
            i, value = state
            return (i + 1, body_fun(i, value)), None

        return inspect.unwrap(scan)(step, (np.int64(lower), init_val), length=max(upper - lower, 0), unroll=unroll)[0][1]
    start, end = (apply(cast, (as_tensor(b),), {"dtype": np.dtype(np.int64)}) for b in (lower, upper))
    return while_loop(lambda state: state[0] < end, lambda state: (state[0] + 1, body_fun(*state)), (start, init_val))[1]


def _bound(bound: Any, name: str) -> Any:
    if isinstance(bound, (Tensor, np.ndarray)):
        held = bound._held if isinstance(bound, Tensor) else bound
        if held.ndim or held.dtype.kind not in "biu":
            raise TypeError(f"fori_loop: {name} must be an int, not a tensor of {bound.dtype} and shape {list(bound.shape)}")
        fixed = not isinstance(bound, Tensor) or (bound._value is not None and current_trace.get() is None)
        return int(bound) if fixed else bound
    try:
        return operator.index(bound)
    except TypeError:
        raise TypeError(f"fori_loop: {name} must be an int or a 0-d int tensor, not {type(bound).__name__}") from None


@checked
def while_loop(cond_fun: Callable, body_fun: Callable, init_val: Any, *, max_steps: int | None = None) -> Any:
    """`while cond_fun(value): value = body_fun(value)`; the last value.

    `value` is nested tensors and numbers, whose shapes and dtypes `body_fun` must keep; `cond_fun` returns a 0-d bool. With
    `max_steps` the loop stops after so many steps at the latest. Under `jit` reverse mode needs it (the carry of every step is
    kept); forward mode does not, nor does eager code. Machine code cannot be interrupted: a loop that never ends never ends.

    Raises `TypeError` if `body_fun` changes the carry as in `scan`, or `cond_fun` does not return a 0-d bool.

    >>> import jitgrad
    >>> jitgrad.while_loop(lambda x: x < 100, lambda x: x * 3, 1.0)
    tensor(243.)
    """
    if max_steps is not None and operator.index(max_steps) < 0:
        raise ValueError(f"while_loop: max_steps must not be negative, and is {max_steps}")
    return adapting(Tree.of(init_val, "init_val"), lambda carry: _while(cond_fun, body_fun, carry, max_steps))


def _while(cond_fun: Callable, body_fun: Callable, carry: Tree, max_steps: int | None) -> Any:
    def step(tensors: list[Any]) -> list[Any]:
        return matching(body_fun(carry.filled(tensors)), carry, tensors, "while_loop")

    def asks(tensors: list[Any]) -> Any:
        return truth(cond_fun(carry.filled(tensors)), "while_loop: cond_fun must return")

    specs = list(map(spec, carry.tensors))
    if current_trace.get() is None:
        state, i = carry.tensors, 0
        while (max_steps is None or i < max_steps) and bool(asks(state)):
            state, i = step(own(state)), i + 1
        if not i and any(carry.numbers):  # only a trace can say what steps would return for these
            with suppress(TracedValueError):  # of one that goes by values there is none, in no other way to run either
                body(step, specs, carry.tensors)
        return carry.ended(own(state))
    question = body(lambda given: [asks(given)], specs, carry.tensors)
    return carry.ended(record(body(step, specs, carry.tensors), carry.tensors, [], length=max_steps, cond=question).carry)


def truth(found: Any, what: str) -> Tensor:
    """A 0-d bool tensor. Raises `TypeError` for anything else."""
    leaves: list[Any] = []
    if flatten(found, leaves) is None and isinstance(found, (bool, np.bool_)):
        return wrap(np.bool_(found))
    if not isinstance(found, Tensor) or found.ndim or spec(found).dtype != np.bool_:
        shown = f"{spec(found).dtype.name}{list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise TypeError(f"{what} a 0-d bool tensor, as a comparison gives, not {shown}")
    return found
