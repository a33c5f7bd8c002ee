"""Small programs with loops, branches and rules of their own, and transforms of functions, in two ways: jitgrad's, and one
that neither traces nor compiles, in which many examples are a loop and a Jacobian a gradient for each element."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

import jitgrad as jg

X = np.array([0.3, -0.4, 0.7])
OUTSIDE = jg.tensor([[0.5, -0.2, 0.1], [0.3, 0.4, -0.6], [-0.1, 0.2, 0.7]], dtype=jg.float64)


def weights(like: Any, seed: int) -> jg.Tensor:
    """Fixed numbers in the shape of a tensor."""
    size = math.prod(like.shape)
    return jg.tensor(np.cos(1.0 + seed + np.arange(size)).reshape(tuple(like.shape)))


# Programs, of three numbers.


def of_scan(x: Any) -> Any:
    carry, ys = jg.scan(lambda c, t: (c * t.cos() + x, c.sin() * t), x * 0.5, x * OUTSIDE[0])
    return carry + ys.sum(0)


def of_fori(x: Any) -> Any:
    return jg.fori_loop(0, 2, lambda i, c: c.sin() + OUTSIDE[1] * i, x)


def of_while(x: Any) -> Any:
    return jg.while_loop(lambda c: c[1].sum() < 3.0, lambda c: (c[0] * x.exp(), c[1] + x.exp()), (x, x * x), max_steps=4)[0]


def of_cond(x: Any) -> Any:
    return jg.cond(x.sum() > 0.55, lambda c: c.sin() * x, lambda c: (c * c).exp(), x * 2)


def of_switch(x: Any) -> Any:
    return jg.switch((x[0] * 4).long(), [lambda c: c.sin(), lambda c: c * x.sum(), lambda c: c * c * OUTSIDE[0]], x)


def of_items(x: Any) -> Any:
    def step(i: Any, c: Any) -> Any:
        d = c.clone()
        d[i] = c[i] * x[2 - i] + c[(i + 1) % 3].sin()
        return d

    return jg.fori_loop(0, 3, step, x * 1.5)


def of_nested(x: Any) -> Any:
    def row(total: Any, r: Any) -> tuple:
        inner = jg.fori_loop(0, 2, lambda j, c: jg.cond(c.sum() > 0, lambda d: (d * r).sin(), lambda d: d + x, c), x + r)
        return total + inner, total * r

    return jg.scan(row, x * x, OUTSIDE)[0]


def of_branching_loop(x: Any) -> Any:
    return jg.cond(x[0] > 0.5, lambda c: c.cos(), lambda c: jg.scan(lambda d, t: (d * t + x, None), c, x)[0], x * x)


@jg.custom_vjp
def cubed(x: Any, y: Any) -> Any:
    return jg.fori_loop(0, 3, lambda i, c: c * x, y)


cubed.defvjp(
    lambda x, y: (cubed(x, y), (x, y)),
    lambda kept, g: (3 * kept[0] * kept[0] * kept[1] * g, jg.fori_loop(0, 3, lambda i, c: c * kept[0], g)),
)


@jg.custom_jvp
def logistic(x: Any) -> Any:
    return jg.cond(x.sum() > 0, lambda y: 1 / (1 + (-y).exp()), lambda y: y.exp() / (1 + y.exp()), x)


@logistic.defjvp
def _rule(primals: tuple, tangents: tuple) -> tuple:
    y = logistic(*primals)
    return y, jg.scan(lambda t, f: (t * f, None), tangents[0], jg.stack([y, 1 - y]))[0]


def of_custom_vjp(x: Any) -> Any:
    return cubed(x, x.sin()) * x


def of_custom_jvp(x: Any) -> Any:
    return logistic(x * 2) + x.sum()


def newton(a: Any) -> Any:
    return jg.fori_loop(0, 12, lambda i, y: y - (y * y * y + y - a) / (3 * y * y + 1), a * 0.5)


root = jg.func.implicit_root(lambda y, a: y * y * y + y - a, newton)


def of_root(x: Any) -> Any:
    return root(x * 2) * x


@jg.elementwise
@numba.njit
def bump(x: float) -> float:
    return math.exp(-x * x)


def of_elementwise(x: Any) -> Any:
    return jg.scan(lambda c, t: (bump(c) + t, bump(t)), x, x * OUTSIDE)[0]


PROGRAMS = (
    of_scan,
    of_fori,
    of_while,
    of_cond,
    of_switch,
    of_items,
    of_nested,
    of_branching_loop,
    of_custom_vjp,
    of_custom_jvp,
    of_root,
    of_elementwise,
)


# Transforms: each makes of a function of three numbers another one.


class Jitgrad:
    """The transforms as they are."""

    vmap, jacrev, jacfwd, jit = map(staticmethod, (jg.vmap, jg.jacrev, jg.jacfwd, jg.jit))  # type: ignore[assignment]
    vjp, jvp, linearize, hvp, hessian = map(staticmethod, (jg.vjp, jg.jvp, jg.linearize, jg.hvp, jg.hessian))  # type: ignore[assignment]
    scan, cond = map(staticmethod, (jg.scan, jg.cond))  # type: ignore[assignment]

    @staticmethod
    def pulled(f: Callable, x: Any) -> Any:
        """The products of some cotangents with the Jacobian."""
        y, pull = jg.vjp(f, x)
        return jg.vmap(pull)(jg.stack([weights(y, 1), weights(y, 2)]))[0]

    @staticmethod
    def pushed(f: Callable, x: Any) -> Any:
        """The products of the Jacobian with some tangents."""
        push = jg.linearize(f, x)[1]
        return jg.vmap(push)(jg.stack([weights(x, 1), weights(x, 2)]))


class Plain:
    """The same by reverse sweeps over recorded values alone."""

    @staticmethod
    def jit(f: Callable) -> Callable:
        return f

    @staticmethod
    def vmap(f: Callable) -> Callable:
        return lambda xs: jg.stack([f(x) for x in xs])

    @staticmethod
    def vjp(f: Callable, x: Any) -> tuple:
        return jg.vjp(f, x)

    @staticmethod
    def jacrev(f: Callable) -> Callable:
        def jacobian(x: Any) -> Any:
            y, pull = jg.vjp(f, x)
            units = np.eye(math.prod(y.shape)).reshape(-1, *y.shape)
            return jg.stack([pull(jg.tensor(unit))[0] for unit in units]).reshape(*y.shape, *x.shape)

        return jacobian

    jacfwd = jacrev

    @staticmethod
    def jvp(f: Callable, xs: tuple, ts: tuple) -> tuple:
        return None, (Plain.jacrev(f)(xs[0]) * ts[0]).sum(-1)

    @staticmethod
    def hessian(f: Callable) -> Callable:
        return Plain.jacrev(Plain.jacrev(f))

    @staticmethod
    def hvp(f: Callable, xs: tuple, ts: tuple) -> Any:
        return Plain.hessian(f)(xs[0]) @ ts[0]

    @staticmethod
    def scan(f: Callable, carry: Any, xs: Any) -> tuple:
        ys = []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, jg.stack(ys)

    @staticmethod
    def cond(flag: Any, f: Callable, g: Callable, x: Any) -> Any:
        return f(x) if bool(flag) else g(x)

    @staticmethod
    def pulled(f: Callable, x: Any) -> Any:
        y, pull = jg.vjp(f, x)
        return jg.stack([pull(weights(y, k))[0] for k in (1, 2)])

    @staticmethod
    def pushed(f: Callable, x: Any) -> Any:
        jacobian = Plain.jacrev(f)(x)
        return jg.stack([(jacobian * weights(x, k)).sum(-1) for k in (1, 2)])


def several(x: Any) -> Any:
    """Examples that take both ways through branches."""
    return jg.stack([x, x * 1.7, x.flip(0)])


def total(f: Callable) -> Callable:
    """A number made of a result."""

    def summed(x: Any) -> Any:
        y = f(x)
        return (y * weights(y, 3)).sum()

    return summed


TRANSFORMS: dict[str, Callable[[Any, Callable], Callable]] = {
    "jacrev": lambda t, f: t.jacrev(f),
    "jacfwd": lambda t, f: t.jacfwd(f),
    "grad": lambda t, f: lambda x: t.vjp(total(f), x)[1](jg.tensor(1.0, dtype=jg.float64))[0],
    "jvp": lambda t, f: lambda x: t.jvp(f, (x,), (weights(x, 4),))[1],
    "vmap": lambda t, f: lambda x: t.vmap(f)(several(x)),
    "vmap of what is captured": lambda t, f: lambda x: t.vmap(lambda s: f(x * s[0] + s))(OUTSIDE),
    "vmap of vjp": lambda t, f: lambda x: t.pulled(f, x),
    "vmap of push": lambda t, f: lambda x: t.pushed(f, x),
    "hvp": lambda t, f: lambda x: t.hvp(total(f), (x,), (weights(x, 5),)),
    "hessian": lambda t, f: lambda x: t.hessian(total(f))(x),
    "scan": lambda t, f: lambda x: t.scan(lambda c, s: (c * s[0] + x, f(c + s)), x, OUTSIDE)[1],
    "cond": lambda t, f: lambda x: t.cond(x[2] > 0.6, f, lambda z: f(z * 0.5), x),
}


def nested(t: Any, names: tuple[str, ...], jitted: tuple[bool, ...], function: Callable) -> Callable:
    """The function under transforms, the first the outermost; `jitted` says at which levels, the innermost last, `jit` is."""
    f = t.jit(function) if jitted[-1] else function
    for name, under_jit in zip(reversed(names), reversed(jitted[:-1])):
        f = TRANSFORMS[name](t, f)
        f = t.jit(f) if under_jit else f
    return f


def levels(depth: int) -> list[tuple[bool, ...]]:
    """Where `jit` may be."""
    return list(itertools.product((False, True), repeat=depth + 1))
