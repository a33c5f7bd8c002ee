"""Elementwise functions that are written in others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions import numeric
from jitgrad.functions.complexes import view_as_complex, view_as_real
from jitgrad.functions.data import as_tensor
from jitgrad.functions.face import face
from jitgrad.functions.operands import in_dtype_of, taken
from jitgrad.functions.shaping import unsqueeze
from jitgrad.ops import bessel, choosing, floats, logarithms
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating, not_floating
from jitgrad.record.precision import in_single
from jitgrad.record.quick import is_operand
from jitgrad.record.trace import made_here
from jitgrad.record.weak import number, refuse_numbers
from jitgrad.tensors.inplace import overwrite_by
from jitgrad.tensors.tensor import Tensor


def _fraction(name: str, what: str, value: Any) -> Any:
    """A parameter that is a Python number, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float, np.number))):
        raise TypeError(f"{name}: {what} must be a number or None, not {type(value).__name__}")
    return value


@face("special.logit", inplace=True)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), of x between `eps` and 1 - `eps` if that is given; nan outside of 0 to 1."""
    return _logit(input, _fraction("logit", "eps", eps))


@in_single
def _logit(input: Tensor, eps: float | None) -> Tensor:
    if eps is None:
        return apply(logarithms.logit, (input,))
    x = input if input.dtype.is_floating_point else apply(choosing.cast, (input,), {"dtype": dtypes.default()})
    above = apply(choosing.where, (x > 1 - eps, 1 - eps, x))
    return apply(logarithms.logit, (apply(choosing.where, (x < eps, eps, above)),))


@face("special.sinc", inplace=True)
def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
    return _sinc(input)


@in_single
def _sinc(input: Tensor) -> Tensor:
    if input.dtype.is_complex:
        none = input == 0
        angle = apply(choosing.where, (none, 1, input * math.pi))
        return apply(choosing.where, (none, 1, angle.sin() / angle))
    return apply(bessel.spherical_bessel_j0, (input * math.pi,))


@face(inplace=True, exact=True)
def frac(input: Tensor) -> Tensor:
    """What is left of x without its whole part, with the sign of x."""
    floating("frac", input)
    return input - input.trunc()


@face(inplace=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """`input * 2 ** other`, floating: in the dtype of `input` if that is floating and `other` is not."""
    whole = input.dtype.is_floating_point and isinstance(other, Tensor) and not other.dtype.has_gradient
    return _ldexp(input, in_dtype_of(input, other) if whole else other)


@in_single
def _ldexp(input: Tensor, other: Any) -> Tensor:
    return input * numeric.pow(2.0, other)


@face(exact=True)
def float_power(input: Any, exponent: Any) -> Tensor:
    """`input ** exponent`, computed in float64, which the result has, or in complex128 if one is complex."""
    refuse_numbers("float_power", (input, exponent))
    wide = {"dtype": np.dtype(np.complex128 if any(map(_is_complex, (input, exponent))) else np.float64)}
    base, power = (apply(choosing.cast, (taken(v),), wide) if not _is_number(v) else v for v in (input, exponent))
    return numeric.pow(float(base) if isinstance(base, int) else base, power)


@face(top=False)
def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """`float_power` in place, of a tensor of the dtype of the result."""
    return overwrite_by(_float_power_of_its_dtype, input, "float_power_", exponent)


def _float_power_of_its_dtype(input: Tensor, exponent: Any) -> Tensor:
    found = float_power(input, exponent)
    if input._held.dtype != found._held.dtype:
        raise RuntimeError(
            f"float_power_ gives {found.dtype.name}, and the tensor is {input.dtype.name}: use float_power, or convert it first"
        )
    return found


def _is_complex(x: Any) -> bool:
    return isinstance(x, complex) if _is_number(x) else getattr(x, "_held", x).dtype.kind == "c"


def _is_number(x: Any) -> bool:
    if not is_operand(x):
        raise TypeError(f"float_power takes tensors and numbers, not {type(x).__name__}")
    return not isinstance(x, (Tensor, np.ndarray))


@face(inplace=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """`input + weight * (end - input)`: exactly `input` for the weight 0 and `end` for 1. Floating or complex, of one dtype."""
    weighed = isinstance(weight, (Tensor, np.ndarray)) and number(weight) is None
    if not weighed and (not is_operand(weight) or isinstance(weight, bool)):
        raise TypeError(f"lerp: weight must be a number or a tensor, not {type(weight).__name__}")
    weight = taken(weight) if weighed else weight
    for name, x in ({"end": end} | ({"weight": weight} if weighed else {})).items():
        if x._held.dtype != input._held.dtype:
            raise RuntimeError(f"lerp: {name} is {x.dtype.name} and input {input.dtype.name}: convert one with .to(dtype)")
    if not input.dtype.has_gradient:
        raise not_floating("lerp", input.dtype)
    return _lerp(input, end, weight)


@in_single
def _lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    way = end - input
    if not isinstance(weight, Tensor):
        return input + weight * way if abs(weight) < 0.5 else end - way * (1 - weight)
    near = weight.abs() < 0.5
    # The nearer end is chosen, and not one of two results, of which the other might be infinite.
    return apply(choosing.where, (near, input, end)) + apply(choosing.where, (near, weight, weight - 1)) * way


def _times_value(name: str, value: Any, *tensors: Tensor) -> Any:
    """The first operand times `value`, which is whole where all are."""
    if not is_operand(value) or isinstance(value, np.ndarray):
        raise TypeError(f"{name}: value must be a number, not {type(value).__name__}")
    if all(x._held.dtype == np.bool_ for x in tensors):
        raise NotImplementedError(f"{name} is not for bool tensors: use logical operations")
    if isinstance(value, float) and not any(x.dtype.has_gradient for x in tensors):
        value = int(value)
    return tensors[1] if isinstance(value, int) and value == 1 else value * tensors[1]


@face(inplace=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """`input + value * tensor1 * tensor2`."""
    return _addcmul(input, tensor1, tensor2, value)


@in_single
def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, value: Any) -> Tensor:
    return input + _times_value("addcmul", value, input, tensor1, tensor2) * tensor2


@face(inplace=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """`input + value * tensor1 / tensor2`, one of which must be floating."""
    if not tensor1.dtype.has_gradient and not tensor2.dtype.has_gradient:
        raise RuntimeError(
            f"addcdiv: tensor1 is {tensor1.dtype.name} and tensor2 {tensor2.dtype.name}, and their quotients are "
            "fractions: convert one with .float(), or add value * div(tensor1, tensor2, rounding_mode='trunc')"
        )
    return _addcdiv(input, tensor1, tensor2, value)


@in_single
def _addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, value: Any) -> Tensor:
    return input + _times_value("addcdiv", value, input, tensor1, tensor2) / tensor2


@face(inplace=True, exact=True)
def clamp_min(input: Any, min: Any) -> Tensor:
    """`input`, but `min` (a number or a tensor) where it is below that; the gradient passes at the bound."""
    refuse_numbers("clamp_min", (input,))
    return numeric.clamp(taken(input), min=_bound("clamp_min", min))


@face(inplace=True, exact=True)
def clamp_max(input: Any, max: Any) -> Tensor:
    """`input`, but `max` (a number or a tensor) where it is above that; the gradient passes at the bound."""
    refuse_numbers("clamp_max", (input,))
    return numeric.clamp(taken(input), max=_bound("clamp_max", max))


def _bound(name: str, bound: Any) -> Any:
    if bound is None:
        raise TypeError(f"{name} takes a bound, a number or a tensor, not None")
    return bound


@face(inplace=True, exact=True)
def nan_to_num(input: Tensor, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Tensor:
    """`input` with 0 (or `nan`) for nan, and the largest and smallest finite number (or those given) for the infinities,
    in both parts of complex numbers."""
    for name, value in {"nan": nan, "posinf": posinf, "neginf": neginf}.items():
        _fraction("nan_to_num", name, value)
    if input.dtype.is_complex:
        return view_as_complex(nan_to_num(view_as_real(input), nan, posinf, neginf))
    if not input.dtype.is_floating_point:
        return input.clone()
    info = dtypes.finfo(input.dtype)
    high, low = (most if fill is None else fill for most, fill in ((info.max, posinf), (info.min, neginf)))
    out = apply(choosing.where, (input == -math.inf, float(low), input))
    out = apply(choosing.where, (input == math.inf, float(high), out))
    return apply(choosing.where, (input.isnan(), 0.0 if nan is None else float(nan), out))


@face(exact=True)
def signbit(input: Tensor) -> Tensor:
    """Whether the sign is negative, which that of -0.0 is, and that of nan may be."""
    if not input.dtype.is_floating_point:
        return input < 0
    one = apply(choosing.zeros_like, (input.detach(),)) + 1
    return apply(floats.copysign, (one, input.detach())) < 0


@face(inplace=True, exact=True)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below 0, 1 above it, and `values`, of the same dtype, at 0."""
    if input._held.dtype != values._held.dtype:
        raise RuntimeError(f"heaviside: input is {input.dtype.name} and values {values.dtype.name}: convert one")
    return apply(choosing.where, (input == 0, values, in_dtype_of(input, input > 0)))


