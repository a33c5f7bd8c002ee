"""Functions that were never seen before: what the first gradient costs, tracing and compiling included."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import AUTOGRAD, JAX, JIT, TORCH, Contestant, Entrants, Workload, flat, waited_for
from bench.libraries import Library, load

ROWS = 50
SIZE = 1000


def new_function(seed: int, library: Library, rows: int = ROWS) -> Callable:
    """A function of about `rows` operations on arrays, another one for every seed, the same in every library."""
    xp = library.xp
    one = (xp.sin, xp.tanh, xp.exp, xp.cos, lambda z: xp.log1p(z * z), lambda z: xp.sqrt(z * z + 1))
    two = (lambda a, b: a * b, lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a / (b * b + 1))
    choose = random.Random(seed)
    steps = [(choose.choice(one), choose.choice(two), choose.random()) for _ in range(rows // 5)]

    def function(x: Any, y: Any) -> Any:
        z, before = x, y
        for inner, outer, factor in steps:
            z, before = xp.tanh(outer(inner(z), before * factor)), z
        return xp.sum(z)

    return function


def arguments() -> tuple:
    """x and y."""
    numbers = np.random.default_rng(10)
    return numbers.standard_normal(SIZE, np.float32), numbers.standard_normal(SIZE, np.float32)


def new_functions() -> Workload:
    """The first value and gradient of a function that was not seen before; every call makes another function."""

    def contestant(name: str, differentiate: Callable) -> Contestant:
        library, seeds = load(name), itertools.count()
        given = tuple(library.array(a) for a in arguments())
        return Contestant(lambda: differentiate(new_function(next(seeds), library))(*given), (), flat)

    def jitgrad() -> Contestant:
        import jitgrad as jg

        return contestant("jitgrad", lambda f: jg.jit(jg.value_and_grad(f, argnums=(0, 1))))

    def jax() -> Contestant:
        import jax

        return contestant("jax", lambda f: waited_for(jax.jit(jax.value_and_grad(f, argnums=(0, 1)))))

    def torch() -> Contestant:
        import torch

        def differentiate(function: Callable) -> Callable:
            def call(x: Any, y: Any) -> Any:
                wanted = x.requires_grad_(True), y.requires_grad_(True)
                value = function(*wanted)
                return value, torch.autograd.grad(value, wanted)

            return call

        return contestant("torch", differentiate)

    def autograd() -> Contestant:
        import autograd

        return contestant("autograd", lambda f: autograd.value_and_grad(f, argnum=(0, 1)))

    def reference() -> list[np.ndarray]:
        import jitgrad as jg

        given = [a.astype(np.float64) for a in arguments()]
        with jg.sweep("interpreted"):
            function = jg.value_and_grad(new_function(0, load("jitgrad")), argnums=(0, 1))
            return flat(function(*map(jg.tensor, given)))

    entrants: Entrants = {JIT: jitgrad, TORCH: torch, JAX: jax, AUTOGRAD: autograd}
    title = f"the first gradient of a new function of {ROWS} rows, {SIZE:,} elements, compiling included"
    return Workload("new function", title, JIT, entrants, reference)
