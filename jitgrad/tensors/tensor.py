"""The front end: `Tensor`. Most of its methods come from the op table (see the end of this file)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices.cuda import placed
from jitgrad.devices.device import CPU, Device
from jitgrad.devices.moving import made_on, moved_to
from jitgrad.ops import choosing
from jitgrad.ops.indexing import getitem
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.foreign import PRIORITY, priority_in_pandas
from jitgrad.record.index import parse, plain
from jitgrad.record.leaving import is_taken
from jitgrad.record.memory import of
from jitgrad.record.quick import quick_one
from jitgrad.record.trace import current_trace, is_constant, lifting, made_here
from jitgrad.record.weak import number
from jitgrad.tape.device_array import ARRAYS, DeviceArray, copy_of, device_of, refuse_elsewhere
from jitgrad.tape.handle import Handle, at_place, make, place_in_memory
from jitgrad.tensors import inplace, rebinding
from jitgrad.tensors.differentiable import Differentiable
from jitgrad.tensors.given import fitting, numbers
from jitgrad.tensors.size import Size


class Tensor(Differentiable):
    """An n-dimensional array that remembers how it was computed. Make one with `jitgrad.tensor(data)`.

    >>> import jitgrad
    >>> x = jitgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__dict__",)  # for attributes of the user's
    __array_priority__ = PRIORITY
    __pandas_priority__ = property(lambda self: priority_in_pandas())

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("make tensors with jitgrad.tensor(data), jitgrad.zeros(shape) and their like")

    # What it is.

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions, a tuple that also answers `numel()`."""
        return Size(self._held.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._held.shape)

    @property
    def dtype(self) -> dtypes.DType:
        """The data type, such as `jitgrad.float32`."""
        return dtypes.of(self._held.dtype)

    @property
    def device(self) -> Device:
        """Where the values are: device(type='cpu'), or a GPU."""
        if self._value.__class__ is DeviceArray:
            return Device(self._value.device)
        trace = current_trace.get()
        there = CPU if trace is None or trace.device == "cpu" else Device(trace.device)
        return there if self._value is None or is_constant(self) else CPU

    @property
    def is_cpu(self) -> bool:
        """Whether the values are in the memory of the CPU."""
        return self.device.type == "cpu"

    @property
    def is_cuda(self) -> bool:
        """Whether the values are on a GPU."""
        return self.device.type == "cuda"

    @property
    def data(self) -> Tensor:
        """The same values in the same memory, without history."""
        return inplace.detached(self)

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a tensor, not {type(value).__name__}: use fill_() or copy_() to write numbers")
        if self.requires_grad and not value.dtype.has_gradient:
            raise RuntimeError(f"data of a tensor that requires grad must be floating, not {value.dtype.name}")
        refuse_elsewhere("data", value, device_of(self))
        if self._value is not None and value._value is not None:
            rebinding.rebind(self, value)
        else:
            rebinding.rebind_traced(self, value)

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self._held.dtype.itemsize

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self._held.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.shape[axis(dim, self.ndim)]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.itemsize * self.numel()

    def element_size(self) -> int:
        """Bytes an element."""
        return self.itemsize

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in row-major order."""
        value = of(self) if self._value is None or lifting else self._value
        return bool(value.flags.c_contiguous)

    def __hash__(self) -> int:
        if self._value is None:
            raise TypeError(
                "a tensor without a value yet, under jit or vmap, has no hash: as a key or in a set it would outlive "
                "the recording; use a list, or its name as the key"
            )
        return object.__hash__(self)

    def __round__(self, ndigits: int | None = None) -> Tensor:
        if number(self) is not None:  # Python rounds to an int, or decimal digits: neither is what the operation does
            self._concrete("round()")
        return self.round(decimals=ndigits or 0)

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf or is_taken(self):
            raise RuntimeError(
                "only leaves can be deep-copied, which an argument is not while its derivative is being taken: use clone(), or "
                "detach() first"
            )
        if self._value is None:
            return self.clone()
        value = self._known("deepcopy")
        if isinstance(value, DeviceArray):
            copied = _rebuild(copy_of(value), self.requires_grad)
        else:
            make_it, parts = self._parts()
            copied = make_it(*copy.deepcopy(parts, memo))
        copied.__dict__.update(copy.deepcopy(self._attributes(), memo))
        if (grad := self.grad) is not None:
            copied.grad = copy.deepcopy(grad if grad.is_leaf else grad.detach(), memo)
        return copied

    def __copy__(self) -> Tensor:
        shares_history = self._value is None or not self.is_leaf or is_taken(self)
        copied = self.view(self.shape) if shares_history else inplace.detached(self).requires_grad_(self.requires_grad)
        copied.__dict__.update(self._attributes())
        return copied

    def __reduce__(self) -> tuple:
        if is_taken(self):
            raise RuntimeError("a tensor whose derivative is being taken cannot be pickled: detach() it first")
        self._concrete("pickle")
        return (*self._parts(), attributes) if (attributes := self._attributes()) else self._parts()

    def _attributes(self) -> dict[str, Any]:
        """What the user gave it."""
        return {name: value for name, value in self.__dict__.items() if name != "_changes"}

    def _parts(self) -> tuple[Callable[..., Tensor], tuple]:
        """What makes such a leaf, and of what: the values, or a place in the memory that it shares with others."""
        value = self._value
        if isinstance(value, DeviceArray):
            return _rebuild_on, (value.to_host(), value.device, self.requires_grad)
        place = place_in_memory(self)
        return (_rebuild, (np.array(value), self.requires_grad)) if place is None else (_rebuild_at, (place, self.requires_grad))

    # Parts of it.

    def __getitem__(self, index: Any) -> Tensor:
        shape = self._held.shape
        template = plain(index, shape)
        if template is not None:
            return _getitem(self, {"index": template})
        out = self
        for template, arrays in parse(index, shape):
            out = apply(getitem, (out, *arrays), {"index": template})
        return out

    def __setitem__(self, index: Any, value: Any) -> None:
        given = _given(value, self)
        if inplace.is_mask(index) and not given._held.shape:  # of which nobody has to know how many it selects
            inplace.assign_masked(self, index, given)
            return
        inplace.assign(self, parse(index, self._held.shape), given)

    # In place.

    def zero_(self) -> Tensor:
        """Fill with zeros, in place."""
        value, row, storage = self._value, self._row, self._storage
        if (row is None or not row.requires) and self._view is None and current_trace.get() is None:  # what gradients are
            if storage is None and isinstance(value, np.generic):
                inplace.changed_unseen(self)
                self._value = value.__class__(0)
                return self
            if isinstance(value, ARRAYS) and value.flags.writeable:
                if storage is not None:
                    storage.version += 1
                else:
                    inplace.changed_unseen(self)
                value.fill(0)
                return self
        return inplace.overwrite(self, apply(choosing.zeros_like, (self,)), "zero_")

    def fill_(self, value: Any) -> Tensor:
        """Fill with one number, in place."""
        value = _given(value, self)
        if value._held.shape:
            raise RuntimeError(f"fill_ takes one number, not a tensor of shape {list(value.shape)}: use copy_()")
        if value._value.__class__ is DeviceArray:
            value = moved_to(value, self)
        return inplace.overwrite(self, apply(choosing.cast, (value,), {"dtype": self._held.dtype}), "fill_")

    def copy_(self, source: Any, non_blocking: bool = False) -> Tensor:
        """Take the values of `source`, broadcast and converted, in place."""
        given = moved_to(_given(source, self), self)
        return inplace.overwrite(self, choosing.cast_part(given, self._held.dtype), "copy_")


_getitem = quick_one(getitem)


def _given(value: Any, target: Tensor) -> Any:
    """What is to be written into a tensor, as a tensor; numbers and arrays are on no device, so they come to be on that of it."""
    dtype = target._held.dtype
    if isinstance(value, Handle):
        return fitting(value, dtype)
    found = numbers(value, dtype)
    elsewhere = found.ndim and target._value.__class__ is not np.ndarray
    return made_here(make(Tensor, made_on(found, target.device) if elsewhere else found, None))


def _rebuild_on(array: np.ndarray, device: str, requires_grad: bool) -> Tensor:
    return _rebuild(placed(array, device), requires_grad)


def _rebuild_at(place: tuple, requires_grad: bool) -> Tensor:
    return at_place(*place).requires_grad_(requires_grad)


def _rebuild(array: Any, requires_grad: bool) -> Tensor:
    out = make(Tensor, array[()] if array.ndim == 0 else array, None)
    return out.requires_grad_(True) if requires_grad else out


Handle._kind = Tensor


def wrap(value: Any) -> Tensor:
    """A tensor around a NumPy array or scalar, sharing its memory."""
    return make(Tensor, value, None)
