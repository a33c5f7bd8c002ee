"""Making tensors out of shapes, ranges and random numbers. From data: see `data`."""

from __future__ import annotations

import functools
import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.devices.moving import made_on, made_there, places
from jitgrad.functions.draws import drawn
from jitgrad.functions.generators import Generator
from jitgrad.functions.operands import taken
from jitgrad.functions.sizes import one_shape_of, refuse_too_many, shape_of, size_of
from jitgrad.ops.choosing import cast
from jitgrad.ops.complexes import view_as_complex
from jitgrad.record.apply import apply
from jitgrad.record.leaving import as_data, refuse_masked
from jitgrad.record.trace import made_here
from jitgrad.tape.handle import Handle
from jitgrad.tensors.out import into
from jitgrad.tensors.tensor import Tensor, wrap


def _filling(make: Callable) -> Callable:
    """The function with `out=`, whose dtype and device are what is asked for."""

    @functools.wraps(make)
    def call(*args: Any, out: Any = None, **facts: Any) -> Tensor:
        if isinstance(out, Tensor):
            if facts.get("dtype") not in (None, out.dtype):
                raise RuntimeError(
                    f"{make.__name__}: dtype={facts['dtype']} is not the dtype of out, {out.dtype.name}: leave it away"
                )
            facts |= {"dtype": out.dtype, "device": out.device}
        found = make(*args, **facts)
        return found if out is None else into(out, found, make.__name__, exact=True)

    call.__dict__["takes_out"] = True
    return call


def _finish(array: Any, requires_grad: bool, device: Any = None) -> Tensor:
    made = made_here(wrap(made_on(array[()] if isinstance(array, np.ndarray) and array.ndim == 0 else array, device)))
    return made if requires_grad is False else made.requires_grad_(requires_grad)


def _repeated(number: Any, shape: tuple[int, ...], requires_grad: bool, device: Any) -> Tensor:
    """One number by NumPy, repeated: on a GPU it is written there."""
    compute = made_there(device)
    if compute is not None:
        return _finish(compute.from_host(np.broadcast_to(number, shape)), requires_grad)
    is_zero = not any(number.tobytes())  # memory of the system's, which is zero already
    return _finish(np.zeros(shape, number.dtype) if is_zero else np.full(shape, number, number.dtype), requires_grad)


def _counted(start: Any, count: int, step: Any, device: Any) -> Any:
    """start + k * step for k from 0 on, as ints of int64 or as float64, where they are asked for."""
    if made_there(device) is None:
        return start + np.arange(count) * step
    whole = not isinstance(start, float) and not isinstance(step, float)
    found = places(count, device)
    return (found if whole else cast(found, dtype=np.dtype(np.float64))) * step + start


def _cast(x: Any, dtype: np.dtype) -> Any:
    return x.astype(dtype) if isinstance(x, np.ndarray) else cast(x, dtype=dtype)


def _dtype(dtype: Any) -> np.dtype:
    return dtypes.default() if dtype is None else dtypes.to_numpy(dtype)


def _number(what: str, name: str, value: Any) -> Any:
    """A Python number, from one or from a tensor or NumPy scalar of one element."""
    if isinstance(value, Handle):
        as_data(value, what)
        if math.prod(value._held.shape) != 1:
            raise RuntimeError(f"{what}: {name} must be one number, not a tensor of shape {list(value._held.shape)}")
        value = value._known(what).item()  # type: ignore[attr-defined]
    elif isinstance(value, np.generic):
        value = value.item()
    refuse_masked(value)
    if not isinstance(value, (bool, int, float, complex) if what in _COMPLEX else (bool, int, float)):
        raise TypeError(f"{what}: {name} must be a number, not {type(value).__name__}")
    return value


_COMPLEX = ("full", "linspace", "logspace")
"""Functions of numbers that may be complex."""


