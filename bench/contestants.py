"""Ways of getting a value and its gradient, one for each contestant, and whether what they give is right."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from bench.libraries import JAX_ASYNC, Library, load

TOLERANCE = 1e-4
"""How far a float32 result may be from the float64 one, relative to the largest element."""
DOUBLE_TOLERANCE = 1e-9
"""The same for results that are computed in float64."""

EAGER = "jitgrad eager"
JIT = "jitgrad JIT"
INTERPRETED = "jitgrad interpreted"
NUMBA_SWEEP, MACHINE = "jitgrad Numba", "jitgrad machine"
NUMPY = "NumPy by hand"
NUMBA = "Numba by hand"
STRICT = "Numba by hand, IEEE"
C = "C by hand"
FLOOR = "NumPy, no gradient"
TORCH = "torch eager"
COMPILED = "torch.compile"
JAX = "jax.jit"
AUTOGRAD = "HIPS autograd"

NEEDS = {TORCH: "torch", COMPILED: "torch.compile", JAX: "jax", AUTOGRAD: "autograd", NUMBA: "numba", STRICT: "numba", C: "cc"}
"""What must be installed for a contestant; the others need nothing but jitgrad."""


class Contestant(NamedTuple):
    """One contestant at one workload: `call(*args)` is what is timed, inside of `context()`."""

    call: Callable
    args: tuple
    arrays: Callable[[Any], list[np.ndarray]]  # from what a call returned to the value and the gradients
    context: Callable[[], AbstractContextManager] = nullcontext


Entrants = dict[str, Callable[[], Contestant]]
"""The contestants of a workload, made on need."""


class Problem(NamedTuple):
    """A loss, to be differentiated in its first `wrt` arguments."""

    name: str
    title: str
    loss: Callable[[Library], Callable]
    args: Callable[[], tuple[Any, ...]]  # NumPy arrays and numbers
    wrt: int
    by_hand: Callable
    double: bool = False  # whether the arguments are float64


class Workload(NamedTuple):
    """What is timed: contestants; the one that the others are compared to; and the right results."""

    name: str
    title: str
    base: str
    entrants: Entrants
    reference: Callable[[], list[np.ndarray]]
    tolerance: float = TOLERANCE


def differentiated(problem: Problem, extra: Entrants | None = None, without: Collection[str] = ()) -> Workload:
    """Value and gradient of a problem for every contestant, some more in `extra`, and none of those in `without`."""
    args = functools.cache(problem.args)
    ours = {JIT: "auto", INTERPRETED: "interpreted", NUMBA_SWEEP: "numba", MACHINE: "machine"}
    ways: dict[str, Callable] = {label: functools.partial(_jitgrad, sweep=sweep) for label, sweep in ours.items()}
    ways |= {TORCH: _torch, COMPILED: _compiled, JAX: _jax, AUTOGRAD: _autograd}
    entrants: Entrants = {
        label: functools.partial(lambda way: way(problem, args()), way) for label, way in ways.items() if label not in without
    }
    entrants[NUMPY] = lambda: Contestant(problem.by_hand, args(), flat)
    return _workload(problem, args, problem.name, problem.title, JIT, entrants | (extra or {}))


def eager(problem: Problem, title: str, zero: bool = False) -> Workload:
    """The loss recorded, `backward()`, and the gradients dropped (or set to zero): what eager code does each time."""
    args = functools.cache(problem.args)
    entrants: Entrants = {
        EAGER: lambda: _step(problem, args(), "jitgrad", zero),
        TORCH: lambda: _step(problem, args(), "torch", zero),
        AUTOGRAD: lambda: _autograd(problem, args()),
        NUMPY: lambda: Contestant(problem.by_hand, args(), flat),
    }
    first, _, rest = problem.name.partition(" ")
    return _workload(problem, args, f"{first} eager {rest}".strip(), title, EAGER, entrants)


def _workload(problem: Problem, args: Callable[[], tuple], name: str, title: str, base: str, entrants: Entrants) -> Workload:
    def reference() -> list[np.ndarray]:
        return flat(problem.by_hand(*map(_double, args())))

    tolerance = DOUBLE_TOLERANCE if problem.double else TOLERANCE
    return Workload(name, title, base, entrants, reference, tolerance)


def flat(result: Any) -> list[np.ndarray]:
    """The numbers of `(value, gradient or tuple of gradients)`, from whatever library."""
    value, gradients = result
    parts = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
    return [numbers(part) for part in (value, *parts)]


def numbers(part: Any) -> np.ndarray:
    """A NumPy array of what a tensor of any library holds."""
    return np.asarray(part.detach() if hasattr(part, "detach") else part)


def wrong(got: Sequence[np.ndarray], right: Sequence[np.ndarray], tolerance: float = TOLERANCE) -> str | None:
    """What is wrong with a value and gradients; None if nothing is."""
    if len(got) != len(right):
        return f"{len(got)} results where {len(right)} are right"
    for i, (a, b) in enumerate(zip(got, right)):
        what = "value" if i == 0 else f"gradient {i}"
        if np.shape(a) != np.shape(b):
            return f"{what} has shape {np.shape(a)}, not {np.shape(b)}"
        scale = float(np.max(np.abs(b), initial=0.0)) or 1.0
        error = float(np.max(np.abs(np.asarray(a, np.float64) - b), initial=0.0)) / scale
        if not error <= tolerance:
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


def _compiled(problem: Problem, args: tuple) -> Contestant:
    return _torch(problem, args, compiled=True)


def _jax(problem: Problem, args: tuple) -> Contestant:
    import jax

    library = load("jax")
    context = functools.partial(jax.enable_x64, problem.double)
    with context():
        loss, given = _given(problem, library, args)
    gradient = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(problem.wrt))))
    return Contestant(waited_for(gradient), tuple(given), flat, context)


def waited_for(call: Callable) -> Callable:
    """A function of jax that returns when its results are there; without asynchronous dispatch they are anyhow."""
    if JAX_ASYNC not in os.environ:
        return call
    import jax

    return lambda *args: jax.block_until_ready(call(*args))


def _autograd(problem: Problem, args: tuple) -> Contestant:
    import autograd

    loss, given = _given(problem, load("autograd"), args)
    return Contestant(autograd.value_and_grad(loss, argnum=tuple(range(problem.wrt))), tuple(given), flat)


def _step(problem: Problem, args: tuple, library: str, zero: bool) -> Contestant:
    loss, given = _given(problem, load(library), args)
    wanted = given[: problem.wrt]
    for x in wanted:
        x.requires_grad_(True)

    def clear() -> None:
        for x in wanted:
            if zero:
                x.grad.zero_()
            else:
                x.grad = None

    def step() -> None:
        loss(*given).backward()
        clear()

    def arrays(_: None) -> list[np.ndarray]:
        value = loss(*given)
        value.backward()
        found = [numbers(part).copy() for part in (value, *[x.grad for x in wanted])]
        clear()
        return found

    return Contestant(step, (), arrays)
