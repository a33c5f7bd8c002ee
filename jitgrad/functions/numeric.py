"""Composites of arithmetic, products and reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.bind import bound
from jitgrad.functions.face import face
from jitgrad.functions.operands import accepting_arrays, array_beside, as_tensors, exact, in_dtype_of, operand, taken
from jitgrad.functions.shaping import stack, unsqueeze
from jitgrad.ops import TABLE, arithmetic, choosing, integers, sorting
from jitgrad.ops.linalg import matmul as matmul_op
from jitgrad.ops.linalg import transposed
from jitgrad.ops.movement import expand, reshape
from jitgrad.record.apply import apply
from jitgrad.record.leaving import refuse_masked
from jitgrad.record.nonzero import nonzero as places_of
from jitgrad.record.precision import in_single, rounded
from jitgrad.record.promotion import FLOATS, same_dtype
from jitgrad.record.quick import SCALARS, quick_one, quick_product, quick_with_parameters
from jitgrad.record.trace import current_trace, lifting
from jitgrad.record.weak import are_numbers, number, refuse_numbers
from jitgrad.tensors.given import numbers
from jitgrad.tensors.out import into
from jitgrad.tensors.tensor import Tensor, wrap

amax, amin, argmax, argmin = (bound(TABLE[n], accepting_arrays) for n in ("amax", "amin", "argmax", "argmin"))
_add, _sub, _div, _floor_divide = (bound(TABLE[n], accepting_arrays) for n in ("add", "sub", "div", "floor_divide"))
_logsumexp = bound(TABLE["logsumexp"])


_reshape = quick_one(reshape)


_max_along, _min_along = bound(sorting.max_along), bound(sorting.min_along)


def _extreme(input: Any, all_of: Any, along: Any, pairwise: Any, dim: Any, keepdim: bool, what: str) -> Any:
    if isinstance(dim, Tensor):
        refuse_numbers(what, (input,))
    input = taken(input, (dim,))
    if dim is None:
        if keepdim:
            raise TypeError(f"{what} of all elements takes no keepdim: name the dimension, or use a{what}")
        if not input.numel():
            raise RuntimeError(f"{what} of an empty tensor (shape {list(input.shape)}) has no value")
        return all_of(input)
    if isinstance(dim, Tensor):
        return apply(pairwise, (input, dim))
    return along(input, dim, keepdim)


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; along `dim` the pair (values, indices); of two tensors the larger one elementwise."""
    return _extreme(input, amax, _max_along, choosing.maximum, dim if other is None else other, keepdim, "max")


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; along `dim` the pair (values, indices); of two tensors the smaller one elementwise."""
    return _extreme(input, amin, _min_along, choosing.minimum, dim if other is None else other, keepdim, "min")


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true, over `dim` or all; with `dim=()` each by itself. bool, of uint8 uint8 as in PyTorch."""
    return _truths("any", input, dim, keepdim)


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true, over `dim` or all; with `dim=()` each by itself. bool, of uint8 uint8 as in PyTorch."""
    return _truths("all", input, dim, keepdim)


def _truths(name: str, input: Any, dim: Any, keepdim: bool) -> Tensor:
    x = input if isinstance(input, Tensor) else operand(input)
    none = isinstance(dim, (tuple, list)) and not dim
    out = apply(choosing.ne, (x, 0)) if none else _TRUTHS[name](x, dim, keepdim)
    return in_dtype_of(x, out) if x.dtype.name == "uint8" else out


_TRUTHS = {name: bound(TABLE[name]) for name in ("any", "all")}


@face("linalg.matmul", bare=True)
def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """The matrix product, with `numpy.matmul`'s rules for 1-d operands and for leading (batch) dimensions."""
    if out is not None:
        return into(out, matmul(input, other), "matmul", exact=True)
    if input.__class__ is other.__class__ is Tensor:
        x, y = input._value, other._value
        if not lifting and x.__class__ is y.__class__ is np.ndarray and x.dtype is y.dtype and x.dtype in FLOATS:
            few = 0 < x.ndim <= 2 and 0 < y.ndim <= 2 and x.shape[-1] == y.shape[0]
            if few or (x.ndim == y.ndim > 2 and x.shape[-1] == y.shape[-2] and x.shape[:-2] == y.shape[:-2]):
                return quick_product(input, other)  # what most products are
    input, other = array_beside(input, other), array_beside(other, input)
    for x in (input, other):
        if not isinstance(x, (Tensor, np.ndarray)):
            raise TypeError(f"matmul takes tensors, not {type(x).__name__}")
        refuse_masked(x)
        if not x.ndim:
            raise RuntimeError("matmul: both operands need at least one dimension; multiply by a number with *")
    x, y = (taken(v, (input, other)) for v in (input, other))
    common = dtypes.promote(x._held.dtype, y._held.dtype)
    if x._held.dtype != y._held.dtype:
        raise RuntimeError(
            f"matmul: operands are {x.dtype.name} and {y.dtype.name}: convert one with .to(dtype) "
            f"(both would fit {dtypes.of(common).name})"
        )
    first, second = x.ndim == 1, y.ndim == 1
    x = unsqueeze(x, 0) if first else x
    y = unsqueeze(y, 1) if second else y
    if x.shape[-1] != y.shape[-2]:
        raise RuntimeError(
            f"matmul: shapes {list(input.shape)} and {list(other.shape)} do not fit: {x.shape[-1]} "
            f"columns against {y.shape[-2]} rows"
        )
    batch = x.shape[:-2]
    if y.ndim > 2:
        x, y = _same_batch(x, y)
        batch = x.shape[:-2]
    elif batch:  # many times one matrix is one larger product, and so are its derivatives
        x = apply(reshape, (x,), {"shape": (math.prod(x.shape[:-1]), x.shape[-1])})
    out = apply(matmul_op, (x, y))
    shape = (*batch, *(() if first else input.shape[-2:-1]), *(() if second else other.shape[-1:]))
    return out if out.shape == shape else _anew(out, shape)