def positive(input: Tensor) -> Tensor:
    """The tensor itself. RuntimeError for bool."""
    if input._held.dtype == np.bool_:
        raise RuntimeError("positive is not for bool tensors: convert with .int()")
    return input


@face(method=False)
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """`other - alpha * input` elementwise."""
    refuse_numbers("rsub", (input,))
    return numeric.sub(other, input, alpha=alpha)


_LARGEST_DIMENSION = 1 << 20


@face("special.multigammaln", inplace=True)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension `p` (DLMF 35.3.4)."""
    if isinstance(p, bool) or not isinstance(p, (int, np.integer)):
        raise TypeError(f"mvlgamma: p must be an int, not {type(p).__name__}")
    if p < 1:
        raise RuntimeError(f"mvlgamma: the dimension p must be at least 1, not {p}")
    if p > _LARGEST_DIMENSION:
        raise RuntimeError(f"mvlgamma: p is at most {_LARGEST_DIMENSION}, since it takes p times the memory of input, not {p}")
    return _mvlgamma(input, int(p))


@in_single
def _mvlgamma(input: Tensor, p: int) -> Tensor:
    x = input if input.dtype.is_floating_point else apply(choosing.cast, (input,), {"dtype": dtypes.default()})
    shifts = made_here(as_tensor(np.arange(p) / 2, dtype=x.dtype))
    return (unsqueeze(x, -1) - shifts).lgamma().sum(-1) + p * (p - 1) / 4 * math.log(math.pi)
