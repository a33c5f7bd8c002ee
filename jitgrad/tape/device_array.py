"""An array in the memory of a device: it plays the part that an ndarray plays in a tensor's value.

Where its elements lie is known here, what they are is not: `layout` is a stand-in with the same shape and strides (see
`strides`), so that every view is NumPy's own. What is computed of it, and what is copied, is up to the device of its buffer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from jitgrad.ops.table import TABLE, Op
from jitgrad.tape.strides import part_of, stand_in, start_of


class Compute(Protocol):
    """What computes with the arrays of one device."""

    name: str
    """As `x.device` shows it: "cuda:0"."""

    def run(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any: ...
    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray: ...
    def write(self, target: DeviceArray, source: Any) -> None: ...
    def to_host(self, array: DeviceArray) -> np.ndarray: ...
    def from_host(self, array: np.ndarray) -> DeviceArray: ...


class DeviceArray:
    """Shape, strides and dtype of elements in a buffer of a device; a view has the array that it looks into as its `base`."""

    __slots__ = (
        *("__weakref__", "address", "base", "buffer", "compute", "dtype", "in_order", "layout", "offset", "pointer", "shape"),
    )

    __array_ufunc__ = None  # an ndarray beside it leaves the operation to it
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, compute: Compute, buffer: Any, layout: np.ndarray, dtype: np.dtype, base: DeviceArray | None = None
    ) -> None:
        self.compute = compute
        self.buffer = buffer
        self.layout = layout
        self.shape = layout.shape
        self.dtype = dtype
        self.base = base
        self.in_order: bool = layout.flags.c_contiguous
        """Whether the elements lie in row-major order, without gaps."""
        self.offset = start_of(layout)
        """The first element, counted from the start of the buffer."""
        self.address: int = buffer.raw.address + self.offset * dtype.itemsize
        self.pointer = buffer.raw, (self.offset if self.in_order else self._lowest()) * dtype.itemsize
        """What kernels get: the buffer, and the byte of the element that comes first in memory."""

    @property
    def device(self) -> str:
        return self.compute.name

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """In bytes, as NumPy counts them."""
        return tuple([s * self.itemsize for s in self.layout.strides])

    @property
    def flags(self) -> Any:
        """Whether the elements are in order (`c_contiguous`), and each has a place of its own (`writeable`)."""
        return self.layout.flags

    def _lowest(self) -> int:
        return self.offset + sum([(n - 1) * s for n, s in zip(self.shape, self.layout.strides) if s < 0 and n])

    # The part of an ndarray that rules and the reverse sweep use: all of it goes through the op table.

    def __record__(self, op: Op, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        recording = next((x for x in operands if hasattr(x, "_row")), None)
        if recording is not None:  # a tensor, beside which this is a constant
            return recording.__record__(op, operands, params)
        return op.run(*operands, **params) if op.inlined else self.compute.run(op, operands, params)

    def looked_at(self, op: Op, params: dict[str, Any]) -> DeviceArray | None:
        """The view that an operation makes of it; None for a reshape that has to copy."""
        part = part_of(self.layout, op, params)
        return (
            None
            if part is None
            else DeviceArray(self.compute, self.buffer, part, self.dtype, self if self.base is None else self.base)
        )

    def reshape(self, *shape: Any) -> DeviceArray:
        """With another shape: a view where that can be."""
        given = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        return TABLE["reshape"](self, shape=given)

    def transposed(self, dims: tuple[int, ...]) -> DeviceArray:
        """A view with the dimensions in another order."""
        return TABLE["permute"](self, dims=dims)

    def copy(self, order: str = "C") -> DeviceArray:
        """A copy, whose elements are in order."""
        out = self.compute.empty(self.shape, self.dtype)
        self.compute.write(out, self)
        return out

    def fill(self, value: Any) -> None:
        """Write one number everywhere."""
        self.compute.write(self, self.dtype.type(value))

    def all(self) -> bool:
        """Whether every element is true; the host waits for it."""
        return bool(TABLE["all"](self, dim=tuple(range(self.ndim)), keepdim=False))

    def any(self) -> bool:
        """Whether an element is true; the host waits for it."""
        return bool(TABLE["any"](self, dim=tuple(range(self.ndim)), keepdim=False))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.compute.write(self if index is Ellipsis else self[index], value)

    def __iadd__(self, other: Any) -> DeviceArray:
        self.compute.write(self, self + other)
        return self

    def __getitem__(self, index: Any) -> DeviceArray:
        return TABLE["getitem"](self, index=index if isinstance(index, tuple) else (index, ...)) if index != () else self

    # Out to the host, and only where it is asked for.

    def to_host(self) -> np.ndarray:
        """A copy in memory of the host; it waits for what computes it."""
        return self.compute.to_host(self)

    def item(self) -> Any:
        """Its one element."""
        if self.size != 1:
            raise ValueError(f"an array of {self.size} elements, on {self.device}, is not one number")
        return self.to_host().item()

    def tolist(self) -> Any:
        return self.to_host().tolist()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"a tensor on {self.device} cannot become a NumPy array, which would copy it to the host in silence: "
            "call cpu() on it first"
        )

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __repr__(self) -> str:
        return f"<{self.dtype.name}{list(self.shape)} on {self.device}>"


ARRAYS = (np.ndarray, DeviceArray)
"""What a value with memory can be, for `isinstance`."""

_OPERATORS = {
    **{name: name for name in ("add", "sub", "mul", "lt", "le", "gt", "ge", "eq", "ne")},
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}


def _operator(op: str, swapped: bool) -> Any:
    def method(self: DeviceArray, other: Any) -> Any:
        operands = (other, self) if swapped else (self, other)
        if op == "pow" and not swapped and isinstance(other, int | float):
            return TABLE["pow_scalar"](self, exponent=other)
        return TABLE[op](*operands)

    return method


for _name, _op in _OPERATORS.items():
    setattr(DeviceArray, f"__{_name}__", _operator(_op, False))
    setattr(DeviceArray, f"__r{_name}__", _operator(_op, True))
for _name, _op in {"neg": "neg", "abs": "abs", "invert": "bitwise_not"}.items():
    setattr(DeviceArray, f"__{_name}__", lambda self, _op=_op: TABLE[_op](self))


def whole(compute: Compute, buffer: Any, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
    """All of a buffer, its elements in order."""
    return DeviceArray(compute, buffer, _in_order(shape), dtype)


@functools.lru_cache(4096)
def _in_order(shape: tuple[int, ...]) -> np.ndarray:
    return stand_in(shape)


def copy_of(value: Any) -> Any:
    """An array with memory of its own, where it is, that lies as it does; a number as it is."""
    return TABLE["clone"](value) if value.__class__ is DeviceArray else np.array(value)[()]


def device_among(values: Sequence[Any]) -> Any:
    """The first array on a device among some values; None if there is none."""
    return next((v for v in values if v.__class__ is DeviceArray), None)


def placed_like(value: Any, array: Any) -> Any:
    """An array or number of the host where `value` is: on its device, or as it is; what is on a device stays there."""
    if value.__class__ is not DeviceArray or array.__class__ is DeviceArray:
        return array
    return value.compute.from_host(np.asarray(array))


def filled_like(value: Any, number: np.generic, shape: tuple[int, ...]) -> Any:
    """One number, repeated, where `value` is: on its device, without memory of the host, or there."""
    if value.__class__ is DeviceArray:
        return value.compute.from_host(np.broadcast_to(number, shape))
    return np.full(shape, number, number.dtype)[()]


def device_of(x: Any) -> str | None:
    """The name of the device that a tensor or a value is on; None for a tensor without a value, whose trace knows it."""
    value = x if x.__class__ is DeviceArray else getattr(x, "_value", x)
    if value is None:
        return None
    return value.device if value.__class__ is DeviceArray else "cpu"


def refuse_elsewhere(what: str, x: Any, there: str | None) -> None:
    """`RuntimeError` for a tensor or a value that is not on the device of the tensor that it belongs to."""
    here = device_of(x)
    if None not in (here, there) and here != there:
        raise RuntimeError(f"{what} must be on the device of its tensor, {there!r}, not on {here!r}: bring it there with to()")


def refuse_mixed(what: str, operands: Sequence[Any]) -> None:
    """`RuntimeError` for tensors of several devices; one number, repeated or of no dimension, may come from the host, and so may
    the arrays of an index."""
    held = [x if x.__class__ is DeviceArray else getattr(x, "_value", None) for x in operands]
    devices = {v.device if v.__class__ is DeviceArray else "cpu" for v in held if v is not None and any(v.strides)}
    devices |= {v.device for v in held if v.__class__ is DeviceArray}
    if len(devices) > 1:
        raise mixed(what, devices)


def mixed(what: str, devices: Iterable[str]) -> RuntimeError:
    """What is said of tensors of several devices."""
    return RuntimeError(f"{what}: there are tensors on {' and '.join(sorted(devices))}: bring them to one device with to()")
