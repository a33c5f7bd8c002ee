"""Checkpoints: what they keep, what they run again, and under jit."""

import functools
import weakref
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.errors import OverwrittenError
from jitgrad.ops.choosing import again
from jitgrad.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from tests.helpers.sweeps import SWEEPS

X, W = jg.arange(4.0).reshape(2, 2) / 5, jg.tensor([[0.3, -0.2], [0.1, 0.4]])


def test_nothing_between_is_kept() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        y = x.exp()
        kept.append(weakref.ref(y._value))
        return y.sin()

    x = X.clone().requires_grad_()
    y = f(x)
    assert kept.pop()() is not None
    y = checkpoint(f, x)
    assert kept.pop()() is None
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos(np.exp(X.numpy())) * np.exp(X.numpy()), rtol=1e-6)


def test_policies() -> None:
    ran: list[tuple[bool, str]] = []

    def policy(ctx: Any, op: Any, *tensors: Any) -> CheckpointPolicy:
        ran.append((ctx.is_recompute, op.name))
        assert ctx.op_output.shape == (2, 2) or op.name != "matmul"
        return CheckpointPolicy.MUST_SAVE if op.name == "matmul" else CheckpointPolicy.PREFER_RECOMPUTE

    computed: list[str] = []

    def f(x: Any, w: Any) -> Any:
        y = x @ w
        computed.append(str(y._value[0, 0]))
        return y.tanh().exp()

    x, w = X.clone().requires_grad_(), W.clone().requires_grad_()
    f(x, w).sum().backward()
    wanted, x.grad, w.grad = (x.grad, w.grad), None, None
    for contexts in (policy, ["matmul"], [jg.matmul]):
        checkpoint(f, x, w, context_fn=functools.partial(create_selective_checkpoint_contexts, contexts)).sum().backward()
        for found, right in zip((x.grad, w.grad), wanted):
            np.testing.assert_allclose(found.numpy(), right.numpy(), rtol=1e-6)
        x.grad = w.grad = None
    assert ran == [(False, name) for name in ("matmul", "tanh", "exp")]
    with pytest.raises(TypeError, match="a policy is a function or a list"):
        create_selective_checkpoint_contexts(3)


def test_changed_arguments() -> None:
    x = X.clone().requires_grad_() * 1
    y = checkpoint(lambda x: x.exp(), x)
    x.mul_(2)
    with pytest.raises(OverwrittenError, match="checkpoint was changed in place"):
        y.sum().backward()


def loss(w: Any, x: Any, checkpointed: bool) -> Any:
    """Three layers, whose weights come from outside of what is checkpointed."""
    layer = lambda h: (h @ w).tanh() * h.sum()
    for _ in range(3):
        x = checkpoint(layer, x) if checkpointed else layer(x)
    return (x * x).sum()


@pytest.mark.parametrize("sweep", SWEEPS)
def test_recomputing_under_jit(sweep: str) -> None:
    plain, other = (jg.value_and_grad(lambda w, x, c=c: loss(w, x, c), (0, 1)) for c in (False, True))
    value, grads = plain(W, X)
    with jg.sweep(sweep):
        for f in (other, jg.jit(other)):
            found, given = f(W, X)
            np.testing.assert_allclose(found.numpy(), value.numpy(), rtol=1e-5)
            for a, b in zip(given, grads):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4)
    assert [row.op for row in jg.jit(other).tape(W, X).rows].count(again) == 6  # three layers, two operands


def test_transforms_of_checkpoints() -> None:
    twice = lambda c: jg.grad(lambda w: (jg.grad(lambda w: loss(w, X, c))(w) ** 2).sum())
    right = twice(False)(W)
    for f in (twice(True), jg.jit(twice(True))):
        np.testing.assert_allclose(f(W).numpy(), right.numpy(), rtol=1e-3)
    many = jg.stack([W, 2 * W])
    rows = jg.vmap(jg.grad(lambda w: loss(w, X, False)))(many)
    np.testing.assert_allclose(jg.vmap(jg.grad(lambda w: loss(w, X, True)))(many).numpy(), rows.numpy(), rtol=1e-4)


