"""Rows with several results: values, names, derivatives and memory, in eager code and in every sweep and transform."""

import pickle

import numpy as np
import pytest
import scipy.linalg

import jitgrad as jg
from jitgrad.errors import FreedTapeError, OverwrittenError
from jitgrad.ops.table import TABLE
from tests.helpers.sweeps import SWEEPS

RNG = np.random.default_rng(5)
TALL, WIDE, SQUARE = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 5)), RNG.normal(size=(4, 4))

FUNCTIONS = {
    "sort": lambda x: jg.sort(x, -1)[0],
    "sort and places": lambda x: (lambda s: s.values * s.indices)(jg.sort(x, 0, descending=True)),
    "topk": lambda x: x.topk(2, 0).values,
    "max": lambda x: x.max(0).values,
    "min, kept": lambda x: x.min(1, keepdim=True)[0],
    "var_mean": lambda x: (lambda pair: pair[0] * pair[1])(jg.var_mean(x, 0)),
    "std_mean": lambda x: jg.std_mean(x, 1)[0],
    "aminmax": lambda x: (lambda r: r.max - r.min)(jg.aminmax(x, dim=0)),
    "unbind": lambda x: x.unbind(1)[1] * x.unbind()[0][0],
    "frexp": lambda x: jg.frexp(x)[0],
    "slogdet": lambda x: jg.slogdet(x[:3, :3])[1],
    "eigh, values": lambda x: jg.linalg.eigh(x[:3, :3] + x[:3, :3].T).eigenvalues,
    "eigh, vectors": lambda x: jg.linalg.eigh(x[:3, :3] + x[:3, :3].T, "U")[1] ** 2,
    "svd": lambda x: (lambda u, s, vh: (u**2).sum() + s * vh[:, 0] ** 2)(*jg.linalg.svd(x, full_matrices=False)),
    "svd, full": lambda x: jg.linalg.svd(x).S ** 2,
    "qr": lambda x: (lambda q, r: (q * q) @ r[:, :2])(*jg.linalg.qr(x)),
}


def loss(f):
    return lambda x: (f(x) * 1.5).sum() + f(x).sum() ** 2


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("array", [TALL, WIDE, SQUARE], ids=["tall", "wide", "square"])
def test_derivatives_are_the_limits_of_differences(name, array):
    jg.testing.gradcheck(FUNCTIONS[name], [array])
    jg.testing.gradgradcheck(FUNCTIONS[name], [array])