def _anew(out: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What was just computed, in another shape: nobody else holds it, so this is no view of it but has its memory."""
    out = apply(reshape, (out,), {"shape": shape})
    out._storage = out._view = None
    trace = current_trace.get()
    if trace is not None and out._value is not None:
        trace.note_computed(out)
    return out


def _same_batch(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    try:
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise RuntimeError(f"matmul: the batch dimensions of {list(x.shape)} and {list(y.shape)} do not broadcast") from None
    return tuple(  # type: ignore[return-value]
        v if v.shape[:-2] == batch else apply(expand, (v,), {"shape": (*batch, *v.shape[-2:])}) for v in (x, y)
    )


@face(method=False)
def matrix_transpose(input: Tensor) -> Tensor:
    """The last two dimensions swapped."""
    if input.ndim == 1:
        raise RuntimeError("mT needs at least 2 dimensions, and this tensor has 1")
    return transposed(input) if input.ndim else input


@face(inplace=True, bare=True)
def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """`input ** exponent` elementwise; of tensors of integers without fractions. An integer to a negative number is an error."""
    if out is not None:
        return into(out, pow(input, exponent), "pow")
    if input.__class__ is Tensor and (exponent.__class__ is int or exponent.__class__ is float):
        value = input._value
        if value is not None and value.dtype in FLOATS:  # what most powers are
            return _pow_scalar(input, exponent=exponent)
    refuse_numbers("pow", (input, exponent))
    input, exponent = accepting_arrays((input, exponent))
    if isinstance(exponent, np.generic):
        exponent = exponent.item()
    if isinstance(input, Tensor) and isinstance(exponent, (int, float, complex)) and not isinstance(exponent, bool):
        if isinstance(exponent, complex) and not input.dtype.is_complex:
            common = dtypes.result_type([(input._held.dtype, input.ndim), (dtypes.default_complex(), -1)])
            input = apply(choosing.cast, (input,), {"dtype": common})
        if not input.dtype.has_gradient:
            _no_fractions(exponent)
            whole = isinstance(exponent, int)
            if not whole or input.dtype.name == "bool":
                input = apply(choosing.cast, (input,), {"dtype": np.dtype(np.int64) if whole else dtypes.default()})
            if isinstance(exponent, int):
                _fitting(exponent, input._held.dtype)
        return apply(arithmetic.pow_scalar, (input,), {"exponent": exponent})
    return apply(integers.whole_power if _whole(input, exponent) else arithmetic.pow, (input, exponent))


def _whole(input: Any, exponent: Any) -> bool:
    """Whether the exponent is a tensor of integers, and the base of integers as well, not both of bools."""
    kinds: list[Any] = [number(x) or getattr(getattr(x, "_held", x), "dtype", x) for x in (input, exponent)]
    letters = [{bool: "b", int: "i"}.get(of := getattr(kind, "kind", None), of) for kind in kinds]  # type: ignore[arg-type]
    return isinstance(kinds[1], np.dtype) and set("iub").issuperset(letters) and letters != ["b", "b"]


def _fitting(exponent: int, dtype: np.dtype) -> None:
    try:
        dtypes.cast_numbers(np.asarray(exponent), dtype)
    except RuntimeError as error:
        raise RuntimeError(f"pow: the exponent {error}: convert the tensor first") from None


def _no_fractions(exponent: Any) -> None:
    if not isinstance(exponent, float) and exponent < 0:
        raise RuntimeError("integers to negative integer powers are fractions: convert with .float() first")


@face(bare=True)
def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """`input + alpha * other` elementwise."""
    if out is not None:
        return into(out, add(input, other, alpha=alpha), "add")
    return _add(input, other) if alpha.__class__ is int and alpha == 1 else _with_scaled("add", input, other, alpha)


@face("subtract", bare=True)
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Tensor:
    """`input - alpha * other` elementwise."""
    if out is not None:
        return into(out, sub(input, other, alpha=alpha), "sub")
    return _sub(input, other) if alpha.__class__ is int and alpha == 1 else _with_scaled("sub", input, other, alpha)


def _with_scaled(what: str, input: Any, other: Any, alpha: Any) -> Any:
    """The sum or difference of `input` and `alpha * other`, both in the dtype that they have together."""
    if not isinstance(alpha, (Tensor, bool, int, float, complex, np.number, np.bool_)):
        raise TypeError(f"{what}: alpha must be a number, not {type(alpha).__name__}")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = operand(input)
    (x, y), half = same_dtype(TABLE[what], (input, other))
    common = next(v._held.dtype for v in (x, y) if isinstance(v, Tensor))
    kind = alpha._held.dtype if isinstance(alpha, Tensor) else np.asarray(alpha).dtype
    if dtypes.has_gradient(kind) and dtypes.of(kind).category > dtypes.of(common).category:
        shown = "alpha, a float," if isinstance(alpha, Tensor) and alpha._value is None else f"alpha={alpha}"
        raise RuntimeError(
            f"{what}: {shown} would make {dtypes.of(common).name} values fractions: convert one with "
            ".float(), or pass an integer alpha"
        )
    if kind == np.bool_ and common != np.bool_:
        raise RuntimeError(f"{what}: a bool alpha is for bool operands, and these are {dtypes.of(common).name} together")
    y = y if isinstance(y, Tensor) else wrap(numbers(y, common))
    scale = alpha if isinstance(alpha, Tensor) else wrap(numbers(alpha, common))
    out = apply(TABLE[what], (x, in_dtype_of(y, apply(arithmetic.mul, (y, scale)))))
    return out if half is None else rounded(out, half)


@face("divide", "true_divide", bare=True)
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """`input / other` elementwise, rounded down with `rounding_mode="floor"`, towards zero with "trunc"."""
    if out is not None:
        return into(out, div(input, other, rounding_mode=rounding_mode), "div")
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return _floor_divide(input, other)
    if rounding_mode != "trunc":
        raise RuntimeError(f"div: rounding_mode must be None, 'trunc' or 'floor', not {rounding_mode!r}")
    whole = apply(arithmetic.floor_divide, (input, other))
    if whole.dtype.is_floating_point:
        return apply(arithmetic.truncated_quotient, (input, other))
    uneven = apply(choosing.ne, (apply(arithmetic.remainder, (input, other)), 0))
    below = apply(choosing.lt, (whole, 0))  # the quotient towards minus infinity is one too low where it is negative and uneven
    return apply(
        arithmetic.add,
        (whole, apply(choosing.cast, (apply(choosing.logical_and, (uneven, below)),), {"dtype": whole.dtype.numpy})),
    )


_clamp, _pow_scalar = quick_with_parameters(choosing.clamp), quick_with_parameters(arithmetic.pow_scalar)


@face("clip", inplace=True, bare=True)
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """`input` bounded below by `min` and above by `max`, numbers or tensors; the gradient passes at a bound."""
    if out is not None:
        return into(out, clamp(input, min, max), "clamp", exact=True)
    if min.__class__ is float and max.__class__ is float and input.__class__ is Tensor:
        value = input._value
        if value.__class__ in SCALARS or (value is not None and value.dtype in FLOATS):
            return _clamp(input, min=min, max=max)  # what most calls are
    for x in (input, min, max):
        refuse_masked(x)
    if number(input) is not None or not isinstance(input, Tensor):
        input = as_tensors([input], (min, max))[0]
    min, max = (b.item() if isinstance(b, np.generic) else b for b in (min, max))
    min, max = (taken(b, (input,)) if isinstance(b, np.ndarray) else b for b in (min, max))
    if input._held.dtype == np.bool_ and not [b for b in (min, max) if isinstance(b, Tensor) and number(b) is None]:
        kinds = {found.kind for b in (min, max) if (found := number(b)) is not None}
        input = input if kinds <= {bool} else apply(choosing.cast, (input,), {"dtype": np.dtype(np.int64)})
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        out = input if min is None else _bounded(input, min, choosing.lt)
        return out if max is None else _bounded(out, max, choosing.gt)
    bounds = choosing.clamp.prepare(input, min, max)  # type: ignore[misc]
    if (min.__class__ is float or max.__class__ is float) and not input.dtype.has_gradient:
        input = apply(choosing.cast, (input,), {"dtype": dtypes.default()})
    return _clamp(input, **bounds)


def _bounded(input: Tensor, bound: Any, beyond: Any) -> Tensor:
    """The bound where `input` is beyond it, or the bound is nan."""
    wrong = apply(beyond, (input, bound))
    if isinstance(bound, Tensor):
        wrong = apply(choosing.logical_or, (wrong, apply(choosing.isnan, (bound,))))
    return apply(choosing.where, (wrong, bound, input))


@face(method=False, bare=True)
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where `condition` (bool) is true, `other` elsewhere; with one argument the indices of true elements.

    The gradient flows to the chosen side only. If the other side is nan or inf there, compute it from a safe value
    (`where(ok, x, 1)`) as well, or 0 * nan spoils the gradient.
    """
    if out is not None:
        return into(out, where(condition, input, other), "where", exact=True)
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where takes a condition alone, or a condition and two choices")
    if isinstance(condition, (bool, np.bool_)):
        condition = operand(condition)
        if are_numbers(input, other):
            input, other = exact(input), exact(other)
    return apply(choosing.where, accepting_arrays((condition, input, other)))


@face(method=False, exact=True)
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where the elements that are not zero stand: a row of indices each, or with `as_tuple` a tensor a dimension."""
    if not isinstance(input, Tensor):
        raise TypeError(
            f"the places that are not zero are those of a tensor, not of {type(input).__name__}: where and nonzero "
            "take one, where also a condition and two choices"
        )
    value = input._known("nonzero()")
    found = [wrap(f) for f in places_of(value if value.ndim else value.reshape(1))]
    if as_tuple:
        return tuple(found)
    return stack(found, 1)[:, : input.ndim]


@face("special.round", inplace=True, exact=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Rounded to the nearest integer (halves to even), or to `decimals` decimal places."""
    if not isinstance(decimals, (int, np.integer)):
        raise TypeError(f"round: decimals must be an int, not {decimals!r}")
    if not input.dtype.has_gradient and input.dtype.name != "bool":
        return input.clone()
    return _to_decimals(input, int(decimals)) if decimals else apply(choosing.round, (input,))


@in_single
def _to_decimals(input: Tensor, decimals: int) -> Tensor:
    power = float(f"1e{decimals}")  # infinite, or 0, beyond the floats, where Python's power raises
    return apply(choosing.round, (input * power,)) / power


@face("special.logsumexp")
def logsumexp(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over `dim`, without overflow. Integers are computed in the default float dtype."""
    input = input if isinstance(input, Tensor) else operand(input)
    if not input.dtype.has_gradient:
        input = apply(choosing.cast, (input,), {"dtype": dtypes.default()})
    return _logsumexp(input, dim, keepdim)
