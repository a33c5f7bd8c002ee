"""What users hold, and what the tape keeps of it: values, the memory behind them, and guards against overwriting.

A `Handle` (users see its subclass `Tensor`) is a value with the row that it came from. Its memory is a `Storage`,
shared with its views; what the reverse sweep will need is kept with the version that the storage had.
"""

from __future__ import annotations

import ctypes
import weakref
import zlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.lib.array_utils import byte_bounds

from jitgrad.errors import OverwrittenError
from jitgrad.ops.table import OUTPUT, REST, RESULTS, Needs, Op
from jitgrad.tape.device_array import ARRAYS
from jitgrad.tape.row import Leaf, Row, serials


class Storage:
    """The memory that a tensor and its views share: `version` counts in-place changes through tensors.

    `exported` is not None once a NumPy array outside shares the memory: a checksum of the bytes at that time.
    """

    __slots__ = ("__weakref__", "array", "exported", "kept", "room", "version", "views")

    array: Any
    version: int
    exported: int | None
    kept: bool
    room: int
    views: list[weakref.ref]

    def checksum(self) -> int:
        return zlib.crc32(np.ascontiguousarray(self.array).tobytes())

    def look(self, view: Handle) -> None:
        """Note a view; those that are gone are forgotten now and then, so that a parameter does not collect them."""
        self.views.append(weakref.ref(view))
        if len(self.views) > self.room:
            self.views = [reference for reference in self.views if reference() is not None]
            self.room = 2 * len(self.views) + 16

    def __reduce__(self) -> tuple:
        """Memory that is pickled or deep-copied once for all tensors that share it: all bytes between the first and the last."""
        array, (low, high) = self.array, byte_bounds(self.array)
        memory: Any = (ctypes.c_uint8 * (high - low)).from_address(low)
        return storage_of, (np.frombuffer(memory, np.uint8), array.ctypes.data - low, array.shape, array.strides, array.dtype)

    def living(self) -> list[Handle]:
        """The views that are still there."""
        return [view for view in [reference() for reference in self.views] if view is not None]

    def export(self) -> None:
        """Note that somebody outside can now write to this memory unseen."""
        if self.exported is None:
            self.exported = self.checksum() if self.kept else -1


class Handle:
    """A value with its history: `_value` (array, NumPy scalar, or None while tracing) and `_row`.

    A 0-d value is a NumPy scalar, which is immutable and several times quicker than a 0-d array, until somebody
    needs to share its memory (`own_memory`).
    """

    __slots__ = ("__weakref__", "_row", "_storage", "_value", "_view")

    _kind: ClassVar[Any]
    """The class that users see, `Tensor`, which says so itself; modules below it make tensors by `tensor`."""

    _value: Any
    _row: Any
    _storage: Any
    _view: Any

    @property
    def _held(self) -> Any:
        """What knows shape and dtype: the value, or while tracing the row."""
        return self._value if self._value is not None else self._row


new = object.__new__


def tensor(value: Any, row: Row | None = None) -> Any:
    """A new tensor with this value (None while tracing) and row."""
    return make(Handle._kind, value, row)


def make(cls: Any, value: Any, row: Row | None) -> Any:
    """A new handle of class `cls`."""
    handle = new(cls)
    handle._value = value
    handle._row = row
    handle._storage = handle._view = None
    return handle


def make_recorded(
    cls: Any,
    value: Any,
    op: Op,
    inputs: tuple,
    params: dict[str, Any],
    shape: tuple,
    dtype: np.dtype,
    needs: Needs | None,
    saved: Any,
    requires: bool = True,
) -> Any:
    """`make` with a new `Row` that wants a gradient, written out: calling `Row` takes as long as the rest of recording."""
    handle = new(cls)
    row = new(Row)
    handle._value = value
    handle._row = row
    handle._storage = handle._view = None
    row.op = op
    row.inputs = inputs
    row.params = params
    row.shape = shape
    row.dtype = dtype
    row.requires = requires
    row.needs = needs
    row.saved = saved
    row.guards = row.extra = None
    row.serial = serials()
    return handle


def own_memory(handle: Handle) -> Storage:
    """The storage of a handle, made on first need."""
    storage = handle._storage
    if storage is None:
        if not isinstance(handle._value, ARRAYS):
            handle._value = np.array(handle._value)
        storage = handle._storage = _storage(handle._value)
    return storage


def _storage(array: Any) -> Storage:
    storage = new(Storage)
    storage.array = array
    storage.version = 0
    storage.views = []
    storage.room = 16
    storage.exported = None
    storage.kept = False
    return storage


