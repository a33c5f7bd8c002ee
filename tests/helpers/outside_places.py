"""What the tests of what `jit` reads from outside have in common."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import jitgrad as jg


def holder(**held: Any) -> types.SimpleNamespace:
    return types.SimpleNamespace(**held)


def setting(owner: Any, name: str = "k") -> Callable:
    return lambda: setattr(owner, name, 3.0)


def check(make: Callable, guard: bool) -> None:
    """`make` gives a function that reads 2.0 from somewhere, and what makes that 3.0."""
    f, change = make()
    value, slope, x = jg.jit(f, guard=guard), jg.jit(jg.grad(f), guard=guard), jg.tensor(1.0)
    assert [float(g(x)) for _ in range(3) for g in (value, slope)] == [2.0] * 6
    change()
    assert float(f(x)) == 3.0
    assert [float(g(x)) for _ in range(2) for g in (value, slope)] == [3.0] * 4


def values(tensor):
    return [round(x, 5) for x in tensor.tolist()]
