"""float16 and bfloat16: whatever computes them gives the float32 result, rounded once; what leads out of them gives floats."""

import copy
import math
import pickle

import numpy as np
import pytest

import jitgrad as jg
from tests.helpers.cases import CASES, applied, converted
from tests.helpers.sweeps import SWEEPS

HALVES = (jg.float16, jg.bfloat16)
ULP = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
LEAST = {"float16": 2.0**-24, "bfloat16": 0.0}

halves = pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: dtype.name)


def in_half(x, dtype):
    """A tensor of half precision of numbers; indices and conditions stay as they are."""
    x = np.asarray(x)
    return jg.tensor(x) if x.dtype.kind in "bi" else jg.tensor(x.astype(np.float64)).to(dtype)


def value_and_gradients(f, xs):
    """What a function gives, and the gradients for a cotangent that is everywhere another one."""
    where = [i for i, x in enumerate(xs) if x.dtype.is_floating_point]

    def of_floats(*floats):
        given = dict(zip(where, floats))
        return f(*[given.get(i, x) for i, x in enumerate(xs)])

    if not where:
        return [f(*xs)]
    out, pull = jg.vjp(of_floats, *[xs[i] for i in where])
    if not out.dtype.is_floating_point:
        return [out]
    cotangent = (jg.arange(out.numel()) % 7 * 0.25 + 0.5).reshape(tuple(out.shape))  # exact in every dtype
    return [out, *pull(cotangent.to(out.dtype))]


def close(got, wanted, dtype, what):
    """Equal to what float32 gave, rounded, up to two units in the last place."""
    for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
        where = f"{what} {dtype.name}, {'gradient' if k else 'value'} {k}"
        right = b.to(dtype) if b.dtype.is_floating_point else b
        assert a.dtype is right.dtype, f"{where} is {a.dtype}"
        found, right = a.detach().double().numpy(), right.detach().double().numpy()
        limit = np.isinf(found) | np.isinf(right)  # what is about the largest number may be rounded to infinity
        alike = np.isclose(found, right, rtol=2 * ULP[dtype.name], atol=2 * LEAST[dtype.name], equal_nan=True)
        edge = limit & (np.minimum(abs(found), abs(right)) > 65400) & (np.sign(found) == np.sign(right))
        assert (alike | edge).all(), f"{where}: {found[~alike]}, in float32 {right[~alike]}"


def everywhere(many, dtype):
    """Programs, named, with their operands: eager, under `vmap`, and all in one tape in every sweep."""
    wanted = [value_and_gradients(f, [x.float() if x.dtype is dtype else x for x in xs]) for _, f, xs in many]
    for (name, f, xs), right in zip(many, wanted):
        close(value_and_gradients(f, xs), right, dtype, f"{name} eager")
    together = jg.jit(lambda many_xs: [value_and_gradients(f, xs) for (_, f, _), xs in zip(many, many_xs)])
    batched = jg.vmap(lambda many_xs: [value_and_gradients(f, xs) for (_, f, _), xs in zip(many, many_xs)])
    stacked = batched([[jg.stack([x, x]) for x in xs] for _, _, xs in many])
    for (name, _, _), found, right in zip(many, stacked, wanted):
        close([x[1] for x in found], right, dtype, f"{name} vmap")
    for sweep in SWEEPS:
        with jg.sweep(sweep):
            results = together([xs for _, _, xs in many])
        for (name, _, _), found, right in zip(many, results, wanted):
            close(found, right, dtype, f"{name} {sweep}")


def calling(case):
    return lambda *xs: applied(case, xs)


BESIDE = ("beta", "betaln", "cast", "nextafter", "geqrf")
"""What depends on the dtype itself, and what has elements, or derivatives, that are nothing but rounding."""


@halves
def test_every_row(dtype):
    many = [
        (repr(case), calling(case), [in_half(converted(x, "float64"), dtype) for x in case.operands])
        for case in CASES
        if case.op.result != "integer" and case.op.name not in BESIDE and not case.op.holes()
    ]
    assert len(many) > 120
    everywhere(many, dtype)


FAR = {
    "large": [300.0, -300.0, 1000.0, 40000.0, 60000.0, -65504.0, 11.6, -11.6, 7.0, -7.0, 2.5, math.inf],
    "small": [6e-8, -6e-8, 1e-7, 3e-6, -5e-5, 6.1e-5, 1e-4, -1e-3, 1e-3, 0.01],
    "unit": [0.999, -0.999, 0.5, -0.5, 0.9995, 0.1, -0.1, 0.75, 1.0, 0.0],
}


