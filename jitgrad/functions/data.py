"""Tensors from data: numbers, nested sequences, NumPy arrays, other tensors."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices.dlpack import received
from jitgrad.devices.exchange import from_cuda_interface
from jitgrad.devices.moving import made_on, moved
from jitgrad.ops.choosing import cast
from jitgrad.record.apply import apply, copied
from jitgrad.record.leaving import as_data, refuse_masked
from jitgrad.record.trace import copied_here, made_here
from jitgrad.record.weak import number
from jitgrad.tape.device_array import DeviceArray
from jitgrad.tape.handle import Handle, own_memory
from jitgrad.tensors.tensor import Tensor, wrap


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequences of numbers, or a NumPy array.

    Python floats get the default dtype (float32), ints int64, bools bool; NumPy numbers and arrays keep theirs.
    Raises `TypeError` or `RuntimeError` for objects that are no numbers, `ValueError` for ragged sequences and for ints
    beyond int64, `RuntimeError` if a number does not fit into `dtype`, or if the dtype cannot require grad.

    >>> import jitgrad
    >>> jitgrad.tensor([[1, 2], [3, 4]], dtype=jitgrad.float64)
    tensor([[1., 2.],
            [3., 4.]], dtype=jitgrad.float64)
    """
    if isinstance(data, Tensor):
        as_data(data, "tensor()")
        data, device = data._known("tensor()"), data.device if device is None else device
        data = data.to_host() if isinstance(data, DeviceArray) else data
    elif hasattr(data, "__cuda_array_interface__"):
        made = copied(as_tensor(data, dtype, device))
        return made if requires_grad is False else made.requires_grad_(requires_grad)
    made = made_here(wrap(made_on(np.array(_array(data, dtype), order="C")[()], device)))
    return made if requires_grad is False else made.requires_grad_(requires_grad)


def _array(data: Any, dtype: Any) -> np.ndarray:
    wanted = None if dtype is None else dtypes.to_numpy(dtype)
    if not isinstance(data, (np.ndarray, np.generic)):
        return _from_python(data, wanted)
    refuse_masked(data)
    array = np.asarray(data)
    dtypes.of(array.dtype)
    copied_here(array)
    if wanted is None:
        return array
    with np.errstate(all="ignore"):
        return array.astype(wanted, copy=False)


def _from_python(data: Any, wanted: np.dtype | None) -> np.ndarray:
    if isinstance(data, (str, bytes)):
        raise TypeError(f"a tensor cannot be made of {type(data).__name__}: pass numbers, nested lists of them or arrays")
    kinds: set[Any] = set()
    data = _plain(data, kinds, 0)
    try:
        array = np.array(data)
    except ValueError:
        raise ValueError(f"a tensor cannot be made of nested sequences of different lengths: {_ragged(data)}") from None
    if array.size == 0:
        return array.astype(dtypes.default() if wanted is None else wanted)
    if array.dtype.kind in "uO" and all(issubclass(k, (int, float)) for k in kinds if isinstance(k, type)):
        if not any(issubclass(k, float) for k in kinds if isinstance(k, type)):
            raise ValueError(f"{_extreme(data)} is beyond the range of int64: write it as a float")
        array = np.array(data, np.float64)
    if wanted is None:
        wanted = functools.reduce(dtypes.promote, [k if isinstance(k, np.dtype) else dtypes.of_kind(k) for k in kinds])
        return array.astype(wanted, copy=False)
    return dtypes.cast_numbers(array, wanted)


def _plain(data: Any, kinds: set[Any], depth: int) -> Any:
    """`data` without tensors inside; the types of its numbers are added to `kinds`."""
    if isinstance(data, (list, tuple, range)):
        inside = set(map(type, data))
        if inside <= {int, float, bool}:
            kinds |= inside
            return data
        return [_plain(d, kinds, depth + 1) for d in data]
    if isinstance(data, Handle):
        value = data._known("tensor()")  # type: ignore[attr-defined]
        if value.size != 1:
            raise ValueError(
                f"a tensor of shape {list(value.shape)} inside of a list is not one number: put tensors "
                "together with stack() or cat()"
            )
        as_data(data, "tensor()")
        kinds.add(value.dtype)
        return (value.to_host() if isinstance(value, DeviceArray) else value).reshape(())[()]
    if isinstance(data, (np.ndarray, np.generic)):
        refuse_masked(data)
        kinds.add(dtypes.of(data.dtype).numpy)
        copied_here(data)
        return data
    if isinstance(data, (bool, int, float, complex)):
        kinds.add(next(kind for kind in (bool, int, float, complex) if isinstance(data, kind)))
        return data
    if hasattr(data, "__array__"):
        return _plain(np.asarray(data), kinds, depth)
    if isinstance(data, str):
        raise ValueError(f"a tensor cannot be made of text such as {data[:20]!r}: convert it to numbers first")
    what = "numbers, nested lists of numbers, or NumPy arrays"
    raise RuntimeError(f"a tensor cannot be made of {type(data).__name__}: pass {what}")


