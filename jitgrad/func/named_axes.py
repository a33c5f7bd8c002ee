"""`rearrange`: dimensions in another order, split and laid together, by a pattern of their names, as in einops."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from jitgrad.functions.shaping import stack
from jitgrad.tensors.tensor import Tensor

_DOTS = "..."
_PART = re.compile(r"\((?P<group>[^()]*)\)|(?P<one>[^\s()]+)|(?P<odd>\S)")
_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?|\.\.\.|1")


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """A tensor with its dimensions in another order, split, and laid together, by a pattern such as `"b (h w) c -> b c h w"`.

    Names stand for dimensions, in parentheses for those that a dimension is made of, the last of which varies fastest; `...` is
    any others, and `1` a dimension of that size. Of the names in parentheses all sizes but one are given as keywords. Several
    tensors are stacked first. `ValueError` for a pattern that makes no sense or does not fit the shape.

    >>> import jitgrad
    >>> jitgrad.func.rearrange(jitgrad.arange(6), "(h w) -> w h", w=3)
    tensor([[0, 3],
            [1, 4],
            [2, 5]])
    """
    if not isinstance(tensor, (Tensor, list, tuple)) or not isinstance(pattern, str):
        raise TypeError(
            f"rearrange takes a tensor, or a list of such, and a pattern in words, not {type(tensor).__name__} and "
            f"{type(pattern).__name__}"
        )
    for name, size in axes_lengths.items():
        if not isinstance(size, int) or size < 0:
            raise TypeError(f"rearrange: {name} must be an int from 0 on, not {size!r}")
    x = tensor if isinstance(tensor, Tensor) else stack(list(tensor))
    sides = pattern.split("->")
    if len(sides) != 2:
        _refuse(pattern, "it must have two sides, as 'a b -> b a'")
    before, after = [_parsed(side, pattern) for side in sides]
    if any(_DOTS in part for part in before if part is not _DOTS):
        _refuse(pattern, "on the left ... cannot stand in parentheses")
    others = [f"{_DOTS}{i}" for i in range(x.ndim - len(before) + 1)] if _DOTS in before else []
    left, right = _spread(before, others), _spread(after, others)
    if len(left) != x.ndim:
        _refuse(pattern, f"it has {len(left)} dimensions on the left, and the tensor {x.ndim}: {list(x.shape)}")
    names, wanted = ([name for part in side for name in part] for side in (left, right))
    if len(set(names)) < len(names) or sorted(names) != sorted(wanted) or (_DOTS in before) != (_DOTS in str(after)):
        _refuse(pattern, "every name must stand once on either side")
    sizes = _sizes(left, x.shape, axes_lengths, pattern)
    apart = x.reshape([sizes[name] for name in names]).permute([names.index(name) for name in wanted])
    return apart.reshape([math.prod([sizes[name] for name in part]) for part in right])


def _refuse(pattern: str, why: str) -> NoReturn:
    raise ValueError(f"rearrange cannot take the pattern {pattern!r}: {why}")


def _parsed(side: str, pattern: str) -> list[Any]:
    """The dimensions of a side: what each is made of, or that it stands for any others."""
    found: list[Any] = []
    for match in _PART.finditer(side):
        if match["odd"]:
            _refuse(pattern, f"{match['odd']!r} does not belong there")
        words = [match["one"]] if match["group"] is None else match["group"].split()
        for word in words:
            if not _NAME.fullmatch(word):
                _refuse(pattern, f"{word!r} is no name, 1 or ...")
        found.append(_DOTS if match["one"] == _DOTS else [word for word in words if word != "1"])
    if str(found).count(_DOTS) > 1:
        _refuse(pattern, "... can stand once on a side")
    return found


def _spread(side: list[Any], others: list[str]) -> list[list[str]]:
    """The dimensions of a side with what ... stands for."""
    whole = [part for each in side for part in ([[name] for name in others] if each is _DOTS else [each])]
    return [[name for word in part for name in (others if word == _DOTS else [word])] for part in whole]


def _sizes(left: list[list[str]], shape: Sequence[int], given: dict[str, int], pattern: str) -> dict[str, int]:
    """The size of every name."""
    if unknown := given.keys() - {name for part in left for name in part}:
        _refuse(pattern, f"there is no {min(unknown)} in it")
    sizes = dict(given)
    for part, size in zip(left, shape):
        open_ends = [name for name in part if name not in given]
        known = math.prod([given[name] for name in part if name in given])
        if len(open_ends) > 1:
            _refuse(pattern, f"of {', '.join(open_ends)} all sizes but one must be given, as {open_ends[0]}=...")
        if open_ends:
            sizes[open_ends[0]] = size // known if known else 0
        if size != math.prod([sizes[name] for name in part]):
            _refuse(pattern, f"({' '.join(part)}) cannot be a dimension of size {size}, with {given}")
    return sizes
