"""Products of several tensors: how `einsum` reads its arguments and what becomes of them; chains of matrices, vector products."""

from __future__ import annotations

import functools
import math
import operator
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad import dtypes
from jitgrad.functions.numeric import matmul
from jitgrad.functions.operands import taken
from jitgrad.functions.shaping import movedim
from jitgrad.ops.indexing import getitem
from jitgrad.ops.movement import expand
from jitgrad.ops.movement import permute as permute_op
from jitgrad.ops.movement import reshape as reshape_op
from jitgrad.ops.movement import sum as sum_op
from jitgrad.ops.shapes import axis
from jitgrad.record.apply import apply
from jitgrad.record.precision import in_single
from jitgrad.record.quick import quick_one
from jitgrad.tensors.tensor import Tensor

Index = int | str
"""A letter or an int of the caller's, or a negative int for a dimension of an ellipsis, counted from the last one."""
Term = tuple[Any, ...]
Terms = tuple[Term, ...]
Shapes = tuple[tuple[int, ...], ...]
Step = tuple[int, Callable, Any]
"""An operand by its place, a function that gives what it becomes, and the other argument of that, for products a place."""
_PRODUCTS = (matmul, operator.mul)
"""Where nothing is summed over, elements are multiplied: products of matrices with an inner dimension of 1 are slow."""


def summed_products(equation: Any, operands: Sequence[Any]) -> Tensor:
    """What `einsum` computes."""
    if isinstance(equation, str):
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = operands[0]
        terms, result = _of_text(equation)
    else:
        terms, operands, result = _of_lists((equation, *operands))
    tensors = [x if x.__class__ is Tensor else taken(x) for x in operands]
    if not tensors:
        raise ValueError("einsum: there are no operands")
    if len(tensors) != len(terms):
        raise RuntimeError(f"einsum: {len(terms)} terms for {len(tensors)} operands: each operand needs one, between commas")
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"einsum takes tensors, not {type(x).__name__}")
    steps, last = _planned(tuple([x._held.shape for x in tensors]), terms, result)
    for slot, step, argument in steps:
        if step in _PRODUCTS:
            tensors[slot] = step(*_even(tensors[slot], tensors[argument]))
        else:
            tensors[slot] = step(tensors[slot], argument)
    return tensors[last]


