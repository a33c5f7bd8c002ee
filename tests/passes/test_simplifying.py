"""What `simplify` makes of tapes: the same results, errors included, from fewer and cheaper rows."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as jg

rng = np.random.default_rng(0)
X = jg.tensor(rng.standard_normal((6, 5)))
INDEX = jg.tensor(rng.integers(0, 5, (6, 1)))
PART = jg.tensor(rng.standard_normal((6, 1)))


def same(function, *args):
    """The names of the rows that are left, after comparing the results with those without jit."""
    compiled = jg.jit(function)
    np.testing.assert_allclose(compiled(*args).numpy(), function(*args).numpy(), rtol=1e-12, atol=1e-15)
    (entry,) = compiled._compiled.values()
    return [row.op.name for row in entry.simplified().rows]


def test_changes_of_shape_are_merged():
    assert same(lambda x: x.reshape(5, 6).reshape(30).reshape(6, 5) * 2, X).count("reshape") == 0
    assert same(lambda x: x.reshape(5, 6).reshape(30) * 2, X).count("reshape") == 1
    assert same(lambda x: x.T.T * 2, X).count("permute") == 0
    assert same(lambda x: x.reshape(2, 3, 5).permute(2, 0, 1).permute(1, 0, 2).exp(), X).count("permute") == 1


def test_elements_are_read_from_what_is_there():
    log_softmax = lambda x, i: jg.gather(x.log_softmax(1), 1, i).sum()
    assert same(log_softmax, X, INDEX).count("where") == 1
    gradient = jg.jit(jg.grad(log_softmax))
    for x in (X, X * 100, X - 1e4):
        np.testing.assert_allclose(gradient(x, INDEX).numpy(), jg.grad(log_softmax)(x, INDEX).numpy(), rtol=1e-9, atol=1e-15)
    assert same(lambda x, i: jg.gather((x * x).sin() + x.sum(1, keepdim=True), 1, i), X, INDEX).count("sin") == 1
    same(lambda x, i: jg.gather(x.exp() * X.cos() - X.mean(0), 1, i), X, INDEX)  # varies along the dimension by itself
    same(lambda x, i: jg.gather(x * 2, 0, i), X, jg.tensor([[1, 5, 0, 2, 2]]))
    same(lambda x, i: jg.gather(x[:, :1].expand(6, 5) * 3, 1, i), X, INDEX)


def test_a_long_way_to_the_elements_is_not_gone_twice():
    def chain(x, i):
        for _ in range(60):
            x = x * x.cos() + x
        return jg.gather(x * 1e-3, 1, i)

    same(chain, X * 0.1, INDEX)


def put(x, i, part):
    """Zeros in the shape of x, with `part` at the places of the index: what a reverse sweep makes of `gather`."""
    return jg.grad(lambda x: (jg.gather(x, 1, i) * part).sum())(x)


def test_one_number_put_among_zeros_and_summed_is_that_number():
    assert same(lambda x, i, p: put(x, i, p).sum(1), X, INDEX, PART).count("sum") == 0
    same(lambda x, i, p: put(x, i, p).sum(0), X, INDEX, PART)
    same(lambda x, i, p: put(x, i, p).sum(), X, INDEX, PART)
    same(lambda x, i, p: put(x, i, p).sum(1, keepdim=True) * 2, X, INDEX, PART)
    same(lambda x, i, p: (put(x, i, p) + x).sum(1), X, INDEX, PART)
    same(lambda x, i, p: jg.scatter_add(x, 1, i, p).sum(1), X, INDEX, PART)


@pytest.mark.parametrize("bad", [5, -1, -6])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, i, p: put(x, i, p).sum(1),
        lambda x, i, p: jg.gather(x.exp() * 2, 1, i),
        lambda x, i, p: jg.gather(x[:, :1].expand(6, 5) * 3, 1, i),
        lambda x, i, p: jg.grad(lambda x: jg.gather(x.log_softmax(1), 1, i).sum())(x),
    ],
)
def test_an_index_out_of_bounds_stays_an_error(function, bad):
    index = INDEX.clone()
    index[3] = bad
    with pytest.raises(RuntimeError, match="out of range"):
        function(X, index, PART)
    with pytest.raises(IndexError, match="out of bounds"):
        jg.jit(function)(X, index, PART)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_cross_entropy_of_many_classes(dtype):
    x = jg.tensor(rng.standard_normal((3, 40_000))).to(getattr(jg, dtype))
    classes = jg.tensor([7, 39_999, 0])
    loss = lambda x: jg.cross_entropy(x, classes)
    value, gradient = jg.jit(jg.value_and_grad(loss))(x)
    exact, expected = jg.value_and_grad(loss)(x.double())
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(value.numpy(), exact.numpy(), rtol=4 * eps)
    np.testing.assert_allclose(gradient.numpy(), expected.numpy(), rtol=50 * eps, atol=6e-8 if dtype == "float16" else 0)


def test_cross_entropy_goes_into_native_functions():
    classes = jg.tensor([2, 0, 4, 1, 1, 3])
    compiled = jg.value_and_grad(jg.cross_entropy).compile(X, classes)
    for found, expected in zip(compiled(X, classes), jg.value_and_grad(jg.cross_entropy)(X, classes)):
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12)
    with pytest.raises(IndexError, match="index that is out of bounds"):
        compiled(X, classes + 1)
    text = jg.jit(jg.cross_entropy).source(X, classes)
    assert "within" in text
    compile(text, "source", "exec")


def test_parts_of_single_elements_and_broadcast_values_go_into_native_functions():
    def single(x):
        y = jg.cat([x[:1] * 2, x[:0]])
        z = jg.zeros_like(y)
        z[0] += y[0] * 3
        return (z.flip(0) + jg.nn.functional.pad(x[1:2], (0, 0)) if hasattr(jg, "nn") else z.flip(0)).sum()

    def broadcast(x, i):
        y = x * 1
        y[i] += x[0]
        y[1:3] = x[3]
        y[i[:1]] = 7.0
        return (y * y).sum()

    x, i = jg.tensor(rng.standard_normal(5)), jg.tensor([4, 0])
    for function, args in ((single, (x,)), (broadcast, (x, i))):
        value, gradient = jg.value_and_grad(function)(*args)
        for call in (jg.jit(jg.value_and_grad(function)), jg.value_and_grad(function).compile(*args)):
            found = call(*args)
            np.testing.assert_allclose(np.asarray(found[0].detach()), value.numpy(), rtol=1e-12)
            np.testing.assert_allclose(np.asarray(found[1].detach()), gradient.numpy(), rtol=1e-12)


def test_a_unit_matrix_in_another_shape_is_none():
    x = jg.arange(16.0).reshape(4, 2, 2) + 1

    def f(x):
        return x @ jg.jacrev(lambda y: y)(x[0].reshape(4)).reshape(4, 2, 2)

    assert jg.jit(f)(x).tolist() == f(x).tolist()
