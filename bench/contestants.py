"""Ways of getting a value and its gradient, one for each contestant, and whether what they give is right."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from bench.libraries import Library, load

TOLERANCE = 1e-4
"""How far a float32 result may be from the float64 one, relative to the largest element."""

EAGER = "jitgrad eager"
JIT = "jitgrad JIT"
INTERPRETED = "jitgrad interpreted"
NUMPY = "NumPy by hand"
NUMBA = "Numba by hand"
FLOOR = "NumPy, no gradient"
TORCH = "torch eager"
COMPILED = "torch.compile"
JAX = "jax.jit"
AUTOGRAD = "HIPS autograd"

NEEDS = {TORCH: "torch", COMPILED: "torch.compile", JAX: "jax", AUTOGRAD: "autograd", NUMBA: "numba"}
"""What must be installed for a contestant; the others need nothing but jitgrad."""


class Contestant(NamedTuple):
    """One contestant at one workload: `call(*args)` is what is timed, inside of `context()`."""

    call: Callable
    args: tuple
    arrays: Callable[[Any], list[np.ndarray]]  # from what a call returned to the value and the gradients
    context: Callable[[], AbstractContextManager] = nullcontext


class Problem(NamedTuple):
    """A loss, to be differentiated in its first `wrt` arguments."""

    name: str
    title: str
    loss: Callable[[Library], Callable]
    args: Callable[[], tuple[Any, ...]]  # NumPy arrays and numbers
    wrt: int
    by_hand: Callable


class Workload(NamedTuple):
    """What is timed: contestants, made on need; the one that the others are compared to; and the right results."""

    name: str
    title: str
    base: str
    entrants: dict[str, Callable[[], Contestant]]
    reference: Callable[[], list[np.ndarray]]


def differentiated(problem: Problem, extra: dict[str, Callable[[], Contestant]] | None = None) -> Workload:
    """Value and gradient of a problem for every contestant."""
    args = functools.cache(problem.args)
    ways = {JIT: _jit, INTERPRETED: _interpreted, TORCH: _torch, JAX: _jax, AUTOGRAD: _autograd}
    entrants: dict[str, Callable[[], Contestant]] = {
        label: functools.partial(lambda way: way(problem, args()), way) for label, way in ways.items()
    }
    entrants[NUMPY] = lambda: Contestant(problem.by_hand, args(), flat)

    def reference() -> list[np.ndarray]:
        return flat(problem.by_hand(*(_double(a) for a in args())))

    return Workload(problem.name, problem.title, JIT, entrants | (extra or {}), reference)


def flat(result: Any) -> list[np.ndarray]:
    """The numbers of `(value, gradient or tuple of gradients)`, from whatever library."""
    value, gradients = result
    parts = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    return [numbers(part) for part in (value, *parts)]


def numbers(part: Any) -> np.ndarray:
    """A NumPy array of what a tensor of any library holds."""
    return np.asarray(part.detach() if hasattr(part, "detach") else part)


def wrong(got: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> str | None:
    """What is wrong with a value and gradients; None if nothing is."""
    if len(got) != len(right):
        return f"{len(got)} results where {len(right)} are right"
    for i, (a, b) in enumerate(zip(got, right)):
        what = "value" if i == 0 else f"gradient {i}"
        if np.shape(a) != np.shape(b):
            return f"{what} has shape {np.shape(a)}, not {np.shape(b)}"
        scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
        error = float(np.max(np.abs(np.asarray(a, np.float64) - b), initial=0.0)) / scale
        if not error <= TOLERANCE:
            return f"{what} is off by {error:.1e}"
    return None


def _double(a: Any) -> Any:
    return a.astype(np.float64) if isinstance(a, (np.ndarray, np.generic)) and a.dtype == np.float32 else a


def _given(problem: Problem, library: Library, args: tuple) -> tuple[Callable, list[Any]]:
    return problem.loss(library), [library.array(a) for a in args]


def _jitgrad(problem: Problem, args: tuple, sweep: str) -> Contestant:
    import jitgrad as jg

    loss, given = _given(problem, load("jitgrad"), args)
    call = jg.jit(jg.value_and_grad(loss, argnums=tuple(range(problem.wrt))))
    return Contestant(call, tuple(given), flat, lambda: jg.sweep(sweep))


def _jit(problem: Problem, args: tuple) -> Contestant:
    return _jitgrad(problem, args, "jit")


def _interpreted(problem: Problem, args: tuple) -> Contestant:
    return _jitgrad(problem, args, "interpreted")


def _torch(problem: Problem, args: tuple, compiled: bool = False) -> Contestant:
    import torch

    loss, given = _given(problem, load("torch"), args)
    if compiled:
        torch._dynamo.reset()
        loss = torch.compile(loss, dynamic=False)
    wanted = tuple(given[: problem.wrt])
    for x in wanted:
        x.requires_grad_(True)
    grad = torch.autograd.grad

    def call(*given: Any) -> Any:
        value = loss(*given)
        return value, grad(value, wanted)

    return Contestant(call, tuple(given), flat)


def torch_compile(problem: Problem) -> dict[str, Callable[[], Contestant]]:
    """The entry of torch.compile, for workloads that have the time for it."""
    return {COMPILED: lambda: _torch(problem, problem.args(), compiled=True)}


def _jax(problem: Problem, args: tuple) -> Contestant:
    import jax

    loss, given = _given(problem, load("jax"), args)
    return Contestant(jax.jit(jax.value_and_grad(loss, argnums=tuple(range(problem.wrt)))), tuple(given), flat)


def _autograd(problem: Problem, args: tuple) -> Contestant:
    import autograd

    loss, given = _given(problem, load("autograd"), args)
    return Contestant(autograd.value_and_grad(loss, argnum=tuple(range(problem.wrt))), tuple(given), flat)
