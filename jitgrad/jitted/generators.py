"""Generators of random numbers among the arguments of a function under `jit`.

What is compiled is a function of their states, which are tensors, that returns the new ones beside its results.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jitgrad.base.tree import flatten, unflatten
from jitgrad.functions.generators import Generator


class Place:
    """Stands among arguments for a generator: by its number, the same object in all calls."""


@functools.cache
def _place(k: int) -> Place:
    return Place()


def taken_out(args: tuple, kwargs: dict) -> tuple[list[Generator], tuple, dict]:
    """The generators among nested arguments, each once, and the arguments with places for them."""
    leaves: list[Any] = []
    structure = flatten((args, kwargs), leaves)
    found = list({id(x): x for x in leaves if isinstance(x, Generator)}.values())
    numbers = {id(x): k for k, x in enumerate(found)}
    return found, *unflatten(structure, iter([_place(numbers[id(x)]) if id(x) in numbers else x for x in leaves]))


def of_states(function: Callable) -> Callable:
    """The function of states and arguments with places: the pair of its result and the new states."""

    @functools.wraps(function)
    def call(states: list[tuple], args: tuple, kwargs: dict) -> tuple[Any, list[tuple]]:
        made = [Generator.at(state) for state in states]
        places = {_place(k): generator for k, generator in enumerate(made)}
        leaves: list[Any] = []
        structure = flatten((args, kwargs), leaves)
        given = iter([places[x] if isinstance(x, Place) else x for x in leaves])
        args, kwargs = unflatten(structure, given)
        return function(*args, **kwargs), [generator.state for generator in made]

    return call


def called(jitted: Callable, args: tuple, kwargs: dict) -> Any:
    """The result of `jit(of_states(function))` for such arguments; the generators go on."""
    generators, args, kwargs = taken_out(args, kwargs)
    result, states = jitted([generator.operands() for generator in generators], args, kwargs)
    for generator, state in zip(generators, states):
        generator.go_on(state)
    return result
