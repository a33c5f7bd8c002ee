"""Methods that convert a tensor, ask about it, or make others like it."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices import exchange
from jitgrad.devices.device import Device
from jitgrad.devices.moving import moved
from jitgrad.functions import creation, data
from jitgrad.ops import choosing
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply, copied
from jitgrad.record.checking import checked
from jitgrad.record.memory import of
from jitgrad.record.quick import is_operand
from jitgrad.record.weak import number
from jitgrad.tensors.tensor import Tensor


def to(
    self: Tensor,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    **_: Any,
) -> Tensor:
    """The tensor in another dtype, or on another device: `x.to(jitgrad.float64)`, `x.to("cuda")`, `x.to(0)` (the GPU of that
    number), `x.to(other_tensor)`; itself if it has that already.

    With `non_blocking` a copy from pinned memory (see `pin_memory`) to a GPU is not waited for: the tensor must not be changed
    before `jitgrad.cuda.synchronize()`, or values may arrive that came later."""
    for given in args:
        if isinstance(given, Tensor):
            dtype, device = given.dtype, given.device
        elif isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):  # a Device is a string
            device = given
        elif given is not None and not isinstance(given, bool):
            dtype = given
    wanted = self._held.dtype if dtype is None else dtypes.to_numpy(dtype)
    there = self if device is None else _moved(self, device, non_blocking)
    if there._held.dtype == wanted:
        return apply(choosing.clone, (self,)) if copy and there is self else there
    return choosing.cast_part(there, wanted)


def _moved(self: Tensor, device: Any, non_blocking: bool) -> Tensor:
    there = moved(self, device)
    if there is not self:
        exchange.after_copying(self._value, there._value, non_blocking)
    return there


def to_device(self: Tensor, device: Any, /, *, stream: Any = None) -> Tensor:
    """The tensor on a device, itself if it is there: `to(device)` by the name of the array API standard, without streams."""
    if stream is not None:
        raise ValueError("to_device: there are no streams to name, so that stream must be None")
    return to(self, device=device)


def type_(self: Tensor, dtype: Any = None) -> Any:
    """The tensor in another dtype; without one, the name of the dtype that it has, "jitgrad.cuda.float32" on a GPU."""
    if dtype is None:
        return f"jitgrad.{'cuda.' if self.is_cuda else ''}{self.dtype.name}"
    device = None
    if isinstance(dtype, str):
        name = dtype.removeprefix("jitgrad.").removeprefix("torch.")
        device = "cuda" if name.startswith("cuda.") and not self.is_cuda else None
        try:
            dtype = dtypes.by_name(name.removeprefix("cuda."))
        except AttributeError as error:
            raise ValueError(str(error)) from None
    return to(self, dtype=dtype, device=device)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype and on the device of `other`."""
    return to(self, other)


def _converter(name: str, dtype: str) -> Any:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:
        return to(self, dtypes.by_name(dtype))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The tensor in the dtype jitgrad.{dtype}. A `memory_format` is accepted, and the order in memory stays."
    return method


def contiguous(self: Tensor) -> Tensor:
    """This tensor, or a copy whose elements lie in memory in row-major order."""
    if self.is_contiguous():
        return self
    return copied(self)


def cpu(self: Tensor) -> Tensor:
    """This tensor on the CPU: itself if it is there, else a copy."""
    return moved(self, "cpu")


def cuda(self: Tensor, device: Any = "cuda", non_blocking: bool = False) -> Tensor:
    """This tensor on a GPU: itself if it is there, else a copy. RuntimeError if there is none. For `non_blocking` see `to`."""
    return _moved(self, Device(device if device is not None else "cuda"), non_blocking)


def is_pinned(self: Tensor) -> bool:
    """Whether the values are in memory of the CPU that a GPU copies from by itself; see `pin_memory`."""
    return exchange.is_pinned(self._value)