@halves
@pytest.mark.parametrize("numbers", FAR.values(), ids=FAR)
def test_elementwise_rows_far_out(dtype, numbers):
    many, seen = [], set()
    for case in CASES:
        op = case.op
        if not op.elementwise or op.result in ("integer", "bool") or op.name in ("where", *BESIDE) or op in seen or op.holes():
            continue
        seen.add(op)
        pairs = np.meshgrid(*[numbers] * len(op.inputs))
        operands = [in_half(x.ravel(), dtype) for x in pairs]
        many.append((repr(case), calling(case), operands))
    everywhere(many, dtype)


INDEX = [1] * 3000
ALONG = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(0),
    "var": lambda x: x.var(),
    "std": lambda x: x.std(-1),
    "norm": lambda x: x.norm(),
    "norm 1": lambda x: x.norm(1),
    "norm 3": lambda x: x.norm(3),
    "norm inf": lambda x: x.norm(math.inf),
    "logsumexp": lambda x: x.logsumexp(-1),
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "prod": lambda x: x.prod(),
    "cumsum": lambda x: x.cumsum(0),
    "amax": lambda x: x.amax(-1),
    "max": lambda x: x.max(0).values,
    "dot": lambda x: x.reshape(-1).dot(x.reshape(-1)),
    "vectors": lambda x: x.reshape(-1) @ x.reshape(-1),
    "column": lambda x: x.reshape(1, -1) @ x.reshape(-1, 1),
    "product": lambda x: x @ jg.full((3, 2), 300.0, dtype=x.dtype),
    "batches": lambda x: jg.bmm(x.reshape(2, 2, -1), x.detach().reshape(2, -1, 2)),
    "picked": lambda x: x[INDEX],
    "gathered": lambda x: jg.gather(x.reshape(-1), 0, jg.zeros(3000, dtype=jg.int64)),
    "added at": lambda x: jg.zeros(3, dtype=x.dtype).index_add(0, jg.tensor([1] * x.numel()), x.reshape(-1), alpha=0.3),
    "scattered": lambda x: jg.zeros(3, dtype=x.dtype).scatter_add(0, jg.tensor([1] * x.numel()), x.reshape(-1)),
    "spread": lambda x: x.reshape(-1)[:3].expand(3000, 3),
    "alpha": lambda x: jg.add(-x, x.detach(), alpha=2),
    "quotient": lambda x: x / 70000,
    "decimals": lambda x: x.round(decimals=1),
    "mse": lambda x: jg.mse_loss(x, x.detach() * 0.5),
    "softplus": lambda x: jg.nn.functional.softplus(x, 2.5),
    "logits": lambda x: jg.nn.functional.binary_cross_entropy_with_logits(x, jg.full(tuple(x.shape), 0.3, dtype=x.dtype)),
    "cross entropy": lambda x: jg.cross_entropy(x, jg.zeros(x.shape[0], dtype=jg.int64)),
}


@halves
@pytest.mark.parametrize("scale", [300, 1, 1e-6])
def test_composites(dtype, scale):
    x = in_half(np.linspace(0.5, 1.5, 12).reshape(4, 3) * scale, dtype)
    everywhere([(name, f, [x]) for name, f in ALONG.items()], dtype)


LONG = ("sum", "mean", "var", "std", "norm", "logsumexp", "softmax", "cumsum", "amax", "dot", "mse", "logits")


@halves
def test_more_elements_than_float16_can_count(dtype):
    x = in_half(np.random.default_rng(0).uniform(0.5, 1.5, 70000), dtype)
    all_of = lambda x: [value_and_gradients(ALONG[name], [x]) for name in LONG]
    for found in (all_of(x), jg.jit(all_of)(x)):
        for name, got, right in zip(LONG, found, all_of(x.float())):
            close(got, right, dtype, name)
    ones = jg.ones(70000, dtype=dtype)
    for f in (lambda x: x.amax(), lambda x: x.mean(), lambda x: jg.mse_loss(x, x.detach() - 0.5)):
        for gradient in (jg.grad(f)(ones), jg.jit(jg.grad(f))(ones)):
            np.testing.assert_allclose(gradient.float().numpy(), 1 / 70000, rtol=8e-3)


