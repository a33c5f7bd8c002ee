"""Sparse Jacobians and Hessians, and implicit differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse

import jitgrad as jg
from jitgrad.func.sparse import Compression, pattern_of
from tests.helpers.cases import SMOOTH, Case, applied, floating


def data(*shape, seed=0):
    return jg.tensor(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.quick
@pytest.mark.parametrize("case", SMOOTH, ids=repr)
def test_the_pattern_holds_every_element_that_is_not_zero(case: Case) -> None:
    xs = [jg.tensor(x) for x in case.operands]
    for i, x in enumerate(case.operands):
        if not floating(x):
            continue
        function = lambda *ys: applied(case, ys)
        pattern = jg.jacobian_sparsity(function, *xs, argnum=i).toarray()
        dense = jg.jacrev(function, i)(*xs).numpy().reshape(pattern.shape)
        assert not (dense != 0)[~pattern].any()
        if case.op.kind in ("movement", "cat", "index", "matmul") or case.op.name in ("sum", "mean"):
            assert ((dense != 0) == pattern).all(), "these can be known exactly"


FUNCTIONS = {
    "tridiagonal": lambda x: 3 * x[1:-1] ** 2 - x[:-2] * x[2:],
    "diagonal": lambda x: x.sin() * x,
    "gathered": lambda x: x[jg.tensor([0, 3, 3, 7])] * x[1],
    "written": lambda x: _with(x),
    "blocks": lambda x: (x.reshape(3, 4) @ jg.ones(4, 2, dtype=jg.float64)) ** 2,
    "an arrow": lambda x: jg.cat([x[1:] * x[0], x.sum().reshape(1)]),
    "constant": lambda x: jg.ones(3, dtype=jg.float64),
    "chosen": lambda x: jg.where(x > 0, x.flip(0), x),
    "by a value": lambda x: x[x.argmax()] * x[:2],
    "softmax of rows": lambda x: x.reshape(3, 4).softmax(1).T,
    "custom": lambda x: _cube(x),
}


def _with(x):
    y = x * 2
    y[2:4] = x[:2] ** 2
    y[5] += x[0]
    return y


@jg.custom_vjp
def _cube(x):
    return x**3


_cube.defvjp(lambda x: (_cube(x), x), lambda x, g: (3 * x * x * g,))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sparse_jacobians_are_the_dense_ones(name):
    f, x = FUNCTIONS[name], data(12)
    dense = jg.jacrev(f)(x).numpy()
    dense = dense.reshape(-1, 12)
    pattern = jg.jacobian_sparsity(f, x)
    assert not (dense != 0)[~pattern.toarray()].any()
    for g in (f, jg.jit(f)):
        for way in (jg.jacfwd, jg.jacrev):
            for chunk in (None, 2):
                sparse = way(g, sparsity=pattern, chunk_size=chunk)
                for _ in range(2):
                    found = sparse(x)
                    assert isinstance(found, scipy.sparse.csr_matrix)
                    assert found.dtype == np.float64
                    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12, atol=1e-14)


def test_sweeps_are_as_many_as_colours():
    x = data(500)
    f = FUNCTIONS["tridiagonal"]
    compression = Compression(pattern_of(jg.jacobian_sparsity(f, x)))
    assert compression.colours.max() == 2
    assert compression.seeds(np.dtype(float)).shape == (3, 500)
    loss = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    pattern = jg.hessian_sparsity(loss, x)
    assert pattern.nnz == 3 * 500 - 2
    found = jg.hessian(loss, sparsity=pattern)(x)
    np.testing.assert_allclose(found.toarray(), jg.hessian(loss)(x).numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("way", [jg.jacfwd, jg.jacrev])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_finds_the_same_dense_jacobian_in_fewer_sweeps(name, way):
    f, x = FUNCTIONS[name], data(12)
    dense = way(f)(x).numpy()
    for g in (jg.jit(way(f)), jg.jit(way(f, chunk_size=2))):
        found = g(x)
        np.testing.assert_allclose(found.numpy(), dense, rtol=1e-12, atol=1e-14)
    many = jg.stack([x, 2 * x, x.flip(0)])
    batched = jg.jit(jg.vmap(way(f)))(many)
    for k in range(3):
        np.testing.assert_allclose(batched[k].numpy(), way(f)(many[k]).numpy(), rtol=1e-12, atol=1e-14)


def swept(function, *args):
    """How many tangents or cotangents a Jacobian under jit carries: from the shapes of the constants on its tape."""
    compiled = jg.jit(function)
    compiled(*args)
    (entry,) = compiled._compiled.values()
    return [row.shape[0] for row in entry.simplified().rows if row.op.name == "const" and row.ndim == 2]


def test_sweeps_under_jit_are_as_many_as_colours():
    x = data(30)
    loss = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    assert swept(jg.hessian(loss), x) == [3]
    assert swept(jg.jacrev(FUNCTIONS["tridiagonal"]), x) == [3]
    assert swept(jg.jacfwd(lambda x: x * x.sum()), x) == [30], "nothing to be saved"
    assert swept(jg.jacfwd(lambda x, i: x[i] * 2), x, jg.arange(30)) == [30], "the index may differ at the next call"
    pick = jg.jit(jg.jacfwd(lambda x, i: x[i] * 2))
    assert pick(x, jg.arange(30)).numpy().diagonal().tolist() == [2.0] * 30
    assert pick(x, jg.zeros(30, dtype=jg.int64)).numpy()[:, 0].tolist() == [2.0] * 30


def test_third_derivatives_go_through_a_compressed_hessian():
    x, loss = data(20), lambda x: (x[1:] ** 3 * x[:-1]).sum()
    third = lambda x: (jg.hessian(loss)(x) ** 2).sum()
    np.testing.assert_allclose(jg.jit(jg.grad(third))(x).numpy(), jg.grad(third)(x).numpy(), rtol=1e-11)


def test_a_product_with_the_unit_matrix_is_not_computed():
    a = data(40, 30)
    compiled = jg.jit(jg.jacfwd(lambda x: (a @ x).sin()))
    np.testing.assert_allclose(compiled(data(30)).numpy(), (data(30) @ a.T).cos().numpy()[:, None] * a.numpy(), rtol=1e-12)
    (entry,) = compiled._compiled.values()
    assert [row.op.name for row in entry.simplified().rows].count("matmul") == 1


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5])
def test_colours_tell_columns_apart(density):
    pattern = scipy.sparse.random(40, 30, density, "csr", random_state=0) != 0
    found = pattern_of(pattern).colours()
    for row in pattern.toarray():
        used = found[row]
        assert len(set(used)) == len(used)


X = data(3)
WRONG = [
    (lambda: jg.jacfwd(lambda x: x * x, sparsity=np.eye(2))(X), ValueError, r"shape \[2, 2\], and the Jacobian has \[3, 3\]"),
    (lambda: jg.jacfwd(lambda x: x, (0,), sparsity=np.eye(3))(X), TypeError, "argnums must be one int"),
    (lambda: jg.jacfwd(lambda x: (x, x), sparsity=np.eye(3))(X), TypeError, "result must be one tensor"),
    (lambda: jg.jit(jg.jacfwd(lambda x: x, sparsity=np.eye(3)))(X), RuntimeError, "cannot be traced"),
    (lambda: jg.jacobian_sparsity(lambda x: (x, x), X), TypeError, "must return one tensor"),
    (lambda: jg.jacobian_sparsity(lambda x: x, jg.tensor([1])), TypeError, "argument 0 is int64"),
    (
        lambda: jg.func.implicit_root(lambda x, a: x[:1], lambda a: a)(X.clone().requires_grad_()).sum().backward(),
        ValueError,
        r"the residual has shape \[1\], and what solve returned has \[3\]",
    ),
]


@pytest.mark.quick
@pytest.mark.parametrize(("call", "error", "match"), WRONG)
def test_wrong_use_is_told(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_implicit_differentiation_of_a_root():
    def residual(x, p, scale=2):
        return x**3 + p["a"] * x - p["b"] * scale

    def solve(p, scale=2):
        a, b = p["a"].numpy(), p["b"].numpy()
        return scipy.optimize.root(lambda x: x**3 + a * x - b * scale, np.ones(3), tol=1e-14).x

    root = jg.func.implicit_root(residual, solve)
    p = {"a": data(3).abs() + 1, "b": data(3, seed=1)}

    def explicit(p):  # Newton steps, recorded
        x = jg.ones(3, dtype=jg.float64)
        for _ in range(40):
            x = x - residual(x, p) / (3 * x * x + p["a"])
        return x

    np.testing.assert_allclose(root(p).numpy(), explicit(p).numpy(), rtol=1e-9)
    for way in (jg.jacrev, jg.jacfwd):
        got, want = way(root)(p), way(explicit)(p)
        for name in "ab":
            np.testing.assert_allclose(got[name].numpy(), want[name].numpy(), rtol=1e-7, atol=1e-9)
    weigh = lambda f: jg.grad(lambda b: (jg.grad(lambda b: (f({"a": p["a"], "b": b}) ** 2).sum())(b) ** 2).sum())(p["b"])
    np.testing.assert_allclose(weigh(root).numpy(), weigh(explicit).numpy(), rtol=1e-6, atol=1e-9)


def test_implicit_differentiation_of_a_fixed_point():
    matrix = data(3, 3) * 0.2
    step = lambda x, m, c: (m @ x).tanh() + c

    def iterate(m, c):
        x = c
        for _ in range(100):
            x = step(x, m, c)
        return x

    point = jg.func.implicit_fixed_point(step, iterate)
    got = jg.grad(lambda m, c: (point(m, c) ** 2).sum(), (0, 1))(matrix, X)
    want = jg.grad(lambda m, c: (iterate(m, c) ** 2).sum(), (0, 1))(matrix, X)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)
    loss = lambda m, c: (point(m, c) ** 2).sum()
    many = jg.stack([X, 2 * X])
    batched = jg.jit(jg.vmap(jg.grad(loss), (None, 0)))(matrix, many)
    for k in range(2):
        np.testing.assert_allclose(batched[k].numpy(), jg.grad(loss)(matrix, many[k]).numpy(), rtol=1e-9, atol=1e-12)