def _even(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Integers of which some are sums already, and wider than the others."""
    if x._held.dtype == y._held.dtype or x.dtype.has_gradient or y.dtype.has_gradient:
        return x, y
    common = dtypes.of(dtypes.promote(x._held.dtype, y._held.dtype))
    return x.to(common), y.to(common)


@functools.lru_cache(maxsize=512)
def _of_text(equation: str) -> tuple[Terms, Term | None]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    return tuple([_letters(term, equation) for term in left.split(",")]), _letters(right, equation) if arrow else None


def _letters(term: str, equation: str) -> Term:
    before, dots, after = term.partition("...")
    for letter in before + after:
        if letter not in string.ascii_letters:
            raise RuntimeError(
                f"einsum: {letter!r} in {equation!r} is no index: indices are letters, with at most one ... a term"
            )
    return (*before, *([...] if dots else []), *after)


def _of_lists(given: Sequence[Any]) -> tuple[Terms, list[Any], Term | None]:
    if len(given) < 2:
        raise ValueError("einsum takes an equation and operands, or operands and lists of indices in turns")
    result = tuple(given[-1]) if len(given) % 2 else None
    operands, terms = [*given[0 : len(given) // 2 * 2 : 2]], tuple([tuple(term) for term in given[1::2]])
    for term in (*terms, result or ()):
        for index in term:
            if index is not ... and not (isinstance(index, (int, np.integer)) and 0 <= index < 52):
                raise RuntimeError(f"einsum: indices in lists are ints from 0 to 51, or an ellipsis, not {index!r}")
    return terms, operands, result


def _spelled_out(shapes: Shapes, terms: Terms, result: Term | None) -> tuple[list[list[Index]], list[Index]]:
    """The ellipses as negative indices, and a result where none was given."""
    longest, spelled = 0, []
    for shape, term in zip(shapes, terms):
        more = len(shape) - sum(index is not ... for index in term)
        if more < 0 or (more and ... not in term) or term.count(...) > 1:
            raise RuntimeError(
                f"einsum: a term has {len(term)} indices, and its operand of shape {list(shape)} has {len(shape)} dimensions: "
                "each needs an index, or one ellipsis stands for the others"
            )
        longest = max(longest, more * (... in term))
        spelled.append(_filled(term, more))
    if result is None:
        times = Counter(index for term in terms for index in term if index is not ...)
        result = (..., *sorted(index for index, n in times.items() if n == 1))
    known = {index for term in spelled for index in term}
    named = [index for index in result if index is not ...]
    if len(set(named)) < len(named) or not known.issuperset(named) or result.count(...) > 1:
        raise RuntimeError("einsum: each index of the result must be one of the operands', and be there once")
    return spelled, _filled(result, longest)


def _filled(term: Term, count: int) -> list[Index]:
    return [index for item in term for index in (range(-count, 0) if item is ... else (item,))]


@functools.lru_cache(maxsize=512)
def _planned(shapes: Shapes, terms: Terms, result: Term | None) -> tuple[list[Step], int]:
    """What becomes of the operands, step by step, and in whose place the result is then."""
    spelled, wanted = _spelled_out(shapes, terms, result)
    plan = Plan(shapes, spelled)
    sizes = plan.sizes()
    for slot in range(len(shapes)):
        plan.take_diagonals(slot)
    left = [*range(len(shapes))]
    for places in _order(plan.shapes, plan.terms, wanted):
        first, *others = chosen = [left[i] for i in places]
        left = [slot for slot in left if slot not in chosen]
        kept = {index for slot in left for index in plan.terms[slot]}.union(wanted)
        for k, other in enumerate(others):
            plan.multiply(first, other, kept.union(*[plan.terms[slot] for slot in others[k + 1 :]]))
        left.append(first)
    plan.sum(left[0], set(wanted))
    term = plan.terms[left[0]]
    plan.permute(left[0], [term.index(index) for index in wanted])
    shape = tuple(sizes[index] for index in wanted)
    if plan.shapes[left[0]] != shape:
        plan.steps.append((left[0], lambda x, params: apply(expand, (x,), params), {"shape": shape}))
    return plan.steps, left[0]


class Plan:
    """Shapes and indices of operands, and the steps that are to be taken with them."""

    def __init__(self, shapes: Shapes, terms: list[list[Index]]) -> None:
        self.shapes, self.terms, self.steps = [*shapes], terms, list[Step]()

    def sizes(self) -> dict[Index, int]:
        """The size that each index stands for."""
        sizes: dict[Index, int] = {}
        for shape, term in zip(self.shapes, self.terms):
            for index, n in zip(term, shape):
                if sizes.setdefault(index, n) != n and 1 not in (n, sizes[index]):
                    raise RuntimeError(f"einsum: index {index!r} stands for sizes {sizes[index]} and {n}")
                sizes[index] = n if sizes[index] == 1 else sizes[index]
        return sizes

    def permute(self, slot: int, order: list[int]) -> None:
        """Bring dimensions and their indices into an order."""
        if order == sorted(order):
            return
        self.steps.append((slot, _permute, {"dims": tuple(order)}))
        self.terms[slot] = [self.terms[slot][d] for d in order]
        self.shapes[slot] = tuple(self.shapes[slot][d] for d in order)

    def reshape(self, slot: int, shape: tuple[int, ...]) -> None:
        """Give an operand a shape."""
        if self.shapes[slot] != shape:
            self.steps.append((slot, _reshape, {"shape": shape}))
            self.shapes[slot] = shape

    def take_diagonals(self, slot: int) -> None:
        """Make one dimension of those that share an index: of two, every (n+1)-th element of the square that they are."""
        term = self.terms[slot]
        for index in [index for index, n in Counter(term).items() if n > 1]:
            first, *others = (d for d, other in enumerate(term) if other == index)
            n = self.shapes[slot][first]
            for d in reversed(others):
                if self.shapes[slot][d] != n:
                    raise RuntimeError(f"einsum: an index stands for sizes {n} and {self.shapes[slot][d]} of one operand")
                self.permute(slot, [*[e for e in range(len(self.terms[slot])) if e not in (first, d)], first, d])
                kept = self.terms[slot][:-1]
                self.reshape(slot, (*self.shapes[slot][:-2], n * n))
                self.steps.append((slot, _every, n + 1))
                self.terms[slot], self.shapes[slot] = kept, (*self.shapes[slot][:-1], n)
                self.permute(slot, [*range(first), len(kept) - 1, *range(first, len(kept) - 1)])

    def sum(self, slot: int, kept: set[Index]) -> None:
        """Add up over the indices that nobody asks for any more."""
        over = tuple(d for d, index in enumerate(self.terms[slot]) if index not in kept)
        if over:
            self.steps.append((slot, _sum, {"dim": over, "keepdim": False}))
            self.shapes[slot] = tuple(n for d, n in enumerate(self.shapes[slot]) if d not in over)
            self.terms[slot] = [index for index in self.terms[slot] if index in kept]

    def multiply(self, one: int, two: int, kept: set[Index]) -> None:
        """The product of two, in the place of the first: what both have and is kept is the batch, what else both have the inner
        dimension. What one has alone is summed over before, or has size 1 in the other."""
        self.sum(one, kept.union(self.terms[two]))
        self.sum(two, kept.union(self.terms[one]))
        self._make_even(one, two, kept)
        of_x, of_y = self.terms[one], self.terms[two]
        both = [index for index in of_x if index in of_y]
        inner, batch = [index for index in both if index not in kept], [index for index in both if index in kept]
        left, right = [index for index in of_x if index not in both], [index for index in of_y if index not in both]
        self.permute(one, [of_x.index(index) for index in (*batch, *left, *inner)])
        self.permute(two, [of_y.index(index) for index in (*batch, *inner, *right)])
        b, (x, y) = len(batch), (self.shapes[one], self.shapes[two])
        rows, columns, n = x[b : b + len(left)], y[b + len(inner) :], math.prod(y[b : b + len(inner)])
        self.reshape(one, (*x[:b], math.prod(rows), n))
        self.reshape(two, (*y[:b], n, math.prod(columns)))
        self.steps.append((one, matmul if inner else operator.mul, two))
        lead = np.broadcast_shapes(x[:b], y[:b])
        self.shapes[one] = (*lead, math.prod(rows), math.prod(columns))
        self.reshape(one, (*lead, *rows, *columns))
        self.terms[one] = [*batch, *left, *right]

    def _make_even(self, one: int, two: int, kept: set[Index]) -> None:
        """Where an index that is summed over has size 1 in one of two, sum over it in the other."""
        for index in [index for index in self.terms[one] if index in self.terms[two] and index not in kept]:
            for slot, other in ((one, two), (two, one)):
                d, n = self.terms[slot].index(index), self.shapes[other][self.terms[other].index(index)]
                if n == 1 != self.shapes[slot][d]:
                    self.steps.append((slot, _sum, {"dim": (d,), "keepdim": True}))
                    self.shapes[slot] = (*self.shapes[slot][:d], 1, *self.shapes[slot][d + 1 :])


_permute, _reshape, _part = quick_one(permute_op), quick_one(reshape_op), quick_one(getitem)


def _sum(x: Tensor, params: dict[str, Any]) -> Tensor:
    """Over dimensions of one operand: integers and bools add up in int64, as those of `sum`."""
    return apply(sum_op, (x if x.dtype.has_gradient else x.to(np.int64),), params)


def _every(x: Tensor, step: int) -> Tensor:
    return _part(x, {"index": (..., slice(None, None, step))})


def _order(shapes: list[tuple[int, ...]], terms: list[list[Index]], result: list[Index]) -> list[tuple]:
    """Which operands are multiplied first, as places in the list of what is left; results go to its end."""
    if len(shapes) < 3:
        return [(0, 1)] if len(shapes) == 2 else []
    names: dict[Index, int] = {}
    given: list[Any] = []
    for shape, term in zip(shapes, terms):
        given += [np.broadcast_to(np.zeros(()), shape), [names.setdefault(index, len(names)) for index in term]]
    path, _ = np.einsum_path(*given, [names[index] for index in result], optimize="greedy")
    return [places for places in path[1:] if len(places) > 1]


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
