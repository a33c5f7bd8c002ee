"""Changes in place: memory is overwritten, and the tape says what the tensor now is.

The new value is first computed out of place and recorded as usual; then it is written over the old one, the version
of the storage goes up, and the tensor's row becomes that of the new value. If the tensor is a view, the tensor it
looks into changes too: its row becomes "the old one with this part put in", and all other views are looked up again.
"""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.devices.moving import moved_to
from jitgrad.errors import LeakedTraceError, MutatedArgumentError
from jitgrad.ops.choosing import alias, cast, clone, detach, where
from jitgrad.ops.complexes import view_as_complex, view_as_real
from jitgrad.ops.indexing import filled, getitem, index_add, index_put, put
from jitgrad.ops.movement import back_from, expand, permute, reshape
from jitgrad.ops.strided import put_strided, strided
from jitgrad.ops.table import infer
from jitgrad.record.apply import append, apply, current_trace, grad_mode, lift
from jitgrad.record.index import Step
from jitgrad.record.memory import decide, look, views_of
from jitgrad.record.trace import Trace, comes_later, in_mode, leaked
from jitgrad.tape.device_array import ARRAYS, DeviceArray, copy_of, refuse_mixed
from jitgrad.tape.handle import Handle, make, own_memory, requires
from jitgrad.tape.packing import before_overwriting
from jitgrad.tape.row import FREED, LEAF, NOTHING, Row, serials
from jitgrad.tensors.given import fitted, writable
from jitgrad.tensors.spoiled import spoiled

_GIVEN = (LEAF, alias)
"""Rows of what a gradient is asked for, leaves and the arguments of a function whose derivative is taken."""


