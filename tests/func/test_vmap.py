"""vmap: where examples stand, what is shared, nests, random numbers, chunks, and what wrong use is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import LeakedTraceError, TracedValueError


def data(*shape: int, seed: int = 0) -> jg.Tensor:
    return jg.tensor(np.random.default_rng(seed).standard_normal(shape))


def same(got: Any, want: Any) -> None:
    got, want = got.detach().numpy(), np.asarray(want.detach().numpy() if isinstance(want, jg.Tensor) else want)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def looped(function, *args, dims):
    """What vmap gives, by a loop."""
    size = next(x.shape[d] for x, d in zip(args, dims) if d is not None)
    take = lambda x, d, k: x if d is None else x.select(d, k)
    return jg.stack([function(*[take(x, d, k) for x, d in zip(args, dims)]) for k in range(size)])


I = np.array([2, 0])
J = np.array([[1, 0], [0, 1]])

# Functions of an x of shape (3, 4, 2), an index i below 2 of shape (2, 2) and a y of shape (4, 2).
INDEXING = {
    "array": lambda x, i, y: x[i],
    "array behind a slice": lambda x, i, y: x[:, i],
    "array at the end": lambda x, i, y: x[..., i],
    "two arrays beside each other": lambda x, i, y: x[:, i, i[0]],
    "two arrays apart": lambda x, i, y: x[i, :, i],
    "two arrays apart, one shared": lambda x, i, y: x[i, :, I % 2],
    "shared arrays apart": lambda x, i, y: x[J, :, J],
    "shared array": lambda x, i, y: x[:, J],
    "array and None and an int": lambda x, i, y: x[i, None, 1],
    "one element": lambda x, i, y: x[i[0, 0]],
    "one element and a slice": lambda x, i, y: x[:, i[0, 1], 1:],
    "elements by two traced numbers": lambda x, i, y: x[i[0, 0], :, i[1, 1]],
    "of a shared tensor": lambda x, i, y: y[i] * x[0, 0, 0],
    "of a shared tensor, behind a slice": lambda x, i, y: y[:, i] * x[0, 0, 0],
    "of a shared tensor, apart": lambda x, i, y: y[:, None][i, :, i] + x[0, 0, 0],
    "slices": lambda x, i, y: x[1:, ::2, None, -1],
    "take_along_dim": lambda x, i, y: x[0].gather(0, i),
    "gather of a shared tensor": lambda x, i, y: y.gather(1, i) + x[0, 0, 0],
    "scatter_add": lambda x, i, y: y.scatter_add(0, i, x[0]),
    "written": lambda x, i, y: _written(x, (slice(None), 1), y[1]),
    "written by an array": lambda x, i, y: _written(x + 0.0 * i.sum(), (i[0],), y),
    "written by arrays apart": lambda x, i, y: _written(x + 0.0 * i.sum(), (i[0], slice(None), i[1]), y[:2, :1].expand(2, 4)),
    "added to": lambda x, i, y: _written(x * 1, (1,), x[1] + y),
    "a number written": lambda x, i, y: _written(x + 0.0 * i.sum(), (slice(None), i[0, 0]), 3.0),
}


def _written(x, index, value):
    x = x.clone()
    x[index] = value
    return x


@pytest.mark.parametrize("name", INDEXING)
def test_indexing(name):
    function = INDEXING[name]
    x, y = data(5, 3, 4, 2), data(4, 2, seed=1)
    i = jg.tensor(np.random.default_rng(2).permuted(np.array([[[0, 1], [1, 0]]] * 5), axis=2))
    for dims in ((0, 0), (0, None), (None, 0)):
        given = [v if d == 0 else v[0] for v, d in zip((x, i), dims)]
        compare_ways(
            lambda x, y, i=given[1], dims=dims: jg.vmap(lambda x, i: function(x, i, y), dims)(x, i),
            lambda x, y, i=given[1], dims=dims: looped(lambda x, i: function(x, i, y), x, i, dims=dims),
            given[0],
            y,
        )


def compare_ways(one, other, *args):
    """Two functions of tensors, and the gradients of a sum of squares of their results."""
    same(one(*args), other(*args))
    squares = [jg.grad(lambda *xs, f=f: (f(*xs) ** 2).sum(), tuple(range(len(args)))) for f in (one, other)]
    for a, b in zip(squares[0](*args), squares[1](*args)):
        same(a, b)


@pytest.mark.parametrize("left", [(4,), (3, 4), (2, 3, 4), (1, 4)], ids=str)
@pytest.mark.parametrize("right", [(4,), (4, 3), (2, 4, 3), (4, 1)], ids=str)
def test_products(left, right):
    x, y = data(6, *left), data(6, *right, seed=1)
    for dims in ((0, 0), (0, None), (None, 0)):
        args = [v if d == 0 else v[0] for v, d in zip((x, y), dims)]
        want = looped(jg.matmul, *args, dims=dims)
        same(jg.vmap(jg.matmul, dims)(*args), want)
        same(jg.jit(jg.vmap(jg.matmul, dims))(*args), want)


ZERO_D = {
    "softmax": lambda x: x.softmax(0),
    "cumsum": lambda x: x.cumsum(0),
    "sum": lambda x: x.sum(),
    "max": lambda x: x.max(),
    "mean over nothing": lambda x: x.mean(dim=()),
    "argmax": lambda x: x.argmax(),
    "norm": lambda x: x.norm(),
    "log_softmax": lambda x: x.log_softmax(-1),
    "var": lambda x: x.var(correction=0),
    "prod": lambda x: x.prod(),
    "kept": lambda x: x.sum(keepdim=True),
    "reshape": lambda x: x.reshape(1, 1),
    "expand": lambda x: x.expand(3),
    "transpose": lambda x: x.T,
    "unsqueeze": lambda x: x.unsqueeze(0),
    "new shape": lambda x: x[None],
    "logsumexp": lambda x: x.logsumexp(0),
    "stack": lambda x: jg.stack([x, 2 * x]),
    "sort of": lambda x: x.amin(),
}


@pytest.mark.parametrize("name", ZERO_D)
def test_numbers(name):
    x = data(5)
    same(jg.vmap(ZERO_D[name])(x), looped(ZERO_D[name], x, dims=(0,)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(),
        lambda x: x * 2,
        lambda x: x @ x,
        lambda x: x.softmax(0),
        lambda x: x[jg.tensor([0, 1])],
        lambda x: x.cumsum(0)[1:],
    ],
)
def test_no_examples(function):
    out = jg.vmap(function)(jg.zeros(0, 3))
    assert out.shape == (0, *function(jg.zeros(3)).shape)
    assert jg.vmap(jg.grad(lambda x: (function(x) ** 2).sum()))(jg.zeros(0, 3)).shape == (0, 3)


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = "layer"


def test_nested_arguments_and_results():
    x = data(4, 3)
    function = lambda tree: {"sum": [tree["p"].a + tree["q"][0]], "pair": Pair(tree["p"].b, tree["q"][1] * tree["p"].a)}
    tree = {"p": Pair(x, data(4, seed=1)), "q": (x[0], 2.0)}
    out = jg.vmap(function, ({"p": 0, "q": None},), {"sum": 1, "pair": Pair(0, -1)})(tree)
    same(out["sum"][0], (x + x[0]).T)
    same(out["pair"].a, tree["p"].b)
    same(out["pair"].b, (2 * x).T)


def test_dataclasses():
    layer = Layer(data(3, 2), data(2, seed=1))
    f = lambda layer, x: (x @ layer.weight + layer.bias).tanh().sum()
    dims = Layer(None, None, None)
    x = data(5, 3, seed=2)

    def of_parts(layer, x):
        return jg.grad(lambda w, b: f(Layer(w, b, layer.name), x), (0, 1))(layer.weight, layer.bias)

    got = jg.vmap(of_parts, (dims, 0))(layer, x)
    assert got[0].shape == (5, 3, 2)
    same(got[1].sum(0), jg.grad(lambda b: jg.vmap(lambda x: f(Layer(layer.weight, b), x))(x).sum())(layer.bias))

    @dataclass
    class Model:
        first: Layer
        scale: Any

    weights = Model(Layer(data(3, 2), data(2), 0.0), 2.0)
    loss = lambda m, x: f(m.first, x) * m.scale
    gradient = jg.grad(loss)(weights, x[0])
    assert isinstance(gradient, Model)
    assert isinstance(gradient.first, Layer)
    compiled = jg.jit(jg.grad(loss))
    for _ in range(3):
        again = compiled(weights, x[0])
        assert isinstance(again.first, Layer)
        same(again.first.weight, gradient.first.weight)
    assert jg.jit(lambda m: Layer(m.scale * 2, m.first))(weights).bias.name is not None


def test_shared_arguments_are_handed_on():
    seen = []
    jg.vmap(lambda x, s, n, t: seen.append((s, n, t)) or x, (0, None, None, None))(data(2), "text", 3, data(2))
    assert seen[0][:2] == ("text", 3)
    assert seen[0][2].tolist() == data(2).tolist()
    same(jg.vmap(lambda x, k=1: x * k)(data(3), k=2), 2 * data(3))


def test_results_that_do_not_depend_on_the_example_are_repeated():
    x = data(3)
    out = jg.vmap(lambda x: (x, jg.ones(2), x.detach() * 0 + 1, None))(x)
    assert out[1].tolist() == [[1, 1]] * 3
    assert out[3] is None
    assert jg.vmap(lambda x: jg.ones(2), out_dims=None)(x).shape == (2,)
    with pytest.raises(ValueError, match="out_dims is None for a result that differs"):
        jg.vmap(lambda x: x, out_dims=None)(x)


def test_captured_tensors_get_gradients_and_stay_live():
    w, x = data(3), data(5, 3, seed=1)
    w.requires_grad_()
    jg.vmap(lambda row: (row * w).sum().tanh())(x).sum().backward()
    want = jg.grad(lambda w: (x @ w).tanh().sum())(w.detach())
    same(w.grad, want)
    array = np.ones(3)
    f = jg.jit(jg.vmap(lambda row: (row * array).sum()))
    same(f(x), x.sum(1))
    array[:] = 2
    same(f(x), 2 * x.sum(1))


def test_numbers_of_jit_do_not_promote_inside_vmap():
    x = jg.ones(3)
    assert jg.jit(lambda x, lr: jg.vmap(lambda v: v * lr)(x))(x, 0.5).dtype is jg.float32


def test_eager_values_stay_eager_inside():
    seen = []

    def f(x, y):
        seen.append(float(y) > 0)
        return x * y

    jg.vmap(f, (0, None))(data(2), jg.tensor(2.0))
    assert seen == [True]


def test_in_place_changes_inside():
    def f(x):
        y = x * 1
        y[0] = 5
        y += x
        v = y[1:]
        v.mul_(2)
        return y

    x = data(4, 3)
    same(jg.vmap(f)(x), looped(f, x, dims=(0,)))
    same(jg.vmap(jg.grad(lambda x: (f(x) ** 2).sum()))(x), looped(jg.grad(lambda x: (f(x) ** 2).sum()), x, dims=(0,)))


def test_no_grad_inside_is_kept():
    def f(x):
        with jg.no_grad():
            c = x * x
        return (c * x).sum()

    x = data(4, 3)
    for g in (jg.vmap(jg.grad(f)), jg.jit(jg.vmap(jg.grad(f))), jg.grad(lambda x: jg.vmap(f)(x).sum()), jg.jacrev(f)):
        same(g(x), x * x)
    same(jg.jvp(f, (x,), (jg.ones_like(x),))[1], (x * x).sum())
    with jg.no_grad():
        same(jg.vmap(jg.grad(f))(x), x * x)


def test_chunks_give_the_same():
    x, y = data(7, 3), data(3, 7, seed=1)
    f = lambda x, y: (x * y, {"s": (x @ y), "n": None})
    whole = jg.vmap(f, (0, 1), (1, 0))(x, y)
    for chunk in (1, 2, 3, 7, 100):
        parts = jg.vmap(f, (0, 1), (1, 0), chunk_size=chunk)(x, y)
        same(parts[0], whole[0])
        same(parts[1]["s"], whole[1]["s"])
    same(jg.jit(jg.vmap(lambda x: x.sin(), chunk_size=2))(x), x.sin())


def test_random_numbers():
    x = jg.zeros(4, 3)
    with pytest.raises(TracedValueError, match=r"randomness='different'.*'same'"):
        jg.vmap(lambda x: x + jg.rand(3))(x)
    equal = jg.vmap(lambda x: x + jg.rand(3), randomness="same")(x)
    assert (equal == equal[0]).all()
    other = jg.vmap(lambda x: x + jg.randn(3) + jg.randn_like(x), randomness="different")(x).numpy()
    assert len(np.unique(other)) == other.size
    nested = jg.vmap(jg.vmap(lambda x: x + jg.rand(()), randomness="different"), randomness="same")(x).numpy()
    assert (nested == nested[0]).all()
    assert len(np.unique(nested[0])) == 3
    nested = jg.vmap(jg.vmap(lambda x: x + jg.randint(0, 2**40, ()), randomness="different"), randomness="different")(x)
    assert len(np.unique(nested.double().numpy())) == 12
    jg.manual_seed(0)
    first = jg.vmap(lambda x: jg.rand(2) * x[0] + jg.rand(2), randomness="different")(x).tolist()
    jg.manual_seed(0)
    assert jg.vmap(lambda x: jg.rand(2) * x[0] + jg.rand(2), randomness="different")(x).tolist() == first
    with pytest.raises(TracedValueError, match="under jit would be drawn once"):
        jg.jit(jg.vmap(lambda x: x + jg.rand(3), randomness="different"))(x)


def test_what_escapes_is_refused():
    kept = []
    jg.vmap(lambda x: kept.append(x) or x)(data(3))
    with pytest.raises(LeakedTraceError, match="vmap"):
        kept[0] + 1
    with pytest.raises(LeakedTraceError):
        jg.vmap(lambda x: x + kept[0])(data(3))
    with pytest.raises(LeakedTraceError):
        jg.jit(lambda x: x + kept[0])(data(3))


X = data(2, 3)
WRONG = [
    (lambda: jg.vmap(lambda x: x, in_dims=2)(X), ValueError, r"dimension 2 of a tensor of shape \[2, 3\].* -2 to 1"),
    (lambda: jg.vmap(lambda x: x)(X[0, 0]), ValueError, "none to map over"),
    (lambda: jg.vmap(lambda x: x, in_dims="0")(X), ValueError, "in_dims must be an int or a tuple"),
    (lambda: jg.vmap(lambda x: x, in_dims=None)(X), ValueError, "in_dims must be an int or a tuple"),
    (lambda: jg.vmap(lambda x: x, in_dims=(None,))(X), ValueError, "nothing to map over"),
    (lambda: jg.vmap(lambda x: x, in_dims=(0, 0))(X), ValueError, r"nested like what it describes, which is \(\*,\)"),
    (lambda: jg.vmap(lambda x: x, in_dims=({"a": 0},))(X), ValueError, "nested like"),
    (lambda: jg.vmap(lambda x, y: x)(X, X.T), ValueError, r"differ: 2 \(shape \[2, 3\], dimension 0\), 3"),
    (lambda: jg.vmap(lambda x, y: x)(X, 3.0), ValueError, "type float.*None in its place in in_dims"),
    (lambda: jg.vmap(lambda x: 3.0)(X), TypeError, "must return tensors, not float"),
    (lambda: jg.vmap(lambda x: np.ones(3))(X), TypeError, "must return tensors, not ndarray"),
    (lambda: jg.vmap(lambda x: x, out_dims=2)(X), ValueError, "out_dims=2 is out of range.*-2 to 1"),
    (lambda: jg.vmap(lambda x: x, out_dims=(0, 0))(X), ValueError, "out_dims must be an int, None, or nested like"),
    (lambda: jg.vmap(lambda x: x, randomness="some")(X), ValueError, "'error', 'different' or 'same', not 'some'"),
    (lambda: jg.vmap(lambda x: x, chunk_size=0)(X), ValueError, "chunk_size must be a positive int"),
    (lambda: jg.vmap(lambda x: x if x.sum() > 0 else -x)(X), TracedValueError, "vmap.*where"),
    (lambda: jg.vmap(lambda x: x[x > 0])(X), TracedValueError, "mask"),
    (lambda: jg.vmap(lambda x: x.item())(X), TracedValueError, "vmap"),
    (lambda: jg.vmap(lambda x: X.add_(x))(X), jg.errors.MutatedArgumentError, "its caller holds"),
    (lambda: jg.vmap(3)(X), TypeError, "takes a function, not int"),
]


@pytest.mark.quick
@pytest.mark.parametrize(("call", "error", "match"), WRONG)
def test_wrong_use_is_told(call, error, match):
    before = X.tolist()
    with pytest.raises(error, match=match):
        call()
    assert X.tolist() == before
