"""A tensor that becomes a view of itself: `x.t_()`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from jitgrad.errors import MutatedArgumentError
from jitgrad.record.apply import current_trace, grad_mode
from jitgrad.record.memory import decide, views_of
from jitgrad.tape.handle import make, own_memory, requires
from jitgrad.tape.row import LEAF


def become(target: Any, seen_as: Callable[[Any], Any], name: str) -> Any:
    """Make `target` the view of it that `seen_as` gives. What looks into it stays as it is."""
    trace = current_trace.get()
    given = trace is not None and (
        trace.comes_from_outside(target)
        if target._value is not None
        else target._row.op is LEAF and target._row not in trace.owned
    )
    if given:
        raise MutatedArgumentError(
            f"{name}: a function under jit or vmap changes a tensor that its caller holds: return the new view instead"
        )
    if grad_mode.get() and requires(target) and target.is_leaf:
        raise RuntimeError(f"{name}: a leaf that requires grad cannot be changed in place: compute a new tensor")
    if target._value is None:
        decide(target)
        before = make(type(target), None, target._row)
        views = [] if trace is None else views_of(trace, target)
    else:
        storage = own_memory(target)
        before = make(type(target), target._value, target._row)
        before._storage = storage
        storage.look(before)
        views = [view for view in storage.living() if view._view is not None and view._view[0] is target]
    before._view = target._view
    for view in views:
        view._view = (before, view._view[1])
    seen = seen_as(before)
    target._value, target._row, target._storage, target._view = seen._value, seen._row, seen._storage, seen._view
    if target._storage is not None:
        target._storage.look(target)
    elif trace is not None:
        trace.views.append(weakref.ref(target))
    return target
