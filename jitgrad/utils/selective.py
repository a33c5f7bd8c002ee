"""What a checkpoint keeps all the same: policies that decide by operation."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from jitgrad.record.computed import computing
from jitgrad.record.trace import Watcher, lifting
from jitgrad.tape.device_array import ARRAYS, copy_of
from jitgrad.tape.handle import tensor


class CheckpointPolicy(enum.Enum):
    """Whether the result of an operation is saved, or computed again.

    "Prefer" and "must" are the same here, and so are to save and to save in the memory of the CPU.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


_AGAIN = (CheckpointPolicy.MUST_RECOMPUTE, CheckpointPolicy.PREFER_RECOMPUTE)
_GONE = object()
"""Stands on the list for what is computed again."""


class SelectiveCheckpointContext:
    """What a policy is told of the operation: what it gave. The policy is asked in the first run alone."""

    def __init__(self, *, is_recompute: bool = False, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


class _Run:
    """A run of the function: the results that the policy saves are put on a list, or in the second run taken from there."""

    def __init__(self, saves: Callable[..., bool], kept: list[Any], again: bool) -> None:
        self._saves, self._kept, self._again = saves, kept, again
        self._watcher = Watcher()

    def __enter__(self) -> None:
        self._before = computing.get()
        self._at = 0
        lifting.append(self._watcher)
        computing.set(self._compute)

    def __exit__(self, *_: object) -> None:
        computing.set(self._before)
        lifting.remove(self._watcher)

    def _compute(self, op: Any, values: list[Any], run: Callable[[], Any]) -> Any:
        if not self._again:
            found = run()
            saved = self._saves(found, op, values) and not op.view  # a view costs nothing, and looks at its source
            self._kept.append(_copied(found) if saved else _GONE)
            return found
        found = self._kept[self._at] if self._at < len(self._kept) else _GONE
        self._at += 1
        return run() if found is _GONE else _copied(found)


def _copied(found: Any) -> Any:
    """What an operation gave, in memory of its own: the function may change it in place, each time that it runs."""
    return tuple(map(_copied, found)) if isinstance(found, tuple) else copy_of(found) if isinstance(found, ARRAYS) else found


def create_selective_checkpoint_contexts(policy_fn_or_list: Any, allow_cache_entry_mutation: bool = False) -> tuple[Any, Any]:
    """The two contexts for `context_fn` of a checkpoint that keeps what some operations give, and computes the rest again.

    `policy_fn(ctx, op, *tensors)` says so of each row of the op table as it runs (`op.name` is its name, as `jitgrad ops` lists
    them) by a `CheckpointPolicy`; a list names the operations that are kept. `allow_cache_entry_mutation` is accepted.

    >>> import functools, jitgrad
    >>> from jitgrad.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> contexts = functools.partial(create_selective_checkpoint_contexts, ["matmul"])
    >>> w = jitgrad.ones(2, 2, requires_grad=True)
    >>> checkpoint(lambda w: (w @ w).exp().sum(), w, context_fn=contexts).backward()
    """
    if callable(policy_fn_or_list):
        saves: Callable[..., bool] = lambda found, op, values: _wanted(policy_fn_or_list, found, op, values)
    elif isinstance(policy_fn_or_list, (list, tuple, set, frozenset)):
        names = {_name(named) for named in policy_fn_or_list}
        saves = lambda found, op, values: op.name in names
    else:
        raise TypeError(f"a policy is a function or a list of operations, not {type(policy_fn_or_list).__name__}")
    kept: list[Any] = []
    return _Run(saves, kept, again=False), _Run(saves, kept, again=True)


def _name(named: Any) -> str:
    """The name of an operation that a list names."""
    found = getattr(named, "__name__", None) or getattr(named, "name", named)
    if not isinstance(found, str):
        raise ValueError(f"an operation is named by its name or its function, not by {named!r}")
    return found


def _wanted(policy: Callable[..., Any], found: Any, op: Any, values: list[Any]) -> bool:
    """Whether a policy, which may say so by a bool too, wants a result to be saved."""

    def shown(value: Any) -> Any:
        return tensor(value) if hasattr(value, "dtype") else value

    result = tuple(map(shown, found)) if isinstance(found, tuple) else shown(found)
    said = policy(SelectiveCheckpointContext(op_output=result), op, *map(shown, values))
    return said if isinstance(said, bool) else said not in _AGAIN
