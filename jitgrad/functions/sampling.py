"""Random numbers of given distributions, functions of uniform and normal ones. The gradient through what is drawn is 0, as in
PyTorch: where another should flow, say what it is made of, as in `mean + std * randn_like(mean)`.

All take a `generator`, and are drawn under `jit` if that is an argument of the function: see `Generator`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.creation import rand, randint, randn
from jitgrad.functions.draws import drawn
from jitgrad.functions.face import face
from jitgrad.functions.numeric import where
from jitgrad.functions.operands import in_dtype_of
from jitgrad.ops import counts
from jitgrad.record.apply import apply
from jitgrad.tensors.inplace import overwrite
from jitgrad.tensors.tensor import Tensor


@face(method=False)
def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """Normal numbers with means and standard deviations that are tensors, which broadcast, or numbers, which need a `size`.

    `RuntimeError` for a negative standard deviation.
    """
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    if bool(tensors) == (size is not None):
        raise TypeError("normal: a size is needed if mean and std are numbers, and cannot be given beside tensors")
    if tensors and not (dtype is None and device is None):
        raise TypeError("normal: beside tensors no dtype or device can be given, as the first of them has one")
    if tensors and not tensors[0].dtype.has_gradient:
        raise NotImplementedError(f"normal draws floating numbers, not {tensors[0].dtype.name}: convert with .float()")
    if isinstance(std, complex) or (isinstance(std, Tensor) and std.dtype.is_complex):
        raise RuntimeError("normal: std must be real")
    _refuse("normal: std must not be negative", std, lambda s: s < 0)
    if not tensors:
        return randn(*size, generator=generator, dtype=dtype, device=device) * std + mean
    shape = np.broadcast_shapes(*[tuple(x.shape) for x in tensors])
    found = randn(shape, generator=generator, dtype=tensors[0].dtype, device=tensors[0].device)
    return _flat(in_dtype_of(tensors[0], found * _fixed(std) + _fixed(mean)), *tensors)


def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """1 with the probability that an element of `input` says, or `p`, and 0 otherwise, in the dtype of `input`."""
    chance = _fixed(input) if p is None else p
    if p is None and not input.dtype.is_floating_point:
        raise NotImplementedError(f"bernoulli: input holds probabilities, and is {input.dtype.name}: convert it with .float()")
    _refuse("bernoulli: probabilities lie between 0 and 1", chance, lambda x: ~((x >= 0) & (x <= 1)))
    return _flat(in_dtype_of(input, _uniform(input, generator) < chance), input)


@face(exact=True)
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """Indices of the last dimension, drawn by weights that need not add up to 1: int64, `num_samples` for each row.

    Without replacement the largest of log(weight) + Gumbel noise are taken (Vieira, 2014), and there must be as many weights that
    are not 0.
    """
    if input.ndim not in (1, 2) or not input.dtype.is_floating_point:
        raise RuntimeError(f"multinomial takes weights, one row or several, not {input.dtype.name}{list(input.shape)}")
    if num_samples <= 0 or (not replacement and num_samples > input.shape[-1]):
        raise RuntimeError(
            f"multinomial: num_samples is {num_samples} and must be positive, and without replacement at most {input.shape[-1]}, "
            "the number of weights"
        )
    weights = _fixed(input)
    _refuse("multinomial: weights must be finite and not negative", weights, lambda w: ~((w >= 0) & (w < math.inf)))
    _refuse("multinomial: weights must not all be 0", weights, lambda w: w.sum(-1) <= 0)
    if not replacement:
        return (weights.log() - (-_uniform(input, generator).log()).log()).topk(num_samples, -1).indices
    reached = weights.cumsum(-1)
    shape = (*input.shape[:-1], num_samples, 1)
    drawn = rand(shape, generator=generator, dtype=input.dtype, device=input.device) * reached[..., None, -1:]
    return (reached[..., None, :] <= drawn).sum(-1).clamp(max=input.shape[-1] - 1)


@face(method=False)
def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """How many events there are where `input` are expected, in its dtype (W. Hörmann, 1993)."""
    _on_the_host("poisson", input)
    _refuse("poisson: what is expected must not be negative", input, lambda x: ~(x >= 0))
    return _flat(in_dtype_of(input, apply(counts.poisson, (_seeds(input, generator), _fixed(input).double()))), input)


@face(method=False)
def binomial(count: Tensor, prob: Tensor, generator: Any = None) -> Tensor:
    """How many of `count` trials succeed that do with a probability, in the dtype of `count` (W. Hörmann, 1993)."""
    _on_the_host("binomial", count)
    _refuse("binomial: the number of trials must not be negative", count, lambda x: ~(x >= 0))
    _refuse("binomial: probabilities lie between 0 and 1", prob, lambda x: ~((x >= 0) & (x <= 1)))
    operands = (_seeds(count + _fixed(prob), generator), _fixed(count).double(), _fixed(prob).double())
    return _flat(in_dtype_of(count, apply(counts.binomial, operands)), count, prob)


@face(method=False)
def randperm(n: int, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The numbers from 0 to n - 1 in random order: that of as many integers of 64 bits."""
    if n < 0:
        raise RuntimeError(f"randperm: n must not be negative, and is {n}")
    wanted = dtypes.by_name("int64") if dtype is None else dtypes.of(dtypes.to_numpy(dtype))
    if wanted.is_complex or wanted.name == "bool":
        raise NotImplementedError(f"randperm gives integers, not {wanted.name}")
    if n - 1 > _whole(wanted)[1]:
        raise RuntimeError(f"randperm: the numbers up to {n - 1} do not fit into {wanted.name}")
    found = drawn("integers", (n,), np.dtype(np.int64), generator, device, 0, 0).argsort().to(wanted)
    return found if requires_grad is False else found.requires_grad_(requires_grad)


