"""Single operations at every size, forward, and forward with backward: where each library spends its time."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.contestants import EAGER, FLOOR, JAX, JIT, TOLERANCE, TORCH, Contestant, Entrants, Workload, flat, numbers, waited_for
from bench.elementwise import power
from bench.libraries import Library, load

SIZES = tuple(10**k for k in range(8))
QUICK_SIZES = (1, 1_000, 100_000)
FORWARD, GRADIENT = "forward", "gradient"
MOST_OF_A_SQUARE = 1_000_000  # elements of a matrix in a matrix product: beyond, BLAS alone would be timed for minutes


class Op(NamedTuple):
    """An operation, as a function of a library, of some arrays with elements between `low` and `high`."""

    call: Callable[[Library], Callable]
    inputs: int = 1
    low: float = 0.2
    high: float = 0.8
    square: bool = False  # of matrices as square as the size allows
    tolerance: float = TOLERANCE


def _named(name: str, **what: Any) -> Op:
    return Op(lambda library: getattr(library.xp, name), **what)


def _written(function: Callable, **what: Any) -> Op:
    return Op(lambda _: function, **what)


def _last_axis(name: str) -> Op:
    return Op(lambda library: lambda x: getattr(library.xp, name)(x, -1), square=True)


OPS: dict[str, Op] = {
    "add": _written(lambda x, y: x + y, inputs=2),
    "sub": _written(lambda x, y: x - y, inputs=2),
    "mul": _written(lambda x, y: x * y, inputs=2),
    "div": _written(lambda x, y: x / y, inputs=2),
    "neg": _written(lambda x: -x),
    "pow": _written(lambda x: x**1.5),
    "maximum": _named("maximum", inputs=2),
    "where": Op(lambda library: lambda x, y: library.xp.where(x > y, x, y), inputs=2),
    **{name: _named(name) for name in ("abs", "square", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh")},
    "sigmoid": Op(lambda library: library.sigmoid),
    "softplus": Op(lambda library: library.softplus),
    "erf": Op(lambda library: library.erf),
    "clamp": Op(lambda library: lambda x: library.clamp(x, 0.1, 0.9)),  # at the bounds themselves gradients differ by taste
    "sum": _named("sum"),
    "mean": _named("mean"),
    "max": _named("max"),
    "prod": _named("prod", low=0.999, high=1.001, tolerance=2e-2),  # rounded at every one of 1e7 factors
    "sum rows": _last_axis("sum"),
    "mean rows": _last_axis("mean"),
    "softmax rows": Op(lambda library: library.softmax, square=True),
    "cumsum": Op(lambda library: lambda x: library.xp.cumsum(x, 0)),
    "slice": _written(lambda x: x[1:] * x[:-1]),
    "transpose": _written(lambda x: x.T * x, square=True),
    "matmul": _written(lambda x, y: x @ y, inputs=2, square=True),
}


def cases(names: Sequence[str], quick: bool = False) -> dict[str, tuple[str, int, str]]:
    """The arguments of `sweep` by the name that it gives, for these operations or for all."""
    return {
        _name(name, size, way): (name, size, way)
        for name in names or OPS
        for way in (FORWARD, GRADIENT)
        for size in (QUICK_SIZES if quick else SIZES)
        if name != "matmul" or size <= MOST_OF_A_SQUARE
    }


def _name(name: str, size: int, way: str) -> str:
    return f"op {name} {power(size)} {way}"


def sweep(name: str, size: int, way: str) -> Workload:
    """One operation at one size; the gradient is that of its results times an array, summed.

    The array is there because a sum alone has a gradient of ones, from which a compiler may know the answer beforehand.
    """
    op = OPS[name]
    data = functools.cache(lambda: _data(op, size, way == GRADIENT))
    ways: dict[str, Callable] = {EAGER: _eager, JIT: _jit, TORCH: _torch, JAX: _jax}
    entrants: Entrants = {
        label: functools.partial(lambda make: make(op, data(), way == GRADIENT), make) for label, make in ways.items()
    }
    if way == FORWARD:
        entrants[FLOOR] = lambda: Contestant(op.call(load("numpy")), tuple(data()), _alone)

    def reference() -> list[np.ndarray]:
        contestant = _eager(op, [x.astype(np.float64) for x in data()], way == GRADIENT)
        return contestant.arrays(contestant.call(*contestant.args))

    title = f"{name}, {size:,} elements, {way}"
    return Workload(_name(name, size, way), title, JIT, entrants, reference, op.tolerance)


def _data(op: Op, size: int, gradient: bool) -> list[np.ndarray]:
    """The inputs, and for the gradient the array that the results are multiplied by."""
    random = np.random.default_rng(11)

    def uniform(shape: tuple[int, ...]) -> np.ndarray:
        return np.asarray(random.uniform(op.low, op.high, shape), np.float32)

    inputs = [uniform((math.isqrt(size),) * 2 if op.square else (size,)) for _ in range(op.inputs)]
    return [*inputs, uniform(np.shape(op.call(load("numpy"))(*inputs)))] if gradient else inputs


def _alone(result: Any) -> list[np.ndarray]:
    return [numbers(result)]


def _weighted(call: Callable) -> Callable:
    return lambda *given: (call(*given[:-1]) * given[-1]).sum()


def _recorded(name: str, grad: Callable, op: Op, data: list[np.ndarray], gradient: bool) -> Contestant:
    """Eager code: `grad(value, leaves)` is the library's reverse sweep."""
    library = load(name)
    call, given = op.call(library), tuple(library.array(x) for x in data)
    if not gradient:
        return Contestant(call, given, _alone)
    loss, leaves = _weighted(call), given[: op.inputs]
    for x in leaves:
        x.requires_grad_(True)

    def both(*given: Any) -> Any:
        value = loss(*given)
        return value, grad(value, leaves)

    return Contestant(both, given, flat)


def _eager(op: Op, data: list[np.ndarray], gradient: bool) -> Contestant:
    import jitgrad as jg

    return _recorded("jitgrad", jg.autograd.grad, op, data, gradient)


def _torch(op: Op, data: list[np.ndarray], gradient: bool) -> Contestant:
    import torch

    return _recorded("torch", torch.autograd.grad, op, data, gradient)


def _jit(op: Op, data: list[np.ndarray], gradient: bool) -> Contestant:
    import jitgrad as jg

    return _transformed("jitgrad", jg.value_and_grad, jg.jit, op, data, gradient)


def _jax(op: Op, data: list[np.ndarray], gradient: bool) -> Contestant:
    import jax

    return _transformed("jax", jax.value_and_grad, lambda f: waited_for(jax.jit(f)), op, data, gradient)


def _transformed(name: str, differentiate: Callable, jit: Callable, op: Op, data: list[np.ndarray], gradient: bool) -> Contestant:
    library = load(name)
    call, given = op.call(library), tuple(library.array(x) for x in data)
    if not gradient:
        return Contestant(jit(call), given, _alone)
    return Contestant(jit(differentiate(_weighted(call), argnums=tuple(range(op.inputs)))), given, flat)