@_filling
def zeros(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the given sizes, as `zeros(2, 3)` or `zeros((2, 3))`."""
    return _repeated(_dtype(dtype).type(0), shape_of("zeros", sizes, size), requires_grad, device)


@_filling
def ones(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the given sizes."""
    return _repeated(_dtype(dtype).type(1), shape_of("ones", sizes, size), requires_grad, device)


@_filling
def empty(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the given sizes whose values are arbitrary."""
    shape, wanted, compute = shape_of("empty", sizes, size), _dtype(dtype), made_there(device)
    return _finish(np.empty(shape, wanted) if compute is None else compute.empty(shape, wanted), requires_grad)


@_filling
def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor filled with one number, whose type decides the dtype unless it is given."""
    if dtype is None and isinstance(fill_value, Tensor):
        dtype = fill_value.dtype
    value = _number("full", "fill_value", fill_value)
    wanted = dtypes.of_python(value) if dtype is None else dtypes.to_numpy(dtype)
    one = dtypes.cast_numbers(np.asarray(value), wanted)
    return _repeated(one[()], one_shape_of("full", size), requires_grad, device)


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One number as a tensor of no dimensions, in the default float dtype unless another is given."""
    wanted = _dtype(dtype)
    return _finish(dtypes.cast_numbers(np.asarray(_number("scalar_tensor", "s", s)), wanted), requires_grad, device)


def _limits(what: str, start: Any, end: Any, step: Any) -> tuple[Any, Any, Any]:
    """Where a range begins (at 0, if one number is given), where it ends, and the step that leads there."""
    if end is None:
        start, end = 0, start
    low, high, by = (_number(what, n, v) for n, v in (("start", start), ("end", end), ("step", step)))
    if not math.isfinite(low) or not math.isfinite(high):
        raise RuntimeError(f"{what}: the range from {low} to {high} has no end: both must be finite")
    if by == 0 or (high - low) * by < 0:
        raise RuntimeError(f"{what} from {low} to {high} with step {by} never arrives: the step must point at the end")
    return low, high, by


def _steps(what: str, low: Any, by: Any, count: int, dtype: np.dtype, requires_grad: bool, device: Any) -> Tensor:
    refuse_too_many(what, count)
    last = low + max(count - 1, 0) * by
    if not isinstance(last, float) and not all(-(1 << 63) <= n < 1 << 63 for n in (low, last, by)):
        raise RuntimeError(f"{what}: from {low} on there are ints beyond int64: write them as floats")
    return _finish(_cast(_counted(low, count, by, device), dtype), requires_grad)


@_filling
def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from `start` (0 if only one is given) up to but not including `end`, `step` apart."""
    low, high, by = _limits("arange", start, end, step)
    whole = not any(isinstance(v, float) for v in (low, high, by))
    wanted = (np.dtype(np.int64) if whole else dtypes.default()) if dtype is None else dtypes.to_numpy(dtype)
    if wanted == np.int64 and not whole:  # of which PyTorch takes the limits, too, and of other integers the numbers alone
        low, high, by, whole = int(low), int(high), int(by), True
        if not by:
            raise ValueError(f"arange: a step of {step} is none in int64")
    count = -((low - high) // by) if whole else math.ceil((high - low) / by)
    if wanted.kind in "iu":
        low, by = int(low), int(by)
    return _steps("arange", low, by, count, wanted, requires_grad, device)


@_filling
def range(
    start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Numbers from `start` up to and with `end`, `step` apart, floats unless a dtype is given. Deprecated, for `arange`."""
    warnings.warn("range is deprecated, as its end is included, unlike Python's: write arange", UserWarning, stacklevel=2)
    low, high, by = _limits("range", start, end, step)
    return _steps("range", low, by, math.floor((high - low) / by) + 1, _dtype(dtype), requires_grad, device)


@_filling
def linspace(start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`steps` numbers from `start` to `end`, both included, evenly spaced."""
    low, high = _number("linspace", "start", start), _number("linspace", "end", end)
    count = size_of("linspace", steps)
    refuse_too_many("linspace", count)
    if count < 0:
        raise RuntimeError(f"linspace: the number of steps cannot be negative, and it is {count}")
    complex_ = dtype is None and (isinstance(low, complex) or isinstance(high, complex))
    wanted = dtypes.default_complex() if complex_ else _dtype(dtype)
    if count < 2 or made_there(device) is None or wanted.kind == "c":
        return _finish(np.linspace(low, high, count).astype(wanted), requires_grad, device)
    found = _counted(float(low), count, (high - low) / (count - 1), device)
    found[-1:] = float(high)
    return _finish(_cast(found, wanted), requires_grad)


@_filling
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` powers of `base`, whose exponents go from `start` to `end`, both included, evenly spaced."""
    low, high = _number("logspace", "start", start), _number("logspace", "end", end)
    count = size_of("logspace", steps)
    refuse_too_many("logspace", count)
    if count < 0:
        raise RuntimeError(f"logspace: the number of steps cannot be negative, and it is {count}")
    with np.errstate(all="ignore"):
        powers = np.power(float(base), np.linspace(low, high, count))
        wanted = dtypes.default_complex() if dtype is None and powers.dtype.kind == "c" else _dtype(dtype)
        return _finish(powers.astype(wanted), requires_grad, device)


@_filling
def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The identity matrix, `n` rows by `m` (or `n`) columns."""
    rows, columns = shape_of("eye", (n, n if m is None else m))
    out = zeros(rows * columns, dtype=dtype, device=device)
    if rows and columns:
        out._value[: rows * columns : columns + 1] = out._value.dtype.type(1)
    return _finish(out._value.reshape((rows, columns)), requires_grad)


# Random numbers.


def _floating(what: str, dtype: Any) -> np.dtype:
    wanted = _dtype(dtype)
    if not dtypes.is_floating(wanted):
        raise NotImplementedError(f"{what} draws floating numbers, not {dtypes.of(wanted).name}: use randint for integers")
    return wanted


def _of_floats(
    what: str, name: str, shape: tuple[int, ...], generator: Any, dtype: Any, device: Any, requires_grad: bool, part: float
) -> Tensor:
    """Random floats of a sort, or complex numbers, both parts of which are such, times `part`."""
    if dtype is not None and dtypes.is_complex(dtypes.to_numpy(dtype)):
        parts = drawn(what, (*shape, 2), dtypes.real_of(dtypes.to_numpy(dtype)), generator, device)
        found = apply(view_as_complex, (parts * part,))
    else:
        found = drawn(what, shape, _floating(name, dtype), generator, device)
    return found if requires_grad is False else found.requires_grad_(requires_grad)


@_filling
def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers, uniform in [0, 1), of the given sizes; complex ones have two such parts.

    They follow from the seed of the generator, else that of `manual_seed`, and from how many were drawn before.
    `NotImplementedError` for a dtype of integers, `TracedValueError` under `jit` without a generator.

    >>> import jitgrad
    >>> jitgrad.rand(2, 3, generator=jitgrad.Generator().manual_seed(0)).shape
    jitgrad.Size([2, 3])
    """
    return _of_floats("uniform", "rand", shape_of("rand", sizes, size), generator, dtype, device, requires_grad, 1.0)


@_filling
def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers of the standard normal distribution, of the given sizes (G. Box and M. Muller, 1958). Complex ones have
    variance 1, half of it for either part. Generators and errors are as in `rand`.

    >>> import jitgrad
    >>> jitgrad.randn(3, generator=jitgrad.Generator().manual_seed(0)).dtype
    jitgrad.float32
    """
    shape = shape_of("randn", sizes, size)
    return _of_floats("normal", "randn", shape, generator, dtype, device, requires_grad, math.sqrt(0.5))


@_filling
def randint(
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random integers from `low` (0 if only one bound is given) up to but not including `high`, in int64 unless `dtype` says
    otherwise. `RuntimeError` where there are none, or the dtype has not all of them. Generators are as in `rand`.

    >>> import jitgrad
    >>> jitgrad.randint(3, 4, (2,))
    tensor([3, 3])
    """
    if isinstance(high, (tuple, list)) and size is None:
        high, size = None, high
    if high is None:
        low, high = 0, low
    low, high = size_of("randint", low), size_of("randint", high)
    if low >= high:
        raise RuntimeError(f"randint: low={low} must be less than high={high}")
    wanted = np.dtype(np.int64) if dtype is None else dtypes.to_numpy(dtype)
    held = np.iinfo(wanted if wanted.kind in "iu" else np.int64)
    if not held.min <= low <= high - 1 <= held.max:
        raise RuntimeError(f"randint: numbers from {low} to {high - 1} do not fit into {dtypes.of(np.dtype(held.dtype)).name}")
    found = drawn("integers", one_shape_of("randint", size), wanted, generator, device, low, (high - low) % 2**64)
    return found if requires_grad is False else found.requires_grad_(requires_grad)


# Shape and dtype from another tensor.


def _template(what: str, input: Any, dtype: Any, device: Any) -> tuple[tuple[int, ...], Any, Any]:
    """The shape of a tensor, and the dtype and the device asked for, or those of the tensor."""
    input = taken(input)
    if not isinstance(input, Tensor):
        raise TypeError(f"{what} takes a tensor to copy the shape of, not {type(input).__name__}")
    return tuple(input.shape), input.dtype if dtype is None else dtype, input.device if device is None else device


def _like(make: Callable, random: bool = False) -> Callable:
    name, make = make.__name__ + "_like", inspect.unwrap(make)  # without out=, which takes less time

    def plain(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        shape, dtype, device = _template(name, input, dtype, device)
        return make(shape, dtype=dtype, device=device, requires_grad=requires_grad)

    def drawing(
        input: Tensor,
        *,
        generator: Generator | None = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        shape, dtype, device = _template(name, input, dtype, device)
        return make(shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)

    function = drawing if random else plain
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{make.__name__}` with the shape, and unless given the dtype, of `input`."
    return function


zeros_like, ones_like, empty_like = _like(zeros), _like(ones), _like(empty)
rand_like, randn_like = _like(rand, random=True), _like(randn, random=True)


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`full` with the shape, and unless given the dtype, of `input`."""
    shape, dtype, device = _template("full_like", input, dtype, device)
    return full(shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randint` with the shape, and unless given the dtype, of `input`."""
    low, high = (0, low) if high is None else (low, high)
    shape, dtype, device = _template("randint_like", input, dtype, device)
    return randint(low, high, shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)
