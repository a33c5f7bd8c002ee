"""What holds of every row of the op table under the transforms of functions. Adding a row adds its tests."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.cases import CASES, SMOOTH, Case, applied, close, converted, floating

ALL = [c._replace(operands=[converted(x, "int64") for x in c.operands]) if c.op.result == "integer" else c for c in CASES]
"""Every row on operands that it accepts."""


def rng(case: Case) -> np.random.Generator:
    return np.random.default_rng(sum(map(ord, repr(case))))


def examples(case: Case, count: int) -> list[list[np.ndarray]]:
    """For each operand, that many of its kind: in the domain where the first one is, arrays of indices permuted."""
    draw = rng(case)
    many = []
    for x in case.operands:
        if case.op.name in ("cholesky", "cholesky_pullback"):  # of matrices that are positive definite, and their factors
            many.append([x * (1 + k) for k in range(count)])
        elif x.dtype == np.float64:
            others = [draw.permuted(x.ravel()).reshape(x.shape) for _ in range(count - 1)]
            many.append([x, *[other + draw.uniform(-1e-3, 1e-3, x.shape) for other in others]])
        else:
            many.append([x, *[draw.permuted(x, axis=-1) if x.ndim else x for _ in range(count - 1)]])
    return many


def differentiated(case: Case) -> tuple[int, ...]:
    return tuple(i for i, x in enumerate(case.operands) if floating(x))


def loop(function: Any, many: list[list[np.ndarray]], mapped: tuple[int, ...], count: int) -> Any:
    """The function of each example by itself, stacked."""
    results = [function(*[jg.tensor(xs[k if i in mapped else 0]) for i, xs in enumerate(many)]) for k in range(count)]
    results = [r if isinstance(r, tuple) else (r,) for r in results]
    return [np.stack([np.asarray(part.detach().numpy()) for part in parts]) for parts in zip(*results)]


def stacked(many: list[list[np.ndarray]], mapped: tuple[int, ...], dim: int) -> tuple[list[jg.Tensor], tuple]:
    """The arguments and in_dims that say the same to vmap; a dimension that an operand does not have is the last."""
    dims = [min(dim, xs[0].ndim) if i in mapped else None for i, xs in enumerate(many)]
    args = [jg.tensor(xs[0] if d is None else np.stack(xs, axis=d)) for xs, d in zip(many, dims)]
    return args, tuple(dims)


def masks(count: int) -> list[tuple[int, ...]]:
    """Each operand alone, and all together."""
    return sorted({*[(i,) for i in range(count)], tuple(range(count))})


def gradient_of(case: Case) -> Any:
    weights = rng(case).uniform(0.5, 1.5, applied(case, [jg.tensor(x) for x in case.operands]).shape)
    return jg.grad(lambda *xs: (applied(case, xs) * jg.tensor(weights)).sum(), differentiated(case))


def compare(got: Any, want: list[np.ndarray], what: str, ulps: float = 64) -> None:
    got = got if isinstance(got, (tuple, list)) else (got,)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.dtype.numpy == b.dtype, what
        close(a.detach().numpy(), b, ulps, what, floor=16)


@pytest.mark.parametrize("case", ALL, ids=repr)
def test_vmap_is_a_loop_and_a_stack(case: Case) -> None:
    many = examples(case, 3)
    function = lambda *xs: applied(case, xs)
    for mapped, dim in itertools.product(masks(len(many)), (0, 1, -1)):
        args, dims = stacked(many, mapped, dim)
        want = loop(function, many, mapped, 3)
        compare(jg.vmap(function, dims)(*args), want, f"{case} {mapped} {dim}")
        last = [np.moveaxis(w, 0, -1) for w in want]
        compare(jg.vmap(function, dims, -1)(*args), last, f"{case} {mapped} {dim} out -1")


@pytest.mark.parametrize("case", ALL, ids=repr)
def test_vmap_of_vmap_is_two_loops(case: Case) -> None:
    rows, columns = 2, 3
    many = [[np.stack(xs[columns * r : columns * (r + 1)]) for r in range(rows)] for xs in examples(case, rows * columns)]
    inner = jg.vmap(lambda *xs: applied(case, xs))
    want = loop(inner, many, tuple(range(len(many))), rows)
    args, dims = stacked(many, tuple(range(len(many))), 0)
    compare(jg.vmap(inner, dims)(*args), want, f"{case}")
    if len(many) > 1:  # one operand along one dimension, the others along the other
        first, rest = [np.stack(many[0])[:, 0]], [np.stack(xs)[0] for xs in many[1:]]
        function = lambda *xs: applied(case, xs)
        crossed = jg.vmap(jg.vmap(function, (None, *[0] * len(rest))), (0, *[None] * len(rest)))
        got = crossed(jg.tensor(first[0]), *map(jg.tensor, rest)).numpy()
        for r, c in itertools.product(range(rows), range(columns)):
            one = function(jg.tensor(first[0][r]), *[jg.tensor(x[c]) for x in rest]).numpy()
            close(got[r, c], one, 64, f"{case} crossed", floor=16)


@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_vmap_of_the_gradient_and_gradient_of_vmap(case: Case) -> None:
    many = examples(case, 3)
    function = gradient_of(case)
    for mapped in masks(len(many)):
        args, dims = stacked(many, mapped, 0)
        compare(jg.vmap(function, dims)(*args), loop(function, many, mapped, 3), f"{case} {mapped}")
    args, dims = stacked(many, tuple(range(len(many))), 0)
    weights = jg.tensor(rng(case).uniform(0.5, 1.5, applied(case, [jg.tensor(x) for x in case.operands]).shape))
    outer = jg.grad(lambda *xs: (jg.vmap(lambda *ys: applied(case, ys) * weights, dims)(*xs)).sum(), differentiated(case))
    compare(outer(*args), loop(function, many, tuple(range(len(many))), 3), f"{case} gradient of vmap")


def tangents_of(case: Case) -> list[np.ndarray]:
    return [rng(case).uniform(-1, 1, x.shape) for x in case.operands if floating(x)]


def pushed(case: Case, operands: list, tangents: list) -> Any:
    """The value and its change along tangents of the floating operands."""
    where = differentiated(case)

    def function(*xs: Any) -> Any:
        given = iter(xs)
        return applied(case, [next(given) if i in where else x for i, x in enumerate(operands)])

    return jg.jvp(function, tuple(operands[i] for i in where), tuple(tangents))


@pytest.mark.quick
@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_jvp_is_the_limit_of_differences_and_the_transpose_of_the_gradient(case: Case) -> None:
    tangents = tangents_of(case)
    xs = [jg.tensor(x) for x in case.operands]
    value, change = pushed(case, xs, tangents)
    assert change.dtype is value.dtype
    assert not change.requires_grad
    want = jg.testing.jvp(lambda *xs: applied(case, xs), case.operands, _fill(case, tangents))[1]
    compare(change, [want.detach().numpy()], f"{case}", 1024)
    sides = []
    for step in (1e-6, -1e-6):
        moved = [x if t is None else np.asarray(x + step * t) for x, t in zip(case.operands, _fill(case, tangents))]
        sides.append(applied(case, [jg.tensor(x) for x in moved]).numpy())
    np.testing.assert_allclose(change.numpy(), (sides[0] - sides[1]) / 2e-6, rtol=1e-4, atol=1e-6)


def _fill(case: Case, tangents: list[np.ndarray]) -> list:
    given = iter(tangents)
    return [next(given) if floating(x) else None for x in case.operands]


@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_vmap_of_jvp_and_jvp_of_vmap(case: Case) -> None:
    many = examples(case, 3)
    where, draw = differentiated(case), rng(case)
    tangents = [[draw.uniform(-1, 1, many[i][0].shape) for _ in range(3)] for i in where]

    def function(*flat: Any) -> Any:
        return pushed(case, list(flat[: len(many)]), list(flat[len(many) :]))

    args, dims = stacked([*many, *tangents], tuple(range(len(many) + len(where))), 0)
    want = loop(function, [*many, *tangents], tuple(range(len(args))), 3)
    compare(jg.vmap(function, dims)(*args), want, f"{case} vmap of jvp", 256)
    fixed = {i: x for i, x in enumerate(args[: len(many)]) if i not in where}

    def mapped(*xs: Any) -> Any:
        given = iter(xs)
        return jg.vmap(lambda *ys: applied(case, ys))(*[fixed[i] if i in fixed else next(given) for i in range(len(many))])

    got = jg.jvp(mapped, tuple(args[i] for i in where), tuple(args[len(many) :]))
    compare(got, want, f"{case} jvp of vmap", 256)


@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_second_derivatives_agree_in_every_nesting(case: Case) -> None:
    where = tuple(range(len(differentiated(case))))
    places, fixed = differentiated(case), [jg.tensor(x) for x in case.operands]
    weights = jg.tensor(rng(case).uniform(0.5, 1.5, applied(case, fixed).shape))

    def function(*xs: Any) -> Any:
        given = iter(xs)
        return (applied(case, [next(given) if i in places else x for i, x in enumerate(fixed)]) ** 2 * weights).sum()

    xs = tuple(fixed[i] for i in places)
    ts = tuple(map(jg.tensor, tangents_of(case)))
    hessians = [a(b(function, where), where)(*xs) for a in (jg.jacfwd, jg.jacrev) for b in (jg.jacfwd, jg.jacrev)]
    for k, l in itertools.product(where, where):
        first = hessians[2][k][l].numpy()
        for other in hessians:
            close(other[k][l].detach().numpy(), first, 4096, f"{case} hessian {k} {l}", floor=64)
    products = jg.hvp(function, xs, ts)
    for k in where:
        product = products[k] if len(where) > 1 else products
        want = sum(np.tensordot(hessians[2][k][l].numpy(), ts[l].numpy(), ts[l].ndim) for l in where)
        close(product.numpy(), np.asarray(want), 4096, f"{case} hvp {k}", floor=64)


def everything(case: Case) -> Any:
    """vmap, its gradient, jvp and vmap of jvp of one row, as one function of stacked operands and their tangents."""
    where = differentiated(case)
    gradient = gradient_of(case)

    def function(*flat: Any) -> Any:
        xs, ts = flat[: len(case.operands)], flat[len(case.operands) :]
        results = [jg.vmap(lambda *ys: applied(case, ys))(*xs)]
        results += jg.vmap(gradient)(*xs)
        results += jg.vmap(lambda *both: pushed(case, list(both[: len(xs)]), list(both[len(xs) :])))(*xs, *ts)
        if where == tuple(range(len(xs))):
            results += jg.jvp(jg.vmap(gradient), tuple(xs), tuple(ts))[1]
        return results

    return function


@pytest.mark.parametrize("part", range(4))
def test_jit_of_the_transforms_gives_the_same(part: int) -> None:
    some = SMOOTH[part::4]
    flat = []
    for case in some:
        many, draw = examples(case, 3), rng(case)
        xs = [jg.tensor(np.stack(x)) for x in many]
        flat.append([*xs, *[jg.tensor(draw.uniform(-1, 1, xs[i].shape)) for i in differentiated(case)]])
    together = lambda flat: [everything(case)(*args) for case, args in zip(some, flat)]
    eager, compiled = together(flat), jg.jit(together)
    for name in ("interpreted", "jit"):
        with jg.sweep(name):
            results = compiled(flat)
        for case, got, want in zip(some, results, eager):
            compare(got, [np.asarray(w.numpy()) for w in want], f"{case} {name}", 1024)
