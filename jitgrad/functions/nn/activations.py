"""Activations that are smooth, but for `pieces`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from jitgrad.functions.bind import bound
from jitgrad.functions.creation import arange, rand
from jitgrad.functions.face import face
from jitgrad.functions.nn.pieces import _bend, _computed
from jitgrad.functions.operands import in_dtype_of
from jitgrad.functions.shaping import chunk, reshape
from jitgrad.ops import TABLE, activations, choosing
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.checking import floating
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

_sigmoid, _tanh, _silu, _softplus = (bound(TABLE[name]) for name in ("sigmoid", "tanh", "silu", "softplus"))
_softmax, _log_softmax = bound(TABLE["softmax"]), bound(TABLE["log_softmax"])


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _sigmoid(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    if not input.dtype.has_gradient:
        floating("silu", input)
    return _computed(_silu, input, inplace, "silu")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)) (Misra, 2019)."""
    floating("mish", input)
    return _computed(_mish, input, inplace, "mish")


@in_single
def _mish(x: Tensor) -> Tensor:
    return x * _tanh(_softplus(x))


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is positive, alpha * (exp(x) - 1) elsewhere."""
    floating("elu", input)
    return _computed(lambda x: _elu(x, alpha, 1.0, 1.0), input, inplace, "elu")


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return elu(input, alpha, True)


@face(top=True)
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere."""
    floating("celu", input)
    if alpha == 0:
        raise RuntimeError("celu: alpha divides x, and cannot be 0 (ZeroDivisionError)")
    return _computed(lambda x: _elu(x, alpha, 1.0, 1 / alpha), input, inplace, "celu")


@face(top=True)
def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, True)


_SELU = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@face(top=True)
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """`elu` scaled so that mean 0 and variance 1 stay (Klambauer et al., 2017)."""
    floating("selu", input)
    return _computed(lambda x: _elu(x, *_SELU, 1.0), input, inplace, "selu")


@face(top=True)
def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return selu(input, True)


@in_single
def _elu(x: Tensor, alpha: float, scale: float, inner: float) -> Tensor:
    below = _bend(x, 0.0, x)  # the exponential of large numbers, which are not chosen, would be infinite
    return _bend(x, x * scale, apply(activations.decay, (below * inner,)) * (alpha * scale))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution's share below x; with `approximate="tanh"` by tanh (Hendrycks and Gimpel, 2016)."""
    floating("gelu", input)
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")
    return _gelu(input) if approximate == "none" else _gelu_by_tanh(input)


@in_single
def _gelu(x: Tensor) -> Tensor:
    return x * (x * -math.sqrt(0.5)).erfc() * 0.5


@in_single
def _gelu_by_tanh(x: Tensor) -> Tensor:
    return x * _sigmoid((x + 0.044715 * x * x * x) * (2 * math.sqrt(2 / math.pi)))


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), exact on both tails."""
    floating("logsigmoid", input)
    return -_softplus(-input)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return _softsign(input)


@in_single
def _softsign(x: Tensor) -> Tensor:
    return x / (x.abs() + 1)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return _tanhshrink(input)


@in_single
def _tanhshrink(x: Tensor) -> Tensor:
    return x - _tanh(x)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, and x where beta x is above `threshold`."""
    floating("softplus", input)
    return _bounded_softplus(input, beta, threshold)


@in_single
def _bounded_softplus(x: Tensor, beta: float, threshold: float) -> Tensor:
    scaled = x * beta
    return apply(choosing.where, (scaled > threshold, x, _softplus(scaled) / beta))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along `dim` times sigmoid of the second."""
    if not input.ndim:
        raise RuntimeError("glu: a 0-d tensor has no halves")
    d = axis(dim, input.ndim)
    if input.shape[d] % 2:
        raise RuntimeError(f"glu: dimension {d} of shape {list(input.shape)} has no halves: its size must be even")
    floating("glu", input)
    return _gated(input, d)


@in_single
def _gated(x: Tensor, dim: int) -> Tensor:
    size = x.shape[dim] // 2
    first, second = chunk(x, 2, dim) if size else (x, x)
    return first * _sigmoid(second)


# Along a dimension.


def _along(function: Callable, name: str, input: Tensor, dim: Any, level: int, dtype: Any) -> Tensor:
    """A function of a dimension, or of the one that PyTorch takes where none is named."""
    if dtype is None:
        floating(name, input)
    if dim is None:
        warnings.warn(f"{name}: name the dimension, as in dim=-1: which one is taken without is deprecated", stacklevel=level + 2)
        dim = 0 if input.ndim in (0, 1, 3) else 1
    return function(input, dim, dtype=dtype)


def softmax(input: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """exp(x) over its sum along `dim`; computed in `dtype` if one is given."""
    return _along(_softmax, "softmax", input, dim, _stacklevel, dtype)


def softmin(input: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """`softmax` of -x."""
    return _along(_softmax, "softmin", -input, dim, _stacklevel, dtype)


def log_softmax(input: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """The logarithm of `softmax`, without loss of digits."""
    return _along(_log_softmax, "log_softmax", input, dim, _stacklevel, dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1, *, generator: Any = None
) -> Tensor:
    """A random sample of the relaxed categorical distribution (Jang et al., 2016); with `hard` one of 0s and a 1, whose
    gradient is that of the relaxed one. `eps` is not needed."""
    floating("gumbel_softmax", logits)
    u = rand(tuple(logits.shape), generator=generator, dtype=logits.dtype, device=logits.device)
    noise = -(-(-u).log1p()).log()
    soft = _softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    d = axis(dim, soft.ndim)
    top = apply(choosing.eq, (_places(soft, d), soft.argmax(d, keepdim=True)))
    return in_dtype_of(soft, top) - soft.detach() + soft


def _places(x: Tensor, dim: int) -> Tensor:
    """0, 1, … along a dimension, to be compared with places in it."""
    return reshape(arange(x.shape[dim], device=x.device), [-1 if k == dim else 1 for k in range(x.ndim)])
