"""Tensors that come to be at other memory: what `x.data = y` does."""

from __future__ import annotations

import weakref
from typing import Any

from jitgrad.errors import MutatedArgumentError
from jitgrad.record.memory import views_of
from jitgrad.record.trace import captured_here, current_trace
from jitgrad.tape.handle import make, own_memory, requires
from jitgrad.tape.row import LEAF, Leaf
from jitgrad.tensors.inplace import before_change, detached


def rebind(target: Any, source: Any) -> None:
    """Make `target` look at the memory of `source`; what it looked at before, and its views, stay as they are."""
    before_change(target)
    storage = own_memory(source)
    for view in [] if target._storage is None else target._storage.living():
        if view._view is not None and view._view[0] is target:
            view._view = None
    held = target._held
    target._value, target._storage, target._view = source._value, storage, None
    storage.look(target)
    if target._row is not None and (held.shape, held.dtype) != (source._held.shape, source._held.dtype):
        old, target._row = target._row, Leaf(target._value.shape, target._value.dtype, requires(target), weakref.ref(target))
        target._row.extra = old.extra


def rebind_traced(target: Any, source: Any) -> None:
    """`rebind` while a trace records: from now on `target` is a detached view of `source`."""
    trace = current_trace.get()
    if trace is None or target._value is not None or (target._row.op is LEAF and target._row not in trace.owned):
        raise MutatedArgumentError(
            "data: a function under jit or vmap changes a tensor that its caller holds: return the new value instead"
        )
    before = make(type(target), None, target._row)
    for view in views_of(trace, target):
        view._view = (before, view._view[1])
    seen = detached(captured_here(source))
    target._row, target._view = seen._row, seen._view
    trace.views.append(weakref.ref(target))