def _whole(dtype: Any) -> tuple[int, int]:
    """The first and the last of the integers next to each other that a dtype has."""
    if dtype.is_floating_point:
        most = round(2 / dtypes.finfo(dtype).eps)
        return -most, most
    return (0, 1) if dtype.name == "bool" else (int(dtypes.iinfo(dtype).min), int(dtypes.iinfo(dtype).max))


# In place: each fills the tensor.


@face(top=False)
def uniform_(input: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with numbers from `from_` up to `to`."""
    if from_ > to:
        raise RuntimeError(f"uniform_: the numbers begin at {from_}, which is beyond their end, {to}")
    if input.dtype.has_gradient and max(abs(from_), abs(to), to - from_) > dtypes.finfo(input.dtype).max:
        raise RuntimeError(f"uniform_: numbers from {from_} to {to} do not fit into {input.dtype.name}")
    return _filled("uniform_", input, lambda: _uniform(input, generator) * (to - from_) + _both(input, from_))


@face(top=False)
def normal_(input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with normal numbers."""
    _refuse("normal_: std must not be negative", std, lambda s: s < 0)
    return _filled("normal_", input, lambda: _normal(input, generator) * std + _both(input, mean))


@face(top=False)
def log_normal_(input: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Tensor:
    """Fill with the exponentials of normal numbers."""
    if std <= 0:
        raise RuntimeError(f"log_normal_: std must be positive, and is {std}")
    return _filled("log_normal_", input, lambda: (_normal(input, generator) * std + mean).exp())


@face(top=False)
def exponential_(input: Tensor, lambd: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with the times to an event that happens `lambd` times in a unit: -log(1 - u) / lambd."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_: lambd must be positive, and is {lambd}")
    return _filled("exponential_", input, lambda: -(-_uniform(input, generator)).log1p() / lambd)


@face(top=False)
def cauchy_(input: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill with Cauchy's numbers: median + sigma tan(pi (u - 1/2))."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_: sigma must be positive, and is {sigma}")
    return _filled("cauchy_", input, lambda: ((_uniform(input, generator) - 0.5) * math.pi).tan() * sigma + median)


@face(top=False)
def geometric_(input: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """Fill with the number of trials up to the first that succeeds, with probability `p`: at least 1."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: p must lie between 0 and 1, and is {p}")
    return _filled("geometric_", input, lambda: ((-_uniform(input, generator)).log1p() / math.log1p(-p)).ceil().clamp(min=1))


@face(top=False)
def random_(input: Tensor, from_: int = 0, to: int | None = None, *, generator: Any = None) -> Tensor:
    """Fill with integers from `from_` up to, and without, `to`; with one number alone, from 0 up to that. RuntimeError where
    there are none, or the dtype has not all of them."""
    _check_dtype("random_", input)
    if input.dtype.is_floating_point:
        usual, last = _whole(input.dtype)[1], dtypes.finfo(input.dtype).max
        first = -last
    else:
        first, last = _whole(input.dtype)
        usual = last + 1
    low, high = (0, from_ or usual) if to is None else (from_, to)
    if not first <= low <= high - 1 <= last:
        raise RuntimeError(f"random_: numbers from {low} to {high - 1} do not fit into {input.dtype.name}")
    return _filled("random_", input, lambda: randint(low, high, tuple(input.shape), generator=generator, device=input.device))


@face(top=False)
def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Fill with 1 with probability `p`, a number or a tensor, and 0 otherwise."""
    _refuse("bernoulli_: probabilities lie between 0 and 1", p, lambda x: ~((x >= 0) & (x <= 1)))
    return _filled("bernoulli_", input, lambda: _flat(in_dtype_of(input, _uniform(input, generator) < _fixed(p)), p))


_KINDS = {
    **dict.fromkeys(("uniform_", "normal_"), "floating complex"),
    **dict.fromkeys(("log_normal_", "exponential_", "cauchy_"), "floating"),
    "geometric_": "floating integer",
    **dict.fromkeys(("random_", "bernoulli_"), "floating integer bool"),
}
"""What a tensor may hold that is filled."""


def _check_dtype(name: str, target: Tensor) -> None:
    dtype = target.dtype
    kind = (
        "complex"
        if dtype.is_complex
        else "floating"
        if dtype.is_floating_point
        else "bool"
        if dtype.name == "bool"
        else "integer"
    )
    if kind not in _KINDS[name]:
        raise NotImplementedError(f"{name} fills {_KINDS[name].replace(' ', ' or ')} tensors, not one of {dtype.name}")


def _filled(name: str, target: Tensor, draw: Any) -> Tensor:
    _check_dtype(name, target)
    return overwrite(target, in_dtype_of(target, draw()), name)


def _both(like: Tensor, x: Any) -> Any:
    """What is added to both parts of complex numbers, as PyTorch adds a mean."""
    return complex(x, x) if like.dtype.is_complex else x


def _flat(found: Tensor, *parameters: Any) -> Tensor:
    """What was drawn, as a function of its parameters: they decide it, and its derivative is 0."""
    for x in parameters:
        if isinstance(x, Tensor) and x.requires_grad:
            found = where(False, in_dtype_of(found, x), found)
    return found


def _floating(like: Tensor) -> Any:
    return like.dtype if like.dtype.has_gradient else None


def _uniform(like: Tensor, generator: Any) -> Tensor:
    return rand(tuple(like.shape), generator=generator, dtype=_floating(like), device=like.device)


def _normal(like: Tensor, generator: Any) -> Tensor:
    return randn(tuple(like.shape), generator=generator, dtype=_floating(like), device=like.device)


def _fixed(x: Any) -> Any:
    """Without its history: nothing flows back through what is drawn."""
    return x.detach() if isinstance(x, Tensor) else x


def _refuse(message: str, x: Any, wrong: Any) -> None:
    """`RuntimeError` if any element is wrong; of those that are known."""
    x = _fixed(x)
    if isinstance(x, Tensor) and (x._value is None or x.is_cuda):
        return
    found = wrong(np.asarray(x.numpy() if isinstance(x, Tensor) else x))
    if np.any(found):
        raise RuntimeError(message)


def _on_the_host(name: str, input: Tensor) -> None:
    if input.is_cuda:
        raise NotImplementedError(f"{name} draws on the CPU alone: call cpu() first, and bring the result back with to()")


def _seeds(like: Tensor, generator: Any) -> Tensor:
    """Uniform numbers, each of which decides how many there are at its place."""
    return drawn("uniform", tuple(like.shape), np.dtype(np.float64), generator, like.device)