def pin_memory(self: Tensor) -> Tensor:
    """A copy of this tensor in memory of the CPU that a GPU copies from by itself, so that `to("cuda", non_blocking=True)` need
    not wait; itself if it is there. RuntimeError if there is no GPU, or the tensor is on one.

    Other ways from there to a GPU, as `copy_`, do not wait for the copy: call `jitgrad.cuda.synchronize()` before the tensor is
    changed or let go of."""
    if self.is_cuda:
        raise RuntimeError(f"only memory of the CPU can be pinned, and this tensor is on {self.device}: call cpu() on it first")
    if is_pinned(self):
        return self
    out = apply(choosing.clone, (self,))
    out._value = exchange.pinned(np.asarray(out._concrete("pin_memory()")))
    return out


def new_tensor(self: Tensor, data_: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`tensor(data)` in the dtype and on the device of this tensor, unless others are given."""
    return data.tensor(data_, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


def new_zeros(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given sizes in the dtype and on the device of this tensor, unless others are given."""
    return creation.zeros(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


def new_ones(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the given sizes in the dtype and on the device of this tensor, unless others are given."""
    return creation.ones(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """One number, repeated, in the dtype and on the device of this tensor, unless others are given."""
    return creation.full(size, fill_value, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


def new_empty(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Arbitrary values of the given sizes in the dtype and on the device of this tensor, unless others are given."""
    return creation.empty(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)


def stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements of memory lie between neighbours along each dimension."""
    steps = of(self).strides
    return steps if dim is None else steps[axis(dim, self.ndim)]


def _is_floating_point(self: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return self.dtype.is_floating_point


_is_floating_point.__name__ = "is_floating_point"

METHODS: dict[str, Any] = {
    "to": to,
    "to_device": to_device,
    "type": type_,
    "type_as": checked(type_as),
    "contiguous": contiguous,
    "cpu": cpu,
    "cuda": cuda,
    "is_pinned": is_pinned,
    "pin_memory": pin_memory,
    "new_tensor": new_tensor,
    "new_zeros": new_zeros,
    "new_ones": new_ones,
    "new_full": new_full,
    "new_empty": new_empty,
    "stride": stride,
    "nelement": Tensor.numel,
    "ndimension": Tensor.dim,
    "is_floating_point": checked(_is_floating_point),
}
METHODS |= {name: _converter(name, d.name) for d in dtypes.ALL.values() for name in d.aliases or (d.name,)}
METHODS["bfloat16"] = _converter("bfloat16", "bfloat16")  # also where its package is missing, to say so


# Functions of the same kind.


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype of a tensor is a floating one."""
    return input.dtype.is_floating_point


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def clone(input: Tensor) -> Tensor:
    """A copy with memory of its own; gradients flow through."""
    return input.clone()


def detach(input: Tensor) -> Tensor:
    """The same values in the same memory, without history."""
    return input.detach()


def result_type(tensor1: Any, tensor2: Any) -> dtypes.DType:
    """The dtype that arithmetic of two tensors or numbers gives.

    >>> import jitgrad
    >>> jitgrad.result_type(jitgrad.zeros(2, dtype=jitgrad.int8), 1.5)
    jitgrad.float32
    """
    for x in (tensor1, tensor2):
        if not is_operand(x):
            raise TypeError(f"result_type takes tensors and numbers, not {type(x).__name__}")
    return dtypes.of(dtypes.result_type([_rank(tensor1), _rank(tensor2)]))


def _rank(x: Any) -> tuple[Any, int]:
    found = number(x)
    if found is not None:
        return dtypes.weak(found.kind), -1
    return (x._held if isinstance(x, Tensor) else x).dtype, x.ndim


FUNCTIONS: dict[str, Any] = {f.__name__: f for f in (is_tensor, is_floating_point, numel, clone, detach, result_type)} | {
    "promote_types": dtypes.promote_types,
    "finfo": dtypes.finfo,
    "iinfo": dtypes.iinfo,
    "device": Device,
}