@halves
def test_numbers_beside_half_precision(dtype):
    x = jg.tensor([0.1, 0.7, 1.0, 2.5, 7.0], dtype=dtype)
    for f in (lambda x: x == 0.1, lambda x: x > 0.7, lambda x: x >= 2.5, lambda x: x < 70000, lambda x: x.clamp(0.1, 0.7)):
        plain = f(x)
        assert plain.tolist() == jg.jit(f)(x).tolist()
    assert (x == 0.1).tolist() == [True, False, False, False, False]
    assert (x >= 0.7).tolist() == [False, True, True, True, True]
    assert jg.grad(lambda x: x.clamp(0.1, 0.7).sum())(x).tolist() == [1, 1, 0, 0, 0]
    for f in (lambda x: x % 0.7, lambda x: x // 0.1, lambda x: x * 0.1, lambda x: 70000 / x, lambda x: x**1.7):
        assert f(x).tolist() == jg.jit(f)(x).tolist()
    for f in (lambda x, s: x % s, lambda x, s: x * s, lambda x, s: x == s, lambda x, s: jg.where(x > s, x, s)):
        assert f(x, 0.7).tolist() == jg.jit(f)(x, 0.7).tolist()
    assert (x * 1e-3 / 70000).dtype is dtype


@halves
def test_recurring_backward_and_second_derivatives(dtype):
    def loss(w):
        return ((w.sigmoid() * w).softmax(0) * w.tanh()).sum() + w.mean() + w.norm() + w.std()

    w = in_half(np.linspace(-2, 2, 50), dtype).requires_grad_()
    first = None
    for _ in range(6):
        w.grad = None
        loss(w).backward()
        assert w.grad.dtype is dtype
        first = w.grad if first is None else first
        assert jg.equal(w.grad, first)
    cubes = lambda w: (w**3).sum()
    (slope,) = jg.autograd.grad(cubes(w), w, create_graph=True)
    (curve,) = jg.autograd.grad(slope.sum(), w)
    close([curve], [6 * w.detach().float()], dtype, "second derivative")
    x = w.detach()[:3]
    for bent in (jg.hessian(cubes)(x), jg.jit(jg.hessian(cubes))(x), jg.jacfwd(jg.grad(cubes))(x)):
        close([bent], [jg.hessian(cubes)(x.float())], dtype, "Hessian")


@halves
def test_changes_in_place(dtype):
    def changed(a):
        b = a.clone()
        b[0] = a[1] * 2
        b[1, 1] = 3.0
        b[:, 0].mul_(0.3)
        b.sigmoid_()
        b[[0, 0, 2]] = b[1]
        return b.relu_()

    everywhere([("changes", changed, [in_half(np.linspace(-1, 1, 9).reshape(3, 3), dtype)])], dtype)


@halves
def test_names_on_the_tape(dtype):
    x = jg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    made = (x.sigmoid(), x.mean(), x + 1, x @ x, x.float().exp().to(dtype), x.relu())
    names = ("Sigmoid", "Mean", "Add", "View", "ToCopy", "Relu")
    assert [repr(y.grad_fn) for y in made] == [f"<{name}Backward0>" for name in names]
    assert repr(x.sum()) == f"tensor(3., dtype=jitgrad.{dtype.name}, grad_fn=<SumBackward0>)"


@halves
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)])
def test_one_element_as_a_number(dtype, shape):
    x = jg.full(shape, 2.5, dtype=dtype)
    for one in (x, x * 1, x.detach(), jg.full((2,), 2.5, dtype=dtype)[1:].reshape(shape)):
        assert type(one.item()) is float
        assert one.item() == float(one) == complex(one) == 2.5
        assert int(one) == 2
        assert bool(one)
        inner = one.tolist()
        for _ in shape:
            (inner,) = inner
        assert type(inner) is float
        assert "2.5" in repr(one)
        assert 2.5 in one
        assert (one == 2.5).all()
        assert (one > 2).all()
        for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            assert again.dtype is dtype
            assert tuple(again.shape) == shape
            assert again.item() == 2.5
    assert f"{x.reshape(()):.2f}" == "2.50"
    with pytest.raises(TypeError, match="index"):
        x.__index__()
