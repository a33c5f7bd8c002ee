"""`autograd.Function` under jit, vmap and the transforms: values and derivatives are those of eager code, in every sweep."""

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.autograd import Function
from jitgrad.errors import OverwrittenError
from tests.helpers.sweeps import SWEEPS

X = jg.tensor([0.5, 1.5, -0.3], dtype=jg.float64)


class Cube(Function):
    """Saves an argument, with a context of old."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class Exp(Function):
    """Saves a result, and has a rule for tangents."""

    @staticmethod
    def forward(x: Any) -> Any:
        return x.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        return t * ctx.saved_tensors[0]


class Parts(Function):
    """Takes and gives several, of which some are no tensors or have no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any, k: int, y: Any) -> Any:
        ctx.k = k
        ctx.save_for_backward(x, y)
        sign = x.sign()
        ctx.mark_non_differentiable(sign)
        return x * y * k, y + 1, sign, x > 0

    @staticmethod
    def backward(ctx: Any, a: Any, b: Any, *_: Any) -> Any:
        x, y = ctx.saved_tensors
        return a * y * ctx.k, None, a * x * ctx.k + b


class Wrong(Function):
    """A derivative that is not that of what it computes, so that nobody can have it from elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * 1

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 7 * ctx.saved_tensors[0]


class Doubled(Function):
    """Changes its argument in place."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2


def of_parts(x: Any) -> Any:
    a, b, sign, positive = Parts.apply(x, 3, x.cos())
    return (a * b * sign + positive).sum()


def in_place(x: Any) -> Any:
    y = x * 1
    Doubled.apply(y)
    return (y * y).sum()


LOSSES = {
    "a saved argument": lambda x: Cube.apply(x).sum(),
    "a saved result": lambda x: (Exp.apply(x) * x).sum(),
    "several": of_parts,
    "composed": lambda x: (Cube.apply(Exp.apply(x.sin())) * Wrong.apply(x)).sum(),
    "its own derivative": lambda x: (Wrong.apply(x) * x).sum(),
    "an argument that is changed": in_place,
}
each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def _by_tape(loss: Any, x: Any) -> tuple[Any, Any, Any]:
    """Value, gradient and the gradient of its sum of squares, by eager code."""
    x = x.clone().requires_grad_()
    value = loss(x)
    (g,) = jg.autograd.grad(value, x, create_graph=True)
    (h,) = jg.autograd.grad((g * g).sum(), x)
    return value.detach(), g.detach(), h


@each
@pytest.mark.parametrize("sweep", SWEEPS)
def test_sweeps_agree(loss: Any, sweep: str) -> None:
    value, g, h = _by_tape(loss, X)
    twice = jg.grad(lambda x: (jg.grad(loss)(x) ** 2).sum())
    with jg.sweep(sweep):
        found = jg.jit(jg.value_and_grad(loss))(X)
        np.testing.assert_allclose(found[0].numpy(), value.numpy(), rtol=1e-12)
        np.testing.assert_allclose(found[1].numpy(), g.numpy(), rtol=1e-12)
        np.testing.assert_allclose(jg.jit(twice)(X).numpy(), h.numpy(), rtol=1e-12)
    np.testing.assert_allclose(twice(X).numpy(), h.numpy(), rtol=1e-12)


@each
def test_transforms_agree(loss: Any) -> None:
    many = jg.stack([X, X * 2, X - 1])
    rows = jg.stack([_by_tape(loss, x)[1] for x in many])
    for f in (jg.vmap(jg.grad(loss)), jg.jit(jg.vmap(jg.grad(loss)))):
        np.testing.assert_allclose(f(many).numpy(), rows.numpy(), rtol=1e-12)
    g = _by_tape(loss, X)[1]
    for f in (lambda x: jg.jvp(loss, (x,), (jg.ones(3, dtype=jg.float64),))[1], jg.jit(lambda x: jg.grad(loss)(x).sum())):
        np.testing.assert_allclose(f(X).numpy(), g.sum().numpy(), rtol=1e-12)
    np.testing.assert_allclose(jg.jacfwd(jg.grad(loss))(X).numpy(), jg.jacrev(jg.grad(loss))(X).numpy(), rtol=1e-12, atol=1e-12)


