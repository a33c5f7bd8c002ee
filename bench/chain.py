"""A long chain of scalar operations: its gradient, recorded once and run again, and what recording it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.contestants import (
    COMPILED,
    EAGER,
    JAX,
    JIT,
    NUMBA_SWEEP,
    TORCH,
    Contestant,
    Entrants,
    Problem,
    Workload,
    differentiated,
    numbers,
)
from bench.libraries import Library, load

ROWS = 10_000


def chain_loss(library: Library, rows: int = ROWS) -> Callable:
    """Rounds of five scalar operations, each result the next one's input."""
    sin, exp, tanh = library.xp.sin, library.xp.exp, library.xp.tanh

    def chain(x: Any, y: Any) -> Any:
        z = x
        for _ in range(rows // 5):
            z = tanh(exp(sin(z * y + x)))
        return z

    return chain


def chain_by_hand(x: Any, y: Any, rows: int = ROWS) -> Any:
    """Value and gradient, by going along the chain with the derivatives in both (forward mode)."""
    z, dx, dy = x, x * 0 + 1, y * 0
    for _ in range(rows // 5):
        u = z * y + x
        s = np.sin(u)
        e = np.exp(s)
        slope = e * np.cos(u)
        dx, dy = dx * y + 1, dy * y + z
        z = np.tanh(e)
        slope = slope * (1 - z * z)
        dx, dy = dx * slope, dy * slope
    return z, (dx, dy)


def chain_arguments() -> tuple:
    """x and y, as float32."""
    return np.float32(0.3), np.float32(0.4)


def chain(rows: int = ROWS) -> Workload:
    """Value and gradient, recorded once and run again; jax.jit, torch.compile and Numba would compile it for minutes."""
    title = f"a chain of {rows:,} scalar operations, value and gradient under jit"
    problem = Problem(
        f"chain {rows}",
        title,
        lambda library: chain_loss(library, rows),
        chain_arguments,
        2,
        lambda x, y: chain_by_hand(x, y, rows),
    )
    return differentiated(problem, without=(JAX, COMPILED, NUMBA_SWEEP))


def recorded_chain(rows: int = ROWS) -> Workload:
    """The chain recorded anew at every call: by jit, without values; by eager code, with them."""

    def traced() -> Contestant:
        import jitgrad as jg

        function, given = chain_loss(load("jitgrad"), rows), [jg.tensor(a) for a in chain_arguments()]

        def arrays(tape: Any) -> list[np.ndarray]:
            assert len(tape) == rows + 2  # x and y have rows, too
            return [numbers(function(*given))]

        return Contestant(lambda: jg.jit(function).tape(*given), (), arrays)

    def eager(name: str) -> Contestant:
        function = chain_loss(load(name), rows)
        given = tuple(load(name).array(a).requires_grad_(True) for a in chain_arguments())
        return Contestant(function, given, lambda value: [numbers(value)])

    def reference() -> list[np.ndarray]:
        return [np.asarray(chain_by_hand(*map(np.float64, chain_arguments()), rows)[0])]

    entrants: Entrants = {JIT: traced, EAGER: lambda: eager("jitgrad"), TORCH: lambda: eager("torch")}
    title = f"recording a chain of {rows:,} scalar operations: jit without values, eager code with them"
    return Workload(f"recording {rows}", title, JIT, entrants, reference)