CHANGING = {
    "one": lambda t: (t * 1).mul_(t).sin(),
    "rows": lambda t: (t * 3).mul_(t.sin()).mul_(t),
    "mixed": lambda t: (t.exp() * 2).mul_(t + 2).atan2_(t),
}


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("preserve", [True, False])
def test_changes_in_place_run_again(name: str, preserve: bool) -> None:
    f = CHANGING[name]
    x = jg.tensor([1.0, 2.0])
    kept = lambda z: checkpoint(f, z, use_reentrant=False, preserve_rng_state=preserve)
    right, second = jg.grad(lambda z: f(z).sum())(x), jg.hessian(lambda z: f(z).sum())(x)
    for transform in (jg.grad, lambda g: jg.jit(jg.grad(g))):
        np.testing.assert_allclose(transform(lambda z: kept(z).sum())(x).numpy(), right.numpy(), rtol=1e-5)
    for transform in (
        jg.hessian,
        lambda g: jg.jacrev(jg.grad(g)),
        lambda g: jg.jacfwd(jg.grad(g)),
        lambda g: jg.jacrev(jg.jacrev(g)),
    ):
        np.testing.assert_allclose(transform(lambda z: kept(z).sum())(x).numpy(), second.numpy(), rtol=1e-4, atol=1e-6)


def test_what_is_needed_and_changed_when_it_runs_again() -> None:
    def f(t: Any) -> Any:
        y = t.exp()
        z = y.sin()
        y.mul_(2)
        return z * y

    with pytest.raises(OverwrittenError, match="under checkpoint changes a tensor of shape"):
        jg.grad(lambda z: checkpoint(f, z).sum())(jg.tensor([1.0, 2.0]))


def test_batched_sweeps_draw_the_same_numbers() -> None:
    x = jg.tensor([1.0, 2.0], requires_grad=True)
    drawn: list[Any] = []

    def f(t: Any) -> Any:
        drawn.append(jg.rand(2))
        return t * drawn[-1]

    y = checkpoint(f, x)
    (rows,) = jg.autograd.grad(y, x, jg.eye(2), is_grads_batched=True)
    assert rows.tolist() == jg.diag(drawn[0]).tolist()
    assert len(drawn) == 2
    assert drawn[1].tolist() == drawn[0].tolist()
    assert jg.rand(2).tolist() != drawn[0].tolist()


def drawing(x: Any, generator: Any, checkpointed: bool) -> Any:
    layer = lambda a, q: jg.rand(2, generator=q) * a * a
    y = checkpoint(layer, x, generator) if checkpointed else layer(x, generator)
    return (y * jg.rand(2, generator=generator)).sum()


def test_generators_among_the_arguments() -> None:
    x, start = jg.tensor([1.0, 2.0]), lambda: jg.Generator().manual_seed(3)
    plain, kept = (jg.value_and_grad(lambda x, g, c=c: drawing(x, g, c)) for c in (False, True))
    first, compiled = start(), jg.jit(kept)
    right = [plain(x, first), plain(x, first)]
    for f in (kept, compiled, compiled):
        generator = start()
        for value, slope in right:
            found = f(x, generator)
            np.testing.assert_allclose(found[0].numpy(), value.numpy(), rtol=1e-6)
            np.testing.assert_allclose(found[1].numpy(), slope.numpy(), rtol=1e-6)
        assert generator.state == first.state
    for f in (jg.hessian(lambda x, g: drawing(x, g, True)), jg.jit(jg.hessian(lambda x, g: drawing(x, g, True)))):
        np.testing.assert_allclose(f(x, start()).numpy(), np.diag(right[0][1].numpy() / x.numpy()), rtol=1e-6)


def test_generators_from_outside_and_nested_checkpoints() -> None:
    x, generator = jg.tensor([1.0, 2.0], requires_grad=True), jg.Generator().manual_seed(3)
    state, drawn = generator.state, []

    def inner(a: Any) -> Any:
        drawn.append(jg.rand(2, generator=generator))
        return a * drawn[-1]

    def outer(a: Any) -> Any:
        generator.manual_seed(4)
        return checkpoint(inner, a) * jg.rand(2, generator=generator)

    y = checkpoint(outer, x).sum()
    after = generator.state
    y.backward()
    assert generator.state == after != state
    assert {tuple(d.tolist()) for d in drawn} == {tuple(drawn[0].tolist())}
    again = jg.Generator().manual_seed(4)
    np.testing.assert_allclose(x.grad.numpy(), (jg.rand(2, generator=again) * jg.rand(2, generator=again)).numpy(), rtol=1e-6)


def test_what_a_policy_saves_may_be_changed_in_place() -> None:
    x = jg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for f in (lambda x: (x @ x).mul_(x * 0.1).sin(), lambda x: (x @ x).t().mul_(x * 0.1).sin()):
        (right,) = jg.autograd.grad(f(x).sum(), x)
        for policy in (["matmul"], ["matmul", "permute"], lambda *_: CheckpointPolicy.MUST_SAVE):
            y = checkpoint(f, x, context_fn=functools.partial(create_selective_checkpoint_contexts, policy)).sum()
            for retain in (True, True, False):
                (found,) = jg.autograd.grad(y, x, retain_graph=retain)
                np.testing.assert_allclose(found.numpy(), right.numpy(), rtol=1e-6)