def overwrite_by(function: Callable, target: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Make `target` hold what `function(target, ...)` gives, in place; what rows of that call saved of the old value stays."""
    since = serials()
    return overwrite(target, before_overwriting(target, function, *args, **kwargs), name, since)


def overwrite(target: Any, new: Any, name: str, since: float = math.inf) -> Any:
    """Make `target` hold the value of `new` (a tensor of any dtype that broadcasts to it), in place.

    Rows with a serial above `since` were made to compute `new` from `target`.
    """
    if target._value is None:
        decide(target)
    root = _root_of(target)
    tracking = grad_mode.get() and (requires(target) or requires(new))
    if tracking:
        _refuse_leaf(target, root, name)
    _refuse_unrecorded(target, root, name)
    new = fitted(target, new, name)
    if target._value is None or new._value is None:
        return _overwrite_traced(target, root, new, name)
    if tracking:
        if not requires(new):  # the tensor still requires grad, and what came before passes no gradient on
            new = apply(index_put, (target, new), {"index": (Ellipsis,)})
        _keep_old_values(target, new, since)
        changed_root = new if root is target else _put(root, target._view[1], new)
    _write(target, new, name)
    if tracking:
        _becomes(root, changed_root._row)
        _look_again(root)
    return target


def version(handle: Any) -> int:
    """How many times the memory of a tensor was changed in place: while it had no storage that counts, and since."""
    root = handle if handle._view.__class__ is not tuple else handle._view[0]
    storage = handle._storage
    return root.__dict__.get("_changes", 0) + (0 if storage is None else storage.version)


def changed_unseen(handle: Any) -> None:
    """Count a change of a tensor that has no storage to count it."""
    handle.__dict__["_changes"] = handle.__dict__.get("_changes", 0) + 1


def _refuse_leaf(target: Any, root: Any, name: str) -> None:
    if root._row is not None and root._row.op in _GIVEN and root._row.requires:
        what = "a view of a leaf" if root is not target else "a leaf"
        raise RuntimeError(
            f"{name}: {what} that requires grad cannot be changed in place: do it under no_grad(), or compute a new tensor"
        )


def _root_of(target: Any) -> Any:
    """The tensor whose memory is about to change. If it has a value, and is looked into at an index whose value comes later, it
    is taken into what records, so that the view sees the change."""
    root, trace = target._view[0] if target._view is not None else target, current_trace.get()
    if trace is not None and root._value is not None and any(view._value is None for view in views_of(trace, root)):
        _take_into(trace, root)
    return root


def _becomes(handle: Any, row: Any) -> None:
    """Give a tensor that was changed its new row, for which a gradient is kept if that was asked for."""
    old, handle._row = handle._row, row
    if old is not None and old.extra and "retain" in old.extra:
        row.extra = (row.extra or {}) | {name: old.extra.pop(name) for name in ("retain", "grad") if name in old.extra}


def _refuse_unrecorded(target: Any, root: Any, name: str) -> None:
    """RuntimeError for a view that was made under `no_grad` of what has a history, which would not know of the change."""
    if root is not target and grad_mode.get() and requires(root) and not requires(target):
        raise RuntimeError(
            f"{name}: this is a view, made by detach() or under no_grad(), of a tensor that requires grad, and "
            "changing it would be lost to the gradient: change it under no_grad() too, or clone() it"
        )


def is_mask(index: Any) -> bool:
    """Whether an index is a mask on a device."""
    held = index._value if isinstance(index, Handle) else None
    return isinstance(held, DeviceArray) and held.dtype == np.bool_


def assign_masked(target: Any, mask: Any, value: Any) -> None:
    """`target[mask] = value` for one number."""
    shape = tuple(target._held.shape)
    if shape[: mask._value.ndim] != mask._value.shape:
        raise IndexError(f"a mask of shape {list(mask._value.shape)} for a tensor of shape {list(shape)}: they must be equal")
    spread = apply(reshape, (mask,), {"shape": (*mask._value.shape, *[1] * (len(shape) - mask._value.ndim))})
    overwrite(target, apply(where, (spread, moved_to(value, target), target)), "setitem")


def assign(target: Any, steps: Sequence[Step], value: Any) -> None:
    """`target[index] = value` for an index of the given steps."""
    held = target._held
    if DeviceArray in (held.__class__, value._value.__class__) and not comes_later(value):
        copied = not value._value.ndim or not any(step.arrays for step in steps)  # as by `copy_`
        value = moved_to(value, target) if copied else value
    if value._held.dtype != held.dtype:
        value = apply(cast, (value,), {"dtype": held.dtype})
    if held is target._row:
        decide(target)
    root = _root_of(target)
    tracking = grad_mode.get() and (requires(target) or requires(value))
    _refuse_unrecorded(target, root, "setitem")
    later = any(x._value is None for x in (target, value, *[a for step in steps for a in step.arrays if isinstance(a, Handle)]))
    if tracking or later:
        overwrite(target, in_mode(True, lambda: with_part(target, steps, value)), "setitem")
        return
    storage = own_memory(target)
    before_change(target)
    place = target._value
    writable(place, "setitem")
    if place.__class__ is DeviceArray or steps[-1].arrays:
        refuse_mixed("setitem", (target, value, *steps[-1].arrays))
    if place.__class__ is DeviceArray:
        storage.version += 1
        place[...] = in_mode(False, lambda: with_part(make(type(target), place, None), steps, value))._value
        return
    for template, arrays in steps[:-1]:
        place = place[filled(template, arrays)]
    template, arrays = steps[-1]
    storage.version += 1  # before, as an interrupt may come after
    try:
        put(place, value._value, arrays, template)
    except Exception as error:
        storage.version -= 1
        if not isinstance(error, ValueError):
            raise
        shape = list(_getitem_shape(make(type(target), place, None), steps[-1]))
        raise _misfit(value, shape) from None


def with_part(x: Any, steps: Sequence[Step], value: Any, adds: bool = False) -> Any:
    """`x` with `value` at the place that the steps lead to, or added to what is there, as a new tensor."""
    template, arrays = steps[0]
    if len(steps) > 1:
        value = with_part(apply(getitem, (x, *arrays), {"index": template}), steps[1:], value, adds)
    else:
        shape = _getitem_shape(x, steps[0])
        given = tuple(value._held.shape)
        lead = len(given) - len(shape)
        if lead > 0 and set(given[:lead]) == {1}:
            given = given[lead:]
            value = apply(reshape, (value,), {"shape": given})
        if given != shape:
            try:
                np.broadcast_to(np.zeros(given, np.int8), shape)
            except ValueError:
                raise _misfit(value, list(shape)) from None
            value = apply(expand, (value,), {"shape": shape})
    return apply(index_add if adds and len(steps) == 1 else index_put, (x, value, *arrays), {"index": template})


def _getitem_shape(x: Any, step: Step) -> tuple[int, ...]:
    arrays = [array._held if isinstance(array, Handle) else array for array in step.arrays]
    return tuple(infer(getitem, [x._held, *arrays], {"index": step.template}).shape)


def _misfit(value: Any, shape: list[int]) -> RuntimeError:
    return RuntimeError(
        f"setitem: a value of shape {list(value._held.shape)} does not broadcast to the place it is "
        f"assigned to, which has shape {shape}"
    )


def _write(target: Any, new: Any, name: str) -> None:
    value = new._value
    before_change(target)
    alone = target._storage is None and not (isinstance(value, ARRAYS) and value.base is not None)
    alone = alone and (value.__class__ is DeviceArray) == (target._value.__class__ is DeviceArray)
    if alone and value.strides == target._value.strides:
        changed_unseen(target)
        target._value = value  # nobody else sees this memory, so the new array can simply take its place
        target._storage = new._storage  # and what the tape keeps of it is guarded there
        return
    storage = own_memory(target)
    writable(target._value, name)
    storage.version += 1  # before, as an interrupt may come after
    target._value[...] = value


def before_change(target: Any) -> None:
    """Tell the trace that records, if there is one, of a change in place."""
    trace = current_trace.get()
    if trace is not None:
        trace.before_change(target)


def _keep_old_values(target: Any, new: Any, since: float) -> None:
    """Copy what the row of `new`, and those with a serial above `since`, saved of what `target` holds until now."""
    mine, waiting, seen = target._storage, [new._row], set()
    copies: dict[int, Any] = {}
    while waiting:
        row = waiting.pop()
        seen.add(row)
        old = [guard is not None and guard[0] is mine for guard in row.guards or ()]
        if any(old) and row.saved is not FREED:
            kept = list(row.saved)
            for i in [i for i, is_old in enumerate(old) if is_old]:
                if id(kept[i]) not in copies:
                    copies[id(kept[i])] = kept[i].copy()
                kept[i] = copies[id(kept[i])]
            guards = tuple([None if is_old else guard for guard, is_old in zip(row.guards, old)])
            row.saved, packed = row.saved.__class__(kept), row.saved.__class__ is not tuple
            row.guards = guards if packed or any(guards) else None
        through = row.op in (cast, expand)
        waiting += [x for x in row.inputs if (through or x.serial > since) and x not in seen]


def _put(root: Any, chain: tuple, new: Any) -> Any:
    """`root` with `new` in the place that the view operations of `chain` look at."""
    if not chain:
        return new
    (op, params, arrays), rest = chain[0], chain[1:]
    if op is reshape:
        inner = _put(apply(op, (root,), params), rest, new)
        return apply(reshape, (inner,), {"shape": tuple(root._held.shape)})
    if op is permute:
        inner = _put(apply(op, (root,), params), rest, new)
        return apply(permute, (inner,), {"dims": back_from(params["dims"])})
    if op is view_as_real or op is view_as_complex:
        inner = _put(apply(op, (root,), params), rest, new)
        return apply(view_as_complex if op is view_as_real else view_as_real, (inner,))
    if op is detach:
        raise RuntimeError(
            "under jit a detached tensor cannot be changed in place, which would change the tensor that it "
            "came from behind the tape's back: clone() it first"
        )
    if op.kind == "custom":
        raise RuntimeError(
            f"the result of {op.name} is in the memory of one of its arguments, and cannot be changed in place, of which "
            "the rules of that function know nothing: clone() it first"
        )
    if op is expand:
        raise RuntimeError("an expanded tensor cannot be changed in place: clone() it first")
    if op is strided:
        return put_strided(root, _put(apply(op, (root,), params), rest, new), **params)
    index = params.get("index") or (
        *(slice(None),) * params["dim"],
        slice(params["start"], params["start"] + params["length"]),
        ...,
    )
    inner = _put(apply(op, (root, *arrays), params), rest, new)
    return apply(index_put, (root, inner, *arrays), {"index": index})


def _seen(root: Any, chain: tuple) -> Any:
    """The row of what the view operations of `chain` look at in `root`."""
    handle = make(type(root), root._value, root._row)
    for op, params, arrays in chain:
        handle = apply(op, (handle, *arrays), params)
    return handle._row


def _look_again(root: Any) -> None:
    """Give every living view of `root` the row that its view operations now give."""
    storage = root._storage
    if storage is None:
        return
    for view in storage.living():
        if view._view is not None and view._view[0] is root:
            own = any(op.kind == "custom" for op, _, _ in view._view[1])
            _becomes(view, spoiled(view._row) if own else _seen(root, view._view[1]))


def views_follow(root: Any) -> None:
    """Record anew what looks into a leaf that was told to require grad, or not to; but for what is a leaf of its own."""
    for view in () if root._storage is None else root._storage.living():
        own = view._row is not None and view._row.op is LEAF and view._row.requires
        if view._view.__class__ is tuple and view._view[0] is root and not own:
            _becomes(view, in_mode(True, functools.partial(_seen, root, view._view[1])))


def _overwrite_traced(target: Any, root: Any, new: Any, name: str) -> Any:
    trace = current_trace.get()
    if root._value is not None and trace is not None:
        _take_into(trace, root)
    valued = root._value is not None or target._value is not None
    if valued or (root._row.op is LEAF and trace is not None and root._row not in trace.owned):
        raise MutatedArgumentError(
            f"{name}: a function under jit or vmap changes a tensor that its caller holds; the change would be recorded once "
            "and lost at every later call: return the new value instead"
        )
    if trace is None:
        raise LeakedTraceError(f"{name}: a change of {leaked(target._row)}")
    views = views_of(trace, root)
    if new._value is not None or (root is target and next(reversed(trace.rows)) is not new._row):
        # A row of its own, since that of another tensor may lie in memory otherwise.
        new = make(type(target), None, append(trace, clone, (lift(trace, new),), NOTHING))
    changed = new if root is target else _put(root, target._view[1], new)
    before, root._row, target._row = root._row, changed._row, new._row
    trace.like[root._row] = before
    for view in views:
        view._row = _seen(root, view._view[1])
    return target


def _take_into(trace: Trace, root: Any) -> None:
    """A tensor with a value that was made while the trace records, and its views, as tensors of the trace.

    Not where something shares the memory that would not see the change.
    """
    storage = root._storage
    views = [] if storage is None else [view for view in storage.living() if view is not root]
    alone = storage is None or (storage.exported is None and all(v._view is not None and v._view[0] is root for v in views))
    if root._value is None or not alone or not trace.owns(root):
        return
    trace.before_change(root)
    value = copy_of(root._value)
    on_device = value.__class__ is DeviceArray
    same = root._row is None and trace.has_made(root) and not on_device  # at every call
    row = trace.constant(value) if same else trace.capture(make(type(root), value, root._row))
    trace.owned.add(row)
    root._row, root._value, root._storage = row, None, None
    for view in views:
        view._row, view._value, view._storage = _seen(root, view._view[1]), None, None
        trace.views.append(weakref.ref(view))


def came_to_be(target: Any, row: Row, name: str) -> None:
    """A tensor whose memory was changed is what `row` says from now on, and those that look at that memory are told."""
    root = _root_of(target)
    _refuse_leaf(target, root, name)
    changed_root = make(type(target), target._value, row)
    if root is not target:
        changed_root = _put(root, target._view[1], changed_root)
    _becomes(root, changed_root._row)
    _look_again(root)


def detached(handle: Handle) -> Any:
    """A tensor that shares the memory of `handle` and has no history."""
    if handle._value is None:
        out = apply(detach, (handle,))
        look(handle, out, detach, NOTHING)
        return out
    storage = own_memory(handle)
    out = make(type(handle), handle._value, None)
    out._storage = storage
    storage.look(out)
    if "_changes" in handle.__dict__:
        out.__dict__["_changes"] = handle.__dict__["_changes"]
    trace = current_trace.get()
    if trace is not None and trace.has_made(handle):
        trace.note_made(out)
    return out
