"""Making tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.errors import TracedValueError
from jitgrad.handle import Handle, own_memory
from jitgrad.record import apply, current_trace
from jitgrad.ops.elementwise import cast
from jitgrad.tensor import Tensor, wrap

_random = np.random.default_rng()


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequences of numbers, or a NumPy array.

    Python floats get the default dtype (float32), ints int64, bools bool; NumPy arrays keep theirs.
    Raises `TypeError` for other objects, `ValueError` for ragged sequences, `RuntimeError` if the dtype cannot
    require grad.

    >>> import jitgrad
    >>> jitgrad.tensor([[1, 2], [3, 4]], dtype=jitgrad.float64)
    tensor([[1., 2.],
            [3., 4.]], dtype=jitgrad.float64)
    """
    _only_cpu(device)
    if isinstance(data, Tensor):
        data = data._concrete("tensor()")
    made = wrap(np.array(_array(data, dtype), order="C")[()])
    return made.requires_grad_(True) if requires_grad else made


def _only_cpu(device: Any) -> None:
    if device is not None and str(device) != "cpu":
        raise RuntimeError(f"device {device!r} is not supported: this version computes on the cpu")


def _array(data: Any, dtype: Any) -> np.ndarray:
    wanted = None if dtype is None else dtypes.to_numpy(dtype)
    if isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        array = _from_python(data)
    if wanted is not None:
        with np.errstate(all="ignore"):
            return array.astype(wanted, copy=False)
    if isinstance(data, (np.ndarray, np.generic)) or array.dtype.kind == "V":
        dtypes.of(array.dtype)
        return array
    kind = {"b": np.dtype(bool), "i": np.dtype(np.int64), "f": dtypes.default()}[array.dtype.kind]
    return array.astype(kind, copy=False)


def _from_python(data: Any) -> np.ndarray:
    data = _plain(data)
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(f"the nested sequences have different lengths, which is no tensor: {error}") from None
    if array.size == 0:
        return array.astype(dtypes.default())
    if array.dtype.kind not in "bif":
        if array.dtype.kind == "V":
            dtypes.of(array.dtype)
            return array
        if array.dtype.kind in "uO" and isinstance(data, (int, list, tuple)) and _all_ints(data):
            raise RuntimeError("an integer is too large for int64: pass a float")
        raise TypeError(f"cannot make a tensor of {type(data).__name__} with {array.dtype} values: "
                        "use numbers, nested lists of numbers or NumPy arrays")  # fmt: skip
    return array


def _all_ints(data: Any) -> bool:
    return isinstance(data, int) or (isinstance(data, (list, tuple)) and all(_all_ints(d) for d in data))


