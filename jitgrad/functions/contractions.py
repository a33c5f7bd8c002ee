"""Products of several tensors: how `einsum` reads its arguments and what becomes of them; chains of matrices, vector products."""

from __future__ import annotations

import functools
import math
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.functions.numeric import matmul
from jitgrad.functions.operands import taken
from jitgrad.functions.shaping import movedim, permute, reshape
from jitgrad.ops.movement import expand
from jitgrad.ops.movement import sum as sum_op
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.tensors.tensor import Tensor

Index = int | str
"""A letter or an int of the caller's, or a negative int for a dimension of an ellipsis, counted from the last one."""


def parsed(equation: Any, operands: Sequence[Any]) -> tuple[list[Tensor], list[list[Index]], list[Index]]:
    """Operands, the indices of their dimensions, and those of the result."""
    if isinstance(equation, str):
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = operands[0]
        terms, result = _of_text(equation)
    else:
        terms, operands, result = _of_lists((equation, *operands))
    tensors = [taken(x) for x in operands]
    if not tensors:
        raise ValueError("einsum: there are no operands")
    if len(tensors) != len(terms):
        raise RuntimeError(f"einsum: {len(terms)} terms for {len(tensors)} operands: each operand needs one, between commas")
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum takes tensors, not {type(x).__name__}")
    return tensors, *_spelled_out(tensors, terms, result)


def _of_text(equation: str) -> tuple[list[list[Any]], list[Any] | None]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    return [_letters(term, equation) for term in left.split(",")], _letters(right, equation) if arrow else None


def _letters(term: str, equation: str) -> list[Any]:
    before, dots, after = term.partition("...")
    for letter in before + after:
        if letter not in string.ascii_letters:
            raise RuntimeError(
                f"einsum: {letter!r} in {equation!r} is no index: indices are letters, with at most one ... a term"
            )
    return [*before, *([...] if dots else []), *after]


