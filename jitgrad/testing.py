"""Checks of derivatives against differences of values: for your own functions, and what jitgrad's own tests use.

>>> import jitgrad
>>> from jitgrad.testing import gradcheck
>>> gradcheck(lambda x, y: (x * y.sin()).sum(), [jitgrad.randn(3, dtype=jitgrad.float64), 0.5])
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.autograd import grad
from jitgrad.dtypes import is_floating, of
from jitgrad.functions.data import as_tensor, tensor
from jitgrad.tensor import Tensor

__all__ = ["gradcheck", "gradgradcheck", "jvp"]


def gradcheck(
    function: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    projections: int | None = None,
    seed: int = 0,
) -> bool:
    """Compare the gradients of `function` with central differences in float64; True, or an AssertionError saying where.

    `inputs` is a tensor, array or number, or a sequence of them. Each floating one is differentiated and must be
    float64; the others are handed on. `function` returns a tensor or several. Every element of the Jacobian is
    compared, or only `projections` random combinations of its rows and columns, which is enough to notice an error and
    takes two calls each. Also checked: inputs are not written to, gradients have their shape and dtype, and a second
    sweep gives the same bits.

    Raises `TypeError` for an input that is not float64, or if there is nothing to differentiate.

    >>> import jitgrad
    >>> from jitgrad.testing import gradcheck
    >>> x = jitgrad.tensor([0.5, -1.5], dtype=jitgrad.float64)
    >>> gradcheck(lambda x: x.exp() * x, x)
    True
    >>> gradcheck(lambda x: x.detach() * x, x)
    Traceback (most recent call last):
        ...
    AssertionError: gradcheck: the derivative of output 0 [0] in input 0 [0] is 0.5 by the reverse sweep and 1 by ...
    """
    values = _values(inputs)
    wanted = [i for i, v in enumerate(values) if is_floating(v.dtype)]
    for i in wanted:
        if values[i].dtype != np.float64:
            raise TypeError(f"input {i} is {of(values[i].dtype).name}: differences need float64, so convert it first")
    tensors, outs = _call(function, values)
    if not wanted or not outs:
        raise TypeError(f"there is no floating {'output' if wanted else 'input'} to differentiate")
    _check_unwritten(tensors, values, "function")
    problem = _Problem(function, values, wanted, tensors, outs, eps, atol, rtol)
    if projections is None:
        problem.each_element()
    else:
        problem.projected(projections, np.random.default_rng(seed))
    _check_unwritten(tensors, values, "reverse sweep")
    return True


def gradgradcheck(function: Callable, inputs: Any, grad_outputs: Any = None, *, seed: int = 0, **options: Any) -> bool:
    """`gradcheck` of the gradient of `function`, in its inputs and in the cotangents that the sweep starts from.

    The cotangents are `grad_outputs`, or random. Options are those of `gradcheck`.

    >>> import jitgrad
    >>> from jitgrad.testing import gradgradcheck
    >>> gradgradcheck(lambda x: x.tanh(), jitgrad.tensor([0.5, -1.5], dtype=jitgrad.float64))
    True
    """
    values = _values(inputs)
    outs = _call(function, values)[1]
    if not any(out.requires_grad for out in outs):
        raise AssertionError("gradgradcheck: no output of the function depends on an input in a differentiable way")
    if grad_outputs is None:
        rng = np.random.default_rng(seed)
        grad_outputs = [rng.uniform(0.5, 1.5, tuple(out.shape)) for out in outs]
    count = len(values)

    def first(*args: Any) -> list[Tensor]:
        xs = [x for x in args[:count] if x.requires_grad]
        outs = _floating(function(*args[:count]))
        pairs = [(out, g) for out, g in zip(outs, args[count:]) if out.requires_grad]
        grads = grad([out for out, _ in pairs], xs, [g for _, g in pairs], create_graph=True, allow_unused=True)
        return [g for g in grads if g is not None]

    return gradcheck(first, [*values, *_values(grad_outputs)], seed=seed, **options)


def jvp(function: Callable, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """The values of `function` at `primals`, and how they change along `tangents`: the Jacobian times a vector.

    Computed in reverse twice: the gradient is linear in its cotangent, and the derivative of that linear map, applied
    to the tangents, is the product. `tangents` matches `primals`; one that is None counts as zero.

    >>> import jitgrad
    >>> from jitgrad.testing import jvp
    >>> value, change = jvp(lambda x: x * x, jitgrad.tensor(3.0), jitgrad.tensor(1.0))
    >>> change
    tensor(6.)
    """
    xs = [_leaf(v) for v in _values(primals)]
    given = _several(tangents)
    if len(given) != len(xs):
        raise TypeError(f"{len(xs)} primals and {len(given)} tangents: each primal needs one")
    result = function(*xs)
    outs = _floating(result)
    seeds = [tensor(np.zeros(out.shape, out._held.dtype), requires_grad=True) for out in outs]
    used = [(out, s) for out, s in zip(outs, seeds) if out.requires_grad]
    moving = [(x, as_tensor(t)) for x, t in zip(xs, given) if t is not None and x.requires_grad]
    found: list[Any] = [None] * len(outs)
    if used and moving:
        (ys, cotangents), ends = zip(*used), [x for x, _ in moving]
        grads = grad(ys, ends, cotangents, create_graph=True, allow_unused=True)
        pairs = [(g, t) for g, (_, t) in zip(grads, moving) if g is not None and g.requires_grad]
        if pairs:
            found = list(grad([g for g, _ in pairs], seeds, [t for _, t in pairs], allow_unused=True))
    changes = [tensor(np.zeros(o.shape, o._held.dtype)) if c is None else c for o, c in zip(outs, found)]
    return (result, changes[0]) if isinstance(result, Tensor) else (tuple(outs), tuple(changes))


# How it is done.


@dataclass
class _Problem:
    """One point at which gradients are compared."""

    function: Callable
    values: list[np.ndarray]
    wanted: list[int]
    tensors: list[Tensor]
    outs: list[Tensor]
    eps: float
    atol: float
    rtol: float

    def each_element(self) -> None:
        """Compare the whole Jacobian."""
        shapes = {i: self.values[i].shape for i in self.wanted}
        rough = {(i, e): self.difference(i, _one(shapes[i], e)) for i in shapes for e in np.ndindex(shapes[i])}
        for k, out in enumerate(self.outs):
            for place in np.ndindex(tuple(out.shape)):
                for i, g in zip(self.wanted, self.reverse(k, _one(tuple(out.shape), place))):
                    for e in np.ndindex(g.shape):
                        what = f"output {k} {list(place)} in input {i} {list(e)}"
                        self.compare(float(g[e]), float(rough[i, e][k][place]), what)

    def projected(self, count: int, rng: np.random.Generator) -> None:
        """Compare random combinations of the rows and columns of the Jacobian."""
        for k, out in enumerate(self.outs):
            for _ in range(count):
                u = rng.standard_normal(tuple(out.shape))
                for i, g in zip(self.wanted, self.reverse(k, u)):
                    v = rng.standard_normal(g.shape)
                    rough = float(np.sum(u * self.difference(i, v)[k]))
                    self.compare(float(np.sum(g * v)), rough, f"a random combination of output {k} in input {i}")

    def reverse(self, k: int, cotangent: np.ndarray) -> list[np.ndarray]:
        """The gradients of <cotangent, output k>, after checking what can be said of any gradient."""
        found = [np.zeros(self.values[i].shape) for i in self.wanted]
        if not self.outs[k].requires_grad:
            return found
        ends = [self.tensors[i] for i in self.wanted]
        once, again = [grad(self.outs[k], ends, cotangent, retain_graph=True, allow_unused=True) for _ in range(2)]
        for n, (i, g, same) in enumerate(zip(self.wanted, once, again)):
            if g is None:
                continue
            value, zero = g.detach().numpy(), found[n]
            if value.shape != zero.shape or value.dtype != zero.dtype:
                have, want = (f"{a.dtype}{list(a.shape)}" for a in (value, zero))
                raise AssertionError(f"gradcheck: the gradient in input {i} is {have}, the input is {want}")
            if not _same_bits(value, same.detach().numpy()):
                raise AssertionError(f"gradcheck: two sweeps give different gradients in input {i}: {value} and {same}")
            found[n] = np.array(value)
        return found

    def difference(self, i: int, step: np.ndarray) -> list[np.ndarray]:
        """The central difference of every output along `step` in input `i`."""
        sides = []
        for sign in (1, -1):
            moved = list(self.values)
            moved[i] = np.asarray(self.values[i] + sign * self.eps * step)
            sides.append([out.detach().numpy().astype(np.float64) for out in _call(self.function, moved)[1]])
        return [(high - low) / (2 * self.eps) for high, low in zip(*sides)]

    def compare(self, exact: float, rough: float, what: str) -> None:
        """Raise if the two differ by more than is allowed, or one is nan."""
        if not abs(exact - rough) <= self.atol + self.rtol * abs(rough):
            raise AssertionError(
                f"gradcheck: the derivative of {what} is {exact:.10g} by the reverse sweep and {rough:.10g} by central "
                f"differences, off by {abs(exact - rough):.3g}; allowed are {self.atol:g} + {self.rtol:g} of the latter"
            )


def _one(shape: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
    return np.eye(1, math.prod(shape), int(np.ravel_multi_index(place, shape)) if shape else 0).reshape(shape)


def _values(inputs: Any) -> list[np.ndarray]:
    """The inputs as arrays of their own."""
    return [np.array(x._concrete("gradcheck") if isinstance(x, Tensor) else x) for x in _several(inputs)]


def _leaf(value: np.ndarray) -> Tensor:
    return tensor(value, requires_grad=is_floating(value.dtype))


def _call(function: Callable, values: Sequence[np.ndarray]) -> tuple[list[Tensor], list[Tensor]]:
    """Fresh tensors of the values, and the floating results of the function on them."""
    tensors = [_leaf(v) for v in values]
    return tensors, _floating(function(*tensors))


def _floating(result: Any) -> list[Tensor]:
    return [r for r in _several(result) if isinstance(r, Tensor) and r.dtype.is_floating_point]


def _several(x: Any) -> Sequence[Any]:
    return x if isinstance(x, (tuple, list)) else (x,)


def _check_unwritten(tensors: list[Tensor], values: list[np.ndarray], who: str) -> None:
    for i, (x, old) in enumerate(zip(tensors, values)):
        if not _same_bits(np.asarray(x._value), old):
            raise AssertionError(f"gradcheck: the {who} wrote to input {i}, which holds {x._value} and was {old}")


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
