"""Generators of random numbers among the arguments of a function under `jit`.

What is compiled is a function of their states, which are tensors, that returns the new ones beside its results.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.base.tree import flatten, tree_map, unflatten
from jitgrad.functions.generators import Generator
from jitgrad.tensors.tensor import Tensor


class Place:
    """Stands among arguments and results for a generator, by its number."""

    def __init__(self, number: int) -> None:
        self.number = number


_place = functools.cache(Place)  # the same object in all calls


_PLAIN = frozenset({Generator, Tensor, np.ndarray, int, float})
"""Arguments that hold no others."""


def taken_out(args: tuple, kwargs: dict) -> tuple[list[Generator], tuple, dict]:
    """The generators among nested arguments, each once, and the arguments with places for them."""
    flat = not kwargs and _PLAIN.issuperset([x.__class__ for x in args])
    leaves: list[Any] = list(args) if flat else []
    structure = None if flat else flatten((args, kwargs), leaves)
    found: list[Generator] = []
    for i, leaf in enumerate(leaves):
        if isinstance(leaf, Generator):
            if leaf not in found:
                found.append(leaf)
            leaves[i] = _place(found.index(leaf))
    return found, *((tuple(leaves), kwargs) if flat else unflatten(structure, iter(leaves)))


def of_states(function: Callable) -> Callable:
    """The function of states and arguments with places: its result, whether that has places too, and the new states."""

    @functools.wraps(function)
    def call(states: list[tuple], args: tuple, kwargs: dict) -> tuple[Any, bool, list[tuple]]:
        made = [Generator.at(state) for state in states]
        args, kwargs = _filled((args, kwargs), made)
        result = function(*args, **kwargs)
        numbers = {generator: _place(k) for k, generator in enumerate(made)}
        placed = tree_map(lambda leaf: numbers.get(leaf, leaf) if isinstance(leaf, Generator) else leaf, result)
        leaves: list[Any] = []
        flatten(placed, leaves)
        return placed, any(isinstance(leaf, Place) for leaf in leaves), [generator.state for generator in made]

    return call


def called(jitted: Callable, args: tuple, kwargs: dict) -> Any:
    """The result of `jit(of_states(function))` for such arguments; the generators go on."""
    generators, args, kwargs = taken_out(args, kwargs)
    result, has_places, states = jitted([generator.operands() for generator in generators], args, kwargs)
    for generator, state in zip(generators, states):
        generator.go_on(state)
    return _filled(result, generators) if has_places else result


def _filled(tree: Any, generators: list[Generator]) -> Any:
    """The tree with the generators at their places."""
    return tree_map(lambda leaf: generators[leaf.number] if isinstance(leaf, Place) else leaf, tree)
