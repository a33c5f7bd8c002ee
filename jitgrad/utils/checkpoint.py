"""`checkpoint`: less memory for more time. What a function saves for the reverse sweep is computed again when that needs it.

With values, the rows of the function are recorded as ever, but what they save is dropped (by hooks of saved tensors), and
when the sweep asks for it the function runs once more. While `jit` records, a checkpoint is one row that holds the tape of the
function: the reverse sweep differentiates a tape of its own, which no pass takes for the one that ran forward.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from jitgrad.autograd.graph import saved_tensors_hooks
from jitgrad.base.tree import flatten
from jitgrad.errors import OverwrittenError
from jitgrad.func.recomputed import recomputed
from jitgrad.functions.generators import states_noted
from jitgrad.record.apply import current_trace, grad_mode
from jitgrad.record.leaving import taken_since
from jitgrad.record.trace import in_mode
from jitgrad.tape.handle import Handle, guard_of, unchanged
from jitgrad.tape.row import LEAF, reachable
from jitgrad.utils.selective import CheckpointPolicy, SelectiveCheckpointContext, create_selective_checkpoint_contexts

__all__ = [
    "CheckpointError",
    "CheckpointPolicy",
    "SelectiveCheckpointContext",
    "checkpoint",
    "checkpoint_sequential",
    "create_selective_checkpoint_contexts",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]


class CheckpointError(RuntimeError):
    """A function under `checkpoint` does something else when it runs again."""


class _Enough(Exception):
    """All that the sweep asks for was computed again."""


_stops_early: ContextVar[bool | None] = ContextVar("stops_early", default=None)


def noop_context_fn() -> tuple[AbstractContextManager, AbstractContextManager]:
    """The contexts that a function runs in, and runs again in, where nothing is said of them."""
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, of which the reverse sweep keeps the arguments alone, and computes the rest again.

    Gradients are those of the function, also in tensors that it takes from outside. Random numbers come out the same, of every
    generator, unless `preserve_rng_state` is False. `context_fn()` gives two contexts, for the first run and for the second: see
    `create_selective_checkpoint_contexts`. `determinism_check="none"` does not compare what is saved in both. `use_reentrant` and
    `debug` make no difference. Under `jit` the same means recomputing in the reverse sweep.

    Raises `CheckpointError` where the function saves something else when it runs again, `OverwrittenError` for an argument that
    was changed in place in between, `ValueError` for an unknown `determinism_check`, and for `context_fn` or `debug` with
    `use_reentrant=True`.

    >>> import jitgrad
    >>> x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> jitgrad.utils.checkpoint.checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([-2.4784,  3.3129])
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check must be 'default' or 'none', not {determinism_check!r}")
    if use_reentrant and (context_fn is not noop_context_fn or debug):
        raise ValueError("context_fn and debug are for use_reentrant=False")
    tensors: list[Any] = []
    flatten((args, kwargs), tensors)
    tensors = [x for x in tensors if isinstance(x, Handle)]
    if current_trace.get() is not None or any(x._value is None for x in tensors):
        return recomputed(function, args, kwargs)
    first, second = context_fn()
    if not grad_mode.get():
        with first:
            return function(*args, **kwargs)
    stops = early_stop if _stops_early.get() is None else _stops_early.get()
    frame = _Frame(lambda: function(*args, **kwargs), tensors, second, bool(stops), determinism_check == "default")
    with saved_tensors_hooks(frame.pack, frame.unpack), first, states_noted() as drawn:
        result = function(*args, **kwargs)
    frame.random = drawn if preserve_rng_state else None
    if taken_since.get() is not None:
        frame.note_ends(result)
    return result


class _Frame:
    """One call of a function under `checkpoint`: what it saved, by number, and how to compute that again."""

    def __init__(self, run: Callable, tensors: Sequence[Any], context: Any, stops: bool, compares: bool) -> None:
        self.run, self.context, self.stops, self.compares = run, context, stops, compares
        self.specs: list[tuple[Any, Any]] = []  # of what was saved, the shapes and dtypes
        self.found: dict[int, Any] = {}
        self.random: dict[Any, Any] | None = None  # the generators that drew, and the states they had
        self.ends: list[Any] = []  # the leaves of a derivative that is being taken, which are none when it has been
        self.guards = [guard_of(x) for x in tensors]

    def pack(self, x: Any) -> int:
        """The number that stands for what is dropped."""
        self.specs.append((tuple(x.shape), x.dtype))
        return len(self.specs) - 1

    def note_ends(self, result: Any) -> None:
        """Note the leaves that require grad now: when it runs again, the function must record what it records now."""
        leaves: list[Any] = []
        flatten(result, leaves)
        rows = reachable([x._row for x in leaves if isinstance(x, Handle) and x._row is not None])
        self.ends = [row for row in rows if row.op is LEAF and row.requires]

    def unpack(self, number: int) -> Any:
        """What had that number; all is computed again if it is gone."""
        if number not in self.found:
            self._compute()
        if number not in self.found:
            raise CheckpointError(
                f"a function under checkpoint saved {len(self.specs)} tensors, and {len(self.found)} when it ran again: it must "
                "do the same"
            )
        x, guard = self.found.pop(number)
        if not unchanged((guard,)):
            raise OverwrittenError(
                f"a function under checkpoint changes a tensor of shape {list(x._value.shape)} in place that the reverse sweep "
                "needs: let it compute with a clone()"
            )
        return x

    def _compute(self) -> None:
        if any(storage.version != version for storage, version in self.guards):
            raise OverwrittenError(
                "an argument of a function under checkpoint was changed in place before the reverse sweep, which computes with "
                "it again: pass a clone(), or change it after backward()"
            )
        found: dict[int, Any] = {}

        def keep(x: Any) -> Any:
            number = len(found)
            if self.compares and number < len(self.specs) and (tuple(x.shape), x.dtype) != self.specs[number]:
                shape, dtype = self.specs[number]
                raise CheckpointError(
                    f"a function under checkpoint saved a tensor of {dtype} {list(shape)}, and one of {x.dtype} {list(x.shape)} "
                    "in its place when it ran again: it must do the same"
                )
            found[number] = x, guard_of(x)
            if self.stops and len(found) == len(self.specs):
                raise _Enough
            return x

        was = current_trace.get()
        forgotten = [row for row in self.ends if not row.requires]
        try:
            current_trace.set(None)  # where a sweep is recorded, this is none of that: it ran with values
            _ask(forgotten, True)
            with states_noted() as moved:
                _go_on(self.random or {})
                with saved_tensors_hooks(keep, lambda x: x), self.context:
                    in_mode(True, self.run)
        except _Enough:
            pass
        finally:
            _ask(forgotten, False)
            _go_on({} if self.random is None else moved)
            current_trace.set(was)
        if self.compares and len(found) != len(self.specs):
            raise CheckpointError(
                f"a function under checkpoint saved {len(self.specs)} tensors, and {len(found)} when it ran again: it must do "
                "the same"
            )
        self.found = found


def _go_on(states: dict[Any, Any]) -> None:
    for generator, state in states.items():
        generator.go_on(state)


def _ask(rows: Sequence[Any], requires: bool) -> None:
    for row in rows:
        row.requires = requires


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """The functions one after the other, in as many parts, of which all but the last run under `checkpoint`.

    >>> import jitgrad
    >>> x = jitgrad.tensor(0.5, requires_grad=True)
    >>> jitgrad.utils.checkpoint.checkpoint_sequential([jitgrad.sin, jitgrad.cos, jitgrad.exp], 2, x)
    tensor(2.4285, grad_fn=<ExpBackward0>)
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"checkpoint_sequential does not know {', '.join(kwargs)}")
    each = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if segments < 1 or segments > max(len(each), 1):
        raise ValueError(f"{len(each)} functions cannot be done in {segments} parts")

    def run(part: Sequence[Callable], x: Any) -> Any:
        for function in part:
            x = function(x)
        return x

    size = len(each) // segments
    for start in range(0, size * (segments - 1), size):
        part = functools.partial(run, each[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return run(each[size * (segments - 1) :], input)


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Within the block, say for all checkpoints whether the second run stops as soon as all is there that the sweep needs."""
    token = _stops_early.set(bool(enable))
    try:
        yield
    finally:
        _stops_early.reset(token)


@contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Accepted, as in PyTorch: errors of a checkpoint say what differs in any case."""
    yield