def _of_lists(given: Sequence[Any]) -> tuple[list[list[Any]], list[Any], list[Any] | None]:
    if len(given) < 2:
        raise ValueError("einsum takes an equation and operands, or operands and lists of indices in turns")
    result = [*given[-1]] if len(given) % 2 else None
    operands, terms = [*given[0 : len(given) // 2 * 2 : 2]], [[*term] for term in given[1::2]]
    for term in [*terms, *([result] if result is not None else [])]:
        for index in term:
            if index is not ... and not (isinstance(index, (int, np.integer)) and 0 <= index < 52):
                raise RuntimeError(f"einsum: indices in lists are ints from 0 to 51, or an ellipsis, not {index!r}")
    return terms, operands, result


def _spelled_out(
    tensors: list[Tensor], terms: list[list[Any]], result: list[Any] | None
) -> tuple[list[list[Index]], list[Index]]:
    """The ellipses as negative indices, and a result where none was given."""
    longest, spelled = 0, []
    for x, term in zip(tensors, terms):
        more = x.ndim - sum(index is not ... for index in term)
        if more < 0 or (more and ... not in term) or term.count(...) > 1:
            raise RuntimeError(
                f"einsum: a term has {len(term)} indices, and its operand of shape {list(x.shape)} has {x.ndim} dimensions: each "
                "needs an index, or one ellipsis stands for the others"
            )
        longest = max(longest, more * (... in term))
        spelled.append(_filled(term, more))
    if result is None:
        times = Counter(index for term in terms for index in term if index is not ...)
        result = [..., *sorted(index for index, n in times.items() if n == 1)]
    known = {index for term in spelled for index in term}
    named = [index for index in result if index is not ...]
    if len(set(named)) < len(named) or not known.issuperset(named) or result.count(...) > 1:
        raise RuntimeError("einsum: each index of the result must be one of the operands', and be there once")
    return spelled, _filled(result, longest)


def _filled(term: list[Any], count: int) -> list[Index]:
    return [index for item in term for index in (range(-count, 0) if item is ... else (item,))]


def contracted(tensors: list[Tensor], terms: list[list[Index]], result: list[Index]) -> Tensor:
    """The sum over all indices that are not in `result` of the products."""
    sizes = _sizes(tensors, terms)
    pairs = [_once(x, term) for x, term in zip(tensors, terms)]
    order = _order(tuple(tuple(x.shape) for x, _ in pairs), tuple(tuple(term) for _, term in pairs), tuple(result))
    for places in order:
        chosen = [pairs[i] for i in places]
        pairs = [pair for i, pair in enumerate(pairs) if i not in places]
        kept = {index for _, term in pairs for index in term}.union(result)
        pairs.append(functools.reduce(lambda one, two: _product(one, two, kept, sizes), chosen))
    x, term = _summed(*pairs[0], set(result))
    x, term = _summed(x, term, set(result))
    x = permute(x, [term.index(index) for index in result]) if term != result and term else x
    shape = tuple(sizes[index] for index in result)
    return x if tuple(x.shape) == shape else apply(expand, (x,), {"shape": shape})


def _sizes(tensors: list[Tensor], terms: list[list[Index]]) -> dict[Index, int]:
    sizes: dict[Index, int] = {}
    for x, term in zip(tensors, terms):
        for index, n in zip(term, x.shape):
            if sizes.setdefault(index, n) != n and 1 not in (n, sizes[index]):
                raise RuntimeError(f"einsum: index {index!r} stands for sizes {sizes[index]} and {n}")
            sizes[index] = n if sizes[index] == 1 else sizes[index]
    return sizes


def _once(x: Tensor, term: list[Index]) -> tuple[Tensor, list[Index]]:
    """The diagonals along dimensions that share an index."""
    for index in [index for index, n in Counter(term).items() if n > 1]:
        first, *others = (d for d, other in enumerate(term) if other == index)
        for d in reversed(others):
            x, term = _diagonal(x, first, d), term[:d] + term[d + 1 :]
    return x, term


def _diagonal(x: Tensor, first: int, second: int) -> Tensor:
    """The diagonal along two dimensions, as the first of them: every (n+1)-th element of their square."""
    n, rest = x.shape[first], [d for d in range(x.ndim) if d not in (first, second)]
    if x.shape[second] != n:
        raise RuntimeError(f"einsum: an index stands for sizes {n} and {x.shape[second]} of an operand of shape {list(x.shape)}")
    flat = reshape(permute(x, (*rest, first, second)), (*[x.shape[d] for d in rest], n * n))
    found = flat[..., :: n + 1]
    return permute(found, (*range(first), found.ndim - 1, *range(first, found.ndim - 1)))


@functools.lru_cache(maxsize=512)
def _order(shapes: tuple[tuple[int, ...], ...], terms: tuple[tuple[Index, ...], ...], result: tuple[Index, ...]) -> list[tuple]:
    """Which operands are multiplied first, as places in the list of what is left; results go to its end."""
    if len(shapes) < 3:
        return [tuple(range(len(shapes)))] if len(shapes) == 2 else []
    names: dict[Index, int] = {}
    given: list[Any] = []
    for shape, term in zip(shapes, terms):
        given += [np.broadcast_to(np.zeros(()), shape), [names.setdefault(index, len(names)) for index in term]]
    path, _ = np.einsum_path(*given, [names[index] for index in result], optimize="greedy")
    return [places for places in path[1:] if len(places) > 1]


def _summed(x: Tensor, term: list[Index], kept: set[Index]) -> tuple[Tensor, list[Index]]:
    """The sum over the indices that nobody asks for any more, in the dtype of the operand."""
    over = tuple(d for d, index in enumerate(term) if index not in kept)
    if not over:
        return x, term
    return apply(sum_op, (x,), {"dim": over, "keepdim": False}), [index for index in term if index in kept]


def _product(
    one: tuple[Tensor, list[Index]], two: tuple[Tensor, list[Index]], kept: set[Index], sizes: dict[Index, int]
) -> tuple[Tensor, list[Index]]:
    """The product of two as one of matrices: indices of both that are kept are the batch, the others of both the inner dimension.

    What stands in one only, or has size 1 in one, is no inner dimension: it is summed over before, or broadcasts.
    """
    (x, of_x), (y, of_y) = one, two
    x, of_x = _summed(x, of_x, kept.union(of_y))
    y, of_y = _summed(y, of_y, kept.union(of_x))
    both = [index for index in of_x if index in of_y]
    for index in [index for index in both if index not in kept]:
        n, m = x.shape[of_x.index(index)], y.shape[of_y.index(index)]
        if n != m:  # one is 1
            x, y = (
                v if v.shape[d] == 1 else v.sum(d, keepdim=True, dtype=v.dtype)
                for v, d in ((x, of_x.index(index)), (y, of_y.index(index)))
            )
    inner, batch = [index for index in both if index not in kept], [index for index in both if index in kept]
    left, right = [index for index in of_x if index not in both], [index for index in of_y if index not in both]
    x = _laid(x, of_x, batch, left, inner)
    y = _laid(y, of_y, batch, inner, right)
    of_left, of_right = [x.shape[len(batch) + i] for i in range(len(left))], list(y.shape[y.ndim - len(right) :])
    n = math.prod(x.shape[len(batch) + len(left) :])
    x = reshape(x, (*x.shape[: len(batch)], math.prod(of_left), n))
    y = reshape(y, (*y.shape[: len(batch)], n, math.prod(of_right)))
    out = matmul(x, y)
    return reshape(out, (*out.shape[: len(batch)], *of_left, *of_right)), [*batch, *left, *right]


def _laid(x: Tensor, term: list[Index], *groups: list[Index]) -> Tensor:
    order = [term.index(index) for group in groups for index in group]
    return permute(x, order) if order != sorted(order) else x


def product_of(matrices: Sequence[Tensor]) -> Tensor:
    """The product of matrices by the best order, which dynamic programming finds: the least of all places of the last product."""
    sizes = [matrices[0].shape[0], *[x.shape[1] for x in matrices]]
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(len(matrices))}
    for width in range(1, len(matrices)):
        for i in range(len(matrices) - width):
            j = i + width
            best[i, j] = min((best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j))

    def product(i: int, j: int) -> Tensor:
        k = best[i, j][1]
        return matrices[i] if i == j else matmul(product(i, k), product(k + 1, j))

    return product(0, len(matrices) - 1)


@in_single
def _crossed(x: Tensor, y: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    x, y = (movedim(v if tuple(v.shape) == shape else apply(expand, (v,), {"shape": shape}), dim, -1) for v in (x, y))
    turns = ([1, 2, 0], [2, 0, 1])
    return movedim(x[..., turns[0]] * y[..., turns[1]] - x[..., turns[1]] * y[..., turns[0]], -1, dim)


def crossed(what: str, input: Tensor, other: Tensor, dim: int) -> Tensor:
    """The vector product along a dimension, of tensors of as many dimensions."""
    if input.ndim != other.ndim:
        raise RuntimeError(
            f"{what}: the tensors must have as many dimensions, and their shapes are {list(input.shape)} and {list(other.shape)}"
        )
    dim = axis(dim, input.ndim)
    for x in (input, other):
        if x.shape[dim] != 3:
            raise RuntimeError(
                f"{what}: dimension {dim} must have size 3 in both, and the shapes are {list(input.shape)} and "
                f"{list(other.shape)}"
            )
    try:
        shape = np.broadcast_shapes(tuple(input.shape), tuple(other.shape))
    except ValueError:
        raise RuntimeError(f"{what}: shapes {list(input.shape)} and {list(other.shape)} do not broadcast") from None
    return _crossed(input, other, shape, dim)
