"""What a checkpoint keeps all the same: policies that decide by operation."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from jitgrad.record.computed import computing
from jitgrad.record.trace import Watcher, lifting
from jitgrad.tape.handle import tensor


class CheckpointPolicy(enum.Enum):
    """Whether the result of an operation is saved, or computed again; "prefer" and "must" are the same here."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3


_SAVES = (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)


class SelectiveCheckpointContext:
    """What a policy is told of the run: whether it is the second one."""

    def __init__(self, *, is_recompute: bool) -> None:
        self.is_recompute = is_recompute


class _Run:
    """A run of the function: the results that the policy saves are put on a list, or taken from there."""

    def __init__(self, saves: Callable[..., bool], kept: list[Any], again: bool) -> None:
        self._saves, self._kept, self._again = saves, kept, again
        self._about = SelectiveCheckpointContext(is_recompute=again)
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
        if not self._saves(self._about, op, values):
            return run()
        if not self._again:
            self._kept.append(run())
            return self._kept[-1]
        found = self._kept[self._at]
        self._at += 1
        return found


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
        saves: Callable[..., bool] = lambda ctx, op, values: (
            policy_fn_or_list(ctx, op, *[tensor(v) if hasattr(v, "dtype") else v for v in values]) in _SAVES
        )
    elif isinstance(policy_fn_or_list, (list, tuple, set, frozenset)):
        names = {getattr(named, "__name__", None) or getattr(named, "name", named) for named in policy_fn_or_list}
        saves = lambda ctx, op, values: op.name in names
    else:
        raise TypeError(f"a policy is a function or a list of operations, not {type(policy_fn_or_list).__name__}")
    kept: list[Any] = []
    return _Run(saves, kept, again=False), _Run(saves, kept, again=True)