def test_a_batch_of_cotangents() -> None:
    x = X.clone().requires_grad_()
    (rows,) = jg.autograd.grad(Cube.apply(x), x, jg.eye(3, dtype=jg.float64), is_grads_batched=True)
    np.testing.assert_allclose(rows.numpy(), np.diag(3 * X.numpy() ** 2), rtol=1e-12)


class Total(Function):
    """Says itself how many examples are done at once."""

    seen: tuple[Any, ...] = ()

    @staticmethod
    def forward(x: Any, k: int) -> Any:
        return x.sum() * k

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.shape, ctx.k = inputs[0].shape, inputs[1]

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return (g * ctx.k).expand(ctx.shape), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Any, k: int) -> Any:
        Total.seen = (info.batch_size, in_dims, k)
        return x.sum(1) * k + 100, 0


def test_a_rule_for_many_examples() -> None:
    many = jg.stack([X, X * 2])
    for f in (jg.vmap(lambda x: Total.apply(x, 2)), jg.jit(jg.vmap(lambda x: Total.apply(x, 2)))):
        np.testing.assert_allclose(f(many).numpy(), many.numpy().sum(1) * 2 + 100)
        assert Total.seen == (2, (0, None), 2)
    g = jg.grad(lambda many: jg.vmap(lambda x: Total.apply(x, 2))(many).sum())(many)
    assert g.tolist() == [[2.0] * 3] * 2


def test_the_wrong_shape_under_jit() -> None:
    class Bad(Cube):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g[:2]

    with pytest.raises(RuntimeError, match=r"backward of Bad.*\[2\].*\[3\]"):
        jg.jit(jg.grad(lambda x: Bad.apply(x).sum()))(X)


def test_what_is_saved_is_freed() -> None:
    x = X.clone().requires_grad_()
    y = Cube.apply(x).sum()
    assert y.grad_fn.next_functions[0][0].saved_tensors[0].tolist() == X.tolist()
    y.backward()
    with pytest.raises(jg.errors.FreedTapeError, match="Cube"):
        y.backward()
    node = Cube.apply(x).grad_fn
    with pytest.raises(RuntimeError, match="graph that CubeBackward belonged to is gone"):
        _ = node.saved_tensors


def test_hooks_under_jit() -> None:
    seen: list[Any] = []

    def loss(x: Any) -> Any:
        y = x * 2
        y.register_hook(lambda g: seen.append(g.shape) or g * 3)
        y.grad_fn.register_prehook(lambda gs: (gs[0] + 1,))
        y.grad_fn.register_hook(lambda given, arriving: (given[0] * 10, *given[1:]))
        return (y * y).sum()

    x = X.clone().requires_grad_()
    loss(x).backward()
    assert seen.pop() == (3,)
    for f in (jg.grad(loss), jg.jit(jg.grad(loss))):
        np.testing.assert_allclose(f(X).numpy(), x.grad.numpy(), rtol=1e-12)
    assert seen
    np.testing.assert_allclose(x.grad.numpy(), (4 * X.numpy() * 3 + 1) * 2 * 10, rtol=1e-12)


class _Behind(jg.autograd.Function):
    """Doubles its argument in place, in memory that nobody watches."""

    @staticmethod
    def forward(ctx, x):
        x._value *= 2
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_what_is_marked_as_dirty_counts_as_changed():
    w = jg.tensor([1.0, 2.0], requires_grad=True)
    a = w * 1
    before, view = a.exp(), a[:1]
    squares = a * a
    assert _Behind.apply(a) is a
    assert (a._version, view._version, a.tolist()) == (1, 1, [2, 4])
    a.sum().backward(retain_graph=True)
    before.sum().backward()
    with pytest.raises(OverwrittenError):
        squares.sum().backward()
    plain = jg.ones(2)
    assert _Behind.apply(plain)._version == 1
