"""Random nestings of transforms around small functions: with `jit` anywhere and without, and JAX where it is installed.

A program here is a function by name and a chain of transforms, the innermost first. All work on a float64 vector; a
transform that gives a matrix or more is followed by what its type allows.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import jitgrad as jg

SIZE = 3
POINT = np.array([0.5, -0.75, 1.25])


def _control(m: Any, x: Any) -> Any:
    return m.cond(x.sum() > 0, lambda y: m.sin(y) * y, lambda y: y * 2, x)


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "smooth": lambda m, x: m.sin(x) * m.exp(x * 0.5) + x[0] * x,
    "product": lambda m, x: (x * x).sum() * x,
    "matrix": lambda m, x: m.tanh(m.outer(x, x) @ x),
    "softmax": lambda m, x: m.softmax(x * 2),
    "picked": lambda m, x: x[m.places([2, 0, 2])] * x[1],
    "where": lambda m, x: m.where(x > 0, m.exp(x), x * x * x),
    "fori": lambda m, x: m.fori_loop(0, 3, lambda i, c: m.sin(c) + x * i, x),
    "scan": lambda m, x: m.scan(lambda c, s: (c * s + m.sin(c), c * c), x, m.stack([x, x * 2]))[1].sum(0),
    "while": lambda m, x: m.while_loop(lambda c: (c * c).sum() < 20.0, lambda c: c * 1.5 + 0.25 * x, x),
    "cond": _control,
    "switch": lambda m, x: m.switch(m.number(1), [lambda y: y, lambda y: m.cos(y) * y, lambda y: y * y], x),
    "nested": lambda m, x: m.fori_loop(0, 2, lambda i, c: m.cond(c[0] > 0.1, lambda y: m.sin(y) * x, lambda y: y + x, c), x),
    "captured": lambda m, x: m.scan(lambda c, s: (c * x.sum() + s, c), x[0], x)[1],
    "logsumexp": lambda m, x: x * m.logsumexp(x),
    "divided": lambda m, x: x / (1 + (x * x).sum()),
}

CHAINS = ["jit", "jacrev", "jacfwd", "hessian", "grad", "vmap", "vjp", "jvp", "value_and_grad", "linearize", "hvp", "map_vjp"]


class Nested(NamedTuple):
    """A function of `FUNCTIONS` and the transforms around it, the innermost first."""

    function: str
    chain: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.function}: {' of '.join(reversed(self.chain))}"


def generate(seed: str) -> Nested:
    """The nesting of a seed: up to three transforms that change the derivative, with `jit` between."""
    rng = random.Random(seed)
    chain = []
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.4:
            chain.append("jit")
        chain.append(rng.choice(CHAINS[1:]))
    if rng.random() < 0.4:
        chain.append("jit")
    return Nested(rng.choice(list(FUNCTIONS)), tuple(chain))


def applied(program: Nested, m: Any, jit: bool) -> Callable[[Any], Any]:
    """The nested function of a vector."""
    f: Callable[[Any], Any] = lambda x: FUNCTIONS[program.function](m, x)
    for name in program.chain:
        if name != "jit" or jit:
            f = _around(name, f, m)
    return f


def _scalar(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: (lambda y: (y * y).sum() + y.sum())(f(x))


def _around(name: str, f: Callable[[Any], Any], m: Any) -> Callable[[Any], Any]:
    if name in ("jit", "jacrev", "jacfwd"):
        return getattr(m, name)(f)
    if name in ("hessian", "grad"):
        return getattr(m, name)(_scalar(f))
    if name == "value_and_grad":
        return lambda x: (lambda pair: pair[0] * pair[1])(m.value_and_grad(_scalar(f))(x))
    if name == "vmap":
        return lambda x: m.vmap(f)(m.stack([x, x * 0.5]))
    if name == "vjp":
        return lambda x: (lambda pair: m.first(pair[1](m.tanh(pair[0]))))(m.vjp(f, x))
    if name == "map_vjp":  # as jacrev does it
        return lambda x: (lambda pair: m.vmap(lambda s: m.first(pair[1](pair[0] * s)))(x))(m.vjp(f, x))
    if name == "jvp":
        return lambda x: (lambda pair: pair[0] + pair[1])(m.jvp(f, (x,), (x * x,)))
    if name == "linearize":
        return lambda x: (lambda pair: pair[0] + pair[1](x * 0.5))(m.linearize(f, x))
    return lambda x: m.hvp(_scalar(f), x, x + 1)


class Jitgrad:
    """The names that the functions use."""

    places = staticmethod(lambda indices: jg.tensor(indices))
    number = staticmethod(lambda n: jg.tensor(n))
    softmax = staticmethod(lambda x: x.softmax(0))
    logsumexp = staticmethod(lambda x: x.logsumexp(0))
    first = staticmethod(lambda pulled: pulled[0] if isinstance(pulled, tuple) else pulled)
    hvp = staticmethod(lambda f, x, v: jg.jvp(jg.grad(f), (x,), (v,))[1])
    while_loop = staticmethod(lambda go_on, step, x: jg.while_loop(go_on, step, x, max_steps=12))

    def __getattr__(self, name: str) -> Any:
        return getattr(jg, name)


def jax_names() -> Any:
    """The same of JAX, or None if it is not installed."""
    if importlib.util.find_spec("jax") is None:
        return None
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    class Jax:
        places = staticmethod(lambda indices: jnp.array(indices))
        number = staticmethod(lambda n: n)
        softmax = staticmethod(jax.nn.softmax)
        logsumexp = staticmethod(jax.scipy.special.logsumexp)
        first = staticmethod(lambda pulled: pulled[0] if isinstance(pulled, tuple) else pulled)
        hvp = staticmethod(lambda f, x, v: jax.jvp(jax.grad(f), (x,), (v,))[1])

        def __getattr__(self, name: str) -> Any:
            places = (jax.lax,) if name in ("scan", "fori_loop", "while_loop", "cond", "switch") else (jax, jnp)
            return getattr(next(place for place in places if hasattr(place, name)), name)

    return Jax()


def disagreements(program: Nested) -> list[str]:
    """What differs: without `jit` is the measure, or JAX where it gives something."""
    names = Jitgrad()
    found = []
    plain, error = _tried(applied(program, names, False), jg.tensor(POINT))
    compiled, jit_error = _tried(applied(program, names, True), jg.tensor(POINT))
    other = jax_names()
    wanted, _ = _tried(applied(program, other, False), POINT) if other is not None else (None, None)
    if (error is None) != (jit_error is None):
        found.append(f"without jit {error or 'runs'}, with it {jit_error or 'runs'}")
    elif plain is not None and not _same(plain, compiled):
        found.append(f"without jit {plain.tolist()}, with it {compiled.tolist()}")
    if other is not None and plain is not None and wanted is not None and not _same(plain, wanted, 1e-6):
        found.append(f"jitgrad {plain.tolist()}, JAX {wanted.tolist()}")
    if other is not None and wanted is not None and error is not None and program.function != "while":
        found.append(f"{error}, and JAX runs")
    return found


def _tried(f: Callable[[Any], Any], x: Any) -> tuple[Any, str | None]:
    try:
        out = f(x)
        return np.asarray(out.detach() if isinstance(out, jg.Tensor) else out, float), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _same(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-9) -> bool:
    scale = max(1.0, float(np.max(np.abs(a), initial=0.0)))
    return a.shape == b.shape and np.allclose(a / scale, b / scale, rtol=tolerance, atol=tolerance, equal_nan=True)