def _ragged(data: Any) -> str:
    """The first place where nested sequences differ."""
    for item in data:
        if isinstance(item, (list, tuple)):
            lengths = [len(d) if isinstance(d, (list, tuple)) else "no length" for d in data]
            if len(set(lengths)) > 1:
                return f"{lengths[:6]} within one sequence"
            return next(text for d in data if (text := _ragged(d)))
    return ""


def _extreme(data: Any) -> int:
    return data if isinstance(data, int) else max((_extreme(d) for d in data), key=abs)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where it is one already or is an array of the right dtype, by NumPy or, on a GPU, by any
    library whose arrays have `__cuda_array_interface__`."""
    if device is not None:
        return moved(as_tensor(data, dtype), device)
    if isinstance(data, Tensor):
        found = number(data)
        if found is not None and dtype is None:  # a number of a tape becomes what the number itself would become
            kind = found.kind
            return apply(cast, (data,), {"dtype": np.dtype(kind) if issubclass(kind, np.generic) else dtypes.weak(kind)})
        wanted = data._held.dtype if dtype is None else dtypes.to_numpy(dtype)
        return data if data._held.dtype == wanted else apply(cast, (data,), {"dtype": wanted})
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == dtypes.to_numpy(dtype)):
        return from_numpy(data)
    if hasattr(data, "__cuda_array_interface__"):
        return as_tensor(_sharing(from_cuda_interface(data)), dtype)
    return tensor(data, dtype=dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array: changes to one are seen in the other.

    Because the array can be changed unseen, the reverse sweep keeps copies of it; `tensor(array)` copies once instead.
    Raises `TypeError` if it is not an array or has a dtype that jitgrad lacks.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy takes a NumPy array, not {type(array).__name__}: use tensor()")
    dtypes.of(array.dtype)
    refuse_masked(array)
    return _sharing(np.asarray(array))


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of an array of another library, on the CPU or a GPU: changes to one are seen in the other.

    It takes what has `__dlpack__`, as the arrays of PyTorch, CuPy, JAX and NumPy do, or a capsule that this gave. As the memory
    can be changed unseen, the reverse sweep keeps copies of it. With `copy=True`, or on another `device` than it is on, it is a
    copy; with `copy=False` that is an error. On a GPU, what the other library's current stream was doing is waited for here, and
    no more than that: before one library uses what the other wrote later, call `synchronize()` of the one that wrote. An array
    of JAX's, which cannot be changed there, must not be changed here either.
    Raises `TypeError` for what is no such array, or has a dtype that jitgrad lacks, and `BufferError` for other memory.

    >>> import jitgrad, numpy
    >>> array = numpy.zeros(3)
    >>> x = jitgrad.from_dlpack(array)
    >>> array[0] = 1.0
    >>> x
    tensor([1., 0., 0.], dtype=jitgrad.float64)
    """
    if isinstance(ext_tensor, Tensor) and ext_tensor.requires_grad:
        raise RuntimeError("from_dlpack: no gradient goes through it to a tensor that requires grad: call detach() on it first")
    made = from_numpy(ext_tensor) if isinstance(ext_tensor, np.ndarray) else _sharing(received(ext_tensor))
    there = made if device is None else moved(made, device)
    if there is not made and copy is False:
        raise ValueError(
            f"from_dlpack: bringing it from {made.device} to {there.device} takes a copy, and copy=False forbids that"
        )
    return copied(there) if copy and there is made else there


def _sharing(array: Any) -> Tensor:
    """A tensor of memory that somebody else can write to."""
    made = wrap(array)
    own_memory(made).exported = -1
    return made
