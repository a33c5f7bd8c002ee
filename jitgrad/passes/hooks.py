"""What is called while a reverse sweep passes a row: the hooks of tensors, and those of nodes.

A row has hooks in `extra`, by kind, each kind in the order in which they were registered: `TENSOR` for the cotangent of the
tensor that the row is of, `BEFORE` and `AFTER` for the row itself, `ACCUMULATED` for a leaf that has a new gradient. Most rows
have no `extra`, and a sweep does no more than see that.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.record.trace import in_mode
from jitgrad.tape.device_array import ARRAYS, device_of, refuse_elsewhere
from jitgrad.tape.handle import Handle, tensor
from jitgrad.tape.row import LEAF, Row, Several

TENSOR, BEFORE, AFTER, ACCUMULATED = "hooks", "before", "after", "accumulated"

hooked: set[weakref.ref[Row]] = set()
"""The leaves that have had hooks: while there are any, sweeps pass leaves as soon as their cotangents are whole."""


class SweepHook:
    """A hook of a tensor that wants to know which sweep it is called by; `call(sweep, cotangent)`."""

    def __init__(self, call: Callable[[Any, Any], None]) -> None:
        self.call = call


def register(row: Row, kind: str, hook: Any) -> int:
    """Add a hook to a row; the key by which it is taken away again."""
    row.extra = row.extra or {}
    hooks = row.extra.setdefault(kind, {})
    key = max(hooks, default=0) + 1
    hooks[key] = hook
    if row.op is LEAF:
        hooked.add(weakref.ref(row, hooked.discard))
    return key


def remove(row: Row, kind: str, key: int) -> None:
    """Take a hook away, if it is there; without any the row is as quick as before."""
    hooks = (row.extra or {}).get(kind, {})
    if hooks.pop(key, None) is not None and not hooks:
        del row.extra[kind]
        row.extra = row.extra or None


def of(row: Row, kind: str) -> list[Any]:
    """The hooks of one kind, as they are now: they may register and remove others."""
    return list((row.extra or {}).get(kind, {}).values())


def leaves_at_once(order: list[Row]) -> list[Row]:
    """The rows in order, each leaf just before the first row that reads it: backwards that is where its cotangent is whole."""
    found: dict[Row, None] = {}
    for row in order:
        if row.op is not LEAF:
            for x in reversed(row.inputs):
                if x.op is LEAF:
                    found[x] = None
            found[row] = None
    kept = set(order)
    unread = [row for row in order if row not in found]  # leaves that the sweep starts from
    return [*unread, *[row for row in found if row in kept]]


def with_tensor_hooks(sweep: Any, row: Row, g: Any) -> Any:
    """The cotangent of a tensor after its hooks, each of which may replace it; kept, if that was asked for."""
    for hook in of(row, TENSOR):
        if hook.__class__ is SweepHook:
            _called(sweep, functools.partial(hook.call, sweep), g)
            continue
        changed = _called(sweep, hook, g)
        if changed is not None:
            _refuse_unlike(changed, g, row)
            g = changed if sweep.recorded else changed._value
    if row.extra is not None and row.extra.get("retain"):
        old = row.extra.get("grad")
        kept = g if sweep.recorded else tensor(g.copy() if isinstance(g, ARRAYS) else g)
        row.extra["grad"] = kept if old is None else old + kept
    return g


def through_hooks(sweep: Any, row: Row, g: Any) -> None:
    """Let a row pass its cotangent on, between the hooks of its node, which may replace what comes in and what goes out."""
    g = prepared(sweep, row, g)
    after = of(row, AFTER)
    if not after and sweep.check is None:
        sweep.step(row, g)
        return
    parts = sweep.apart(row, g) if sweep.check is None else sweep.check(sweep, row, g)
    for hook in after:
        given = tuple([_as_handle(sweep, part) for part in parts])
        changed = _called(sweep, functools.partial(hook, given), g, row)
        if changed is not None:
            parts = _replaced(sweep, changed, parts, "a hook of a node", "what it passes on")
    for x, part in zip(row.inputs, parts):
        if part is not None and x in sweep.needed:
            sweep.add(x, part, False)


def prepared(sweep: Any, row: Row, g: Any) -> Any:
    """What arrives at a node after the hooks that come before it."""
    for hook in of(row, BEFORE):
        changed = _called(sweep, hook, g, row)
        if changed is not None:
            parts = _replaced(sweep, changed, _arriving(row, g), "a prehook of a node", "what arrives at it")
            g = {k: part for k, part in enumerate(parts) if part is not None} if isinstance(row, Several) else parts[0]
    return g


def after_leaf(row: Row, g: Any, recorded: bool) -> None:
    """Call the hooks that come after a gradient was added to a leaf."""
    owner = row.owner() if row.owner is not None else None  # type: ignore[attr-defined]
    for hook in of(row, ACCUMULATED):
        if owner is not None:
            hook(owner)
    for hook in of(row, AFTER):
        if hook((), (g if recorded else tensor(g),)) is not None:
            raise RuntimeError("a hook of the node that accumulates a gradient has nothing to replace: it must return None")


def _arriving(row: Row, g: Any) -> list[Any]:
    return [g.get(k) for k in range(len(row.results))] if isinstance(row, Several) else [g]


def _as_handle(sweep: Any, g: Any) -> Any:
    return g if g is None or sweep.recorded or isinstance(g, Handle) else tensor(g)


def _called(sweep: Any, hook: Callable, g: Any, row: Row | None = None) -> Any:
    """What a hook returns for a cotangent, or for a tuple of those that arrive at a row."""
    if row is None:
        given = _as_handle(sweep, g)
    else:
        given = tuple([_as_handle(sweep, part) for part in _arriving(row, g)])
    return in_mode(sweep.recorded, lambda: hook(given))


def _replaced(sweep: Any, changed: Any, parts: Sequence[Any], who: str, what: str) -> list[Any]:
    if not isinstance(changed, tuple):
        raise TypeError(
            f"{who} must return None or a tuple, of a tensor or None for each in {what}, not {type(changed).__name__}"
        )
    if len(changed) != len(parts):
        raise RuntimeError(f"{who} must return None or as many tensors as are in {what}, {len(parts)}, not {len(changed)}")
    for new in changed:
        if new is not None and not isinstance(new, Handle):
            raise TypeError(f"{who} must return tensors or None, not {type(new).__name__}")
    return [new if new is None or sweep.recorded else new._value for new in changed]


def _refuse_unlike(changed: Any, g: Any, row: Row) -> None:
    if not isinstance(changed, Handle):
        raise TypeError(f"a hook must return a tensor or None, not {type(changed).__name__}")
    if (shape := tuple(getattr(changed, "shape", ()))) != tuple(g.shape):
        raise RuntimeError(f"a hook changed the shape of a gradient from {list(g.shape)} to {list(shape)}")
    if changed._held.dtype != row.dtype:
        raise RuntimeError(f"a hook changed the dtype of a gradient from {row.dtype} to {changed._held.dtype}")
    refuse_elsewhere("what a hook returns", changed, device_of(g))