def storage_of(raw: np.ndarray, start: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> Storage:
    """The storage of an array that lies so in bytes."""
    return _storage(np.ndarray(shape, dtype, raw, start, strides))


def place_in_memory(handle: Handle) -> tuple[Storage, int, tuple[int, ...], tuple[int, ...], np.dtype] | None:
    """The memory that a tensor shares with others, and where in it: how many bytes after its start, shape, strides, dtype.

    None for what shares none, on a GPU too, and for what reaches beyond the memory that is known to be shared.
    """
    value, storage = handle._value, handle._storage
    if storage is None or not isinstance(storage.array, np.ndarray) or not value.size:
        return None
    (low, high), (first, last) = byte_bounds(storage.array), byte_bounds(value)
    inside = low <= first and last <= high
    return (storage, value.ctypes.data - low, value.shape, value.strides, value.dtype) if inside else None


def at_place(storage: Storage, start: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> Any:
    """A tensor that lies so in memory which was pickled or copied by `Storage.__reduce__`."""
    out = tensor(np.ndarray(shape, dtype, storage.array.base, start, strides))
    out._storage = storage
    storage.look(out)
    return out


def row_of(handle: Handle) -> Row:
    """The row of a handle; one that has no history gets a leaf."""
    row = handle._row
    if row is None:
        value = handle._value
        row = handle._row = Leaf(value.shape, value.dtype, False, weakref.ref(handle))
    return row


def requires(handle: Any) -> bool:
    return isinstance(handle, Handle) and handle._row is not None and handle._row.requires


def keep(op: Op, slots: Sequence[int], operands: Sequence[Any], values: Sequence[Any], out: Any) -> tuple[tuple, Any]:
    """The values in `slots` for the reverse sweep, with guards that notice if their memory is overwritten later.

    Memory that an outside NumPy array shares can change unseen, so of that a copy is kept.
    """
    saved: list[Any] = []
    guards: list[Any] = []
    for slot in slots:
        guard = None
        if slot == REST:
            value: Any = tuple(v.copy() if isinstance(v, ARRAYS) else np.array(v) for v in values[len(op.inputs) - 1 :])
        else:
            made = out if slot == OUTPUT else out[RESULTS - slot] if slot <= RESULTS else None
            owner, value = (operands[slot], values[slot]) if made is None else (made, made._value)
            if isinstance(value, ARRAYS) and isinstance(owner, Handle):
                storage = own_memory(owner)
                if storage.exported is not None:
                    value = value.copy()
                else:
                    storage.kept = True
                    guard = (storage, storage.version)
            elif isinstance(value, np.ndarray):  # the caller's own array
                value = value.copy()
        saved.append(value)
        guards.append(guard)
    return tuple(saved), tuple(guards) if any(guards) else None


def keep_arrays(row: Row, slots: Sequence[int], owners: tuple[Any, ...], values: tuple[Any, ...]) -> None:
    """`keep` for a row made by `make_recorded`: `owners` are its operands and its result, `values` what these hold."""
    if len(slots) == 1:  # written out, since most rows save one array
        value = values[slots[0]]
        if isinstance(value, ARRAYS):
            storage = owners[slots[0]]._storage or own_memory(owners[slots[0]])
            if storage.exported is None:
                storage.kept = True
                row.saved = (value,)
                row.guards = ((storage, storage.version),)
                return
    saved: list[Any] = []
    guards: list[Any] = []
    for slot in slots:
        value, guard = values[slot], None
        if isinstance(value, ARRAYS):
            storage = owners[slot]._storage or own_memory(owners[slot])
            if storage.exported is not None:
                value = value.copy()
            else:
                storage.kept = True
                guard = (storage, storage.version)
        saved.append(value)
        guards.append(guard)
    row.saved = tuple(saved)
    row.guards = tuple(guards) if any(guards) else None


def check_guards(row: Row) -> None:
    """Raise `OverwrittenError` if a value that `row` saved has been changed since."""
    if unchanged(row.guards):
        return
    storage, version = next(guard for guard in row.guards if not unchanged((guard,)))
    how = "in place" if storage.version != version else "by another library, or through a NumPy array that shares its memory,"
    raise OverwrittenError(
        f"the reverse sweep of {row.op.name} needs a tensor of shape {list(storage.array.shape)} that was changed "
        f"{how} after {row.op.name} used it: compute with a clone(), or change it after backward()"
    )


def guard_of(x: Handle) -> tuple[Storage, int]:
    """What tells later whether the memory of a tensor has been changed since."""
    storage = own_memory(x)
    return storage, storage.version


def unchanged(guards: Sequence[Any]) -> bool:
    """Whether no value that these guards watch has been changed since."""
    for guard in guards:
        if guard is not None:
            storage, version = guard
            if storage.version != version or (storage.exported not in (None, -1) and storage.exported != storage.checksum()):
                return False
    return True


def _owner(array: Any) -> Any:
    """Who has the memory of an array; NumPy holds it by way of others where it was seen in strides that were given."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


def note_view(base: Any, out: Any, op: Op, params: dict[str, Any]) -> None:
    """Make `out` share the storage of `base`, if NumPy gave it the same memory."""
    value, source = out._value, base._value
    if not isinstance(value, ARRAYS) or value.base is None:
        return
    holder = source if source.base is None else source.base
    if value is not source and value.base is not holder and _owner(value) is not _owner(source):
        return
    storage = out._storage = base._storage or own_memory(base)
    view = base._view
    out._view = (base, ((op, params, ()),)) if view is None else (view[0], (*view[1], (op, params, ())))
    storage.look(out)