def _plain(data: Any) -> Any:
    """Sequences with tensors inside as sequences of numbers."""
    if isinstance(data, Handle):
        return data._concrete("tensor()").tolist()  # type: ignore[attr-defined]
    if isinstance(data, (list, tuple)):
        return [_plain(d) for d in data]
    return data


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where it is one already or is an array of the right dtype."""
    _only_cpu(device)
    if isinstance(data, Tensor):
        wanted = data._held.dtype if dtype is None else dtypes.to_numpy(dtype)
        return data if data._held.dtype == wanted else apply(cast, (data,), {"dtype": wanted})
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == dtypes.to_numpy(dtype)):
        return from_numpy(data)
    return tensor(data, dtype=dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array: changes to one are seen in the other.

    Because the array can be changed unseen, the reverse sweep keeps copies of it; `tensor(array)` copies once instead.
    Raises `TypeError` if it is not an array or has a dtype that jitgrad lacks.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy takes a NumPy array, not {type(array).__name__}: use tensor()")
    dtypes.of(array.dtype)
    made = wrap(array)
    own_memory(made).exported = -1
    return made


def _shape(sizes: tuple) -> tuple[int, ...]:
    found = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    shape = tuple(int(n.__index__()) for n in found)
    if any(n < 0 for n in shape):
        raise RuntimeError(f"a tensor cannot have a negative size: {shape}")
    return shape


def _finish(array: Any, requires_grad: bool) -> Tensor:
    made = wrap(array[()] if isinstance(array, np.ndarray) and array.ndim == 0 else array)
    return made.requires_grad_(True) if requires_grad else made


def _dtype(dtype: Any) -> np.dtype:
    return dtypes.default() if dtype is None else dtypes.to_numpy(dtype)


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given sizes, as `zeros(2, 3)` or `zeros((2, 3))`."""
    return _finish(np.zeros(_shape(size), _dtype(dtype)), requires_grad)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the given sizes."""
    return _finish(np.ones(_shape(size), _dtype(dtype)), requires_grad)


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the given sizes whose values are arbitrary."""
    return _finish(np.empty(_shape(size), _dtype(dtype)), requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor filled with one number, whose type decides the dtype unless it is given."""
    wanted = dtypes.of_python(fill_value) if dtype is None else dtypes.to_numpy(dtype)
    return _finish(np.full(_shape((size,)), fill_value, wanted), requires_grad)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Numbers from `start` (0 if only one is given) up to but not including `end`, `step` apart."""
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise RuntimeError(f"arange from {start} to {end} with step {step} never arrives: the step must point at the end")
    count = math.ceil((end - start) / step)
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    wanted = (np.dtype(np.int64) if whole else dtypes.default()) if dtype is None else dtypes.to_numpy(dtype)
    return _finish((start + np.arange(count) * step).astype(wanted), requires_grad)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`steps` numbers from `start` to `end`, both included, evenly spaced."""
    return _finish(np.linspace(start, end, steps).astype(_dtype(dtype)), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """The identity matrix, `n` rows by `m` (or `n`) columns."""
    return _finish(np.eye(n, m, dtype=_dtype(dtype)), requires_grad)


def manual_seed(seed: int) -> np.random.Generator:
    """Start the random numbers anew from `seed`. They are NumPy's PCG64 and not the ones that PyTorch draws."""
    global _random
    _random = np.random.default_rng(seed)
    return _random


def _draw() -> np.random.Generator:
    if current_trace.get() is not None:
        raise TracedValueError("random numbers drawn inside a function under jit would be drawn once and then repeated at "
                               "every call: draw them outside and pass them as an argument")  # fmt: skip
    return _random


def rand(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Random numbers, uniform in [0, 1)."""
    return _finish(np.asarray(_draw().random(_shape(size))).astype(_dtype(dtype)), requires_grad)


def randn(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Random numbers from the standard normal distribution."""
    return _finish(np.asarray(_draw().standard_normal(_shape(size))).astype(_dtype(dtype)), requires_grad)


def randint(low: int, high: Any = None, size: Any = None, *, dtype: Any = None) -> Tensor:
    """Random integers from `low` (0 if only one bound is given) up to but not including `high`."""
    if size is None:
        low, high, size = 0, low, high
    wanted = np.dtype(np.int64) if dtype is None else dtypes.to_numpy(dtype)
    return _finish(np.asarray(_draw().integers(low, high, _shape((size,)))).astype(wanted), False)


def _like(make: Any) -> Any:
    def function(input: Tensor, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
        return make(tuple(input.shape), dtype=input.dtype if dtype is None else dtype, requires_grad=requires_grad)

    function.__name__ = function.__qualname__ = make.__name__ + "_like"
    function.__doc__ = f"`{make.__name__}` with the shape, and unless given the dtype, of `input`."
    return function


zeros_like, ones_like, empty_like = _like(zeros), _like(ones), _like(empty)
rand_like, randn_like = _like(rand), _like(randn)


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`full` with the shape, and unless given the dtype, of `input`."""
    return full(tuple(input.shape), fill_value, dtype=dtype or input.dtype, requires_grad=requires_grad)


def randint_like(input: Tensor, low: int, high: Any = None, *, dtype: Any = None) -> Tensor:
    """`randint` with the shape, and unless given the dtype, of `input`."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), dtype=dtype or input.dtype)