TRANSFORMS = {
    "value": lambda f: f,
    "grad": jg.grad,
    "jacfwd": jg.jacfwd,
    "hessian": jg.hessian,
    "grad of each": lambda f: lambda x: jg.vmap(jg.grad(f))(jg.stack([x, x * 2.5, x - 0.25])),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweeps_and_transforms_agree(transform, sweep):
    x, losses = jg.tensor(TALL), {name: loss(f) for name, f in FUNCTIONS.items()}

    def every(x):
        return {name: TRANSFORMS[transform](f)(x) for name, f in losses.items()}

    wanted, compiled = every(x), jg.jit(every)
    with jg.sweep(sweep):
        for found in (compiled(x), compiled(x)):
            for name, want in wanted.items():
                np.testing.assert_allclose(found[name].numpy(), want.numpy(), rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_what_is_compiled_and_forward_mode(name):
    x, f = jg.tensor(TALL), loss(FUNCTIONS[name])
    np.testing.assert_allclose(jg.grad(jg.jit(f))(x).numpy(), jg.grad(f)(x).numpy(), rtol=1e-9, atol=1e-9)
    tangent = jg.jvp(f, (x,), (jg.ones_like(x),))[1]
    assert tangent.item() == pytest.approx(jg.grad(f)(x).sum().item(), rel=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_many_examples_are_each_as_alone(name):
    many = jg.tensor(RNG.normal(size=(3, 4, 3)))
    want = jg.stack([FUNCTIONS[name](x) for x in many])
    np.testing.assert_allclose(jg.vmap(FUNCTIONS[name])(many).numpy(), want.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(jg.jit(jg.vmap(FUNCTIONS[name]))(many).numpy(), want.numpy(), rtol=1e-12, atol=1e-12)


def test_vmap_of_numbers():
    numbers = jg.tensor([3.0, 1.0])
    assert [x.tolist() for x in jg.vmap(jg.sort)(numbers)] == [[3.0, 1.0], [0, 0]]
    assert [x.tolist() for x in jg.vmap(lambda x: x.topk(1))(numbers)] == [[3.0, 1.0], [0, 0]]
    assert [x.tolist() for x in jg.vmap(jg.frexp)(numbers)] == [[0.75, 0.5], [2, 1]]


@pytest.mark.parametrize("array", [TALL, WIDE, SQUARE, np.stack([TALL, -TALL])], ids=["tall", "wide", "square", "two"])
def test_decompositions_give_the_matrix_back(array):
    x = jg.tensor(array)
    for full in (True, False):
        u, s, vh = jg.linalg.svd(x, full_matrices=full)
        k = s.shape[-1]
        np.testing.assert_allclose(((u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :]).numpy(), array, atol=1e-12)
        np.testing.assert_allclose((u.transpose(-1, -2) @ u).numpy() - np.eye(u.shape[-1]), 0, atol=1e-12)
    for mode in ("reduced", "complete"):
        q, r = jg.qr(x, mode)
        np.testing.assert_allclose((q @ r).numpy(), array, atol=1e-12)
        assert not np.tril(r.numpy(), -1).any()
    symmetric = x @ x.transpose(-1, -2)
    values, vectors = jg.linalg.eigh(symmetric)
    np.testing.assert_allclose((symmetric @ vectors).numpy(), (vectors * values.unsqueeze(-2)).numpy(), atol=1e-11)
    sign, logabsdet = jg.linalg.slogdet(symmetric + jg.ones(()) * 0.5 * jg.tensor(np.eye(symmetric.shape[-1])))
    dets = [
        scipy.linalg.det(m) for m in (symmetric.numpy() + 0.5 * np.eye(symmetric.shape[-1])).reshape(-1, *symmetric.shape[-2:])
    ]
    np.testing.assert_allclose((sign * logabsdet.exp()).numpy().ravel(), dets, rtol=1e-9)


@pytest.mark.quick
def test_order_of_nan_and_of_equals():
    x = jg.tensor([2.0, float("nan"), 1.0, 2.0, float("inf"), 1.0])
    assert jg.sort(x).indices.tolist() == [2, 5, 0, 3, 4, 1]
    assert jg.sort(x, descending=True).indices.tolist() == [1, 4, 0, 3, 2, 5]
    assert x.topk(3).indices.tolist() == [1, 4, 0]
    assert x.topk(3, largest=False).indices.tolist() == [2, 5, 0]
    assert jg.sort(jg.tensor([True, False, True])).values.tolist() == [False, True, True]
    assert jg.sort(jg.tensor([3, 1, 2], dtype=jg.uint8), descending=True).values.tolist() == [3, 2, 1]
    assert [v.tolist() for v in jg.sort(jg.tensor(2.0))] == [2.0, 0]
    assert [v.tolist() for v in jg.zeros(0, 3).sort(0)] == [[], []]


@pytest.mark.quick
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(dtype):
    x = jg.tensor(TALL, dtype=jg.dtypes.by_name(dtype), requires_grad=True)
    for name in ("sort", "topk", "frexp", "svd", "qr", "eigh, values", "slogdet", "var_mean", "max"):
        out = FUNCTIONS[name](x)
        assert out.dtype == x.dtype, name
        assert jg.autograd.grad(out.sum(), x)[0].dtype == x.dtype, name
        assert jg.jit(jg.grad(lambda x, f=FUNCTIONS[name]: f(x).sum()))(x.detach()).dtype == x.dtype, name
    assert jg.sort(x).indices.dtype == jg.int64
    assert jg.frexp(x).exponent.dtype == jg.int32


@pytest.mark.quick
def test_results_have_names_and_print_as_pytorchs():
    x = jg.tensor([[3.0, 1.0]])
    assert str(x.max(1)) == "jitgrad.return_types.max(\nvalues=tensor([3.]),\nindices=tensor([0]))"
    assert str(jg.linalg.qr(jg.ones(1, 1))).startswith("jitgrad.return_types.linalg_qr(\nQ=tensor(")
    assert jg.sort(x)._fields == ("values", "indices")
    assert type(jg.var_mean(x)) is type(x.unbind()) is tuple
    again = pickle.loads(pickle.dumps(jg.sort(x)))
    assert type(again) is type(jg.sort(x))
    assert again.values.tolist() == [[1.0, 3.0]]
    assert type(jg.jit(jg.sort)(x)) is type(again)


@pytest.mark.quick
def test_history_and_what_passes_none_on():
    x = jg.tensor([[2.0, 1.0], [0.5, 3.0]], requires_grad=True)
    values, indices = jg.sort(x)
    assert repr(values.grad_fn) == "<SortBackward0>"
    assert not indices.requires_grad
    sign, logabsdet = jg.slogdet(x)
    assert logabsdet.requires_grad
    assert jg.autograd.grad(sign, x)[0].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    s = jg.linalg.svd(x).S
    s.sum().backward()
    with pytest.raises(FreedTapeError, match="svd"):
        s.sum().backward()
    with jg.no_grad():
        assert not jg.sort(x).values.requires_grad
    assert x.max(1).values.requires_grad


@pytest.mark.quick
def test_a_result_that_is_needed_and_was_changed():
    x = jg.tensor([[2.0, 1.0], [0.5, 3.0]], requires_grad=True)
    q, r = jg.qr(x)
    q.detach().add_(1)
    with pytest.raises(OverwrittenError, match="qr needs"):
        r.sum().backward()


def test_create_graph_goes_through_the_results():
    x = jg.tensor(SQUARE, requires_grad=True)
    u, s, vh = jg.linalg.svd(x)
    out = (u**2 * s).sum() + vh[0, 0] ** 2
    (g,) = jg.autograd.grad(out, x, create_graph=True)
    (h,) = jg.autograd.grad((g**2).sum(), x)

    def norm(y):
        return (jg.grad(lambda y: (lambda u, s, vh: (u**2 * s).sum() + vh[0, 0] ** 2)(*jg.linalg.svd(y)))(y) ** 2).sum()

    step = 1e-6 * np.cos(np.arange(16.0)).reshape(4, 4)
    change = (norm(jg.tensor(SQUARE + step)) - norm(jg.tensor(SQUARE - step))).item() / 2
    assert (h.numpy() * step).sum() == pytest.approx(change, rel=1e-5)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda: jg.sort(jg.ones(2), 3), IndexError, r"dim=3 is out of range"),
        (lambda: jg.ones(3).topk(4), RuntimeError, r"k=4 is not between 0 and 3"),
        (lambda: jg.ones(3).topk(1.5), TypeError, "k must be an int"),
        (lambda: jg.linalg.svd(jg.ones(3)), RuntimeError, r"at least two dimensions.*\[3\]"),
        (lambda: jg.slogdet(jg.ones(2, 3)), RuntimeError, "square, and are 2 by 3"),
        (lambda: jg.linalg.eigh(jg.ones(2, 2), UPLO="X"), RuntimeError, "'L' or 'U'"),
        (lambda: jg.linalg.qr(jg.ones(2, 2), mode="x"), RuntimeError, "mode"),
        (lambda: jg.frexp(jg.tensor([1, 2])), RuntimeError, "frexp needs a floating dtype"),
        (lambda: jg.linalg.svd(jg.tensor([[1, 2]])), RuntimeError, "svd needs a floating dtype"),
        (lambda: jg.tensor(1.0).unbind(), IndexError, "0-d tensor"),
        (lambda: jg.sort(3.0, "a"), TypeError, "dim must be an int"),
    ],
)
def test_wrong_use_is_told(call, kind, told):
    with pytest.raises(kind, match=told):
        call()


def test_the_tape_says_what_a_row_gives():
    f = jg.jit(lambda x: jg.sort(x)[0])
    tape = f.tape(jg.ones(3))
    assert "sort %0 dim=0 descending=False" in str(tape)
    assert "2 results" in str(tape)
    tape.check()


def test_every_row_with_named_results_has_as_many():
    for op in TABLE.values():
        if op.several and len(op.outputs) > 1 and op.samples():
            given, params = op.samples()[0]
            found = op(
                *[a if isinstance(a, np.ndarray) else np.ones(a) for a in (given if isinstance(given, list) else [given])],
                **params,
            )
            assert len(found) == len(op.outputs), op.name


def test_what_is_unbound_are_views():
    def later(x):
        y = x * 1
        parts = y.unbind(0)
        y.mul_(3)
        return parts[0] * parts[1]

    def one(x):
        y = x * 1
        y.unbind(0)[0].mul_(3)
        return (y * y).sum()

    for f in (later, one):
        for x in (jg.tensor([3.0, 1.0, 2.0]), jg.tensor([[3.0, 1.0], [2.0, 5.0]])):
            total = lambda x, f=f: f(x).sum()
            assert jg.jit(total)(x).item() == total(x).item()
            assert jg.jit(jg.grad(total))(x).tolist() == jg.grad(total)(x).tolist()
    assert jg.grad(one)(jg.tensor([3.0, 1.0, 2.0])).tolist() == [54.0, 2.0, 4.0]


def test_eigenvectors_of_a_matrix_that_is_nearly_symmetric():
    a = np.array([[2.0, 0.3], [0.3, 1.0]])
    f = lambda x: (jg.linalg.eigh(x)[1][:, 0] ** 2 * jg.tensor([1.0, 2.0], dtype=jg.float64)).sum()
    step = np.array([[0.0, 1e-6], [1e-6, 0.0]])
    change = (f(jg.tensor(a + step)) - f(jg.tensor(a - step))).item() / 2e-6
    found = jg.grad(f)(jg.tensor(a))
    assert found[0, 1].item() == found[1, 0].item() == pytest.approx(change / 2, rel=1e-6)


@pytest.mark.parametrize("call", [lambda x: jg.aminmax(x), lambda x: jg.aminmax(x, dim=0), lambda x: x.max(0)])
def test_there_is_no_extreme_of_nothing(call):
    mapped = jg.vmap(call)
    for f in (call, jg.jit(call), mapped):
        for sweep in SWEEPS:
            with jg.sweep(sweep), pytest.raises((IndexError, RuntimeError), match="nothing to reduce"):
                f(jg.zeros(3, 0, 2) if f is mapped else jg.zeros(0, 2))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_nan_is_last_in_every_dtype(dtype):
    x = jg.tensor([3.0, float("nan"), 1.0, 2.0], dtype=getattr(jg, dtype))
    assert str(jg.sort(x).values.tolist()) == "[1.0, 2.0, 3.0, nan]"
    assert str(jg.sort(x, descending=True).values.tolist()) == "[nan, 3.0, 2.0, 1.0]"
    assert str(jg.topk(x, 2).values.tolist()) == "[nan, 3.0]"
    assert str(jg.unique(x).tolist()) == "[1.0, 2.0, 3.0, nan]"
