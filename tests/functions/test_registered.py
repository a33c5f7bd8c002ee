"""`register`: rows from outside are operations like the others, and wrong ones are said to be wrong."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.special

import jitgrad as jg
from jitgrad import ops
from jitgrad.errors import HoleError
from jitgrad.functions.registered import _OURS, _problems, forget
from jitgrad.ops import Fold, Spec
from jitgrad.testing import gradcheck, gradgradcheck

quick = pytest.mark.quick


def soft_abs(**more: Any) -> ops.Op:
    return ops.unary("sqrt(x * x + 1)", lambda x: np.sqrt(x * x + 1), d=lambda x, y: x / y, result="float", **more)


def _polar(x: Any) -> Any:
    return np.hypot(x[..., 0], x[..., 1]), np.arctan2(x[..., 1], x[..., 0])


def _polar_rule(g_radius: Any, g_angle: Any, x: Any, radius: Any) -> Any:
    a, b = x[..., 0], x[..., 1]
    g, h = [0 if each is None else each for each in (g_radius, g_angle)]
    return jg.stack([(g * a - h * b / radius) / radius, (g * b + h * a / radius) / radius], -1)


ROWS = {
    "a kernel": soft_abs,
    "NumPy alone": lambda: ops.unary(None, np.cosh, d=lambda x: jg.sinh(x)),
    "a parameter": lambda: ops.unary(
        "tanh(x * scale)",
        lambda x, scale: np.tanh(x * scale),
        prepare=lambda x, scale=2.0: {"scale": float(scale)},
        d=lambda y, scale: scale * (1 - y * y),
    ),
    "two operands": lambda: ops.binary(
        "x * exp(-y)", lambda x, y: x * np.exp(-y), d=(lambda y: jg.exp(-y), lambda z: -z), result="float"
    ),
    "a reduction": lambda: ops.reduction(
        lambda x, dim, keepdim: np.sum(x * x, axis=dim, keepdims=keepdim),
        prepare=ops.over_dims,
        shape=ops.reduced,
        vjp=lambda g, x, dim, keepdim: 2 * x * ops.spread(g, x.shape, dim, keepdim),
    ),
    "a reduction that is compiled": lambda: ops.reduction(
        lambda x, dim, keepdim: np.sum(x * x, axis=dim, keepdims=keepdim),
        prepare=ops.over_dims,
        shape=ops.reduced,
        lower=lambda x, dim, keepdim: jg.sum(x * x, dim, keepdim),
    ),
    "a fold": lambda: ops.reduction(
        lambda x, dim, keepdim: np.add.reduce(x, axis=dim, keepdims=keepdim),
        prepare=ops.over_dims,
        shape=ops.reduced,
        fold=Fold(ops.arithmetic.add, 0.0, wide=True),
        vjp=lambda g, x_shape, dim, keepdim: ops.spread(g, x_shape, dim, keepdim),
    ),
    "a composite": lambda: ops.composite(lambda x: x * jg.tanh(jg.exp(x))),
    "several results": lambda: ops.several(
        _polar,
        kind="linalg",
        outputs=("radius", "angle"),
        shape=lambda x: [Spec(x.shape[:-1], x.dtype)] * 2,
        vjp=_polar_rule,
    ),
}
X = jg.tensor([[1.0, 2.0], [-0.5, 3.0]], dtype=jg.float64)


def _loss(name: str) -> Any:
    f = jg.register("of_mine", ROWS[name]())
    if name == "two operands":
        return lambda x: f(x, x.flip(0)).sum()
    if name == "several results":
        return lambda x: (f(x).radius * f(x)[1]).sum() + f(x).angle.exp().sum()
    return lambda x: f(x).exp().sum() / 1e4 if "f" in name[2:4] or "reduction" in name else f(x).sum()


@pytest.mark.parametrize("name", ROWS)
def test_derivatives_are_right_in_every_sweep(name):
    f = _loss(name)
    assert gradcheck(f, X / 2)
    assert gradgradcheck(f, X / 2)
    w = X.clone().requires_grad_()
    f(w).backward()
    wanted, second = w.grad, jg.hessian(f)(X)
    for sweep in ("interpreted", "numba", "machine", "jit"):
        with jg.sweep(sweep):
            for g in (jg.jit(jg.grad(f)), jg.grad(jg.jit(f))):
                assert jg.allclose(g(X), wanted), sweep
            assert jg.allclose(jg.jit(f)(X), f(X))
            assert jg.allclose(jg.jit(jg.hessian(f))(X), second), sweep


@pytest.mark.parametrize("name", ROWS)
def test_transforms(name):
    f = _loss(name)
    both = jg.stack([X, X / 2])
    wanted = jg.stack([jg.grad(f)(X), jg.grad(f)(X / 2)])
    for g in (jg.vmap(jg.grad(f)), jg.jit(jg.vmap(jg.grad(f))), jg.vmap(jg.jacfwd(f))):
        assert jg.allclose(g(both), wanted)
    assert jg.allclose(jg.jvp(f, (X,), (X,))[1], (jg.grad(f)(X) * X).sum())


@quick
def test_a_row_with_a_kernel_is_compiled_and_shown():
    f = jg.register("soft_abs", soft_abs())
    g = jg.jit(lambda x: f(x).sum())
    assert "= soft_abs %0" in str(g.tape(X))
    with jg.sweep("jit"):
        g(X)
        assert "NumPy" not in str(g.report())
    assert jg.value_and_grad(g).compile(X)(X)[0].item() == pytest.approx(g(X).item())
    assert f(X.clone().requires_grad_()).grad_fn.name() == "SoftAbsBackward0"


@quick
def test_operands_and_arguments_are_those_of_all_functions():
    f = jg.register("soft_abs", soft_abs(), method=True)
    assert f(0.0).item() == f(np.zeros(())).item() == jg.zeros(()).soft_abs().item() == 1
    assert f(jg.arange(3)).dtype is jg.float32
    out = jg.empty(3)
    assert f(jg.zeros(3), out=out) is out
    assert f(jg.zeros(3, dtype=jg.bfloat16)).dtype is jg.bfloat16
    scaled = jg.register("scaled", ROWS["a parameter"]())
    assert scaled(X, 0.5).tolist() == jg.tanh(X * 0.5).tolist() == scaled(X, scale=0.5).tolist()
    assert jg.register("energy", ROWS["a reduction"]())(X, axis=1, keepdims=True).shape == (2, 1)
    with pytest.raises(TypeError, match=r"soft_abs takes no further arguments, got \[3\]"):
        f(X, 3)


@quick
def test_several_results_have_names_and_are_pickled():
    f = jg.register("in_polar", ROWS["several results"]())
    found = f(jg.tensor([[3.0, 4.0]]))
    assert "in_polar(" in repr(found)
    assert found.radius.tolist() == [5.0]
    assert pickle.loads(pickle.dumps(found)).radius.tolist() == [5.0]


@quick
def test_a_ufunc_that_is_registered_is_recorded_where_it_is_called():
    row = ops.unary(None, scipy.special.exprel, d=lambda x, y: (jg.exp(x) - y) / x, domain=(0.5, 2.0))
    with pytest.raises(TypeError, match="exprel"):
        scipy.special.exprel(X.clone().requires_grad_())
    jg.register("exprel_of_scipy", row)
    assert gradcheck(scipy.special.exprel, X)


@quick
def test_a_name_that_is_registered_again_is_that_of_the_new_row():
    old = jg.register("twice", ops.unary("x + x", lambda x: x + x, d=lambda x: 0 * x + 2), method=True)
    with pytest.warns(UserWarning, match="twice was registered before"):
        new = jg.register("twice", ops.unary("x * 3", lambda x: x * 3, d=lambda x: 0 * x + 3, result="float"))
    for f, k in ((old, 2), (new, 3)):
        assert jg.jit(f)(jg.ones(2)).tolist() == f(jg.ones(2)).tolist() == [k, k]
        assert jg.grad(lambda x: f(x).sum())(jg.ones(2)).tolist() == [k, k]  # noqa: B023
    assert new(jg.ones(2, dtype=jg.int64)).dtype is jg.float32
    assert not hasattr(jg.Tensor, "twice")


def _wrong(**facts: Any) -> ops.Op:
    return ops.unary(facts.pop("kernel", None), facts.pop("run", np.exp), **facts)


@quick
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: _wrong(kernel="exq(x)"), r"exq is unknown: there is exp"),
        (lambda: _wrong(kernel="x * z"), r"z is unknown"),
        (lambda: _wrong(kernel="x +"), r"'x \+', which is no expression"),
        (lambda: _wrong(kernel="1 if x > 0 else x"), r"with IfExp.*select"),
        (lambda: _wrong(kernel="x > 0 and x"), r"BoolOp"),
        (lambda: _wrong(kernel="0 < x < 1"), r"Compare"),
        (lambda: _wrong(kernel="np.exp(x)"), r"Attribute|np is unknown"),
        (lambda: _wrong(d=lambda x, z: x), r"a rule that asks for z: by name there are x, y, x_shape, x_dtype"),
        (lambda: _wrong(vjp=lambda g, x, dim: x), r"asks for dim: by name there are g, x, y"),
        (lambda: _wrong(run=lambda x, k: x), r"with the parameters k, and prepare="),
        (lambda: ops.binary(None, np.add, d=(lambda x: x,)), r"has 1 rules for 2 inputs, x, y"),
        (lambda: ops.reduction(lambda x: x.sum()), r"no parameter dim"),
        (lambda: ops.reduction(lambda x, dim, keepdim: x), r"over_dims"),
        (lambda: ops.several(_polar, kind="linalg", outputs=("a", "b")), r"several results, a, b, and shape="),
        (lambda: ops.several(_polar, kind="strange", outputs=("a", "b"), shape=_polar), r"of kind 'strange'"),
        (lambda: _wrong(hot=True), r"states hot="),
        (lambda: _wrong(namespace="linalg"), r"states namespace="),
        (lambda: ops.unary("x * 2", lambda x: x * 2), r"says nothing of its derivative.*NOT_DIFFERENTIABLE.*todo"),
        (lambda: ops.binary("x * y", lambda x, y: x * y), r"says nothing of its derivative"),
        (
            lambda: ops.reduction(lambda x, dim, keepdim: x, prepare=ops.over_dims, shape=ops.reduced),
            r"says nothing of its derivative",
        ),
    ],
)
def test_what_is_wrong_with_a_row_is_said(make, said):
    with pytest.raises(ValueError, match=rf"register: the row of wrong .*{said}"):
        jg.register("wrong", make())
    assert "wrong" not in ops.TABLE


@quick
def test_a_derivative_that_is_not_there_is_said_to_be_so():
    x = jg.ones(2, dtype=jg.float64)
    for d in (ops.NOT_DIFFERENTIABLE, ops.todo("nobody knows it")):
        one = jg.register("one_of_mine", ops.unary("x * 2", lambda x: x * 2, d=d))
        two = jg.register("two_of_mine", ops.binary("x * y", lambda x, y: x * y, d=d))
        for f in (one, lambda x: two(x, x)):  # noqa: B023
            for g in (jg.grad(lambda x: f(x).sum()), jg.jit(jg.grad(lambda x: f(x).sum()))):  # noqa: B023
                if d is ops.NOT_DIFFERENTIABLE:
                    assert g(x).tolist() == [0, 0]
                else:
                    with pytest.raises(HoleError, match="nobody knows it"):
                        g(x)
        forget("one_of_mine")
        forget("two_of_mine")
    assert jg.register("larger", ops.predicate("x > y", np.greater))(x, 0).all()
    bits = jg.register("bits", ops.unary(None, lambda x: x ^ 1, result="integer"))
    assert bits(jg.arange(3)).tolist() == [1, 0, 3]


@quick
def test_names_that_are_taken_or_none():
    for name in ("exp", "softmax", "zeros"):
        with pytest.raises(ValueError, match=f"jitgrad has an operation {name}"):
            jg.register(name, soft_abs())
    with pytest.raises(ValueError, match="tensors have an attribute grad"):
        jg.register("grad", soft_abs(), method=True)
    for name in ("two words", "lambda", ""):
        with pytest.raises(ValueError, match="no name of a function"):
            jg.register(name, soft_abs())
    with pytest.raises(TypeError, match="a string, not int"):
        jg.register(3, soft_abs())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes a row, .* not function"):
        jg.register("mine", lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="that of exp already"):
        jg.register("mine", ops.arithmetic.exp)
    row = soft_abs()
    jg.register("mine", row)
    with pytest.raises(ValueError, match="that of mine already"):
        jg.register("yours", row)


@quick
def test_nothing_is_wrong_with_the_rows_of_the_table():
    prepared_elsewhere = {"polygamma", "scatter_add"}
    checked = [op for op in ops.rows() if not op.internal and op.name not in prepared_elsewhere]
    assert sum(op.kernel is not None for op in checked) > 90
    for op in checked:
        found = [why for why in _problems(op) if not any(f"states {fact}=" in why for fact in _OURS)]
        assert not found, (op.name, found)
